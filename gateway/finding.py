"""Find the records in which a value stands only as a keyed digest. It reads, and keeps neither value nor key.

No index helps: each page of the record is searched for the digests that the value would have under each key.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.core.lookup import Digests, places
from gateway.core.query import PAGE_LIMIT, Query
from gateway.core.record import decode
from gateway.reading import Row, newest_bodies


class Found(NamedTuple):
    """A record, and where in it the value stands."""

    row: Row
    places: tuple[str, ...]


class Page(NamedTuple):
    """What was found, newest first; `next` is where to go on (None: nothing is left)."""

    found: Sequence[Found]
    next: int | None


def find(db: sqlite3.Connection, digests: Digests, query: Query) -> Page:
    """The newest `query.limit` records that fit the query and hold one of the digests.

    It reads as many pages of the record as that takes, up to all of it.
    """
    found: list[Found] = []
    for body in _holding(db, digests, query):
        row = Row(*decode(body))
        if where := places(row.record, digests):
            found.append(Found(row, where))
        if len(found) == query.limit:
            return Page(found, row.seq)
    return Page(found, None)


def _holding(db: sqlite3.Connection, digests: Digests, query: Query) -> Iterator[bytes]:
    """The bodies in which one of the digests stands as text."""
    pattern = re.compile(b"|".join(sorted({digest.encode("ascii") for digest in digests.all})))
    before = query.before
    while page := newest_bodies(db, Query(query.filters, query.since, query.until, before=before, limit=PAGE_LIMIT)):
        yield from (body for _, body in page if pattern.search(body))
        before = page[-1][0]


def lost_up_to(db: sqlite3.Connection) -> int | None:
    """The last record whose digests were made with a key that was lost since; no value can be looked for up to it."""
    query = Query({"kind": "key"}, limit=PAGE_LIMIT)
    told = (decode(body) for _, body in newest_bodies(db, query))
    return next((seq for seq, it in told if it.extra.get("which") == "digest" and it.extra.get("lost")), None)
