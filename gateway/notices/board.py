"""Who is to be told what, and when: one notice for each group, a second target at half time, so many an hour at most.

Pure: rows and the time come in, steps go out. It sends nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct, field

from gateway.core.leaks import Leak
from gateway.core.model import Approval, ApprovalState, Record
from gateway.core.notice import Group, Notice, group_of, notice_of

PER_HOUR = 12  # new notices of one principal in an hour; what waits beyond is seen in the console and the terminal
MOST_GROUPS = 1_000  # that are remembered; the one that is oldest is forgotten first
HOUR = timedelta(hours=1)


class Act(Enum):
    """What is to be done about a group."""

    TELL = "tell"  # say it to the first targets
    RENEW = "renew"  # it was said already, and is otherwise now: where that can be exchanged
    SECOND = "second"  # nobody answered yet: say it to the second targets too
    WITHDRAW = "withdraw"  # nothing waits any more
    LIMITED = "limited"  # nothing is said: there were too many


class Step(Struct, frozen=True):
    """One thing to be done; `row` is the oldest that waits (the last one that did, for WITHDRAW), a leak, or the signal
    of a honeytoken.
    """

    act: Act
    group: Group
    row: Approval | Leak | Record
    notice: Notice


class _Case(Struct):
    """What waits in one group, and what was said of it."""

    rows: dict[str, Approval] = field(default_factory=dict)
    told: bool = False
    second_at: datetime | None = None  # None: it was said, or there is nothing to say it of

    @property
    def first(self) -> Approval:
        """The oldest row that waits."""
        return next(iter(self.rows.values()))


class Hours:
    """How many notices each name had in the last hour."""

    def __init__(self, most: int = PER_HOUR) -> None:
        self._most = most
        self._hours: OrderedDict[str, deque[datetime]] = OrderedDict()

    def counts(self, name: str, now: datetime) -> bool:
        """Count one more notice; False where the name has had its share of this hour."""
        told = self._hours.setdefault(name, deque())
        self._hours.move_to_end(name)
        if len(self._hours) > MOST_GROUPS:
            self._hours.popitem(last=False)
        while told and told[0] <= now - HOUR:
            told.popleft()
        if len(told) >= self._most:
            return False
        told.append(now)
        return True

    def __len__(self) -> int:
        return len(self._hours)


class Board:
    """All groups in which something waits. `after` says when of a row's time the second targets are told."""

    def __init__(self, after: "After", link: Callable[[Approval], str]) -> None:
        self._after, self._link = after, link
        self._cases: OrderedDict[Group, _Case] = OrderedDict()
        self._hours = Hours()

    def hear(self, row: Approval, now: datetime) -> list[Step]:
        """A row was opened or settled."""
        group = group_of(row)
        if row.state is ApprovalState.WAITING:
            return self._opened(group, row, now)
        return self._gone(group, row.id)

    def due(self, now: datetime) -> list[Step]:
        """What time brings: rows that expired, and groups of which the second targets are to be told."""
        steps: list[Step] = []
        for group, case in list(self._cases.items()):
            for row in list(case.rows.values()):
                if row.expires_at <= now:
                    steps += self._gone(group, row.id)
            if case.rows and case.second_at is not None and case.second_at <= now:
                case.second_at = None
                if case.told:
                    steps.append(self._step(Act.SECOND, group, case))
        return steps

    def next_due(self) -> datetime | None:
        """When to look again; None while nothing waits."""
        times = [row.expires_at for case in self._cases.values() for row in case.rows.values()]
        times += [case.second_at for case in self._cases.values() if case.second_at is not None]
        return min(times, default=None)

    def _opened(self, group: Group, row: Approval, now: datetime) -> list[Step]:
        if group not in self._cases and len(self._cases) >= MOST_GROUPS:
            self._cases.popitem(last=False)
        case = self._cases.setdefault(group, _Case())
        if row.id in case.rows:
            return []  # it got one more vote
        case.rows[row.id] = row
        if len(case.rows) == 1:
            case.second_at = row.created_at + self._after.of(row.expires_at - row.created_at)
        if case.told:
            return [self._step(Act.RENEW, group, case)]
        if not self._hours.counts(group.principal, now):
            return [self._step(Act.LIMITED, group, case)] if len(case.rows) == 1 else []
        case.told = True
        return [self._step(Act.TELL, group, case)]

    def _gone(self, group: Group, id: str) -> list[Step]:
        case = self._cases.get(group)
        row = case.rows.pop(id, None) if case is not None else None
        if case is None or row is None:
            return []
        if case.rows:
            return [self._step(Act.RENEW, group, case)] if case.told else []
        del self._cases[group]
        return [Step(Act.WITHDRAW, group, row, Notice("", ""))] if case.told else []

    def _step(self, act: Act, group: Group, case: _Case) -> Step:
        rows = list(case.rows.values())
        return Step(act, group, rows[0], notice_of(rows, self._link(rows[0])))


class After(Struct, frozen=True):
    """When the second targets are told: a share of the time that a row may wait, or a time."""

    share: float = 0.5
    time: timedelta | None = None

    def of(self, whole: timedelta) -> timedelta:
        """How long after a row was opened."""
        return self.time if self.time is not None else whole * self.share


def after_of(text: str) -> After:
    """What `[notify] after` says: `50%`, or a time such as `90s`, `5m`, `1h`."""
    if text.endswith("%"):
        return After(int(text[:-1]) / 100)
    units = {"s": 1, "m": 60, "h": 3600}
    return After(time=timedelta(seconds=int(text[:-1]) * units[text[-1]]))
