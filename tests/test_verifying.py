"""`verify` on files that somebody edited: against the file alone, its own checkpoints, and notes kept elsewhere."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from gateway import verifying
from gateway.approvals import Approvals
from gateway.checkpoints import Checkpoints
from gateway.config import Recording
from gateway.core.merkle import Tree, leaf_hash
from gateway.core.model import Kind, Proof
from gateway.core.record import columns, encode, seal, stamp
from gateway.records import Records
from gateway.schema import INSERT_RECORD, STORE_NAME
from gateway.signing import verifier_of
from gateway.store import open_store
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE

Edit = Callable[[sqlite3.Connection], object]


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, str, str]:
    """A record with a key (row 1), 4 records, a checkpoint (row 6), 3 more, and another one (row 10) kept elsewhere."""

    async def fill() -> tuple[str, str]:
        clock = FakeClock()
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records = Records(store, clock)
            checkpoints = Checkpoints(store, records, clock, Recording(), store.folder.signing_key)
            await checkpoints._introduce()
            for number in range(4):
                await records.append(a_record(number))
            await checkpoints.make()
            for number in range(4, 7):
                await records.append(a_record(number))
            note = await checkpoints.make()
            return note, str(verifier_of(checkpoints.origin, store.folder.signing_key))

    note, key = anyio.run(fill)
    return tmp_path / "state", note, key


def edited(state: Path, edit: Edit) -> Path:
    """A copy of the state folder in which somebody changed the store, with a head that fits what is there then."""
    copy = state.with_name("edited")
    shutil.copytree(state, copy)
    with closing(sqlite3.connect(copy / STORE_NAME, isolation_level=None)) as db:
        edit(db)
        tree = Tree()
        tree.extend([leaf for (leaf,) in db.execute("SELECT leaf FROM record ORDER BY seq")])
        db.execute("UPDATE head SET size = ?, frontier = ?, root = ?", (tree.size, tree.frontier, tree.root()))
    return copy


def rewrite(seq: int) -> Edit:
    def edit(db: sqlite3.Connection) -> None:
        record = a_record(99, detail="rewritten")
        body = seal(seq, encode(record))
        db.execute("DELETE FROM record WHERE seq = ?", (seq,))
        db.execute(INSERT_RECORD, (seq, body, leaf_hash(body), *columns(record)))

    return edit


def cut(seq: int) -> Edit:
    return lambda db: db.execute("DELETE FROM record WHERE seq > ?", (seq,))


def test_an_untouched_record_is_whole_and_fits_the_notes_kept_elsewhere(kept: tuple[Path, str, str]) -> None:
    state, note, key = kept
    found = verify_folder(state, note + "\n" + note, key)
    assert (found.ok, found.size, found.detail) == (True, 10, "")
    assert found.holds == "rows up to 9 are as the checkpoint in row 10 says"


def test_a_row_rewritten_with_all_its_hashes_is_found_by_the_records_own_checkpoints(
    kept: tuple[Path, str, str],
) -> None:
    found = verify_folder(edited(kept[0], rewrite(8)))
    assert (found.ok, found.first_bad) == (False, 6)
    assert "from row 6 to 9" in found.detail
    assert found.holds == "rows up to 5 are as the checkpoint in row 6 says"


def test_a_row_rewritten_behind_the_last_checkpoint_that_was_cut_is_found_by_a_note_kept_elsewhere(
    kept: tuple[Path, str, str],
) -> None:
    def edit(db: sqlite3.Connection) -> None:
        rewrite(8)(db)
        rewrite(10)(db)

    copy = edited(kept[0], edit)
    assert verify_folder(copy).ok  # nothing that is there speaks against it: that is what notes elsewhere are for
    found = verify_folder(copy, kept[1])
    assert (found.ok, found.first_bad) == (False, 6)
    assert "note 1" in found.detail


@pytest.mark.parametrize("left", [0, 1, 5, 6, 8])
def test_a_cut_tail_is_found_by_a_note_kept_elsewhere(left: int, kept: tuple[Path, str, str]) -> None:
    copy = edited(kept[0], cut(left))
    found = verify_folder(copy, kept[1], kept[2])
    assert (found.ok, found.first_bad) == (False, left + 1)
    assert "an older copy" in found.detail


def test_a_note_of_another_key_is_no_word_of_this_gateway(kept: tuple[Path, str, str]) -> None:
    state, note, key = kept
    other = str(verifier_of(key.split("+")[0], b"o" * 32))
    with pytest.raises(ValueError, match="note 1"):
        verify_folder(edited(state, cut(0)), note, other)
    assert "checkpoint" in verify_folder(state, "", other).detail
    for text, vkey in (("nonsense", ""), ("", "nonsense")):
        with pytest.raises(ValueError):
            verify_folder(state, text, vkey)


def test_a_checkpoint_in_the_record_that_somebody_else_signed_is_found(kept: tuple[Path, str, str]) -> None:
    state, note, _ = kept
    forged = note.replace(note[-12:], "AAAAAAAAAAA\n")

    def edit(db: sqlite3.Connection) -> None:
        record = a_record(99, Kind.CHECKPOINT, extra={"note": forged})
        body = seal(10, encode(record))
        db.execute("DELETE FROM record WHERE seq = 10")
        db.execute(INSERT_RECORD, (10, body, leaf_hash(body), *columns(record)))

    found = verify_folder(edited(state, edit))
    assert (found.ok, found.first_bad) == (False, 10)


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("UPDATE pruned SET size = 1", "not told"),
        ("UPDATE pruned SET size = 1, frontier = x'" + "00" * 32 + "'", "pruned"),
        ("DELETE FROM pruned", "not told"),
        ("UPDATE pruned SET root = x'00'", "frontier"),
        ("INSERT INTO record SELECT -5, body, leaf, kind, id, at, principal, client, session, upstream, tool, tier, "
         "verdict, reason, outcome, approval FROM record WHERE seq = 1", "row 1 was expected"),
    ],
)  # fmt: skip
def test_what_was_pruned_can_not_be_made_up(statement: str, detail: str, kept: tuple[Path, str, str]) -> None:
    found = verify_folder(edited(kept[0], lambda db: db.execute(statement)))
    assert not found.ok
    assert detail in found.detail


async def test_an_approval_that_is_not_what_its_record_says_is_found(tmp_path: Path) -> None:
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            approvals = Approvals(store, clock, KEY)
            held = await approvals.obtain(*a_wait(a_call(), a_tool(), an_ask(Proof.LOCAL), {}), FakeCaller(budget=0))
            await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL)  # type: ignore[union-attr]  # it is held
            await Records(store, clock).append(a_record(1, approval=held.approval.id), consume=(held.approval.id,))
    state = tmp_path / "state"
    assert (await anyio.to_thread.run_sync(verify_folder, state)).ok
    for word in ("approved", "denied"):
        copy = edited(state, lambda db, word=word: db.execute("UPDATE approval SET state = ?", (word,)))
        found = await anyio.to_thread.run_sync(verify_folder, copy)
        assert not found.ok
        assert f"is {word}" in found.detail
        shutil.rmtree(copy)
    for name in (*verifying.tables._SAID, *verifying.tables._SAID_BESIDE):
        copy = edited(state, lambda db, name=name: db.execute(f"UPDATE approval SET {name} = 'other'"))
        found = await anyio.to_thread.run_sync(verify_folder, copy)
        assert (found.ok, f"`{name}`" in found.detail) == (False, True)
        shutil.rmtree(copy)


async def test_an_approval_that_no_record_tells_of_is_found_unless_it_is_older_than_what_was_pruned(
    tmp_path: Path,
) -> None:
    columns = (
        "id, state, call, principal, client, session, upstream, tool, definition, arguments_digest, asked_digest, "
        "expires_at, card"
    )
    made_up = f"""INSERT INTO approval ({columns}, created_at)
        VALUES ('a_MADEUP', 'approved', '', '', '', '', '', '', '', '', '', '', x'7b7d', ?)"""
    state = tmp_path / "state"
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE) as store:
            records = Records(store, FakeClock())
            for number in range(3):
                await records.append(a_record(number))
            base = Tree()
            base.extend(await store.leaves(0, 1))
    times = [stamp(a_record(number).at) for number in range(3)]
    for pruned, created_at, ok in ((False, times[0], False), (True, times[0], True), (True, times[1], False)):

        def edit(db: sqlite3.Connection, pruned: bool = pruned, created_at: str = created_at) -> None:
            db.execute(made_up, (created_at,))
            if pruned:
                db.execute("DELETE FROM record WHERE seq = 1")
                db.execute("UPDATE pruned SET size = 1, frontier = ?, root = ?", (base.frontier, base.root()))

        copy = state.with_name("edited")
        shutil.copytree(state, copy)
        with closing(sqlite3.connect(copy / STORE_NAME, isolation_level=None)) as db:
            edit(db)
        found = await anyio.to_thread.run_sync(verify_folder, copy)
        assert (found.ok, "a_MADEUP" in found.detail) == (ok, not ok), found.detail
        shutil.rmtree(copy)


TABLES = ("record", "head", "pruned")


def changed(value: Any, data: st.DataObject) -> Any:
    """Another value of the same kind, or of another one."""
    if isinstance(value, bytes) and value:
        at = data.draw(st.integers(0, len(value) - 1))
        return value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    other = st.one_of(st.integers(-2, 40), st.text(max_size=4), st.binary(max_size=4))
    return data.draw(other.filter(lambda it: it != value and str(it) != str(value)))


@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_single_change_to_the_rows_of_the_file_is_found(kept: tuple[Path, str, str], data: st.DataObject) -> None:
    copy = kept[0].with_name("edited")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(kept[0], copy)
    table = data.draw(st.sampled_from(TABLES))
    with closing(sqlite3.connect(copy / STORE_NAME, isolation_level=None)) as db:
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "one"]
        rows = db.execute(f"SELECT rowid, {', '.join(names)} FROM {table} ORDER BY rowid").fetchall()
        rowid, *values = data.draw(st.sampled_from(rows))
        kind = data.draw(st.sampled_from(["change", "remove", *(["repeat", "swap"] if table == "record" else [])]))
        at = data.draw(st.integers(0, len(names) - 1))
        match kind:
            case "remove":
                db.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
            case "repeat":
                marks = ", ".join("?" * len(names))
                db.execute(f"INSERT INTO record VALUES ({marks})", (rows[-1][0] + 1, *values[1:]))
            case "swap":
                other = data.draw(st.sampled_from([row for row in rows if row[0] != rowid]))
                for one, two in ((rowid, -1), (other[0], rowid), (-1, other[0])):
                    db.execute("UPDATE record SET seq = ? WHERE seq = ?", (two, one))
            case _:
                try:
                    db.execute(
                        f"UPDATE {table} SET {names[at]} = ? WHERE rowid = ?", (changed(values[at], data), rowid)
                    )
                except sqlite3.IntegrityError:
                    reject()  # a place that is taken, or a number that has to be one
        after = db.execute(f"SELECT rowid, {', '.join(names)} FROM {table} ORDER BY rowid").fetchall()
        assume(after != rows)
    found = verify_folder(copy)
    assert not found.ok


def test_an_approval_is_looked_for_by_an_index(kept: tuple[Path, str, str]) -> None:
    with closing(sqlite3.connect(kept[0] / STORE_NAME)) as db:
        plan = [step for *_, step in db.execute(f"EXPLAIN QUERY PLAN {verifying.tables.APPROVALS}")]
    assert [step for step in plan if step.startswith("SCAN")] == ["SCAN approval"]
    assert len([step for step in plan if "record_approval" in step]) == 2, plan


def test_a_large_record_is_walked_by_several_processes(
    kept: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, note, key = kept
    monkeypatch.setattr(verifying, "LARGE", 4)
    monkeypatch.setattr(verifying, "LEVEL", 1)
    monkeypatch.setattr(verifying.os, "cpu_count", lambda: 2)
    found = verify_folder(state, note, key)
    assert (found.ok, found.size) == (True, 10)
    plain = edited(state, lambda db: db.execute("UPDATE record SET tool = 'x' WHERE seq = 4"))
    assert verify_folder(plain).first_bad == 4
    shutil.rmtree(plain)
    gone = edited(state, lambda db: db.execute("DELETE FROM record WHERE seq = 4"))
    assert verify_folder(gone).first_bad == 4
    shutil.rmtree(gone)
    assert verify_folder(edited(state, rewrite(8))).first_bad == 6
