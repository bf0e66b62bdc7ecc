"""The index of the text search: a file beside the record that says where words may stand.

Derived, and never believed: it may be deleted at any time, what it names is read from the record, and what it doesn't
cover is looked through. Plain `sqlite3`: commands start with it. `indexing` fills it.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.core.search import words

INDEX_NAME = "search.db"
VERSION = 1
BLOCK = 1 << 16  # sequence numbers of one block: what is pruned goes by dropping whole blocks
BUSY = 2.0  # seconds to wait for a lock
CACHE = 256  # KiB of pages that the one who writes keeps in memory

MISSING = "no such module: fts5"
_BLOCKS = """CREATE TABLE block (
    number INTEGER PRIMARY KEY, after INTEGER NOT NULL, upto INTEGER NOT NULL, leaf BLOB NOT NULL
)"""
_WORDS = "USING fts5(text, content='', columnsize=0, detail=none, tokenize='ascii', prefix='2 3')"


class Block(NamedTuple):
    """The words of the rows behind `after` up to `upto`; `leaf` is of the last one, and tells whose record it is."""

    number: int
    after: int
    upto: int
    leaf: bytes

    @property
    def end(self) -> int:
        """The last sequence number that belongs to this block."""
        return (self.number + 1) * BLOCK


def block_of(seq: int) -> int:
    """The number of the block to which a sequence number belongs."""
    return (seq - 1) // BLOCK


def files_of(state: Path) -> tuple[Path, ...]:
    """The files that the index of a state folder is made of."""
    return tuple(state / f"{INDEX_NAME}{end}" for end in ("", "-wal", "-shm", "-journal"))


class Index:
    """One connection to an index."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def blocks(self) -> list[Block]:
        """The blocks, newest first."""
        found = self._db.execute("SELECT number, after, upto, leaf FROM block ORDER BY number DESC")
        return [Block(*row) for row in found]

    def candidates(self, block: Block, expression: str, after: int, upto: int, limit: int) -> list[int]:
        """Rows behind `after` up to `upto` that may hold what `Search.expression` asks for, newest first; by key."""
        table = _table(block.number)
        asked = f"SELECT rowid FROM {table} WHERE {table} MATCH ? AND rowid > ? AND rowid <= ?"  # noqa: S608 - ours
        page = f"{asked} ORDER BY rowid DESC LIMIT ?"
        return [seq for (seq,) in self._db.execute(page, (expression, after, upto, limit))]

    def add(self, block: Block, texts: Sequence[tuple[int, str]], upto: int, leaf: bytes) -> None:
        """Take the folded texts of the rows behind `block.upto` up to `upto` in, in order; all or nothing."""
        table = _table(block.number)
        with _whole(self._db):
            if block.upto == block.after:
                self._db.execute(f"CREATE VIRTUAL TABLE {table} {_WORDS}")
            rows = ((seq, " ".join(sorted(words(text)))) for seq, text in texts)
            self._db.executemany(f"INSERT INTO {table} (rowid, text) VALUES (?, ?)", rows)  # noqa: S608 - ours
            kept = (block.number, block.after, upto, leaf)
            self._db.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?)", kept)

    def pack(self, block: Block) -> None:
        """Make a block smaller and faster that gets no more rows."""
        table = _table(block.number)
        self._db.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")  # noqa: S608 - ours

    def drop(self, block: Block) -> None:
        """Let go of a block, and overwrite what stood in it."""
        with _whole(self._db):
            self._db.execute(f"DROP TABLE IF EXISTS {_table(block.number)}")
            self._db.execute("DELETE FROM block WHERE number = ?", (block.number,))

    def settle(self) -> bool:
        """Bring the write-ahead log into the file and empty it; False while somebody reads."""
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


@contextmanager
def opened(state: Path) -> Iterator[Index | None]:
    """The index of a state folder as it stands at this moment; None where there is none that can be used."""
    db = _reading(state / INDEX_NAME)
    try:
        yield Index(db) if db is not None else None
    finally:
        if db is not None:
            db.close()


def create(state: Path) -> sqlite3.Connection:
    """A connection that may write to the index, which is made where there is none; it may be used in any thread.

    Raises `OSError` or `sqlite3.Error` where that can't be; of these `sqlite3.DatabaseError` for a file that is no
    index of this version.
    """
    file = state / INDEX_NAME
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    file.chmod(0o600)
    db = sqlite3.connect(_address(file, "rw"), uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def remove(state: Path) -> bool:
    """Delete the index; returns whether there was any. Raises `OSError` where it can't be."""
    found = [file for file in files_of(state) if file.is_symlink() or file.exists()]
    for file in found:
        file.unlink(missing_ok=True)
    return bool(found)


def _reading(file: Path) -> sqlite3.Connection | None:
    if not file.is_file():
        return None
    db = None
    try:
        db = sqlite3.connect(_address(file, "ro"), uri=True, timeout=BUSY, isolation_level=None)
        db.execute("BEGIN")  # one moment: else a block could be made anew between its row and its words
        if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return db
    except sqlite3.Error:
        pass  # then it is looked through without
    if db is not None:
        db.close()
    return None


def _prepare(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, VERSION):
        raise sqlite3.DatabaseError(f"an index of another version ({version})")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA secure_delete=ON")  # what is let go of is overwritten
    db.execute(f"PRAGMA cache_size=-{CACHE}")
    if version == 0:
        with _whole(db):
            db.execute(_BLOCKS)
            db.execute(f"PRAGMA user_version={VERSION}")


@contextmanager
def _whole(db: sqlite3.Connection) -> Iterator[None]:
    """All that is done within, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _address(file: Path, mode: str) -> str:
    return f"{file.absolute().as_uri()}?mode={mode}"


def _table(number: int) -> str:
    return f"words_{int(number)}"
