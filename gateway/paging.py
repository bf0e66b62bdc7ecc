"""Pages of the record, by key and by index, never by offset: what `Query` asks for becomes SQL here.

Plain `sqlite3`, read only; whose records may be seen is said by the query.
"""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from gateway.core.query import FILTERS, PAGE_LIMIT, Query
from gateway.core.record import decode, stamp, unstamp
from gateway.core.search import Search
from gateway.searching import Block, Index, opened

SLACK = timedelta(minutes=10)  # by which a row may stand before one of an earlier time
SCAN = 1_000  # rows that are looked through in one read
LOOK = 200  # rows that an index names at a time
_LAST = (1 << 63) - 1

Body = tuple[int, bytes]
Names = Callable[[int, int, int], list[int]]  # after, upto, limit -> rows that may hold what is looked for

# How SQLite finds out that an index of a part of the rows will do: the part has to stand in the question. The first
# filter of these that is given leads, as its rows are the fewest: the others must not tempt SQLite to another index.
_PARTS = {
    "session": ("session <> ''", frozenset[str]()),
    "kind": ("kind NOT IN ('intent', 'outcome')", frozenset({"intent", "outcome"})),
    "outcome": ("outcome NOT IN ('', 'ok')", frozenset({"", "ok"})),
    "verdict": ("verdict IN ('ask', 'block')", frozenset({"", "allow"})),
    "tool": ("tool <> ''", frozenset[str]()),
    "upstream": ("upstream <> ''", frozenset[str]()),
    "principal": ("principal <> ''", frozenset[str]()),
}


def newest_bodies(db: sqlite3.Connection, query: Query) -> list[Body]:
    """The bodies of one page, newest first."""
    after, upto = _span(db, query)
    search, limit = Search.of(query.text), min(query.limit, PAGE_LIMIT)
    if not search.parts:
        return list(islice(_rows(db, query, after, upto, limit), limit))
    with opened(_folder(db)) as index:
        return list(islice(_found(db, query, search, index, after, upto), limit))


def bodies_beyond(db: sqlite3.Connection, query: Query, after: int, upto: int) -> Iterator[Body]:
    """The bodies of the rows behind `after` up to `upto` that fit, oldest first; `before` and `limit` don't count."""
    search = Search.of(query.text)
    where, values = _where(query)
    page = f"SELECT seq, body FROM record WHERE {where} AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"  # noqa: S608 - ours
    while found := db.execute(page, (*values, after, upto, LOOK)).fetchall():
        yield from (row for row in found if _holds(search, row[1]))
        after = found[-1][0]


def _rows(db: sqlite3.Connection, query: Query, after: int, upto: int, size: int) -> Iterator[Body]:
    """The rows behind `after` up to `upto` that fit but for their text, newest first; `size` of them in one read."""
    where, values = _where(query)
    page = f"SELECT seq, body FROM record WHERE {where} AND seq > ? AND seq <= ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - ours
    count = size
    while count == size and upto > after:
        count = 0
        for seq, body in db.execute(page, (*values, after, upto, size)):
            count, upto = count + 1, seq - 1
            yield seq, body


def _found(
    db: sqlite3.Connection, query: Query, search: Search, index: Index | None, after: int, upto: int
) -> Iterator[Body]:
    """Those of them that hold a text: by the index where it covers the rows, else by looking through them."""
    expression = search.expression((*query.filters.values(), query.principal))
    for block in _blocks(index) if index is not None and expression else ():
        begin, end = max(block.after, after), min(block.upto, upto)
        if begin >= end or _few(db, query, begin, end) or leaf_of(db, block.upto) != block.leaf:
            continue  # sooner looked through, or of another record
        assert index is not None  # it has this block
        yield from _through(db, query, search, end, upto)
        yield from _named(db, query, search, partial(index.candidates, block, expression), begin, end)
        upto = begin
    yield from _through(db, query, search, after, upto)


def _blocks(index: Index) -> list[Block]:
    """The blocks of an index; a damaged one has none."""
    try:
        return index.blocks()
    except sqlite3.Error:
        return []


def _few(db: sqlite3.Connection, query: Query, after: int, upto: int) -> bool:
    """Whether an index of the record itself leaves few rows behind `after` up to `upto` to look through."""
    name, value = _leader(query)
    if not name:
        return False
    rows = f"SELECT 1 FROM record WHERE {name} = ? AND {_PARTS[name][0]} AND seq > ? AND seq <= ? LIMIT ?"  # noqa: S608 - ours
    counted = db.execute(f"SELECT count(*) FROM ({rows})", (value, after, upto, SCAN))  # noqa: S608 - ours
    return bool(counted.fetchone()[0] < SCAN)


