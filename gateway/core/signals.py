"""Session signals: counters of what one session did, and what stands out in them.

Pure: records in, counters and signals out. A signal never blocks a call.
"""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct, field

from gateway.core.model import ApprovalState, Kind, Outcome, Record, Release, Tier
from gateway.core.record import stamp
from gateway.core.visible import visible

REPEATS = 3  # equal refused calls that make a signal
REMEMBERED = 1_000  # different refused calls that a session's counters hold
MOST_TOLD = 20  # signals of a session of which the sentence is kept, the newest
SHOWN = 80  # characters of a text in a sentence that somebody else chose


class Signal(str, Enum):
    """What stands out in a session."""

    REPEATED_REFUSAL = "repeated-refusal"  # the third equal refused call
    UNKNOWN_OUTCOME = "unknown-outcome"  # a call was sent, and nobody knows how it ended
    WITHHELD = "result-withheld"  # an output was held back
    POSES = "upstream-poses"  # an upstream used the gateway's own words
    HONEYTOKEN = "honeytoken"  # an incident: a made-up credential that was planted was read, or carried somewhere
    # against the past of the identity
    UNUSUAL_COUNT = "unusual-count"  # more consequential calls in a day than on the days before
    NEW_STEP = "new-step"  # a step from one tool into a write that it never made
    NEW_SINK = "new-sink"  # a recipient, host, folder or account that it never used with this effect
    NEW_TOOL = "new-tool"  # its first use of a tool
    NEW_SCOPE = "new-scope"  # its first read of a folder, repository, table or mailbox
    NEW_UPSTREAM = "new-upstream"  # an upstream outside its inventory
    TOOL_DRIFT = "tool-drift"  # another mix of tools than in the week before
    # against how people answer
    OVERRIDES = "overrides"  # a person approves nearly all that a rule asks
    FAST_APPROVAL = "fast-approval"  # an approval before the card can have been read


class Response(str, Enum):
    """What is done about a signal, weakest first; each includes those before it."""

    NOTE = "note"  # it is recorded and shown
    NOTIFY = "notify"  # people are told, as of what waits for them
    RAISE = "raise"  # from now on, calls above tier read in its session are asked about

    @property
    def rank(self) -> int:
        """Its place in that order."""
        return list(Response).index(self)


COUNTED = (Signal.REPEATED_REFUSAL, Signal.UNKNOWN_OUTCOME, Signal.WITHHELD, Signal.POSES)
"""Those that the counters of a session make themselves, whenever they read its records."""
FIXED = (Signal.HONEYTOKEN,)
"""Those about which no policy says anything: everybody is told, and the session is held."""


class Raised(Struct, frozen=True):
    """A signal, with the sentence that explains it."""

    signal: Signal
    explanation: str


def response(signal: Signal, tier: str, said: Mapping[Signal, Response]) -> Response:
    """What is done about a signal of a call of a tier; `said` is what the policy says."""
    if signal in said:
        return said[signal]
    return Response.NOTIFY if signal is Signal.FAST_APPROVAL and tier == Tier.HIGH.value else Response.NOTE


def shown(text: str) -> str:
    """A text that somebody else chose as a sentence shows it: bounded, with its hidden characters to be seen."""
    seen = visible(text)
    return seen if len(seen) <= SHOWN else f"{seen[: SHOWN - 1]}…"


class SessionCounters(Struct):
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
    told: deque[Mapping[str, str]] = field(default_factory=lambda: deque(maxlen=MOST_TOLD))
    raised: str = ""  # the signal for which its calls are asked about, if one of its own did that

    def count(self, record: Record) -> tuple[Raised, ...]:
        """Add one record of this session; returns the signals that it raises."""
        if record.kind is Kind.SIGNAL:
            self.note(record)
            return ()
        self.principal, self.client = record.principal or self.principal, record.client or self.client
        self.first_at, self.last_at = self.first_at or record.at, record.at
        raised: tuple[Raised, ...] = ()
        if record.kind is Kind.OUTCOME:
            raised = self._ended(record)
        elif record.kind is Kind.APPROVAL and record.extra.get("state") == ApprovalState.WAITING.value:
            self.prompts += not record.extra.get("votes")
        elif record.kind is Kind.QUESTION and record.extra.get("poses"):
            raised = (_poses(record),)
        self.signals.update(one.signal.value for one in raised)
        return raised

    def note(self, record: Record) -> None:
        """Add a signal of this session; those that are made from these counters are counted there."""
        if record.detail not in _SIGNALS:
            return
        self.principal, self.client = self.principal or record.principal, self.client or record.client
        self.first_at, self.last_at = self.first_at or record.at, self.last_at or record.at
        if record.detail not in COUNTED:
            self.signals[record.detail] += 1
        effect = str(record.extra.get("effect", ""))
        if effect == Response.RAISE.value:
            self.raised = self.raised or record.detail
        self.told.append(
            {
                "signal": record.detail,
                "at": stamp(record.at),
                "effect": effect,
                "call": str(record.extra.get("call", "")),
                "explanation": str(record.extra.get("explanation") or record.extra.get("honeytokens", "")),
            }
        )

    def _ended(self, record: Record) -> tuple[Raised, ...]:
        self.calls += 1
        self.outcomes[record.outcome] += 1
        self.verdicts[record.verdict or "none"] += 1
        self.tiers[record.tier or "none"] += 1
        raised: list[Raised] = []
        what = f"`{shown(record.called)}`"
        if record.outcome in (Outcome.BLOCKED.value, Outcome.DENIED.value) and self._again(record) == REPEATS:
            said = f"exactly the same call of {what} was refused {REPEATS} times ({record.reason})"
            raised.append(Raised(Signal.REPEATED_REFUSAL, said))
        if record.outcome == Outcome.UNKNOWN.value:
            said = f"a call of {what} was sent, and nobody knows how it ended ({record.reason})"
            raised.append(Raised(Signal.UNKNOWN_OUTCOME, said))
        elif record.release == Release.WITHHELD.value:
            raised.append(Raised(Signal.WITHHELD, f"the result of {what} was held back ({record.reason})"))
        if record.extra.get("poses"):
            raised.append(_poses(record))
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
            "told": [dict(each) for each in self.told],
            "raised": self.raised,
            "first_at": stamp(self.first_at) if self.first_at is not None else "",
            "last_at": stamp(self.last_at) if self.last_at is not None else "",
        }


_SIGNALS = frozenset(signal.value for signal in Signal)


def _poses(record: Record) -> Raised:
    where = ", ".join(map(str, record.extra["poses"]))
    return Raised(Signal.POSES, f"upstream `{record.upstream}` used the gateway's own words: {where}")
