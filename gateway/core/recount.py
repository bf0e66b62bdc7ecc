"""Count rates, budgets and loops of a policy over recorded calls, as sessions count them in time. No I/O here.

Only for policies that were not in force: of the one that was, records hold what was counted.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct, field

from gateway.core.decide import counted
from gateway.core.limits import MOST, scope
from gateway.core.model import Call, Decision, Tool
from gateway.core.policy import Policy


class Counts(NamedTuple):
    """What is counted of a call: see the fields of `Facts`."""

    used: dict[str, int]
    spent: dict[str, int]
    repeated: int = 0
    refused: int = 0


class Recount(Struct):
    """What calls took of a policy's limits so far; they come in the order of time."""

    policy: Policy
    _allowed: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # principal, rule -> seconds
    _spent: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)  # budget, scope -> used, when
    _same: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)  # a call -> how often sent, refused

    def of(self, call: Call, tool: Tool) -> Counts:
        """What is counted of a call that comes now."""
        limits = counted(call, tool, self.policy)
        used = {}
        for rule, rate in limits.rates.items():
            if seen := self._allowed.get((call.principal.id, rule)):
                oldest = int(call.at.timestamp()) - int(rate.window.total_seconds()) - 1
                used[rule] = len(seen) - bisect_left(seen, oldest)
        spent = {}
        for budget in limits.budgets:
            whose, since = scope(budget, call, call.at)
            found = self._spent.get((budget.id, whose))
            if found is not None and (since is None or found[1] >= since):
                spent[budget.id] = found[0]
        sent, refused = self._same.get(_same(call, tool), (0, 0)) if limits.loops else (0, 0)
        return Counts(used, spent, sent, refused)

    def allowed(self, principal: str, at: datetime, rules: Iterable[str]) -> None:
        """Rules let a call pass, or a person did in their place."""
        for rule in rules:
            self._allowed.setdefault((principal, rule), []).append(int(at.timestamp()))

    def sent(self, call: Call, tool: Tool, decision: Decision) -> None:
        """A call went upstream under a decision."""
        self.allowed(call.principal.id, call.at, decision.rules)
        for one in decision.spends:
            used, at = self._spent.get((one.budget, one.scope), (0, call.at))
            lives = one.since is None or at >= one.since
            self._spent[one.budget, one.scope] = (min((used if lives else 0) + one.amount, 2 * MOST), call.at)
        self._same.setdefault(_same(call, tool), [0, 0])[0] += 1

    def refused(self, call: Call, tool: Tool) -> None:
        """A call was refused."""
        self._same.setdefault(_same(call, tool), [0, 0])[1] += 1


def _same(call: Call, tool: Tool) -> tuple[str, str, str]:
    return call.context.session, str(tool.ref), call.digest
