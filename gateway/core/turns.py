"""What is known of a session: its turn, what was delivered since, and whether a prompt opens one. No I/O here.

It decides nothing about calls: `Session.begin` says what a prompt lacks to prove that a person asked for something.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from gateway.core.hooks import Happened, HookEvent

UNKNOWN = "unknown"  # the digest of a prompt that nobody handed over
MOST_OUTPUTS = 500  # outputs of one turn that calls list; the rest is counted
MOST_PROMPTS = 8  # prompts of a session by the client's own ids
MOST_FLYING = 256  # tools of a session that are announced and not over
KEPT_EACH, KEPT_SESSION = 256 * 1024, 1024 * 1024  # bytes of outputs in which carried arguments are looked for
MOST_KEPT = 1_000  # outputs of a session: many small ones would take far more than their bytes


class Turn(Struct, eq=False):
    """What the user asked for, and the outputs since that no call has listed yet."""

    id: str = ""  # of the record of its prompt; empty: the prompt is not known
    digest: str = UNKNOWN
    proves: bool = False
    fresh: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0
    omitted: int = 0
    after: str = ""  # the call whose record lists the outputs before those

    def add(self, id: str, digest: str) -> None:
        """One more output was delivered."""
        self.count += 1
        if self.count > MOST_OUTPUTS:
            self.omitted += 1
        else:
            self.fresh.append((id, digest))

    def listed(self, call: str) -> Mapping[str, Any]:
        """What was delivered since the last call that asked; from now on this one lists it."""
        told: dict[str, Any] = {}
        if self.after:
            told["after"] = self.after
        if self.fresh:
            told["outputs"] = tuple(self.fresh)
        if self.omitted:
            told["omitted"] = self.omitted
        if self.fresh or self.omitted:
            self.after = call
        self.fresh, self.omitted = [], 0
        return told


class Session(Struct, eq=False):
    """One session: its turns, and the newest outputs with their bytes."""

    turn: Turn = field(default_factory=Turn)
    prompts: OrderedDict[str, Turn] = field(default_factory=OrderedDict)  # by the client's ids
    kept: deque[tuple[str, bytes]] = field(default_factory=deque)
    size: int = 0  # bytes kept
    seen: bool = False  # its start, or the end of a turn, was seen
    open: bool = False  # a prompt came, and no end of its turn
    number: int = 0  # of its prompts
    flying: OrderedDict[str, int] = field(default_factory=OrderedDict)  # tool-use ids not over -> number of the prompt
    background: bool = False  # work goes on behind the last stop
    timers: bool = False  # prompts may come by themselves

    def keep(self, id: str, data: bytes) -> int:
        """Keep an output's bytes, and forget old ones; by how much the bytes kept grew."""
        before = self.size
        if data:
            self.kept.append((id, data if len(data) <= KEPT_EACH else data[:KEPT_EACH]))
            self.size += len(self.kept[-1][1])
            while self.size > KEPT_SESSION or len(self.kept) > MOST_KEPT:
                self.size -= len(self.kept.popleft()[1])
        return self.size - before

    def forget(self) -> int:
        """Forget all bytes; how many they were."""
        freed, self.size = self.size, 0
        self.kept.clear()
        return freed

    def enter(self, turn: Turn, prompt_id: str = "") -> None:
        """A prompt was recorded: its turn begins."""
        self.turn = turn
        if prompt_id:
            self._remember(prompt_id, turn)

    def of(self, prompt_id: str) -> Turn:
        """The turn of an event that names its prompt: one that was never told makes a turn without a prompt."""
        if not prompt_id or (not self.prompts and not self.turn.id):
            return self.turn
        found = self.prompts.get(prompt_id)
        return self._remember(prompt_id, Turn()) if found is None else found

    def _remember(self, prompt_id: str, turn: Turn) -> Turn:
        self.prompts[prompt_id] = turn
        if len(self.prompts) > MOST_PROMPTS:
            self.prompts.popitem(last=False)
        return turn

    def note(self, event: HookEvent) -> None:
        """Follow the session's life by an event that is no prompt."""
        match event.happened:
            case Happened.SESSION_START:
                if event.source != "compact":  # compaction happens within a turn
                    self.seen, self.open = True, bool(self.flying)
            case Happened.BEFORE_TOOL:
                self.flying[event.tool_use] = self.number
                if len(self.flying) > MOST_FLYING:
                    self.flying.popitem(last=False)
                self.timers = self.timers or event.sets_timer
            case Happened.AFTER_TOOL | Happened.TOOL_FAILED | Happened.TOOL_DENIED:
                self.flying.pop(event.tool_use, None)
            case Happened.STOP:
                self._stop(event.busy)
            case _:  # it is over, or what came is not understood: a prompt would prove nothing
                self.open = self.seen = False
                self.flying.clear()

    def _stop(self, busy: bool | None) -> None:
        """A turn ended, unless one of its own tools still runs: then it is no end of it. Tools of a turn before it
        that were never told to be over were denied, or broken off with their turn.
        """
        for id in [id for id, number in self.flying.items() if number < self.number]:
            del self.flying[id]
        self.seen, self.open = True, bool(self.flying)
        self.background = bool(self.flying) if busy is None else busy

    def begin(self, event: HookEvent) -> str:
        """A prompt comes in, and the session is in its turn. Why it proves nothing; empty for one that does."""
        reason = ""
        if not event.interactive:
            reason = "not-interactive"
        elif not event.typed:
            reason = "not-typed"
        elif not self.seen:
            reason = "start-unseen"
        elif self.open or self.flying:
            reason = "open-turn"
        elif self.background or self.timers:
            reason = "background"
        self.number, self.open = self.number + 1, True
        return reason
