"""Session signals: counters of what one session did, and what stands out in them.

Pure: records in, counters and signals out. A signal never decides a call.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from gateway.core.model import ApprovalState, Kind, Outcome, Record, Release
from gateway.core.record import stamp

REPEATS = 3  # equal refused calls that make a signal
REMEMBERED = 1_000  # different refused calls that a session's counters hold


class Signal(str, Enum):
    """What stands out in a session."""

    REPEATED_REFUSAL = "repeated-refusal"  # the third equal refused call
    UNKNOWN_OUTCOME = "unknown-outcome"  # a call was sent, and nobody knows how it ended
    WITHHELD = "result-withheld"  # an output was held back
    POSES = "upstream-poses"  # an upstream used the gateway's own words
    HONEYTOKEN = "honeytoken"  # an incident: a made-up credential that was planted was read, or carried somewhere


@dataclass(slots=True)
class SessionCounters:
    """What one session did so far."""

    session: str
    principal: str = ""
    client: str = ""
    calls: int = 0
    prompts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    first_at: datetime | None = None
    last_at: datetime | None = None
    refused: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def count(self, record: Record) -> tuple[Signal, ...]:
        """Add one record of this session; returns the signals that it raises."""
        self.principal, self.client = record.principal or self.principal, record.client or self.client
        self.first_at, self.last_at = self.first_at or record.at, record.at
        raised: tuple[Signal, ...] = ()
        if record.kind is Kind.OUTCOME:
            raised = self._ended(record)
        elif record.kind is Kind.APPROVAL and record.extra.get("state") == ApprovalState.WAITING.value:
            self.prompts += not record.extra.get("votes")
        elif record.kind is Kind.SIGNAL:  # one that was raised at once, and not from these counters
            self.signals[record.detail] += 1
        elif record.kind is Kind.QUESTION and record.extra.get("poses"):
            raised = (Signal.POSES,)
        self.signals.update(signal.value for signal in raised)
        return raised

    def _ended(self, record: Record) -> tuple[Signal, ...]:
        self.calls += 1
        self.outcomes[record.outcome] += 1
        self.verdicts[record.verdict or "none"] += 1
        self.tiers[record.tier or "none"] += 1
        raised: list[Signal] = []
        if record.outcome in (Outcome.BLOCKED.value, Outcome.DENIED.value) and self._again(record) == REPEATS:
            raised.append(Signal.REPEATED_REFUSAL)
        if record.outcome == Outcome.UNKNOWN.value:
            raised.append(Signal.UNKNOWN_OUTCOME)
        elif record.release == Release.WITHHELD.value:
            raised.append(Signal.WITHHELD)
        if record.extra.get("poses"):
            raised.append(Signal.POSES)
        return tuple(raised)

    def _again(self, record: Record) -> int:
        """How often exactly this call was refused by now; what was longest ago is forgotten first."""
        key = (record.upstream, record.tool, record.arguments_digest)
        times = self.refused.pop(key, 0) + 1
        self.refused[key] = times
        if len(self.refused) > REMEMBERED:
            del self.refused[next(iter(self.refused))]
        return times

    def item(self) -> dict[str, Any]:
        """The counters as `wardgate sessions --json` prints them."""
        return {
            "session": self.session,
            "principal": self.principal,
            "client": self.client,
            "calls": self.calls,
            "prompts": self.prompts,
            "verdicts": dict(self.verdicts),
            "outcomes": dict(self.outcomes),
            "tiers": dict(self.tiers),
            "signals": dict(self.signals),
            "first_at": stamp(self.first_at) if self.first_at is not None else "",
            "last_at": stamp(self.last_at) if self.last_at is not None else "",
        }
