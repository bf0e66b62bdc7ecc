"""What is new in a call that was sent, compared with the past of its identity. No I/O here, and O(1) for each call.

Records and labels in, sentences out; the rules and the bounds are told in `docs/signals.md`.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from math import sqrt

from gateway.core.drift import LIMIT, divergence, moved
from gateway.core.landing import Thing, scopes_of, sinks_of
from gateway.core.landing import mark as mark_of
from gateway.core.model import Kind, Labels, Record, Tier
from gateway.core.past import SCOPE, SINK, STEP, TOOL, UPSTREAM, Past, Week
from gateway.core.signals import Raised, Signal, shown

IDENTITIES = 1_000  # that are remembered; the one that was quiet longest is forgotten first, and begins anew
MOST_THINGS = 200_000  # that are remembered of all of them
SESSIONS = 10_000  # whose last tool is remembered
MOST_NAMED = 3  # things that a sentence names
START = "the start of a session"

Identity = tuple[str, str]  # principal and client
Fingerprint = Callable[[bytes], int]  # 64 bits, which only the holder of a key can make


class Pasts:
    """The pasts of all identities. `fingerprint` stands in for values, of which none is kept."""

    def __init__(self, fingerprint: Fingerprint) -> None:
        self._fingerprint = fingerprint
        self.identities: OrderedDict[Identity, Past] = OrderedDict()
        self.last: OrderedDict[str, str] = OrderedDict()  # session -> the last tool that was called in it
        self.things = 0  # that are remembered in all

    def put(self, identity: Identity, past: Past) -> None:
        """Take over a past that was kept."""
        self.identities[identity] = past
        self.things += past.size
        self._forget()

    def observe(self, record: Record, labels: Labels, inventory: Collection[str] = ()) -> tuple[Raised, ...]:
        """Compare a call that was sent with the past of its identity, and let it become a part of that.

        Only the first intent of a call counts. `inventory` names the upstreams that the client is there for; empty
        where nobody said so.
        """
        if record.kind is not Kind.INTENT or "round" in record.extra or not record.upstream:
            return ()
        identity = (record.principal, record.client)
        past = self.identities.get(identity)
        if past is None:
            past = self.identities[identity] = Past()
        self.identities.move_to_end(identity)
        before = past.size
        raised = tuple(self._compared(past, record, labels, inventory))
        self.things += past.size - before
        self._forget()
        return raised

    def _forget(self) -> None:
        many = self.identities
        while len(many) > IDENTITIES or (self.things > MOST_THINGS and len(many) > 1):
            self.things -= many.popitem(last=False)[1].size

    def _compared(self, past: Past, record: Record, labels: Labels, inventory: Collection[str]) -> Iterator[Raised]:
        # INVARIANT: whether something can be new is told by what was before this call.
        warm, write, tool = past.warm, record.tier != Tier.READ.value, _called(record)
        if (weeks := past.turn(record.at.date())) is not None and (told := drifted(_who(record), *weeks)) is not None:
            yield told
        if past.count(tool, consequential=write):
            yield _many(past, _who(record))
        outside = bool(inventory) and record.upstream not in inventory
        if self._new(past, UPSTREAM, record.upstream) and (warm or outside):
            before = len(past.seen[UPSTREAM]) - 1
            known = "the inventory of its client" if outside else f"the {before} that it used before"
            said = f"upstream `{record.upstream}` of {_who(record)} is not among {known}"
            yield Raised(Signal.NEW_UPSTREAM, said)
        new_tool, previous = self._new(past, TOOL, tool), self._step(record.session, tool)
        new_step = write and self._new(past, STEP, previous, tool)
        sinks = sinks_of(record, labels) if write else ()
        new_sinks = [thing for thing in sinks if self._new(past, SINK, record.effect, *thing[:2])]
        new_scopes = [thing for thing in scopes_of(record) if self._new(past, SCOPE, *thing[:2])]
        if not warm:
            return
        by = f"{_who(record)} in {past.counts.calls - 1} calls on {past.counts.days + 1} days"
        if new_tool:
            yield Raised(Signal.NEW_TOOL, f"first use of `{shown(tool)}` by {by}")
        if new_step:
            yield Raised(Signal.NEW_STEP, f"first step from {_quoted(previous)} to `{shown(tool)}` by {by}")
        if new_sinks:
            yield Raised(Signal.NEW_SINK, f"first {record.effect} to {_named(new_sinks)} by {by}")
        if new_scopes:
            yield Raised(Signal.NEW_SCOPE, f"first read of {_named(new_scopes)} by {by}")

    def _new(self, past: Past, what: str, *parts: str) -> bool:
        """Whether a thing was not seen before; from now on it was."""
        return past.sees(what, self._fingerprint(mark_of(what, *parts)))

    def _step(self, session: str, tool: str) -> str:
        """The tool that was called last in a session; from now on it is this one."""
        previous = self.last.pop(session, START)
        self.last[session] = tool
        if len(self.last) > SESSIONS:
            self.last.popitem(last=False)
        return previous


def drifted(who: str, older: Week, before: dict[str, int], over: Week, mix: dict[str, int]) -> Raised | None:
    """The signal of a mix of tools that moved far between two weeks, or None."""
    far = divergence(before, mix)
    if far <= LIMIT:
        return None
    most = ", ".join(shown(str(each)) for each in moved(before, mix))
    weeks = f"from week {older[1]} to week {over[1]}"
    return Raised(
        Signal.TOOL_DRIFT,
        f"the tools of {who} changed {weeks} by {far:.2f} of 1 (over {LIMIT} stands out); moved most: {most}",
    )


def _many(past: Past, who: str) -> Raised:
    counts = past.counts
    usual = f"{counts.mean:.1f} a day, deviation {sqrt(counts.variance):.1f}, on {counts.days} days before"
    said = f"{counts.today} consequential calls of {who} today; {usual}: over {past.most:.0f} stand out"
    return Raised(Signal.UNUSUAL_COUNT, said)


def _called(record: Record) -> str:
    """What a call counts as: its tool; of resources, prompts and others the method, since their names are arguments."""
    return f"{record.upstream}/{record.method or record.tool}"


def _who(record: Record) -> str:
    return f"{shown(record.principal)} with {shown(record.client)}"


def _quoted(step: str) -> str:
    return step if step == START else f"`{shown(step)}`"


def _named(things: Sequence[Thing]) -> str:
    """Some things as a sentence names them."""
    names = [
        f"{thing.kind} (recorded as a digest)" if thing.secret else f"{thing.kind} `{shown(thing.value)}`"
        for thing in things[:MOST_NAMED]
    ]
    return ", ".join(names) + (f" and {len(things) - MOST_NAMED} more" if len(things) > MOST_NAMED else "")
