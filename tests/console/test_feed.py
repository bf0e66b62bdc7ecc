"""The stream of events: what a tab is told, in order, and when it ends."""

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from gateway.console.feed import MOST_PENDING, MOST_STREAMS, Feed
from gateway.console.signin import IDLE, SignIns, Tab
from gateway.core.model import ApprovalState
from tests.console.room import FIRST, LEAK, SECOND, a_leak, rows, signed_in
from tests.fakes import DEADLINE, FakeClock


class Listener:
    """A feed, and one tab that listens."""

    def __init__(self) -> None:
        self.clock, self.held = FakeClock(), list[str]()
        self.signins = SignIns(self.clock.monotonic)
        self.feed = Feed(self.signins, lambda: tuple(self.held))
        self.cookie, key = self.signins.open("os:ada")
        tab = self.signins.find(self.cookie, key)
        assert tab is not None
        self.tab: Tab = tab
        self.stream: AsyncIterator[dict[str, str]] = self.feed.stream(tab)

    async def next(self) -> tuple[str, object]:
        """The next event."""
        with anyio.fail_after(DEADLINE):
            event = await anext(self.stream)
        return event["event"], msgspec.json.decode(event["data"])


async def test_a_row_is_told_as_it_became_last() -> None:
    listener, row = Listener(), rows()[FIRST]
    assert await listener.next() == ("hello", {})
    listener.feed.tell(row)
    listener.feed.tell(rows()[SECOND])
    listener.feed.tell(replace(row, state=ApprovalState.DENIED))
    told = [await listener.next() for _ in range(2)]
    what = "files__write_file"
    assert told == [
        ("approval", {"id": SECOND, "state": "waiting", "what": what}),
        ("approval", {"id": FIRST, "state": "denied", "what": what}),
    ]


async def test_a_tab_that_is_far_behind_is_told_to_look_at_everything() -> None:
    listener, row = Listener(), rows()[FIRST]
    await listener.next()
    for number in range(MOST_PENDING + 1):
        listener.feed.tell(replace(row, id=f"a_{number}"))
    assert await listener.next() == ("all", {})


async def test_of_a_leak_its_kind_and_what_it_came_to_are_told_and_no_fingerprint() -> None:
    listener = Listener()
    await listener.next()
    listener.feed.tell_leak(a_leak(), "opened")
    listener.feed.tell_leak(a_leak(), "rotating")
    assert await listener.next() == ("leak", {"id": LEAK, "state": "rotating", "what": "github"})


async def test_what_is_held_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.console.feed.TICK", 0.01)
    listener = Listener()
    await listener.next()
    listener.held.append("l_1")
    assert await listener.next() == ("held", {})


async def test_a_signed_out_tab_hears_that_and_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.console.feed.TICK", 0.01)
    for end in (lambda it: it.signins.close(it.cookie), lambda it: it.clock.advance(IDLE)):
        listener = Listener()
        await listener.next()
        end(listener)
        assert await listener.next() == ("signed-out", {})
        with pytest.raises(StopAsyncIteration):
            await anext(listener.stream)


async def test_a_gateway_that_stops_ends_the_streams_at_once() -> None:
    listener = Listener()
    await listener.next()
    listener.feed.close()
    with anyio.fail_after(DEADLINE), pytest.raises(StopAsyncIteration):
        await anext(listener.stream)
    assert listener.feed.full


async def test_one_stream_too_many_is_refused() -> None:
    async with signed_in() as (room, tab):
        streams = []
        known = room.signins.find(*room.signins.open("os:bob"))
        assert known is not None
        for _ in range(MOST_STREAMS):
            streams.append(room.console._feed.stream(known))
            await anext(streams[-1])
        assert (await tab.get("/events")).status_code == 503
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_policy_that_waits_for_a_person_is_told_as_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.console.feed.TICK", 0.01)
    async with signed_in() as (room, _):
        tab = room.signins.find(*room.signins.open("os:bob"))
        assert tab is not None
        stream = room.console._feed.stream(tab)
        assert (await anext(stream))["event"] == "hello"
        room.gate.policies.append("ab" * 32)
        assert (await anext(stream))["event"] == "held"
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator
