"""The shape of the store: file names, tables, version. Text only: nothing here opens a database."""

from gateway.core.record import COLUMNS

STORE_NAME = "record.db"
LOCK_NAME = "gateway.lock"
KEY_NAME = "key"
ID_NAME = "gateway-id"

VERSION = 1
"""`PRAGMA user_version`; a gateway refuses a store that is newer than it knows."""

COPIES = ", ".join(COLUMNS)

TABLES = f"""
CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    leaf BLOB NOT NULL,
    {", ".join(f"{name} TEXT NOT NULL" for name in COLUMNS)}
);
CREATE INDEX record_id ON record (id);
CREATE INDEX record_session ON record (session, seq) WHERE session <> '';
CREATE INDEX record_tool ON record (tool, seq) WHERE tool <> '';
CREATE INDEX record_approval ON record (approval) WHERE approval <> '';
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    root BLOB NOT NULL
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE approval (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    call TEXT NOT NULL,
    principal TEXT NOT NULL,
    client TEXT NOT NULL,
    session TEXT NOT NULL,
    upstream TEXT NOT NULL,
    tool TEXT NOT NULL,
    definition TEXT NOT NULL,
    arguments_digest TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    decided_by TEXT NOT NULL DEFAULT '',
    decided_at TEXT NOT NULL DEFAULT '',
    proof TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    ballots TEXT NOT NULL DEFAULT '[]',
    card BLOB NOT NULL
);
CREATE INDEX approval_state ON approval (state, expires_at);
CREATE INDEX approval_call ON approval (call);
CREATE INDEX approval_asked ON approval (principal, created_at);
CREATE INDEX approval_told ON approval (arguments_digest) WHERE told = 1;
CREATE TABLE handle (
    hash BLOB PRIMARY KEY,
    approval TEXT NOT NULL,
    call TEXT NOT NULL,
    principal TEXT NOT NULL,
    client TEXT NOT NULL,
    session TEXT NOT NULL,
    method TEXT NOT NULL,
    exposed TEXT NOT NULL,
    arguments_digest TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX handle_approval ON handle (approval);
CREATE TABLE connection (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    client TEXT NOT NULL,
    session TEXT NOT NULL,
    era TEXT NOT NULL,
    handshake BLOB NOT NULL,
    updated_at TEXT NOT NULL
) WITHOUT ROWID;
"""

INSERT_RECORD = f"INSERT INTO record (seq, body, leaf, {COPIES}) VALUES (?, ?, ?{', ?' * len(COLUMNS)})"  # noqa: S608 - column names of ours
