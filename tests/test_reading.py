"""Reading the record from outside: pages by key, one call's story, and `verify` against a file that somebody edited."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.approvals import Approvals
from gateway.core.model import Held, Kind, Outcome, Proof
from gateway.core.query import FILTERS, VOCABULARIES, Query
from gateway.core.record import COLUMNS, stamp
from gateway.errors import StateError
from gateway.people import auditors, user_name
from gateway.reading import Viewer, find_call, log_item, newest, reading, story, viewer_in, viewer_of
from gateway.records import Records
from gateway.schema import STORE_NAME, VERSION
from gateway.store import open_store
from gateway.verifying import verify_folder
from tests.fakes import KEY, NOON, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE, an_entry

CALLS = 6


def made(state: Path) -> Path:
    """A record of six calls, and of one that was asked for, approved and used."""

    async def fill() -> None:
        clock = FakeClock()
        async with open_store(state, AT_ONCE) as store:
            records, approvals = Records(store, clock), Approvals(store, clock, KEY)
            for number in range(1, CALLS + 1):
                tier, outcome = ("read", "ok") if number % 2 else ("write", "blocked")
                await records.append(a_record(number, tier=tier, session=f"s{number % 3}"))
                await records.append(
                    a_record(number, Kind.OUTCOME, tier=tier, outcome=outcome, session=f"s{number % 3}")
                )
            held = await approvals.obtain(*a_wait(a_call(7), a_tool(), an_ask(), {"path": "a"}), FakeCaller(budget=0))
            assert isinstance(held, Held)
            row = await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL)
            await records.append(a_record(8, approval=row.id), consume=(row.id,))
            await records.append(a_record(8, Kind.OUTCOME, approval=row.id, outcome="ok"))

    anyio.run(fill)
    return state


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("kept") / "state")


SIZE = 2 * CALLS + 4


def test_pages_go_from_the_newest_to_the_oldest_and_leave_nothing_out(kept: Path) -> None:
    with reading(kept) as db:
        seen, before = [], None
        while page := newest(db, Query(before=before, limit=5)):
            seen += [row.seq for row in page]
            before = page[-1].seq
    assert seen == list(range(SIZE, 0, -1))


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"kind": "outcome"}, CALLS + 1),
        ({"kind": "outcome", "outcome": "blocked"}, CALLS // 2),
        ({"session": "s0"}, 4),
        ({"tool": "write_file", "upstream": "files", "verdict": "allow"}, 2 * CALLS + 2),
        ({"kind": "' OR 1 --"}, 0),
    ],
    ids=["kind", "outcome", "session", "many", "quoted"],
)
def test_filters_are_joined(kept: Path, filters: dict[str, str], count: int) -> None:
    with reading(kept) as db:
        assert len(newest(db, Query(filters, limit=100))) == count


def test_a_row_that_is_no_record_is_told(kept: Path, tmp_path: Path) -> None:
    copy = edited(kept, tmp_path, lambda db: db.execute("UPDATE record SET body = x'7b7d' WHERE seq = 2"))
    with reading(copy) as db, pytest.raises(StateError, match="row 2"):
        newest(db, Query(before=3))


# --- pages are found by key and by index ------------------------------------------------------------------------------

EVERY_FILTER = [{name: VOCABULARIES.get(name, ("x",))[-1]} for name in FILTERS if name not in ("client", "reason")]


def plans(kept: Path, query: Query) -> list[str]:
    """How SQLite finds the rows of a page, statement by statement."""
    asked: list[str] = []
    with reading(kept) as db:
        db.set_trace_callback(asked.append)
        newest(db, query)
        db.set_trace_callback(None)
        pages = [text for text in asked if text.startswith("SELECT")]
        return [row[3] for text in pages for row in db.execute(f"EXPLAIN QUERY PLAN {text}")]


@pytest.mark.parametrize("principal", ["", "os:alice"], ids=["auditor", "principal"])
@pytest.mark.parametrize(
    "filters",
    [{}, *EVERY_FILTER, {"tool": "x", "session": "s1"}, {"upstream": "x", "outcome": "error", "client": "x"}],
    ids=str,
)
@pytest.mark.parametrize("span", [{}, {"since": NOON, "until": NOON + timedelta(days=1)}], ids=["ever", "span"])
def test_a_page_is_found_without_reading_all_rows_or_sorting_them(
    kept: Path, filters: dict[str, str], span: dict[str, Any], principal: str
) -> None:
    told = plans(kept, Query(filters, **span, principal=principal, before=9))
    assert told
    assert [step for step in told if "TEMP B-TREE" in step] == []
    assert [step for step in told if step.startswith("SCAN") and "CONSTANT ROW" not in step] == []
    page = told[-1]
    assert re.search(r"\b(seq|rowid)>\? AND (seq|rowid)<\?", page)
    assert ("USING INDEX record_" in page) == bool(filters or principal)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"tool": "x", "session": "s1"}, "record_session"),
        ({"tool": "x", "verdict": "allow", "kind": "intent"}, "record_tool"),
        ({"tool": "x", "upstream": "y"}, "record_tool"),
        ({"outcome": "error", "tool": "x"}, "record_ended"),
        ({"kind": "checkpoint", "principal": "x"}, "record_beside"),
    ],
    ids=str,
)
def test_of_several_filters_the_one_with_the_fewest_rows_leads(kept: Path, filters: dict[str, str], index: str) -> None:
    told = plans(kept, Query(filters, principal="os:alice"))
    assert [step for step in told if index in step]
    assert not [step for step in told if "record_principal" in step]


def spanned(state: Path, begin: int, end: int) -> list[int]:
    """The rows of a span of seconds after noon."""
    with reading(state) as db:
        span = Query(since=NOON + timedelta(seconds=begin), until=NOON + timedelta(seconds=end), limit=1_000)
        return [row.seq for row in newest(db, span)]


def clocked(state: Path, seconds: list[int], back: int = 0) -> Path:
    """A record of rows at these seconds after noon, and of a clock that went back by so many."""

    async def fill() -> None:
        async with open_store(state, AT_ONCE) as store:
            await store.append([an_entry(1, at=NOON + timedelta(seconds=second)) for second in seconds])
            if back:
                told = {"expected": stamp(NOON + timedelta(seconds=back)), "found": stamp(NOON)}
                await store.append([an_entry(2, Kind.CLOCK, at=NOON + timedelta(days=99), extra=told)])

    anyio.run(fill)
    return state


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=40), st.integers(0, 5_000), st.integers(0, 5_000))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_span_leaves_out_nothing_even_where_the_clock_went_back(
    tmp_path: Path, seconds: list[int], begin: int, end: int
) -> None:
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    state = clocked(tmp_path / "state", seconds, back=5_000)
    assert spanned(state, begin, end) == [
        number + 1 for number, second in reversed(list(enumerate(seconds))) if begin <= second < end
    ]


def test_a_span_may_lie_where_nothing_is(tmp_path: Path) -> None:
    state = clocked(tmp_path / "state", [])
    assert spanned(state, 0, 10) == []


# --- who sees what ----------------------------------------------------------------------------------------------------


def test_the_owner_of_the_folder_sees_all_of_it(kept: Path) -> None:
    seen = viewer_of(kept)
    assert seen == (f"os:{user_name(os.getuid())}", True)
    assert seen.restriction == ""


def test_the_owner_can_see_as_others_do(kept: Path) -> None:
    assert viewer_of(kept, "os:bob", ["bob"]) == ("os:bob", True)
    assert viewer_of(kept, "bob", ["bob"]) == ("bob", False)
    assert viewer_of(kept, "os:carol", ["bob"]).restriction == "os:carol"


def test_another_user_sees_only_his_own_unless_he_is_named(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_711)
    monkeypatch.setattr("gateway.reading.user_name", lambda uid: "bob")
    assert viewer_of(kept) == ("os:bob", False)
    assert viewer_of(kept, "os:alice").restriction == "os:bob"
    assert viewer_of(kept, auditors=["bob"]).restriction == ""


def test_a_viewer_without_a_name_sees_nothing(kept: Path) -> None:
    with reading(kept) as db:
        assert newest(db, Query(principal=Viewer("", auditor=False).restriction)) == []


def test_who_reads_can_not_name_himself_an_auditor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "upstreams.toml"
    config.write_text('[approvers.bob]\nroles = ["auditor"]\n', encoding="utf-8")
    (tmp_path / "state").mkdir()
    assert viewer_in(config, tmp_path / "state", "os:bob").auditor
    assert not viewer_in(config, tmp_path / "state", "os:carol").auditor
    assert auditors(config, 4_711) == (frozenset({"bob"}) if os.getuid() == 0 else frozenset())
    with pytest.raises(StateError):
        viewer_in(config, tmp_path / "none")


def test_records_that_belong_to_nobody_are_seen_by_auditors_only(tmp_path: Path) -> None:
    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records = Records(store, FakeClock())
            await records.started()
            await records.append(a_record(1))
            await records.append(a_record(2, principal="os:bob"))

    anyio.run(fill)
    with reading(tmp_path / "state") as db:
        seen = {who: [row.seq for row in newest(db, Query(principal=who))] for who in ("", "os:alice", "os:bob")}
    assert seen == {"": [3, 2, 1], "os:alice": [2], "os:bob": [3]}


def test_a_log_item_has_the_shape_of_the_contract(kept: Path) -> None:
    keys = (
        "seq id kind at principal client session upstream tool tier effect verdict reason rules obligations "
        "policy_revision approval outcome release findings"
    )
    with reading(kept) as db:
        assert set(log_item(newest(db, Query(limit=1))[0])) == set(keys.split())


def test_a_call_is_found_by_its_id_its_beginning_or_its_approval(kept: Path) -> None:
    with reading(kept) as db:
        (approval,) = db.execute("SELECT id FROM approval").fetchone()
        assert find_call(db, "d_0000000002") == ["d_0000000002"]
        assert find_call(db, "D_oooooooo02") == ["d_0000000002"]
        assert find_call(db, "d_000") == ["d_0000000001", "d_0000000002"]
        assert find_call(db, approval[:6]) == ["d_0000000007"]
        assert find_call(db, "d_0000000007") == ["d_0000000007"]
        assert find_call(db, "d_0") == find_call(db, "d_ZZZZ") == find_call(db, "a_ZZZZ0") == []


def test_a_story_holds_the_call_and_its_approvals_in_order(kept: Path) -> None:
    with reading(kept) as db:
        told = story(db, "d_0000000008")
        asked = story(db, "d_0000000007")
    assert [row.record.kind.value for row in told.rows] == ["approval", "approval", "intent", "outcome"]
    assert [row.record.extra["state"] for row in told.rows[:2]] == ["waiting", "approved"]
    assert asked.rows == told.rows  # the call that was held, and the same call again that ran on its approval
    assert (told.size, told.root) == (SIZE, verify_folder(kept).root)


def test_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    for look in (lambda: reading(tmp_path).__enter__(), lambda: verify_folder(tmp_path)):
        with pytest.raises(StateError, match="there is no record"):
            look()
    assert not list(tmp_path.iterdir())


def test_a_reader_never_writes(kept: Path) -> None:
    with pytest.raises(StateError), reading(kept) as db:
        db.execute("DELETE FROM record")


# --- verify against the file alone ---------------------------------------------------------------------------------


def edited(kept: Path, folder: Path, edit: Callable[[sqlite3.Connection], object]) -> Path:
    """A copy of the record that somebody has edited."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(kept, copy)
    with closing(sqlite3.connect(copy / STORE_NAME)) as db, db:
        edit(db)
    return copy


