"""Reading the record from outside: pages by key, one call's story, and `verify` against a file that somebody edited."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.approvals import Approvals
from gateway.core.model import Held, Kind, Outcome, Proof
from gateway.core.query import Query
from gateway.core.record import COLUMNS
from gateway.errors import StateError
from gateway.reading import find_call, log_item, newest, reading, story
from gateway.records import Records
from gateway.schema import STORE_NAME, VERSION
from gateway.store import open_store
from gateway.verifying import verify_folder
from tests.fakes import KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE

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
