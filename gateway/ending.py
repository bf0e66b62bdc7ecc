"""How a call ends without an answer of its upstream: recorded, and said in words. It forwards and decides nothing."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gateway.core import words
from gateway.core.account import Trail
from gateway.core.model import Approval, Outcome, Reason, Record, Refused, Verdict
from gateway.errors import RecordError
from gateway.ports import House


class Endings:
    """Writes the records of calls, and ends those that are refused or broke off."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def record(self, trail: Trail, record: Record, consume: str = "") -> bool:
        """Write one record of a call: awaited for a write or high call, queued for a read; see `ports.Records`."""
        if trail.durable:
            return await self._house.records.append(record, consume)
        self._house.records.queue(record)
        return True

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
            outcome = Outcome.UNKNOWN
        await self.record(trail, trail.outcome(self._house.clock.now(), outcome, reason, detail=detail))
        trail.closed = True
        text = words.refusal(trail.call.id, outcome, reason, approval)
        return Refused(trail.call.id, trail.verdict, reason, text, approval, requires)

    async def break_off(self, trail: Trail, reason: Reason, detail: str = "") -> Refused:
        """Close the record of a call that broke off; if even that fails, the sweep at the next start closes it."""
        outcome = Outcome.UNKNOWN if trail.rounds else Outcome.BLOCKED
        trail.unrecorded = reason is Reason.RECORD_FAILED or trail.unrecorded  # nobody waits twice for a disk
        with suppress(RecordError):
            if not trail.closed:
                return await self.refuse(trail, outcome, reason, detail=detail)
        return Refused(trail.call.id, Verdict.BLOCK, reason, words.refusal(trail.call.id, outcome, reason))
