"""Legacy sessions over HTTP: whose they are, what is remembered of them, and how they end."""

from types import SimpleNamespace
from typing import Any

from mcp.server.connection import Connection
from mcp.server.runner import ServerRunner, aclose_shielded
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from msgspec.structs import replace

from gateway.core.model import Principal
from gateway.server.peer import PEER_SCOPE, Peer
from tests.server.room import ALL, INFO, LEGACY, PARAMS, Room

DOOR = Peer(Principal("client:ada", "token"), "ada", "client:ada/ada", "http", seat="client:ada/ada")
OPENING = {"protocolVersion": LEGACY, "capabilities": ALL, "clientInfo": INFO}


class Channel:
    """The SDK's view of one HTTP request, which comes with a peer that the door found."""

    transport = TransportContext(kind="jsonrpc", can_send_request=True)
    can_send_request, request_id = True, 1

    def __init__(self, peer: Peer | None) -> None:
        request: Any = SimpleNamespace(scope={} if peer is None else {PEER_SCOPE: peer})
        self.message_metadata = ServerMessageMetadata(request_context=request)


class Session:
    """One session over HTTP."""

    def __init__(self, room: Room, name: str) -> None:
        self.connection = Connection.for_loop(Channel(None), session_id=name)  # type: ignore[arg-type]  # sends nothing
        self._runner = ServerRunner(room.face.server, self.connection, {})

    async def ask(self, method: str, params: Any, peer: Peer | None = DOOR) -> dict[str, Any]:
        return await self._runner.on_request(Channel(peer), method, params)  # type: ignore[arg-type]  # fake


async def test_each_session_has_a_seat_of_its_own_and_leaves_it() -> None:
    room = Room()
    for name in ("one", "two"):
        session = Session(room, name)
        await session.ask("initialize", OPENING)
        for _ in range(2):
            await session.ask("tools/call", PARAMS["tools/call"], replace(DOOR))
        await aclose_shielded(session.connection)
    first, again, second, _ = [call.context for call in room.enforcer.calls]
    assert (first.session, first.seat) == (again.session, again.seat)
    assert first.session.startswith("http:")
    assert first.seat == f"client:ada/ada/{first.session}"
    assert second.seat != first.seat
    assert room.left == [first.seat, second.seat]


async def test_what_was_declared_is_as_on_the_wire() -> None:
    room = Room()
    session = Session(room, "one")
    await session.ask("initialize", {**OPENING, "capabilities": {"elicitation": {}, "vendor": {"n": None}}})
    await session.ask("tools/call", PARAMS["tools/call"])
    assert room.enforcer.calls[0].context.capabilities == {"elicitation": {}, "vendor": {"n": None}}
    assert room.enforcer.calls[0].client.claimed == "probe 1"


async def test_the_peer_is_that_of_each_request() -> None:
    room = Room()
    session = Session(room, "one")
    await session.ask("initialize", OPENING)
    await session.ask("logging/setLevel", {"level": "error"})
    await session.ask("tools/call", PARAMS["tools/call"], replace(DOOR, only="up"))
    await session.ask("tools/call", PARAMS["tools/call"])
    one, all_ = [call.context for call in room.enforcer.calls]
    assert (one.only, all_.only) == ("up", "")
    assert (one.seat, one.log_level) == (all_.seat, "error")


async def test_a_request_that_nobody_admitted_is_nobodys() -> None:
    room = Room()
    session = Session(room, "one")
    await session.ask("initialize", OPENING, None)
    await session.ask("tools/call", PARAMS["tools/call"], None)
    assert room.enforcer.calls[0].principal.id == "nobody"


async def test_a_second_handshake_takes_the_place_of_the_first() -> None:
    room = Room()
    session = Session(room, "one")
    for name in ("a", "b"):
        await session.ask("initialize", {**OPENING, "clientInfo": {"name": name, "version": "1"}})
    await session.ask("tools/call", PARAMS["tools/call"])
    await aclose_shielded(session.connection)
    assert room.enforcer.calls[0].client.claimed == "b 1"
    assert len(room.left) == 1


async def test_lists_over_http_are_values_that_any_encoder_takes() -> None:
    room = Room()
    session = Session(room, "one")
    await session.ask("initialize", OPENING)
    assert (await session.ask("tools/list", {}))["tools"][0]["name"] == "up__echo"
