"""How a connection on a pipe opens: what comes before its first request, and what the other era is told on it."""

import anyio
import pytest
from mcp_types import PROTOCOL_VERSION_META_KEY

from gateway.server.opening import EARLY
from tests.server.room import INFO, LEGACY, MODERN, PARAMS, Room, Wire

ENVELOPE = {"_meta": {PROTOCOL_VERSION_META_KEY: MODERN}}


async def test_what_comes_before_the_handshake_is_kept_and_not_without_end() -> None:
    async with Room().streams() as (read, write):
        wire = Wire(read, write, "legacy", {}, {})
        for _ in range(EARLY + 3):
            await wire.tell("notifications/cancelled", {"requestId": 7})
        opened = await wire.ask("initialize", {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": INFO})
        assert opened["serverInfo"]["name"] == "wardgate"


@pytest.mark.parametrize("method", ["tools/call", "tools/list", "ping"])
async def test_what_opened_with_a_handshake_takes_no_envelope(method: str) -> None:
    room = Room()
    async with room.wire("legacy") as wire:
        answer = await wire.ask(method, {**PARAMS.get(method, {}), **ENVELOPE})
        assert answer["error"]["code"] == -32600
        assert room.enforcer.calls == []
        await wire.settle()


async def test_a_client_that_leaves_before_it_asks_anything_is_let_go() -> None:
    room, left = Room(), anyio.Event()
    room.face.on_left = lambda seat: left.set()
    async with room.streams() as (_, write):
        await write.aclose()
        await left.wait()
