"""How tools are used: counted from the record, with a summary that is worth nothing without it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from gateway import usage
from gateway.core.inventory import Use
from gateway.core.merkle import Tree
from gateway.core.model import Kind, Record
from gateway.core.record import columns, encode, stamp
from gateway.reading import reading
from gateway.store import Entry, open_store, rows
from gateway.usage import FILE_NAME, Tally, Usage, catch_up, counted, fits, load, seq_at
from tests.fakes import DEADLINE, NOON, FakeClock, a_record
from tests.store.keep import AT_ONCE

SEND, LOOK = ("files", "write_file"), ("files", "look")


def call(at: datetime, tool: str = "write_file", outcome: str = "ok", **more: Any) -> Record:
    return a_record(1, Kind.OUTCOME, at=at, tool=tool, outcome=outcome, **more)


async def fill(state: Path, records: Sequence[Record]) -> None:
    async with open_store(state, AT_ONCE) as store:
        for record in records:
            await store.append([Entry(encode(record), columns(record))])


def days(count: float) -> datetime:
    """So many days before noon."""
    return NOON - timedelta(days=count)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A record with uses of one tool, and of others nearly that."""
    waiting, approved = {"state": "waiting"}, {"state": "approved"}
    records = [
        call(days(40)),
        call(days(40), tool="look"),
        call(days(29), outcome="error"),
        call(days(20), upstream="mail"),
        call(days(10), outcome="blocked"),
        a_record(1, Kind.APPROVAL, at=days(9), extra=waiting, arguments={"state": "approved"}),
        a_record(1, Kind.APPROVAL, at=days(8), extra=approved),
        a_record(1, Kind.CATALOGUE, at=days(7), extra={"tools": {"changed": {"files__write_file": "d"}, "added": {}}}),
        a_record(1, Kind.CATALOGUE, at=days(7), extra={"tools": ["of another shape"], "state": "approved"}),
        call(days(3), outcome="unknown"),
        a_record(1, at=days(2)),
        call(days(1), outcome="denied"),
        call(days(0), tool=""),
    ]
    anyio.run(fill, tmp_path / "state", records)
    return tmp_path / "state"


def used(state: Path, now: datetime = NOON) -> tuple[Use, Use]:
    found = counted(state, now, [SEND, LOOK])
    assert found.lacking == ""
    return found.tally.use(*SEND, now.date()), found.tally.use(*LOOK, now.date())


def test_calls_that_were_let_through_and_approvals_of_thirty_days_are_counted(state: Path) -> None:
    written, looked = used(state)
    assert written == Use(stamp(days(3)), 2, 1)
    assert looked == Use(stamp(days(40)), 0, 0)  # by the index of tools: it is older than what is counted
    assert used(state, NOON + timedelta(days=27))[0] == Use(stamp(days(3)), 0, 0)
    found = counted(state, NOON, [SEND])
    assert found.begin == days(40)
    assert found.tally.changed == {"files__write_file": stamp(days(7))}
    assert not (state / FILE_NAME).exists()  # who only reads writes nothing


def test_a_name_that_another_upstream_has_tells_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "LOOKED", 1)
    assert used(state)[1].last == stamp(days(40))
    found = counted(state, NOON + timedelta(days=60), [("mail", "look"), ("other", "write_file")])
    assert found.tally.last == {}


def kept(state: Path, clock: FakeClock) -> Usage:
    room = Usage(state, clock)
    while room.look():
        pass
    return room


def test_a_summary_gives_the_same_as_counting(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "STEP", 1)
    before = used(state)
    kept(state, FakeClock()).keep()
    assert load(state) is not None
    assert used(state) == before
    anyio.run(fill, state, [call(NOON), call(NOON, tool="look")])
    written, looked = used(state)
    assert (written.calls, looked) == (before[0].calls + 1, Use(stamp(NOON), 1, 0))
    again = kept(state, FakeClock())  # goes on where it was
    again.keep()
    assert used(state) == (written, looked)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"upto": 3, "leaf": "00", "last": {"files/write_file": "2099"}}'])
def test_a_summary_of_another_record_is_worth_nothing(state: Path, content: bytes) -> None:
    before = used(state)
    (state / FILE_NAME).write_bytes(content)
    assert used(state) == before
    kept(state, FakeClock()).keep()
    assert used(state) == before
    assert msgspec.json.decode((state / FILE_NAME).read_bytes())["last"]["files/write_file"] == stamp(days(3))


