"""Read-only access to the record for commands and the monitor: pages, and one call's story.

Plain `sqlite3`, so that commands start fast; it never writes and never makes a store.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from gateway import ids
from gateway.core.kept import COLUMNS as KEPT
from gateway.core.kept import approval_of, grant_of
from gateway.core.model import Approval, Freeze, Grant, Record
from gateway.core.query import Query
from gateway.core.record import COLUMNS, decode, stamp, unstamp
from gateway.errors import StateError, UnreadableError
from gateway.paging import SLACK as SLACK
from gateway.paging import newest_bodies as newest_bodies
from gateway.people import auditors as auditors_of
from gateway.people import user_name
from gateway.schema import OWNER, STORE_NAME, VERSION

BUSY = 2.0  # seconds to wait for a lock
NOBODY = "nobody:"  # a principal that no record has


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
        return "" if self.auditor else self.principal or NOBODY


def viewer_of(state: Path, seen_as: str = "", auditors: Iterable[str] = ()) -> Viewer:
    """Who reads the record of a state folder: its owner and root are auditors, and so are those named.

    With `seen_as` the owner looks as another principal does; nobody else can.
    """
    uid, named = os.getuid(), {f"os:{name}" for name in auditors}
    owner = uid in (0, state.stat().st_uid)
    if seen_as and owner:
        return Viewer(seen_as, seen_as in named)
    name = f"os:{user_name(uid)}"
    return Viewer(name, owner or name in named)


def viewer_in(config: Path, state: Path, seen_as: str = "") -> Viewer:
    """`viewer_of`, with the auditors that a configuration names; raises `StateError` where there is no state folder."""
    try:
        return viewer_of(state, seen_as, auditors_of(config, state.stat().st_uid))
    except FileNotFoundError:
        raise StateError(f"there is no state folder `{state}`: no gateway has run with it") from None


class Story(NamedTuple):
    """All records that belong to one call, in order, and the head of the tree that holds them."""

    call: str
    rows: tuple[Row, ...]
    size: int
    root: str


@contextmanager
def reading(state: Path) -> Iterator[sqlite3.Connection]:
    """Open the record of a state folder to read; raises `UnreadableError` if there is none or it can't be read."""
    file = state / STORE_NAME
    try:
        with closing(open_file(file)) as db:
            check_version(db, file)
            yield db
    except sqlite3.Error as problem:
        raise UnreadableError(f"the record `{file}` can't be read: {problem}") from None


def open_file(file: Path) -> sqlite3.Connection:
    """A connection that can only read; raises `UnreadableError` if there is no such file."""
    if not file.is_file():
        raise UnreadableError(f"there is no record at `{file}`: no gateway has run with this state folder")
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY, isolation_level=None)


def check_version(db: sqlite3.Connection, file: Path) -> None:
    """Raise `UnreadableError` for a record of a later version than this program knows."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise UnreadableError(f"the record `{file}` was written by a newer gateway (version {version})")


def owner_of(db: sqlite3.Connection) -> str:
    """The id of the gateway to which the store belongs, as its configuration named it; empty where none has."""
    found = db.execute("SELECT value FROM meta WHERE name = ?", (OWNER,)).fetchone()
    return str(found[0]) if found else ""


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


def newest(db: sqlite3.Connection, query: Query) -> list[Row]:
    """One page of records, newest first; raises `StateError` for a row that is none."""
    return [row_of(seq, body) for seq, body in newest_bodies(db, query)]


def row_of(seq: int, body: bytes) -> Row:
    """The record that a body holds; raises `StateError` if it holds none."""
    try:
        return Row(seq, decode(body)[1])
    except ValueError as problem:
        raise StateError(f"row {seq} of the record can't be read, `wardgate verify` tells more: {problem}") from None


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


def grants_now(db: sqlite3.Connection, now: datetime, limit: int) -> list[Grant]:
    """The grants that neither ended nor expired, the newest `limit` of them."""
    standing = "SELECT body, used, ended FROM granted WHERE ended = '' AND expires_at > ?"
    found = db.execute(f"{standing} ORDER BY created_at DESC, id DESC LIMIT ?", (stamp(now), limit))
    return [grant_of(row) for row in found]


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
