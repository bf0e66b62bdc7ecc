"""The writer: what is acknowledged is on the disk, in order, in one tree, with few commits."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.model import Shown
from gateway.errors import BusyError, RecordError, StateError
from gateway.schema import STORE_NAME, VERSION
from gateway.store import Change, Limits, open_store, rows
from tests.fakes import DEADLINE
from tests.store.contract_tables import an_approval
from tests.store.keep import AT_ONCE, Hang, an_entry, ids_on_disk, on_disk, whole


def put(name: str) -> Change:
    return Change("connection.keep", (name, "", "", "", "", b"{}", ""))


def drop(name: str, *, must: bool = True) -> Change:
    return Change("connection.forget", (name,), must)


async def test_what_was_written_is_on_the_disk_when_the_writer_says_so(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        assert await store.append([an_entry(1), an_entry(2)])
        assert ids_on_disk(tmp_path / "state") == ["d_0000000001", "d_0000000002"]
        assert store.size == 2
    assert (await whole(tmp_path / "state")).size == 2


async def test_the_disk_is_asked_to_keep_every_commit(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        modes = await store._writer.run(
            lambda db: (
                db.execute("PRAGMA journal_mode").fetchone()[0],
                db.execute("PRAGMA synchronous").fetchone()[0],
            )
        )
    assert modes == ("wal", 2)


async def test_a_store_belongs_to_the_first_gateway_that_its_configuration_names(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for owner in ("", "alpha", "", "alpha"):
        async with open_store(state, AT_ONCE, owner=owner) as store:
            await store.append([an_entry(store.size)])
    with pytest.raises(StateError, match="belongs to the gateway `alpha`, and this configuration is of `beta`") as told:
        async with open_store(state, AT_ONCE, owner="beta"):
            pytest.fail("it was opened")
    assert str(state) in str(told.value)
    assert '`id = "alpha"`' in str(told.value)
    assert len(on_disk(state)) == 4


async def test_the_order_is_the_order_of_handing_over(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        store.queue(an_entry(3))
        store.queue(an_entry(1))
        await store.append([an_entry(2)])
        store.queue(an_entry(4))
    assert ids_on_disk(tmp_path / "state") == [f"d_{number:010d}" for number in (3, 1, 2, 4)]
    await whole(tmp_path / "state")


async def test_many_that_wait_share_a_commit(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store, anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(store.append, [an_entry(number)])
        before = await store.read(lambda db: db.execute("PRAGMA data_version").fetchone()[0])
        tasks.start_soon(store.flush)
    assert before
    assert len(on_disk(tmp_path / "state")) == 300
    await whole(tmp_path / "state")


async def test_rows_that_nobody_awaits_are_written_without_being_asked_for(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            store.queue(an_entry(1))
            assert await store.beyond(0) == 1


async def test_a_crowd_does_not_linger(tmp_path: Path) -> None:
    limits = Limits(linger=3600.0, crowd=5)
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", limits) as store:
            for number in range(5):
                store.queue(an_entry(number))
            assert await store.beyond(4) == 5


async def test_closing_does_not_linger_and_loses_nothing(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", Limits(linger=3600.0)) as store:
            await anyio.wait_all_tasks_blocked()
            store.queue(an_entry(1))
            await anyio.wait_all_tasks_blocked()
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001"]


async def test_batches_are_bounded_and_nothing_is_left_behind(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", Limits(linger=0.0, batch=3)) as store:
        for number in range(10):
            store.queue(an_entry(number))
        await store.flush()
        assert store.size == 10
    await whole(tmp_path / "state")


async def test_changes_and_entries_happen_together_or_not_at_all(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        assert await store.append([an_entry(1)], [put("a")])
        assert not await store.append([an_entry(2)], [put("b"), drop("nothing")])
        assert await store.append([an_entry(3)], [drop("nothing", must=False)])
        names = await store.read(lambda db: {row[0] for row in db.execute("SELECT id FROM connection")})
    assert names == {"a"}
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001", "d_0000000003"]
    await whole(tmp_path / "state")


async def test_a_change_that_breaks_a_constraint_fails_alone(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        handle = Change("handle.open", (b"h", *[""] * 10))
        await store.append([], [handle])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.append, [an_entry(1)])
            with pytest.raises(RecordError):
                await store.append([an_entry(2)], [handle])
        assert not store.broken
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001"]


async def test_two_that_compete_for_one_row_are_told_apart(tmp_path: Path) -> None:
    won: list[bool] = []

    async def compete() -> None:
        won.append(await store.append([an_entry(1)], [drop("prize")]))

    async with open_store(tmp_path / "state", AT_ONCE) as store:
        await store.append([], [put("prize")])
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(compete)
        assert sorted(won) == [False] * 7 + [True]
        assert store.size == 1


async def test_a_full_queue_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", Limits(linger=3600.0, queue=3)) as store:
        for number in range(3):
            store.queue(an_entry(number))
        with pytest.raises(BusyError):
            store.queue(an_entry(4))
        with pytest.raises(BusyError):
            await store.append([an_entry(5)])
    assert len(on_disk(tmp_path / "state")) == 3


async def test_the_queue_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", Limits(linger=3600.0, queue_bytes=2000)) as store:
        with pytest.raises(BusyError):
            store.queue(an_entry(1, detail="x" * 2000))
        store.queue(an_entry(2))
        await store.flush()
        assert store._bytes == 0


async def test_a_caller_that_is_cancelled_in_a_commit_has_its_row_on_the_disk(tmp_path: Path) -> None:
    reached: list[str] = []

    async def call() -> None:
        await store.append([an_entry(1)])
        reached.append("acknowledged")
        await anyio.lowlevel.checkpoint()
        reached.append("went on")

    async with open_store(tmp_path / "state", AT_ONCE) as store:
        hang = Hang()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store._writer.run, hang)
            await hang.begun.wait()
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            hang.let_go()
        assert reached == ["acknowledged"]
        assert store.size == 1


async def test_a_caller_that_is_cancelled_before_writes_nothing(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.append([an_entry(1)])
        await store.flush()
        assert store.size == 0


async def test_a_gateway_that_is_cancelled_writes_what_is_queued(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with open_store(tmp_path / "state", Limits(linger=3600.0)) as store:
            store.queue(an_entry(1))
            scope.cancel()
            await anyio.sleep_forever()
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001"]


async def test_an_error_in_the_house_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with open_store(tmp_path / "state", AT_ONCE):
            raise KeyError("house")


async def test_nothing_is_accepted_after_the_end(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        pass
    with pytest.raises(RecordError):
        store.queue(an_entry(1))
    with pytest.raises(RecordError):
        await store.append([an_entry(1)])
    with pytest.raises(RecordError):
        await store.read(lambda db: None)


async def test_the_record_goes_on_after_a_restart(tmp_path: Path) -> None:
    for start in range(3):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            assert store.size == start
            await store.append([an_entry(start)])
    assert (await whole(tmp_path / "state")).size == 3


async def test_a_second_gateway_is_refused(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE):
        with pytest.raises(StateError, match="another gateway"):
            async with open_store(tmp_path / "state", AT_ONCE):
                pass


async def made(state: Path, count: int = 2) -> None:
    async with open_store(state, AT_ONCE) as store:
        for number in range(count):
            await store.append([an_entry(number)])


def edited(state: Path, statement: str) -> None:
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute(statement)


async def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    await made(tmp_path / "state")
    edited(tmp_path / "state", f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(StateError, match="newer"):
        async with open_store(tmp_path / "state", AT_ONCE):
            pass


async def test_a_store_of_another_gateway_is_refused(tmp_path: Path) -> None:
    await made(tmp_path / "one")
    await made(tmp_path / "other")
    (tmp_path / "one" / STORE_NAME).replace(tmp_path / "other" / STORE_NAME)
    with pytest.raises(StateError, match="belongs to another gateway"):
        async with open_store(tmp_path / "other", AT_ONCE):
            pass


async def test_another_key_is_refused(tmp_path: Path) -> None:
    await made(tmp_path / "state")
    (tmp_path / "state" / "key").write_bytes(b"y" * 32)
    with pytest.raises(StateError, match="belongs to another gateway"):
        async with open_store(tmp_path / "state", AT_ONCE):
            pass


async def test_a_record_that_is_gone_is_no_beginning(tmp_path: Path) -> None:
    await made(tmp_path / "state")
    (tmp_path / "state" / STORE_NAME).unlink()
    with pytest.raises(StateError, match="is gone"):
        async with open_store(tmp_path / "state", AT_ONCE):
            pass


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    await made(tmp_path / "state")
    (tmp_path / "state" / STORE_NAME).write_bytes(b"no database, and long enough to be read as one" * 100)
    with pytest.raises(RecordError, match="no store"):
        async with open_store(tmp_path / "state", AT_ONCE):
            pass


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE head SET size = 3",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET frontier = zeroblob(64)",
        "DELETE FROM head",
        "DELETE FROM record WHERE seq = 2",
        "UPDATE record SET leaf = zeroblob(32) WHERE seq = 2",
        "UPDATE record SET body = 'no bytes' WHERE seq = 2",
    ],
)
async def test_a_record_whose_end_does_not_fit_its_head_does_not_start(tmp_path: Path, edit: str) -> None:
    await made(tmp_path / "state")
    edited(tmp_path / "state", edit)
    with pytest.raises(RecordError, match="wardgate verify"):
        async with open_store(tmp_path / "state", AT_ONCE):
            pass


async def test_a_clock_that_goes_back_changes_neither_order_nor_tree(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        for number in (3, 1, 2):
            await store.append([an_entry(number)])  # its number is its time, too
    assert ids_on_disk(tmp_path / "state") == [f"d_{number:010d}" for number in (3, 1, 2)]
    await whole(tmp_path / "state")


async def test_used_counts_pages_that_hold_something(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        before = await store.used()
        await store.append([an_entry(1, detail="x" * 100_000)])
        grown = await store.used()
        await store.append((), [Change("record.prune", (1,))])
        assert before + 90_000 < grown
        assert await store.used() < before + 10_000


async def test_an_approval_of_an_earlier_gateway_that_tells_less_can_be_read(tmp_path: Path) -> None:
    row = replace(an_approval(), method="", shown=Shown(), rules=(), labels="", pins={}, free=())
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        assert await store.append((), (rows.insert_approval(an_approval(), limit=1),))
    with closing(sqlite3.connect(tmp_path / "state" / STORE_NAME)) as db, db:
        names = ("method", "shown", "rules", "labels", "pins", "free", "tainted", "follows")
        later = ", ".join(f"'$.{name}'" for name in names)
        db.execute(f"UPDATE approval SET card = CAST(json_remove(card, {later}) AS BLOB)")
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        assert await rows.find_approvals(store, row.id) == [row]