@pytest.mark.parametrize("wrong", [{"last": "soon"}, {"changed": "soon"}, {"days": "soon"}, {"larger": ""}])
def test_a_summary_that_holds_no_times_or_is_too_large_is_counted_anew(
    state: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    kept(state, FakeClock()).keep()
    content = msgspec.json.decode((state / FILE_NAME).read_bytes())
    for name, text in wrong.items():
        match name:
            case "days":
                content[name][text] = {"files/write_file": (7, 7)}
            case "larger":
                monkeypatch.setattr(usage, "LARGEST", 40)
            case _:
                content[name]["files/write_file"] = text
    (state / FILE_NAME).write_bytes(msgspec.json.encode(content))
    assert load(state) is None


async def let_go(state: Path) -> None:
    """Let go of all rows but a new one."""
    async with open_store(state, AT_ONCE) as store:
        tree = Tree()
        for leaf in await store.leaves(0, store.size):
            tree.append(leaf)
        await store.append([Entry(encode(call(NOON)), columns(call(NOON)))], rows.prune(0, tree))


def test_a_summary_outlives_the_rows_that_were_let_go(state: Path) -> None:
    kept(state, FakeClock()).keep()
    anyio.run(let_go, state)
    assert counted(state, NOON, [SEND]).tally.use(*SEND, NOON.date()).calls == 3
    (state / FILE_NAME).unlink()
    assert counted(state, NOON, [SEND]).tally.use(*SEND, NOON.date()).calls == 1
    with reading(state) as db:
        assert not fits(db, Tally())


def test_rows_that_are_let_go_before_they_were_counted_end_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "STEP", 1)
    first = Usage(state, FakeClock())
    assert first.look()
    first.keep()
    begun = load(state)
    assert begun is not None
    anyio.run(let_go, state)
    kept(state, FakeClock()).keep()
    found = load(state)
    assert found is not None
    assert (begun.upto, found.upto) == (7, 14)  # of 14 rows 13 were let go
    assert found.last["files/write_file"] == stamp(NOON)
    with reading(state) as db:
        assert usage.behind(db, begun) == 1


def test_what_is_far_behind_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "BEHIND", 4)
    found = counted(state, NOON, [SEND])
    assert found.tally.use(*SEND, NOON.date()) == Use(stamp(days(3)), 1, 0)
    assert "not counted yet" in found.lacking


def test_names_without_end_take_no_room_without_end(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_TOOLS", 2)
    names = [call(NOON - timedelta(minutes=9 - number), tool=f"made-up-{number}") for number in range(5)]
    anyio.run(fill, state, names)
    room = kept(state, FakeClock())
    room.keep()
    found = load(state)
    assert found is not None
    assert len(found.last) == 2
    assert {len(counts) for counts in found.days.values()} <= {1, 2}
    assert "files/made-up-4" in found.last


def test_what_was_read_by_uri_is_no_tool(state: Path) -> None:
    read = [call(NOON, tool=f"file:///made/up/{number}", method="resources/read") for number in range(3)]
    given = a_record(1, Kind.APPROVAL, at=NOON, tool="file:///x", method="resources/read", extra={"state": "approved"})
    anyio.run(fill, state, [*read, given])
    kept(state, FakeClock()).keep()
    assert b"file:" not in (state / FILE_NAME).read_bytes()


def test_days_are_forgotten(state: Path) -> None:
    clock = FakeClock()
    room = kept(state, clock)
    clock.advance(86_400 * 40)
    room.keep()
    found = load(state)
    assert found is not None
    assert (found.days, found.last["files/write_file"]) == ({}, stamp(days(3)))


@pytest.mark.parametrize(("at", "seq"), [(41, 0), (35, 2), (9.5, 5), (-1, 13)])
def test_the_row_before_a_time_is_found(state: Path, at: float, seq: int) -> None:
    with reading(state) as db:
        assert seq_at(db, days(at)) == seq


def test_an_empty_record_has_nothing_to_count(tmp_path: Path) -> None:
    anyio.run(fill, tmp_path / "state", [])
    found = counted(tmp_path / "state", NOON, [SEND])
    assert (found.tally.use(*SEND, NOON.date()), found.begin, found.lacking) == (Use(), None, "")
    with reading(tmp_path / "state") as db:
        assert seq_at(db, NOON) == 0
        assert not catch_up(db, Tally(), 5)


async def test_a_room_counts_until_it_is_cancelled_and_writes_down_what_it_has(state: Path) -> None:
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Usage(state, clock, lambda: 1).run)
            await clock.asleep(1)
            assert await anyio.to_thread.run_sync(load, state) is None  # there is no hurry
            clock.advance(usage.KEEP_TIME)
            await clock.asleep(1)
            tasks.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(load, state) is not None


def test_a_record_that_can_not_be_read_is_tried_again_and_a_summary_that_can_not_be_written_too(state: Path) -> None:
    hidden = state / "record.db"
    hidden.rename(state / "elsewhere.db")
    room = Usage(state, FakeClock())
    assert not room.look()
    (state / "elsewhere.db").rename(hidden)
    while room.look():
        pass
    (state / FILE_NAME).mkdir()
    room.keep()
    (state / FILE_NAME).rmdir()
    room.keep()
    assert load(state) is not None


def test_a_row_that_is_no_record_is_passed_over(state: Path) -> None:
    with closing(sqlite3.connect(state / "record.db")) as db:
        db.execute("UPDATE record SET body = x'00' WHERE kind = 'approval'")
        db.commit()
    assert used(state)[0] == Use(stamp(days(3)), 2, 0)
