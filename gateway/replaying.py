"""Read recorded calls, with what they rested on, for deciding on them again. It reads one snapshot and decides nothing.

A running gateway goes on beside it: what it writes meanwhile is not seen.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from gateway.core.model import Grant
from gateway.core.policy import Policy
from gateway.core.query import Query
from gateway.core.simulate import Report, Simulation
from gateway.errors import StateError
from gateway.paging import bodies_beyond, newest_seq, row_before
from gateway.reading import Row, row_of

BEFORE = timedelta(days=1)  # of records before the time that is asked for: questions, and uses of rates
_GRANTS = msgspec.json.Decoder(Grant)


def simulate(
    db: sqlite3.Connection, policy: Policy, since: datetime | None, seen_by: str = "", keys: tuple[bytes, ...] = ()
) -> Report:
    """Simulate a policy over the calls since a time (None: all) that one principal may see (empty: everybody's).

    Raises `StateError` where a row is no record.
    """
    db.execute("BEGIN")
    try:
        simulation = Simulation(policy, grants(db), since, keys)
        for row in rows(db, since - BEFORE if since is not None else None, seen_by):
            simulation.take(row.seq, row.record)
        return simulation.report()
    finally:
        db.execute("ROLLBACK")


def rows(db: sqlite3.Connection, since: datetime | None, seen_by: str = "") -> Iterator[Row]:
    """The records since a time, in order."""
    query, after = Query(since=since, principal=seen_by), row_before(db, since) if since is not None else 0
    for seq, body in bodies_beyond(db, query, after, newest_seq(db)):
        yield row_of(seq, body)


def grants(db: sqlite3.Connection) -> Mapping[str, Grant]:
    """All grants that the store still has, by id."""
    try:
        found = [
            replace(_GRANTS.decode(body), used=used, ended=ended)
            for body, used, ended in db.execute("SELECT body, used, ended FROM granted")
        ]
    except msgspec.MsgspecError as broken:
        raise StateError(f"a grant of the record can't be read: {type(broken).__name__}") from None
    return {grant.id: grant for grant in found}
