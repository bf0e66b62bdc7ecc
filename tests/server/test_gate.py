"""Places, queues and rates of clients: each at its limit, and one beyond."""

from collections.abc import Sequence

import anyio
import anyio.abc

from gateway.server.gate import MOST_LANES, Gate, Lane
from tests.fakes import DEADLINE, FakeClock


def a_lane(clock: FakeClock, places: int = 2, queue: int = 2, patience: float = 60.0, rate: int = 100) -> Lane:
    return Lane(places, queue, patience, rate, clock.monotonic)


async def waiting(lane: Lane, count: int, tasks: anyio.abc.TaskGroup) -> Sequence[bool]:
    """So many that wait, in order; each notes whether it got a place."""
    got: list[bool] = []

    async def one() -> None:
        got.append(await lane.wait())

    for _ in range(count):
        tasks.start_soon(one)
    await anyio.wait_all_tasks_blocked()
    return got


def test_places_are_given_up_to_the_limit_and_back() -> None:
    lane = a_lane(FakeClock())
    assert [lane.enter() for _ in range(3)] == [True, True, False]
    lane.leave()
    assert lane.enter()


async def test_who_waits_longest_gets_the_place() -> None:
    lane = a_lane(FakeClock(), places=1)
    assert lane.enter()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            got = await waiting(lane, 2, tasks)
            assert not await lane.wait(), "the queue is full: at once"
            lane.leave()
            await anyio.wait_all_tasks_blocked()
            assert (list(got), lane.in_flight, lane.enter()) == ([True], 1, False)
            lane.leave()
    assert list(got) == [True, True]
    lane.leave()
    assert lane.in_flight == 0


async def test_waiting_has_an_end() -> None:
    lane = a_lane(FakeClock(), places=1, patience=0.01)
    assert lane.enter()
    with anyio.fail_after(DEADLINE):
        assert not await lane.wait()
    lane.leave()
    assert lane.in_flight == 0


async def test_a_place_that_is_given_to_who_is_cancelled_at_that_moment_is_not_lost() -> None:
    lane = a_lane(FakeClock(), places=1)
    assert lane.enter()
    async with anyio.create_task_group() as tasks:
        got = await waiting(lane, 1, tasks)
        lane.leave()
        tasks.cancel_scope.cancel()
    assert lane.in_flight == len(got), "it has the place and leaves it, or it is back"


async def test_who_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    lane = a_lane(FakeClock(), places=1, queue=1)
    assert lane.enter()
    async with anyio.create_task_group() as tasks:
        await waiting(lane, 1, tasks)
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        got = await waiting(lane, 1, tasks)
        lane.leave()
        await anyio.wait_all_tasks_blocked()
    assert list(got) == [True]


def test_a_second_holds_as_many_calls_as_the_rate() -> None:
    clock = FakeClock()
    lane = a_lane(clock, rate=10)
    assert [lane.pay() for _ in range(11)] == [True] * 10 + [False]
    clock.advance(0.1)
    assert [lane.pay() for _ in range(2)] == [True, False]
    clock.advance(60)
    assert [lane.pay() for _ in range(11)] == [True] * 10 + [False]


def test_each_client_of_each_principal_has_a_lane_of_its_own() -> None:
    gate = Gate(1, 1, 1.0, 1, FakeClock().monotonic)
    lane = gate.lane("os:ada", "x")
    assert lane is not None
    assert lane.enter()
    assert gate.lane("os:ada", "x") is lane
    for principal, client in (("os:ada", "y"), ("os:bob", "x")):
        other = gate.lane(principal, client)
        assert other is not None
        assert other.enter()


def test_lanes_that_nobody_uses_are_forgotten_and_busy_ones_are_not() -> None:
    gate = Gate(1, 1, 1.0, 1, FakeClock().monotonic)
    lane = gate.lane("os:ada", "x")
    assert lane is not None
    assert lane.enter()
    for number in range(MOST_LANES * 2):
        gate.lane(f"os:{number}", "x")
    assert gate.lane("os:ada", "x") is lane
    assert len(gate._lanes) <= MOST_LANES + 1


async def test_a_closed_gate_lets_nobody_in_and_nobody_wait() -> None:
    gate = Gate(1, 5, 60.0, 10, FakeClock().monotonic)
    lane = gate.lane("os:ada", "x")
    assert lane is not None
    assert lane.enter()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            got = await waiting(lane, 2, tasks)
            gate.close()
            lane.leave()
    assert list(got) == [False, False]
    assert gate.lane("os:ada", "x") is None
    assert lane.in_flight == 0
