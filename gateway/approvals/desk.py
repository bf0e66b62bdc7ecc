"""The desk: every row is opened, shown, voted on and settled here, whatever door the answer came through.

It forwards nothing and waits for nobody; each settlement and its record are one transaction.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import anyio
from msgspec import Struct
from msgspec.structs import replace

from gateway import ids
from gateway.approvals.standing import Standings
from gateway.clock import Sleeper
from gateway.core.approval import Ballot, Chosen, Event, Objection, Voter, next_state, objection, settle
from gateway.core.beside import mark
from gateway.core.card import statement
from gateway.core.grants import MOST_USES, SCOPES, USUAL, covers_row, give, offered
from gateway.core.kept import card_bytes
from gateway.core.model import AGAIN, Approval, ApprovalState, Choice, Freeze, Grant, Kind, Proof, Record
from gateway.core.record import columns, encode, stamp
from gateway.errors import ApprovalError, BusyError
from gateway.store import Change, Entry, Store, people, rows

LIST_LIMIT = 1_000
OPEN = (ApprovalState.WAITING, ApprovalState.APPROVED)
_NO_LIMIT = 1 << 60  # an edit asks nobody anew

_SAYINGS = {
    Objection.UNKNOWN: "unknown approval `{0}`",
    Objection.AMBIGUOUS: "`{0}` is the beginning of several approvals: give more of the id",
    Objection.SETTLED: "approval `{0}` is settled already: {1}",
    Objection.EXPIRED: "approval `{0}` has expired: nobody answered in time",
    Objection.PROOF: "approval `{0}` needs a stronger proof of who approves: {2}",
    Objection.NOT_PERMITTED: "approval `{0}` can be given by {3} only",
    Objection.REQUESTER: "approval `{0}` needs a second person, and that can't be the one who asked",
    Objection.REPEATED: "approval `{0}` has this person's vote already, and needs another one's",
    Objection.NOT_OFFERED: "this can't be chosen on the card of approval `{0}`",
    Objection.UNSIGNED: "what was signed is not this choice on approval `{0}`",
    Objection.NOT_LISTED: "approval `{0}` can't be given so by this approver: see `proofs` in `[approvers]`",
    Objection.TOO_LONG: "a grant on approval `{0}` may not stand so long, or be used so often",
    Objection.TOO_MANY: "there are too many grants like one on approval `{0}`: `wardgate grants revoke` ends one",
}


Reconsider = Callable[[Approval, Mapping[str, Any]], Awaitable[Approval]]


class _Consequence(Struct, frozen=True):
    """What is written down together with an answer."""

    grants: tuple[Grant, ...] = ()
    bar: Freeze | None = None
    entries: tuple[Entry, ...] = ()
    changes: tuple[Change, ...] = ()
    would_cover: int | None = None  # of the grants, for the record


class Desk:
    """All approvals of one store. `on_change` is told of every row that was opened or settled.

    `reconsider` makes the draft of a row with other arguments: validated, decided again; it raises `ApprovalError`.
    """

    reconsider: Reconsider | None = None

    def __init__(
        self,
        store: Store,
        clock: Sleeper,
        key: bytes,
        *,
        prompts_per_hour: int = 60,
        longest: timedelta = timedelta(hours=8),
    ) -> None:
        """`key` makes the digest of what was shown; `longest` is how long a grant may stand."""
        self._store, self._clock, self._key, self._limit = store, clock, key, prompts_per_hour
        self._longest = longest
        self.standings = Standings(store, clock)
        self._watchers: dict[str, set[anyio.Event]] = {}
        self.on_change: list[Callable[[Approval], None]] = []

    async def recover(self) -> int:
        """At start: expire what is due (returns how many), and leave the rest for the same calls to come back to."""
        await self.standings.load()
        expired = await self.expire_due()
        await self._store.append((), (rows.tell_all(),))
        return expired

    async def list(self, state: ApprovalState | None = None) -> list[Approval]:
        """The newest rows in one state (None: any), oldest first; what is due is expired before."""
        await self.expire_due()
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
        """Count a plain yes or no; see `settle`."""
        choice = Choice.ONCE if approve else Choice.DENY
        return await self.settle(prefix, Chosen(choice, note), Voter(by, proof, roles))

    async def settle(self, prefix: str, chosen: Chosen, voter: Voter) -> Approval:
        """Count one person's answer: the only way to approve, to deny or to edit, whatever the door.

        Returns the row, which still waits if it needs more approvers; an edit returns the new row, which waits. What is
        granted on the card is written down in the same transaction, and settles the rows of `chosen.also` that it
        covers. Raises `ApprovalError` for an answer that doesn't count and `RecordError` for one that can't be
        recorded.
        """
        row = await self.show(prefix)
        while True:  # each vote that outran this one added a person or settled the row
            given = await rows.find_ballots(self._store, row.id)
            votes = chosen.approves and chosen.choice is not Choice.EDIT  # who edits says nothing yet
            ballot = Ballot(voter.by, voter.proof, votes, self._clock.now(), chosen.note, voter.evidence)
            if wrong := self._wrong(row, given, ballot, chosen, voter):
                raise _refused(wrong, row.id, row)
            if chosen.choice is Choice.EDIT:
                return await self._edit(row, given, chosen, voter.by)
            after = settle(row, given, ballot)
            consequence = self._consequence(after, chosen, voter)
            if any(map(self.standings.full, consequence.grants)):
                raise _refused(Objection.TOO_MANY, row.id, row)
            if await self._move(row, after, given, (*given, ballot), consequence):
                return await self._follow_up(after, chosen, voter, consequence)
            row = await self._look(row.id)

    def _wrong(
        self, row: Approval, given: Sequence[Ballot], ballot: Ballot, chosen: Chosen, voter: Voter
    ) -> Objection | None:
        """Why an answer doesn't count; a choice has to stand on the card, and a grant within its longest time."""
        if wrong := objection(row, given, ballot, voter.roles):
            return wrong
        # INVARIANT: a signature approves what was signed, for the rows whose statements were, and nothing else.
        if voter.proof is Proof.SIGNED and ballot.approve and not _is_signed(row, chosen, voter):
            return Objection.UNSIGNED
        if ballot.approve and not voter.may_approve:
            return Objection.NOT_LISTED
        plain = chosen.choice in (Choice.ONCE, Choice.DENY)
        # INVARIANT: nothing but a plain yes or no comes from the agent's own client.
        if chosen.choice not in offered(row) or (voter.proof is Proof.CLIENT and not plain):
            return Objection.NOT_OFFERED
        now, until = self._clock.now(), chosen.until
        if (until is not None and not now < until <= now + self._longest) or not 0 < (chosen.uses or 1) <= MOST_USES:
            return Objection.TOO_LONG
        if chosen.choice is Choice.VOUCH and not set(chosen.values) & set(row.shown.vouchable):
            return Objection.NOT_OFFERED
        return None

    def _consequence(self, after: Approval, chosen: Chosen, voter: Voter) -> "_Consequence":
        """What an answer leads to besides the row: grants, or a tool that is barred."""
        now = self._clock.now()
        chosen = replace(chosen, until=chosen.until or now + min(USUAL, self._longest))
        if after.state is ApprovalState.APPROVED and chosen.choice in SCOPES:
            grant = give(after, chosen, voter, ids.new_id(ids.GRANT), now)
            return _Consequence((grant,), would_cover=chosen.would_cover)
        if after.state is ApprovalState.APPROVED and chosen.choice is Choice.VOUCH:
            values = [value for value in after.shown.vouchable if value in chosen.values]
            return _Consequence(
                tuple(give(after, chosen, voter, ids.new_id(ids.GRANT), now, value) for value in values)
            )
        if chosen.choice is Choice.BAR:
            bar = Freeze(ids.new_id(ids.ENTRY), after.upstream, after.session, after.tool, voter.by, now, chosen.note)
            return _Consequence((), bar)
        return _Consequence()

    async def _follow_up(self, after: Approval, chosen: Chosen, voter: Voter, consequence: "_Consequence") -> Approval:
        """Let count what was written down, and settle the other rows of the card that a grant covers."""
        for grant in consequence.grants:
            self.standings.add(grant)
        if consequence.bar is not None:
            self.standings.hold(consequence.bar)
        for other in chosen.also if consequence.grants else ():
            found = await rows.find_approvals(self._store, other)
            listed = found and found[0].session == after.session  # the card lists what waits in its session
            fits = listed and any(covers_row(grant, found[0]) for grant in consequence.grants)
            if fits and found[0].state is ApprovalState.WAITING:
                with suppress(ApprovalError):  # it was settled or has expired meanwhile
                    await self.settle(other, Chosen(Choice.ONCE, chosen.note), voter)
        return after

    async def _edit(self, row: Approval, given: Sequence[Ballot], chosen: Chosen, by: str) -> Approval:
        """Put a new row with other arguments in the place of one; votes that were given are void."""
        if self.reconsider is None or chosen.arguments is None:
            raise _refused(Objection.NOT_OFFERED, row.id, row)
        asked = await self.reconsider(row, chosen.arguments)
        new = replace(
            asked,
            id=ids.new_id(ids.APPROVAL),
            call=row.call,
            asked_digest=row.asked_digest,
            follows=row.id,
            told=row.told,
        )
        after = replace(row, state=next_state(row.state, Event.WITHDRAW), followed_by=new.id)
        opened = rows.insert_approval(new, limit=_NO_LIMIT)
        entry = self._entry(new, new.created_at, edited_by=by)
        if not await self._move(row, after, given, given, _Consequence(entries=(entry,), changes=(opened,))):
            raise _refused(Objection.SETTLED, row.id, await self._look(row.id))
        self._tell(new)
        return new

    async def again(self, upstream: str, tool: str) -> int:
        """The labels of a tool changed: whatever waits for it is decided anew; returns how many rows that are."""
        count = 0
        for row in await self.list(ApprovalState.WAITING):
            if (row.upstream, row.tool) == (upstream, tool):
                given = await rows.find_ballots(self._store, row.id)
                after = replace(row, state=next_state(row.state, Event.WITHDRAW), followed_by=AGAIN)
                count += await self._move(row, after, given, given)
        return count

    async def revoke(self, prefix: str, by: str) -> Grant:
        """End a grant, and what was approved on its card and has not run yet; see `Standings.revoke`."""
        grant = await self.standings.revoke(prefix, by)
        await self._recall(lambda row: row.id == grant.approval)
        return grant

    async def freeze(self, upstream: str, session: str, by: str, note: str) -> Freeze:
        """Hold everything, one upstream or one session: grants in it lapse, and what was approved in it and has not run
        yet is withdrawn; see `Standings.freeze`.
        """
        freeze = await self.standings.freeze(upstream, session, "", by, note)
        await self._recall(lambda row: freeze.holds(row.upstream, row.session))
        return freeze

    async def _recall(self, concerns: Callable[[Approval], bool]) -> None:
        for row in await self.list(ApprovalState.APPROVED):
            if concerns(row):
                await self.expire(row)

    async def expire(self, approval: Approval) -> None:
        """End a row that can't be used any more: expired if its time is over, else withdrawn. A settled one stays."""
        row = await self._look(approval.id)
        if row.state in OPEN:
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
        if row.state not in OPEN or self._clock.now() < row.expires_at:
            return row
        return await self._end(row, Event.EXPIRE)

    async def expire_due(self) -> int:
        """Expire all open rows whose time is over; returns how many."""
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
        self,
        before: Approval,
        after: Approval,
        given: Sequence[Ballot],
        ballots: Sequence[Ballot],
        consequence: "_Consequence | None" = None,
    ) -> bool:
        """Bring a row from one state to the next, with its record and what follows from it, if nobody else has."""
        follows = consequence or _Consequence()
        changes: list[Change] = [rows.move_approval(before, after, given, ballots), *follows.changes]
        entries = [self._entry(after, self._clock.now(), ballots), *follows.entries]
        for grant in follows.grants:
            changes.append(people.insert_grant(grant))
            entries.append(self.standings.entry(grant, grant.owner, follows.would_cover))
        if follows.bar is not None:
            changes.append(people.insert_freeze(follows.bar))
            entries += self.standings.freezing(follows.bar)
        if not await self._store.append(entries, changes):
            return False
        self._tell(after)
        return True

    def _tell(self, row: Approval) -> None:
        if row.state is not ApprovalState.WAITING:
            for watcher in self._watchers.get(row.id, ()):
                watcher.set()
        for hook in self.on_change:
            hook(row)

    def _entry(self, row: Approval, now: datetime, ballots: Sequence[Ballot] = (), edited_by: str = "") -> Entry:
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
            known_by=row.shown.known_by,
            claimed=row.shown.claimed,
            transport=row.shown.transport,
            era=row.shown.era,
            trace=row.shown.trace,
            owner=row.shown.owner,
            acts_as=row.shown.acts_as,
            method=row.method,
            upstream=row.upstream,
            tool=row.tool,
            definition=row.definition,
            tier=row.tier.value,
            effect=row.effect.value,
            reason=row.reason.value,
            rules=row.rules,
            places=row.shown.places,
            obligations=row.obligations,
            policy_revision=row.policy_revision,
            approval=row.id,
            arguments=row.arguments if in_full else None,
            arguments_digest=row.arguments_digest,
            facts=row.facts if opened else {},
            detail=row.note,
            extra={
                "state": row.state.value,
                "call": row.call,
                "decided_by": row.decided_by,
                "proof": row.proof.word if row.proof is not None else "",
                "proof_required": row.requirement.proof.word,
                "approvers_required": row.requirement.approvers,
                "votes": [_told(each) for each in ballots],
                **({"asked_digest": row.asked_digest, "follows": row.follows} if row.follows else {}),
                **({"edited_by": edited_by} if edited_by else {}),
                **({"followed_by": row.followed_by} if row.followed_by else {}),
                **({"kept": mark(card_bytes(row))} if opened else {}),
                "expires_at": stamp(row.expires_at),
                "statement": statement(row, self._store.gateway_id, self._key),
            },
        )
        return Entry(encode(record), columns(record))


def _is_signed(row: Approval, chosen: Chosen, voter: Voter) -> bool:
    return row.id in voter.signed_for and voter.terms is not None and voter.terms.admit(chosen)


def _told(ballot: Ballot) -> Mapping[str, Any]:
    told = {"by": ballot.by, "proof": ballot.proof.word, "approve": ballot.approve, "at": stamp(ballot.at)}
    return {**told, "evidence": dict(ballot.evidence)} if ballot.evidence else told


def _refused(why: Objection, given: str, row: Approval | None = None) -> ApprovalError:
    state, proof, named = ("", "", "")
    if row is not None:
        state, proof = row.state.value, row.requirement.proof.word
        named = ", ".join(f"`{each}`" for each in sorted(row.requirement.by))
    return ApprovalError(_SAYINGS[why].format(given, state, proof, named), why.value)
