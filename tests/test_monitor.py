"""The monitor counts what is committed, raises signals once, and is in nobody's way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import structs

from gateway.core.model import Effect, Kind, Labels, Record, SinkKind
from gateway.core.raised import RaisedSessions
from gateway.core.remembered import raised_text
from gateway.core.session import IDLE
from gateway.core.signals import Response, Signal
from gateway.errors import BusyError, RecordError
from gateway.monitor import KEEP_EVERY, RAISED_NAME, REMEMBERED, Monitor
from gateway.records import Records
from gateway.store import Change, SqliteStore, open_store
from gateway.store.rows import get_meta, set_meta
from gateway.store.statements import CHANGES
from tests.fakes import DEADLINE, KEY, NOON, FakeClock, a_record
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


MAIL = Labels(Effect.EGRESS, sinks={"to": SinkKind.EMAIL})


def sent(to: str, day: int, session: str = "s1") -> Record:
    """The intent of a mail on some day before noon of today, which is day 0."""
    record = a_record(1, session=session, tool="send", effect="egress", arguments={"to": to})
    return structs.replace(record, at=NOON + timedelta(days=day))


async def a_past(records: Records) -> None:
    """What an identity did on five days: 60 mails to bob."""
    for day in range(-5, 0):
        for _ in range(12):
            await records.append(sent("bob@x.example", day))


@asynccontextmanager
async def watching(store: SqliteStore, said: dict[Signal, Response], key: bytes = KEY) -> AsyncIterator[Monitor]:
    """A monitor that knows labels and policy, reports to the record, and follows it."""
    clock = FakeClock()
    monitor = Monitor(store, clock, Records(store, clock).queue, key)
    monitor.labels, monitor.said = lambda upstream, tool: MAIL, lambda upstream: said
    await monitor.recall()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        yield monitor
        tasks.cancel_scope.cancel()


async def signals_on(state: Path) -> list[Record]:
    return [record for record in on_disk(state) if record.kind is Kind.SIGNAL]


@pytest.mark.parametrize("response", list(Response))
async def test_a_new_recipient_is_on_the_record_with_its_sentence_and_what_policy_says(
    tmp_path: Path, response: Response
) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await a_past(records := Records(store, FakeClock()))
            async with watching(store, {Signal.NEW_SINK: response}) as monitor:
                await monitor.reached(60)
                assert monitor.sessions()[0]["signals"] == {}
                await records.append(sent("eve@evil.example", 0))
                await monitor.reached(62)
                (item,) = monitor.sessions()
    (signal,) = await signals_on(tmp_path / "state")
    sentence = "first egress to email `eve@evil.example` by os:alice with claude-code in 60 calls on 6 days"
    assert signal.extra == {"call": "d_0000000001", "effect": response.value, "explanation": sentence}
    assert (signal.detail, signal.session, signal.principal) == ("new-sink", "s1", "os:alice")
    assert (item["signals"], item["told"][0]["explanation"]) == ({"new-sink": 1}, sentence)
    assert item["raised"] == ("new-sink" if response is Response.RAISE else "")


async def test_what_was_learnt_is_known_after_a_restart_though_its_records_are_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await a_past(records := Records(store, FakeClock()))
            async with watching(store, {}) as monitor:
                await monitor.reached(60)
                await monitor.keep()
            monkeypatch.setattr("gateway.monitor.LOOK_BACK", 1)
            async with watching(store, {}) as monitor:
                await records.append(sent("bob@x.example", 0))
                await records.append(sent("eve@evil.example", 0))
                await monitor.reached(63)
                assert monitor.sessions()[0]["signals"] == {"new-sink": 1}
            async with watching(store, {}, b"another key" * 3) as monitor:  # where nothing is known, nothing is new
                await records.append(sent("mallory@evil.example", 0))
                await monitor.reached(64)
                assert monitor.sessions()[0]["signals"] == {"new-sink": 1}


async def test_no_call_is_learnt_twice(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await a_past(records := Records(store, FakeClock()))
            for more in range(3):
                async with watching(store, {}) as monitor:
                    await monitor.reached(60 + more)
                    await records.append(sent("bob@x.example", 0))
                    await monitor.reached(61 + more)
                    await monitor.keep()
            text = await get_meta(store, REMEMBERED)
    assert '"calls":63' in text
    assert "x.example" not in text


async def test_a_signal_against_the_past_that_can_not_be_recorded_is_still_shown(tmp_path: Path) -> None:
    def full(record: Record) -> None:
        raise BusyError("full")

    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watched(store, full) as (monitor, records):
            monitor.inventory = lambda client: ("mail",)
            await records.append(sent("bob@x.example", 0))
            await monitor.reached(1)
            (item,) = monitor.sessions()
    assert (item["signals"], len(item["told"])) == ({"new-upstream": 1}, 1)


async def test_what_was_learnt_is_written_down_now_and_then(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            clock, records = FakeClock(), Records(store, FakeClock())
            monitor = Monitor(store, clock, key=KEY)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(monitor.run)
                await records.append(sent("bob@x.example", 0))
                await monitor.reached(1)
                clock.advance(KEEP_EVERY)
                await records.append(sent("bob@x.example", 0))
                while not await get_meta(store, REMEMBERED):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert '"seq":' in await get_meta(store, REMEMBERED)


async def test_a_raised_session_is_one_after_a_restart_and_before_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.monitor.RAISED", 2)
    who, names = ("os:alice", "claude-code"), [f"os:alice/claude-code/s{number}" for number in range(3)]
    again = RaisedSessions()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await a_past(records := Records(store, FakeClock()))
            async with watching(store, {Signal.NEW_SINK: Response.RAISE}) as monitor:
                for number in range(3):
                    await records.append(sent(f"e{number}@evil.example", 0, names[number]))
                await monitor.reached(66)
                while "s2" not in await get_meta(store, RAISED_NAME):
                    await anyio.lowlevel.checkpoint()
            await Monitor(store, FakeClock(), key=KEY, raised=again).recall()
    assert [again.by((*who, name)) for name in names] == ["", "new-sink", "new-sink"]


async def test_a_session_without_a_name_that_was_idle_is_no_longer_raised_and_stays_so_after_a_restart(
    tmp_path: Path,
) -> None:
    kept, clock, key = RaisedSessions(), FakeClock(), ("os:alice", "claude-code", "")
    about = a_record(1, Kind.SIGNAL, detail="new-sink", extra={"effect": "raise"}, session="s_1")
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records, monitor = Records(store, clock), Monitor(store, clock, raised=kept)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(monitor.run)
                await records.append(about)
                await monitor.reached(1)
                assert kept.called(key, clock.now()) == monitor.sessions()[0]["raised"] == "new-sink"
                clock.advance(IDLE.total_seconds() + 60)
                assert kept.called(key, clock.now()) == monitor.sessions()[0]["raised"] == ""
                await records.append(a_record(2, Kind.OUTCOME))
                while await get_meta(store, RAISED_NAME) != "[]":
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            later = RaisedSessions()
            again = Monitor(store, clock, raised=later)
            await again.recall()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(again.run)
                await again.reached(2)
                tasks.cancel_scope.cancel()
    assert later.by(key) == ""


@pytest.mark.parametrize(("hours", "raised"), [(11, "new-sink"), (13, "")])
async def test_a_start_raises_no_session_without_a_name_that_was_idle_since(
    tmp_path: Path, hours: int, raised: str
) -> None:
    clock, key, later = FakeClock(), ("os:alice", "claude-code", ""), RaisedSessions()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records, text = Records(store, clock), raised_text([(key, "new-sink")])
            await records.append(a_record(1, at=clock.now()))
            await records.append(a_record(2, at=clock.now(), client="desk"))
            await store.append((), (set_meta(RAISED_NAME, text),))
            clock.advance(hours * 3600)
            await records.append(a_record(3, at=clock.now(), client="desk"))
            await Monitor(store, clock, raised=later).recall()
    assert later.by(key) == raised


async def test_a_session_that_was_raised_just_before_a_crash_is_found_on_the_record(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records = Records(store, FakeClock())
            await records.append(a_record(1, Kind.SIGNAL, detail="new-tool", extra={"effect": "raise"}))
            await records.append(a_record(2, Kind.SIGNAL, detail="new-sink", extra={"effect": "raise"}))
            async with watched(store) as (monitor, _):
                await monitor.reached(2)
                assert monitor.sessions()[0]["raised"] == "new-tool"


@pytest.mark.parametrize("text", ["", "[", "{}", '{"mark":"x","seq":1,"identities":[],"last":{}}'])
async def test_what_is_remembered_wrongly_is_as_if_it_was_not_there(tmp_path: Path, text: str) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await store.append((), (set_meta(REMEMBERED, text), set_meta(RAISED_NAME, text)))
            async with watching(store, {}) as monitor:
                await ended(Records(store, FakeClock()), 1)
                await monitor.reached(1)


async def test_an_answer_under_two_seconds_at_tier_high_is_to_be_told(tmp_path: Path) -> None:
    def row(state: str, seconds: float, **more: Any) -> Record:
        extra = {"state": state, "call": "d_7", "votes": [], **more}
        record = a_record(1, Kind.APPROVAL, tier="high", approval="a_1", extra=extra)
        return structs.replace(record, at=NOON + timedelta(seconds=seconds))

    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watching(store, {}) as monitor:
            records = Records(store, FakeClock())
            await records.append(row("waiting", 0))
            await records.append(row("approved", 1, decided_by="os:ada"))
            await monitor.reached(3)
            (item,) = monitor.sessions()
    (told,) = item["told"]
    assert (told["signal"], told["effect"], told["call"]) == ("fast-approval", "notify", "d_7")


async def test_an_upstream_outside_the_inventory_of_a_client_is_told_at_once(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store, watching(store, {}) as monitor:
            monitor.inventory = lambda client: ("mail",) if client == "claude-code" else ()
            records = Records(store, FakeClock())
            await records.append(sent("bob@x.example", 0))
            await records.append(structs.replace(sent("bob@x.example", 0, "s2"), client="cursor"))
            await monitor.reached(3)
            assert [item["signals"] for item in monitor.sessions()] == [{}, {"new-upstream": 1}]
