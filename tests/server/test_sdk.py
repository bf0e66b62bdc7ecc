"""What the face takes from the SDK beyond its documented interface: an update that changes it fails here first."""

from functools import partial
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.runner import ServerRunner, serve_loop
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types import JSONRPCRequest, JSONRPCResponse
from mcp_types.methods import CACHEABLE_METHODS, CLIENT_REQUESTS, INPUT_REQUIRED_METHODS

from gateway.server.caller import COME_BACK, LEVELS
from gateway.server.lists import KINDS
from tests.server.room import LEGACY, MODERN, RESULTS, Room


class Channel:
    """The SDK's view of one request."""

    transport = TransportContext(kind="jsonrpc", can_send_request=True)
    can_send_request, request_id, message_metadata = True, 1, None

    async def send_raw_request(self, method: str, params: Any, opts: Any = None) -> dict[str, Any]:
        return {"method": method, "params": params}


async def answered(server: Server[Any], connection: Connection, method: str) -> dict[str, Any]:
    return await ServerRunner(server, connection, None).on_request(Channel(), method, {"name": "x"})  # type: ignore[arg-type]  # fake


async def test_a_middleware_that_answers_itself_is_neither_checked_nor_sieved() -> None:
    server: Server[Any] = Server("x")
    seen: list[str] = []
    given = {"tools": 3, "vendor": None, "_meta": {"a/b": None}}

    async def relay(ctx: ServerRequestContext[Any, Any], call_next: Any) -> dict[str, Any]:
        seen.append(ctx.method)
        return given

    server.middleware[:] = [relay]
    for version in (LEGACY, MODERN):
        connection = Connection.from_envelope(version, None, {})
        assert await answered(server, connection, "tools/list") == given
    assert seen == ["tools/list"] * 2


async def test_a_request_leads_to_its_connection_and_to_its_own_way_back() -> None:
    server: Server[Any] = Server("x")
    found: list[Any] = []

    async def relay(ctx: ServerRequestContext[Any, Any], call_next: Any) -> dict[str, Any]:
        found.append(ctx.session._connection)
        return await ctx.session._request_outbound.send_raw_request("roots/list", None)

    server.middleware[:] = [relay]
    connection = Connection.from_envelope(LEGACY, None, {})
    assert await answered(server, connection, "x/y") == {"method": "roots/list", "params": None}
    assert found == [connection]
    assert (connection.state, connection.session_id) == ({}, None)


async def test_a_server_request_goes_out_under_the_id_that_is_given_for_it() -> None:
    server: Server[Any] = Server("x")

    async def relay(ctx: ServerRequestContext[Any, Any], call_next: Any) -> dict[str, Any]:
        return await ctx.session._request_outbound.send_raw_request("roots/list", None, {"request_id": 2**53 - 1})

    server.middleware[:] = [relay]
    async with create_client_server_memory_streams() as ((read, write), streams), anyio.create_task_group() as tasks:
        tasks.start_soon(partial(serve_loop, server, *streams, lifespan_state=None))
        await write.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")))
        asked = (await read.receive()).message
        assert (asked.method, asked.id) == ("roots/list", 2**53 - 1)
        await write.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=2**53 - 1, result={"roots": []})))
        assert (await read.receive()).message.result == {"roots": []}
        tasks.cancel_scope.cancel()


def test_the_methods_of_each_kind_are_those_that_the_face_knows() -> None:
    assert INPUT_REQUIRED_METHODS == COME_BACK
    assert {*KINDS, "resources/read", "server/discover"} == CACHEABLE_METHODS
    legacy = {method for method, version in CLIENT_REQUESTS if version == LEGACY}
    modern = {method for method, version in CLIENT_REQUESTS if version == MODERN}
    ours = {*KINDS, *RESULTS, "logging/setLevel"}
    assert legacy == ours | {"initialize", "ping"}
    assert modern == ours - {"logging/setLevel", "resources/subscribe", "resources/unsubscribe"} | {
        "server/discover",
        "subscriptions/listen",
    }


def test_log_levels_are_the_sdks_in_their_order() -> None:
    from mcp.server import connection

    assert tuple(LEVELS) == connection._LOG_LEVELS


def test_every_method_has_a_handler_so_that_it_is_advertised() -> None:
    server = Room().face.server
    for method in {*KINDS, *RESULTS, "logging/setLevel", "subscriptions/listen"}:
        assert server.get_request_handler(method) is not None
    assert len(server.middleware) == 1
