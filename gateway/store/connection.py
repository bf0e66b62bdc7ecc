"""Connections to the store: each one thread of its own, each piece of work one whole function on it.

No SQL of the record here, and no second writer.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

import aiosqlite

from gateway.core.merkle import Tree, leaf_hash
from gateway.errors import RecordError, StateError
from gateway.place import foreign
from gateway.schema import OWNER, STEPS, TABLES, VERSION
from gateway.store.folder import DIGEST, SIGNING, StateFolder, missing

T = TypeVar("T")
log = logging.getLogger("wardgate.store")
JOURNAL_LIMIT = 16 << 20  # bytes that the write-ahead log keeps after a checkpoint

_CAUSES = {
    sqlite3.SQLITE_BUSY: "another process has locked it",
    sqlite3.SQLITE_LOCKED: "another process has locked it",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no store",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened",
    sqlite3.SQLITE_CONSTRAINT: "it was changed by somebody else",
}


def cause(problem: sqlite3.Error | OSError) -> str:
    """Why the store failed, in words for the person who runs it."""
    if isinstance(problem, OSError):
        return problem.strerror or type(problem).__name__
    code = getattr(problem, "sqlite_errorcode", None)
    return _CAUSES.get(code & 0xFF, str(problem)) if code is not None else str(problem)


class Connection(aiosqlite.Connection):
    """A connection whose work is done in whole functions, so that no other coroutine's statement comes between."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in the connection's thread; once begun it runs to its end, cancelled or not."""
        if self._connection is None:
            raise sqlite3.ProgrammingError("it is closed")
        result: T = await self._execute(work, self._connection)  # type: ignore[no-untyped-call]  # aiosqlite's is untyped
        return result


class Connector(Protocol):
    """What opens a connection to the store's file; tests put a disk of their own behind it."""

    def __call__(self, file: Path, *, write: bool, busy: float) -> Connection:
        """A connection, opened by `await`; it waits up to `busy` seconds for locks of others."""


def connect(file: Path, *, write: bool, busy: float) -> Connection:
    """A connection to the store's file, opened by `await`; it waits up to `busy` seconds for locks of others."""
    mode = "rw" if write else "ro"

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(f"{file.as_uri()}?mode={mode}", uri=True, timeout=busy, isolation_level=None)

    return Connection(connector, iter_chunk_size=64)


def create_file(folder: StateFolder) -> None:
    """Make the store's file on the first start; raises `StateError` if it is gone on a later one."""
    if folder.store.exists():
        return
    if not folder.fresh:
        raise StateError(f"the record `{folder.store}` is gone: put it back, or begin with a new state folder")
    os.close(os.open(folder.store, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def prepare(db: sqlite3.Connection, folder: StateFolder, lost: Collection[str] = (), owner: str = "") -> Tree:
    """Set the connection up, make the tables where there are none, and return the tree as it stands.

    The keys that `lost` names may be about to be exchanged, and need not be there. `owner` is the id that the
    configuration names: the first one is kept, and another one refused.

    Raises `StateError` for a store of another gateway, key or version, `RecordError` for one whose end doesn't fit its
    head.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StateError(f"the record was written by a newer gateway (version {version}, this one knows {VERSION})")
    if version:
        _refuse_others(db, folder, owner)
    if 0 < version < VERSION:
        _migrate(db, folder, version)
    if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise RecordError("the record's file system can't keep a write-ahead log")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA secure_delete=ON")  # what is pruned is overwritten
    db.execute(f"PRAGMA journal_size_limit={JOURNAL_LIMIT}")
    if version == 0:
        _create(db, folder)
    meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
    foreign = meta.get("gateway") != folder.gateway_id
    if foreign or (DIGEST not in lost and not folder.fits(DIGEST, meta.get("key", ""))):
        if not foreign and DIGEST not in folder.keys:
            raise StateError(missing(folder.path, DIGEST))
        raise StateError(f"the record `{folder.store}` belongs to another gateway")
    _signing(db, folder, meta.get("signing", ""), lost)
    if owner:
        db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (OWNER, owner))
    tree = _tree(db)
    # A write that reaches the disk: a gateway starts only with a record that works.
    # (SQLite leaves out an update that changes no byte, so this one always changes some.)
    db.execute("INSERT OR REPLACE INTO meta VALUES ('opened', hex(randomblob(16)))")
    return tree


def _refuse_others(db: sqlite3.Connection, folder: StateFolder, owner: str) -> None:
    """Refuse a store whose gateway has another id than the configuration names."""
    found = db.execute("SELECT value FROM meta WHERE name = ?", (OWNER,)).fetchone()
    if why := foreign(folder.path, found[0] if found else "", owner):
        raise StateError(why)


def _signing(db: sqlite3.Connection, folder: StateFolder, known: str, lost: Collection[str]) -> None:
    """The key that signs checkpoints: made where there never was one, else the very one that the store knows."""
    if not known:
        if SIGNING not in folder.keys:
            folder.make(SIGNING)
        db.execute("INSERT INTO meta VALUES ('signing', ?)", (folder.mark(SIGNING),))
    elif SIGNING not in lost and not folder.fits(SIGNING, known):
        raise StateError(missing(folder.path, SIGNING))


def _create(db: sqlite3.Connection, folder: StateFolder) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";\n"):
        db.execute(statement)
    empty = Tree()
    db.execute("INSERT INTO head VALUES (1, 0, ?, ?)", (empty.frontier, empty.root()))
    db.execute("INSERT INTO pruned VALUES (1, 0, ?, ?)", (empty.frontier, empty.root()))
    db.executemany("INSERT INTO meta VALUES (?, ?)", (("gateway", folder.gateway_id), ("key", folder.mark(DIGEST))))
    db.execute(f"PRAGMA user_version={VERSION}")
    db.execute("COMMIT")


def _migrate(db: sqlite3.Connection, folder: StateFolder, version: int) -> None:
    """Bring an older store to this version, all or nothing; before that it is copied to `record.db.v<version>.bak`."""
    copy = folder.store.with_name(f"{folder.store.name}.v{version}.bak")
    draft = copy.with_name(f"{copy.name}.draft")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(draft, isolation_level=None)) as backup:
        db.backup(backup)
    _sync(draft)
    draft.replace(copy)
    _sync(copy.parent)
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, VERSION):
            for statement in STEPS[step].split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    log.warning(
        "the record was brought from version %d to %d; as it was before it stands in `%s`", version, VERSION, copy
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tree(db: sqlite3.Connection) -> Tree:
    """The tree of the head, if the end of the record fits it; the whole is checked by `wardgate verify`."""
    head = db.execute("SELECT size, frontier, root FROM head WHERE one = 1").fetchone()
    last = db.execute("SELECT seq, body, leaf FROM record ORDER BY seq DESC LIMIT 1").fetchone()
    gone = db.execute("SELECT size FROM pruned WHERE one = 1").fetchone()
    try:
        size, frontier, root = head
        tree = Tree.restore(size, frontier)
    except (TypeError, ValueError):
        raise RecordError("the record has no usable head; `wardgate verify` tells more") from None
    if (
        tree.root() != root
        or not gone
        or (last[0] if last else gone[0]) != size
        or (last and (not isinstance(last[1], bytes) or leaf_hash(last[1]) != last[2]))
    ):
        raise RecordError("the record's end does not fit its head; `wardgate verify` tells more")
    return tree
