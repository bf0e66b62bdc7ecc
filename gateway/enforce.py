"""The path of one call, top to bottom: facts, decide, record the intent, act, screen, record the outcome.

The only place that forwards. It knows no wire and no SDK type, and no flag skips a step of it.
"""

import anyio
import anyio.lowlevel

from gateway.core import words
from gateway.core.account import Trail
from gateway.core.decide import decide
from gateway.core.model import (
    Answer,
    Approval,
    Asked,
    Asking,
    Call,
    Decision,
    Done,
    Failure,
    Lost,
    Outcome,
    Reason,
    Refused,
    Reply,
    Result,
    Round,
    Tool,
    Unsent,
    Verdict,
)
from gateway.core.outward import sends
from gateway.ending import Endings
from gateway.errors import BusyError, GatewayError, RecordError
from gateway.facts import gather
from gateway.holding import Holding, Nobody
from gateway.inquire import Inquiry, Listener, Stuck
from gateway.ports import Caller, House
from gateway.releasing import Releasing

RECORD_DEADLINE = 10.0  # seconds that closing the record of a cancelled call may take
GRACE = 2.0  # seconds that screening gets at least, however late the upstream answered


class Enforcer:
    """The policy enforcement point: every call of every client goes through `handle`."""

    def __init__(self, house: House, inquiry: Inquiry) -> None:
        self._house, self._inquiry, self._end = house, inquiry, Endings(house)
        self._releasing = Releasing(house)
        self._holding = Holding(house, self._end, self._weigh, self._decide, self.handle)

    async def handle(self, call: Call, caller: Caller) -> Answer:
        """Take one call along its path. Raises nothing but cancellation: whatever breaks, blocks and is recorded."""
        trail = Trail(call, self._house.clock.monotonic, self._house.capture)
        try:
            return await self._path(trail, caller)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(RECORD_DEADLINE, shield=True):
                await self._end.break_off(trail, Reason.CANCELLED if trail.rounds else Reason.CLIENT_GONE)
            raise
        except RecordError as full:
            return await self._end.break_off(
                trail, Reason.BUSY if isinstance(full, BusyError) else Reason.RECORD_FAILED
            )
        except Exception as broken:  # noqa: BLE001 - the one broad guard of the path: it blocks and records
            return await self._end.break_off(trail, Reason.INTERNAL, type(broken).__name__)

    async def turn_away(self, call: Call, reason: Reason) -> Refused:
        """Refuse a call before its path begins, for which there is no room or upstream; it is recorded all the same."""
        trail = Trail(call, self._house.clock.monotonic, self._house.capture, unrecorded=True)
        return await self._end.break_off(trail, reason)

    async def _path(self, trail: Trail, caller: Caller) -> Answer:
        house = self._house
        # 1. Facts, and 2. decide. ASK: a person decides on exactly this call, and then it is decided again, now.
        kept = await self._inquiry.come_back(trail)
        ended: Answer | None = await self._weigh(trail) or await self._resume(trail, kept)
        if ended := ended or await self._holding.ask(trail, caller):
            return ended
        tool, decision = trail.allowed()
        house.sessions.saw(trail.call, tool, decision, trail.rounds)
        listener = Listener(house, caller, trail)
        reply: Reply | None = trail.asked
        while reply is None or isinstance(reply, Asked):
            # The upstream asked before it answers: put it to the client, and go round with what comes back.
            if reply is not None:
                trail.again = await self._inquiry.put(trail, tool, reply, caller)
                await self._end.alarm(trail, ())
                if isinstance(trail.again, Asking):
                    return trail.again
                if isinstance(stuck := trail.again, Stuck):
                    return await self._end.refuse(
                        trail, Outcome.ERROR, stuck.reason, None, stuck.detail, stuck.requires
                    )
            # 3. Record the intent: durable before a write or high call is forwarded, queued for a read.
            self._end.look_back(trail)
            trail.marks = house.flows.sends(trail.call, tool) if not trail.rounds else ()
            with trail.timed("intent"):
                if not await self._end.record(trail, trail.intent(house.clock.now()), (*trail.uses, *trail.spends)):
                    return await self._end.refuse(trail, Outcome.BLOCKED, await self._end.overtaken(trail))
                await house.approvals.spent(trail.uses)
            # 4. Act: what was checked is what is sent.
            await anyio.lowlevel.checkpoint_if_cancelled()
            trail.sent(house.clock.monotonic() + house.upstreams.timeout(tool.ref.upstream))
            with trail.timed("upstream"):
                reply = await house.upstreams.forward(tool, trail.call.canonical, trail.call, listener, trail.again)
        # 5. Screen the result on every surface. 6. Record the outcome. Then answer.
        return await self._conclude(trail, tool, reply, caller)

    async def _weigh(self, trail: Trail) -> Refused | None:
        """Decide, apply what policy sets or drops and decide again, once; and redact the arguments for card and
        record, which those of a read that nobody is asked about can do while it runs.
        """
        house = self._house
        if trail.call.context.prompt is not None:
            await house.turns.prompted(trail.call)
        trail.turn = house.turns.turn(trail.call)
        with trail.timed("decide"):
            decision = self._decide(trail)
            if decision.verdict is not Verdict.BLOCK and (changed := trail.changes()) is not None:
                trail.change(changed, house.key)
                decision = self._decide(trail)
                if decision.verdict is not Verdict.BLOCK and trail.changes() is not None:
                    return await self._end.refuse(trail, Outcome.BLOCKED, Reason.OBLIGATION_UNMET)
        await self._end.alarm(trail, trail.secrets)  # before anything is waited for
        at_once = house.screener.redacts_at_once(len(trail.call.canonical))
        trail.hasty = at_once and decision.verdict is Verdict.ALLOW and not trail.durable and not sends(trail.tool)
        if not trail.hasty:
            with trail.timed("arguments"):
                patience = house.upstreams.timeout(trail.tool.ref.upstream) if trail.tool else GRACE
                try:
                    deadline = house.clock.monotonic() + patience
                    trail.arguments, trail.findings = await house.screener.redact(trail.call.arguments, deadline)
                except GatewayError:
                    blocked = decision.verdict is Verdict.BLOCK
                    reason = decision.reason if blocked else Reason.SCANNER_FAILED
                    return await self._end.refuse(trail, Outcome.BLOCKED, reason)
            if trail.findings:  # what would leave with it, and what is the gateway's own, are facts of the decision
                decision = self._decide(trail)
        if decision.verdict is Verdict.BLOCK:
            return await self._end.refuse(trail, Outcome.BLOCKED, decision.reason)
        return None

    async def _resume(self, trail: Trail, found: Round | None) -> Refused | None:
        """Go on with a call that its upstream had asked something: what was sent, if nothing of it has got worse."""
        house, call = self._house, trail.call
        if found is None:
            wrong = house.rounds.owns(call)
            return await self._end.refuse(trail, Outcome.BLOCKED, Reason.HANDLE_INVALID) if wrong else None
        if found.asked is None:  # nobody waits for answers any more: nothing is sent anew
            return await self._end.refuse(trail, Outcome.UNKNOWN, Reason.QUESTION_EXPIRED, detail=f"of {found.call}")
        tool, decision = trail.decided()
        if trail.asks and found.approval is not None:
            decision = self._decide(trail, found.approval)
        same = found.tool == tool.digest and found.digest == call.digest
        if same and decision.verdict is Verdict.ALLOW:
            return None
        reason = decision.reason if decision.verdict is Verdict.BLOCK else Reason.APPROVAL_VOID
        return await self._end.refuse(trail, Outcome.BLOCKED, reason, detail=decision.detail)

    async def _conclude(
        self, trail: Trail, tool: Tool, reply: Result | Failure | Unsent | Lost, caller: Caller
    ) -> Answer:
        house, call = self._house, trail.call
        if isinstance(reply, Unsent):
            busy = Reason.BUSY if reply.detail.startswith("busy:") else Reason.UPSTREAM_DOWN
            return await self._end.refuse(trail, Outcome.BLOCKED, busy, detail=reply.detail)
        if isinstance(reply, Lost):
            return await self._end.refuse(trail, Outcome.UNKNOWN, reply.reason, detail=reply.detail)
        failed = isinstance(reply, Failure)
        value = {"message": reply.message, "data": reply.data} if isinstance(reply, Failure) else reply.value
        outcome = Outcome.ERROR if failed or value.get("isError") is True else Outcome.OK
        with trail.timed("screen"):
            until = max(trail.deadline, house.clock.monotonic() + GRACE)
            screened = await house.screener.screen(value, tool, until, tainted=trail.tainted)
        trail.marks = house.flows.made(call, tool, value)  # also where nothing of it leaves
        may = list(await self._releasing.ask(trail, tool, screened, caller))  # whole first, if a person said so
        while True:
            screened = await self._end.leaving(trail, tool, may.pop(0), to_model=not isinstance(caller, Nobody))
            reason = screened.reason or (Reason.UPSTREAM_ERROR if failed else None)
            ended = trail.outcome(house.clock.now(), outcome, reason, screened)
            if await self._end.record(trail, ended, trail.releases):
                break
            trail.overtaken()
        trail.closed = True
        if screened.value is None:
            return Refused(call.id, Verdict.BLOCK, screened.reason or Reason.SCANNER_FAILED, words.withheld(call.id))
        if not isinstance(caller, Nobody):  # a preview is shown to a person
            house.turns.delivered(call, screened.digest, screened.data)
        if isinstance(reply, Failure):
            return Done(None, Failure(reply.code, str(screened.value["message"]), screened.value["data"]))
        told = words.tell(screened.value, trail.decision, edited=trail.edits)
        return Done(told if call.method == "tools/call" else screened.value)

    def _decide(self, trail: Trail, approval: Approval | None = None) -> Decision:
        """Gather the facts as they are now, and decide."""
        trail.facts = facts = gather(self._house, trail.call, approval, trail.findings, trail.lent)
        trail.decision = decide(trail.call, facts, self._house.policy())
        return trail.decision
