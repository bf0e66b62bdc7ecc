"""The tables beside the record: approvals, handles and connections, as changes to make and questions to ask.

Builds them by name with their values and reads the answers; decides nothing, and knows no SQL. What people have said
for a while stands in `people.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.approval import Ballot
from gateway.core.canon import canonical
from gateway.core.kept import approval_of, card_bytes
from gateway.core.merkle import Tree
from gateway.core.model import Approval, ApprovalState, Call, Proof, Record
from gateway.core.record import decode, stamp, unstamp
from gateway.errors import RecordError
from gateway.store.port import Ask, Change, Store


class Handle(Struct, frozen=True):
    """A round that a client may come back for; its secret is kept as a hash only."""

    approval: str
    call: str
    created_at: datetime


class SavedConnection(Struct, frozen=True):
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
    identity = (row.id, row.state.value, row.call, row.principal, row.client, row.session, row.upstream, row.tool)
    binding = (row.definition, row.arguments_digest, stamp(row.created_at), stamp(row.expires_at), card_bytes(row))
    return Change(
        "approval.open",
        (
            *(*identity, *binding, row.asked_digest, int(row.told)),
            *(row.principal, stamp(row.created_at - timedelta(hours=1)), limit),
        ),
    )


def move_approval(before: Approval, after: Approval, given: Sequence[Ballot], ballots: Sequence[Ballot]) -> Change:
    """Settle a row, or add a ballot to it, if nobody else has since it was read."""
    decided_at = stamp(after.decided_at) if after.decided_at is not None else ""
    proof = after.proof.word if after.proof is not None else ""
    told = (after.state.value, after.decided_by, decided_at, proof, after.note, _ballots_text(ballots))
    return Change("approval.move", (*told, after.followed_by, before.id, before.state.value, _ballots_text(given)))


def use_approval(approval_id: str, now: datetime) -> Change:
    """Consume an approval: once, and before it expires."""
    return Change("approval.use", (approval_id, stamp(now)))


def tell_approval(approval_id: str, *, waiting: bool) -> Change:
    """Mark that the same call again may attach to this row; with `waiting`, only while it is not settled."""
    return Change("approval.tell-waiting" if waiting else "approval.tell", (approval_id,))


def tell_all() -> Change:
    """Mark every open row so: at start nobody is attached to any."""
    return Change("approval.tell-all", (), must=False)


def attach_approval(approval_id: str, *, must: bool = True) -> Change:
    """Take a row for one call: no other call can attach to it until it is told again."""
    return Change("approval.attach", (approval_id,), must)


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
        "handle.open",
        (
            *(handle_hash(handle), approval, first, call.principal.id, call.client.name, call.context.session),
            *(call.method, call.told, call.digest, stamp(now), stamp(expires_at)),
        ),
    )


def use_handle(handle: str, call: Call, now: datetime) -> Change:
    """Consume a handle if it is this very call's: once, and before it expires."""
    return Change(
        "handle.use",
        (
            *(handle_hash(handle), call.principal.id, call.client.name, call.context.session),
            *(call.method, call.told, call.digest, stamp(now)),
        ),
    )


def put_connection(saved: SavedConnection) -> Change:
    """Keep a connection's handshake, in place of what was kept before."""
    return Change(
        "connection.keep",
        (
            *(saved.id, saved.principal, saved.client, saved.session, saved.era),
            *(canonical(saved.handshake), stamp(saved.updated_at)),
        ),
    )


def forget_connection(connection_id: str) -> Change:
    """Remove what was kept of a connection that has ended."""
    return Change("connection.forget", (connection_id,), must=False)


async def find_connection(store: Store, connection_id: str) -> SavedConnection | None:
    """What was kept of a connection."""
    found = await store.ask(Ask("connection.by-id", (connection_id,)))
    if not found:
        return None
    known, principal, client, session, era, handshake, updated_at = map(text_of, found[0])
    return SavedConnection(known, principal, client, session, era, msgspec.json.decode(handshake), unstamp(updated_at))


async def find_handle(store: Store, handle: str) -> Handle | None:
    """The row of a handle, used or not."""
    found = await store.ask(Ask("handle.by-hash", (handle_hash(handle),)))
    if not found:
        return None
    approval, call, created_at = map(text_of, found[0])
    return Handle(approval, call, unstamp(created_at))


async def count_handles(store: Store, approval_id: str) -> int:
    """How many rounds a client was given for a row."""
    ((count,),) = await store.ask(Ask("handle.count", (approval_id,)))
    return int(count)


async def find_approvals(store: Store, prefix: str) -> list[Approval]:
    """The rows whose id begins so, two at most: more would not tell anything else."""
    found = await store.ask(Ask("approval.by-prefix", (prefix, prefix + "\x7f")))
    return [approval_of(row) for row in found]


async def find_ballots(store: Store, approval_id: str) -> tuple[Ballot, ...]:
    """The votes that were given for a row so far."""
    found = await store.ask(Ask("approval.ballots", (approval_id,)))
    return tuple(
        Ballot(
            *(each["by"], Proof[each["proof"].upper()], each["approve"], unstamp(each["at"]), each["note"]),
            evidence=each.get("evidence", {}),
        )
        for each in msgspec.json.decode(text_of(found[0][0]) if found else "[]")
    )


