"""The hold ladder of `approvals.md`: how long a call waits for a person, and what its client is told meanwhile.

It puts questions and waits; what an answer is worth is for `core/approval.py`, and nothing is forwarded from here.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta

import anyio
import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from gateway import ids
from gateway.approvals.desk import Desk
from gateway.approvals.history import history_of
from gateway.clock import Sleeper
from gateway.core.approval import Event, answerable_by_client, covers
from gateway.core.canon import canonical
from gateway.core.model import AGAIN, Approval, ApprovalState, Call, Held, Proof, Standing, Tool, Vote
from gateway.core.patience import Patience, never_shown
from gateway.core.view import before
from gateway.errors import ApprovalError, RecordError
from gateway.ports import Caller
from gateway.store import Store, rows

NOTICE_EVERY = 10.0  # seconds between two progress notices
ROUNDS = 9  # of "call again" for a client that can't be asked
MARK = "h_"  # how handles of rows begin: chance alone would make one of 4,096 look like that of an upstream's question
SILENT = "w_"  # and of those with which no question went: what their client brings back is nobody's answer
HANDLE_GRACE = timedelta(hours=1)  # beyond the row's expiry, so that a late round hears that it expired
CLOSING = 10.0  # seconds that marking a row may take when its client is gone
MOST_KINDS = 200  # clients of which is remembered how long they wait
_PATIENCE = "patience"

log = logging.getLogger("wardgate.approvals")


class _Watch(Struct):
    """One call that waits at a row."""

    settled: anyio.Event = field(default_factory=anyio.Event)
    failure: RecordError | None = None


class Approvals(Desk):
    """`ports.Approvals`, and the desk's `settle`, `list` and `show` for every other door.

    `link` tells where the card of a row can be opened; empty while no console is served.
    """

    link: Callable[[Approval], str] = staticmethod(lambda row: "")

    def __init__(
        self,
        store: Store,
        clock: Sleeper,
        key: bytes,
        *,
        prompts_per_hour: int = 60,
        longest: timedelta = timedelta(hours=8),
    ) -> None:
        """See `Desk`."""
        super().__init__(store, clock, key, prompts_per_hour=prompts_per_hour, longest=longest)
        self._patience: dict[str, Patience] = {}

    async def recover(self) -> int:
        """At start: what was learned of clients, too; see `Desk.recover`."""
        kept = await rows.get_meta(self._store, _PATIENCE)
        self._patience = msgspec.json.decode(kept, type=dict[str, Patience]) if kept else {}
        return await super().recover()

    async def resume(self, call: Call, caller: Caller | None = None) -> tuple[str, Approval] | None:
        """Take the handle of a second round: the call's first id and its approval, with the vote applied.

        Single use by compare-and-swap; None if it is unknown, used, expired or bound to another call. A decline faster
        than a person can read, a vote that doesn't count, or one that nobody was asked for, leaves the row open.
        """
        if call.resume is None:
            return None
        now = self._clock.now()
        handle = await rows.find_handle(self._store, call.resume.handle)
        if handle is None or not await self._store.append((), (rows.use_handle(call.resume.handle, call, now),)):
            return None
        vote = call.resume.vote
        after = (now - handle.created_at).total_seconds()
        limits = (caller.limit, self._of(caller).limit) if caller is not None else ()
        # INVARIANT: an answer counts only where the client was given the question.
        vote = vote if call.resume.handle.startswith(MARK) else Vote.CANCEL
        if vote is Vote.APPROVE or (vote is Vote.DENY and not never_shown(after, limits)):
            await self._voted(handle.approval, vote, call.client.name)
        return handle.call, await self._look(handle.approval)

    def standing(self, call: Call, tool: Tool | None) -> Standing:
        """What people have said that concerns a call now."""
        return self.standings.of(call, tool)

    async def spent(self, uses: Sequence[str]) -> None:
        """A recorded intent has used up these grants.

        The call that a grant came from is answered by it, too: where nobody waited for that answer any more, its own
        approval must not let it run once more.
        """
        for grant in self.standings.spent(uses):
            try:
                row = await self._look(grant.approval)
                if row.told and row.state is ApprovalState.APPROVED:
                    await self._end(row, Event.WITHDRAW)
            except (ApprovalError, RecordError) as problem:
                log.warning("approval %s stays beside its grant: %s", grant.approval, problem)

    async def obtain(
        self, call: Call, asked: Approval, caller: Caller, waiting: Approval | None = None
    ) -> Approval | Held:
        """Go on with `waiting`, or attach to a row that the caller was told of, or open one (durable first), and wait.

        Returns the settled row, or Held at the client's budget. Where a person edits the arguments, the wait goes on at
        the row that follows. Cancellation interrupts the wait; the row stays decidable, and the same call again finds
        it. Raises `BusyError` over the limit of prompts, `RecordError` if nothing can be kept.
        """
        row = await self._row_for(call, asked, waiting)
        again = waiting is not None and waiting.id == row.id
        began = self._clock.monotonic()
        end = began + self._of(caller).budget(caller.budget)
        try:
            while True:
                found = row
                if row.state is ApprovalState.WAITING:
                    rung = await self._climb(row, call, caller, end, again=again)
                    if isinstance(rung, Held):
                        return rung
                    found = rung
                if found.followed_by in ("", AGAIN):
                    return found
                row, again = await self._look(found.followed_by), True
                await self._store.append((), (rows.attach_approval(row.id, must=False),))
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(CLOSING, shield=True):
                await self._orphan(row)
                await self._learn(caller, self._clock.monotonic() - began)
            raise

    def _of(self, caller: Caller) -> Patience:
        return self._patience.get(caller.kind, Patience())

    async def _learn(self, caller: Caller, after: float) -> None:
        """A client gave a call up: two at the same moment are its own limit, and from then on calls are held less."""
        before = self._of(caller)
        seen = before.gave_up(after)
        if seen == before:
            return
        self._patience[caller.kind] = seen
        if len(self._patience) > MOST_KINDS:
            self._patience.pop(next(iter(self._patience)))
        try:
            await self._store.append((), (rows.set_meta(_PATIENCE, canonical(self._patience).decode("utf-8")),))
        except RecordError as problem:
            log.info("what was learned of a client can't be kept: %s", problem)

    async def _row_for(self, call: Call, asked: Approval, waiting: Approval | None) -> Approval:
        """The row of exactly this call."""
        if waiting is not None:
            row = await self._look(waiting.id)
            if covers(row, asked):
                await self._store.append((), (rows.attach_approval(row.id, must=False),))
                return row
            await self.expire(row)
        for row in await rows.told_approvals(self._store, call, now=self._clock.now()):
            # INVARIANT: a row is attached to one call at a time; the swap decides between two that come together.
            if covers(row, asked) and await self._store.append((), (rows.attach_approval(row.id),)):
                return await self._look(row.id)
        told = before(asked, await history_of(self._store, asked))
        row = replace(asked, id=ids.new_id(ids.APPROVAL), shown=replace(asked.shown, before=told))
        await self._open(row)
        return row

    async def _climb(self, row: Approval, call: Call, caller: Caller, end: float, *, again: bool) -> Approval | Held:
        """One rung after the other, as far as this client goes."""
        by_client = answerable_by_client(row)
        url = self.link(row) if caller.opens and not by_client else ""
        if caller.asks == "input" and by_client and not again:
            return await self._hand_out(row, call, ask=True)
        if url and not again and caller.asks in ("input", "input-silent"):
            return await self._hand_out(row, call, ask=False, url=url)
        settled = await self._hold(row, caller, end, ask=caller.asks == "elicit" and by_client, url=url)
        if settled.state is not ApprovalState.WAITING:
            return settled
        if caller.asks == "input-silent" and await rows.count_handles(self._store, row.id) < ROUNDS:
            return await self._hand_out(settled, call, ask=False)
        if await self._store.append((), (rows.tell_approval(row.id, waiting=True),)):
            return Held(settled)
        return await self._look(row.id)

    async def _hand_out(self, row: Approval, call: Call, *, ask: bool, url: str = "") -> Held:
        """A handle for the next round, on the disk before it leaves."""
        handle = (MARK if ask else SILENT) + secrets.token_urlsafe(16)
        now = self._clock.now()
        change = rows.insert_handle(handle, call, row.call, now, row.expires_at + HANDLE_GRACE, row.id)
        await self._store.append((), (change,))
        return Held(row, handle, ask, url)

    async def _hold(self, row: Approval, caller: Caller, end: float, *, ask: bool, url: str) -> Approval:
        """Wait for an answer at any door until the row expires or the client's patience ends; returns the row then."""
        watch = _Watch()
        self._watchers.setdefault(row.id, set()).add(watch.settled)
        try:
            found = await self._look(row.id)  # it may have been settled before anybody watched
            if found.state is not ApprovalState.WAITING:
                return found
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._notices, row, caller)
                tasks.start_soon(self._until, row, end, watch)
                if ask:
                    tasks.start_soon(self._elicit, row, caller, watch)
                elif url and caller.answers_inline:
                    tasks.start_soon(self._open_page, row, caller, url)
                await watch.settled.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._watchers[row.id].discard(watch.settled)
            if not self._watchers[row.id]:
                del self._watchers[row.id]
        if watch.failure is not None:
            raise watch.failure
        return await self._look(row.id)

    async def _until(self, row: Approval, end: float, watch: _Watch) -> None:
        """End the wait when the row expires or the client's patience does (`end`, monotonic)."""
        while (left := (row.expires_at - self._clock.now()).total_seconds()) > 0:
            if (rest := end - self._clock.monotonic()) <= 0:
                break
            await self._clock.sleep(min(left, rest))
        watch.settled.set()

    async def _notices(self, row: Approval, caller: Caller) -> None:
        """Tell the client at once, and again, that a person is awaited."""
        while True:
            try:
                await caller.notice(f"waiting for approval {row.id}")
            except Exception as problem:  # noqa: BLE001 - a notice is a courtesy: that it fails settles nothing
                log.info("no notices for %s: %s", row.id, type(problem).__name__)
                return
            await self._clock.sleep(NOTICE_EVERY)

    async def _elicit(self, row: Approval, caller: Caller, watch: _Watch) -> None:
        """Ask the client's user; what isn't an answer of a person leaves the row open."""
        began = self._clock.monotonic()
        try:
            vote = await caller.elicit(row)
        except Exception as problem:  # noqa: BLE001 - a client that can't ask has not answered: the row waits on
            log.info("client could not ask about %s: %s", row.id, type(problem).__name__)
            return
        limits = (caller.limit, self._of(caller).limit)
        unread = vote is Vote.DENY and never_shown(self._clock.monotonic() - began, limits)
        if vote is Vote.CANCEL or unread:
            return
        try:
            await self._voted(row.id, vote, row.client)
        except RecordError as problem:
            watch.failure = problem
            watch.settled.set()

    async def _open_page(self, row: Approval, caller: Caller, url: str) -> None:
        """Have the client open the card: that it did says nothing, the answer comes from the console."""
        try:
            await caller.open(row, url)
        except Exception as problem:  # noqa: BLE001 - a client that can't open a page has not answered: the row waits on
            log.info("client could not open the card of %s: %s", row.id, type(problem).__name__)

    async def _voted(self, approval_id: str, vote: Vote, client: str) -> None:
        """Count what a client brought back; another door may have been faster."""
        try:
            await self.vote(approval_id, vote is Vote.APPROVE, f"client:{client}", Proof.CLIENT)
        except ApprovalError as objection:
            log.info("%s", objection)

    async def _orphan(self, row: Approval) -> None:
        """The client went away: the row, or what took its place, stays open for the same call to come back to."""
        try:
            row = await self._look(row.id)
            while row.followed_by not in ("", AGAIN):
                row = await self._look(row.followed_by)
            await self._store.append((), (rows.tell_approval(row.id, waiting=False),))
        except (RecordError, ApprovalError) as problem:
            log.warning("approval %s can't be kept for its call: %s", row.id, problem)
