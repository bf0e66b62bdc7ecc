"""The record behind its port: durable or queued, approvals consumed once, open intents closed at start."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.core.model import Approval, ApprovalState, Held, Kind, Proof, Record, Tool
from gateway.errors import RecordError
from gateway.records import Records
from gateway.store import Entry, LateEntry, Limits, SqliteStore, open_store
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE, an_entry, on_disk, whole

TOOL: Tool = a_tool()


async def approved(store: SqliteStore, clock: FakeClock) -> Approval:
    """An approval that waits to be used."""
    approvals = Approvals(store, clock, KEY)
    held = await approvals.obtain(*a_wait(a_call(), TOOL, an_ask(Proof.LOCAL), {}), FakeCaller(budget=0))
    assert isinstance(held, Held)
    return await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL)


async def test_an_appended_record_is_on_disk_and_a_queued_one_follows(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records = Records(store, FakeClock())
        assert await records.append(a_record(1))
        assert on_disk(tmp_path / "state") == [a_record(1)]
        records.queue(a_record(2))
        await records.flush()
        assert on_disk(tmp_path / "state") == [a_record(1), a_record(2)]


async def test_what_can_not_be_written_down_is_refused_and_breaks_nothing(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records = Records(store, FakeClock())
        with pytest.raises(RecordError):
            records.queue(a_record(1, arguments={"text": "\ud800"}))
        with pytest.raises(RecordError):
            await records.append(a_record(1, extra={"number": float("nan")}, arguments={"when": object()}))
        await records.append(a_record(2))
    assert on_disk(tmp_path / "state") == [a_record(2)]


async def test_a_small_record_is_finished_later_and_never_lost(tmp_path: Path) -> None:
    def broken(record: Record) -> Record:
        raise LookupError("a bug")

    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records = Records(store, FakeClock())
        records.queue_small(a_record(1), lambda record: replace(record, detail="finished"))
        records.queue_small(a_record(2), broken)
        records.queue_small(a_record(3), lambda record: replace(record, arguments={"text": "\ud800"}))
    whole, bad, worse = on_disk(tmp_path / "state")
    assert whole == replace(a_record(1), detail="finished")
    for cut, number in ((bad, 2), (worse, 3)):
        assert (cut.id, cut.kind, cut.reason) == (a_record(number).id, Kind.INTENT, "internal")


async def test_late_entries_are_made_soon_and_before_they_are_written(tmp_path: Path) -> None:
    made = anyio.Event()

    def make() -> Entry:
        made.set()
        return an_entry(1)

    async with open_store(tmp_path / "state", Limits(linger=600.0)) as store:
        store.queue(LateEntry(10, make))
        with anyio.fail_after(30):
            await made.wait()
        assert store.size == 0
    assert len(on_disk(tmp_path / "state")) == 1


async def test_an_approval_is_used_up_with_the_intent(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records, row = Records(store, clock), await approved(store, clock)
        assert await records.append(a_record(1, approval=row.id), consume=(row.id,))
        assert (await Approvals(store, clock, KEY).show(row.id)).state is ApprovalState.USED
        assert not await records.append(a_record(2, approval=row.id), consume=(row.id,))
    assert [record.id for record in on_disk(tmp_path / "state") if record.kind is Kind.INTENT] == ["d_0000000001"]


async def test_two_calls_that_use_one_approval_at_the_same_moment_are_told_apart(tmp_path: Path) -> None:
    clock, won = FakeClock(), []

    async def use(number: int) -> None:
        won.append(await records.append(a_record(number, approval=row.id), consume=(row.id,)))

    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records, row = Records(store, clock), await approved(store, clock)
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(use, number)
    assert sorted(won) == [False] * 9 + [True]
    assert len([record for record in on_disk(tmp_path / "state") if record.kind is Kind.INTENT]) == 1


async def test_an_approval_that_is_waiting_expired_or_unknown_is_not_used(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records, row = Records(store, clock), await approved(store, clock)
        held = await Approvals(store, clock, KEY).obtain(
            *a_wait(a_call(path="b"), TOOL, an_ask(), {}), FakeCaller(budget=0)
        )
        assert isinstance(held, Held)
        assert not await records.append(a_record(1), consume=(held.approval.id,))
        assert not await records.append(a_record(1), consume=("a_0000000000",))
        clock.wall += timedelta(minutes=10)
        assert not await records.append(a_record(1), consume=(row.id,))
    assert Kind.INTENT not in [record.kind for record in on_disk(tmp_path / "state")]


async def test_intents_that_a_crash_left_open_are_closed_as_unknown(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        records = Records(store, clock)
        for number in (1, 2, 3):
            await records.append(a_record(number, arguments={"path": "a"}, tier="read" if number == 3 else "write"))
        await records.append(a_record(2, Kind.OUTCOME, outcome="ok"))
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        assert await Records(store, clock).close_open_intents() == 2
        assert await Records(store, clock).close_open_intents() == 0
    closed = on_disk(tmp_path / "state")[-2:]
    assert [(each.id, each.kind.value, each.outcome, each.reason) for each in closed] == [
        ("d_0000000001", "outcome", "unknown", "gateway-stopped"),
        ("d_0000000003", "outcome", "unknown", "gateway-stopped"),
    ]
    assert all(each.arguments is None and each.at == clock.now() for each in closed)
    await whole(tmp_path / "state")


async def test_more_open_intents_than_fit_on_a_page_are_all_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.records.SWEEP_PAGE", 2)
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        for number in range(5):
            await Records(store, FakeClock()).append(a_record(number))
        assert await Records(store, FakeClock()).close_open_intents() == 5
        await Records(store, FakeClock()).append(a_record(9))
        assert await Records(store, FakeClock()).close_open_intents() == 1


async def test_start_and_stop_are_on_the_record(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await Records(store, FakeClock()).started("revision", isolation=0)
            await Records(store, FakeClock()).stopped("idle")
            gateway = store.folder.gateway_id
    start, stop = on_disk(tmp_path / "state")
    assert (start.kind, start.policy_revision, start.extra["isolation"]) == (Kind.START, "revision", 0)
    assert (stop.kind, stop.detail, stop.extra["gateway"]) == (Kind.STOP, "idle", gateway)
