"""A session that a signal has raised: what would pass unasked above tier read is asked about. No I/O here.

It only tightens, and blocks nothing.
"""

from collections import OrderedDict
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.limits import least_proof
from gateway.core.model import Decision, Facts, Reason, Requirement, Surface, Tier, Tool, Verdict
from gateway.core.session import IDLE, Key

REMEMBERED = 10_000  # sessions that are raised; the one that was raised first is forgotten first


class RaisedSessions(Struct):
    """Which sessions are raised, each by the first signal that said so. One without a name of its own is raised for
    every connection of its principal and client, until these were idle.
    """

    changes: int = 0  # how often that changed
    _by: OrderedDict[Key, str] = field(default_factory=OrderedDict)
    _last: dict[Key, datetime] = field(default_factory=dict)  # of those without a name: the last call

    def add(self, key: Key, signal: str, at: datetime, now: datetime) -> None:
        """A session was raised at some time; nothing changes where it is raised already, or was idle since."""
        if key in self._by or (not key[2] and now - at > IDLE):
            return
        self._by[key] = signal
        self.changes += 1
        if not key[2]:
            self._last[key] = now
        if len(self._by) > REMEMBERED:
            self._last.pop(self._by.popitem(last=False)[0], None)

    def by(self, key: Key) -> str:
        """The signal that raised a session; empty for most."""
        return self._by.get(key, "")

    def called(self, key: Key, now: datetime) -> str:
        """The same for a call in it, now."""
        if key in self._last:
            if now - self._last[key] > IDLE:
                del self._by[key], self._last[key]
                self.changes += 1
            else:
                self._last[key] = now
        return self.by(key)

    def newest(self, most: int) -> list[tuple[Key, str]]:
        """So many of them, each with its signal, those that were raised last at the end."""
        return list(self._by.items())[-most:]


def heightened(decision: Decision, facts: Facts, tool: Tool) -> Decision:
    """A decision in a session that is raised, if `facts.raised` names the signal that raised it.

    What upstreams ask in the middle of a call, and a call that has begun, are left as they are: nobody could be asked
    about that.
    """
    mild = tool.tier is Tier.READ or tool.surface is Surface.METHODS
    # What asks for a limit stays as it is, for a grant of anything but exactly this call must not lift that.
    settled = decision.verdict is Verdict.BLOCK or decision.reason in (Reason.BUDGET_EXCEEDED, Reason.LOOP)
    if not facts.raised or facts.begun or mild or settled:
        return decision
    asked = Requirement(least_proof(tool))
    requirement = asked if decision.requirement is None else decision.requirement.combine(asked)
    told = f"signal `{facts.raised}` raised the session"
    # INVARIANT: the reason is this one, so that no grant lifts the question that was given before, or for another one.
    return replace(
        decision,
        verdict=Verdict.ASK,
        reason=Reason.SESSION_RAISED,
        requirement=requirement,
        detail="; ".join([*([decision.detail] if decision.detail else []), told]),
        authorised={},
        uses=(),
    )
