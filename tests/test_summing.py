"""Sessions summed up from the record: whose, how much, in which order, and never without bound."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway import summing
from gateway.core.model import Kind
from gateway.core.record import stamp
from gateway.reading import reading
from gateway.store import Change, open_store
from gateway.store.statements import CHANGES
from gateway.summing import sessions_of
from tests.fakes import a_record
from tests.store.keep import AT_ONCE, an_entry


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three sessions, one of them of two principals, and rows of none."""
    rows = [
        an_entry(1, Kind.START, session="", principal=""),
        an_entry(2, session="a"),
        an_entry(3, Kind.OUTCOME, outcome="ok", session="a"),
        an_entry(4, Kind.OUTCOME, outcome="unknown", session="b", client="cursor"),
        an_entry(5, Kind.SIGNAL, detail="unknown-outcome", session="b"),
        an_entry(6, Kind.APPROVAL, session="c", extra={"state": "waiting"}),
        an_entry(7, Kind.OUTCOME, outcome="denied", session="a"),
        an_entry(8, Kind.OUTCOME, outcome="ok", session="c", principal="os:bob"),
        an_entry(9, Kind.STOP, session="", principal=""),
    ]

    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await store.append(rows)

    anyio.run(fill)
    return tmp_path / "state"


def summed(state: Path, principal: str = "", limit: int = 50) -> list[dict[str, Any]]:
    with reading(state) as db:
        return sessions_of(db, principal, limit)


def test_the_session_that_was_active_last_comes_first(state: Path) -> None:
    assert [item["session"] for item in summed(state)] == ["c", "a", "b"]
    assert [item["session"] for item in summed(state, limit=2)] == ["c", "a"]


def test_a_session_tells_who_and_what_and_when(state: Path) -> None:
    third, first, second = summed(state)
    assert (first["principal"], first["calls"], first["outcomes"]) == ("os:alice", 2, {"ok": 1, "denied": 1})
    assert (first["first_at"], first["last_at"]) == (stamp(a_record(2).at), stamp(a_record(7).at))
    assert (second["client"], second["signals"], second["prompts"]) == ("cursor", {"unknown-outcome": 1}, 0)
    assert (third["prompts"], third["calls"], third["whole"]) == (1, 1, True)


def test_a_principal_is_told_of_his_own_only(state: Path) -> None:
    (item,) = summed(state, "os:bob")
    assert (item["session"], item["calls"], item["prompts"]) == ("c", 1, 0)
    assert [item["session"] for item in summed(state, "os:alice")] == ["a", "c", "b"]
    assert [item["session"] for item in summed(state, "os:alice", 1)] == ["a"]
    assert [item["calls"] for item in summed(state, "os:alice")] == [2, 0, 1]
    assert summed(state, "os:carol") == []


def test_only_the_newest_rows_of_a_long_session_are_counted(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summing, "COUNTED", 2)
    monkeypatch.setattr(summing, "LEAST", 1)
    item = summed(state)[1]
    assert (item["session"], item["calls"], item["whole"]) == ("a", 2, False)
    assert (item["first_at"], item["last_at"]) == (stamp(a_record(2).at), stamp(a_record(7).at))
    assert summed(state, "os:alice")[0]["first_at"] == stamp(a_record(3).at)
    monkeypatch.setattr(summing, "IN_ALL", 2)
    assert [item["calls"] for item in summed(state)] == [1, 1, 0]  # then one row of each


def test_a_record_without_sessions_has_none(tmp_path: Path) -> None:
    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE):
            pass

    anyio.run(fill)
    assert summed(tmp_path / "state") == summed(tmp_path / "state", "os:alice") == []


def test_a_row_that_is_no_record_is_passed_over(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHANGES, "spoil", "UPDATE record SET body = x'7b7d' WHERE seq = 3")

    async def spoil() -> None:
        async with open_store(state, AT_ONCE) as store:
            await store.append((), (Change("spoil", ()),))

    anyio.run(spoil)
    assert summed(state)[1]["outcomes"] == {"denied": 1}


@pytest.mark.parametrize("principal", ["", "os:alice"])
def test_sessions_are_found_by_index(state: Path, principal: str) -> None:
    asked: list[str] = []
    with reading(state) as db:
        db.set_trace_callback(asked.append)
        sessions_of(db, principal, 50)
        db.set_trace_callback(None)
        told = [row[3] for text in asked for row in db.execute(f"EXPLAIN QUERY PLAN {text}")]
    assert not [step for step in told if "TEMP B-TREE" in step]
    assert [step for step in told if "record" in step and "USING" not in step] == []
