"""How long lists and calls wait for upstreams that start: not for those of which it is known what they offered."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from gateway.app import starting
from gateway.app.starting import Starting
from gateway.errors import GatewayError
from tests.fakes import DEADLINE, FakeClock


class FakeUpstreams:
    """Upstreams that start when the test says so."""

    def __init__(self, *names: str, recalled: Collection[str] = ()) -> None:
        self.starting = frozenset(names)
        self.catalogue = SimpleNamespace(recalled=frozenset(recalled), awaited=self.starting)
        self.waited: list[frozenset[str]] = []
        self.here = anyio.Event()

    async def settled(self, apart: Collection[str] = ()) -> None:
        self.waited.append(self.starting - frozenset(apart))
        await self.here.wait()


class FakeEngine:
    """A scanner with its rules to compile."""

    def __init__(self, loaded: bool = True, broken: bool = False) -> None:
        self.loaded, self._broken, self.asked = loaded, broken, 0

    async def ready(self) -> None:
        self.asked += 1
        self.loaded = True
        if self._broken:
            raise GatewayError("no rules")


def begun(upstreams: FakeUpstreams, engine: FakeEngine | None = None, clock: FakeClock | None = None) -> Starting:
    made: Any = upstreams, (clock or FakeClock()).monotonic, engine or FakeEngine()
    return Starting(*made)


async def test_lists_wait_for_nothing_where_all_that_start_are_recalled() -> None:
    upstreams, engine = FakeUpstreams("a", "b", recalled=("a", "b")), FakeEngine(loaded=False)
    with anyio.fail_after(DEADLINE):
        await begun(upstreams, engine).listable()
    assert (upstreams.waited, engine.asked) == ([], 0)


async def test_lists_wait_for_the_others_alone_and_calls_for_all() -> None:
    upstreams = FakeUpstreams("a", "b", recalled=("a",))
    upstreams.here.set()
    start = begun(upstreams)
    with anyio.fail_after(DEADLINE):
        await start.listable()
        await start.ready()
        await start.ready()
        await start.listable()
    assert upstreams.waited == [{"b"}, {"a", "b"}]


async def test_once_all_have_settled_lists_wait_for_nothing() -> None:
    upstreams = FakeUpstreams()
    with anyio.fail_after(DEADLINE):
        await begun(upstreams).listable()
    assert upstreams.waited == []


@pytest.mark.parametrize("broken", [False, True])
async def test_nobody_waits_longer_than_a_moment_and_longer_only_for_the_scanner(
    monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    monkeypatch.setattr(starting, "READY_AT_LATEST", 0.01)
    upstreams, engine, clock = FakeUpstreams("a"), FakeEngine(loaded=False, broken=broken), FakeClock()
    start = begun(upstreams, engine, clock)
    clock.ticks += 5  # the scanner took its time
    with anyio.fail_after(DEADLINE):
        await start.ready()
    assert (engine.asked, upstreams.waited) == (1, [{"a"}])


async def test_who_asks_when_the_rules_have_just_been_compiled_waits_for_what_upstreams_offer_all_the_same() -> None:
    upstreams, engine, clock = FakeUpstreams("a"), FakeEngine(loaded=False), FakeClock()
    start = begun(upstreams, engine, clock)
    clock.ticks += 5  # the scanner took its time
    engine.loaded = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start.ready)
        await anyio.wait_all_tasks_blocked()
        assert not start._over
        upstreams.here.set()
    assert start._over


async def test_a_scanner_that_gave_no_answer_is_waited_for_again() -> None:
    upstreams, engine, clock = FakeUpstreams("a"), FakeEngine(loaded=False, broken=True), FakeClock()
    start = begun(upstreams, engine, clock)
    clock.ticks += 5  # the time of upstreams is over
    with anyio.fail_after(DEADLINE):
        await start.listable()
        engine._broken = False
        upstreams.here.set()
        await start.listable()
        await start.listable()
    assert engine.asked == 2
