"""Sum up the sessions that are on the record: who they were of, and what was done in them.

Plain `sqlite3`, read only, and bounded: for when no gateway runs that counts them (`monitor`).
"""

import sqlite3
from heapq import nlargest
from typing import Any

from gateway.core.query import Query
from gateway.core.record import decode
from gateway.core.signals import SessionCounters
from gateway.paging import bodies_beyond

LOOKED = 50_000  # rows of one principal in which sessions are looked for
COUNTED = 5_000  # the newest rows of one session that are counted
IN_ALL = 50_000  # rows that are counted in one answer
LEAST = 100  # rows of each session that are counted all the same

_EVERY = """\
WITH RECURSIVE each (session) AS (
    SELECT (SELECT session FROM record WHERE session <> '' ORDER BY session LIMIT 1)
    UNION ALL
    SELECT (SELECT session FROM record WHERE session > each.session AND session <> '' ORDER BY session LIMIT 1)
    FROM each WHERE session IS NOT NULL
)
SELECT (SELECT max(seq) FROM record WHERE session = each.session AND session <> ''), session
FROM each WHERE session IS NOT NULL
"""  # from one session to the next in the index, past all rows of each
_OF_ONE = "SELECT seq, session FROM record WHERE principal = ? AND principal <> '' ORDER BY seq DESC LIMIT ?"
_NEWEST = "SELECT seq FROM record WHERE session = ? AND session <> '' ORDER BY seq DESC LIMIT ?"
_FIRST = "SELECT at FROM record WHERE session = ? AND session <> '' ORDER BY seq LIMIT 1"


def sessions_of(db: sqlite3.Connection, principal: str, limit: int) -> list[dict[str, Any]]:
    """The sessions that were active last, newest first, as `wardgate sessions --json` prints them.

    Only what `principal` did; empty: everybody. `whole` is False where only the newest rows of one were counted.
    """
    items, left = list[dict[str, Any]](), IN_ALL
    for upto, session in _newest(db, principal, limit):
        most = max(LEAST, min(COUNTED, left))
        item, count = _summed(db, session, principal, upto, most)
        items.append(item)
        left -= count
    return items


def _newest(db: sqlite3.Connection, principal: str, limit: int) -> list[tuple[int, str]]:
    """The last row and the name of each session, the one that was active last first."""
    if not principal:
        return nlargest(limit, db.execute(_EVERY))
    found = dict[str, int]()
    for seq, session in db.execute(_OF_ONE, (principal, LOOKED)):
        if session and session not in found:
            found[session] = seq
            if len(found) == limit:
                break
    return [(seq, session) for session, seq in found.items()]


def _summed(db: sqlite3.Connection, session: str, principal: str, upto: int, most: int) -> tuple[dict[str, Any], int]:
    """One session, and how many of its rows were read."""
    seqs = [seq for (seq,) in db.execute(_NEWEST, (session, most))]
    counters = SessionCounters(session)
    for _, body in bodies_beyond(db, Query({"session": session}, principal=principal), seqs[-1] - 1, upto):
        try:
            record = decode(body)[1]
        except ValueError:
            continue  # a row that is no record: `wardgate verify` finds it
        counters.count(record)
    whole, item = len(seqs) < most, counters.item()
    if not whole and not principal:
        item["first_at"] = db.execute(_FIRST, (session,)).fetchone()[0]
    return {**item, "whole": whole}, len(seqs)
