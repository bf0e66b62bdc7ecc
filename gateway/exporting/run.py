"""Read the record oldest first and hand it over, page by page; the bookmark follows what was handed over.

Each page is one short read of its own: no transaction stays open while a receiver takes its time.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from gateway.core.merkle import leaf_hash
from gateway.core.model import Kind
from gateway.core.query import Query
from gateway.core.record import decode
from gateway.errors import StateError
from gateway.exporting.bookmark import Bookmark
from gateway.exporting.outlets import Outlet
from gateway.paging import SLACK, newest_bodies
from gateway.reading import Row, bodies_after, reading

PAGE = 500  # rows that are read and handed over together
MOST = 4 * 1024 * 1024  # bytes of bodies in a page, if it is more than one row
POLL = 0.5  # seconds between two looks for new rows


class Stop(Protocol):
    """Whether to end."""

    def is_set(self) -> bool:
        """Whether it was asked for."""

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it is asked for; whether it was."""


class Window(Struct, frozen=True):
    """Which rows: those behind `after` (None: from the beginning), of a time from `since` on and before `until`."""

    after: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, row: Row) -> bool:
        """Whether a row is of that time."""
        at = row.record.at
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


class Page(NamedTuple):
    """Rows in order, and the leaf hash (hex) of the last one."""

    rows: Sequence[Row]
    leaf: str

    def follows(self, seq: int) -> bool:
        """Whether these are rows, and the ones behind `seq`, without a gap."""
        return bool(self.rows) and all(row.seq == seq + 1 + at for at, row in enumerate(self.rows))

    def checked(self, seq: int) -> Sequence[Row]:
        """The rows; raises `StateError` if they are not the ones behind `seq`."""
        if not self.follows(seq):
            raise StateError(f"rows behind {seq} are missing; `wardgate verify` tells more")
        return self.rows


class Export:
    """One export of the record of a state folder, from where it begins or its bookmark stands.

    `say` tells what a person should know. Raises `StateError` where the record is not the one of the bookmark, or rows
    are missing; with `skip_pruned` it goes on behind those that the gateway let go of.
    """

    def __init__(
        self,
        state: Path,
        window: Window,
        stop: Stop,
        say: Callable[[str], None],
        *,
        skip_pruned: bool = False,
    ) -> None:
        self._state, self._window, self._stop, self._say = state, window, stop, say
        self._skip_pruned = skip_pruned
        self.seq, self._leaf = 0, ""

    def begin(self, mark: Bookmark | None) -> None:
        """Find where to begin, and check that the record is the one of the bookmark."""
        with reading(self._state) as db:
            if mark is None:
                self.seq = _first(db, self._window) if self._window.after is None else self._window.after
            else:
                self.seq, self._leaf = mark.seq, mark.leaf
                if gateway_of(db) != mark.gateway:
                    raise StateError("the bookmark is one of another gateway's record")
            self._check(db)
            if not self._leaf:
                self._leaf = _leaf(db, self.seq)

    def mark(self, gateway: str, form: str, outlet: Outlet) -> Bookmark:
        """The bookmark of this moment."""
        length, tail = outlet.place()
        return Bookmark(gateway, self.seq, self._leaf, form, length, tail)

    def run(self, outlet: Outlet, keep: Callable[[], None], *, follow: bool) -> bool:
        """Hand over what there is, and with `follow` what comes, until told to stop; False if it was cut short.

        `keep` is called after each page that was handed over.
        """
        while not self._stop.is_set():
            with reading(self._state) as db:
                self._check(db)
                for rows, leaf in self._pages(db):
                    outlet.hand_over([row for row in rows if self._window.holds(row)])
                    self.seq, self._leaf = rows[-1].seq, leaf
                    keep()
                    if self._stop.is_set():
                        return follow
            if not follow:
                return True
            outlet.rest()
            self._stop.wait(POLL)
        return follow

    def _pages(self, db: sqlite3.Connection) -> Iterator["Page"]:
        """Rows behind where it stands, without a gap; what comes meanwhile is left to the next look."""
        last = _bounds(db)[1]
        while self.seq < last:
            found = page(db, self.seq, PAGE)
            if not found.follows(self.seq):
                self._check(db)  # it may have been let go of meanwhile
                found = page(db, self.seq, PAGE)
            found.checked(self.seq)
            yield found

    def _check(self, db: sqlite3.Connection) -> None:
        """What was handed over last is still what it was, and nothing behind it was let go of."""
        gone, last = _bounds(db)
        if self.seq > last:
            older = "an older copy, or another record"
            raise StateError(f"the record ends at row {last}, and {self.seq} were handed over: {older}")
        if self.seq < gone:
            missing = f"{gone - self.seq} rows behind {self.seq} were let go of before they were handed over"
            if not self._skip_pruned:
                raise StateError(f"{missing}; `--skip-pruned` goes on without them")
            self._say(missing)
            self.seq, self._leaf = gone, ""
        if self._leaf and self.seq > gone and _leaf(db, self.seq) != self._leaf:
            raise StateError(f"row {self.seq} is not the one that was handed over: an older copy, or another record")


def page(db: sqlite3.Connection, after: int, limit: int) -> Page:
    """Rows behind `after`, oldest first: `limit` at most, and not more than `MOST` bytes of them, but one at least."""
    rows: list[Row] = []
    size, leaf = 0, ""
    for seq, body in bodies_after(db, after, limit):
        size += len(body)
        if rows and size > MOST:
            break
        try:
            rows.append(Row(seq, decode(body)[1]))
        except ValueError as problem:
            raise StateError(f"row {seq} can't be read ({problem}); `wardgate verify` tells more") from None
        leaf = leaf_hash(body).hex()
    return Page(rows, leaf)


def gateway_of(db: sqlite3.Connection) -> str:
    """The id of the gateway whose record this is."""
    found = db.execute("SELECT value FROM meta WHERE name = 'gateway'").fetchone()
    if found is None:
        raise StateError("the record doesn't say whose it is")
    return str(found[0])


def _first(db: sqlite3.Connection, window: Window) -> int:
    """Behind which row to begin: of a record whose clock never went back, shortly before `since`."""
    gone = _bounds(db)[0]
    if window.since is None or newest_bodies(db, Query({"kind": Kind.CLOCK.value}, limit=1)):
        return gone
    found = newest_bodies(db, Query(until=window.since - SLACK, limit=1))
    return max(gone, found[0][0] if found else 0)


def _bounds(db: sqlite3.Connection) -> tuple[int, int]:
    """Up to which row was let go of, and the last one."""
    gone, last = db.execute("SELECT (SELECT size FROM pruned), (SELECT max(seq) FROM record)").fetchone()
    return gone or 0, last or gone or 0


def _leaf(db: sqlite3.Connection, seq: int) -> str:
    """The leaf hash of a row; empty where there is none."""
    found = bodies_after(db, seq - 1, 1) if seq else []
    return leaf_hash(found[0][1]).hex() if found and found[0][0] == seq else ""
