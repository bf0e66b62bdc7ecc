"""Where the data of each session came from: what tainted it, what its good origins are, what tainted sessions wrote.

Taint and what was written are durable before what they follow from; good origins are in memory, and bounded: what is
forgotten proves nothing. It decides nothing.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from msgspec import Struct, field

from gateway.core.flow import ARGUMENT, PROMPT, READ_ARGUMENT, TRUSTED, Origins, carries_proven, trace, weighs
from gateway.core.model import Call, Kind, Record, SinkKind, Tier, Tool, Traced, Trust
from gateway.core.policy import Policy
from gateway.core.session import IDLE, Key, key_of
from gateway.core.sinks import ValueList, leaves
from gateway.core.written import made, met, unproven_links, written
from gateway.ids import ENTRY, new_id
from gateway.ports import Clock, Flow, Records
from gateway.store import Store
from gateway.store.flow import all_forms, all_tainted, last_seen

REMEMBERED = 10_000  # sessions with their origins; the one that was quiet longest is forgotten first
MOST_TAINTED = 200_000  # sessions of which it is known; beyond them one that isn't starts tainted
MOST_FORMS = 300_000  # forms of what was written; beyond them no output is believed
CROWDED = 0.8  # of them, from which on people are told
MOST_KEPT = 64 * 1024 * 1024  # bytes, about, of the origins of all sessions
MOST_PROMPTS = 1_000  # prompts of a session of which it is known that they are indexed
MOST_ASKED = 1_000  # calls of which it is known whether they hold what a tainted session wrote
MOST_SOURCES = 32  # tools of which a session tells that they tainted it
LARGE = 64 * 1024  # characters of an output from which on it is looked through beside the loop
FORM = 8  # bytes of a form's digest

FORGET = "`wardgate record forget --before DATE` forgets what is older; stop the gateway for it"

T = TypeVar("T")
log = logging.getLogger("wardgate.flow")


class _State(Struct, eq=False):
    """What is known of one session."""

    tainted: bool
    private: bool
    last: datetime
    saved: bool = True  # whether what it says of taint and privacy is durable
    origins: Origins = field(default_factory=Origins)
    sources: dict[str, None] = field(default_factory=dict)
    prompts: set[int] = field(default_factory=set)
    writing: anyio.Lock = field(default_factory=anyio.Lock)


class Flows:
    """The flow of every session; implements `ports.Flows`.

    `keys` make digests of what was written, the present one first; `closed` tells of a client that it has no tools
    besides the gateway's; `place` tells which session a call belongs to, as principal, client and session.
    """

    def __init__(
        self,
        records: Records,
        clock: Clock,
        keys: Sequence[bytes],
        closed: Callable[[str], bool],
        policy: Callable[[], Policy],
        place: Callable[[Call], Key],
    ) -> None:
        self._records, self._clock, self._closed, self._policy, self._place = records, clock, closed, policy, place
        self._keys = [key[:64] for key in keys]
        self._states: OrderedDict[Key, _State] = OrderedDict()
        self._tainted: OrderedDict[Key, tuple[bool, bool]] = OrderedDict()  # durable: tainted, private
        self._forms: set[int] = set()
        self._asked: OrderedDict[tuple[str, int], tuple[int, bool]] = OrderedDict()
        self._crowded = self._full = False
        self._kept = 0

    async def load(self, store: Store) -> None:
        """Read what is durable."""
        for principal, client, session, tainted, private in await all_tainted(store, MOST_TAINTED + 1):
            last = None if session else await last_seen(store, principal, client)
            if last is None or self._clock.now() - last <= IDLE:
                self._remember((principal, client, session), tainted, private)
        self._mark(await all_forms(store, MOST_FORMS + 1))

    def look(self, call: Call, tool: Tool | None) -> Flow:
        """The flow of a call's session as it is now; the origins of its values only where they matter."""
        state = self._state(self._key(call))
        values: tuple[Traced, ...] | None = None
        if state.tainted and tool is not None and weighs(tool):
            values = trace(tool, call.arguments, state.origins)
        return Flow(state.tainted, state.private, values, tuple(state.sources))

    def sends(self, call: Call, tool: Tool) -> tuple[str, ...]:
        """A call is about to be forwarded: what it says before any taint is a good origin from now on. Returns the
        digests of what it writes in a tainted session, or writes of what such a session wrote, for its record; they
        count at once.
        """
        state = self._state(self._key(call))
        if not state.tainted:
            self._add(state, _argued(call, tool))
        if tool.tier is Tier.READ or not (state.tainted or self._carries(call, tool)):
            return ()
        return self._marked(written(tool, call.arguments, self._unknown(state, tool, call.arguments)))

    def _unknown(self, state: _State, tool: Tool, arguments: Mapping[str, Any]) -> Iterator[str]:
        """The links in what a call writes that have no origin."""
        state.origins.begin()
        for kind, form, link in unproven_links(tool, arguments):
            if not state.origins.find(kind, form, link):
                yield form

    def made(self, call: Call, tool: Tool, value: Mapping[str, Any]) -> tuple[str, ...]:
        """The same of what the result of such a call says that it made."""
        if tool.tier is Tier.READ or not (self._state(self._key(call)).tainted or self._carries(call, tool)):
            return ()
        return self._marked(made(tool.ref.upstream, _said(value)))

    async def delivered(self, call: Call, tool: Tool, value: Mapping[str, Any]) -> None:
        """An output is about to leave: it taints the session, or is an origin in it, or neither, as its label says.

        What a tainted session wrote is untrusted, whatever the label says. Raises `RecordError` if a change of the
        session can't be made durable; it stands in memory all the same.
        """
        key, label = self._key(call), tool.labels.output
        state = self._state(key)
        untrusted = label.trust is Trust.UNTRUSTED
        if not untrusted:
            said = _said(value)
            large = sum(len(leaf) for _, leaf in leaves(said)) > LARGE
            untrusted = self._carries(call, tool) or (
                await _apart(self._holds, tool, said) if large else self._holds(tool, said)
            )
            failed = value.get("isError") is True or value.keys() == {"message", "data"}  # as the path tells failures
            proves = not untrusted and not failed and label.trust is Trust.TRUSTED
            if proves and (not state.tainted or carries_proven(tool, call.arguments, state.origins, self._lists)):
                self._add(state, await _apart(_indexed, said) if large else _indexed(said))
        await self._read(call, tool, key, untrusted, label.private, state)

    async def heard(self, call: Call, tool: Tool, said: Any, *, sure: bool = True) -> None:
        """The upstream of a running call is about to say something to its client beside the result; as `delivered`.

        Where it isn't `sure` that it speaks of this call, no label makes it trusted.
        """
        label = tool.labels.output
        untrusted = not sure or label.trust is Trust.UNTRUSTED or self._carries(call, tool) or self._holds(tool, said)
        key = self._key(call)
        await self._read(call, tool, key, untrusted, label.private, self._state(key))

    def prompted(self, key: tuple[str, str, str], text: str) -> None:
        """A person asked for something in a session, by principal, client and session; its text is an origin there."""
        state = self._state(key_of(*key))
        if (mark := hash(text)) not in state.prompts:
            if len(state.prompts) >= MOST_PROMPTS:
                state.prompts.clear()
            state.prompts.add(mark)
            self._add(state, _indexed(text, PROMPT))

    def begun(self, key: tuple[str, str, str]) -> None:
        """A hook saw a session begin, and reports what its client's other tools read: it is clean so far.

        One that something is known of already stays as it is.
        """
        named = key_of(*key)
        if named[2] and named not in self._states and named not in self._tainted and not self._crowded:
            self._open(named, tainted=False, private=False)

    async def read_elsewhere(self, key: tuple[str, str, str], tool: str) -> None:
        """A hook told that a tool of the client's own answered: nobody here knows what that said."""
        named = key_of(*key)
        state = self._state(named)
        await self._taint(named, state, f"client/{tool}", tainted=True, private=True, session=key[2])

    def holds(self, key: tuple[str, str, str]) -> frozenset[str]:
        """From which origins something good is known in a session, by principal, client and session."""
        state = self._states.get(key_of(*key))
        return state.origins.words if state is not None else frozenset()

    def status(self) -> dict[str, Any]:
        """How much of what tainted sessions wrote is known, and how much can be; `told` says what to do about it, where
        that is needed.
        """
        count, told = len(self._forms), ""
        if count > MOST_FORMS * CROWDED:
            beyond = "no output is believed any more" if self._full else "beyond that no output is believed"
            told = f"what tainted sessions wrote takes {count:,} of {MOST_FORMS:,} forms: {beyond}. {FORGET}"
        return {"forms": count, "most": MOST_FORMS, "told": told}

    def _key(self, call: Call) -> Key:
        return key_of(*self._place(call))

    def _state(self, key: Key) -> _State:
        now, state = self._clock.now(), self._states.get(key)
        if state is not None and not key[2] and now - state.last > IDLE:
            self._let_go(key)
            self._tainted.pop(key, None)
            state = None
        if state is None:
            tainted, private = self._tainted.get(key, (False, False))
            unknown = not self._closed(key[1]) or (self._crowded and key not in self._tainted)
            state = self._open(key, tainted or unknown, private or unknown)
        else:
            self._states.move_to_end(key)
            state.last = now
        return state

    def _open(self, key: Key, tainted: bool, private: bool) -> _State:
        """Begin with a session; the one that was quiet longest is forgotten, but none whose taint is not durable yet
        while there are others.
        """
        state = self._states[key] = _State(tainted, private, self._clock.now())
        if len(self._states) > REMEMBERED:
            quiet = (other for other, one in self._states.items() if one.saved and one is not state)
            self._let_go(next(quiet, next(iter(self._states))))
        return state

    def _let_go(self, key: Key) -> None:
        self._kept -= self._states.pop(key).origins.size

    @property
    def _lists(self) -> Mapping[str, ValueList]:
        return self._policy().lists

    def _add(self, state: _State, said: Origins) -> None:
        """Note origins; where all of them together are too much, the sessions that were quiet longest lose theirs."""
        before = state.origins.size
        state.origins.join(said)
        self._kept += state.origins.size - before
        if self._kept > MOST_KEPT:
            self._kept = sum(one.origins.size for one in self._states.values())
            for quiet in self._states.values():
                if quiet is not state:
                    self._kept -= quiet.origins.size
                    quiet.origins.forget()
                    quiet.prompts.clear()
                if self._kept <= MOST_KEPT // 2:
                    return

    async def _read(self, call: Call, tool: Tool, key: Key, untrusted: bool, private: bool, state: _State) -> None:
        by = f"{tool.ref.upstream}/{call.name_of(tool)}"
        if untrusted and len(state.sources) < MOST_SOURCES:
            state.sources[by] = None
        if state.saved and (state.tainted or not untrusted) and (state.private or not private):
            return
        await self._taint(
            key, state, by, tainted=untrusted, private=private, session=call.context.session, call=call.id
        )

    async def _taint(
        self, key: Key, state: _State, by: str, *, tainted: bool, private: bool, session: str, call: str = ""
    ) -> None:
        """Change a session, at once in memory, and return when that is durable."""
        before = (state.tainted, state.private)
        state.tainted, state.private = state.tainted or tainted, state.private or private
        state.saved = state.saved and before == (state.tainted, state.private)
        async with state.writing:
            if state.saved:
                return
            told = {"by": by, "tainted": state.tainted, "private": state.private, "flow": key[2]}
            about = Record(
                Kind.FLOW,
                new_id(ENTRY),
                self._clock.now(),
                principal=key[0],
                client=key[1],
                session=session,
                extra={**told, **({"call": call} if call else {})},
            )
            await self._records.append(about)
            state.saved = (told["tainted"], told["private"]) == (state.tainted, state.private)
            self._remember(key, state.tainted, state.private)

    def _remember(self, key: Key, tainted: bool, private: bool) -> None:
        self._tainted[key] = (tainted, private)
        if len(self._tainted) > MOST_TAINTED:
            self._tainted.popitem(last=False)
            self._crowded = True

    def _marked(self, forms: Iterable[str]) -> tuple[str, ...]:
        digests = tuple(self._digest(form, self._keys[0]) for form in forms)
        self._mark(digests)
        return digests

    def _mark(self, digests: Iterable[str]) -> None:
        if self._full:
            return
        before = len(self._forms)
        self._forms.update(int(digest, 16) for digest in digests)
        self._full = len(self._forms) > MOST_FORMS
        if before <= MOST_FORMS * CROWDED < len(self._forms) or self._full:
            log.log(logging.ERROR if self._full else logging.WARNING, "%s", self.status()["told"])

    def _carries(self, call: Call, tool: Tool) -> bool:
        """Whether a call holds something that a tainted session wrote; looked for once, and again if more was written
        since.
        """
        which, count = (call.id, hash(call.canonical)), len(self._forms)
        before, found = self._asked.get(which, (0, False))
        if count != before and not found:
            found = self._meets(met(tool.ref.upstream, call.arguments, []))
            self._asked[which] = (count, found)
            if len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)
        return found

    def _holds(self, tool: Tool, said: Any) -> bool:
        """Whether an output holds something that a tainted session wrote."""
        return self._full or (bool(self._forms) and self._meets(met(tool.ref.upstream, {}, said)))

    def _meets(self, forms: AbstractSet[str] | None) -> bool:
        if forms is None or self._full:
            return True
        return any(int(self._digest(form, key), 16) in self._forms for form in forms for key in self._keys)

    @staticmethod
    def _digest(form: str, key: bytes) -> str:
        return blake2b(form.encode("utf-8", "surrogatepass"), key=key, digest_size=FORM).hexdigest()


