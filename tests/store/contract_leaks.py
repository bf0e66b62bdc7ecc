"""What every implementation of `port.Store` has to keep, fourth part: the ledger of leaks, as `leaks.py` names it.

It knows no SQL and no table, only what the functions of `leaks.py` say.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.leaks import Leak, LeakState, Source, continued, leak_id
from gateway.core.model import Act, Finding, Grade, Kind, Record
from gateway.core.record import columns, encode
from gateway.store import leaks, rows
from gateway.store.leaks import Ledger
from gateway.store.port import Entry, LateEntry, Store
from tests.fakes import NOON, a_record
from tests.store.contract import MINUTE, Contract, speaks_of

DAY = timedelta(days=1)
TOKEN, KEY = Finding("github-pat", "content[0].text", "ab" * 8), Finding("private-key", "arguments.body", "cd" * 8)
LEAK = leak_id(TOKEN.kind, TOKEN.fingerprint)
NEXT = leak_id(TOKEN.kind, "ef" * 8)  # the same under another key


def a_read(number: int, *findings: Finding, **more: Any) -> Record:
    """An outcome of a read, `number` minutes after noon, in which this was found."""
    about = {"outcome": "ok", "release": "redacted", "arguments_digest": "d1", "at": NOON + number * MINUTE}
    return a_record(number, Kind.OUTCOME, findings=findings, **{**about, **more})


def entry(ledger: Ledger, record: Record) -> Entry:
    """A record as `Records` hands it over."""
    return Entry(encode(record), columns(record), ledger.changes(record))


async def see(store: Store, *records: Record, ledger: Ledger | None = None) -> None:
    """Write records down, each with what it changes in the ledger."""
    ledger = ledger or Ledger(lambda upstream: "ada")
    for record in records:
        assert await store.append((entry(ledger, record),))


async def only(store: Store) -> Leak:
    """The one leak that there is."""
    (leak,) = await leaks.list_leaks(store, "", "", 9)
    return leak


async def ids(store: Store, state: str = "", after: str = "", limit: int = 9) -> list[str]:
    """The ids of one page."""
    return [leak.id for leak in await leaks.list_leaks(store, state, after, limit)]


async def say(store: Store, leak: Leak, state: LeakState, at: datetime, **more: Any) -> Leak | None:
    """Have somebody say that a leak is in another state."""
    after = replace(leak, state=state, by="os:bob", known_by="local", at=at, **more)
    return after if await store.append((), (leaks.move(leak, after),)) else None


class LeaksContract(Contract):
    """What was seen, what was said of it, and what is due."""

    @speaks_of("leak.see", "leak.count", "leak.page", "leak.sightings", "leak.by-prefix")
    async def test_a_leak_is_found_with_all_that_saw_it(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN), a_read(2, replace(TOKEN, act=Act.FLAGGED), client="other"))
            leak = await only(store)
            assert leak == (await leaks.find_leaks(store, LEAK[:6]))[0]
            assert (leak.id, leak.kind, leak.fingerprint) == (LEAK, TOKEN.kind, TOKEN.fingerprint)
            assert (leak.state, leak.grade, leak.owner, leak.times) == (LeakState.OPEN, Grade.VENDOR, "ada", 2)
            assert (leak.first_seen, leak.last_seen, leak.opened_at) == (
                NOON + MINUTE,
                NOON + 2 * MINUTE,
                NOON + MINUTE,
            )
            assert (leak.first_call, leak.last_call) == (a_record(1).id, a_record(2).id)
            assert (leak.place, leak.clean_at, leak.reopened, leak.told) == (TOKEN.place, None, 0, 0)
            record = a_read(1)
            assert leak.source == Source(record.upstream, record.tool, "d1")
            assert leak.seen.upstreams == {record.upstream: 2}
            assert leak.seen.tools == {record.called: 2}
            assert leak.seen.clients == {"other": 1, record.client: 1}
            assert leak.seen.acts == {"flagged": 1, "redacted": 1}
            assert leak.passed == 1
            assert await leaks.find_leaks(store, "l_~") == []

    @speaks_of("leak.see")
    async def test_the_generation_of_the_key_is_noted_with_a_leak(self, place: Any) -> None:
        async with place() as store:
            await store.append((), [rows.set_meta("key", "f" * 64)])
            await see(store, a_read(1, TOKEN))
            await store.append((), [rows.set_meta("key", "e" * 64)])
            await see(store, a_read(2, TOKEN))  # of an old key's: it stays where it was first seen
            await see(store, a_read(3, KEY))
            assert [leak.generation for leak in await leaks.list_leaks(store, "", "", 9)] == ["f" * 16, "e" * 16]

    @speaks_of("leak.see")
    async def test_what_a_client_sent_is_no_source(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, KEY))
            leak = await only(store)
            assert (leak.source, leak.place) == (None, KEY.place)
            await see(store, a_read(2, replace(KEY, place="content[0].text")), a_read(3, KEY, arguments_digest="d2"))
            assert (await only(store)).source == Source("files", "write_file", "d1")

    @speaks_of("leak.count")
    async def test_names_are_counted_up_to_a_bound_and_known_ones_go_on(self, place: Any) -> None:
        async with place() as store:
            sessions = [f"s_{number:03d}" for number in range(leaks.MOST_NAMES + 1)]
            made = [a_read(number, TOKEN, session=name) for number, name in enumerate([*sessions, sessions[0]])]
            ledger = Ledger()
            await store.append([entry(ledger, record) for record in made])
            leak = await only(store)
            assert leak.times == len(made)
            assert len(leak.seen.sessions) == leaks.MOST_NAMES
            assert (leak.seen.sessions[sessions[0]], sessions[-1] in leak.seen.sessions) == (2, False)

    @speaks_of("leak.see", "leak.ids")
    async def test_no_more_are_followed_than_may_be_and_the_record_is_written_all_the_same(
        self, place: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leaks, "MOST_LEAKS", 1)
        async with place() as store:
            await see(store, a_read(1, TOKEN))
        async with place() as store:
            ledger = Ledger()
            await ledger.load(store)
            await see(store, a_read(2, KEY, TOKEN), a_read(3, KEY), ledger=ledger)
            assert (await ids(store), (await only(store)).times, store.size) == ([LEAK], 2, 3)

    @speaks_of("leak.see")
    async def test_what_follows_from_a_late_or_queued_record_is_written_with_it(self, place: Any) -> None:
        ledger = Ledger()
        async with place() as store:
            store.queue(LateEntry(100, lambda: entry(ledger, a_read(1, TOKEN))))
            store.queue(entry(ledger, a_read(2, TOKEN)))
            await store.flush()
            assert ((await only(store)).times, store.size) == (2, 2)

    @speaks_of("leak.see")
    async def test_an_operation_that_did_not_happen_saw_nothing(self, place: Any) -> None:
        async with place() as store:
            record = entry(Ledger(), a_read(1, TOKEN))
            assert not await store.append((record,), (leaks.move(a_leak(), a_leak()),))
            assert (await ids(store), store.size) == ([], 0)

    @speaks_of("leak.clean", "leak.sources")
    async def test_a_source_that_is_read_again_without_it_is_clean_until_it_shows_it_again(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN))
        async with place() as store:
            ledger = Ledger()
            await ledger.load(store)
            elsewhere = a_read(2, arguments_digest="d2")
            failed, held = a_read(3, outcome="error"), a_read(3, release="withheld")
            await see(store, elsewhere, failed, held, ledger=ledger)
            assert (await only(store)).exposed
            await see(store, a_read(4), a_read(5), ledger=ledger)
            assert (await only(store)).clean_at == NOON + 4 * MINUTE
            await see(store, a_read(6, replace(TOKEN, place="arguments.body")), ledger=ledger)
            assert (await only(store)).clean_at == NOON + 4 * MINUTE
            await see(store, a_read(7, TOKEN), ledger=ledger)
            assert (await only(store)).exposed
            await see(store, a_read(8, KEY), ledger=ledger)  # another secret: this one isn't there
            assert not (await only_of(store, LEAK)).exposed

    @speaks_of("leak.move")
    async def test_a_leak_is_moved_once_by_who_read_it_as_it_is(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN))
            leak = await only(store)
            said = {"note": "new key", "until": NOON + DAY, "false_positive": True, "told": 1}
            after = await say(store, leak, LeakState.ACCEPTED, NOON + 2 * MINUTE, **said)
            assert await only(store) == after
            assert await say(store, leak, LeakState.ROTATED, NOON + 3 * MINUTE) is None
            assert await only(store) == after

    @speaks_of("leak.see")
    async def test_a_rotated_leak_opens_again_when_it_is_seen_again_and_not_before(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN))
            await say(store, await only(store), LeakState.ROTATED, NOON + 5 * MINUTE, told=3)
            await see(store, a_read(4, TOKEN))  # read before it was rotated, and written after
            assert (await only(store)).state is LeakState.ROTATED
            await see(store, a_read(6, TOKEN))
            leak = await only(store)
            assert (leak.state, leak.reopened, leak.told, leak.opened_at) == (LeakState.OPEN, 1, 0, NOON + 6 * MINUTE)
            await see(store, a_read(7, TOKEN))
            assert (await only(store)).reopened == 1

    @speaks_of("leak.see")
    async def test_an_accepted_leak_opens_again_when_it_is_seen_after_its_expiry(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN))
            await say(store, await only(store), LeakState.ACCEPTED, NOON + 2 * MINUTE, until=NOON + 9 * MINUTE)
            await see(store, a_read(8, TOKEN))
            assert (await only(store)).state is LeakState.ACCEPTED
            await see(store, a_read(9, TOKEN))
            assert ((await only(store)).state, (await only(store)).opened_at) == (LeakState.OPEN, NOON + 9 * MINUTE)

    @speaks_of("leak.see")
    async def test_a_leak_that_is_being_rotated_goes_on_being_so(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN))
            await say(store, await only(store), LeakState.ROTATING, NOON + 2 * MINUTE)
            await see(store, a_read(3, TOKEN))
            leak = await only(store)
            assert (leak.state, leak.reopened, leak.opened_at) == (LeakState.ROTATING, 0, NOON + MINUTE)

    @speaks_of("leak.page")
    async def test_pages_begin_with_what_counts_the_oldest_first(self, place: Any) -> None:
        kinds = ("one", "two", "three", "four")
        found = [Finding(kind, "content", "ab" * 8) for kind in kinds]
        one, two, three, four = (leak_id(finding.kind, finding.fingerprint) for finding in found)
        async with place() as store:
            await see(store, *(a_read(9 - number, finding) for number, finding in enumerate(found)))
            assert await ids(store) == [four, three, two, one]
            (newest,) = await leaks.find_leaks(store, three)
            await say(store, newest, LeakState.ROTATED, NOON + DAY)
            (second,) = await leaks.find_leaks(store, two)
            await say(store, second, LeakState.ROTATING, NOON + DAY)
            assert await ids(store) == [four, two, one, three]
            assert await ids(store, limit=2) == [four, two]
            assert await ids(store, after=two) == [one, three]
            assert await ids(store, "counting", after=two) == [one]
            assert (await ids(store, "rotated"), await ids(store, "open")) == ([three], [four, one])
            assert await ids(store, after="l_NONE") == []

    @speaks_of("leak.due", "leak.tell")
    async def test_what_is_due_is_told_once_for_each_stage(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(0, TOKEN))

            async def due(days: int) -> Sequence[str]:
                return [leak.id for leak in await leaks.due_leaks(store, NOON + days * DAY, 9)]

            async def tell(stage: int, opened: datetime = NOON) -> bool:
                leak = replace(await only(store), opened_at=opened)
                return bool(await store.append((), (leaks.tell(leak, stage),)))

            assert await due(0) == [LEAK]
            assert [await tell(1), await tell(1), await tell(2, NOON + DAY)] == [True, False, False]
            assert (await due(6), await due(7)) == ([], [LEAK])
            await say(store, await only(store), LeakState.ROTATING, NOON)
            assert (await due(13), await due(14)) == ([], [LEAK])
            await tell(3)
            assert (await due(26), await due(27)) == ([], [LEAK])
            await tell(4)
            assert await due(99) == []
            await say(store, await only(store), LeakState.ACCEPTED, NOON + MINUTE, until=NOON + 50 * DAY)
            assert (await due(49), await due(50)) == ([], [LEAK])
            await say(store, await only(store), LeakState.ROTATED, NOON + 2 * MINUTE, told=0)
            assert await due(99) == []

    @speaks_of("leak.due")
    async def test_no_more_are_told_at_once_than_asked_for(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(0, TOKEN), a_read(1, KEY))
            assert [leak.id for leak in await leaks.due_leaks(store, NOON + DAY, 1)] == [LEAK]

    @speaks_of("leak.passing")
    async def test_only_a_false_positive_passes_and_only_until_then(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN))
            assert await leaks.passing(store, NOON) == []
            await say(store, await only(store), LeakState.ACCEPTED, NOON, until=NOON + DAY)
            assert await leaks.passing(store, NOON) == []
            await say(store, await only(store), LeakState.ACCEPTED, NOON, until=NOON + DAY, false_positive=True)
            assert await leaks.passing(store, NOON) == [(LEAK, TOKEN.fingerprint, NOON + DAY)]
            assert await leaks.passing(store, NOON + DAY) == []
            await say(store, await only(store), LeakState.OPEN, NOON, until=NOON + DAY, false_positive=True)
            assert await leaks.passing(store, NOON) == []

    @speaks_of("leak.tidy", "leak.tidy-counts")
    async def test_only_what_was_rotated_and_not_seen_for_a_year_is_forgotten(self, place: Any) -> None:
        later = NOON + leaks.REMEMBERED + 2 * MINUTE
        async with place() as store:
            await see(store, a_read(1, TOKEN), a_read(1, KEY))
            assert await store.append((), leaks.tidy(later))
            assert len(await ids(store)) == 2
            await say(store, await only_of(store, LEAK), LeakState.ROTATED, NOON + MINUTE)
            await store.append((), leaks.tidy(later - MINUTE))
            assert len(await ids(store)) == 2
            await store.append((), leaks.tidy(later))
            assert (await only(store)).kind == KEY.kind
            await see(store, a_read(2, TOKEN))
            assert (await only_of(store, LEAK)).seen.acts == {"redacted": 1}

    @speaks_of("leak.sources")
    async def test_as_many_sources_are_read_as_asked_for(self, place: Any) -> None:
        ledger = Ledger()
        async with place() as store:
            await see(store, a_read(1, KEY))
            await ledger.load(store)
            assert ledger.changes(a_read(2)) == ()
            await see(store, a_read(2, TOKEN))
            await ledger.load(store)
            assert [change.name for change in ledger.changes(a_read(3))] == ["leak.clean"]

    @speaks_of("leak.older", "leak.go-on", "leak.join-counts", "leak.forget-counts")
    async def test_a_leak_goes_on_under_the_next_key(self, place: Any) -> None:
        async with place() as store:
            await store.append((), [rows.set_meta("key", "e" * 64)])
            await see(store, a_read(1, TOKEN), a_read(2, replace(TOKEN, act=Act.FLAGGED)))
            assert await leaks.of_earlier_keys(store) == {}
            await store.append((), [rows.set_meta("key", "f" * 64)])
            assert await leaks.of_earlier_keys(store) == {TOKEN.fingerprint: (TOKEN.kind,)}
            old = await only(store)
            after = continued(old, NEXT, "ef" * 8, None)
            assert await store.append((), leaks.go_on(old, None, after))
            assert await only(store) == replace(old, id=NEXT, fingerprint="ef" * 8, generation="f" * 16)
            assert await leaks.of_earlier_keys(store) == {}
            assert not await store.append((), leaks.go_on(old, None, after))

    @speaks_of("leak.forget", "leak.go-on", "leak.join-counts", "leak.forget-counts")
    async def test_a_leak_that_was_seen_under_both_keys_becomes_one(self, place: Any) -> None:
        async with place() as store:
            await see(store, a_read(1, TOKEN), a_read(2, replace(TOKEN, fingerprint="ef" * 8, act=Act.FLAGGED)))
            old, new = await only_of(store, LEAK), await only_of(store, NEXT)
            after = continued(old, NEXT, new.fingerprint, new)
            await see(store, a_read(3, replace(TOKEN, fingerprint="ef" * 8)))
            assert not await store.append((), leaks.go_on(old, new, after))  # it was seen again since it was read
            new = await only_of(store, NEXT)
            after = continued(old, NEXT, new.fingerprint, new)
            assert await store.append((), leaks.go_on(old, new, after))
            leak = await only(store)
            assert (leak.id, leak.times, leak.first_seen) == (NEXT, 3, NOON + MINUTE)
            assert (leak.last_seen, leak.last_call) == (NOON + 3 * MINUTE, a_record(3).id)
            assert leak.seen.acts == {"redacted": 2, "flagged": 1}


def a_leak() -> Leak:
    """A leak that no store has."""
    return Leak(
        *("l_none", "one", "ff", "", Grade.VENDOR, LeakState.OPEN, "", NOON, NOON, 1),
        opened_at=NOON,
    )


async def only_of(store: Store, id: str) -> Leak:
    """One leak."""
    (leak,) = await leaks.find_leaks(store, id)
    return leak
