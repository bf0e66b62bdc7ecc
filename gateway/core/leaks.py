"""Secrets that were seen, each followed until it is rotated: what a leak is, what becomes of it, and when it is due.

Pure: a record in, what it shows of leaks out. No secret here, and nothing that one could be made from.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.model import Act, Finding, Grade, Kind, Outcome, Reason, Record, Release
from gateway.core.personal import is_personal
from gateway.core.record import stamp, unstamp
from gateway.core.remedy import steps

DUE = timedelta(days=7)  # until somebody has to have taken it up
OWNER_TOLD = timedelta(days=14)  # when its business owner is told that it still counts
OVERDUE = timedelta(days=27)  # what a rotation takes on average where nobody tracks it
LONGEST_ACCEPTED = timedelta(days=90)  # for which a leak may be accepted at most
MOST_FOLLOWED = 20  # distinct secrets of one record that are followed; the record itself tells of more
MOST_TOLD = 200  # findings of one output that are told at all: with as many, others may be left out
MOST_NAMED = 8  # upstreams, tools, sessions, clients that are told in words
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SENT = ("arguments.", "answer.")  # how places in what a client sent begin


class LeakState(str, Enum):
    """What is being done about a leak."""

    OPEN = "open"
    ROTATING = "rotating"  # somebody is at it
    ROTATED = "rotated"  # the secret counts no more; it opens again when it is seen again
    ACCEPTED = "accepted"  # somebody said why it may stay, and until when


MOVES: Mapping[LeakState, frozenset[LeakState]] = {
    LeakState.OPEN: frozenset({LeakState.ROTATING, LeakState.ROTATED, LeakState.ACCEPTED}),
    LeakState.ROTATING: frozenset({LeakState.OPEN, LeakState.ROTATED, LeakState.ACCEPTED}),
    LeakState.ROTATED: frozenset({LeakState.OPEN}),
    LeakState.ACCEPTED: frozenset(LeakState),
}
"""What a leak may become, by what it is."""

COUNTING = (LeakState.OPEN, LeakState.ROTATING)  # the states in which its days are counted


class Stage(IntEnum):
    """What has to be told of a leak that counts, as its days go by."""

    OPENED = 1  # it is new, or open again
    DUE = 2  # nobody has taken it up for 7 days
    OWNER = 3  # 14 days: its business owner is told
    OVERDUE = 4  # 27 days

    @property
    def word(self) -> str:
        """The stage as it stands in records."""
        return self.name.lower()


class Source(NamedTuple):
    """What a leak was read from: reading it again without the secret shows that it is exposed there no more."""

    upstream: str
    tool: str
    arguments_digest: str


class Seen(NamedTuple):
    """What saw a leak, and how it passed: how often by name, the most frequent first; at most 100 names each."""

    upstreams: Mapping[str, int] = {}
    tools: Mapping[str, int] = {}
    sessions: Mapping[str, int] = {}
    clients: Mapping[str, int] = {}
    acts: Mapping[str, int] = {}


class Leak(Struct, frozen=True):
    """A secret that was seen: its kind and keyed fingerprint, and how far it is from being rotated.

    `generation` tells under which key the fingerprint was made; `opened_at` is when its days began to count, again
    after it was reopened; `by`, `at`, `note` and `until` are what a person said last.
    """

    id: str
    kind: str
    fingerprint: str
    generation: str
    grade: Grade
    state: LeakState
    owner: str  # business owner of the upstream where it was first seen
    first_seen: datetime
    last_seen: datetime
    times: int  # records that tell of it
    opened_at: datetime
    reopened: int = 0
    told: int = 0  # the last `Stage` that was told since it was opened
    source: Source | None = None
    clean_at: datetime | None = None
    first_call: str = ""
    last_call: str = ""
    place: str = ""  # where in the last output or arguments
    by: str = ""
    known_by: str = ""  # how it is known who that is
    at: datetime | None = None
    note: str = ""
    until: datetime | None = None  # an acceptance ends then
    false_positive: bool = False  # it is no secret: what was found passes until then
    seen: Seen = field(default_factory=Seen)

    @property
    def due_at(self) -> datetime:
        """By when somebody has to have taken it up."""
        return self.opened_at + DUE

    @property
    def owner_told_at(self) -> datetime:
        """When its business owner is told."""
        return self.opened_at + OWNER_TOLD

    @property
    def overdue_at(self) -> datetime:
        """From when on it is overdue."""
        return self.opened_at + OVERDUE

    @property
    def exposed(self) -> bool:
        """Whether its source still showed it when it was read last."""
        return self.clean_at is None

    @property
    def passed(self) -> int:
        """How often it got through: flagged, or allowed."""
        return sum(self.seen.acts.get(act.value, 0) for act in (Act.FLAGGED, Act.ALLOWED))

    @property
    def steps(self) -> tuple[str, ...]:
        """How such a secret is rotated, step by step."""
        return steps(self.kind)

    def counts(self, now: datetime) -> bool:
        """Whether something is to be done about it: it is open or rotating, or its acceptance is over."""
        return self.state in COUNTING or self.lapsed(now)

    def lapsed(self, now: datetime) -> bool:
        """Whether it was accepted until a time that has passed."""
        return self.state is LeakState.ACCEPTED and self.until is not None and self.until <= now

    def days(self, now: datetime) -> int:
        """Whole days since it was opened; of one that is settled, until it was."""
        end = now if self.counts(now) or self.at is None else self.at
        return max(0, (end - self.opened_at).days)

    def stage(self, now: datetime) -> Stage | None:
        """How far it has come without being settled; None for one that is."""
        if self.state not in COUNTING:
            return None
        if now >= self.overdue_at:
            return Stage.OVERDUE
        if now >= self.owner_told_at:
            return Stage.OWNER
        if now >= self.due_at and self.state is LeakState.OPEN:
            return Stage.DUE
        return Stage.OPENED

    def may_become(self, state: LeakState) -> bool:
        """Whether a person may say that it is in another state now."""
        return state in MOVES[self.state]


def leak_id(kind: str, fingerprint: str) -> str:
    """The id of a leak: it follows from kind and fingerprint, so that every record of the secret leads to it."""
    number = int.from_bytes(hashlib.sha256(f"{kind}\0{fingerprint}".encode()).digest()[:8], "big")
    return "l_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(45, -1, -5))


def continued(old: Leak, id: str, fingerprint: str, new: Leak | None) -> Leak:
    """A leak that goes on under another key's fingerprint; `new` is what was seen under that one already.

    As for every leak, one that was dealt with is open again if it was seen since.
    """
    if new is None:
        return replace(old, id=id, fingerprint=fingerprint)
    seen, at = new, new.opened_at
    done = old.state is LeakState.ROTATED and old.at is not None and old.at < at
    again = done or (old.state is LeakState.ACCEPTED and old.until is not None and old.until <= at)
    return replace(
        old,
        id=id,
        fingerprint=fingerprint,
        state=LeakState.OPEN if again else old.state,
        opened_at=at if again else old.opened_at,
        reopened=old.reopened + again,
        told=seen.told if again else old.told,
        grade=seen.grade,
        last_seen=max(old.last_seen, seen.last_seen),
        times=old.times + seen.times,
        source=seen.source or old.source,
        clean_at=seen.clean_at if seen.source is not None else old.clean_at,
        last_call=seen.last_call,
        place=seen.place,
    )


class Sight(NamedTuple):
    """What one record shows of one leak."""

    leak: str
    kind: str
    fingerprint: str
    grade: Grade
    acts: tuple[Act, ...]
    place: str
    read: bool  # it stood in an output, not in what a client sent


def sights(record: Record) -> tuple[Sight, ...]:
    """The leaks that a record tells of, each once, at most `MOST_FOLLOWED` of them; personal data is none."""
    found: dict[str, Sight] = {}
    few = len(record.findings) <= MOST_FOLLOWED
    for one in record.findings if few else sorted(record.findings, key=_of_others):  # none of our own is crowded out
        if is_personal(one.kind):
            continue
        id = leak_id(one.kind, one.fingerprint)
        read = not one.place.startswith(_SENT) and record.kind not in (Kind.PROMPT, Kind.CLIENT_TOOL)
        sight = found.get(id) or Sight(id, one.kind, one.fingerprint, _grade(one), (), one.place, read)
        acts = sight.acts if one.act in sight.acts else (*sight.acts, one.act)
        if id in found or len(found) < MOST_FOLLOWED:
            found[id] = sight._replace(acts=acts, read=sight.read or read)
    return tuple(found.values())


def _of_others(finding: Finding) -> bool:
    return not finding.exact


def source_of(record: Record) -> Source | None:
    """What the answer of a call was read from; None for a record that is of no answer."""
    if record.kind is not Kind.OUTCOME or not (record.upstream and record.tool and record.arguments_digest):
        return None
    return Source(record.upstream, record.tool, record.arguments_digest)


def read_whole(record: Record) -> bool:
    """Whether a record is of an answer that was screened to its end: what it does not tell of was not there."""
    fine = record.outcome == Outcome.OK.value and record.release in (Release.FULL.value, Release.REDACTED.value)
    return fine and record.reason != Reason.UNSCREENED.value and len(record.findings) < MOST_TOLD


def _grade(finding: Finding) -> Grade:
    return Grade.EXACT if finding.exact else finding.grade


COLUMNS = (
    *("id", "kind", "fingerprint", "generation", "grade", "state", "owner", "first_seen", "last_seen", "times"),
    *("opened_at", "reopened", "told", "upstream", "tool", "arguments_digest", "clean_at", "first_call", "last_call"),
    *("place", "by", "known_by", "at", "note", "until", "false_positive"),
)
"""What `leak_of` reads, in its order."""

SIGHTINGS = ("upstream", "tool", "session", "client", "act")
"""What is counted of a leak, in the order of `Seen`."""


def leak_of(row: Sequence[Any], sightings: Sequence[Sequence[Any]] = ()) -> Leak:
    """The leak that is kept in a row of `COLUMNS`, with its sightings: rows of what, name and count."""
    kept = dict(zip(COLUMNS, row, strict=True))
    source = Source(kept["upstream"], kept["tool"], kept["arguments_digest"])
    return Leak(
        *(kept["id"], kept["kind"], kept["fingerprint"], kept["generation"]),
        grade=Grade(kept["grade"]),
        state=LeakState(kept["state"]),
        owner=kept["owner"],
        first_seen=unstamp(kept["first_seen"]),
        last_seen=unstamp(kept["last_seen"]),
        times=kept["times"],
        opened_at=unstamp(kept["opened_at"]),
        reopened=kept["reopened"],
        told=kept["told"],
        source=source if source.arguments_digest else None,
        clean_at=_time(kept["clean_at"]),
        first_call=kept["first_call"],
        last_call=kept["last_call"],
        place=kept["place"],
        by=kept["by"],
        known_by=kept["known_by"],
        at=_time(kept["at"]),
        note=kept["note"],
        until=_time(kept["until"]),
        false_positive=bool(kept["false_positive"]),
        seen=_seen(sightings),
    )


def _time(text: str) -> datetime | None:
    return unstamp(text) if text else None


def _seen(sightings: Sequence[Sequence[Any]]) -> Seen:
    often = sorted(sightings, key=lambda each: (-each[2], each[1]))
    return Seen(*({name: count for what, name, count in often if what == wanted} for wanted in SIGHTINGS))


def leak_item(leak: Leak, now: datetime) -> dict[str, Any]:
    """A leak as `leaks --json` prints it; its fingerprint is keyed, and of no use without the key."""
    stage = leak.stage(now)
    return {
        "id": leak.id,
        "kind": leak.kind,
        "grade": leak.grade.value,
        "fingerprint": leak.fingerprint,
        "generation": leak.generation,
        "state": leak.state.value,
        "stage": stage.word if stage is not None else None,
        "owner": leak.owner,
        "first_seen": stamp(leak.first_seen),
        "last_seen": stamp(leak.last_seen),
        "times": leak.times,
        "passed": leak.passed,
        "days": leak.days(now),
        "opened_at": stamp(leak.opened_at),
        "due_at": stamp(leak.due_at),
        "owner_told_at": stamp(leak.owner_told_at),
        "overdue_at": stamp(leak.overdue_at),
        "reopened": leak.reopened,
        "exposed": leak.exposed,
        "clean_at": stamp(leak.clean_at) if leak.clean_at is not None else None,
        "source": dict(leak.source._asdict()) if leak.source is not None else None,
        "place": leak.place,
        "first_call": leak.first_call,
        "last_call": leak.last_call,
        **{name: dict(counts) for name, counts in leak.seen._asdict().items()},
        "by": leak.by,
        "known_by": leak.known_by,
        "at": stamp(leak.at) if leak.at is not None else None,
        "note": leak.note,
        "until": stamp(leak.until) if leak.until is not None else None,
        "false_positive": leak.false_positive,
        "steps": list(leak.steps),
    }


def lines(leak: Leak, now: datetime) -> Iterator[tuple[str, str]]:
    """A leak in words, as pairs of a name and what there is to say; nothing that is empty."""
    item = leak_item(leak, now)
    told = (
        ("state", f"{leak.state.value}{_standing(leak, now)}"),
        ("kind", f"{leak.kind} ({leak.grade.value})"),
        ("owner", leak.owner),
        ("seen", f"{often(leak.times)}, from {_minute(leak.first_seen)} to {_minute(leak.last_seen)}"),
        ("passed", often(leak.passed) if leak.passed else ""),
        ("exposed", f"no: read again without it at {_minute(leak.clean_at)}" if leak.clean_at else "yes"),
        *((name, _counted(item[name])) for name in Seen._fields),
        ("place", leak.place),
        ("last call", leak.last_call),
        ("said", f"by {leak.by} at {_minute(leak.at)}" if leak.by and leak.at else ""),
        ("note", leak.note),
    )
    yield from (pair for pair in told if pair[1])


def _standing(leak: Leak, now: datetime) -> str:
    if leak.state is LeakState.ACCEPTED and leak.until is not None:
        passes = ", as no secret" if leak.false_positive else ""
        return f"{passes}, until {_minute(leak.until)}" + (" (over)" if leak.lapsed(now) else "")
    if leak.state not in COUNTING:
        return ""
    again = f", reopened {often(leak.reopened)}" if leak.reopened else ""
    return f" for {leak.days(now)} of {OVERDUE.days} days{again}"


def often(count: int) -> str:
    """How often something happened, in words."""
    return "once" if count == 1 else f"{count} times"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _counted(counts: Mapping[str, int]) -> str:
    told = [f"{name} ({count})" for name, count in counts.items()]
    more = [f"and {len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
    return ", ".join([*told[:MOST_NAMED], *more])
