"""The monitor counts what is committed, raises signals once, and is in nobody's way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from gateway.core.model import Kind, Record
from gateway.errors import BusyError, RecordError
from gateway.monitor import Monitor
from gateway.records import Records
from gateway.store import Change, SqliteStore, open_store
from gateway.store.statements import CHANGES
from tests.fakes import DEADLINE, FakeClock, a_record
from tests.store.keep import AT_ONCE, on_disk


@asynccontextmanager
async def watched(store: SqliteStore, report: object = None) -> AsyncIterator[tuple[Monitor, Records]]:
    monitor = Monitor(store, FakeClock(), report)  # type: ignore[arg-type]  # a callable or nothing
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        yield monitor, Records(store, FakeClock())
        tasks.cancel_scope.cancel()


async def ended(records: Records, count: int, outcome: str = "ok", session: str = "s1") -> None:
    for number in range(count):
        await records.append(a_record(number, Kind.OUTCOME, outcome=outcome, session=session))


async def test_sessions_are_counted_from_the_committed_record(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watched(store) as (monitor, records):
            await ended(records, 2)
            await ended(records, 1, "blocked", "s2")
            await records.append(a_record(5, Kind.START, session=""))
            await monitor.reached(4)
            first, second = monitor.sessions()
    assert (first["session"], first["calls"], first["outcomes"]) == ("s1", 2, {"ok": 2})
    assert (second["session"], second["outcomes"], second["client"]) == ("s2", {"blocked": 1}, "claude-code")


async def test_a_signal_is_recorded_once_and_not_counted_itself(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            async with watched(store, Records(store, FakeClock()).queue) as (monitor, records):
                await ended(records, 4, "blocked")
                await monitor.reached(5)
            async with watched(store, Records(store, FakeClock()).queue) as (again, _):
                await again.reached(5)
                assert again.sessions()[0]["signals"] == {"repeated-refusal": 1}
    signals = [record for record in on_disk(tmp_path / "state") if record.kind is Kind.SIGNAL]
    assert [(each.detail, each.session, each.extra["call"]) for each in signals] == [
        ("repeated-refusal", "s1", "d_0000000002")
    ]


async def test_a_honeytoken_is_counted_in_its_session_though_the_monitor_did_not_raise_it(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watched(store) as (monitor, records):
            await records.append(a_record(1, Kind.SIGNAL, detail="honeytoken"))
            await records.append(a_record(2, Kind.SIGNAL, detail="notice-failed"))
            await monitor.reached(2)
            assert monitor.sessions()[0]["signals"] == {"honeytoken": 1}


async def test_new_signals_are_heard_once_and_those_of_before_the_start_are_not(tmp_path: Path) -> None:
    heard: list[str] = []
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await Records(store, FakeClock()).append(a_record(1, Kind.SIGNAL, detail="honeytoken"))
            async with watched(store) as (monitor, records):
                monitor.on_signal.append(lambda record: heard.append(record.detail))
                await records.append(a_record(2, Kind.SIGNAL, detail="notice-failed", session=""))
                await ended(records, 1)
                await monitor.reached(3)
    assert heard == ["notice-failed"]


async def test_a_signal_that_can_not_be_recorded_is_still_shown(tmp_path: Path) -> None:
    def full(record: Record) -> None:
        raise BusyError("full")

    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watched(store, full) as (monitor, records):
            await ended(records, 1, "unknown")
            await monitor.reached(1)
            assert monitor.sessions()[0]["signals"] == {"unknown-outcome": 1}


async def test_rows_that_are_no_records_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await ended(Records(store, FakeClock()), 2)
            monkeypatch.setitem(CHANGES, "spoil", "UPDATE record SET body = x'7b7d' WHERE seq = 1")
            await store.append((), (Change("spoil", ()),))
            async with watched(store) as (monitor, _):
                await monitor.reached(2)
                assert monitor.sessions()[0]["calls"] == 1


async def test_a_monitor_that_can_not_read_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, anyio.create_task_group() as tasks:
            await ended(Records(store, clock), 1)
            tail, failures = store.tail, [RecordError("not now")]

            async def fail_once(after: int, limit: int) -> object:
                if failures:
                    raise failures.pop()
                return await tail(after, limit)

            monkeypatch.setattr(store, "tail", fail_once)
            tasks.start_soon((monitor := Monitor(store, clock)).run)
            await clock.asleep(1)
            clock.advance(1)
            await monitor.reached(1)
            tasks.cancel_scope.cancel()


async def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.monitor.SESSIONS", 2)
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watched(store) as (monitor, records):
            for number in range(4):
                await ended(records, 1, session=f"s{number}")
            await monitor.reached(4)
            assert [row["session"] for row in monitor.sessions()] == ["s2", "s3"]