def _through(db: sqlite3.Connection, query: Query, search: Search, after: int, upto: int) -> Iterator[Body]:
    return (row for row in _rows(db, query, after, upto, SCAN) if _holds(search, row[1]))


def _named(db: sqlite3.Connection, query: Query, search: Search, ask: Names, after: int, upto: int) -> Iterator[Body]:
    """The rows behind `after` up to `upto` that the index names, that fit and that hold the text, newest first."""
    where, values = _where(query, leading=False)
    one = f"SELECT seq, body FROM record WHERE seq = ? AND {where}"  # noqa: S608 - column names of ours
    while upto > after:
        try:
            named = ask(after, upto, LOOK)
        except sqlite3.Error:  # a damaged index names nothing
            yield from _through(db, query, search, after, upto)
            return
        for seq in named:
            row = db.execute(one, (seq, *values)).fetchone()
            if row is not None and _holds(search, row[1]):
                yield row
        upto = named[-1] - 1 if len(named) == LOOK else after


def _holds(search: Search, body: bytes) -> bool:
    if not search.parts:
        return True
    try:
        return search.may_stand_in(body) and search.holds(decode(body)[1])
    except ValueError:
        return False  # a row that is no record: `wardgate verify` finds it


def leaf_of(db: sqlite3.Connection, seq: int) -> bytes:
    """The leaf hash of one row; empty where there is none."""
    found = db.execute("SELECT leaf FROM record WHERE seq = ?", (seq,)).fetchone()
    return bytes(found[0]) if found else b""


def _folder(db: sqlite3.Connection) -> Path:
    """The state folder that a connection reads."""
    return Path(next(file for _, name, file in db.execute("PRAGMA database_list") if name == "main")).parent


def _where(query: Query, *, leading: bool = True) -> tuple[str, list[str | int]]:
    """The terms of a query but for its text and its place, and their values."""
    first = _leader(query)[0] if leading else ""
    terms, values = [_PARTS[first][0]] if first else ["1"], list[str | int]()
    for name, value in _asked(query):
        terms.append(f"{'' if name == first else '+'}{name} = ?")
        values.append(value)
    for sign, at in ((">=", query.since), ("<", query.until)):
        if at is not None:
            terms.append(f"at {sign} ?")
            values.append(stamp(at))
    return " AND ".join(terms), values


def _asked(query: Query) -> list[tuple[str, str]]:
    """The columns that have to equal something; the principal may be asked for twice, and then has to be both."""
    asked = [(name, query.filters[name]) for name in FILTERS if query.filters.get(name)]
    return [*asked, ("principal", query.principal)] if query.principal else asked


def _leader(query: Query) -> tuple[str, str]:
    """The filter by whose index rows are found, and its value; empty where none has one."""
    asked = dict(_asked(query))
    return next(
        ((name, asked[name]) for name in _PARTS if name in asked and asked[name] not in _PARTS[name][1]), ("", "")
    )


def _span(db: sqlite3.Connection, query: Query) -> tuple[int, int]:
    """Behind which row and up to which one a page may lie; by halving, with room for rows out of order."""
    upto = _LAST if query.before is None else query.before - 1
    if query.since is None and query.until is None:
        return 0, upto
    slack = SLACK + _went_back(db)
    first, last = db.execute("SELECT (SELECT min(seq) FROM record), (SELECT max(seq) FROM record)").fetchone()
    low, high = (first or 1) - 1, last or 0
    after = _before(db, query.since - slack, low, high) if query.since is not None else low
    return after, min(upto, _before(db, query.until + slack, low, high) if query.until is not None else high)


def row_before(db: sqlite3.Connection, since: datetime) -> int:
    """A row behind which all records since a time stand."""
    return _span(db, Query(since=since))[0]


def _before(db: sqlite3.Connection, at: datetime, low: int, high: int) -> int:
    """The last row behind `low` up to `high` of before a time."""
    text = stamp(at)
    while low < high:
        middle = (low + high + 1) // 2
        found = db.execute("SELECT at FROM record WHERE seq = ?", (middle,)).fetchone()
        low, high = (middle, high) if found and found[0] < text else (low, middle - 1)
    return low


def _went_back(db: sqlite3.Connection) -> timedelta:
    """How far the clock ever went back, all times together."""
    jumps = "SELECT body FROM record WHERE kind = 'clock' AND kind NOT IN ('intent', 'outcome')"
    told = [decode(body)[1].extra for (body,) in db.execute(jumps)]
    known = [each for each in told if {"expected", "found"} <= each.keys()]
    return sum((unstamp(each["expected"]) - unstamp(each["found"]) for each in known), timedelta())


def newest_seq(db: sqlite3.Connection) -> int:
    """The sequence number of the newest row; 0 without any."""
    return int(db.execute("SELECT max(seq) FROM record").fetchone()[0] or 0)
