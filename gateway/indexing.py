"""Keep the index of the text search: out of band, a batch at a time, in a thread of its own.

No call waits for it. Where it fails a warning says so, and the search looks through what the index doesn't cover.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from gateway.clock import Sleeper
from gateway.core.record import decode
from gateway.core.search import text_of
from gateway.errors import StateError
from gateway.paging import leaf_of, newest_seq
from gateway.reading import reading
from gateway.searching import BLOCK, MISSING, Block, Index, block_of, create, remove

ROWS = 50  # rows that are taken in at a time
FEW = 10  # while calls run
BYTES = 64 * 1024  # bytes of bodies after which a batch ends
PAUSE = 0.01  # seconds between two batches, in which calls are served
YIELD = 0.25  # seconds between two batches while calls run: their thread has the interpreter then
LOOK = 1.0  # seconds between two looks for new rows
PATIENCE = 30.0  # seconds before the next try when something failed

_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}

log = logging.getLogger("wardgate")


class Indexing:
    """Looks after the index of one state folder. Without `wanted` there is none, and one that is there is removed."""

    def __init__(self, state: Path, clock: Sleeper, *, wanted: bool, busy: Callable[[], int] = lambda: 0) -> None:
        """`busy` tells how many calls run: while any does, little is done and the rest caught up with later."""
        self._state, self._clock, self._wanted, self._busy = state, clock, wanted, busy
        self._keeper: Keeper | None = None
        self._failure = ""

    async def run(self) -> None:
        """Keep it until cancelled; ends at once where there is nothing to keep."""
        try:
            while (pause := await anyio.to_thread.run_sync(self.look)) is not None:
                await self._clock.sleep(pause)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.close)

    def look(self) -> float | None:
        """Do one piece of work; returns the seconds until the next one, or None if there never is."""
        try:
            if not self._wanted:
                remove(self._state)
                return None
            self._keeper = self._keeper or Keeper(self._state)
            calls = self._busy() > 0
            more = self._keeper.step(FEW if calls else ROWS)
            self._failure = ""
            return LOOK if not more else YIELD if calls else PAUSE
        except (sqlite3.Error, OSError, StateError) as problem:
            return self._failed(problem)

    def close(self) -> None:
        """Close the index."""
        if self._keeper is not None:
            self._keeper.close()
        self._keeper = None

    def _failed(self, problem: Exception) -> float | None:
        self.close()
        if MISSING in str(problem):
            log.warning("this SQLite has no FTS5: the text search looks through the whole record")
            return None
        again = str(problem) == self._failure
        if not again:
            log.warning("the index of the text search can't be kept now: %s", problem)
        self._failure = str(problem)
        if again or not isinstance(problem, sqlite3.Error) or _passes(problem):
            return PATIENCE
        return self._made_anew()

    def _made_anew(self) -> float:
        """An index that is damaged, or of another version, is worth nothing."""
        try:
            remove(self._state)
        except OSError as problem:
            log.warning("the index of the text search can't be removed: %s", problem)
            return PATIENCE
        return LOOK


class Keeper:
    """An open index, and what has to be done with it. May be used in any thread, by one at a time."""

    def __init__(self, state: Path) -> None:
        self._state, self._db = state, create(state)
        self._index = Index(self._db)
        self._checked, self._unsettled = False, True

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def step(self, rows: int = ROWS) -> bool:
        """One piece of work: what is gone goes, or the next rows (so many at the most) are taken in, the newest block
        first.

        Returns whether there is more to do. Raises `sqlite3.Error` for the index, `StateError` for the record.
        """
        blocks = self._index.blocks()
        with reading(self._state) as record:
            gone = int(record.execute("SELECT size FROM pruned WHERE one = 1").fetchone()[0])
            stale = [block for block in blocks if block.after < gone or self._is_foreign(record, block)]
            block = _unfilled({block.number: block for block in blocks}, gone, newest_seq(record))
            batch = _batch(record, block, rows) if block is not None and not stale else None
        self._checked = True
        if stale:
            for each in stale:
                self._index.drop(each)
            self._unsettled = True
        elif block is not None and batch is not None:
            self._index.add(block, batch.texts, batch.upto, batch.leaf)
            if batch.upto == block.end:
                self._index.pack(block)
            return True
        if self._unsettled:
            self._unsettled = not self._index.settle()
        return bool(stale)

    def _is_foreign(self, record: sqlite3.Connection, block: Block) -> bool:
        """Whether a block that was there at start is of another record, such as one that was put back since."""
        return not self._checked and leaf_of(record, block.upto) != block.leaf


class Batch(NamedTuple):
    """Rows to take in: their texts, the last one of them, and its leaf."""

    texts: Sequence[tuple[int, str]]
    upto: int
    leaf: bytes


def _batch(record: sqlite3.Connection, block: Block, most: int) -> Batch:
    """The next rows of a block that lacks some."""
    texts, size, upto, last = list[tuple[int, str]](), 0, block.upto, b""
    rows = "SELECT seq, body, leaf FROM record WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
    for seq, body, leaf in record.execute(rows, (block.upto, block.end, most)):
        texts.append((seq, _text(body)))
        upto, last, size = seq, leaf, size + len(body)
        if size > BYTES:
            break
    return Batch(texts, upto, last)


def _passes(problem: sqlite3.Error) -> bool:
    """Whether a failure is of the disk or of others, and says nothing against the index itself."""
    return (getattr(problem, "sqlite_errorcode", 0) & 0xFF) in _PASSING


def _unfilled(blocks: Mapping[int, Block], gone: int, newest: int) -> Block | None:
    """The newest block of the rows behind `gone` up to `newest` that lacks some of them."""
    for number in range(block_of(newest), block_of(gone + 1) - 1, -1):
        begin = max(number * BLOCK, gone)
        block = blocks.get(number, Block(number, begin, begin, b""))
        if block.upto < min(block.end, newest):
            return block
    return None


def _text(body: bytes) -> str:
    """What is searched of a row; nothing of one that is no record."""
    try:
        return text_of(decode(body)[1])
    except ValueError:
        return ""
