"""Read the leaks that a store keeps: for commands and the console, with a gateway running or not. It writes nothing.

Plain `sqlite3`, so that commands start fast. The questions are the store's own, too.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway import ids
from gateway.core.leaks import COLUMNS, Leak, leak_of

PAGE_LIMIT = 1_000
ALL, COUNTING = "", "counting"  # of any state; open or rotating

_COLUMNS = ", ".join(COLUMNS)
_LEAK = f"SELECT {_COLUMNS} FROM leak "  # noqa: S608 - column names of ours

# What counts comes first, by its age.
PAGE = (
    f"SELECT {_COLUMNS} FROM leak WHERE (? IN ('', state) OR (? = 'counting' AND state IN ('open', 'rotating'))) "  # noqa: S608 - ours
    "AND (? = '' OR (state NOT IN ('open', 'rotating'), opened_at, id) > "
    "(SELECT state NOT IN ('open', 'rotating'), opened_at, id FROM leak WHERE id = ?)) "
    "ORDER BY state NOT IN ('open', 'rotating'), opened_at, id LIMIT ?"
)
BY_PREFIX = _LEAK + "WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
SIGHTINGS = "SELECT what, name, count FROM leak_sighting WHERE leak = ? ORDER BY what, count DESC, name"
DUE = (
    _LEAK + "WHERE (state = 'accepted' AND until <= ?) OR (state IN ('open', 'rotating') AND (told < 1 "
    "OR (told < 2 AND state = 'open' AND opened_at <= ?) OR (told < 3 AND opened_at <= ?) "
    "OR (told < 4 AND opened_at <= ?))) ORDER BY opened_at, id LIMIT ?"
)


def page(db: sqlite3.Connection, state: str = ALL, after: str = "", limit: int = PAGE_LIMIT) -> list[Leak]:
    """The leaks in one state (or `ALL`, or `COUNTING`) behind the one with the id `after`, at most `limit`.

    What counts comes first, the oldest first; then what is settled.
    """
    found = db.execute(PAGE, (state, state, after, after, limit)).fetchall()
    return [_whole(db, row) for row in found]


def find(db: sqlite3.Connection, prefix: str) -> list[Leak]:
    """The leaks whose id begins so, two at most; none for a prefix that is too short."""
    wanted = ids.normal(prefix)
    if len(wanted) < ids.SHORTEST_PREFIX:
        return []
    return [_whole(db, row) for row in db.execute(BY_PREFIX, (wanted, wanted + "\x7f")).fetchall()]


def _whole(db: sqlite3.Connection, row: Sequence[Any]) -> Leak:
    return leak_of(row, db.execute(SIGHTINGS, (row[0],)).fetchall())
