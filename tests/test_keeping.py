"""What happens beside the calls: owed outcomes, a disk that fills, a clock that goes back, and what is too old."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from gateway import keeping
from gateway.bundling import bundle
from gateway.checkpoints import Checkpoints
from gateway.config import Recording
from gateway.core.model import Kind
from gateway.keeping import Keeping
from gateway.reading import reading
from gateway.records import Records
from gateway.rotation import rotate
from gateway.store import SqliteStore, open_store, rows
from gateway.store.folder import SIGNING
from gateway.store.statements import CHANGES
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, FakeClock, a_record
from tests.store.keep import AT_ONCE, an_entry, on_disk, whole

DAY = 86_400.0


@dataclass
class FakeSpace:
    left: int = 1 << 40
    taken: int = 0

    async def free(self) -> int:
        return self.left

    async def used(self) -> int:
        return self.taken


@dataclass
class Kept:
    store: SqliteStore
    records: Records
    clock: FakeClock
    space: FakeSpace
    keeping: Keeping
    state: Path

    def kinds(self, kind: Kind) -> list[str]:
        return [record.detail for record in on_disk(self.state) if record.kind is kind]


@asynccontextmanager
async def kept(folder: Path, **how: object) -> AsyncIterator[Kept]:
    clock, space = FakeClock(), FakeSpace()
    with anyio.fail_after(DEADLINE):
        async with open_store(folder / "state", AT_ONCE) as store:
            records = Records(store, clock)
            room = Keeping(store, records, clock, Recording(**how), space)  # type: ignore[arg-type]  # a table of fields
            yield Kept(store, records, clock, space, room, folder / "state")
    await whole(folder / "state")


async def test_a_low_disk_is_told_once_until_there_is_room_again(tmp_path: Path) -> None:
    async with kept(tmp_path, low_space=100) as house:
        for left in (101, 99, 50, 200, 99):
            house.space.left = left
            await house.keeping.look()
        assert house.kinds(Kind.SIGNAL) == ["low-space", "low-space"]


async def test_a_clock_that_goes_back_is_recorded_and_one_that_goes_on_is_not(tmp_path: Path) -> None:
    async with kept(tmp_path) as house:
        house.clock.advance(3600)
        await house.keeping.look()
        assert house.kinds(Kind.CLOCK) == []
        house.clock.advance(5)
        house.clock.wall = house.clock.wall.replace(year=2020)
        await house.keeping.look()
        await house.keeping.look()
        assert house.kinds(Kind.CLOCK) == ["the clock went back"]
        await house.records.append(a_record(1))


async def test_an_owed_outcome_is_written_once(tmp_path: Path) -> None:
    async with kept(tmp_path) as house:
        await house.records.append(a_record(1))
        house.records.owe(a_record(1, Kind.OUTCOME, outcome="unknown"))
        await house.keeping.look()
        await house.keeping.look()
        assert [record.kind for record in on_disk(house.state)] == [Kind.INTENT, Kind.OUTCOME]


async def test_an_owed_outcome_that_is_on_the_disk_all_the_same_is_not_written_again(tmp_path: Path) -> None:
    async with kept(tmp_path) as house:
        await house.store.append([an_entry(1), an_entry(1, Kind.OUTCOME, outcome="ok")])
        house.records.owe(a_record(1, Kind.OUTCOME, outcome="unknown"))
        assert await house.records.sweep() == 0
        assert [record.outcome for record in on_disk(house.state)] == ["", "ok"]


async def test_what_is_owed_waits_for_a_disk_that_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with kept(tmp_path) as house:
        await house.records.append(a_record(1))
        house.records.owe(a_record(1, Kind.OUTCOME, outcome="unknown"))
        await house.store._writer.run(lambda db: db.execute("PRAGMA query_only=ON").fetchall())
        await house.keeping.look()
        assert len(on_disk(house.state)) == 1
        await house.store._writer.run(lambda db: db.execute("PRAGMA query_only=OFF").fetchall())
        await house.keeping.look()
        assert len(on_disk(house.state)) == 2


async def test_more_than_is_kept_of_what_is_owed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.records.MOST_OWED", 1)
    async with kept(tmp_path) as house:
        house.records.owe(a_record(1, Kind.OUTCOME, outcome="unknown"))
        house.records.owe(a_record(2, Kind.OUTCOME, outcome="unknown"))
        assert "can't be kept any more" in caplog.text
        assert await house.records.sweep() == 1


async def fill(house: Kept, count: int, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        record = a_record(number, Kind.OUTCOME, outcome="ok", at=house.clock.now())
        house.records.queue(record)
    await house.records.flush()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LEAST", 5)
    monkeypatch.setattr(keeping, "STEP", 4)
    monkeypatch.setattr(keeping, "PAUSE", 0.0)


@pytest.mark.usefixtures("small")
async def test_what_is_too_old_is_let_go_and_the_rest_can_be_verified(tmp_path: Path) -> None:
    async with kept(tmp_path, keep=10 * DAY) as house:
        await fill(house, 11)
        root = (await whole(house.state)).root
        house.clock.advance(11 * DAY)
        await fill(house, 10, 11)
        assert await house.keeping.prune() == 11
        assert (await rows.get_pruned(house.store)).root().hex() == root
        first = on_disk(house.state)[0]
        assert first.at == house.clock.now()
        assert house.kinds(Kind.PRUNING) != []
        assert await house.keeping.prune() == 0
        await fill(house, 3, 30)
        assert (await whole(house.state)).size == 25


@pytest.mark.usefixtures("small")
async def test_what_is_too_much_is_let_go(tmp_path: Path) -> None:
    async with kept(tmp_path, size=1000) as house:
        await fill(house, 30)
        assert await house.keeping.prune() == 0
        house.space.taken = 1500
        assert await house.keeping.prune() == 12  # to nine tenths of what it may be


@pytest.mark.usefixtures("small")
async def test_nothing_is_let_go_from_an_open_intent_on(tmp_path: Path) -> None:
    async with kept(tmp_path, keep=DAY) as house:
        await fill(house, 3)
        await house.records.append(a_record(77))
        await fill(house, 10, 10)
        house.clock.advance(3 * DAY)
        assert await house.keeping.prune() == 3
        assert on_disk(house.state)[0].id == "d_0000000077"


@pytest.mark.usefixtures("small")
async def test_the_newest_records_and_the_last_checkpoint_stay(tmp_path: Path) -> None:
    async with kept(tmp_path, keep=DAY) as house:
        await fill(house, 4)
        await house.records.append(a_record(50, Kind.CHECKPOINT))
        await fill(house, 10, 10)
        house.clock.advance(3 * DAY)
        assert await house.keeping.prune() == 4
    async with kept(tmp_path / "other", keep=DAY) as house:
        await fill(house, 8)
        house.clock.advance(3 * DAY)
        assert await house.keeping.prune() == 3


@pytest.mark.usefixtures("small")
async def test_a_pruning_that_is_cut_off_leaves_a_record_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(tmp_path, keep=DAY) as house:
        await fill(house, 20)
        house.clock.advance(3 * DAY)
        steps: list[object] = []

        async def enough(seconds: float) -> None:
            steps.append(seconds)
            if len(steps) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(house.clock, "sleep", enough)
        with pytest.raises(KeyboardInterrupt):
            await house.keeping.prune()
        assert (await rows.get_pruned(house.store)).size == 8
        await whole(house.state)


async def test_rows_that_are_not_there_are_not_said_to_be_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(tmp_path) as house:
        await fill(house, 3)
        gone = await rows.get_pruned(house.store)
        monkeypatch.setitem(
            CHANGES, "pruned.advance", "UPDATE pruned SET size = ?, frontier = ?, root = ? WHERE size < -?"
        )
        with pytest.raises(keeping.RecordError):
            await house.keeping._step(gone, 2)


@pytest.mark.usefixtures("small")
async def test_keys_that_the_record_told_of_are_told_again_before_they_are_pruned(tmp_path: Path) -> None:
    """Twice over, and no more often than needed: the checkpoints that stay count, and rows that stay are proven."""
    state = tmp_path / "state"
    async with kept(tmp_path, keep=10 * DAY) as house:
        checkpoints = Checkpoints(house.store, house.records, house.clock, Recording(), house.store.folder.signing_key)
        await checkpoints.make()
        key = await anyio.to_thread.run_sync(checkpoints._vkey)
        await fill(house, 8)
    async with open_store(state, AT_ONCE) as store:
        await rotate(store, FakeClock(), SIGNING, "os:alice")
        newer = Checkpoints(store, Records(store, FakeClock()), FakeClock(), Recording(), store.folder.signing_key)
        note = await newer.make()
    for number in range(2):
        async with kept(tmp_path, keep=10 * DAY) as house:
            house.clock.advance(20 * (number + 1) * DAY)
            await fill(house, 12, 100 * (number + 1))
            seed = house.store.folder.signing_key
            checkpoints = Checkpoints(house.store, house.records, house.clock, Recording(), seed)
            last = await checkpoints.make()
            await fill(house, 6, 100 * (number + 1) + 50)
            assert await house.keeping.prune() > 0
            told = [record.extra for record in on_disk(state) if record.kind is Kind.KEY]
            assert [each["before"] for each in told] == ["", key]
            assert len({each["key"] for each in told}) == 2
            assert await house.keeping.prune() == 0
    assert (await anyio.to_thread.run_sync(verify_folder, state, last, key)).ok
    assert (await anyio.to_thread.run_sync(verify_folder, state, note)).ok  # of rows that are gone: it says nothing now

    def proven() -> int:
        with reading(state) as db:
            (tmp_path / "bundle").write_text(json.dumps(bundle(db, "d_0000000211")), encoding="utf-8")
        words = [sys.executable, "-m", "gateway.proof", str(tmp_path / "bundle"), "--key", key]
        return subprocess.run(words, check=False, capture_output=True).returncode

    assert await anyio.to_thread.run_sync(proven) == 0
