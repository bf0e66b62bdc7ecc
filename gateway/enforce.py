"""The path of one call, top to bottom: facts, decide, record the intent, act, screen, record the outcome.

The only place that forwards. It knows no wire and no SDK type, and no flag skips a step of it.
"""

from contextlib import suppress
from functools import partial

import anyio
import anyio.lowlevel

from gateway.core import words
from gateway.core.account import Trail
from gateway.core.canon import canonical, count_nodes, keyed_digest
from gateway.core.decide import decide
from gateway.core.model import (
    Answer,
    Approval,
    ApprovalState,
    Call,
    Decision,
    Done,
    Facts,
    Failure,
    Held,
    Lost,
    Outcome,
    Reason,
    Record,
    Refused,
    Reply,
    Tool,
    Unsent,
    Verdict,
)
from gateway.errors import BusyError, GatewayError, RecordError
from gateway.ports import Caller, House

RECORD_DEADLINE = 10.0  # seconds that closing the record of a cancelled call may take
GRACE = 2.0  # seconds that screening gets at least, however late the upstream answered


class Enforcer:
    """The policy enforcement point: every call of every client goes through `handle`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def handle(self, call: Call, caller: Caller) -> Answer:
        """Take one call along its path. Raises nothing but cancellation: whatever breaks, blocks and is recorded."""
        trail = Trail(call, self._house.clock.monotonic)
        try:
            return await self._path(trail, caller)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(RECORD_DEADLINE, shield=True):
                await self._break_off(trail, Reason.CANCELLED if trail.forwarded else Reason.CLIENT_GONE)
            raise
        except RecordError as full:
            return await self._break_off(trail, Reason.BUSY if isinstance(full, BusyError) else Reason.RECORD_FAILED)
        except Exception as broken:  # noqa: BLE001 - the one broad guard of the path: it blocks and records
            return await self._break_off(trail, Reason.INTERNAL, type(broken).__name__)

    async def _path(self, trail: Trail, caller: Caller) -> Answer:
        house = self._house
        # 1. Facts, and 2. decide. ASK: a person decides on exactly this call, and then it is decided again, now.
        if ended := await self._weigh(trail) or await self._ask(trail, caller):
            return ended
        tool, decision = trail.allowed()
        # 3. Record the intent: durable before a write or high call is forwarded, queued for a read.
        with trail.timed("intent"):
            if not await self._record(trail, trail.intent(house.clock.now()), consume=trail.approval):
                return await self._refuse(trail, Outcome.BLOCKED, Reason.APPROVAL_USED)
        # 4. Act: what was checked is what is sent.
        await anyio.lowlevel.checkpoint_if_cancelled()
        house.sessions.saw(trail.call, tool, decision)
        deadline = house.clock.monotonic() + house.upstreams.timeout(tool.ref.upstream)
        trail.forwarded = True
        with trail.timed("upstream"):
            progress = partial(self._progress, caller) if caller.wants_progress else None
            reply = await house.upstreams.forward(tool, trail.call.canonical, trail.call, progress)
        # 5. Screen the result on every surface. 6. Record the outcome. Then answer.
        return await self._conclude(trail, tool, reply, max(deadline, house.clock.monotonic() + GRACE))

    async def _weigh(self, trail: Trail) -> Refused | None:
        """Decide, apply what policy sets or drops and decide again, once; and redact the arguments for card and
        record.
        """
        house = self._house
        with trail.timed("decide"):
            decision = self._decide(trail)
            if decision.verdict is not Verdict.BLOCK and (changed := trail.changes()) is not None:
                trail.change(changed, house.key)
                decision = self._decide(trail)
                if decision.verdict is not Verdict.BLOCK and trail.changes() is not None:
                    return await self._refuse(trail, Outcome.BLOCKED, Reason.OBLIGATION_UNMET)
        with trail.timed("arguments"):
            patience = house.upstreams.timeout(trail.tool.ref.upstream) if trail.tool else GRACE
            try:
                trail.arguments = await house.screener.clean(trail.call.arguments, house.clock.monotonic() + patience)
            except GatewayError:
                return await self._refuse(trail, Outcome.BLOCKED, Reason.SCANNER_FAILED)
        if decision.verdict is Verdict.BLOCK:
            return await self._refuse(trail, Outcome.BLOCKED, decision.reason)
        return None

    async def _ask(self, trail: Trail, caller: Caller) -> Held | Refused | None:
        """Hold the call until a person has decided; None once it may go on."""
        house, (tool, decision) = self._house, trail.decided()
        waiting: Approval | None = None
        if trail.call.resume is not None:
            resumed = await house.approvals.resume(trail.call)
            if resumed is None:
                return await self._refuse(trail, Outcome.BLOCKED, Reason.HANDLE_INVALID)
            first, waiting = resumed
            trail.rename(first)
        if not trail.asks:
            return None
        with trail.timed("approval"):
            settled = await house.approvals.obtain(trail.call, tool, decision, trail.arguments, caller, waiting)
        if isinstance(settled, Held):
            return settled
        trail.approval = settled.id
        if settled.state is not ApprovalState.APPROVED:
            return await self._refuse(trail, Outcome.DENIED, words.ending(settled.state), approval=settled)
        again = self._decide(trail, settled)
        if again.verdict is not Verdict.ALLOW:
            await house.approvals.expire(settled)
            return await self._refuse(trail, Outcome.BLOCKED, again.reason, approval=settled)
        return None

    async def _progress(self, caller: Caller, done: float, total: float | None, message: str | None) -> None:
        """Pass an upstream's progress on; its text is screened like any output."""
        await caller.progress(done, total, self._house.screener.clean_text(message) if message else None)

    async def _conclude(self, trail: Trail, tool: Tool, reply: Reply, deadline: float) -> Answer:
        house, call = self._house, trail.call
        if isinstance(reply, Unsent):
            trail.forwarded = False
            return await self._refuse(trail, Outcome.BLOCKED, Reason.UPSTREAM_DOWN, detail=reply.detail)
        if isinstance(reply, Lost):
            return await self._refuse(trail, Outcome.UNKNOWN, reply.reason, detail=reply.detail)
        failed = isinstance(reply, Failure)
        value = {"message": reply.message, "data": reply.data} if isinstance(reply, Failure) else reply.value
        outcome = Outcome.ERROR if failed or value.get("isError") is True else Outcome.OK
        with trail.timed("screen"):
            screened = await house.screener.screen(value, tool, deadline)
        reason = screened.reason or (Reason.UPSTREAM_ERROR if failed else None)
        seal = keyed_digest(house.key, canonical(value)) if trail.durable else ""
        await self._record(trail, trail.outcome(house.clock.now(), outcome, reason, screened, seal))
        trail.closed = True
        if screened.value is None:
            return Refused(call.id, Verdict.BLOCK, screened.reason or Reason.SCANNER_FAILED, words.withheld(call.id))
        if isinstance(reply, Failure):
            return Done(None, Failure(reply.code, str(screened.value["message"]), screened.value["data"]))
        return Done(words.tell(screened.value, trail.decision))

    def _decide(self, trail: Trail, approval: Approval | None = None) -> Decision:
        """Gather the facts as they are now, and decide."""
        house, call = self._house, trail.call
        tool = trail.tool = house.catalogue.find(call.exposed)
        upstream = tool.ref.upstream if tool else ""
        now, session = house.clock.now(), call.context.session
        facts = Facts(
            now=now,
            tool=tool,
            upstream_state=house.upstreams.state(upstream)[0] if tool else "stopped",
            protected=house.guard.reaches(call.arguments, upstream),
            tainted=house.sessions.tainted(session),
            calls_10m=house.sessions.calls_10m(session, now),
            consequential=house.sessions.consequential(session),
            used=house.sessions.used(call.principal.id, now),
            approval=approval,
            nodes=count_nodes(call.arguments),
        )
        trail.decision = decide(call, facts, house.policy())
        return trail.decision

    async def _record(self, trail: Trail, record: Record, consume: str = "") -> bool:
        if trail.durable:
            return await self._house.records.append(record, consume)
        self._house.records.queue(record)
        return True

    async def _refuse(
        self, trail: Trail, outcome: Outcome, reason: Reason, approval: Approval | None = None, detail: str = ""
    ) -> Refused:
        """Record how the call ended without an answer of the upstream, and say it in words that a model can use."""
        await self._record(trail, trail.outcome(self._house.clock.now(), outcome, reason, detail=detail))
        trail.closed = True
        text = words.refusal(trail.call.id, outcome, reason, approval)
        return Refused(trail.call.id, trail.verdict, reason, text, approval)

    async def _break_off(self, trail: Trail, reason: Reason, detail: str = "") -> Refused:
        """Close the record of a call that broke off; if even that fails, the sweep at the next start closes it."""
        outcome = Outcome.UNKNOWN if trail.forwarded else Outcome.BLOCKED
        trail.unrecorded = reason is Reason.RECORD_FAILED  # nobody waits twice for a disk that doesn't answer
        with suppress(RecordError):
            if not trail.closed:
                return await self._refuse(trail, outcome, reason, detail=detail)
        return Refused(trail.call.id, Verdict.BLOCK, reason, words.refusal(trail.call.id, outcome, reason))
