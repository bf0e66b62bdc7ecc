"""What people have said for a while, beside the record: grants, freezes, and the keys that approvers sign with.

As `rows.py`: changes to make and questions to ask, by name with their values; it decides nothing, and knows no SQL.
"""

from datetime import datetime

from gateway.core.kept import grant_bytes, grant_of
from gateway.core.model import Freeze, Grant
from gateway.core.record import stamp, unstamp
from gateway.core.signed import ApproverKey, KeyKind
from gateway.store.port import Ask, Change, Store
from gateway.store.rows import text_of


def insert_grant(grant: Grant) -> Change:
    """Write a grant down."""
    times = (stamp(grant.expires_at), grant.uses, stamp(grant.created_at))
    return Change("grant.open", (grant.id, *times, grant_bytes(grant)))


def use_grant(grant_id: str, now: datetime) -> Change:
    """Use a grant once more: while it stands, before it expires, and no more often than it may be."""
    return Change("grant.use", (grant_id, stamp(now)))


def end_grant(grant_id: str, why: str) -> Change:
    """Let a grant count no more."""
    return Change("grant.end", (why, grant_id))


def insert_freeze(freeze: Freeze) -> Change:
    """Hold calls."""
    return Change(
        "freeze.add",
        (
            *(freeze.id, freeze.upstream, freeze.session, freeze.tool),
            *(freeze.by, stamp(freeze.at), freeze.note),
        ),
    )


def lift_freeze(freeze_id: str) -> Change:
    """Let calls go that were held."""
    return Change("freeze.lift", (freeze_id,))


def not_frozen(upstream: str, session: str, tool: str) -> Change:
    """Nothing but a condition: that nobody holds the calls of this upstream, session and tool."""
    return Change("freeze.none", (upstream, session, tool))


def insert_key(key: ApproverKey) -> Change:
    """Enrol a key of an approver."""
    added = stamp(key.added_at) if key.added_at is not None else ""
    return Change(
        "key.add", (key.id, key.name, key.kind.value, key.public, int(key.attended), key.counter, added, key.added_by)
    )


def drop_key(key_id: str) -> Change:
    """Let a key count no more."""
    return Change("key.revoke", (key_id,))


def count_key(key_id: str, counter: int) -> Change:
    """Note a key's counter: it has to grow, unless the key doesn't count (0)."""
    return Change("key.count", (counter, key_id, counter))


async def list_keys(store: Store) -> list[ApproverKey]:
    """All keys of approvers, by name."""
    return [
        ApproverKey(
            *(text_of(id), text_of(name), KeyKind(text_of(kind)), text_of(key), bool(attended), int(counter)),
            added_at=unstamp(text_of(added_at)) if added_at else None,
            added_by=text_of(added_by),
        )
        for id, name, kind, key, attended, counter, added_at, added_by in await store.ask(Ask("keys", ()))
    ]


async def list_grants(store: Store, limit: int) -> list[Grant]:
    """All grants, the newest first."""
    return [grant_of(row) for row in await store.ask(Ask("grant.all", (limit,)))]


async def standing_grants(store: Store, now: datetime) -> list[Grant]:
    """The grants that neither ended nor expired."""
    return [grant_of(row) for row in await store.ask(Ask("grant.standing", (stamp(now),)))]


async def find_grants(store: Store, prefix: str) -> list[Grant]:
    """The grants whose id begins so, two at most."""
    return [grant_of(row) for row in await store.ask(Ask("grant.by-prefix", (prefix, prefix + "\x7f")))]


async def list_freezes(store: Store) -> list[Freeze]:
    """All that is held now, oldest first."""
    found = await store.ask(Ask("frozen", ()))
    return [
        Freeze(
            text_of(id),
            text_of(upstream),
            text_of(session),
            text_of(tool),
            text_of(by),
            unstamp(text_of(at)),
            text_of(note),
        )
        for id, upstream, session, tool, by, at, note in found
    ]
