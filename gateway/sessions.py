"""Counters of sessions and rates, in memory, behind `ports.Sessions`. It holds numbers and decides nothing."""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.core.model import Call, Decision, Kind, Record, Tier, Tool, Verdict

REMEMBERED = 10_000  # sessions, and principals with rated rules; the one that was quiet longest is forgotten first
TEN_MINUTES = timedelta(minutes=10)


@dataclass(slots=True)
class Window:
    """How often something happened within a sliding window, counted by whole seconds and never too few."""

    length: timedelta
    seconds: deque[list[int]] = field(default_factory=deque)

    def add(self, at: datetime) -> None:
        """Count one more."""
        second = int(at.timestamp())
        if self.seconds and self.seconds[-1][0] == second:
            self.seconds[-1][1] += 1
        else:
            self.seconds.append([second, 1])
            self._forget(second)

    def count(self, now: datetime) -> int:
        """How many are inside the window."""
        self._forget(int(now.timestamp()))
        return sum(count for _, count in self.seconds)

    def _forget(self, second: int) -> None:
        oldest = second - int(self.length.total_seconds()) - 1
        while self.seconds and self.seconds[0][0] < oldest:
            self.seconds.popleft()


@dataclass(slots=True)
class _Session:
    calls: Window = field(default_factory=lambda: Window(TEN_MINUTES))
    consequential: int = 0


class Sessions:
    """Sessions by their id, and uses of rated rules by principal; `rates` may be replaced when the policy is."""

    def __init__(self, rates: Mapping[str, timedelta] | None = None) -> None:
        self.rates: Mapping[str, timedelta] = rates or {}
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._used: OrderedDict[tuple[str, str], Window] = OrderedDict()

    def calls_10m(self, session: str, now: datetime) -> int:
        """Calls of the session in the last ten minutes."""
        found = self._sessions.get(session)
        return found.calls.count(now) if found is not None else 0

    def consequential(self, session: str) -> int:
        """Calls above tier read that were forwarded in the session."""
        found = self._sessions.get(session)
        return found.consequential if found is not None else 0

    def tainted(self, session: str) -> bool:
        """Whether an untrusted output was read in the session: true, since nothing proves the opposite yet."""
        return True

    def used(self, principal: str, now: datetime) -> Mapping[str, int]:
        """Allows per rated rule inside its window."""
        found = {rule: self._used.get((principal, rule)) for rule in self.rates}
        return {rule: window.count(now) for rule, window in found.items() if window is not None}

    def saw(self, call: Call, tool: Tool, decision: Decision) -> None:
        """Count a call that is about to be forwarded."""
        allowed = decision.rules if decision.verdict is Verdict.ALLOW else ()
        self._count((call.context.session, call.principal.id), call.at, tool.tier.value, allowed)

    def recall(self, record: Record) -> None:
        """Count a call of before the start, from its intent: a restart empties no window."""
        if record.kind is Kind.INTENT:
            allowed = record.rules if record.verdict == Verdict.ALLOW.word else ()
            self._count((record.session, record.principal), record.at, record.tier, allowed)

    def _count(self, who: tuple[str, str], at: datetime, tier: str, allowed: Sequence[str]) -> None:
        session, principal = who
        seen = self._sessions.setdefault(session, _Session())
        self._sessions.move_to_end(session)
        seen.calls.add(at)
        seen.consequential += tier != Tier.READ.value
        if len(self._sessions) > REMEMBERED:
            self._sessions.popitem(last=False)
        for rule in allowed:
            if rule in self.rates:
                window = self._used.setdefault((principal, rule), Window(self.rates[rule]))
                window.length = self.rates[rule]
                window.add(at)
                self._used.move_to_end((principal, rule))
        if len(self._used) > REMEMBERED:
            self._used.popitem(last=False)
