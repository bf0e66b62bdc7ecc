"""The tables beside the record: approvals, handles and connections, as changes to make and rows to read.

Builds statements with bound values and reads them back; decides nothing and opens nothing.
"""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core.approval import Ballot
from gateway.core.canon import canonical
from gateway.core.model import Approval, ApprovalState, Call, Effect, Proof, Reason, Requirement, Tier
from gateway.core.record import stamp, unstamp
from gateway.store.batch import Change

_COLUMNS = (
    "id, state, call, principal, client, session, upstream, tool, definition, arguments_digest, created_at, "
    "expires_at, told, decided_by, decided_at, proof, note, card"
)
_SELECT = f"SELECT {_COLUMNS} FROM approval "  # noqa: S608 - column names of ours


@dataclass(frozen=True, slots=True)
class Handle:
    """A round that a client may come back for; its secret is kept as a hash only."""

    approval: str
    call: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SavedConnection:
    """What a client said in its handshake, kept so that a new gateway can go on where one ended."""

    id: str
    principal: str
    client: str
    session: str
    era: str
    handshake: Mapping[str, Any]
    updated_at: datetime


def insert_approval(row: Approval, *, limit: int) -> Change:
    """Open a row, unless its principal has opened `limit` of them in the hour before."""
    asked = row.requirement
    card = {
        "exposed": row.exposed,
        "arguments": row.arguments,
        "tier": row.tier.value,
        "effect": row.effect.value,
        "rule": row.rule,
        "reason": row.reason.value,
        "proof": asked.proof.word,
        "by": sorted(asked.by),
        "approvers": asked.approvers,
        "timeout_us": asked.timeout // timedelta(microseconds=1),
        "obligations": row.obligations,
        "policy_revision": row.policy_revision,
    }
    identity = (row.id, row.state.value, row.call, row.principal, row.client, row.session, row.upstream, row.tool)
    binding = (row.definition, row.arguments_digest, stamp(row.created_at), stamp(row.expires_at), canonical(card))
    return Change(
        "INSERT INTO approval (id, state, call, principal, client, session, upstream, tool, definition, "
        "arguments_digest, created_at, expires_at, card) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
        "WHERE (SELECT count(*) FROM approval WHERE principal = ? AND created_at > ?) < ?",
        (*identity, *binding, row.principal, stamp(row.created_at - timedelta(hours=1)), limit),
    )


def move_approval(before: Approval, after: Approval, given: Sequence[Ballot], ballots: Sequence[Ballot]) -> Change:
    """Settle a row, or add a ballot to it, if nobody else has since it was read."""
    decided_at = stamp(after.decided_at) if after.decided_at is not None else ""
    proof = after.proof.word if after.proof is not None else ""
    return Change(
        "UPDATE approval SET state = ?, decided_by = ?, decided_at = ?, proof = ?, note = ?, ballots = ? "
        "WHERE id = ? AND state = ? AND ballots = ?",
        (
            *(after.state.value, after.decided_by, decided_at, proof, after.note, _ballots_text(ballots)),
            *(before.id, before.state.value, _ballots_text(given)),
        ),
    )


def use_approval(approval_id: str, now: datetime) -> Change:
    """Consume an approval: once, and before it expires."""
    return Change(
        "UPDATE approval SET state = 'used' WHERE id = ? AND state = 'approved' AND expires_at > ?",
        (approval_id, stamp(now)),
    )


def tell_approval(approval_id: str, *, waiting: bool) -> Change:
    """Mark that the same call again may attach to this row; with `waiting`, only while it is not settled."""
    states = "('waiting')" if waiting else "('waiting', 'approved', 'denied')"
    return Change(f"UPDATE approval SET told = 1 WHERE id = ? AND state IN {states}", (approval_id,))  # noqa: S608 - ours


def tell_all() -> Change:
    """Mark every open row so: at start nobody is attached to any."""
    return Change("UPDATE approval SET told = 1 WHERE state IN ('waiting', 'approved') AND told = 0", (), must=False)


def attach_approval(approval_id: str, *, must: bool = True) -> Change:
    """Take a row for one call: no other call can attach to it until it is told again."""
    return Change("UPDATE approval SET told = 0 WHERE id = ? AND told = 1", (approval_id,), must)


def handle_hash(handle: str) -> bytes:
    """What the store keeps of a handle."""
    return hashlib.sha256(handle.encode("utf-8", "surrogatepass")).digest()


def insert_handle(
    handle: str, call: Call, first: str, now: datetime, expires_at: datetime, approval: str = ""
) -> Change:
    """Write a handle down, bound to the call that it is given for; `first` is the id of that call's first round.

    With `approval` it is of a waiting row, without one of an upstream's question.
    """
    return Change(
        "INSERT INTO handle (hash, approval, call, principal, client, session, method, exposed, arguments_digest, "
        "created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(handle_hash(handle), approval, first, call.principal.id, call.client.name, call.context.session),
            *(call.method, call.exposed, call.digest, stamp(now), stamp(expires_at)),
        ),
    )


def use_handle(handle: str, call: Call, now: datetime) -> Change:
    """Consume a handle if it is this very call's: once, and before it expires."""
    return Change(
        "UPDATE handle SET used = 1 WHERE hash = ? AND used = 0 AND principal = ? AND client = ? AND session = ? "
        "AND method = ? AND exposed = ? AND arguments_digest = ? AND expires_at > ?",
        (
            *(handle_hash(handle), call.principal.id, call.client.name, call.context.session),
            *(call.method, call.exposed, call.digest, stamp(now)),
        ),
    )


