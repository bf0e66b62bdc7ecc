"""The shape of the store: file names, tables, version. Text only: nothing here opens a database."""

import hashlib

from gateway.core.record import COLUMNS

STORE_NAME = "record.db"
LOCK_NAME = "gateway.lock"
KEY_NAME = "key"
SIGNING_NAME = "signing-key"
OLD_KEYS_NAME = "old-keys"
ID_NAME = "gateway-id"
OWNER = "owner"  # in `meta`: the id that the configuration of the store's gateway names

VERSION = 5
"""`PRAGMA user_version`; a gateway refuses a store that is newer than it knows."""

COPIES = ", ".join(COLUMNS)

_SINCE_2 = """\
CREATE INDEX record_principal ON record (principal, seq) WHERE principal <> '';
CREATE INDEX record_upstream ON record (upstream, seq) WHERE upstream <> '';
CREATE INDEX record_beside ON record (kind, seq) WHERE kind NOT IN ('intent', 'outcome');
CREATE INDEX record_refused ON record (verdict, seq) WHERE verdict IN ('ask', 'block');
CREATE INDEX record_ended ON record (outcome, seq) WHERE outcome NOT IN ('', 'ok');
CREATE TABLE pruned (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    root BLOB NOT NULL
);
CREATE INDEX approval_asked_again ON approval (asked_digest) WHERE told = 1;
CREATE INDEX approval_tool ON approval (upstream, tool, created_at);
CREATE INDEX approval_session ON approval (session, created_at) WHERE state = 'waiting';
CREATE TABLE granted (
    id TEXT PRIMARY KEY,
    ended TEXT NOT NULL DEFAULT '',
    expires_at TEXT NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX granted_standing ON granted (expires_at) WHERE ended = '';
CREATE TABLE frozen (
    id TEXT PRIMARY KEY,
    upstream TEXT NOT NULL,
    session TEXT NOT NULL,
    tool TEXT NOT NULL,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    note TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE approver_key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    attended INTEGER NOT NULL,
    counter INTEGER NOT NULL DEFAULT 0,
    added_at TEXT NOT NULL,
    added_by TEXT NOT NULL
) WITHOUT ROWID;
"""

_SINCE_3 = """\
CREATE TABLE leak (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    generation TEXT NOT NULL,
    grade TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    times INTEGER NOT NULL,
    opened_at TEXT NOT NULL,
    reopened INTEGER NOT NULL DEFAULT 0,
    told INTEGER NOT NULL DEFAULT 0,
    upstream TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments_digest TEXT NOT NULL,
    clean_at TEXT NOT NULL DEFAULT '',
    first_call TEXT NOT NULL,
    last_call TEXT NOT NULL,
    place TEXT NOT NULL,
    by TEXT NOT NULL DEFAULT '',
    known_by TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    until TEXT NOT NULL DEFAULT '',
    false_positive INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX leak_state ON leak (state, opened_at);
CREATE INDEX leak_source ON leak (upstream, tool, arguments_digest) WHERE clean_at = '';
CREATE TABLE leak_sighting (
    leak TEXT NOT NULL,
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (leak, what, name)
) WITHOUT ROWID;
"""

_SINCE_4 = """\
CREATE TABLE flow (
    principal TEXT NOT NULL,
    client TEXT NOT NULL,
    session TEXT NOT NULL,
    tainted INTEGER NOT NULL,
    private INTEGER NOT NULL,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (principal, client, session)
) WITHOUT ROWID;
CREATE TABLE written (form TEXT PRIMARY KEY, call TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spent (
    budget TEXT NOT NULL,
    scope TEXT NOT NULL,
    used INTEGER NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (budget, scope)
) WITHOUT ROWID;
"""

_APPROVAL_SINCE_2 = (
    "ALTER TABLE approval ADD COLUMN asked_digest TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE approval ADD COLUMN followed_by TEXT NOT NULL DEFAULT '';\n"
    "UPDATE approval SET asked_digest = arguments_digest;\n"
    "DROP INDEX approval_told;\n"
)

_AS_WRITTEN_LAST = """\
INSERT INTO written SELECT mark.value, record.id, record.at
FROM record, json_each(iif(json_valid(CAST(body AS TEXT)), CAST(body AS TEXT), '{}'), '$.marks') AS mark
WHERE tier NOT IN ('read', '') AND instr(body, CAST('"marks":' AS BLOB)) > 0
AND mark.value IN (SELECT form FROM written) ORDER BY seq
ON CONFLICT (form) DO UPDATE SET call = excluded.call, at = excluded.at WHERE excluded.at >= written.at;
"""  # before, what was written again was as old as what was written first

_RAISED_WITH_CLIENTS = """\
UPDATE meta SET value = (
    SELECT json_group_array(json_array(json_array(principal, client, named), detail)) FROM (
        SELECT principal, client, iif(instr(session, principal || '/' || client || '/') = 1, session, '') AS named,
        json_extract(CAST(body AS TEXT), '$.detail') AS detail, min(seq) AS first
        FROM record WHERE kind = 'signal' AND session <> '' AND json_valid(CAST(body AS TEXT))
        AND iif(json_valid(CAST(body AS TEXT)), json_extract(CAST(body AS TEXT), '$.extra.effect'), '') = 'raise'
        GROUP BY principal, client, named
        HAVING named <> '' OR max(at) > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-12 hours')
        ORDER BY first
    )
) WHERE name = 'signals.raised'"""  # before, a session stood there by its name alone

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
    card BLOB NOT NULL,
    asked_digest TEXT NOT NULL DEFAULT '',
    followed_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX approval_state ON approval (state, expires_at);
CREATE INDEX approval_call ON approval (call);
CREATE INDEX approval_asked ON approval (principal, created_at);
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
{_SINCE_2}{_SINCE_3}{_SINCE_4}"""

STEPS = {
    1: f"{_APPROVAL_SINCE_2}{_SINCE_2}INSERT INTO pruned VALUES (1, 0, x'', x'{hashlib.sha256().hexdigest()}')",  # noqa: S608 - ours
    2: _SINCE_3,
    3: _SINCE_4,
    4: f"{_AS_WRITTEN_LAST}{_RAISED_WITH_CLIENTS}",
}
"""From a version to the next one: what has to be done to a store that was made by it."""

_INSERT = f"INSERT INTO record (seq, body, leaf, {COPIES}) VALUES "  # noqa: S608 - column names of ours
_ROW = f"(?, ?, ?{', ?' * len(COLUMNS)})"
INSERT_RECORD = f"{_INSERT}{_ROW}"
INSERT_CHUNKS = {count: f"{_INSERT}{', '.join([_ROW] * count)}" for count in (64, 16, 4, 1)}
"""Many rows by one statement: each statement gives up the interpreter's lock and has to wait for it again, which a busy
loop makes long."""
