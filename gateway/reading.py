"""Read-only access to the record for commands and the monitor: pages, and one call's story.

Plain `sqlite3`, so that commands start fast; it never writes and never makes a store.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from gateway import ids
from gateway.core.kept import COLUMNS as KEPT
from gateway.core.kept import approval_of
from gateway.core.model import Approval, Freeze, Record
from gateway.core.query import FILTERS, PAGE_LIMIT, Query
from gateway.core.record import COLUMNS, decode, stamp, unstamp
from gateway.errors import StateError
from gateway.people import user_name
from gateway.schema import STORE_NAME, VERSION

SLACK = timedelta(minutes=10)  # by which a row may stand before one of an earlier time
BUSY = 2.0  # seconds to wait for a lock


class Row(NamedTuple):
    """A record and where it stands."""

    seq: int
    record: Record


class Viewer(NamedTuple):
    """Who reads: a principal sees its own records, an auditor sees all of them."""

    principal: str
    auditor: bool

    @property
    def restriction(self) -> str:
        """The only principal whose records may be seen; empty: everybody's."""
        return "" if self.auditor else self.principal

    def sees(self, told: "Story") -> bool:
        """Whether all that is told is this viewer's to see."""
        return self.auditor or all(row.record.principal == self.principal for row in told.rows)


def viewer_of(state: Path, seen_as: str = "", auditors: Iterable[str] = ()) -> Viewer:
    """Who reads the record of a state folder: its owner and root are auditors, and so are those named.

    With `seen_as` the owner looks as another principal does.
    """
    uid = os.getuid()
    owner = uid in (0, state.stat().st_uid)
    if seen_as and owner:
        return Viewer(seen_as, seen_as.removeprefix("os:") in set(auditors))
    name = f"os:{user_name(uid)}"
    return Viewer(name, owner or user_name(uid) in set(auditors))


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


# How SQLite finds out that an index of a part of the rows will do: the part has to stand in the question.
_PARTS = {
    **{name: (f"{name} <> ''", frozenset[str]()) for name in ("session", "tool", "upstream", "principal")},
    "kind": ("kind NOT IN ('intent', 'outcome')", frozenset({"intent", "outcome"})),
    "verdict": ("verdict IN ('ask', 'block')", frozenset({"", "allow"})),
    "outcome": ("outcome NOT IN ('', 'ok')", frozenset({"", "ok"})),
}


def newest_bodies(db: sqlite3.Connection, query: Query) -> list[tuple[int, bytes]]:
    """The bodies of one page, newest first; by key, never by offset."""
    terms, values = _terms(query)
    if (query.since or query.until) and not _went_back(db):
        low, high = _span(db, query)
        terms += ["seq > ?", "seq <= ?"]
        values += [low, high]
    where = " AND ".join(terms)
    page = f"SELECT seq, body FROM record WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - column names of ours
    return db.execute(page, (*values, min(query.limit, PAGE_LIMIT))).fetchall()


def newest(db: sqlite3.Connection, query: Query) -> list[Row]:
    """One page of records, newest first."""
    return [Row(*decode(body)) for _, body in newest_bodies(db, query)]


def _terms(query: Query) -> tuple[list[str], list[str | int]]:
    terms, values = ["1"], list[str | int]()
    wanted = {name: query.filters.get(name, "") for name in FILTERS}
    for name, value in (*wanted.items(), ("principal", query.principal)):
        if not value:
            continue
        part, outside = _PARTS.get(name, ("", frozenset()))
        terms += [f"{name} = ?", *([part] if part and value not in outside else [])]
        values.append(value)
    for sign, at in ((">=", query.since), ("<", query.until)):
        if at is not None:
            terms.append(f"at {sign} ?")
            values.append(stamp(at))
    for word in query.text.split():
        terms.append("instr(lower(CAST(body AS TEXT)), lower(?)) > 0")
        values.append(json.dumps(word, ensure_ascii=False)[1:-1])
    if query.before is not None:
        terms.append("seq < ?")
        values.append(query.before)
    return terms, values


def _went_back(db: sqlite3.Connection) -> bool:
    """Whether the clock ever went back: then the order of the rows is not that of time."""
    found = db.execute("SELECT 1 FROM record WHERE kind = 'clock' AND kind NOT IN ('intent', 'outcome') LIMIT 1")
    return found.fetchone() is not None


def _span(db: sqlite3.Connection, query: Query) -> tuple[int, int]:
    """Between which rows a time span lies, with room for those that were written in another order; by halving."""
    first, last = db.execute("SELECT min(seq), max(seq) FROM record").fetchone()
    low, high = (first or 1) - 1, last or 0

    def before(at: datetime) -> int:
        """The last row of before a time."""
        text, begin, end = stamp(at), low, high
        while begin < end:
            middle = (begin + end + 1) // 2
            found = db.execute("SELECT at FROM record WHERE seq = ?", (middle,)).fetchone()
            begin, end = (middle, end) if found and found[0] < text else (begin, middle - 1)
        return begin

    since = before(query.since - SLACK) if query.since is not None else low
    until = before(query.until + SLACK) if query.until is not None else high
    return since, until


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


def approvals_since(db: sqlite3.Connection, since: datetime, limit: int) -> list[Approval]:
    """The approvals that were asked for since a time, the newest `limit` of them, oldest first."""
    question = f"SELECT {', '.join(KEPT)} FROM approval WHERE created_at >= ? ORDER BY created_at DESC, id DESC LIMIT ?"  # noqa: S608 - column names of ours
    return [approval_of(row) for row in db.execute(question, (stamp(since), limit))][::-1]


def freezes_now(db: sqlite3.Connection) -> list[Freeze]:
    """All that is held, oldest first, as the store has it."""
    found = db.execute("SELECT id, upstream, session, tool, by, at, note FROM frozen ORDER BY at, id")
    return [
        Freeze(id, upstream, session, tool, by, unstamp(at), note)
        for id, upstream, session, tool, by, at, note in found
    ]


def sessions_among(db: sqlite3.Connection, limit: int) -> list[str]:
    """The sessions of the newest records."""
    newest_rows = "SELECT session FROM record WHERE session <> '' ORDER BY seq DESC LIMIT ?"
    return [name for (name,) in db.execute(f"SELECT DISTINCT session FROM ({newest_rows})", (limit,))]  # noqa: S608 - ours


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