def put_connection(saved: SavedConnection) -> Change:
    """Keep a connection's handshake, in place of what was kept before."""
    return Change(
        "INSERT OR REPLACE INTO connection VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(saved.id, saved.principal, saved.client, saved.session, saved.era),
            *(canonical(saved.handshake), stamp(saved.updated_at)),
        ),
    )


def forget_connection(connection_id: str) -> Change:
    """Remove what was kept of a connection that has ended."""
    return Change("DELETE FROM connection WHERE id = ?", (connection_id,), must=False)


def find_connection(db: sqlite3.Connection, connection_id: str) -> SavedConnection | None:
    """What was kept of a connection."""
    found = db.execute("SELECT * FROM connection WHERE id = ?", (connection_id,)).fetchone()
    if found is None:
        return None
    known, principal, client, session, era, handshake, updated_at = found
    return SavedConnection(known, principal, client, session, era, msgspec.json.decode(handshake), unstamp(updated_at))


def find_handle(db: sqlite3.Connection, handle: str) -> Handle | None:
    """The row of a handle, used or not."""
    found = db.execute(
        "SELECT approval, call, created_at FROM handle WHERE hash = ?", (handle_hash(handle),)
    ).fetchone()
    return Handle(found[0], found[1], unstamp(found[2])) if found is not None else None


def count_handles(db: sqlite3.Connection, approval_id: str) -> int:
    """How many rounds a client was given for a row."""
    return int(db.execute("SELECT count(*) FROM handle WHERE approval = ?", (approval_id,)).fetchone()[0])


def find_approvals(db: sqlite3.Connection, prefix: str) -> list[Approval]:
    """The rows whose id begins so, two at most: more would not tell anything else."""
    query = _SELECT + "WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
    return [_approval(row) for row in db.execute(query, (prefix, prefix + "\x7f"))]


def find_ballots(db: sqlite3.Connection, approval_id: str) -> tuple[Ballot, ...]:
    """The votes that were given for a row so far."""
    found = db.execute("SELECT ballots FROM approval WHERE id = ?", (approval_id,)).fetchone()
    return tuple(
        Ballot(each["by"], Proof[each["proof"].upper()], each["approve"], unstamp(each["at"]), each["note"])
        for each in msgspec.json.decode(found[0] if found else "[]")
    )


def list_approvals(db: sqlite3.Connection, state: ApprovalState | None, limit: int) -> list[Approval]:
    """The rows in one state (None: any), the newest `limit` of them, oldest first."""
    wanted, values = ("WHERE state = ? ", (state.value,)) if state is not None else ("", ())
    query = _SELECT + wanted + "ORDER BY created_at DESC, id DESC LIMIT ?"
    return [_approval(row) for row in db.execute(query, (*values, limit))][::-1]


def told_approvals(db: sqlite3.Connection, call: Call, now: datetime) -> list[Approval]:
    """The rows to which this call may attach, oldest first; whether one covers it is for the core to say."""
    query = _SELECT + (
        "WHERE told = 1 AND arguments_digest = ? AND principal = ? AND client = ? AND session = ? "
        "AND state IN ('waiting', 'approved', 'denied') AND expires_at > ? ORDER BY created_at, id"
    )
    values = (call.digest, call.principal.id, call.client.name, call.context.session, stamp(now))
    return [_approval(row) for row in db.execute(query, values)]


def due_approvals(db: sqlite3.Connection, now: datetime) -> list[Approval]:
    """Open rows whose time is over."""
    query = _SELECT + "WHERE state IN ('waiting', 'approved') AND expires_at <= ? ORDER BY created_at, id"
    return [_approval(row) for row in db.execute(query, (stamp(now),))]


def _ballots_text(ballots: Sequence[Ballot]) -> str:
    kept = [
        {"by": each.by, "proof": each.proof.word, "approve": each.approve, "at": stamp(each.at), "note": each.note}
        for each in ballots
    ]
    return canonical(kept).decode("utf-8")


def _approval(row: Sequence[Any]) -> Approval:
    card = msgspec.json.decode(row[17])
    return Approval(
        id=row[0],
        state=ApprovalState(row[1]),
        call=row[2],
        principal=row[3],
        client=row[4],
        session=row[5],
        upstream=row[6],
        tool=row[7],
        exposed=card["exposed"],
        definition=row[8],
        arguments=card["arguments"],
        arguments_digest=row[9],
        tier=Tier(card["tier"]),
        effect=Effect(card["effect"]),
        rule=card["rule"],
        reason=Reason(card["reason"]),
        requirement=Requirement(
            Proof[card["proof"].upper()],
            frozenset(card["by"]),
            card["approvers"],
            timedelta(microseconds=card["timeout_us"]),
        ),
        obligations=tuple(card["obligations"]),
        policy_revision=card["policy_revision"],
        created_at=unstamp(row[10]),
        expires_at=unstamp(row[11]),
        told=bool(row[12]),
        decided_by=row[13],
        decided_at=unstamp(row[14]) if row[14] else None,
        proof=Proof[row[15].upper()] if row[15] else None,
        note=row[16],
    )