def test_an_untouched_record_is_whole(kept: Path) -> None:
    found = verify_folder(kept)
    assert (found.ok, found.size, found.first_bad, found.detail) == (True, SIZE, None, "")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(("seq", "body", "leaf", *COLUMNS)), st.integers(1, SIZE), st.data())
def test_any_edit_of_one_value_is_found(kept: Path, tmp_path: Path, column: str, seq: int, data: st.DataObject) -> None:
    def edit(db: sqlite3.Connection) -> None:
        (value,) = db.execute(f"SELECT {column} FROM record WHERE seq = ?", (seq,)).fetchone()
        if isinstance(value, int):
            other: object = data.draw(st.integers(SIZE + 1, SIZE + 9) | st.integers(-3, 0))
        elif isinstance(value, bytes):
            at = data.draw(st.integers(0, len(value) - 1))
            other = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
        else:
            other = data.draw(st.text(st.characters(codec="utf-8"), max_size=9).filter(lambda text: text != value))
        db.execute(f"UPDATE record SET {column} = ? WHERE seq = ?", (other, seq))

    found = verify_folder(edited(kept, tmp_path, edit))
    assert not found.ok
    assert found.detail


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM record WHERE seq = 3",
        f"DELETE FROM record WHERE seq = {SIZE}",
        "DELETE FROM record",
        f"INSERT INTO record SELECT {SIZE + 1}, body, leaf, {', '.join(COLUMNS)} FROM record WHERE seq = 1",
        "UPDATE record SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END WHERE seq IN (2, 3)",
        "DELETE FROM head",
        "UPDATE head SET size = size - 1",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET frontier = zeroblob(length(frontier))",
        "UPDATE record SET body = CAST(body AS TEXT) WHERE seq = 1",
        "UPDATE record SET tool = CAST(x'ff' AS TEXT) WHERE seq = 1",
        "DROP TABLE head",
        "DROP TABLE record",
    ],
)
def test_any_edit_of_rows_or_head_is_found(kept: Path, tmp_path: Path, statement: str) -> None:
    assert not verify_folder(edited(kept, tmp_path, lambda db: db.execute(statement))).ok


