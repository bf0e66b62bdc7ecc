"""How a call ends without an answer of its upstream: recorded, and said in words. It forwards and decides nothing."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gateway import ids
from gateway.core import words
from gateway.core.account import Trail
from gateway.core.limits import REFUSALS
from gateway.core.model import (
    Approval,
    Finding,
    Kind,
    Outcome,
    Reason,
    Record,
    Refused,
    Screened,
    Spend,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.own import barred, honeytokens
from gateway.core.signals import Signal
from gateway.errors import GatewayError, RecordError
from gateway.ports import House

ALARM = "wardgate: honeytoken"  # who holds a session in which one was seen


class Endings:
    """Writes the records of calls, and ends those that are refused or broke off."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def record(self, trail: Trail, record: Record, consume: Sequence[str | Spend] = ()) -> bool:
        """Write one record of a call: awaited for a write or high call, queued for a read; see `ports.Records`.

        False, with nothing written, for an intent that can't stand any more.
        """
        # INVARIANT: from the moment in which somebody holds such calls none is sent, whenever it was decided.
        if record.kind is Kind.INTENT and self._held(trail) is not None:
            return False
        if trail.durable:
            return await self._house.records.append(record, consume)
        if trail.hasty and record.result is None:
            self._house.records.queue_small(record, partial(self._catch_up, trail))
        else:
            self._house.records.queue(record)
        return True

    async def overtaken(self, trail: Trail) -> Reason:
        """Why an intent was not written: somebody holds such calls by now, or what it would use up is used up."""
        exceeded = await self._house.sessions.returned(trail.spends)
        used = Reason.BUDGET_EXCEEDED if exceeded else Reason.APPROVAL_USED if trail.uses else Reason.FROZEN
        return self._held(trail) or used

    def _held(self, trail: Trail) -> Reason | None:
        """Why nothing like this call is sent now, if somebody said so."""
        said = self._house.approvals.standing(trail.call, trail.tool)
        return Reason.FROZEN if said.frozen else Reason.TOOL_BARRED if said.barred else None

    async def refuse(
        self,
        trail: Trail,
        outcome: Outcome,
        reason: Reason,
        approval: Approval | None = None,
        detail: str = "",
        requires: Mapping[str, Any] | None = None,
    ) -> Refused:
        """Record how the call ended without an answer of the upstream, and say it in words that a model can use."""
        if trail.parked:  # it waits at its upstream for what nobody will answer: what it did there is not known
            await self._house.upstreams.drop(trail.parked)
        if trail.parked or (trail.begun and outcome is Outcome.BLOCKED):
            outcome = Outcome.UNKNOWN
        self.look_back(trail)
        if reason in REFUSALS and trail.tool is not None:
            self._house.sessions.refused(trail.call, trail.tool)
        await self.alarm(trail, trail.secrets)
        await self.record(trail, trail.outcome(self._house.clock.now(), outcome, reason, detail=detail))
        trail.closed = True
        said = self._house.approvals.standing(trail.call, trail.tool)
        text = words.refusal(trail.call.id, outcome, reason, approval, said.note)
        return Refused(trail.call.id, trail.verdict, reason, text, approval, requires)

    async def break_off(self, trail: Trail, reason: Reason, detail: str = "") -> Refused:
        """Close the record of a call that broke off. What can't be written now is owed, and written once it can."""
        outcome = Outcome.UNKNOWN if trail.rounds or trail.begun else Outcome.BLOCKED
        if not trail.closed:
            if trail.parked:
                await self._house.upstreams.drop(trail.parked)
                outcome = Outcome.UNKNOWN
            closing = trail.outcome(self._house.clock.now(), outcome, reason, detail=detail)
            try:
                # What failed may be on the disk all the same: the sweep looks there first.
                if reason is Reason.RECORD_FAILED:
                    raise RecordError("the record has failed this call already")
                await self.record(trail, closing)
            except RecordError:
                self._house.records.owe(self._catch_up(trail, closing) if trail.hasty else closing)
        return Refused(trail.call.id, Verdict.BLOCK, reason, words.refusal(trail.call.id, outcome, reason))

    async def leaving(self, trail: Trail, tool: Tool, screened: Screened, *, to_model: bool) -> Screened:
        """What is about to leave: withheld where it holds an exact secret, or completes one that was read in pieces.

        What it raises, and what it does to the session it leaves to, is durable on return; raises `RecordError` if that
        can't be.
        """
        screened = self._sealed_off(trail, tool, screened)
        await self.alarm(trail, screened.findings)
        if to_model and screened.value is not None:
            await self._house.flows.delivered(trail.call, tool, screened.value)
        return screened

    def _sealed_off(self, trail: Trail, tool: Tool, screened: Screened) -> Screened:
        if trail.pieces is None and screened.value is not None:  # once for an output: its end is kept for the next one
            session = trail.call.context.session
            trail.pieces = self._house.screener.completes(session, tool.ref.upstream, screened.value)
        return barred(screened, trail.pieces or ())

    async def alarm(self, trail: Trail, findings: Sequence[Finding]) -> None:
        """Where a honeytoken is among findings, or was seen beside arguments and result (progress, log notices,
        questions and their answers): hold the session from now on, and put an incident on the record.

        Both are durable when this returns; raises `RecordError` if they can't be, and then the session is held all the
        same. A call raises it once.
        """
        seen = honeytokens((*findings, *trail.heard, *trail.sighted))
        if not seen or trail.alarmed:
            return
        trail.alarmed = True
        house, call = self._house, trail.call
        names = ", ".join(sorted({house.screener.name_of(one.fingerprint) for one in seen} - {""}))
        if ALARM not in house.approvals.standing(call, trail.tool).frozen:
            await house.approvals.freeze("", call.context.session, ALARM, f"seen by call {call.id}: {names}")
        about = Record(
            kind=Kind.SIGNAL,
            id=ids.new_id(ids.ENTRY),
            at=house.clock.now(),
            principal=call.principal.id,
            client=call.client.name,
            session=call.context.session,
            upstream=trail.tool.ref.upstream if trail.tool else "",
            tool=call.name_of(trail.tool) if trail.tool else call.told[:128],
            tier=trail.tool.tier.value if trail.tool else "",
            detail=Signal.HONEYTOKEN.value,
            extra={"call": call.id, "honeytokens": names, "places": [one.place for one in seen]},
        )
        await house.records.append(about)

    def _catch_up(self, trail: Trail, record: Record) -> Record:
        """What the record of a call that went on in haste lacks: its arguments, redacted."""
        if not record.facts:
            return record
        if trail.arguments is None:
            with trail.timed("arguments"), suppress(GatewayError):  # what can't be screened is told by its size
                trail.arguments, trail.findings = self._house.screener.redact_now(trail.call.arguments)
        return trail.caught_up(record)

    def look_back(self, trail: Trail) -> None:
        """Note what was read before a call above tier read, once: when its first record is about to be written."""
        if trail.tool is None or trail.tool.tier is Tier.READ or trail.rounds or trail.background:
            return
        context, carried = self._house.turns.before(trail.call)
        trail.background = {"context": context, "carried": carried}