async def list_approvals(store: Store, state: ApprovalState | None, limit: int) -> list[Approval]:
    """The rows in one state (None: any), the newest `limit` of them, oldest first."""
    question = Ask("approval.newest", (limit,)) if state is None else Ask("approval.in-state", (state.value, limit))
    return [approval_of(row) for row in await store.ask(question)][::-1]


async def told_approvals(store: Store, call: Call, now: datetime) -> list[Approval]:
    """The rows to which this call may attach, oldest first; whether one covers it is for the core to say."""
    values = (call.digest, call.principal.id, call.client.name, call.context.session, stamp(now))
    return [approval_of(row) for row in await store.ask(Ask("approval.told", values))]


async def waiting_in(store: Store, row: Approval, limit: int) -> list[Approval]:
    """The rows that wait in the session of a row, itself included, oldest first."""
    asked = Ask("approval.waiting-in", (row.principal, row.client, row.session, limit))
    return [approval_of(found) for found in await store.ask(asked)]


async def last_approved(store: Store, row: Approval, limit: int) -> list[Approval]:
    """The rows of the same tool and principal that were approved, newest first."""
    asked = Ask("approval.last-approved", (row.upstream, row.tool, row.principal, limit))
    return [approval_of(found) for found in await store.ask(asked)]


async def asked_of_tool(store: Store, row: Approval, since: datetime, limit: int) -> list[Approval]:
    """The rows of the same tool and principal since a time, whatever became of them, newest first."""
    asked = Ask("approval.of-tool", (row.upstream, row.tool, row.principal, stamp(since), limit))
    return [approval_of(found) for found in await store.ask(asked)]


async def tally(store: Store, row: Approval) -> list[tuple[ApprovalState, str, int]]:
    """How often who decided how on the same tool and principal, the most frequent first."""
    found = await store.ask(Ask("approval.tally", (row.upstream, row.tool, row.principal)))
    return [(ApprovalState(text_of(state)), text_of(by), int(count)) for state, by, count in found]


async def due_approvals(store: Store, now: datetime) -> list[Approval]:
    """Open rows whose time is over."""
    return [approval_of(row) for row in await store.ask(Ask("approval.due", (stamp(now),)))]


async def open_intents(store: Store, after: int, limit: int) -> list[tuple[int, Record]]:
    """Intents behind `after` that no outcome follows, oldest first."""
    return [_record(body) for (body,) in await store.ask(Ask("record.open-intents", (after, limit)))]


async def first_open(store: Store, after: int, upto: int) -> int | None:
    """The first record behind `after`, up to `upto`, that is the intent of a call without an outcome."""
    found = await store.ask(Ask("record.first-open", (after, upto)))
    return int(found[0][0]) if found else None


async def intents_since(store: Store, at: datetime, limit: int = 100_000) -> list[Record]:
    """The intents from a time on, oldest first: what rates and session counters are made of."""
    found = await store.ask(Ask("record.intents-since", (stamp(at), limit)))
    return [_record(body)[1] for (body,) in found][::-1]


async def has_ended(store: Store, call: str) -> bool:
    """Whether a call has its outcome on the record."""
    return bool(await store.ask(Ask("record.ended", (call,))))


async def get_meta(store: Store, name: str) -> str:
    """A word that the store keeps about itself; empty where there is none."""
    found = await store.ask(Ask("meta.get", (name,)))
    return text_of(found[0][0]) if found else ""


def set_meta(name: str, value: str) -> Change:
    """Keep a word about the store itself."""
    return Change("meta.set", (name, value))


async def get_pruned(store: Store) -> Tree:
    """The tree over the records that were let go."""
    ((size, frontier, _),) = await store.ask(Ask("pruned", ()))
    return Tree.restore(int(size), _bytes(frontier))


def prune(before: int, upto: Tree) -> tuple[Change, Change]:
    """Let go of the records up to the tree `upto`, where those up to `before` are gone already."""
    return (
        Change("pruned.advance", (upto.size, upto.frontier, upto.root(), before)),
        Change("record.prune", (upto.size,)),
    )


def tidy(before: datetime) -> tuple[Change, ...]:
    """Remove what was settled, has expired or was last seen before a time."""
    return tuple(
        Change(f"{table}.tidy", (stamp(before),), must=False)
        for table in ("approval", "grant", "handle", "connection", "spent")
    )


def _ballots_text(ballots: Sequence[Ballot]) -> str:
    kept = [
        {
            "by": each.by,
            "proof": each.proof.word,
            "approve": each.approve,
            "at": stamp(each.at),
            "note": each.note,
            "evidence": dict(each.evidence),
        }
        for each in ballots
    ]
    return canonical(kept).decode("utf-8")


def text_of(value: object) -> str:
    """A value that is stored as text, or as the bytes of one."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _record(body: object) -> tuple[int, Record]:
    """A record and its number; raises `RecordError` where what is stored is none."""
    try:
        return decode(_bytes(body))
    except ValueError as problem:
        raise RecordError(f"the record is damaged: {problem}; `wardgate verify` tells more") from None


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8")