def _argued(call: Call, tool: Tool) -> Origins:
    """The arguments of a call as origins, each of the kind that its label says; `LARGE` characters of them at most."""
    found, sinks, left = Origins(), tool.labels.sinks or {}, LARGE
    for name, value in call.arguments.items():
        size = sum(len(leaf) for _, leaf in leaves(value))
        if size > left:
            continue
        left -= size
        found.add(READ_ARGUMENT if tool.tier is Tier.READ else ARGUMENT, value, sinks.get(name, SinkKind.TEXT))
    return found


def _indexed(value: Any, origin: str = TRUSTED) -> Origins:
    found = Origins()
    found.add(origin, value)
    return found


async def _apart(work: Callable[..., T], *given: Any) -> T:
    """Work that takes its time, beside the loop."""
    return await anyio.to_thread.run_sync(partial(work, *given))


def _said(value: Mapping[str, Any]) -> list[Any]:
    """What a result says: the texts of its blocks, its structured content, or all of what is no tool's result."""
    if "content" not in value and "structuredContent" not in value:
        return [value]
    said: list[Any] = [value.get("structuredContent")]
    blocks = value.get("content")
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, Mapping):
            inner = block.get("resource")
            said += [block.get(name) for name in ("text", "uri", "name", "title", "description")]
            said += [inner.get(name) for name in ("text", "uri")] if isinstance(inner, Mapping) else []
    return said
