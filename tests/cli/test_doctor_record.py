"""`doctor` on the record, and the clock behind it: real stores, really broken."""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli.doctor import machine, store
from gateway.cli.doctor.finding import Check, Line
from tests.cli.consulting import CONFIG, case_of, configure, told, wrong
from tests.cli.recording import record
from tests.fakes import FakeClock

NOW = FakeClock().now()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    record(tmp_path / "config" / "state", checkpoint=2)
    return tmp_path


def change(home: Path, statement: str) -> None:
    """Change the store behind the gateway's back."""
    with sqlite3.connect(home / "config" / "state" / "record.db") as db:
        db.execute(statement)


def test_a_record_that_is_whole_is_told_with_its_size(home: Path) -> None:
    (found,) = told(store.store, case_of(home))
    assert (found.wrong, found.found[:10]) == (False, "3 records,")
    (found,) = told(store.tree, case_of(home))
    assert (found.wrong, "3 in all" in found.found) == (False, True)


def test_without_a_record_only_that_is_told(tmp_path: Path) -> None:
    configure(tmp_path)
    (found,) = told(store.store, case_of(tmp_path))
    assert (found.wrong, found.found) == (False, "none yet: no gateway has run with this state folder")
    for check in (store.tree, store.checkpoint, machine.clock):
        assert told(check, case_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("check", "statement", "line"),
    [
        (store.tree, "UPDATE record SET body = x'00' WHERE seq = 2", Line.TREE),
        (store.tree, "DELETE FROM record WHERE seq = 3", Line.TREE),
        (store.tree, "UPDATE head SET root = x'00'", Line.TREE),
        (store.tree, "UPDATE head SET frontier = x'00'", Line.TREE),
        (store.tree, "DELETE FROM head", Line.TREE),
        (store.tree, "DROP TABLE head", Line.TREE),
        (store.store, "PRAGMA user_version = 99", Line.STORE),
        (store.store, "DROP TABLE head", Line.STORE),
    ],
    ids=["body", "cut", "root", "frontier", "headless", "no table", "newer", "no head"],
)
def test_damage_is_told_and_verify_named(check: Check, statement: str, line: Line, home: Path) -> None:
    assert wrong(check, case_of(home)) == []
    change(home, statement)
    assert wrong(check, case_of(home)) == [(line, "")]
    assert "wardgate verify" in told(check, case_of(home))[0].do


def test_what_is_no_store_is_told(home: Path) -> None:
    (home / "config" / "state" / "record.db").write_bytes(b"no database" * 1000)
    assert wrong(store.store, case_of(home)) == [(Line.STORE, "")]
    assert wrong(store.tree, case_of(home)) == [(Line.TREE, "")]
    for check in (store.checkpoint, machine.clock):
        assert told(check, case_of(home)) == []


def test_a_record_much_larger_than_it_shall_be_is_told(home: Path) -> None:
    configure(home, CONFIG + '[record]\nsize = "16MiB"\n')
    assert wrong(store.store, case_of(home)) == []
    with (home / "config" / "state" / "record.db-wal").open("ab") as file:
        file.truncate(21 * 1024 * 1024)
    assert wrong(store.store, case_of(home)) == [(Line.STORE, "")]


def late(home: Path, hours: float) -> datetime:
    """So many hours after the records."""
    return NOW + timedelta(hours=hours)


def test_a_checkpoint_that_is_overdue_is_told_until_there_is_one(tmp_path: Path) -> None:
    configure(tmp_path)
    record(tmp_path / "config" / "state", checkpoint=0)
    case = case_of(tmp_path, {}, now=lambda: late(tmp_path, 1))
    assert wrong(store.checkpoint, case) == [(Line.CHECKPOINT, "")]
    assert wrong(store.checkpoint, case_of(tmp_path, {}, now=lambda: late(tmp_path, 0.1))) == []
    assert wrong(store.checkpoint, case_of(tmp_path, now=lambda: late(tmp_path, 1))) == []
    change(tmp_path, "UPDATE record SET kind = 'checkpoint' WHERE seq = 3")
    (found,) = told(store.checkpoint, case_of(tmp_path, {}, now=lambda: late(tmp_path, 1)))
    assert (found.wrong, found.found[-19:]) == (False, "0 records behind it")


def test_without_a_checkpoint_that_is_told(tmp_path: Path) -> None:
    configure(tmp_path)
    record(tmp_path / "config" / "state")
    (found,) = told(store.checkpoint, case_of(tmp_path))
    assert (found.wrong, found.found) == (False, "none yet")


def test_a_clock_behind_the_newest_record_is_told_until_it_is_set(home: Path) -> None:
    for hours, span in ((-1.0, "60 minutes"), (-0.01, "38 seconds"), (-72.0, "3 days"), (-5.0, "5 hours")):
        case = case_of(home, now=lambda hours=hours: late(home, hours))
        assert wrong(machine.clock, case) == [(Line.CLOCK, "")]
        assert told(machine.clock, case)[0].found == f"{span} behind the newest record"
    assert wrong(machine.clock, case_of(home, now=lambda: late(home, 0))) == []


def test_what_is_known_of_tainted_writes_is_told_before_it_is_full(tmp_path: Path) -> None:
    full = {"forms": 9, "most": 10, "told": "it takes 9 of 10 forms. forget some"}
    assert wrong(store.flow, case_of(tmp_path, {"flow": full})) == [(Line.FLOW, "")]
    assert wrong(store.flow, case_of(tmp_path, {"flow": {**full, "told": ""}})) == []
    assert told(store.flow, case_of(tmp_path, {})) == []
