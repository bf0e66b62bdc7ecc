"""What every implementation of `port.Store` has to keep: `test_contract.py` runs it against each of them.

It knows the port alone, and of the tables beside the record what `rows.py`, `people.py` and `leaks.py` say of them. An
implementation is tested through a `Bench`: that opens it, again and again at the same place, and makes what lies
beneath it fail or hang.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import anyio
import pytest

from gateway.core.merkle import EMPTY_ROOT, Tree, leaf_hash, root_of
from gateway.core.model import Kind
from gateway.core.query import PAGE_LIMIT, Query
from gateway.core.record import decode, seal, stamp
from gateway.errors import BusyError, RecordError
from gateway.store import rows
from gateway.store.port import Ask, Change, Entry, LateEntry, Store
from tests.fakes import DEADLINE, NOON, a_call
from tests.store.keep import an_entry

MOST = 5  # operations that a store of a bench lets wait
MINUTE = timedelta(minutes=1)
LATER = NOON + timedelta(hours=1)
Body = tuple[int, bytes]
Test = TypeVar("Test", bound=Callable[..., Any])


class Bench(Protocol):
    """One implementation, at one place."""

    def open(self) -> AbstractAsyncContextManager[Store]:
        """The store, until the block ends; about `MOST` operations may wait in it."""

    async def fail(self) -> None:
        """Let what lies beneath the open store refuse every write."""

    async def mend(self) -> None:
        """Let it take them again."""

    def hang(self) -> AbstractAsyncContextManager[None]:
        """What lies beneath the open store does not answer until the block ends."""


def speaks_of(*names: str) -> Callable[[Test], Test]:
    """Mark a test as the one that says what changes and questions of these names mean."""

    def marked(test: Test) -> Test:
        test.speaks_of = frozenset(names)  # type: ignore[attr-defined]  # a mark of our own
        return test

    return marked


def spoken_of(contract: type) -> frozenset[str]:
    """The names of all changes and questions of which a contract says what they mean."""
    return frozenset().union(*(getattr(getattr(contract, name), "speaks_of", ()) for name in dir(contract)))


class Noting:
    """A store that notes which changes and questions it was given; all else is the store's own."""

    def __init__(self, store: Store, names: set[str]) -> None:
        self._store, self._names = store, names

    async def append(self, entries: Sequence[Entry], changes: Sequence[Change] = ()) -> bool:
        follow = (change for entry in entries for change in entry.changes)
        self._names.update(change.name for change in (*changes, *follow))
        return await self._store.append(entries, changes)

    def queue(self, entry: Entry | LateEntry) -> None:
        if isinstance(entry, Entry):
            self._names.update(change.name for change in entry.changes)
        self._store.queue(entry)

    async def ask(self, question: Ask) -> Sequence[tuple[Any, ...]]:
        self._names.add(question.name)
        return await self._store.ask(question)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def bodies(entries: Sequence[Entry], after: int = 0) -> list[Body]:
    """The rows that these entries become behind the row `after`."""
    return [(seq, seal(seq, entry.encoded)) for seq, entry in enumerate(entries, after + 1)]


def told(found: Sequence[Body]) -> list[int]:
    """The numbers of the calls, from their records."""
    return [int(decode(body)[1].id.removeprefix("d_")) for _, body in found]


class Contract:
    """What all parts of the contract share; a class of each implementation inherits them and brings its `bench`."""

    @pytest.fixture
    def names(self) -> set[str]:
        """The changes and questions that a test used."""
        return set()

    @pytest.fixture
    def place(self, bench: Bench, names: set[str]) -> Callable[[], AbstractAsyncContextManager[Store]]:
        """Opens the store, under a deadline."""

        @asynccontextmanager
        async def opened() -> Any:
            with anyio.fail_after(DEADLINE):
                async with bench.open() as store:
                    yield Noting(store, names)

        return opened

    @pytest.fixture(autouse=True)
    def _does_what_it_says(self, request: pytest.FixtureRequest, names: set[str]) -> Any:
        """A test that speaks of a name uses it."""
        yield
        assert getattr(request.function, "speaks_of", frozenset()) <= names


