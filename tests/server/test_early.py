"""Lists that are handed out before their upstreams are there: what waits, what doesn't, and who is told afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.client.client import Client
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest

from gateway.core.model import Reason
from gateway.server import notices
from gateway.server.notices import CHANGED, Notices, Watcher
from gateway.transport.resume import REPLAY_ID
from tests.fakes import DEADLINE
from tests.server.room import INFO, LEGACY, PARAMS, PEER, Room, Wire, a_thing, only
from tests.server.test_notices import KINDS, methods

EARLY = {"tools/list": "tools", "prompts/list": "prompts", "resources/templates/list": "templates"}


class Early(Room):
    """A gateway that starts: of `up` it is only known what was accepted."""

    def __init__(self, comes: bool = True) -> None:
        super().__init__(settled=False)
        self.catalogue.recalled = self.catalogue.awaited = frozenset({"up"})
        self.here, self.comes = anyio.Event(), comes
        self.face.listable, self.face.heard = anyio.lowlevel.checkpoint, self._heard

    async def _heard(self, upstream: str) -> bool:
        assert upstream == "up"
        await self.here.wait()
        return self.comes

    async def arrive(self, *names: str) -> None:
        """The upstream is there, and offers these tools."""
        self.catalogue.recalled = self.catalogue.awaited = frozenset()
        if names:
            self.catalogue.put("tools", [a_thing("tools", name) for name in names])
        self.here.set()
        await self.face.changed({"tools"})


@asynccontextmanager
async def asked(wire: Wire, method: str) -> AsyncIterator[int]:
    """A request that has no answer so far."""
    number = await wire.send(method, PARAMS.get(method))
    await anyio.wait_all_tasks_blocked()
    yield number


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_what_was_accepted_is_listed_at_once_and_resources_are_waited_for(era: str) -> None:
    room = Early()
    async with room.wire(era) as wire:
        for method in EARLY:
            (found,) = [value for value in (await wire.ask(method)).values() if isinstance(value, list)]
            assert len(found) == 1
        async with asked(wire, "resources/list") as number:
            room.settled.set()
            assert len((await wire.answer(number))["resources"]) == 1


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("settled", [False, True])
async def test_a_call_waits_for_its_own_upstream_and_no_longer(era: str, settled: bool) -> None:
    room = Early()
    if settled:  # the time that others wait is over
        room.settled.set()
    async with room.wire(era) as wire:
        async with asked(wire, "tools/call") as number:
            assert (room.enforcer.calls, room.face.calls_in_flight) == ([], 1)
            await room.arrive()
            assert (await wire.answer(number))["content"]
        assert [call.exposed for call in room.enforcer.calls] == ["up__echo"]
        assert (room.enforcer.turned_away, room.settled.is_set()) == ([], settled)


async def test_a_call_of_what_does_not_come_is_turned_away_and_reaches_nobody() -> None:
    room = Early(comes=False)
    async with room.wire("modern") as wire:
        async with asked(wire, "tools/call") as number:
            room.here.set()
            answer = await wire.answer(number)
        assert (answer["isError"], answer["_meta"]["dev.wardgate/decision"]["reason"]) == (True, "upstream-down")
    assert [reason for _, reason in room.enforcer.turned_away] == [Reason.UPSTREAM_DOWN]
    assert room.enforcer.calls == []


async def test_a_call_of_nothing_that_was_recalled_waits_as_long_as_all_do() -> None:
    room = Early()
    room.catalogue.recalled = room.catalogue.awaited = frozenset({"other"})
    async with room.wire("modern") as wire, asked(wire, "tools/call") as number:
        assert room.enforcer.calls == []
        room.settled.set()
        assert (await wire.answer(number))["content"]


@pytest.mark.parametrize("comes", [False, True])
async def test_a_call_of_what_nobody_accepted_waits_for_the_upstream_that_its_name_says(comes: bool) -> None:
    room = Early(comes)
    room.catalogue.recalled = frozenset()
    room.settled.set()  # the time that others wait is over
    async with room.wire("modern") as wire, asked(wire, "tools/call") as number:
        assert room.enforcer.calls == []
        room.here.set()
        assert (await wire.answer(number)).get("isError", False) is not comes
    assert [call.exposed for call in room.enforcer.calls] == ["up__echo"] * comes
    assert [reason for _, reason in room.enforcer.turned_away] == [Reason.UPSTREAM_DOWN] * (not comes)


async def test_the_headers_of_an_early_call_are_held_against_what_was_listed() -> None:
    room = Early()
    room.catalogue.find = lambda exposed, method="tools/call", only="": None  # type: ignore[method-assign]  # not here
    room.catalogue.expected = lambda *named: a_thing("tools", "echo")  # type: ignore[method-assign]  # only recalled
    assert room.face._input_schema("up__echo") == {"type": "object"}


@pytest.mark.parametrize(("names", "told"), [((), []), (("echo",), []), (("echo", "more"), [KINDS["tools"]])])
async def test_a_legacy_client_is_told_once_if_its_early_list_was_another(names: Any, told: list[str]) -> None:
    room = Early()
    async with room.wire("legacy") as wire:
        await wire.ask("tools/list")
        await room.arrive(*names)
        assert await methods(wire) == told
        room.settled.set()
        await room.face.changed(set(KINDS))
        assert await methods(wire) == []


async def test_a_legacy_client_that_got_no_list_yet_is_told_of_no_first_one() -> None:
    room = Early()
    async with room.wire("legacy") as wire:
        await wire.ask("prompts/list")
        await room.arrive("echo", "more")
        room.settled.set()
        await room.face.changed(set(KINDS))
        assert await methods(wire) == []


async def test_a_session_of_an_earlier_gateway_is_told_once_and_not_while_this_one_starts() -> None:
    room = Early()
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": INFO}
    async with room.streams() as (read, write):
        opening = JSONRPCRequest(jsonrpc="2.0", id=REPLAY_ID, method="initialize", params=params)
        await write.send(SessionMessage(opening))
        await read.receive()
        wire = Wire(read, write, "legacy", {}, {})
        await wire.tell("notifications/initialized")
        await wire.settle()
        await room.arrive("echo", "more")
        assert await methods(wire) == []
        room.settled.set()
        for _ in range(3):
            await wire.next()
        assert sorted(await methods(wire)) == sorted(set(KINDS.values()))
        await room.face.changed(set(KINDS))
        assert await methods(wire) == []


async def first(client: Client, **kinds: bool) -> Any:
    """What a stream tells first; None if that is nothing."""
    async with client.listen(**kinds) as stream:
        with anyio.move_on_after(0.01):
            return await anext(stream)
    return None


@pytest.mark.parametrize(("names", "told"), [((), None), (("echo", "more"), CHANGED["tools"])])
async def test_a_modern_client_that_listens_later_is_told_if_its_early_list_was_another(names: Any, told: Any) -> None:
    room = Early()
    async with room.client("modern") as client, room.client("modern", peer=only("up")) as apart:
        await client.list_tools()
        await room.arrive(*names)
        room.settled.set()
        assert await first(apart, tools_list_changed=True) is None  # it got no list
        assert await first(client, prompts_list_changed=True) is None
        for _ in range(2):  # as long as it has not asked again
            assert await first(client, prompts_list_changed=True, tools_list_changed=True) == told
        await client.list_tools()
        assert await first(client, tools_list_changed=True) is None


async def test_a_modern_client_that_has_the_later_list_already_is_told_nothing() -> None:
    room = Early()
    async with room.client("modern") as client:
        await client.list_tools()
        await room.arrive("echo", "more")
        room.settled.set()
        await client.list_tools()
        assert await first(client, tools_list_changed=True) is None


async def test_of_clients_that_never_listen_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MOST_EARLY", 2)
    told: list[Any] = []

    async def tell(event: Any) -> None:
        told.append(event)

    everybody = Notices(lambda kind, only, client: "now")
    for seat in ("s_1", "s_2", "s_1", "s_3"):
        everybody.note(seat, "", "tools", "then", early=True)
    everybody.settle()
    with anyio.fail_after(DEADLINE):
        for seat, heard in (("s_2", []), ("s_1", [CHANGED["tools"]]), ("s_3", [CHANGED["tools"]])):
            watcher = Watcher(seat, "", PEER.client, tell, stream=True)
            everybody.add(watcher)
            await everybody.welcome(watcher)
            assert told == heard
            told.clear()
