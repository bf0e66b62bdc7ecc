"""How SQLite does the changes and answers the questions that `rows.py` names. Text only: nothing is executed here."""

_APPROVAL = (
    "SELECT id, state, call, principal, client, session, upstream, tool, definition, arguments_digest, created_at, "
    "expires_at, told, decided_by, decided_at, proof, note, card FROM approval "
)

CHANGES = {
    "approval.open": (
        "INSERT INTO approval (id, state, call, principal, client, session, upstream, tool, definition, "
        "arguments_digest, created_at, expires_at, card) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
        "WHERE (SELECT count(*) FROM approval WHERE principal = ? AND created_at > ?) < ?"
    ),
    "approval.move": (
        "UPDATE approval SET state = ?, decided_by = ?, decided_at = ?, proof = ?, note = ?, ballots = ? "
        "WHERE id = ? AND state = ? AND ballots = ?"
    ),
    "approval.use": "UPDATE approval SET state = 'used' WHERE id = ? AND state = 'approved' AND expires_at > ?",
    "approval.tell": "UPDATE approval SET told = 1 WHERE id = ? AND state IN ('waiting', 'approved', 'denied')",
    "approval.tell-waiting": "UPDATE approval SET told = 1 WHERE id = ? AND state = 'waiting'",
    "approval.tell-all": "UPDATE approval SET told = 1 WHERE state IN ('waiting', 'approved') AND told = 0",
    "approval.attach": "UPDATE approval SET told = 0 WHERE id = ? AND told = 1",
    "handle.open": (
        "INSERT INTO handle (hash, approval, call, principal, client, session, method, exposed, arguments_digest, "
        "created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    ),
    "handle.use": (
        "UPDATE handle SET used = 1 WHERE hash = ? AND used = 0 AND principal = ? AND client = ? AND session = ? "
        "AND method = ? AND exposed = ? AND arguments_digest = ? AND expires_at > ?"
    ),
    "connection.keep": "INSERT OR REPLACE INTO connection VALUES (?, ?, ?, ?, ?, ?, ?)",
    "connection.forget": "DELETE FROM connection WHERE id = ?",
    "meta.set": "INSERT OR REPLACE INTO meta VALUES (?, ?)",
    "record.prune": "DELETE FROM record WHERE seq <= ?",
    "pruned.advance": "UPDATE pruned SET size = ?, frontier = ?, root = ? WHERE one = 1 AND size = ?",
    "approval.tidy": (
        "DELETE FROM approval WHERE state IN ('denied', 'expired', 'used', 'withdrawn') AND expires_at < ?"
    ),
    "handle.tidy": "DELETE FROM handle WHERE expires_at < ?",
    "connection.tidy": "DELETE FROM connection WHERE updated_at < ?",
}

QUESTIONS = {
    "approval.by-prefix": _APPROVAL + "WHERE id >= ? AND id < ? ORDER BY id LIMIT 2",
    "approval.in-state": _APPROVAL + "WHERE state = ? ORDER BY created_at DESC, id DESC LIMIT ?",
    "approval.newest": _APPROVAL + "ORDER BY created_at DESC, id DESC LIMIT ?",
    "approval.told": (
        _APPROVAL + "WHERE told = 1 AND arguments_digest = ? AND principal = ? AND client = ? AND session = ? "
        "AND state IN ('waiting', 'approved', 'denied') AND expires_at > ? ORDER BY created_at, id"
    ),
    "approval.due": (_APPROVAL + "WHERE state IN ('waiting', 'approved') AND expires_at <= ? ORDER BY created_at, id"),
    "approval.ballots": "SELECT ballots FROM approval WHERE id = ?",
    "handle.by-hash": "SELECT approval, call, created_at FROM handle WHERE hash = ?",
    "handle.count": "SELECT count(*) FROM handle WHERE approval = ?",
    "connection.by-id": (
        "SELECT id, principal, client, session, era, handshake, updated_at FROM connection WHERE id = ?"
    ),
    "meta.get": "SELECT value FROM meta WHERE name = ?",
    "record.open-intents": (
        "SELECT body FROM record AS intent WHERE seq > ? AND kind = 'intent' AND NOT EXISTS "
        "(SELECT 1 FROM record WHERE id = intent.id AND kind = 'outcome') ORDER BY seq LIMIT ?"
    ),
    "record.first-open": (
        "SELECT seq FROM record AS intent WHERE seq > ? AND seq <= ? AND kind = 'intent' AND NOT EXISTS "
        "(SELECT 1 FROM record WHERE id = intent.id AND kind = 'outcome') ORDER BY seq LIMIT 1"
    ),
    "record.intents-since": ("SELECT body FROM record WHERE kind = 'intent' AND at >= ? ORDER BY seq DESC LIMIT ?"),
    "record.ended": "SELECT 1 FROM record WHERE id = ? AND kind = 'outcome' LIMIT 1",
    "pruned": "SELECT size, frontier, root FROM pruned WHERE one = 1",
}
