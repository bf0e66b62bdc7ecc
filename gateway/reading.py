"""Read-only access to the record for commands and the monitor: pages, and one call's story.

Plain `sqlite3`, so that commands start fast; it never writes and never makes a store.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gateway import ids
from gateway.core.model import Record
from gateway.core.query import Query
from gateway.core.record import COLUMNS, decode, stamp
from gateway.errors import StateError
from gateway.schema import STORE_NAME, VERSION

FILTERS = ("kind", "session", "tool", "upstream", "verdict", "outcome", "principal", "client")
PAGE_LIMIT = 1_000
BUSY = 2.0  # seconds to wait for a lock


class Row(NamedTuple):
    """A record and where it stands."""

    seq: int
    record: Record


class Story(NamedTuple):
    """All records that belong to one call, in order, and the head of the tree that holds them."""

    call: str
    rows: tuple[Row, ...]
    size: int
    root: str


@contextmanager
def reading(state: Path) -> Iterator[sqlite3.Connection]:
    """Open the record of a state folder to read; raises `StateError` if there is none or it can't be read."""
    file = state / STORE_NAME
    try:
        with closing(open_file(file)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StateError(f"the record `{file}` was written by a newer gateway (version {version})")
            yield db
    except sqlite3.Error as problem:
        raise StateError(f"the record `{file}` can't be read: {problem}") from None


def open_file(file: Path) -> sqlite3.Connection:
    """A connection that can only read; raises `StateError` if there is no such file."""
    if not file.is_file():
        raise StateError(f"there is no record at `{file}`: no gateway has run with this state folder")
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY, isolation_level=None)


def bodies_after(db: sqlite3.Connection, seq: int, limit: int) -> list[tuple[int, bytes]]:
    """The bodies of the rows behind `seq`, in order."""
    return db.execute("SELECT seq, body FROM record WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)).fetchall()


def bodies_of(db: sqlite3.Connection, wanted: str) -> list[tuple[int, bytes]]:
    """The bodies of one id, in order."""
    return db.execute("SELECT seq, body FROM record WHERE id = ? ORDER BY seq", (wanted,)).fetchall()


def leaves_between(db: sqlite3.Connection, after: int, upto: int) -> list[bytes]:
    """The leaf hashes of the rows behind `after` up to `upto`, in order."""
    found = db.execute("SELECT leaf FROM record WHERE seq > ? AND seq <= ? ORDER BY seq", (after, upto))
    return [leaf for (leaf,) in found]


def newest_bodies(db: sqlite3.Connection, query: Query) -> list[tuple[int, bytes]]:
    """The bodies of one page, newest first."""
    found = newest(db, query.filters, query.before, query.limit)
    wanted = [row.seq for row in found]
    return [db.execute("SELECT seq, body FROM record WHERE seq = ?", (seq,)).fetchone() for seq in wanted]


def intents_since(db: sqlite3.Connection, at: str, limit: int = 100_000) -> list[Record]:
    """The intents from a time on (as `stamp` writes it), oldest first: what rates and session counters are made of."""
    query = "SELECT body FROM record WHERE kind = 'intent' AND at >= ? ORDER BY seq DESC LIMIT ?"
    return [decode(body)[1] for (body,) in db.execute(query, (at, limit))][::-1]


def newest(db: sqlite3.Connection, filters: Mapping[str, str], before: int | None, limit: int) -> list[Row]:
    """One page of records, newest first, those before `before` that equal every filter; by key, never by offset."""
    terms: list[str] = ["1"]
    values: list[str | int] = []
    for name in FILTERS:
        if wanted := filters.get(name):
            terms.append(f"{name} = ?")
            values.append(wanted)
    if before is not None:
        terms.append("seq < ?")
        values.append(before)
    where = " AND ".join(terms)
    query = f"SELECT body FROM record WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - column names of ours
    return [Row(*decode(body)) for (body,) in db.execute(query, (*values, min(limit, PAGE_LIMIT)))]


def find_call(db: sqlite3.Connection, prefix: str) -> list[str]:
    """The calls whose id begins so (an approval's id stands for its call); two at most, none for a short prefix."""
    wanted = ids.normal(prefix)
    if len(wanted) < ids.SHORTEST_PREFIX:
        return []
    table, column = ("approval", "call") if wanted.startswith(f"{ids.APPROVAL}_") else ("record", "id")
    query = f"SELECT DISTINCT {column} FROM {table} WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"  # noqa: S608 - ours
    found = [row[0] for row in db.execute(query, (wanted, wanted + "\x7f"))]
    if found or column == "call":
        return found
    held = "SELECT DISTINCT call FROM approval WHERE call >= ? AND call < ? ORDER BY call LIMIT 2"
    return [row[0] for row in db.execute(held, (wanted, wanted + "\x7f"))]


def story(db: sqlite3.Connection, call: str) -> Story:
    """Everything that the record says of one call: its own records, and all that name one of its approvals."""
    own = db.execute("SELECT seq, body, approval FROM record WHERE id = ? ORDER BY seq", (call,)).fetchall()
    asked = db.execute("SELECT id FROM approval WHERE call = ?", (call,)).fetchall()
    bodies = {seq: body for seq, body, _ in own}
    for approval in {row[0] for row in asked} | {row[2] for row in own if row[2]}:
        query = "SELECT seq, body FROM record WHERE approval = ? AND approval <> ''"  # as its index says
        bodies.update(db.execute(query, (approval,)))
    size, root = db.execute("SELECT size, root FROM head WHERE one = 1").fetchone()
    return Story(call, tuple(Row(*decode(bodies[seq])) for seq in sorted(bodies)), size, root.hex())


def log_item(row: Row) -> dict[str, Any]:
    """A record as `log --json` prints it (`policy.md`)."""
    record = row.record
    texts = {name: getattr(record, name) for name in COLUMNS if name not in ("kind", "at")}
    return {
        "seq": row.seq,
        "kind": record.kind.value,
        "at": stamp(record.at),
        **texts,
        "effect": record.effect,
        "rules": list(record.rules),
        "obligations": list(record.obligations),
        "policy_revision": record.policy_revision,
        "release": record.release,
        "findings": [{"kind": found.kind, "place": found.place} for found in record.findings],
    }
