"""A power cut (promise R1): what was acknowledged is there, and nothing is damaged. A disk that forgets stands in."""

import random
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import anyio
import pytest

from gateway.core.model import Kind
from gateway.errors import GatewayError, RecordError
from gateway.schema import STORE_NAME
from gateway.store import SqliteStore, open_store
from gateway.store.rows import get_meta, set_meta
from tests.fakes import DEADLINE
from tests.store.forgetful import ITS_OWN, NORMAL, OFF, Disk
from tests.store.keep import AT_ONCE, an_entry, ids_on_disk, whole

CUTS = 40
LATEST = 1_200  # operations of the disk, the making of the store among them
WRITERS = 8
READS = 1_000_000  # numbers of records that nobody awaits


async def work(store: SqliteStore, acknowledged: set[int]) -> None:
    """Write in several tasks at once, as calls do, until the disk takes nothing any more."""

    async def write(worker: int) -> None:
        for number in count(worker, WRITERS):
            try:
                store.queue(an_entry(READS + number, Kind.OUTCOME, outcome="ok"))
                await store.append([an_entry(number)], [set_meta(f"m{number}", "there")])
            except RecordError:
                return
            acknowledged.add(number)

    async with anyio.create_task_group() as tasks:
        for worker in range(WRITERS):
            tasks.start_soon(write, worker)


async def cut_once(state: Path, seed: int, synchronous: str) -> tuple[int, int]:
    """Write until the power is cut at a random moment; returns how many rows were acknowledged and how many of them
    are lost. What is left must be whole, and rows of tables must be there with the records that they came with.
    """
    chance = random.Random(seed)
    disk, acknowledged = Disk(chance, chance.randrange(1, LATEST), synchronous), set[int]()
    with anyio.fail_after(DEADLINE):
        try:
            async with open_store(state, AT_ONCE, connector=disk.connect) as store:
                await work(store, acknowledged)
        except RecordError:
            assert not acknowledged  # it was cut while the store was made
    disk.restore()
    async with open_store(state, AT_ONCE) as store:
        there = {int(each.removeprefix("d_")) for each in ids_on_disk(state)}
        calls = {number for number in there if number < READS}
        for number in range(max(calls | acknowledged, default=0) + WRITERS):
            assert (await get_meta(store, f"m{number}") == "there") == (number in calls)
        await store.append([an_entry(READS * 2)])
    await whole(state)
    return len(acknowledged), len(acknowledged - calls)


@pytest.fixture
def seeds() -> Iterator[int]:
    """Where each cut's chance begins; printed, so that a failure can be played again."""
    first = random.getrandbits(32)
    print(f"the cuts of this test have the seeds {first} and following")
    return iter(range(first, first + CUTS))


@pytest.mark.slow
async def test_no_acknowledged_row_is_lost_or_damaged_in_forty_power_cuts(tmp_path: Path, seeds: Iterator[int]) -> None:
    written = 0
    for seed in seeds:
        acknowledged, lost = await cut_once(tmp_path / str(seed), seed, ITS_OWN)
        assert lost == 0, f"seed {seed}"
        written += acknowledged
    assert written > CUTS  # they were under load


@pytest.mark.slow
async def test_a_store_that_does_not_sync_every_commit_loses_acknowledged_rows(
    tmp_path: Path, seeds: Iterator[int]
) -> None:
    """The test above can fail: with `synchronous=NORMAL` the same cuts lose rows."""
    lost = [(await cut_once(tmp_path / str(seed), seed, NORMAL))[1] for seed in seeds]
    assert sum(lost) > 0


@pytest.mark.slow
async def test_a_store_that_never_syncs_is_damaged(tmp_path: Path, seeds: Iterator[int]) -> None:
    """Damage is seen too: a log that is brought into the file in parts and in any order does not go unnoticed."""
    damaged = 0
    for seed in seeds:
        try:
            await cut_once(tmp_path / str(seed), seed, OFF)
        except (
            AssertionError,
            GatewayError,
            sqlite3.DatabaseError,
            TypeError,
            ValueError,
        ):  # what is read is no record
            damaged += 1
    assert damaged > 0


async def test_a_cut_leaves_sectors_of_unsynced_writes_and_all_of_synced_ones(tmp_path: Path) -> None:
    """The stand-in itself: over many cuts, parts of the last commit are there, and all of the one before."""
    left = set[int]()
    for seed in range(12):
        state, disk = tmp_path / str(seed), Disk(random.Random(seed))
        async with open_store(state, AT_ONCE, connector=disk.connect) as store:
            await store.append([an_entry(1)])
            disk.cut_at = disk.operations + 6
            with pytest.raises(RecordError):
                await store.append([an_entry(2)])
            assert disk.is_cut
        disk.restore()
        left.add((state / f"{STORE_NAME}-wal").stat().st_size)
        assert ids_on_disk(state) == ["d_0000000001"]
    assert len(left) > 1
