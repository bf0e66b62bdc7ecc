"""Exchange one of the gateway's keys while no gateway runs: that of digests, or the one that signs checkpoints.

The next key lies beside the present one before the record tells of it, and the store's mark of it is set in the same
transaction as that record: whatever moment it is cut off at, the next start finds the key that counts.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.clock import Sleeper
from gateway.core.grants import stands
from gateway.core.model import ApprovalState, Kind, Record
from gateway.core.note import Verifier, read_vkey
from gateway.core.query import PAGE_LIMIT, Query
from gateway.core.record import columns, decode, encode
from gateway.core.succession import succession
from gateway.errors import StateError
from gateway.ids import ENTRY, new_id
from gateway.store import Entry, SqliteStore, people, rows
from gateway.store.folder import DIGEST, MARKS, SIGNING, mark

WHY = "the digest key was exchanged"  # on the record of a grant that ended for it


class Rotated(Struct, frozen=True):
    """What was done: which key now counts (a vkey, or a digest key's mark), how many approvals and grants it ended."""

    which: str
    key: str
    before: str
    lost: bool
    withdrawn: int
    ended: int


async def rotate(store: SqliteStore, clock: Sleeper, which: str, by: str, *, lost: bool = False) -> Rotated:
    """Exchange a key of an open store that nothing else uses; `by` is the principal who does it.

    With `lost` the present key need not be there, and signs nothing. Approvals that are open are bound to calls by the
    key of digests, and grants to arguments, so that its exchange withdraws these and ends those, all of them. Raises
    `StateError` if a key that is said to be lost is there, and `RecordError` if the record can't take it: then the
    present key still counts.
    """
    folder = store.folder
    known = await rows.get_meta(store, MARKS[which])
    if lost and await anyio.to_thread.run_sync(folder.fits, which, known):
        raise StateError(f"the {which} key is not lost: it is there, and the store's; leave out `--lost`")
    made = await anyio.to_thread.run_sync(folder.draft, which)
    if which == SIGNING:
        told = await anyio.to_thread.run_sync(_signing, await _named(store), store, made, lost)
        withdrawn = ended = 0
    else:
        told = {"which": DIGEST, "key": mark(made), "before": known, "lost": lost}
        approvals = Approvals(store, clock, folder.keys.get(DIGEST, made))
        withdrawn = await _withdraw(approvals)
        ended = await _end_grants(store, approvals, clock.now(), by)
    record = Record(Kind.KEY, new_id(ENTRY), clock.now(), principal=by, extra=told)
    await store.append((Entry(encode(record), columns(record)),), (rows.set_meta(MARKS[which], mark(made)),))
    await anyio.to_thread.run_sync(folder.adopt, which)
    return Rotated(which, str(told["key"]), str(told["before"]), lost, withdrawn, ended)


async def _named(store: SqliteStore) -> Verifier | None:
    """The signing key that the record named last."""
    for _, body in await store.page(Query(filters={"kind": Kind.KEY.value}, limit=PAGE_LIMIT)):
        about = decode(body)[1].extra
        if about.get("which") == SIGNING:
            return read_vkey(str(about["key"]))
    return None


def _signing(named: Verifier | None, store: SqliteStore, made: bytes, lost: bool) -> Mapping[str, Any]:
    """What the record tells of a new signing key: the note is signed with it, and with the one before unless lost."""
    from gateway.signing import add_signature, sign_note, verifier_of  # imported late: it takes its time

    name = named.name if named is not None else f"wardgate/{store.gateway_id}"
    after = verifier_of(name, made)
    before = named if lost else verifier_of(name, store.folder.signing_key)
    told = {"which": SIGNING, "key": str(after), "before": str(before or ""), "lost": lost}
    if before is None:
        return told
    note = sign_note(succession(before, after), name, made)
    return {**told, "note": note if lost else add_signature(note, name, store.folder.signing_key)}


async def _withdraw(approvals: Approvals) -> int:
    """End all approvals that are open; returns how many those were."""
    count = 0
    for state in (ApprovalState.WAITING, ApprovalState.APPROVED):
        while found := await approvals.list(state):
            for row in found:
                await approvals.expire(row)
            count += len(found)
    return count


async def _end_grants(store: SqliteStore, approvals: Approvals, now: datetime, by: str) -> int:
    """End all grants that stand, also those that compare no digest; returns how many those were."""
    found = [grant for grant in await people.standing_grants(store, now) if stands(grant, now)]
    for grant in found:
        entry = approvals.standings.entry(replace(grant, ended=WHY), by)
        await store.append((entry,), (people.end_grant(grant.id, WHY),))
    return len(found)