def test_swapped_rows_are_found_even_when_their_numbers_fit(kept: Path, tmp_path: Path) -> None:
    def swap(db: sqlite3.Connection) -> None:
        for number, other in ((2, -1), (3, 2), (-1, 3)):
            db.execute("UPDATE record SET seq = ? WHERE seq = ?", (other, number))

    found = verify_folder(edited(kept, tmp_path, swap))
    assert (found.ok, found.first_bad) == (False, 2)


def test_a_damaged_file_is_not_whole(kept: Path, tmp_path: Path) -> None:
    copy = edited(kept, tmp_path, lambda db: None)
    with (copy / STORE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096 * 3))
    assert not verify_folder(copy).ok
    (copy / STORE_NAME).write_bytes(b"no database at all, but long enough to look like a file " * 100)
    assert not verify_folder(copy).ok


def test_a_newer_record_is_not_read(kept: Path, tmp_path: Path) -> None:
    copy = edited(kept, tmp_path, lambda db: db.execute(f"PRAGMA user_version={VERSION + 1}"))
    with pytest.raises(StateError, match="newer"), reading(copy):
        pass


def test_a_record_is_verified_while_it_is_written(tmp_path: Path) -> None:
    async def write() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records = Records(store, FakeClock())
            for number in range(5):
                await records.append(a_record(number, Kind.OUTCOME, outcome=Outcome.OK.value))
                found = await anyio.to_thread.run_sync(verify_folder, tmp_path / "state")
                assert (found.ok, found.size) == (True, number + 1)

    anyio.run(write)


def test_reading_imports_nothing_heavy() -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer'"
    code = f"import sys, gateway.reading; print([name for name in ({heavy}) if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
