"""A disk that fails beneath SQLite (promises R1, R2): full, read-only or broken, at the start of a batch, in its middle
and at its last sync. What is refused is not acknowledged, what was acknowledged outlasts a power cut right after.
"""

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import apsw
import pytest

from gateway.config import Recording
from gateway.core.model import Kind
from gateway.errors import RecordError
from gateway.keeping import Keeping, Space
from gateway.records import Records
from gateway.store import Change, open_store
from gateway.store.rows import get_meta, set_meta
from tests.fakes import DEADLINE, FakeClock
from tests.store.forgetful import Disk
from tests.store.keep import AT_ONCE, an_entry, ids_on_disk, on_disk, whole

BIG = "x" * 20_000  # several pages, so that a batch has a middle


def failing(code: int, operation: str, good: int) -> Callable[[str, str], int | None]:
    """A fault: `good` operations of this kind are done, all that follow fail."""
    left = good

    def fault(asked: str, _: str) -> int | None:
        nonlocal left
        if asked != operation:
            return None
        left -= 1
        return code if left < 0 else None

    return fault


def well(_: str, __: str) -> int | None:
    """No fault."""
    return None


FAULTS = [
    pytest.param(apsw.SQLITE_FULL, "write", 0, "the disk is full", id="full"),
    pytest.param(apsw.SQLITE_FULL, "write", 5, "the disk is full", id="full-in-the-middle"),
    pytest.param(apsw.SQLITE_READONLY, "write", 0, "it is read-only", id="read-only"),
    pytest.param(apsw.SQLITE_IOERR, "write", 0, "the disk failed", id="broken"),
    pytest.param(apsw.SQLITE_IOERR, "write", 5, "the disk failed", id="broken-in-the-middle"),
    pytest.param(apsw.SQLITE_IOERR_FSYNC, "sync", 0, "the disk failed", id="not-synced"),
]


@pytest.mark.parametrize(("code", "operation", "good", "reason"), FAULTS)
async def test_a_batch_that_the_disk_refuses_is_refused_whole_and_the_next_one_is_kept(
    tmp_path: Path, code: int, operation: str, good: int, reason: str
) -> None:
    state, disk = tmp_path / "state", Disk(random.Random(code))
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE, connector=disk.connect) as store:
            assert await store.append([an_entry(1)])
            disk.fault = failing(code, operation, good)
            with pytest.raises(RecordError, match=reason):
                await store.append([an_entry(2, detail=BIG), an_entry(3, detail=BIG)], [set_meta("a", "b")])
            with pytest.raises(RecordError, match=reason):
                store.queue(an_entry(4))
            assert [seq for seq, _ in await store.tail(0, 10)] == [1]
            assert (store.size, await get_meta(store, "a")) == (1, "")
            disk.fault = well
            assert await store.append([an_entry(5)])
            disk.cut()
    disk.restore()
    assert ids_on_disk(state) == ["d_0000000001", "d_0000000005"]
    await whole(state)


@pytest.mark.parametrize(("code", "operation", "good", "reason"), FAULTS)
async def test_a_store_that_can_not_write_does_not_open(
    tmp_path: Path, code: int, operation: str, good: int, reason: str
) -> None:
    state = tmp_path / "state"
    async with open_store(state, AT_ONCE) as store:
        await store.append([an_entry(1)])
    disk = Disk(random.Random(code))
    disk.fault = failing(code, operation, 0)
    with pytest.raises(RecordError, match=reason):
        async with open_store(state, AT_ONCE, connector=disk.connect):
            pass
    assert ids_on_disk(state) == ["d_0000000001"]


@pytest.mark.parametrize("good", range(12))
async def test_a_power_cut_after_a_batch_that_failed_anywhere_leaves_it_whole_or_not_at_all(
    tmp_path: Path, good: int
) -> None:
    """A sync that failed says nothing of what is on the disk: the refused batch may be there, but not in parts."""
    state, disk = tmp_path / "state", Disk(random.Random(good))
    async with open_store(state, AT_ONCE, connector=disk.connect) as store:
        await store.append([an_entry(1)])
        done = 0

        def fault(_: str, __: str) -> int | None:
            nonlocal done
            done += 1
            return apsw.SQLITE_IOERR if done > good else None

        disk.fault = fault
        with pytest.raises(RecordError):
            await store.append([an_entry(2, detail=BIG), an_entry(3)], [set_meta("a", "b")])
        disk.cut()
    disk.restore()
    async with open_store(state, AT_ONCE) as store:
        there = await get_meta(store, "a") == "b"
    assert ids_on_disk(state) == [f"d_{number:010d}" for number in ((1, 2, 3) if there else (1,))]
    await whole(state)


async def test_an_operation_that_breaks_a_constraint_in_the_middle_of_a_batch_takes_no_other_with_it(
    tmp_path: Path,
) -> None:
    """All of them are in one transaction; only the one that fails is taken out of it."""
    handle = Change("handle.open", (b"h", *[""] * 10))
    refused: list[int] = []

    async def put(number: int) -> None:
        try:
            await store.append([an_entry(number)], [set_meta(f"m{number}", "there"), handle])
        except RecordError:
            refused.append(number)

    state = tmp_path / "state"
    async with open_store(state, AT_ONCE) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(put, number)
                tasks.start_soon(store.append, [an_entry(10 + number)])
        assert len(refused) == 4
        kept = {number for number in range(5) if await get_meta(store, f"m{number}")}
    assert kept == set(range(5)) - set(refused)
    assert len(ids_on_disk(state)) == 6
    await whole(state)


@pytest.mark.parametrize(("limit", "told"), [(0, []), (1 << 60, ["low-space"])], ids=["enough", "low"])
async def test_a_disk_is_seen_to_be_nearly_full_before_it_is(tmp_path: Path, limit: int, told: list[str]) -> None:
    clock = FakeClock()
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records, space = Records(store, clock), Space(store.folder.store, store.used)
        assert await space.free() > 0
        await Keeping(store, records, clock, Recording(low_space=limit), space).look()
        assert await space.used() == await store.used()
    found = on_disk(tmp_path / "state")
    assert [record.detail for record in found if record.kind is Kind.SIGNAL] == told
