"""No record, no call (promise R2): each way in which a store fails, what is refused and kept, and how it recovers."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from gateway.errors import RecordError
from gateway.schema import STORE_NAME
from gateway.store import Change, Limits, open_store
from gateway.store.batch import Batch
from gateway.store.statements import CHANGES
from tests.fakes import DEADLINE
from tests.store.faults import FAULTS, Locked
from tests.store.keep import AT_ONCE, Hang, an_entry, ids_on_disk, whole

BIG = "x" * 20_000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_store_that_fails_refuses_everything_until_a_write_succeeds(
    tmp_path: Path, fault: type[Locked]
) -> None:
    """Durable records and queued ones are refused; then all goes on, and what was accepted before is not lost."""
    broken = fault()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await store.append([an_entry(1)])
            await broken(store)
            store.queue(an_entry(2, detail=BIG))
            with pytest.raises(RecordError, match=broken.reason):
                await store.append([an_entry(3, detail=BIG)])
            with pytest.raises(RecordError, match=broken.reason):
                store.queue(an_entry(4))
            with pytest.raises(RecordError, match=broken.reason):
                await store.append([an_entry(5, detail=BIG)])
            assert broken.reason in store.broken
            await broken.mend(store)
            await store.append([an_entry(6)])
            assert not store.broken
            store.queue(an_entry(7))
    assert ids_on_disk(tmp_path / "state") == [f"d_{number:010d}" for number in (1, 2, 6, 7)]
    await whole(tmp_path / "state")


async def test_reads_alone_bring_a_mended_store_back(tmp_path: Path) -> None:
    fault = Locked()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await fault(store)
            with pytest.raises(RecordError):
                await store.append([an_entry(1)])
            await fault.mend(store)
            with pytest.raises(RecordError):
                store.queue(an_entry(2))
            while store.broken:
                await anyio.wait_all_tasks_blocked()
                await store.read(lambda db: None)
            store.queue(an_entry(3))
    assert ids_on_disk(tmp_path / "state") == ["d_0000000003"]


async def test_a_broken_store_is_not_tried_in_a_busy_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault, tried = Locked(), list[Batch]()
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        commit = store._commit

        async def noted(batch: Batch) -> None:
            tried.append(batch)
            await commit(batch)

        monkeypatch.setattr(store, "_commit", noted)
        store.queue(an_entry(1))
        await fault(store)
        with pytest.raises(RecordError):
            await store.append([an_entry(2)])
        count = len(tried)
        for _ in range(5):
            await store.read(lambda db: None)
        assert len(tried) == count
        await fault.mend(store)


async def test_a_store_that_stays_broken_does_not_keep_the_gateway_from_ending(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Locked()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await fault(store)
            store.queue(an_entry(1))
    fault.other.close()
    assert "1 records could not be written" in caplog.text


async def test_a_batch_that_fails_in_its_middle_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        await store.append([an_entry(1)])
        root = (await whole(tmp_path / "state")).root
        monkeypatch.setitem(CHANGES, "broken", "no SQL")
        with pytest.raises(RecordError):
            await store.append([an_entry(2)], [Change("meta.set", ("a", "b")), Change("broken", ())])
        assert (await whole(tmp_path / "state")).root == root
        assert await store.read(lambda db: db.execute("SELECT 1 FROM meta WHERE name = 'a'").fetchall()) == []
        await store.append([an_entry(3)])
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001", "d_0000000003"]


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET size = 0",
        "DELETE FROM head",
        "INSERT INTO record SELECT 2, body, leaf, kind, id, at, principal, client, session, upstream, tool, tier, "
        "verdict, reason, outcome, approval FROM record WHERE seq = 1",
    ],
    ids=["root", "size", "no-head", "row"],
)
async def test_an_edit_by_somebody_else_stops_the_running_gateway(tmp_path: Path, edit: str) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        await store.append([an_entry(1)])
        with closing(sqlite3.connect(tmp_path / "state" / STORE_NAME)) as db, db:
            db.execute(edit)
        with pytest.raises(RecordError, match="somebody else"):
            await store.append([an_entry(2)])
        with pytest.raises(RecordError, match="somebody else"):
            store.queue(an_entry(3))


async def test_a_disk_that_hangs_is_given_up_and_nothing_is_written_twice(tmp_path: Path) -> None:
    """The batch is on its way when its time is over; it lands after all. What was refused stays undone, or is found."""
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", Limits(linger=0.0, busy=0.0, deadline=0.05)) as store:
            hang = Hang()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store._writer.run, hang)
                await hang.begun.wait()
                store.queue(an_entry(1))
                with pytest.raises(RecordError, match="did not answer"):
                    await store.append([an_entry(2)])
                hang.let_go()
            await store.append([an_entry(3)])
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001", "d_0000000003"]
    await whole(tmp_path / "state")


async def test_a_batch_that_landed_although_it_was_given_up_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Batch.commit
    failing = [True]

    def commit_then_fail(batch: Batch, *args: object, **more: object) -> object:
        tree = commit(batch, *args, **more)  # type: ignore[arg-type]  # passed on as they came
        if failing:
            failing.clear()
            raise sqlite3.OperationalError("the answer was lost")
        return tree

    monkeypatch.setattr(Batch, "commit", commit_then_fail)
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        store.queue(an_entry(1))
        with pytest.raises(RecordError):
            await store.flush()
        assert store.size == 0
        store_is_back = await store.append([an_entry(2)])
        assert store_is_back
        assert store.size == 2
    assert ids_on_disk(tmp_path / "state") == ["d_0000000001", "d_0000000002"]
    await whole(tmp_path / "state")


async def test_an_abandoned_batch_that_has_not_begun_never_commits(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        batch = Batch([], store._tree, abandoned=True)
        with pytest.raises(RecordError):
            await store._writer.run(lambda db: batch.commit(db, store.folder.store, store._files))
        assert batch.after is None


async def test_a_store_that_can_not_be_read_says_so(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        with pytest.raises(RecordError, match="can't be read"):
            await store.read(lambda db: db.execute("SELECT * FROM nothing"))


async def test_a_caller_that_is_cancelled_while_the_disk_hangs_waits_no_longer_than_the_writers_deadline(
    tmp_path: Path,
) -> None:
    """Cancellation does not end the wait for a write that has begun; the writer's deadline does."""
    told: list[str] = []

    async def call() -> None:
        try:
            await store.append([an_entry(1)])
        except RecordError as problem:
            told.append(str(problem))

    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", Limits(linger=0.0, busy=0.0, deadline=0.05)) as store:
            hang = Hang()
            async with anyio.create_task_group() as disk:
                disk.start_soon(store._writer.run, hang)
                await hang.begun.wait()
                async with anyio.create_task_group() as calls:
                    calls.start_soon(call)
                    await anyio.wait_all_tasks_blocked()
                    calls.cancel_scope.cancel()
                hang.let_go()  # only now: the disk still hung when the caller was told
            await store.append([an_entry(2)])
    assert len(told) == 1
    assert "did not answer" in told[0]
    assert ids_on_disk(tmp_path / "state") == ["d_0000000002"]
