"""Follow the record as it is written, from another process: the newest page, then what is committed.

Plain `sqlite3`, read only. It outlives the gateway that writes: one that stops, starts again, or is put in its place.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from gateway.core.query import Query
from gateway.errors import StateError
from gateway.paging import bodies_beyond, newest_seq
from gateway.reading import Row, check_version, newest, open_file, row_of
from gateway.schema import STORE_NAME

MOST = 500  # rows that are handed over at a time


def follow(state: Path, query: Query, pause: Callable[[], object]) -> Iterator[list[Row]]:
    """The newest page that fits, then what comes, oldest first; `pause` is called before each further look.

    Never ends by itself. A record that can't be read for a while is looked at again; raises `StateError` if there is
    none at first.
    """
    follower = Follower(state / STORE_NAME)
    try:
        yield follower.begin(query)
        while True:
            pause()
            yield from follower.look(query)
    finally:
        follower.close()


class Follower:
    """Where a reader stands in a record, and the connection through which it reads."""

    def __init__(self, file: Path) -> None:
        self._file, self._seen = file, 0
        self._db: sqlite3.Connection | None = None
        self._which: tuple[int, int] | None = None  # the file that the connection is to
        self._version = -1  # of the data, as the connection knows it

    def begin(self, query: Query) -> list[Row]:
        """The newest page, oldest first; raises `StateError` if there is no record that can be read."""
        try:
            db = self._connected()
            check_version(db, self._file)
            self._seen = newest_seq(db)
            return newest(db, replace(query, before=self._seen + 1))[::-1]
        except (sqlite3.Error, OSError) as problem:
            raise StateError(f"the record `{self._file}` can't be read: {problem}") from None

    def look(self, query: Query) -> Iterator[list[Row]]:
        """What was committed since the last look, oldest first, `MOST` rows at a time.

        Nothing while the record can't be read: a gateway starts or ends, or another record is put in its place. Raises
        `StateError` for a row that is no record.
        """
        rows = list[Row]()
        try:
            db = self._connected()
        except (OSError, StateError):
            return
        try:
            version = db.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return
            upto = newest_seq(db)
            for seq, body in bodies_beyond(db, query, min(self._seen, upto), upto):
                rows.append(row_of(seq, body))
                if len(rows) == MOST:
                    self._seen = seq
                    yield rows
                    rows = []
            self._seen, self._version = upto, version
        except (sqlite3.Error, OSError):
            self.close()
            return
        if rows:
            yield rows

    def close(self) -> None:
        """Close the connection; a further look opens another."""
        if self._db is not None:
            self._db.close()
        self._db, self._version = None, -1

    def _connected(self) -> sqlite3.Connection:
        """A connection to the file that is there now, which may be another one than before.

        Raises `OSError` or `StateError` where there is none.
        """
        if self._db is not None:
            found = self._file.stat()
            if (found.st_dev, found.st_ino) == self._which:
                return self._db
            self.close()
        self._db = open_file(self._file)
        found = self._file.stat()
        self._which = (found.st_dev, found.st_ino)
        return self._db
