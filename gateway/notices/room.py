"""The room that hears of waiting calls, leaks and honeytokens, and tells people who aren't looking.

Out of band: no call ever waits for it. What can't be told is recorded, and nothing else comes of it.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Protocol

import anyio
import anyio.abc
from msgspec import Struct, field
from msgspec.structs import replace

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.leaks import Leak, Stage
from gateway.core.model import Approval, Kind, Record
from gateway.core.notice import (
    Group,
    Notice,
    due_notice,
    incident_notice,
    leak_notice,
    review_notice,
    signal_notice,
)
from gateway.core.signals import Response, Signal
from gateway.errors import GatewayError, RecordError
from gateway.notices.board import Act, After, Board, Hours, Step

DEADLINE = 10.0  # seconds that one target gets for one notice
MOST_NEWS = 10_000  # changes of rows that wait to be looked at; the oldest is forgotten first
MOST_PENDING = 1_000  # notices that wait for one target; the oldest is forgotten first
LONGEST_SLEEP = 3_600.0
LEAKS = "leaks"  # under which the notices of leaks are counted by the hour
_TOLD = (Response.NOTIFY.value, Response.RAISE.value)

log = logging.getLogger("wardgate.notices")


class NoticeSignal(str, Enum):
    """What of notices stands on the record, as signals."""

    FAILED = "notice-failed"  # a target could not be told
    LIMITED = "notices-limited"  # a principal's calls, or leaks, were too many to tell of each


class Channel(Protocol):
    """One way to tell people something. Its methods raise `GatewayError`, in words that hold no secret."""

    name: str

    async def tell(self, group: Group, notice: Notice, *, anew: bool) -> None:
        """Tell it; `anew` false: it was told before, and is only otherwise now."""

    async def withdraw(self, group: Group) -> None:
        """Nothing of the group waits any more."""


class _Lane(Struct):
    """What one channel still has to do, the latest of each group."""

    channel: Channel
    steps: OrderedDict[Group, Step] = field(default_factory=OrderedDict)
    come: anyio.Event = field(default_factory=anyio.Event)

    def put(self, step: Step) -> None:
        """Take a step; one that makes an earlier one needless takes its place."""
        before = self.steps.pop(step.group, None)
        untold = before is not None and before.act in (Act.TELL, Act.SECOND)
        if untold and step.act is Act.WITHDRAW:
            return
        self.steps[step.group] = replace(step, act=before.act) if untold and before is not None else step
        if len(self.steps) > MOST_PENDING:
            self.steps.popitem(last=False)
        self.come.set()


class Notices:
    """The notices of one gateway.

    `first` are told at once, `second` when nobody answered for a while; `owner` gives a channel to the business owner
    of an upstream (None: there is none), who is told where `second` is empty, and of leaks and honeytokens in any case.
    `page` gives the address of another page of the console by its path; empty where there is none.
    """

    def __init__(
        self,
        clock: Sleeper,
        report: Callable[[Record], None],
        link: Callable[[Approval], str],
        first: tuple[Channel, ...],
        second: tuple[Channel, ...] = (),
        owner: Callable[[str], Channel | None] = lambda upstream: None,
        after: After = After(),  # noqa: B008 - it is frozen
    ) -> None:
        self._clock, self._report, self._owner = clock, report, owner
        self._board = Board(after, link)
        self._first, self._second = [_Lane(channel) for channel in first], [_Lane(channel) for channel in second]
        self._owners: dict[str, _Lane] = {}
        self._news: deque[tuple[Approval, datetime]] = deque(maxlen=MOST_NEWS)
        self._leaks: deque[tuple[Leak, Stage, datetime]] = deque(maxlen=MOST_PENDING)
        self._incidents: deque[tuple[Record, datetime]] = deque(maxlen=MOST_PENDING)
        self._hours, self._limited = Hours(), Hours(1)
        self._owed: deque[tuple[Record, str]] = deque(maxlen=MOST_PENDING)
        self.page: Callable[[str], str] = lambda path: ""
        self.mail: Callable[[str], Channel | None] = lambda address: None  # to anybody, where that is a mail address
        self._come = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None

    def note(self, row: Approval) -> None:
        """A row was opened or settled: a hook of the desk, which returns at once."""
        self._news.append((row, self._clock.now()))
        self._come.set()

    def tell_leak(self, leak: Leak, stage: Stage) -> None:
        """A leak came to a stage, which is told once: it returns at once, and never raises."""
        self._leaks.append((leak, stage, self._clock.now()))
        self._come.set()

    def hear_signal(self, signal: Record) -> None:
        """A signal is on the record: that of a honeytoken is told at once, and one that policy says to tell; it returns
        at once.
        """
        if signal.detail == Signal.HONEYTOKEN.value or signal.extra.get("effect") in _TOLD:
            self._incidents.append((signal, self._clock.now()))
            self._come.set()

    def tell_owner(self, signal: Record, owner: str) -> None:
        """A policy file is to be reviewed soon, or permissions are to be looked at, by their owner: it returns at once,
        and never raises.
        """
        self._owed.append((signal, owner))
        self._come.set()

    async def run(self) -> None:
        """Tell people what there is to tell, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for lane in (*self._first, *self._second):
                self._tasks.start_soon(self._serve, lane)
            while True:
                self._come = anyio.Event()
                while self._incidents:
                    self._alarm(*self._incidents.popleft())
                while self._leaks:
                    self._leaked(*self._leaks.popleft())
                while self._owed:
                    self._remind(*self._owed.popleft())
                while self._news:
                    self._take(self._board.hear(*self._news.popleft()))
                self._take(self._board.due(self._clock.now()))
                await self._wait()

    async def _wait(self) -> None:
        """Wait for news, or until something is due."""
        if self._news or self._leaks or self._incidents or self._owed:
            return
        due = self._board.next_due()
        left = LONGEST_SLEEP if due is None else (due - self._clock.now()).total_seconds()
        async with anyio.create_task_group() as either:

            async def sleep() -> None:
                await self._clock.sleep(min(max(left, 0.0), LONGEST_SLEEP))
                either.cancel_scope.cancel()

            either.start_soon(sleep)
            await self._come.wait()
            either.cancel_scope.cancel()

    def _take(self, steps: list[Step]) -> None:
        for step in steps:
            match step.act:
                case Act.LIMITED:
                    self._signal(NoticeSignal.LIMITED, step.row, {})
                case Act.SECOND:
                    assert isinstance(step.row, Approval), "leaks and signals are told all whom they concern at once"
                    for lane in self._second or self._owned(step.row.upstream):
                        lane.put(step)
                case _:
                    for lane in self._first:
                        lane.put(step)

    def _owned(self, upstream: str) -> list[_Lane]:
        """The lane of an upstream's business owner, if there is a way to reach one."""
        return self._lane(upstream, self._owner, upstream)

    def _lane(self, name: str, find: Callable[[str], Channel | None], whose: str) -> list[_Lane]:
        """The lane of that name, opened where there is none yet; none where nobody is found."""
        if name not in self._owners and self._tasks is not None:
            channel = find(whose)
            if channel is None:
                return []
            lane = self._owners[name] = _Lane(channel)
            self._tasks.start_soon(self._serve, lane)
        return [self._owners[name]]

    def _remind(self, signal: Record, owner: str) -> None:
        """Tell of what is to be reviewed, its owner too. There are few of these: two in a file's life, one of each
        owner in a day.
        """
        file = str(signal.extra.get("file", ""))
        notice = review_notice(signal, self.page("policy")) if file else due_notice(signal)
        step = Step(Act.TELL, Group("", signal.detail, file or owner), signal, notice)
        for lane in (*self._first, *self._lane(f"owner of {file}: {owner}", lambda whose: self.mail(whose), owner)):
            lane.put(step)

    def _leaked(self, leak: Leak, stage: Stage, now: datetime) -> None:
        """Tell of a leak: from its 14th day on the business owner, too. One upstream can raise many in an hour, so what
        is over the share of the hour is said once, as a signal.
        """
        step = Step(
            Act.TELL, Group("", "", leak.id), leak, leak_notice(leak, stage, now, self.page(f"leaks/{leak.id}"))
        )
        if not self._hours.counts(f"{LEAKS} {stage.word}", now):
            if self._limited.counts(f"{LEAKS} {stage.word}", now):
                self._signal(NoticeSignal.LIMITED, leak, {"leaks": stage.word})
            return
        owner = leak.source.upstream if leak.source is not None else next(iter(leak.seen.upstreams), "")
        lanes = [*self._second, *self._owned(owner)] if stage >= Stage.OWNER else []
        for lane in (*self._first, *lanes):
            lane.put(step)

    def _alarm(self, signal: Record, now: datetime) -> None:
        """Tell everybody of a honeytoken, and people of another signal: once for each session, as long as that notice
        waits to leave.
        """
        kind, call = signal.detail, str(signal.extra.get("call", ""))
        incident = kind == Signal.HONEYTOKEN.value
        notice = (incident_notice if incident else signal_notice)(
            signal, self.page(f"decisions/{call}" if call else "sessions")
        )
        if not self._hours.counts(kind, now):
            if self._limited.counts(kind, now):
                self._signal(NoticeSignal.LIMITED, signal, {"leaks": kind})
            return
        step = Step(Act.TELL, Group("", kind, signal.session), signal, notice)
        for lane in (*self._first, *self._second, *(self._owned(signal.upstream) if incident else ())):
            lane.put(step)

    async def _serve(self, lane: _Lane) -> None:
        """Do what one channel has to do, one after the other: a slow one is in nobody else's way."""
        while True:
            while not lane.steps:
                lane.come = anyio.Event()
                await lane.come.wait()
            _, step = lane.steps.popitem(last=False)
            await self._do(lane.channel, step)

    async def _do(self, channel: Channel, step: Step) -> None:
        why = "no answer in time"
        try:
            with anyio.move_on_after(DEADLINE) as scope:
                if step.act is Act.WITHDRAW:
                    await channel.withdraw(step.group)
                else:
                    await channel.tell(step.group, step.notice, anew=step.act is not Act.RENEW)
            if not scope.cancelled_caught:
                return
        except GatewayError as problem:
            why = str(problem)
        except Exception as broken:  # noqa: BLE001 - a notice that breaks must not end the others
            why = type(broken).__name__
        self._signal(NoticeSignal.FAILED, step.row, {"target": channel.name, "why": why})

    def _signal(self, signal: NoticeSignal, row: Approval | Leak | Record, about: Mapping[str, str]) -> None:
        log.warning("%s for %s%s", signal.value, row.id, f": {dict(about)}" if about else "")
        told = Record(
            kind=Kind.SIGNAL, id=ids.new_id(ids.ENTRY), at=self._clock.now(), detail=signal.value, extra=about
        )
        match row:
            case Leak():
                told = replace(told, extra={**about, "leak": row.id})
            case Record():
                told = replace(told, **_named(row), tier=row.tier, extra={**about, "signal": row.id})
            case _:
                told = replace(told, **_named(row), tier=row.tier.value, approval=row.id)
        try:
            self._report(told)
        except RecordError as problem:
            log.warning("a signal could not be recorded: %s", problem)


def _named(row: Approval | Record) -> Mapping[str, str]:
    """Whose it is, and what of."""
    return {name: getattr(row, name) for name in ("principal", "client", "session", "upstream", "tool")}
