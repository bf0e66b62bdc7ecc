"""The desk: every row is opened, shown, voted on and settled here, whatever door the answer came through.

It forwards nothing and waits for nobody; each settlement and its record are one transaction.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, replace
from datetime import datetime

import anyio

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.approval import Ballot, Event, Objection, next_state, objection, settle
from gateway.core.card import statement
from gateway.core.model import Approval, ApprovalState, Kind, Proof, Record
from gateway.core.record import columns, encode, stamp
from gateway.errors import ApprovalError, BusyError
from gateway.store import Change, Entry, Store, rows

LIST_LIMIT = 1_000

_SAYINGS = {
    Objection.UNKNOWN: "unknown approval `{0}`",
    Objection.AMBIGUOUS: "`{0}` is the beginning of several approvals: give more of the id",
    Objection.SETTLED: "approval `{0}` is settled already: {1}",
    Objection.EXPIRED: "approval `{0}` has expired: nobody answered in time",
    Objection.PROOF: "approval `{0}` needs a stronger proof of who approves: {2}",
    Objection.NOT_PERMITTED: "approval `{0}` can be given by {3} only",
    Objection.REQUESTER: "approval `{0}` needs a second person, and that can't be the one who asked",
    Objection.REPEATED: "approval `{0}` has this person's vote already, and needs another one's",
}


class Desk:
    """All approvals of one store. `on_change` is told of every row that was opened or settled."""

    def __init__(self, store: Store, clock: Sleeper, key: bytes, *, prompts_per_hour: int = 60) -> None:
        """`key` makes the digest of what was shown."""
        self._store, self._clock, self._key, self._limit = store, clock, key, prompts_per_hour
        self._watchers: dict[str, set[anyio.Event]] = {}
        self.on_change: list[Callable[[Approval], None]] = []

    async def recover(self) -> int:
        """At start: expire what is due (returns how many), and leave the rest for the same calls to come back to."""
        expired = await self._expire_due()
        await self._store.append((), (rows.tell_all(),))
        return expired

    async def list(self, state: ApprovalState | None = None) -> list[Approval]:
        """The newest rows in one state (None: any), oldest first; what is due is expired before."""
        await self._expire_due()
        return await rows.list_approvals(self._store, state, limit=LIST_LIMIT)

    async def show(self, prefix: str) -> Approval:
        """The one row whose id begins so (4 characters at least); raises `ApprovalError` if it isn't one."""
        wanted = ids.normal(prefix)
        found = await rows.find_approvals(self._store, wanted) if wanted else []
        exact = [row for row in found if row.id == wanted]
        if not exact and (len(wanted) < ids.SHORTEST_PREFIX or not found):
            raise _refused(Objection.UNKNOWN, prefix)
        if not exact and len(found) > 1:
            raise _refused(Objection.AMBIGUOUS, prefix)
        return await self._fresh((exact or found)[0])

    async def vote(
        self,
        prefix: str,
        approve: bool,
        by: str,
        proof: Proof,
        note: str = "",
        roles: AbstractSet[str] = frozenset(),
    ) -> Approval:
        """Count one person's answer: the only way to approve or deny, whatever the door.

        `by` and `roles` come from the proof, never from an argument of the caller's. Returns the row, which still waits
        if it needs more approvers. Raises `ApprovalError` for a vote that doesn't count and `RecordError` for one that
        can't be recorded.
        """
        row = await self.show(prefix)
        while True:  # each vote that outran this one added a person or settled the row
            given = await rows.find_ballots(self._store, row.id)
            ballot = Ballot(by, proof, approve, self._clock.now(), note)
            if wrong := objection(row, given, ballot, roles):
                raise _refused(wrong, row.id, row)
            after = settle(row, given, ballot)
            if await self._move(row, after, given, (*given, ballot)):
                return after
            row = await self._look(row.id)

    async def expire(self, approval: Approval) -> None:
        """End a row that can't be used any more: expired if its time is over, else withdrawn. A settled one stays."""
        row = await self._look(approval.id)
        if row.state in (ApprovalState.WAITING, ApprovalState.APPROVED):
            due = self._clock.now() >= row.expires_at
            await self._end(row, Event.EXPIRE if due else Event.WITHDRAW)

    async def _open(self, row: Approval) -> None:
        """Write a new row and its record, durable; raises `BusyError` over the limit of prompts per hour."""
        change = rows.insert_approval(row, limit=self._limit)
        if not await self._store.append((self._entry(row, row.created_at),), (change,)):
            raise BusyError(f"`{row.principal}` has asked {self._limit} times within an hour")
        self._tell(row)

    async def _look(self, approval_id: str) -> Approval:
        """A row as it is now; raises `ApprovalError` if there is none."""
        found = await rows.find_approvals(self._store, approval_id)
        if not found:
            raise _refused(Objection.UNKNOWN, approval_id)
        return await self._fresh(found[0])

    async def _fresh(self, row: Approval) -> Approval:
        """The row, expired if its time is over and it is still open."""
        is_open = row.state in (ApprovalState.WAITING, ApprovalState.APPROVED)
        if not is_open or self._clock.now() < row.expires_at:
            return row
        return await self._end(row, Event.EXPIRE)

    async def _expire_due(self) -> int:
        due = await rows.due_approvals(self._store, self._clock.now())
        for row in due:
            await self._end(row, Event.EXPIRE)
        return len(due)

    async def _end(self, row: Approval, event: Event) -> Approval:
        """Settle a row without a vote; returns it as it is then, whoever was first."""
        after = replace(row, state=next_state(row.state, event))
        given = await rows.find_ballots(self._store, row.id)
        if await self._move(row, after, given, given):
            return after
        found = await rows.find_approvals(self._store, row.id)
        return found[0]

    async def _move(
        self, before: Approval, after: Approval, given: Sequence[Ballot], ballots: Sequence[Ballot]
    ) -> bool:
        """Bring a row from one state to the next, with its record, if nobody else has."""
        change: Change = rows.move_approval(before, after, given, ballots)
        if not await self._store.append((self._entry(after, self._clock.now(), ballots),), (change,)):
            return False
        self._tell(after)
        return True

    def _tell(self, row: Approval) -> None:
        if row.state is not ApprovalState.WAITING:
            for watcher in self._watchers.get(row.id, ()):
                watcher.set()
        for hook in self.on_change:
            hook(row)

    def _entry(self, row: Approval, now: datetime, ballots: Sequence[Ballot] = ()) -> Entry:
        """The record of a row as it became."""
        opened = row.state is ApprovalState.WAITING and not ballots
        in_full = opened and "record-digest" not in row.obligations
        record = Record(
            kind=Kind.APPROVAL,
            id=row.id,
            at=now,
            principal=row.principal,
            client=row.client,
            session=row.session,
            **asdict(row.origin),
            method=row.method,
            upstream=row.upstream,
            tool=row.tool,
            definition=row.definition,
            tier=row.tier.value,
            effect=row.effect.value,
            reason=row.reason.value,
            rules=(row.rule,) if row.rule else (),
            places=(row.place,) if row.place else (),
            obligations=row.obligations,
            policy_revision=row.policy_revision,
            approval=row.id,
            arguments=row.arguments if in_full else None,
            arguments_digest=row.arguments_digest,
            detail=row.note,
            extra={
                "state": row.state.value,
                "call": row.call,
                "decided_by": row.decided_by,
                "proof": row.proof.word if row.proof is not None else "",
                "proof_required": row.requirement.proof.word,
                "approvers_required": row.requirement.approvers,
                "votes": [{"by": each.by, "proof": each.proof.word, "approve": each.approve} for each in ballots],
                "expires_at": stamp(row.expires_at),
                "statement": statement(row, self._store.gateway_id, self._key),
            },
        )
        return Entry(encode(record), columns(record))


def _refused(why: Objection, given: str, row: Approval | None = None) -> ApprovalError:
    state, proof, named = ("", "", "")
    if row is not None:
        state, proof = row.state.value, row.requirement.proof.word
        named = ", ".join(f"`{each}`" for each in sorted(row.requirement.by))
    return ApprovalError(_SAYINGS[why].format(given, state, proof, named), why.value)
