"""The MCP server that clients talk to: one middleware in the SDK's low-level server that answers tools/* itself.

Results leave as dicts from the middleware, because the SDK's handlers sieve vendor fields, nulls and unknown
content. The handshake, discovery, pings and listen streams stay the SDK's. It decides nothing: `enforce` does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

import anyio
import msgspec
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.runner import serve_dual_era_loop
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway import __version__
from gateway.core.card import visible
from gateway.core.model import Principal, Reason, Refused, Tool
from gateway.enforce import Enforcer
from gateway.ports import Catalogue, Clock
from gateway.server.caller import RequestCaller
from gateway.server.peer import Peer
from gateway.server.wire import NAME_LIMIT, claimed_name, envelope, invalid, read_call, write_answer

LIST_TTL_MS = 5_000  # how long a modern client may keep our tools/list
NOBODY = Peer(Principal("nobody", "none"), "unknown", "none", "http")
PEER_SCOPE = "wardgate.peer"  # the key in an HTTP request's scope under which `http.py` puts the peer


class DualEraServer(Server[Any]):
    """The SDK's server, with `listChanged` advertised on every transport (the HTTP manager leaves it out)."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """The options of a handshake."""
        changed = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(changed, experimental_capabilities, extensions)


@dataclass(frozen=True)
class FaceSettings:
    """What the face needs to know of the configuration."""

    key: bytes  # of the keyed digests
    session_meta: str
    hold: float | None = None  # seconds to hold a call that waits for a person; None: by client


async def _unreachable(ctx: Any, params: Any) -> NoReturn:
    raise AssertionError("the relay answers this method itself")


class Face:
    """Serves the gateway's tools to any number of connections."""

    def __init__(
        self,
        enforcer: Enforcer,
        visible_tools: Callable[[], Sequence[Tool]],
        catalogue: Catalogue,
        settings: FaceSettings,
        clock: Clock,
        new_call_id: Callable[[], str],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        """`visible_tools` gives what this gateway offers, in a deterministic order.

        `ready` returns once the upstreams have settled, or their time for it is up: lists and calls wait for it.
        """
        self._enforcer, self._visible_tools, self._catalogue, self._settings = (
            enforcer,
            visible_tools,
            catalogue,
            settings,
        )
        self._clock, self._new_id, self._ready = clock, new_call_id, ready
        self._bus = InMemorySubscriptionBus()
        self._sessions: dict[int, ServerSession] = {}  # legacy sessions that are told of changes
        self._tools: Sequence[Mapping[str, Any]] | None = None
        self._encoded = msgspec.Raw(b"[]")
        self.calls_in_flight = 0
        self._idle = anyio.Event()
        self.server = DualEraServer(
            "wardgate",
            version=__version__,
            title="Wardgate",
            on_list_tools=_unreachable,
            on_call_tool=_unreachable,
            on_subscriptions_listen=ListenHandler(self._bus),
            get_tool_input_schema=self._input_schema,
        )
        self.server.middleware.clear()
        self.server.middleware.append(self._relay)
        self._info = self.server.server_info_stamp

    async def serve(self, read: Any, write: Any, peer: Peer) -> None:
        """Speak with one client over a stream pair until it closes, in the era that it opens with."""
        options = self.server.create_initialization_options()
        await serve_dual_era_loop(self.server, read, write, lifespan_state=peer, init_options=options)

    async def idle(self) -> None:
        """Wait until no call is in flight."""
        while self.calls_in_flight:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def tools_changed(self) -> None:
        """Forget the cached list and tell every client, in both eras."""
        self._tools = None
        await self._bus.publish(ToolsListChanged())
        for session in list(self._sessions.values()):
            await session.send_tool_list_changed()

    async def _relay(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        if ctx.method == "notifications/initialized":
            self._remember(ctx.session)
        if ctx.method not in ("tools/call", "tools/list") or ctx.request_id is None:
            return await call_next(ctx)
        if not modern and ctx.session.client_params is None:
            raise invalid("the connection is not initialized: send `initialize` first")
        await self._ready()
        if ctx.method == "tools/list":
            return self._list(ctx, modern)
        return await self._call(ctx, modern)

    def _remember(self, session: ServerSession) -> None:
        connection = session._connection
        self._sessions[id(connection)] = session
        connection.exit_stack.callback(self._sessions.pop, id(connection), None)

    def _list(self, ctx: ServerRequestContext[Any, Any], modern: bool) -> dict[str, Any]:
        if (ctx.params or {}).get("cursor") is not None:
            raise invalid("unknown cursor: the list has one page")
        if self._tools is None:
            self._tools = [exposed_definition(tool) for tool in self._visible_tools()]
            self._encoded = msgspec.Raw(msgspec.json.encode(self._tools))
        over_http = ctx.request is not None
        result: dict[str, Any] = {"tools": self._tools if over_http else self._encoded}
        if modern:
            result |= {"ttlMs": LIST_TTL_MS, "cacheScope": "private"}
        return envelope(result, modern=modern, server_info=self._info)

    async def _call(self, ctx: ServerRequestContext[Any, Any], modern: bool) -> dict[str, Any]:
        peer = self._peer(ctx)
        params = ctx.session.client_params
        claimed = claimed_name(params.client_info if params is not None else None)
        call = read_call(
            ctx.params or {},
            peer,
            claimed=claimed,
            era="modern" if modern else "legacy",
            session_meta=self._settings.session_meta,
            key=self._settings.key,
            new_id=self._new_id,
            now=self._clock.now(),
        )
        self.calls_in_flight += 1
        try:
            answer = await self._enforcer.handle(call, RequestCaller(ctx, claimed, self._settings.hold))
        finally:
            self.calls_in_flight -= 1
            if not self.calls_in_flight:
                self._idle.set()
        if isinstance(answer, Refused) and answer.reason is Reason.UNKNOWN_TOOL:
            near = self._catalogue.nearest(call.exposed)
            hint = f"; did you mean `{near}`?" if near else ""
            raise invalid(f"unknown tool `{visible(call.exposed[:NAME_LIMIT])}`{hint}")
        return write_answer(answer, modern=modern, server_info=self._info)

    def _peer(self, ctx: ServerRequestContext[Any, Any]) -> Peer:
        """The peer of a request: of its pipe, or as `http.py` authenticated it (nobody otherwise)."""
        if isinstance(ctx.lifespan_context, Peer):
            return ctx.lifespan_context
        scope = ctx.request.scope if ctx.request is not None else {}
        peer: Peer = scope.get(PEER_SCOPE, NOBODY)
        session = ctx.request.headers.get("mcp-session-id") if ctx.request is not None else None
        if session is None:
            return peer
        short = sha256(session.encode()).hexdigest()[:16]
        return Peer(peer.principal, peer.client, f"http:{short}", "http", trust_session=peer.trust_session)

    def _input_schema(self, name: str) -> Mapping[str, Any] | None:
        tool = self._catalogue.find(name)
        schema = tool.definition.get("inputSchema") if tool is not None else None
        return schema if isinstance(schema, dict) else None


def exposed_definition(tool: Tool) -> dict[str, Any]:
    """A tool's definition under its exposed name; without `execution`, an extension that is not relayed."""
    return {**{key: value for key, value in tool.definition.items() if key != "execution"}, "name": tool.exposed_as}
