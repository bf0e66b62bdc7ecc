"""Counters of sessions, rates and budgets, in memory, behind `ports.Sessions`. It holds numbers and decides nothing.

What is used of budgets is durable in the store, which has the last word in the transaction of each intent; here it is
known at once.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from gateway.core.limits import MOST, Counted, scope
from gateway.core.model import Call, Decision, Kind, Record, Spend, Tier, Tool, Verdict
from gateway.core.policy import Limits, Policy
from gateway.core.raised import RaisedSessions
from gateway.core.session import key_of
from gateway.store import Store
from gateway.store.spent import Spent, latest_spent, spent_on

REMEMBERED = 10_000  # sessions, principals with rated rules, and budgets; what was quiet longest is forgotten first
REPEATED = 128  # different calls of a session that are told apart
TEN_MINUTES = timedelta(minutes=10)


class Window(Struct):
    """How often something happened within a sliding window, counted by whole seconds and never too few."""

    length: timedelta
    seconds: deque[list[int]] = field(default_factory=deque)
    total: int = 0

    def add(self, at: datetime) -> None:
        """Count one more."""
        second = int(at.timestamp())
        self.total += 1
        if self.seconds and self.seconds[-1][0] == second:
            self.seconds[-1][1] += 1
        else:
            self.seconds.append([second, 1])
            self._forget(second)

    def count(self, now: datetime) -> int:
        """How many are inside the window."""
        self._forget(int(now.timestamp()))
        return self.total

    def _forget(self, second: int) -> None:
        oldest = second - int(self.length.total_seconds()) - 1
        while self.seconds and self.seconds[0][0] < oldest:
            self.total -= self.seconds.popleft()[1]


class _Session(Struct):
    calls: Window = field(default_factory=lambda: Window(TEN_MINUTES))
    consequential: int = 0
    same: OrderedDict[bytes, list[int]] = field(default_factory=OrderedDict)  # a call -> how often sent, and refused

    def repeats(self, call: bytes, place: int) -> None:
        """Count a call that was sent (place 0) or refused (1)."""
        self.same.setdefault(call, [0, 0])[place] += 1
        self.same.move_to_end(call)
        if len(self.same) > REPEATED:
            self.same.popitem(last=False)


class Sessions:
    """Sessions by their id, uses of rated rules by principal, and what is used of budgets, under the policy that is
    followed. Without a `store` nothing is known of budgets but what is counted here.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self.rates: Mapping[str, timedelta] = {}
        self._loops = False
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self.raising = RaisedSessions()
        self._used: OrderedDict[tuple[str, str], Window] = OrderedDict()
        self._spent: OrderedDict[tuple[str, str], Spent] = OrderedDict()

    def follow(self, policy: Policy) -> None:
        """Count what a policy wants to be counted from now on; what was counted before stays known."""
        self.rates, self._loops = policy.rates(), policy.loops()

    async def load(self) -> None:
        """At start: read what is used of budgets; raises `RecordError`."""
        if self._store is not None:
            for one in await latest_spent(self._store, REMEMBERED):
                self._remember(one)

    def calls_10m(self, session: str, now: datetime) -> int:
        """Calls of the session in the last ten minutes."""
        found = self._sessions.get(session)
        return found.calls.count(now) if found is not None else 0

    def consequential(self, session: str) -> int:
        """Calls above tier read that were forwarded in the session."""
        found = self._sessions.get(session)
        return found.consequential if found is not None else 0

    def raised(self, call: Call, now: datetime) -> str:
        """The signal for which a call's session is asked about above tier read; empty for most sessions."""
        return self.raising.called(key_of(call.principal.id, call.client.name, call.context.session), now)

    def counted(self, call: Call, tool: Tool, limits: Limits, now: datetime) -> Counted:
        """What is counted of a call as it stands now: see the fields of `Facts`."""
        if not limits:
            return Counted()
        session = self._sessions.get(call.context.session) if limits.loops else None
        sent, refused = (session and session.same.get(_same(str(tool.ref), call.digest))) or (0, 0)
        return Counted(self._rated(call.principal.id, limits, now), self._spends(call, limits, now), sent, refused)

    def _rated(self, principal: str, limits: Limits, now: datetime) -> Mapping[str, int]:
        found = {rule: self._used.get((principal, rule)) for rule in limits.rates}
        return {rule: window.count(now) for rule, window in found.items() if window is not None}

    def _spends(self, call: Call, limits: Limits, now: datetime) -> Mapping[str, int]:
        told: dict[str, int] = {}
        for budget in limits.budgets:
            whose, since = scope(budget, call, now)
            found = self._spent.get((budget.id, whose))
            if found is not None and (since is None or found.at >= since):
                told[budget.id] = found.used
        return told

    def saw(self, call: Call, tool: Tool, decision: Decision, rounds: int = 0) -> None:
        """Count a call that is about to be forwarded. What it takes of rates and budgets, and that it came, is counted
        with its first round.
        """
        allowed = decision.rules if decision.verdict is Verdict.ALLOW and not rounds else ()
        session = self._count((call.context.session, call.principal.id), call.at, tool.tier.value, allowed)
        if rounds:
            return
        if self._loops:
            session.repeats(_same(str(tool.ref), call.digest), 0)
        for one in decision.spends:
            before = self._spent.get((one.budget, one.scope))
            lives = before is not None and (one.since is None or before.at >= one.since)
            used = before.used if before is not None and lives else 0
            self._remember(Spent(one.budget, one.scope, min(used + one.amount, 2 * MOST), call.at))

    def refused(self, call: Call, tool: Tool) -> None:
        """Count a call that was refused."""
        session = self._sessions.get(call.context.session)
        if self._loops and session is None:
            session = self._session(call.context.session)
        if self._loops and session is not None:
            session.repeats(_same(str(tool.ref), call.digest), 1)

    async def returned(self, spends: Sequence[Spend]) -> bool:
        """Take back what an intent that was not written would have spent. Whether one of these, by what the store
        holds, is more than is left; raises `RecordError`.
        """
        exceeded = False
        for one in spends:
            mine = self._spent.get((one.budget, one.scope))
            used = max(mine.used - one.amount, 0) if mine is not None else 0
            found = await spent_on(self._store, one.budget, one.scope) if self._store is not None else None
            if found is not None and (one.since is None or found.at >= one.since):
                exceeded = exceeded or found.used + one.amount > one.most
                used = max(used, found.used)
            if mine is not None or found is not None:
                at = (mine or found).at  # type: ignore[union-attr]  # one of them is there
                self._remember(Spent(one.budget, one.scope, used, at))
        return exceeded

    def recall(self, record: Record) -> None:
        """Count a call of before the start, from its intent: a restart empties no window."""
        if record.kind is Kind.INTENT:
            again = "round" in record.extra
            allowed = record.rules if record.verdict == Verdict.ALLOW.word and not again else ()
            session = self._count((record.session, record.principal), record.at, record.tier, allowed)
            if self._loops and not again:
                session.repeats(_same(f"{record.upstream}/{record.tool}", record.arguments_digest), 0)

    def _session(self, name: str) -> _Session:
        seen = self._sessions.setdefault(name, _Session())
        self._sessions.move_to_end(name)
        if len(self._sessions) > REMEMBERED:
            self._sessions.popitem(last=False)
        return seen

    def _remember(self, spent: Spent) -> None:
        key = (spent.budget, spent.scope)
        self._spent[key] = spent
        self._spent.move_to_end(key)
        if len(self._spent) > REMEMBERED:
            self._spent.popitem(last=False)

    def _count(self, who: tuple[str, str], at: datetime, tier: str, allowed: Sequence[str]) -> _Session:
        session, principal = who
        seen = self._session(session)
        seen.calls.add(at)
        seen.consequential += tier != Tier.READ.value
        for rule in allowed:
            if rule in self.rates:
                window = self._used.setdefault((principal, rule), Window(self.rates[rule]))
                window.length = self.rates[rule]
                window.add(at)
                self._used.move_to_end((principal, rule))
        if len(self._used) > REMEMBERED:
            self._used.popitem(last=False)
        return seen


def _same(called: str, digest: str) -> bytes:
    """What tells calls apart."""
    return hashlib.blake2b(f"{called}\0{digest}".encode(), digest_size=12).digest()
