"""What `approvals watch` shows and what a key does there, without a terminal: keys in, deeds out.

It sends nothing: a deed is done by who reads the keys, and what came of it is told back.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.cli.answers import GRANTS, KEYS, USUAL, View, duration, minutes, picked, refusal

ARMED = 0.7  # seconds for which a card doesn't take a yes: what comes faster nobody has read
CHOICE_KEYS = {key: choice for choice, key in KEYS.items()}
YES = frozenset(("once", "arguments", "pattern", "session", "vouch", "edit"))
READ = "read the card first: a yes counts once it has been there for a moment"
UP, DOWN, ENTER, ESCAPE, ERASE = "up", "down", "enter", "escape", "erase"


class Mode(Enum):
    """What the keys are for."""

    LIST = "list"
    CARD = "card"
    LABEL = "label"  # what does this tool do?
    TYPE = "type"  # a line is typed
    HELP = "help"


class Step(Enum):
    """What has to be typed before a choice is sent."""

    TIME = "for how long"
    VALUES = "which values"
    NAME = "the tool's name"
    NOTE = "why"


class Deed(Struct, frozen=True):
    """Something to be done: `op` of the gateway with its fields, or one of open, edit and quit."""

    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class Asking(Struct, frozen=True):
    """A choice that still needs something typed."""

    choice: str
    steps: tuple[Step, ...]
    fields: Mapping[str, Any]


NOTHING = Deed("")
QUIT = Deed("quit")


class Screen(Struct):
    """The state of the screen. `message` is the last line of what happened."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    mode: Mode = Mode.LIST
    at: str = ""  # id of the row under the cursor
    view: View | None = None
    opened_at: float = 0.0
    unfolded: bool = False
    scroll: int = 0
    effect: int = 0  # the one under the cursor in LABEL
    asking: Asking | None = None
    typed: str = ""
    covers: Mapping[str, int] = field(default_factory=dict)
    of: int = 0
    message: str = ""
    online: bool = True

    # --- what is told

    def list(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """These rows wait now; the cursor stays where it was, or at the row that took the place."""
        place = self._place()
        self.rows = list(rows)
        if self.at not in {row["id"] for row in self.rows}:
            self.at = self.rows[min(place, len(self.rows) - 1)]["id"] if self.rows else ""

    def show(self, view: View, now: float) -> None:
        """Open a card, at `now` (monotonic): the tool that nobody labelled first asks what it does."""
        self.view, self.opened_at, self.unfolded, self.scroll = view, now, False, 0
        self.asking, self.typed, self.covers, self.of = None, "", {}, 0
        waits = view["state"] == "waiting"
        self.mode = Mode.LABEL if waits and not view["labelled"] else Mode.CARD
        effects = list(view["effects"])
        self.effect = effects.index(view["proposed"]) if view["proposed"] in effects else len(effects) - 1

    def renew(self, view: View) -> None:
        """The card that is open changed: time passed, or it was settled elsewhere."""
        self.view = view
        if view["state"] != "waiting" and self.mode is not Mode.HELP:
            self.mode, self.asking = Mode.CARD, None

    def settled(self, message: str) -> None:
        """What was sent has been done: back to the list."""
        self.close()
        self.message = message

    def close(self) -> None:
        """Back to the list."""
        self.mode, self.view, self.asking, self.typed = Mode.LIST, None, None, ""

    # --- keys

    def press(self, key: str, now: float) -> Deed:
        """What a key does at `now` (monotonic): a character, or one of UP, DOWN, ENTER, ESCAPE, ERASE."""
        if self.mode is not Mode.TYPE:
            self.message = ""
        match self.mode:
            case Mode.TYPE:
                return self._type(key)
            case Mode.LABEL:
                return self._label(key, now)
            case Mode.CARD:
                return self._card(key, now)
            case Mode.HELP:
                self.mode = Mode.CARD if self.view is not None else Mode.LIST
                return NOTHING
            case Mode.LIST:
                return self._list(key)

    def _list(self, key: str) -> Deed:
        if key in ("q", ESCAPE):
            return QUIT
        if key == "?":
            self.mode = Mode.HELP
        elif key in ("j", DOWN, "k", UP) and self.rows:
            step = 1 if key in ("j", DOWN) else -1
            self.at = self.rows[max(0, min(self._place() + step, len(self.rows) - 1))]["id"]
        elif (key == ENTER or key in CHOICE_KEYS) and self.at:
            return Deed("open", {"id": self.at})  # nothing is decided unseen
        return NOTHING

    def _card(self, key: str, now: float) -> Deed:
        if key in ("q", ESCAPE):
            self.close()
        elif key == "?":
            self.mode = Mode.HELP
        elif key in ("j", DOWN):
            self.scroll += 1
        elif key in ("k", UP):
            self.scroll = max(0, self.scroll - 1)
        elif key == ENTER:
            self.unfolded = not self.unfolded
        elif key in CHOICE_KEYS:
            return self._choose(CHOICE_KEYS[key], now)
        return NOTHING

    def _choose(self, choice: str, now: float) -> Deed:
        assert self.view is not None
        if wrong := refusal(self.view, choice):
            self.message = wrong
            return NOTHING
        # INVARIANT: no yes counts before the card could be read.
        if choice in YES and now - self.opened_at < ARMED:
            self.message = READ
            return NOTHING
        if choice in YES and self.view["proof_required"] == "signed" and choice != "edit":
            self.message = f"this needs a signature: wardgate approve {self.view['id']} --sign"
            return NOTHING
        if choice == "edit":
            return Deed("edit", {"id": self.view["id"]})
        steps = [
            *([Step.VALUES] if choice == "vouch" else []),
            *([Step.TIME] if choice in GRANTS else []),
            *([Step.NOTE] if choice in ("deny", "bar") else []),
            *([Step.NAME] if choice in YES and self.view["confirm"] else []),
        ]
        self.asking = Asking(choice, tuple(steps), {})
        if steps:
            self.mode, self.typed = Mode.TYPE, ""
            covers = choice in GRANTS and choice != "vouch" and not self.covers
            return Deed("covers", {"id": self.view["id"]}) if covers else NOTHING
        return self._send()

    def _type(self, key: str) -> Deed:
        if key == ESCAPE:
            self.mode, self.asking, self.typed = Mode.CARD, None, ""
            self.message = "nothing was decided"
        elif key == ERASE:
            self.typed = self.typed[:-1]
        elif key == ENTER:
            return self._typed()
        elif len(key) == 1 and key.isprintable() and len(self.typed) < 1_000:
            self.typed += key
        return NOTHING

    def _typed(self) -> Deed:
        """Take what was typed for the first step that is left."""
        assert self.asking is not None
        assert self.view is not None
        step, said = self.asking.steps[0], self.typed
        taken: dict[str, Any] = {}
        match step:
            case Step.TIME:
                count = minutes(said) if said.strip() else USUAL
                if count is None:
                    return self._again("expected a time such as 15m or 2h")
                taken = {"minutes": count}
            case Step.VALUES:
                values = picked(said, self.view["vouchable"])
                if values is None:
                    return self._again("expected the numbers of values, as `1 3`")
                taken = {"values": values}
            case Step.NAME:
                if said != self.view["confirm"]:
                    return self._again("that is not the tool's name; Escape leaves it undecided")
            case Step.NOTE:
                taken = {"reason": said}
        self.asking = replace(self.asking, steps=self.asking.steps[1:], fields={**self.asking.fields, **taken})
        self.typed, self.message = "", ""
        return NOTHING if self.asking.steps else self._send()

    def _again(self, message: str) -> Deed:
        self.message, self.typed = message, ""
        return NOTHING

    def _send(self) -> Deed:
        """The answer, with all that was typed for it; a grant settles what was listed on the card too."""
        assert self.asking is not None
        assert self.view is not None
        choice, fields = self.asking.choice, dict(self.asking.fields)
        if choice in GRANTS:
            fields["also"] = [other["id"] for other in self.view["also"]]
        self.mode, self.asking = Mode.CARD, None
        op = "deny" if choice in ("deny", "bar") else "approve"
        return Deed(op, {"id": self.view["id"], "choice": choice, **fields})

    def _label(self, key: str, now: float) -> Deed:
        assert self.view is not None
        effects = self.view["effects"]
        if key in ("j", DOWN, "k", UP):
            step = 1 if key in ("j", DOWN) else -1
            self.effect = max(0, min(self.effect + step, len(effects) - 1))
        elif key == ESCAPE:
            self.mode, self.message = Mode.CARD, "not labelled: the tool counts as destructive"
        elif key == "q":
            self.close()
        elif key == ENTER and now - self.opened_at < ARMED:
            self.message = READ
        elif key == ENTER:
            return Deed("label", {"id": self.view["id"], "effect": effects[self.effect]})
        return NOTHING

    def _place(self) -> int:
        return next((place for place, row in enumerate(self.rows) if row["id"] == self.at), 0)


def prompt(screen: Screen) -> str:
    """The question that is being typed at."""
    assert screen.asking is not None
    assert screen.view is not None
    match screen.asking.steps[0]:
        case Step.TIME:
            told = screen.covers.get(screen.asking.choice)
            spared = f" It would have covered {told} of {screen.of} questions in 30 days." if told is not None else ""
            return f"For how long? (Enter: {duration(USUAL)}){spared}"
        case Step.VALUES:
            values = screen.view["vouchable"]
            listed = "  ".join(f"{number}: {value}" for number, value in enumerate(values, 1))
            return f"Vouch for which values in this session?{' (Enter: it)' if len(values) == 1 else ''} {listed}"
        case Step.NAME:
            return f"Type the tool's name to approve: {screen.view['confirm']}"
        case Step.NOTE:
            return "Why? The model reads it. (Enter: no reason)"
