"""Stores of before: brought forward with a copy beside them, left as they were if that fails, refused if newer."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio.to_thread
import pytest

from gateway import schema
from gateway.backup import back_up
from gateway.core.canon import canonical
from gateway.core.merkle import Tree, leaf_hash
from gateway.core.model import Finding, Kind
from gateway.core.record import columns, encode, seal, stamp
from gateway.core.remembered import read_raised
from gateway.errors import RecordError, StateError
from gateway.monitor import RAISED_NAME
from gateway.records import Records
from gateway.schema import STEPS, STORE_NAME, VERSION
from gateway.store import flow, leaks, open_store, people, rows
from gateway.store.folder import DIGEST, hold
from gateway.verifying import verify_folder
from tests.fakes import NOON, FakeClock, a_call, a_record, a_tool
from tests.store.keep import AT_ONCE, ids_on_disk, whole

# As version 1 made its store: this text stays as it is, whatever the present version does.
VERSION_1 = """
CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    leaf BLOB NOT NULL,
    kind TEXT NOT NULL, id TEXT NOT NULL, at TEXT NOT NULL, principal TEXT NOT NULL, client TEXT NOT NULL,
    session TEXT NOT NULL, upstream TEXT NOT NULL, tool TEXT NOT NULL, tier TEXT NOT NULL, verdict TEXT NOT NULL,
    reason TEXT NOT NULL, outcome TEXT NOT NULL, approval TEXT NOT NULL
);
CREATE INDEX record_id ON record (id);
CREATE INDEX record_session ON record (session, seq) WHERE session <> '';
CREATE INDEX record_tool ON record (tool, seq) WHERE tool <> '';
CREATE INDEX record_approval ON record (approval) WHERE approval <> '';
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL,
    root BLOB NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE approval (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, call TEXT NOT NULL, principal TEXT NOT NULL, client TEXT NOT NULL,
    session TEXT NOT NULL, upstream TEXT NOT NULL, tool TEXT NOT NULL, definition TEXT NOT NULL,
    arguments_digest TEXT NOT NULL, created_at TEXT NOT NULL, expires_at TEXT NOT NULL,
    told INTEGER NOT NULL DEFAULT 0, decided_by TEXT NOT NULL DEFAULT '', decided_at TEXT NOT NULL DEFAULT '',
    proof TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', ballots TEXT NOT NULL DEFAULT '[]',
    card BLOB NOT NULL
);
CREATE INDEX approval_state ON approval (state, expires_at);
CREATE INDEX approval_call ON approval (call);
CREATE INDEX approval_asked ON approval (principal, created_at);
CREATE INDEX approval_told ON approval (arguments_digest) WHERE told = 1;
CREATE TABLE handle (
    hash BLOB PRIMARY KEY, approval TEXT NOT NULL, call TEXT NOT NULL, principal TEXT NOT NULL, client TEXT NOT NULL,
    session TEXT NOT NULL, method TEXT NOT NULL, exposed TEXT NOT NULL, arguments_digest TEXT NOT NULL,
    created_at TEXT NOT NULL, expires_at TEXT NOT NULL, used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX handle_approval ON handle (approval);
CREATE TABLE connection (
    id TEXT PRIMARY KEY, principal TEXT NOT NULL, client TEXT NOT NULL, session TEXT NOT NULL, era TEXT NOT NULL,
    handshake BLOB NOT NULL, updated_at TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
# What the step from there to version 2 did: this text stays as it is, too.
VERSION_2 = """
ALTER TABLE approval ADD COLUMN asked_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE approval ADD COLUMN followed_by TEXT NOT NULL DEFAULT '';
UPDATE approval SET asked_digest = arguments_digest;
DROP INDEX approval_told;
CREATE INDEX record_principal ON record (principal, seq) WHERE principal <> '';
CREATE INDEX record_upstream ON record (upstream, seq) WHERE upstream <> '';
CREATE INDEX record_beside ON record (kind, seq) WHERE kind NOT IN ('intent', 'outcome');
CREATE INDEX record_refused ON record (verdict, seq) WHERE verdict IN ('ask', 'block');
CREATE INDEX record_ended ON record (outcome, seq) WHERE outcome NOT IN ('', 'ok');
CREATE TABLE pruned (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    root BLOB NOT NULL
);
CREATE INDEX approval_asked_again ON approval (asked_digest) WHERE told = 1;
CREATE INDEX approval_tool ON approval (upstream, tool, created_at);
CREATE INDEX approval_session ON approval (session, created_at) WHERE state = 'waiting';
CREATE TABLE granted (
    id TEXT PRIMARY KEY,
    ended TEXT NOT NULL DEFAULT '',
    expires_at TEXT NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX granted_standing ON granted (expires_at) WHERE ended = '';
CREATE TABLE frozen (
    id TEXT PRIMARY KEY,
    upstream TEXT NOT NULL,
    session TEXT NOT NULL,
    tool TEXT NOT NULL,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    note TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE approver_key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    attended INTEGER NOT NULL,
    counter INTEGER NOT NULL DEFAULT 0,
    added_at TEXT NOT NULL,
    added_by TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO pruned VALUES (1, 0, x'', x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
PRAGMA user_version = 2;
"""
INSERT_1 = f"INSERT INTO record VALUES ({', '.join('?' * 16)})"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state folder with a store of version 1 that holds three records."""
    return make_old(tmp_path / "state")


@pytest.fixture
def older(old: Path) -> Path:
    """The same, brought to version 2 as that version did it."""
    with closing(sqlite3.connect(old / STORE_NAME, isolation_level=None)) as db:
        db.executescript(VERSION_2)
    return old


def make_old(state: Path) -> Path:
    """Make a store of version 1."""
    with hold(state) as folder:
        with closing(sqlite3.connect(folder.store, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(VERSION_1)
            tree = Tree()
            for seq in range(1, 4):
                record = a_record(seq, Kind.OUTCOME, outcome="ok")
                body = seal(seq, encode(record))
                tree.append(leaf_hash(body))
                db.execute(INSERT_1, (seq, body, leaf_hash(body), *columns(record)))
            db.execute("INSERT INTO head VALUES (1, ?, ?, ?)", (tree.size, tree.frontier, tree.root()))
            marks = (("gateway", folder.gateway_id), ("key", folder.mark(DIGEST)))
            db.executemany("INSERT INTO meta VALUES (?, ?)", marks)
        folder.store.chmod(0o600)
        folder.confirm()
    return state


def shape(file: Path) -> dict[str, object]:
    """The tables with their columns, whatever the order of these, and the indexes with what they hold, by name."""
    with closing(sqlite3.connect(file)) as db:
        columns = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY name'
        made = db.execute("SELECT name, type, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'").fetchall()
        return {
            name: db.execute(columns, (name,)).fetchall() if kind == "table" else " ".join(sql.split())
            for name, kind, sql in made
        }


def version(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


async def test_a_store_of_version_1_is_brought_forward_with_a_copy_beside_it(old: Path, tmp_path: Path) -> None:
    before, ids = shape(old / STORE_NAME), ids_on_disk(old)
    async with open_store(old, AT_ONCE) as store:
        assert store.size == 3
        await Records(store, FakeClock()).append(a_record(9))
    assert (await whole(old)).size == 4
    async with open_store(tmp_path / "fresh", AT_ONCE):
        pass
    assert shape(old / STORE_NAME) == shape(tmp_path / "fresh" / STORE_NAME)
    assert version(old / STORE_NAME) == VERSION
    copy = old / f"{STORE_NAME}.v1.bak"
    assert (version(copy), shape(copy), copy.stat().st_mode & 0o777) == (1, before, 0o600)
    with closing(sqlite3.connect(copy)) as db:
        assert [id for (id,) in db.execute("SELECT id FROM record ORDER BY seq")] == ids
    async with open_store(old, AT_ONCE):
        pass
    assert version(old / STORE_NAME) == VERSION


async def test_a_store_of_version_2_is_brought_forward_and_follows_leaks_from_then_on(
    older: Path, tmp_path: Path
) -> None:
    before = shape(older / STORE_NAME)
    token = Finding("github-pat", "content[0].text", "ab" * 8)
    async with open_store(older, AT_ONCE) as store:
        records = Records(store, FakeClock())
        await records.recall()
        assert await leaks.list_leaks(store, "", "", 9) == []  # what was found before stands in the record alone
        await records.append(a_record(9, Kind.OUTCOME, findings=(token,)))
        assert [leak.times for leak in await leaks.list_leaks(store, "", "", 9)] == [1]
    assert (await whole(older)).size == 4
    async with open_store(tmp_path / "fresh", AT_ONCE):
        pass
    assert shape(older / STORE_NAME) == shape(tmp_path / "fresh" / STORE_NAME)
    copy = older / f"{STORE_NAME}.v2.bak"
    assert (version(older / STORE_NAME), version(copy), shape(copy)) == (VERSION, 2, before)


@pytest.fixture
async def of_version_4(tmp_path: Path) -> Path:
    """A state folder as version 4 left it: two forms that were written again, and sessions that were raised."""
    state, now = tmp_path / "state", datetime.now(UTC)
    forms, spoken = ("00" * 8, "11" * 8), {"extra": {"effect": "raise"}, "detail": "new-step"}
    async with open_store(state, AT_ONCE) as store:
        records = Records(store, FakeClock())
        await records.append(a_record(1, Kind.INTENT, marks=forms))
        await records.append(a_record(2, Kind.OUTCOME, at=NOON + timedelta(days=3), marks=forms[1:]))
        await records.append(a_record(3, Kind.OUTCOME, at=NOON + timedelta(days=1), marks=forms[1:]))
        for number, (session, at) in enumerate(
            (
                ("os:alice/claude-code/work", NOON),
                ("s1", NOON),  # a connection of a client that names no session, long ago
                ("os:alice/claude-code/work", now),
                ("c_0000000001", now),
            ),
            4,
        ):
            await records.append(a_record(number, Kind.SIGNAL, session=session, at=at, **spoken))
        await records.append(a_record(9, Kind.SIGNAL, session="os:alice/claude-code/quiet", extra={"effect": "note"}))
        kept = '{"os:alice/claude-code/work":"new-step","s1":"new-step","c_0000000001":"new-step"}'
        await store.append((), (rows.set_meta(RAISED_NAME, kept),))
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute("UPDATE written SET call = 'd_0000000001', at = ?", (stamp(NOON + timedelta(seconds=1)),))
        db.execute("PRAGMA user_version = 4")
    return state


async def test_what_was_written_again_before_version_5_is_as_old_as_the_record_says(of_version_4: Path) -> None:
    async with open_store(of_version_4, AT_ONCE) as store:
        assert await flow.count_forms(store, NOON + timedelta(days=3)) == (2, 1)
    await whole(of_version_4)


async def test_sessions_that_were_raised_before_version_5_stay_so(of_version_4: Path) -> None:
    async with open_store(of_version_4, AT_ONCE) as store:
        raised = dict(read_raised(await rows.get_meta(store, RAISED_NAME)))
    who = ("os:alice", "claude-code")
    assert raised == {(*who, "os:alice/claude-code/work"): "new-step", (*who, ""): "new-step"}


async def test_what_was_edited_before_version_5_is_not_mended_by_it(of_version_4: Path) -> None:
    with closing(sqlite3.connect(of_version_4 / STORE_NAME)) as db, db:
        db.execute("DELETE FROM written WHERE form = ?", ("11" * 8,))
        db.execute("UPDATE record SET body = ? WHERE seq IN (3, 7)", (b'{"marks":',))
    async with open_store(of_version_4, AT_ONCE) as store:
        assert await flow.all_forms(store, 9) == ["00" * 8]
    assert not (await anyio.to_thread.run_sync(verify_folder, of_version_4)).ok


async def test_an_approval_of_before_is_brought_forward_with_what_was_asked_for(old: Path) -> None:
    card = {
        "exposed": "files__write_file",
        "arguments": {"path": "a.txt"},
        "tier": "write",
        "effect": "write",
        "rule": "files.writes",
        "reason": "rule",
        "proof": "local",
        "by": [],
        "approvers": 1,
        "timeout_us": 600_000_000,
        "obligations": [],
        "policy_revision": "r1",
    }
    call = a_call()
    row = {
        "id": "a_0000000001",
        "state": "waiting",
        "call": call.id,
        "principal": call.principal.id,
        "client": call.client.name,
        "session": call.context.session,
        "upstream": "files",
        "tool": "write_file",
        "definition": a_tool().digest,
        "arguments_digest": call.digest,
        "created_at": stamp(NOON),
        "expires_at": stamp(NOON + timedelta(minutes=10)),
        "told": 1,
        "card": canonical(card),
    }
    with closing(sqlite3.connect(old / STORE_NAME)) as db, db:
        db.execute(f"INSERT INTO approval ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
    async with open_store(old, AT_ONCE) as store:
        (found,) = await rows.told_approvals(store, call, NOON)  # the same call finds it
        assert (found.id, found.asked_digest, found.followed_by) == ("a_0000000001", call.digest, "")
        assert (found.pins, found.labels, found.free) == ({}, "", ())
        assert await people.list_grants(store, 9) == []
        assert (await people.list_freezes(store), await people.list_keys(store)) == ([], [])
        assert await store.append((), [rows.attach_approval(found.id)])


async def test_the_copy_is_a_store_that_can_be_put_back(old: Path) -> None:
    async with open_store(old, AT_ONCE):
        pass
    shutil.copy2(old / f"{STORE_NAME}.v1.bak", old / STORE_NAME)
    async with open_store(old, AT_ONCE) as store:
        assert store.size == 3
    await whole(old)


@pytest.mark.parametrize("at", range(1, VERSION))
async def test_a_step_that_fails_leaves_the_store_as_it_was(
    old: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shape(old / STORE_NAME)
    with monkeypatch.context() as patch:
        patch.setitem(schema.STEPS, at, STEPS[at] + ";\nINSERT INTO nowhere VALUES (1)")
        with pytest.raises(RecordError, match="can't be opened"):
            async with open_store(old, AT_ONCE):
                pytest.fail("it was opened")
    assert (version(old / STORE_NAME), shape(old / STORE_NAME)) == (1, before)
    async with open_store(old, AT_ONCE) as store:
        assert store.size == 3
    await whole(old)


async def test_a_copy_that_can_not_be_made_leaves_the_store_as_it_was(old: Path) -> None:
    (old / f"{STORE_NAME}.v1.bak.draft").mkdir()
    before = shape(old / STORE_NAME)
    with pytest.raises(RecordError):
        async with open_store(old, AT_ONCE):
            pytest.fail("it was opened")
    assert (version(old / STORE_NAME), shape(old / STORE_NAME)) == (1, before)


async def test_a_newer_store_is_refused_and_not_touched(old: Path) -> None:
    with closing(sqlite3.connect(old / STORE_NAME)) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    before = (old / STORE_NAME).read_bytes()
    with pytest.raises(StateError, match="newer gateway"):
        async with open_store(old, AT_ONCE):
            pytest.fail("it was opened")
    assert (old / STORE_NAME).read_bytes() == before
    assert not (old / f"{STORE_NAME}.v{VERSION + 1}.bak").exists()


@pytest.mark.parametrize("found", [1, VERSION + 1], ids=["older", "newer"])
def test_a_store_of_another_version_is_not_said_to_be_whole_or_not(old: Path, tmp_path: Path, found: int) -> None:
    with closing(sqlite3.connect(old / STORE_NAME)) as db:
        db.execute(f"PRAGMA user_version={found}")
    with pytest.raises(StateError, match=r"(older|newer) gateway"):
        verify_folder(old)
    with pytest.raises(StateError, match=r"(older|newer) gateway"):
        back_up(old, tmp_path / "copy", keys=False)
    assert not (tmp_path / "copy").exists()


def test_there_is_a_step_from_every_version_to_the_next() -> None:
    assert sorted(STEPS) == list(range(1, VERSION))
