"""How SQLite does the changes and answers the questions that `rows.py`, `people.py` and `leaks.py` name.

Text only: nothing is executed here.
"""

from gateway import ledger
from gateway.core.kept import COLUMNS

_APPROVAL = f"SELECT {', '.join(COLUMNS)} FROM approval "  # noqa: S608 - column names of ours

_FULL = 2**62  # millionths that are used of a budget at most: no sum of two amounts is over 64 bits
_GENERATION = "coalesce((SELECT substr(value, 1, 16) FROM meta WHERE name = 'key'), '')"  # of the key of digests
_REOPENS = (
    "((leak.state = 'rotated' AND leak.at < excluded.opened_at) "
    "OR (leak.state = 'accepted' AND leak.until <= excluded.opened_at))"
)
_READ = "excluded.arguments_digest <> ''"  # it stood in an output whose source is known

CHANGES = {
    "approval.open": (
        "INSERT INTO approval (id, state, call, principal, client, session, upstream, tool, definition, "
        "arguments_digest, created_at, expires_at, card, asked_digest, told) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
        "WHERE (SELECT count(*) FROM approval WHERE principal = ? AND created_at > ?) < ?"
    ),
    "approval.move": (
        "UPDATE approval SET state = ?, decided_by = ?, decided_at = ?, proof = ?, note = ?, ballots = ?, "
        "followed_by = ? WHERE id = ? AND state = ? AND ballots = ?"
    ),
    "approval.use": "UPDATE approval SET state = 'used' WHERE id = ? AND state = 'approved' AND expires_at > ?",
    "approval.tell": "UPDATE approval SET told = 1 WHERE id = ? AND state IN ('waiting', 'approved', 'denied')",
    "approval.tell-waiting": "UPDATE approval SET told = 1 WHERE id = ? AND state = 'waiting'",
    "approval.tell-all": "UPDATE approval SET told = 1 WHERE state IN ('waiting', 'approved') AND told = 0",
    "approval.attach": "UPDATE approval SET told = 0 WHERE id = ? AND told = 1",
    "grant.open": "INSERT INTO granted (id, expires_at, uses, created_at, body) VALUES (?, ?, ?, ?, ?)",
    "grant.use": ("UPDATE granted SET used = used + 1 WHERE id = ? AND ended = '' AND used < uses AND expires_at > ?"),
    "grant.end": "UPDATE granted SET ended = ? WHERE id = ? AND ended = ''",
    "freeze.add": "INSERT INTO frozen (id, upstream, session, tool, by, at, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
    "freeze.lift": "DELETE FROM frozen WHERE id = ?",
    "freeze.none": (
        "UPDATE head SET size = size WHERE one = 1 AND NOT EXISTS (SELECT 1 FROM frozen "
        "WHERE upstream IN ('', ?) AND session IN ('', ?) AND tool IN ('', ?))"
    ),
    "key.add": (
        "INSERT INTO approver_key (id, name, kind, key, attended, counter, added_at, added_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    ),
    "key.revoke": "DELETE FROM approver_key WHERE id = ?",
    "key.count": "UPDATE approver_key SET counter = ? WHERE id = ? AND (counter < ? OR counter = 0)",
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
    "leak.see": (
        "INSERT INTO leak (id, kind, fingerprint, generation, grade, state, owner, first_seen, last_seen, times, "
        "opened_at, upstream, tool, arguments_digest, first_call, last_call, place) "
        f"SELECT ?, ?, ?, {_GENERATION}, ?, 'open', ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ? "
        "WHERE true ON CONFLICT (id) DO UPDATE SET grade = excluded.grade, times = times + 1, "
        "last_seen = max(last_seen, excluded.last_seen), last_call = excluded.last_call, place = excluded.place, "
        f"upstream = iif({_READ}, excluded.upstream, upstream), tool = iif({_READ}, excluded.tool, tool), "
        f"arguments_digest = iif({_READ}, excluded.arguments_digest, arguments_digest), "
        f"clean_at = iif({_READ}, '', clean_at), opened_at = iif({_REOPENS}, excluded.opened_at, opened_at), "
        f"reopened = reopened + {_REOPENS}, told = iif({_REOPENS}, 0, told), state = iif({_REOPENS}, 'open', state)"
    ),
    "leak.count": (
        "INSERT INTO leak_sighting (leak, what, name, count, last_seen) SELECT ?, ?, ?, 1, ? "
        "WHERE EXISTS (SELECT 1 FROM leak WHERE id = ?) "
        "AND ((SELECT count(*) FROM leak_sighting WHERE leak = ? AND what = ?) < ? "
        "OR EXISTS (SELECT 1 FROM leak_sighting WHERE leak = ? AND what = ? AND name = ?)) "
        "ON CONFLICT (leak, what, name) DO UPDATE SET count = count + 1, last_seen = excluded.last_seen"
    ),
    "leak.clean": (
        "UPDATE leak SET clean_at = ? WHERE upstream = ? AND tool = ? AND arguments_digest = ? AND clean_at = ''"
    ),
    "leak.move": (
        "UPDATE leak SET state = ?, by = ?, known_by = ?, at = ?, note = ?, until = ?, false_positive = ?, "
        "opened_at = ?, reopened = ?, told = ? WHERE id = ? AND state = ? AND at = ? AND reopened = ?"
    ),
    "leak.tell": "UPDATE leak SET told = ? WHERE id = ? AND told < ? AND opened_at = ?",
    "leak.forget": "DELETE FROM leak WHERE id = ? AND times = ? AND state = ?",
    "leak.go-on": (
        f"UPDATE leak SET id = ?, fingerprint = ?, generation = {_GENERATION}, grade = ?, state = ?, last_seen = ?, "  # noqa: S608 - ours
        "times = ?, opened_at = ?, reopened = ?, told = ?, upstream = ?, tool = ?, arguments_digest = ?, clean_at = ?, "
        "last_call = ?, place = ? WHERE id = ? AND times = ? AND state = ? AND at = ?"
    ),
    "leak.join-counts": (
        "INSERT INTO leak_sighting (leak, what, name, count, last_seen) "
        "SELECT ?, what, name, count, last_seen FROM leak_sighting WHERE leak = ? "
        "ON CONFLICT (leak, what, name) DO UPDATE SET count = count + excluded.count, "
        "last_seen = max(last_seen, excluded.last_seen)"
    ),
    "leak.forget-counts": "DELETE FROM leak_sighting WHERE leak = ?",
    "leak.tidy-counts": (
        "DELETE FROM leak_sighting WHERE leak IN (SELECT id FROM leak WHERE state = 'rotated' AND last_seen < ?)"
    ),
    "leak.tidy": "DELETE FROM leak WHERE state = 'rotated' AND last_seen < ?",
    "flow.set": (
        "INSERT INTO flow (principal, client, session, tainted, private, by, at) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (principal, client, session) DO UPDATE SET tainted = max(tainted, excluded.tainted), "
        "private = max(private, excluded.private), by = excluded.by, at = excluded.at"
    ),
    "written.add": (
        "INSERT INTO written (form, call, at) VALUES (?, ?, ?) "
        "ON CONFLICT (form) DO UPDATE SET call = excluded.call, at = excluded.at WHERE excluded.at >= at"
    ),
    "written.forget": "DELETE FROM written WHERE at < ?",
    "budget.spend": (
        "INSERT INTO spent (budget, scope, used, at) SELECT ?, ?, ?, ? WHERE ? <= ? "
        "ON CONFLICT (budget, scope) DO UPDATE SET at = max(spent.at, excluded.at), "
        f"used = min(iif(spent.at < ?, 0, spent.used) + excluded.used, {_FULL}) "
        "WHERE iif(spent.at < ?, 0, spent.used) + excluded.used <= ?"
    ),
    "meta.set": "INSERT OR REPLACE INTO meta VALUES (?, ?)",
    "record.prune": "DELETE FROM record WHERE seq <= ?",
    "pruned.advance": "UPDATE pruned SET size = ?, frontier = ?, root = ? WHERE one = 1 AND size = ?",
    "approval.tidy": (
        "DELETE FROM approval WHERE state IN ('denied', 'expired', 'used', 'withdrawn') AND expires_at < ?"
    ),
    "grant.tidy": "DELETE FROM granted WHERE expires_at < ?",
    "handle.tidy": "DELETE FROM handle WHERE expires_at < ?",
    "connection.tidy": "DELETE FROM connection WHERE updated_at < ?",
    "spent.tidy": "DELETE FROM spent WHERE at < ?",
}

QUESTIONS = {
    "approval.by-prefix": _APPROVAL + "WHERE id >= ? AND id < ? ORDER BY id LIMIT 2",
    "approval.in-state": _APPROVAL + "WHERE state = ? ORDER BY created_at DESC, id DESC LIMIT ?",
    "approval.newest": _APPROVAL + "ORDER BY created_at DESC, id DESC LIMIT ?",
    "approval.told": (
        _APPROVAL + "WHERE told = 1 AND asked_digest = ? AND principal = ? AND client = ? AND session = ? "
        "AND state IN ('waiting', 'approved', 'denied') AND expires_at > ? ORDER BY created_at, id"
    ),
    "approval.due": (_APPROVAL + "WHERE state IN ('waiting', 'approved') AND expires_at <= ? ORDER BY created_at, id"),
    "approval.waiting-in": (
        _APPROVAL
        + "WHERE state = 'waiting' AND principal = ? AND client = ? AND session = ? ORDER BY created_at, id LIMIT ?"
    ),
    "approval.last-approved": (
        _APPROVAL + "WHERE upstream = ? AND tool = ? AND principal = ? AND state IN ('approved', 'used') "
        "ORDER BY created_at DESC, id DESC LIMIT ?"
    ),
    "approval.of-tool": (
        _APPROVAL + "WHERE upstream = ? AND tool = ? AND principal = ? AND created_at > ? "
        "ORDER BY created_at DESC, id DESC LIMIT ?"
    ),
    "approval.tally": (
        "SELECT state, decided_by, count(*) FROM approval WHERE upstream = ? AND tool = ? AND principal = ? "
        "AND decided_by <> '' GROUP BY state, decided_by ORDER BY count(*) DESC, decided_by"
    ),
    "grant.all": "SELECT body, used, ended FROM granted ORDER BY created_at DESC, id DESC LIMIT ?",
    "grant.standing": "SELECT body, used, ended FROM granted WHERE ended = '' AND expires_at > ?",
    "grant.by-prefix": "SELECT body, used, ended FROM granted WHERE id >= ? AND id < ? ORDER BY id LIMIT 2",
    "frozen": "SELECT id, upstream, session, tool, by, at, note FROM frozen ORDER BY at, id",
    "keys": "SELECT id, name, kind, key, attended, counter, added_at, added_by FROM approver_key ORDER BY name, id",
    "approval.ballots": "SELECT ballots FROM approval WHERE id = ?",
    "handle.by-hash": "SELECT approval, call, created_at FROM handle WHERE hash = ?",
    "handle.count": "SELECT count(*) FROM handle WHERE approval = ?",
    "connection.by-id": (
        "SELECT id, principal, client, session, era, handshake, updated_at FROM connection WHERE id = ?"
    ),
    "leak.page": ledger.PAGE,
    "leak.by-prefix": ledger.BY_PREFIX,
    "leak.sightings": ledger.SIGHTINGS,
    "leak.due": ledger.DUE,
    "leak.passing": (
        "SELECT id, fingerprint, until FROM leak WHERE state = 'accepted' AND false_positive = 1 AND until > ?"
    ),
    "leak.older": (
        f"SELECT fingerprint, kind FROM leak WHERE generation <> {_GENERATION} ORDER BY fingerprint, kind"  # noqa: S608 - ours
    ),
    "leak.ids": "SELECT id, upstream FROM leak ORDER BY id",
    "leak.sources": (
        "SELECT DISTINCT upstream, tool, arguments_digest FROM leak WHERE arguments_digest <> '' "
        "ORDER BY upstream, tool, arguments_digest LIMIT ?"
    ),
    "flow.all": "SELECT principal, client, session, tainted, private FROM flow ORDER BY at LIMIT ?",
    "written.all": "SELECT form FROM written ORDER BY at LIMIT ?",
    "written.count": "SELECT count(*), coalesce(sum(at < ?), 0) FROM written",
    "spent.latest": "SELECT budget, scope, used, at FROM spent ORDER BY at DESC, budget, scope LIMIT ?",
    "spent.of": "SELECT budget, scope, used, at FROM spent WHERE budget = ? AND scope = ?",
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
    "record.last-seen": (
        "SELECT at FROM (SELECT at, seq FROM record "
        "WHERE principal = ? AND principal <> '' AND client = ? AND seq > ? ORDER BY seq DESC LIMIT 1) "
        "UNION ALL SELECT at FROM (SELECT at FROM record WHERE seq > ? ORDER BY seq LIMIT 1) LIMIT 1"
    ),
    "pruned": "SELECT size, frontier, root FROM pruned WHERE one = 1",
}