class RecordContract(Contract):
    """The record: order, tree, pages; all or nothing; what happens when it can't be written."""

    # The record.

    async def test_a_new_store_is_empty(self, place: Any) -> None:
        async with place() as store:
            assert (store.size, store.tree.size, store.tree.root(), store.broken) == (0, 0, EMPTY_ROOT, "")
            assert store.gateway_id
            assert await store.tail(0, 10) == []
            assert await store.page(Query()) == []
            assert await store.by_id("d_0000000001") == []
            assert await store.leaves(0, 10) == []

    async def test_what_is_appended_has_the_next_numbers_and_its_exact_bytes(self, place: Any) -> None:
        entries = [an_entry(number) for number in range(4)]
        async with place() as store:
            assert await store.append(entries[:3])
            assert await store.append(entries[3:])
            assert store.size == 4
            assert list(await store.tail(0, 10)) == bodies(entries)

    async def test_what_is_durable_is_there_when_it_is_opened_again(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(1)], [rows.set_meta("a", "b")])
            first = (store.gateway_id, store.tree, list(await store.tail(0, 10)))
        async with place() as store:
            assert (store.gateway_id, store.tree, list(await store.tail(0, 10))) == first
            assert await rows.get_meta(store, "a") == "b"
            await store.append([an_entry(2)])
            assert [seq for seq, _ in await store.tail(0, 10)] == [1, 2]

    async def test_the_tree_is_that_of_rfc_6962_over_the_bodies(self, place: Any) -> None:
        async with place() as store:
            for size in range(1, 10):
                await store.append([an_entry(size)])
                leaves = [leaf_hash(body) for _, body in await store.tail(0, size)]
                assert list(await store.leaves(0, size)) == leaves
                assert (store.tree.size, store.tree.root()) == (size, root_of(leaves))
                assert Tree.restore(size, store.tree.frontier).root() == root_of(leaves)

    async def test_a_tree_that_was_handed_out_does_not_grow_and_can_not_be_grown(self, place: Any) -> None:
        async with place() as store:
            before = store.tree
            await store.append([an_entry(1)])
            assert before.size == 0
            store.tree.append(b"x" * 32)
            assert store.tree.size == 1

    async def test_tail_and_leaves_begin_behind_a_row_and_are_bounded(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(number) for number in range(6)])
            assert told(await store.tail(2, 3)) == [2, 3, 4]
            assert await store.tail(6, 3) == []
            everything = [leaf_hash(body) for _, body in await store.tail(0, 6)]
            assert list(await store.leaves(2, 4)) == everything[2:4]

    async def test_the_records_of_one_id_come_oldest_first(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(1), an_entry(2), an_entry(1, Kind.OUTCOME, outcome="ok")])
            assert [seq for seq, _ in await store.by_id("d_0000000001")] == [1, 3]

    async def test_the_order_is_that_of_handing_over(self, place: Any) -> None:
        async with place() as store:
            store.queue(an_entry(3))
            store.queue(an_entry(1))
            await store.append([an_entry(2)])
            store.queue(an_entry(4))
            await store.flush()
            assert told(await store.tail(0, 10)) == [3, 1, 2, 4]

    async def test_an_entry_may_be_made_after_it_was_handed_over(self, place: Any) -> None:
        made: list[int] = []

        def late(number: int) -> LateEntry:
            def make() -> Entry:
                made.append(number)
                return an_entry(number)

            return LateEntry(100, make)

        async with place() as store:
            store.queue(late(1))
            store.queue(an_entry(2))
            store.queue(late(3))
            await store.append([an_entry(4)])
            assert told(await store.tail(0, 10)) == [1, 2, 3, 4]
            store.queue(late(5))
        assert made == [1, 3, 5]
        async with place() as store:
            assert told(await store.tail(4, 10)) == [5]

    async def test_what_nobody_awaits_is_written_and_told_to_those_who_wait_for_more(self, place: Any) -> None:
        async with place() as store:
            lengths: list[int] = []

            async def wait() -> None:
                lengths.append(await store.beyond(1))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await store.append([an_entry(1)])
                await anyio.wait_all_tasks_blocked()
                assert lengths == []
                store.queue(an_entry(2))
            assert lengths == [2]
            assert await store.beyond(0) == 2

    async def test_who_waits_for_more_can_be_cancelled(self, place: Any) -> None:
        async with place() as store:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.beyond(0)
            assert scope.cancelled_caught

    async def test_what_was_queued_before_the_end_is_there_after_it(self, place: Any) -> None:
        async with place() as store:
            store.queue(an_entry(1))
        async with place() as store:
            assert told(await store.tail(0, 10)) == [1]

    async def test_nothing_is_accepted_after_the_end(self, place: Any) -> None:
        async with place() as store:
            pass
        with pytest.raises(RecordError):
            store.queue(an_entry(1))
        with pytest.raises(RecordError):
            await store.append([an_entry(1)])
        with pytest.raises(RecordError):
            await store.tail(0, 1)

    # Pages.

    async def test_a_page_is_newest_first_and_the_next_one_goes_on_by_number(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(number) for number in range(5)])
            first = await store.page(Query(limit=2))
            assert told(first) == [4, 3]
            await store.append([an_entry(9)])  # what comes in between moves nothing
            assert told(await store.page(Query(limit=2, before=first[-1][0]))) == [2, 1]
            assert told(await store.page(Query(limit=2, before=1))) == []

    async def test_a_page_is_bounded_whatever_is_asked_for(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(number) for number in range(PAGE_LIMIT + 1)])
            assert len(await store.page(Query(limit=PAGE_LIMIT * 2))) == PAGE_LIMIT

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("kind", "outcome"),
            ("kind", "signal"),
            ("session", "s2"),
            ("tool", "wipe"),
            ("upstream", "mail"),
            ("verdict", "allow"),
            ("verdict", "block"),
            ("outcome", "ok"),
            ("outcome", "error"),
            ("principal", "os:carol"),
            ("client", "cursor"),
            ("reason", "busy"),
        ],
    )
    async def test_a_page_is_filtered(self, name: str, value: str, place: Any) -> None:
        more: dict[str, Any] = {name: Kind(value) if name == "kind" else value}
        others: dict[str, Any] = {"kind": Kind.INTENT, "verdict": "ask", "outcome": "unknown"}
        async with place() as store:
            for number in range(4):
                await store.append([an_entry(number, **{**others, **(more if number % 2 else {})})])
            assert told(await store.page(Query(filters={name: value}))) == [3, 1]
            assert told(await store.page(Query(filters={name: value, "session": "nobody's"}))) == []

    async def test_a_page_is_of_one_principal_whatever_the_filters_ask_for(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(1), an_entry(2, principal="os:carol")])
            assert told(await store.page(Query(principal="os:carol"))) == [2]
            assert told(await store.page(Query(filters={"principal": "os:alice"}, principal="os:carol"))) == []

    async def test_a_page_is_of_a_time_also_where_the_clock_went_back(self, place: Any) -> None:
        hours = (1, 2, 3, 1, 2)
        entries = [an_entry(at, at=NOON + timedelta(hours=hour)) for at, hour in enumerate(hours)]
        async with place() as store:
            await store.append(entries[:3])
            back = {"expected": stamp(NOON + timedelta(hours=3)), "found": stamp(NOON)}
            await store.append([an_entry(7, Kind.CLOCK, at=NOON, extra=back)])
            await store.append(entries[3:])
            two = NOON + timedelta(hours=2)
            assert told(await store.page(Query(since=two))) == [4, 2, 1]
            assert told(await store.page(Query(until=two))) == [3, 7, 0]
            assert told(await store.page(Query(since=two, until=two + MINUTE))) == [4, 1]

    async def test_a_page_holds_all_the_words(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(1, detail="Blue whale"), an_entry(2, detail="blue bird"), an_entry(3)])
            assert told(await store.page(Query(text="BLUE"))) == [2, 1]
            assert told(await store.page(Query(text="whale blue"))) == [1]

    # All or nothing.

    async def test_entries_and_changes_happen_together_or_not_at_all(self, place: Any) -> None:
        async with place() as store:
            assert await store.append([an_entry(1)], [rows.set_meta("a", "1")])
            nothing = rows.use_approval("a_0000000009", NOON)
            assert not await store.append([an_entry(2)], [rows.set_meta("a", "2"), nothing, rows.set_meta("a", "3")])
            assert (store.size, await rows.get_meta(store, "a")) == (1, "1")
            assert await store.append([an_entry(3)], [nothing._replace(must=False), rows.set_meta("a", "4")])
            assert (told(await store.tail(0, 10)), await rows.get_meta(store, "a")) == ([1, 3], "4")

    async def test_a_key_that_is_taken_is_an_error_of_its_operation_alone(self, place: Any) -> None:
        taken = rows.insert_handle("h", a_call(), "d_0000000001", NOON, LATER)
        async with place() as store:
            await store.append((), [taken])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.append, [an_entry(1)])
                with pytest.raises(RecordError):
                    await store.append([an_entry(2)], [rows.set_meta("a", "b"), taken])
                tasks.start_soon(store.append, [an_entry(3)])
            assert (store.broken, await rows.get_meta(store, "a")) == ("", "")
            assert sorted(told(await store.tail(0, 10))) == [1, 3]

    async def test_a_change_or_question_that_nobody_knows_is_refused_before_anything_is_done(self, place: Any) -> None:
        async with place() as store:
            with pytest.raises(LookupError):
                await store.append([an_entry(1)], [rows.set_meta("a", "b"), Change("no.such", ())])
            with pytest.raises(LookupError):
                await store.ask(Ask("no.such", ()))
            assert (store.size, await rows.get_meta(store, "a")) == (0, "")

    async def test_of_many_that_want_the_same_row_one_gets_it(self, place: Any) -> None:
        won: list[int] = []

        async def use(number: int) -> None:
            if await store.append([an_entry(number)], [rows.use_handle("h", a_call(), NOON)]):
                won.append(number)

        async with place() as store:
            await store.append((), [rows.insert_handle("h", a_call(), "d_0000000001", NOON, LATER)])
            async with anyio.create_task_group() as tasks:
                for number in range(MOST):
                    tasks.start_soon(use, number)
            assert len(won) == 1
            assert told(await store.tail(0, 10)) == won

    # Cancellation, a disk that hangs, one that fails.

    async def test_who_is_cancelled_before_writes_nothing(self, place: Any) -> None:
        async with place() as store:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.append([an_entry(1)])
            await store.flush()
            assert store.size == 0

    async def test_who_is_cancelled_meanwhile_is_told_first_how_it_went(self, bench: Bench, place: Any) -> None:
        went: list[bool] = []

        async def call() -> None:
            went.append(await store.append([an_entry(1)]))
            await anyio.lowlevel.checkpoint()
            went.append(False)

        async with place() as store:
            async with anyio.create_task_group() as tasks, bench.hang():
                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert (went, store.size) == ([True], 1)

    async def test_when_too_much_waits_more_is_refused_and_what_was_accepted_is_kept(
        self, bench: Bench, place: Any
    ) -> None:
        accepted: list[int] = []
        async with place() as store:
            async with bench.hang():
                with suppress(BusyError):
                    for number in range(3 * MOST):
                        store.queue(an_entry(number))
                        accepted.append(number)
                        await anyio.wait_all_tasks_blocked()
                with pytest.raises(BusyError):
                    await store.append([an_entry(99)])
            assert MOST <= len(accepted) < 3 * MOST
            await store.beyond(len(accepted) - 1)
            assert told(await store.tail(0, 100)) == accepted

    async def test_while_nothing_can_be_written_nothing_is_accepted_and_nothing_is_lost(
        self, bench: Bench, place: Any
    ) -> None:
        async with place() as store:
            await store.append([an_entry(1)])
            async with bench.hang():
                store.queue(an_entry(2))
            await store.flush()
            await bench.fail()
            with pytest.raises(RecordError):
                await store.append([an_entry(3)], [rows.set_meta("a", "b")])
            assert store.broken
            with pytest.raises(RecordError):
                store.queue(an_entry(4))
            with pytest.raises(RecordError):
                await store.flush()
            assert (store.size, told(await store.tail(0, 10))) == (2, [1, 2])  # it can still be read
            await bench.mend()
            assert await store.append([an_entry(5)])
            assert (store.broken, await rows.get_meta(store, "a")) == ("", "")
            store.queue(an_entry(6))
        async with place() as store:
            assert told(await store.tail(0, 10)) == [1, 2, 5, 6]

    async def test_what_was_accepted_before_it_failed_is_written_first_when_it_is_mended(
        self, bench: Bench, place: Any
    ) -> None:
        async with place() as store:
            await bench.fail()
            store.queue(an_entry(1))
            with pytest.raises(RecordError):
                await store.append([an_entry(2)])
            await bench.mend()
            await store.append([an_entry(3)])
            assert told(await store.tail(0, 10)) == [1, 3]
