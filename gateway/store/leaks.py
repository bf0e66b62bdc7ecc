"""The ledger of leaks beside the record: what a record changes in it, and what people say of a leak.

As `rows.py`: changes to make and questions to ask, by name with their values; it decides nothing, and knows no SQL.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.core.leaks import DUE, OVERDUE, OWNER_TOLD, Leak, Sight, Source, leak_of, read_whole, sights, source_of
from gateway.core.model import Grade, Record
from gateway.core.record import stamp, unstamp
from gateway.store.port import Ask, Change, Store
from gateway.store.rows import text_of

MOST_LEAKS = 20_000  # that are followed; the record tells of more
MOST_OF_ONE = 5_000  # that one upstream has brought
MOST_NAMES = 100  # upstreams, tools, sessions, clients that are counted of one leak, each
MOST_SOURCES = 10_000  # that are watched for being read again without the secret
REMEMBERED = timedelta(days=365)  # how long a rotated secret is known that was not seen again
LONGEST = 256  # characters of a name that is counted


class Ledger:
    """What each record means for the leaks. `owner` tells the business owner of an upstream.

    The same records in the same order lead to the same ledger: nothing else changes it but what people say.
    """

    def __init__(self, owner: Callable[[str], str] = lambda upstream: "") -> None:
        self._owner = owner
        self._sources: OrderedDict[Source, None] = OrderedDict()  # no source of a leak is missing, but over the limit
        self._followed: set[str] = set()
        self._shares: Counter[str] = Counter()  # how many of them each upstream has brought

    async def load(self, store: Store) -> None:
        """Read which leaks there are, and what they were read from."""
        for id, upstream in await store.ask(Ask("leak.ids", ())):
            self._followed.add(text_of(id))
            self._shares[text_of(upstream)] += 1
        for row in await store.ask(Ask("leak.sources", (MOST_SOURCES,))):
            self._watch(Source(*map(text_of, row)))

    def expect(self, record: Record) -> None:
        """Hear of a record whose changes are made later: what is read after it may be its source again."""
        if record.findings and (source := source_of(record)) is not None:
            self._watch(source)

    def changes(self, record: Record) -> tuple[Change, ...]:
        """What a record changes; nothing for one without findings whose source no leak has."""
        if not record.findings and not self._sources:
            return ()
        source, made = source_of(record), list[Change]()
        if source is not None and source in self._sources and read_whole(record):
            made.append(clean(source, record.at))
        for sight in sights(record):
            if not self._follows(sight, record.upstream):
                continue
            read = source if sight.read else None
            if read is not None:
                self._watch(read)
            made += _seen(record, sight, read, self._owner(record.upstream) if record.upstream else "")
        return tuple(made)

    def _follows(self, sight: Sight, upstream: str) -> bool:
        """Whether a leak is followed: one that is new only while there are not too many, or if it is our own secret.

        No upstream can take the places of the others.
        """
        if sight.leak in self._followed:
            return True
        full = len(self._followed) >= MOST_LEAKS or self._shares[upstream] >= MOST_OF_ONE
        if full and sight.grade is not Grade.EXACT:
            return False
        self._followed.add(sight.leak)
        self._shares[upstream] += 1
        return True

    def _watch(self, source: Source) -> None:
        self._sources[source] = None
        self._sources.move_to_end(source)
        if len(self._sources) > MOST_SOURCES:
            self._sources.popitem(last=False)


def _seen(record: Record, sight: Sight, source: Source | None, owner: str) -> list[Change]:
    """The changes that one sighting makes."""
    at, read = stamp(record.at), source or Source("", "", "")
    values = (sight.leak, sight.kind, sight.fingerprint, sight.grade.value, owner, at, at, at, *read)
    seen = Change("leak.see", (*values, record.id, record.id, sight.place[:LONGEST]), False)
    names = (
        ("upstream", record.upstream),
        ("tool", record.called if record.upstream and record.tool else ""),
        ("session", record.session),
        ("client", record.client),
        *(("act", act.value) for act in sight.acts),
    )
    return [seen, *(_count(sight.leak, what, name[:LONGEST], at) for what, name in names if name)]


def _count(leak: str, what: str, name: str, at: str) -> Change:
    bounds = (leak, leak, what, MOST_NAMES, leak, what, name)
    return Change("leak.count", (leak, what, name, at, *bounds), False)


def clean(source: Source, at: datetime) -> Change:
    """Note that a source was read without the leaks that were read from it before; a sighting takes it back."""
    return Change("leak.clean", (stamp(at), *source), False)


def move(before: Leak, after: Leak) -> Change:
    """Write down what a person said of a leak, if nobody said anything and it was not reopened since it was read."""
    said = (after.by, after.known_by, _text(after.at), after.note, _text(after.until), int(after.false_positive))
    counted = (stamp(after.opened_at), after.reopened, after.told)
    return Change(
        "leak.move",
        (after.state.value, *said, *counted, before.id, before.state.value, _text(before.at), before.reopened),
    )


def tell(leak: Leak, stage: int) -> Change:
    """Note that a stage of a leak was told, once."""
    return Change("leak.tell", (stage, leak.id, stage, stamp(leak.opened_at)))


def go_on(old: Leak, new: Leak | None, after: Leak) -> tuple[Change, ...]:
    """Let a leak go on under another id and fingerprint, of the present key; `new` is what stands there already."""
    source = after.source or Source("", "", "")
    values = (
        *(after.id, after.fingerprint, after.grade.value, after.state.value, stamp(after.last_seen), after.times),
        *(stamp(after.opened_at), after.reopened, after.told, *source, _text(after.clean_at), after.last_call),
        after.place,
    )
    forget = () if new is None else (Change("leak.forget", (new.id, new.times, new.state.value)),)
    return (
        *forget,
        Change("leak.go-on", (*values, old.id, old.times, old.state.value, _text(old.at))),
        Change("leak.join-counts", (after.id, old.id), False),
        Change("leak.forget-counts", (old.id,), False),
    )


def tidy(now: datetime) -> tuple[Change, ...]:
    """Forget what was rotated and not seen again for a year."""
    before = stamp(now - REMEMBERED)
    return Change("leak.tidy-counts", (before,), False), Change("leak.tidy", (before,), False)


async def find_leaks(store: Store, prefix: str) -> list[Leak]:
    """The leaks whose id begins so, two at most."""
    found = await store.ask(Ask("leak.by-prefix", (prefix, prefix + "\x7f")))
    return [await _whole(store, row) for row in found]


async def list_leaks(store: Store, state: str, after: str, limit: int) -> list[Leak]:
    """One page of leaks, as `ledger.page`."""
    found = await store.ask(Ask("leak.page", (state, state, after, after, limit)))
    return [await _whole(store, row) for row in found]


async def due_leaks(store: Store, now: datetime, limit: int) -> list[Leak]:
    """Leaks of which a stage was reached that was not told, or whose acceptance is over, the oldest first."""
    times = (stamp(now), *(stamp(now - after) for after in (DUE, OWNER_TOLD, OVERDUE)))
    return [await _whole(store, row) for row in await store.ask(Ask("leak.due", (*times, limit)))]


async def passing(store: Store, now: datetime) -> list[tuple[str, str, datetime]]:
    """Leaks that somebody said are none: id, fingerprint, and until when what has that passes."""
    found = await store.ask(Ask("leak.passing", (stamp(now),)))
    return [(text_of(id), text_of(fingerprint), unstamp(text_of(until))) for id, fingerprint, until in found]


async def of_earlier_keys(store: Store) -> dict[str, tuple[str, ...]]:
    """The fingerprints that were made with a key that was exchanged since, and the kinds that were seen with each."""
    found: dict[str, tuple[str, ...]] = {}
    for row in await store.ask(Ask("leak.older", ())):
        fingerprint, kind = map(text_of, row)
        found[fingerprint] = (*found.get(fingerprint, ()), kind)
    return found


async def _whole(store: Store, row: Sequence[Any]) -> Leak:
    return leak_of(row, await store.ask(Ask("leak.sightings", (row[0],))))


def _text(at: datetime | None) -> str:
    return stamp(at) if at is not None else ""
