"""What the newest records tell: calls by hour, and where a leak was seen. Read only, for the console.

Runs in a thread: plain `sqlite3`. What is older than the newest `WINDOW` records is not looked at.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from gateway import ledger
from gateway.console.ports import Counts
from gateway.core.leaks import Leak, leak_id, sights
from gateway.core.record import decode
from gateway.reading import Row, bodies_of, row_of

WINDOW = 200_000  # records
MOST_FOUND = 2_000  # records with findings
MOST_LEAKS = 5_000
MOST_CALLS = 20  # that saw a leak
MOST_SAID = 100  # records of one leak


def calls_by_hour(db: sqlite3.Connection, hours: Sequence[str]) -> tuple[Counts, Counts]:
    """Calls that ended in these hours (oldest first): by tier, and by verdict."""
    places = {hour: index for index, hour in enumerate(hours)}
    tiers: dict[str, list[int]] = {}
    verdicts: dict[str, list[int]] = {}
    question = (
        "SELECT substr(at, 1, 13), tier, verdict, count(*) FROM record"
        " WHERE seq > ? AND kind = 'outcome' AND at >= ? GROUP BY 1, 2, 3"
    )
    for hour, tier, verdict, count in db.execute(question, (_from(db), hours[0] if hours else "~")):
        if hour in places:
            for found, name in ((tiers, tier or "none"), (verdicts, verdict or "none")):
                found.setdefault(name, [0] * len(hours))[places[hour]] += count
    return _counts(hours, tiers), _counts(hours, verdicts)


def leaks(db: sqlite3.Connection) -> list[Leak]:
    """The leaks, at most `MOST_LEAKS`: those of which something is to be done first, the oldest of them first."""
    found: list[Leak] = []
    while len(found) < MOST_LEAKS and (more := ledger.page(db, after=found[-1].id if found else "")):
        found += more
    return found


def leaks_of(db: sqlite3.Connection, principal: str) -> frozenset[str]:
    """The ids of the leaks that one principal's newest records tell of."""
    question = (
        "SELECT body FROM record WHERE seq > ? AND kind <> 'leak' AND principal = ?"
        " AND instr(body, CAST('\"findings\":' AS BLOB)) > 0 ORDER BY seq DESC LIMIT ?"
    )
    found = db.execute(question, (_from(db), principal, MOST_FOUND))
    return frozenset(sight.leak for (body,) in found for sight in sights(decode(body)[1]))


def saw(db: sqlite3.Connection, leak: Leak, principal: str) -> tuple[Row, ...]:
    """The newest records that saw a leak, one of each call; of one principal, or (empty) of everybody."""
    question = (
        "SELECT seq, body FROM record WHERE seq > ? AND kind <> 'leak' AND (? = '' OR principal = ?)"
        " AND instr(body, CAST(? AS BLOB)) > 0 ORDER BY seq DESC LIMIT ?"
    )
    found: dict[str, Row] = {}
    for seq, body in db.execute(question, (_from(db), principal, principal, leak.fingerprint, 2 * MOST_CALLS)):
        row = row_of(seq, body)
        if any(leak_id(one.kind, one.fingerprint) == leak.id for one in row.record.findings):
            found.setdefault(row.record.id, row)
    return tuple(found.values())[:MOST_CALLS]


def said_of(db: sqlite3.Connection, leak: Leak) -> tuple[Row, ...]:
    """What was said and told of a leak, in order; of many the newest."""
    return tuple(row_of(*found) for found in bodies_of(db, leak.id)[-MOST_SAID:])


def _counts(hours: Sequence[str], by: Mapping[str, Sequence[int]]) -> Counts:
    return Counts(tuple(hours), {name: tuple(values) for name, values in by.items()})


def _from(db: sqlite3.Connection) -> int:
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()
    return int(last) - WINDOW
