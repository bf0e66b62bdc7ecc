"""The room of notices: it hears the desk, tells each channel by itself, and stands in nobody's way."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Approval, ApprovalState, Choice, Kind, Proof, Record
from gateway.core.notice import Group, Notice
from gateway.errors import BusyError, GatewayError
from gateway.notices import Notices
from gateway.notices import room as room_of
from gateway.notices.board import PER_HOUR, After
from gateway.notices.push import Push
from gateway.store import open_store
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_row, a_tool, a_wait, an_ask
from tests.notices.receiver import receiving
from tests.store.keep import AT_ONCE


@dataclass
class Told:
    """A channel that notes what it was told; it fails, or hangs at its gate, as a test says."""

    name: str = "told"
    said: list[tuple[str, str]] = field(default_factory=list)
    fails: Exception | None = None
    gate: anyio.Event | None = None
    changed: anyio.Event = field(default_factory=anyio.Event)

    async def tell(self, group: Group, notice: Notice, *, anew: bool) -> None:
        await self._do("tell" if anew else "renew", notice.title)

    async def withdraw(self, group: Group) -> None:
        await self._do("withdraw", group.session)

    async def _do(self, what: str, about: str) -> None:
        self.said.append((what, about))
        self.changed.set()
        self.changed = anyio.Event()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails

    async def heard(self, count: int) -> list[str]:
        """Wait until it was told so many things; returns what."""
        while len(self.said) < count:
            await self.changed.wait()
        return [what for what, _ in self.said]


ONE, TWO = "Wardgate: a call waits for a person", "Wardgate: 2 calls wait for a person"


@dataclass
class Room:
    """Notices that run, with their clock and what they reported."""

    clock: FakeClock
    notices: Notices
    reported: list[Record]
    come: anyio.Event = field(default_factory=anyio.Event)

    def report(self, record: Record) -> None:
        self.reported.append(record)
        self.come.set()
        self.come = anyio.Event()

    async def signal(self) -> Record:
        """Wait for a signal."""
        while not self.reported:
            await self.come.wait()
        return self.reported[-1]

    def opens(self, number: int = 1, session: str = "s1") -> Approval:
        row = a_row(f"a_{number}", a_call(number, session=session), a_tool(), an_ask(), at=self.clock.now())
        row = replace(row, session=session)
        self.notices.note(row)
        return row

    def settles(self, row: Approval) -> None:
        self.notices.note(replace(row, state=ApprovalState.APPROVED))


@asynccontextmanager
async def a_room(*first: Told, second: tuple[Any, ...] = (), **more: Any) -> AsyncIterator[Room]:
    clock = FakeClock()
    room: Room
    notices = Notices(clock, lambda record: room.report(record), lambda row: "", first, second, **more)
    room = Room(clock, notices, [])
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(notices.run)
            yield room
            tasks.cancel_scope.cancel()


async def test_a_group_is_told_once_renewed_and_withdrawn() -> None:
    async with a_room(told := Told()) as room:
        first = room.opens(1)
        await told.heard(1)
        second = room.opens(2)
        await told.heard(2)
        room.settles(first)
        await told.heard(3)
        room.settles(second)
        await told.heard(4)
        assert told.said == [("tell", ONE), ("renew", TWO), ("renew", ONE), ("withdraw", "s1")]


async def test_every_channel_is_told_and_a_slow_one_holds_up_no_other() -> None:
    slow, quick = Told(gate=anyio.Event()), Told()
    async with a_room(slow, quick) as room:
        row = room.opens()
        await quick.heard(1)
        room.settles(row)
        assert await quick.heard(2) == ["tell", "withdraw"]
        assert await slow.heard(1) == ["tell"]
        assert slow.gate is not None
        slow.gate.set()
        assert await slow.heard(2) == ["tell", "withdraw"]


async def test_what_is_settled_before_a_slow_channel_came_to_it_is_never_told() -> None:
    slow, quick = Told(gate=anyio.Event()), Told()
    async with a_room(slow, quick) as room:
        room.opens(1, "s1")
        await slow.heard(1)
        other = room.opens(2, "s2")
        await quick.heard(2)
        room.opens(3, "s3")
        await quick.heard(3)
        room.opens(4, "s3")
        await quick.heard(4)
        room.settles(other)
        await quick.heard(5)
        assert slow.gate is not None
        slow.gate.set()
        await slow.heard(2)
        assert slow.said == [("tell", ONE), ("tell", TWO)]


async def test_at_half_time_the_second_targets_are_told_and_at_the_end_it_is_withdrawn() -> None:
    first, second = Told(), Told()
    async with a_room(first, second=(second,)) as room:
        room.opens()
        await first.heard(1)
        assert second.said == []
        await room.clock.asleep(1)
        room.clock.advance(300)
        assert await second.heard(1) == ["tell"]
        await room.clock.asleep(1)
        room.clock.advance(300)
        assert await first.heard(2) == ["tell", "withdraw"]
        assert len(second.said) == 1


async def test_a_time_for_the_second_targets_counts_instead_of_a_share() -> None:
    first, second = Told(), Told()
    async with a_room(first, second=(second,), after=After(time=timedelta(seconds=30))) as room:
        room.opens()
        await first.heard(1)
        await room.clock.asleep(1)
        room.clock.advance(30)
        assert await second.heard(1) == ["tell"]


async def test_without_second_targets_the_owner_of_the_upstream_is_told() -> None:
    first, mail = Told(), Told("owner")
    asked: list[str] = []

    def owner(upstream: str) -> Told:
        asked.append(upstream)
        return mail

    async with a_room(first, owner=owner) as room:
        for number, session in ((1, "s1"), (2, "s2")):
            room.opens(number, session)
        await first.heard(2)
        await room.clock.asleep(1)
        room.clock.advance(300)
        await mail.heard(2)
        assert asked == ["files"]


async def test_an_upstream_without_such_an_owner_has_no_second_target() -> None:
    async with a_room(told := Told()) as room:
        room.opens()
        await told.heard(1)
        await room.clock.asleep(1)
        room.clock.advance(300)
        await room.clock.asleep(1)
        assert told.said == [("tell", ONE)]


@pytest.mark.parametrize(
    ("broken", "why"),
    [(GatewayError("it did not take it"), "it did not take it"), (ValueError("secret"), "ValueError")],
    ids=["an-error-of-ours", "anything"],
)
async def test_a_target_that_fails_is_on_the_record_and_the_others_are_told(broken: Exception, why: str) -> None:
    bad, good = Told("to[1]", fails=broken), Told()
    async with a_room(bad, good) as room:
        row = room.opens()
        await good.heard(1)
        record = await room.signal()
        assert (record.kind, record.detail, record.approval, record.session) == (
            Kind.SIGNAL,
            "notice-failed",
            row.id,
            "s1",
        )
        assert record.extra == {"target": "to[1]", "why": why}
        room.settles(row)
        assert await bad.heard(2) == ["tell", "withdraw"]


async def test_a_target_that_hangs_is_given_up_after_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_of, "DEADLINE", 0.01)
    async with a_room(Told("to[1]", gate=anyio.Event())) as room:
        room.opens()
        assert (await room.signal()).extra["why"] == "no answer in time"


async def test_more_notices_than_an_hour_takes_are_a_signal_each_and_no_notice() -> None:
    async with a_room(told := Told()) as room:
        for number in range(PER_HOUR + 1):
            room.opens(number, f"s{number}")
        record = await room.signal()
        assert (record.detail, record.session) == ("notices-limited", f"s{PER_HOUR}")
        assert len(await told.heard(PER_HOUR)) == PER_HOUR


async def test_a_signal_that_can_not_be_recorded_ends_nothing() -> None:
    def full(record: Record) -> None:
        raise BusyError("full")

    clock, bad = FakeClock(), Told(fails=GatewayError("no"))
    notices = Notices(clock, full, lambda row: "", (bad,))
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(notices.run)
            for number, session in ((1, "s1"), (2, "s2")):
                notices.note(replace(a_row(f"a_{number}", a_call(number), a_tool(), an_ask()), session=session))
            assert await bad.heard(2) == ["tell", "tell"]
            tasks.cancel_scope.cancel()


async def test_what_a_lane_has_to_do_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_of, "MOST_PENDING", 2)
    slow, quick = Told(gate=anyio.Event()), Told()
    async with a_room(slow, quick) as room:
        for number in range(5):
            room.opens(number, f"s{number}")
            await quick.heard(number + 1)
        await slow.heard(1)
        assert slow.gate is not None
        slow.gate.set()
        assert len(await slow.heard(3)) == 3


Ask = Callable[[int], Any]


async def test_a_desk_that_settles_is_never_held_up_by_a_receiver_that_hangs(tmp_path: Path) -> None:
    clock = FakeClock()
    with receiving() as receiver, anyio.fail_after(DEADLINE):
        receiver.gate.clear()
        push = Push("to[1]", receiver.url("hook"), tmp_path, anyio.CapacityLimiter(1))
        async with open_store(tmp_path / "state", AT_ONCE) as store, anyio.create_task_group() as tasks:
            approvals = Approvals(store, clock, KEY)
            notices = Notices(clock, lambda record: None, lambda row: f"http://localhost:1/approvals/{row.id}", (push,))
            approvals.on_change.append(notices.note)
            tasks.start_soon(notices.run)
            held = await approvals.obtain(*a_wait(a_call(path="/secret"), a_tool(), an_ask(), {}), FakeCaller(budget=0))
            await anyio.to_thread.run_sync(receiver.begun.wait, DEADLINE)
            row = await approvals.settle(
                held.approval.id,  # type: ignore[union-attr]  # nobody answered: it is held
                Chosen(Choice.ONCE),
                Voter("os:bob", Proof.LOCAL),
            )
            assert (row.state, receiver.got) == (ApprovalState.APPROVED, [])
            receiver.gate.set()
            tasks.cancel_scope.cancel()
