"""The MCP server that clients talk to: one middleware in the SDK's low-level server that answers every method itself.

Results leave as dicts from the middleware, because the SDK's handlers sieve vendor fields, nulls and unknown
content. The handshake, discovery, pings and listen streams stay the SDK's. It decides nothing: `enforce` does.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, SubscriptionsListenRequestParams, SubscriptionsListenResult
from mcp_types.methods import validate_client_request
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from msgspec import Struct, field

from gateway.config import Limits
from gateway.core.model import Answer, Call, Done, Reason, Refused, Tool
from gateway.enforce import Enforcer
from gateway.ports import Clock
from gateway.server.answers import UNKNOWN, envelope, write_answer
from gateway.server.caller import RequestCaller
from gateway.server.gate import Gate
from gateway.server.handshake import DualEraServer, dual_era_server
from gateway.server.listen import Listening
from gateway.server.lists import KEYS, KINDS, Lists
from gateway.server.notices import Notices
from gateway.server.opening import refuse_other_era, serve_client
from gateway.server.peer import PEER_SCOPE, Peer
from gateway.server.session import connection_of, open_session, peer_of, session_of
from gateway.server.wire import PER_HOP, TOOL_USE, Hop, Reader, invalid, modern_hop
from gateway.transport.resume import REPLAY_ID

__all__ = ["PEER_SCOPE", "DualEraServer", "Face", "FaceSettings"]

OPENING = 3.0  # seconds that a handshake waits for upstreams with instructions: their scanner may still be loading
LIST_TTL_MS = 5_000  # how long a modern client may keep our lists
HIDDEN_KEY = "dev.wardgate/hidden"  # number of tools that are left out of tools/list
EARLY = ("tools/list", "prompts/list", "resources/templates/list")  # what was accepted is listed while upstreams start
CHECKED_CALLS = ("prompts/get", "resources/read", "resources/subscribe", "resources/unsubscribe", "completion/complete")

Context = ServerRequestContext[Any, Any]


class Catalogue(Protocol):
    """What the face needs of what is offered."""

    @property
    def revision(self) -> int:
        """Grows with every change."""

    @property
    def recalled(self) -> frozenset[str]:
        """The upstreams of which lists show what was accepted, until they are heard of."""

    @property
    def awaited(self) -> frozenset[str]:
        """The upstreams that have neither listed anything nor failed to start."""

    def awaits(self, exposed: str, only: str = "") -> str | None:
        """The upstream that an exposed name says it is of, as long as it is awaited."""

    def find(self, exposed: str) -> Tool | None:
        """The tool of that name."""

    def expected(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        """What a call is for of an upstream that is recalled."""

    def nearest(self, exposed: str, method: str) -> str | None:
        """The most similar name, for error messages."""


class FaceSettings(Struct, frozen=True):
    """What the face needs to know of the configuration."""

    key: bytes  # of the keyed digests
    session_meta: str
    hold: float | None = None  # seconds to hold a call that waits for a person; None: by what a client calls itself
    holds: Mapping[str, float] = field(default_factory=dict)  # the same for registered clients that have their own
    limits: Limits = field(default_factory=Limits)
    prompt_meta: str = "dev.wardgate/prompt"
    instructed: bool = False  # some upstream has instructions for clients: the handshake waits until it is there


def _none(only: str) -> int:
    return 0


def _nobody(seat: str) -> None:
    return None


async def _here(upstream: str) -> bool:
    return True


async def _as_it_is(call: Call) -> Call:
    return call


class Face:
    """Serves what the gateway offers to any number of connections.

    `on_left` is called with the seat of each connection or legacy session that ended; `named` gives a call the names
    by which it may be written down. `listable` returns as soon as lists can be shown, `heard` once an upstream has
    started or failed to: whether it is here.
    """

    def __init__(
        self,
        enforcer: Enforcer,
        offers: Callable[[str, str, str], Sequence[Tool]],
        catalogue: Catalogue,
        settings: FaceSettings,
        clock: Clock,
        new_call_id: Callable[[], str],
        ready: Callable[[], Awaitable[None]],
        about: Callable[[str], str],
        hidden: Callable[[str], int] = _none,
    ) -> None:
        """`offers(kind, only, client)` gives what is shown (tools, resources, templates or prompts), in a deterministic
        order, `hidden(only)` the number of tools that are not, `about(only)` the instructions.

        `ready` returns once the upstreams have settled, or their time for it is up: lists and calls wait for it.
        """
        limits = settings.limits
        self._enforcer, self._catalogue, self._settings, self._wait, self._about = (
            enforcer,
            catalogue,
            settings,
            ready,
            about,
        )
        own = settings.session_meta, settings.prompt_meta
        private = PER_HOP | {*own, TOOL_USE}
        self._reader = Reader(settings.key, *own, private, limits.nesting, new_call_id, clock.now)
        self._gate = Gate(limits.calls_per_client, limits.queue, limits.queue_time, limits.rate, clock.monotonic)
        self._lists = Lists(offers, hidden, lambda: (catalogue.revision, clock.now().date()), limits.page)
        self._notices = Notices(self._lists.etag)
        self._listening = Listening(self._notices, self._subscribe, limits.subscriptions)
        self.on_left: Callable[[str], None] = _nobody
        self.named: Callable[[Call], Awaitable[Call]] = _as_it_is
        self.listable, self.heard = ready, _here
        self.calls_in_flight = 0
        self._idle = anyio.Event()
        self._settled = False
        self._handlers: Mapping[str, Callable[[Context, bool], Awaitable[dict[str, Any]]]] = {
            "tools/call": self._call,
            **dict.fromkeys(CHECKED_CALLS, self._checked_call),
            **dict.fromkeys(KINDS, self._list),
            "logging/setLevel": self._set_level,
        }
        self.server = dual_era_server(self._listen, self._input_schema)
        self.server.middleware.append(self._relay)
        self._info = self.server.server_info_stamp

    async def serve(self, read: Any, write: Any, peer: Peer) -> None:
        """Speak with one client over a stream pair until it closes, in the era that it opens with."""
        try:
            await serve_client(self.server, read, write, peer)
        finally:
            self.on_left(peer.seat)

    async def idle(self) -> None:
        """Wait until no call is in flight."""
        while self.calls_in_flight:
            self._idle = anyio.Event()
            await self._idle.wait()

    def drain(self) -> None:
        """Finish what runs and turn away what is new: the gateway is about to stop."""
        self._gate.close()
        self._listening.close()

    async def changed(self, kinds: Iterable[str]) -> None:
        """Forget the encoded lists, and tell every client whose lists of these kinds changed, in both eras."""
        self._lists.forget()
        await self._notices.changed(kinds)

    async def updated(self, uri: str, seat: str) -> None:
        """Tell everybody who subscribed to a resource that it changed; only one seat, if it says which."""
        await self._notices.updated(uri, seat)

    async def _relay(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        handler = self._handlers.get(ctx.method)
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        if not modern and ctx.request is None and ctx.request_id is not None:
            refuse_other_era(ctx.method, ctx.params)
        if handler is None or ctx.request_id is None:
            return await self._pass(ctx, call_next)
        if not modern and session_of(ctx) is None:
            raise invalid("the connection is not initialized: send `initialize` first")
        if not self._settled and ctx.method in KINDS:
            await (self.listable() if ctx.method in EARLY else self._ready())
        return await handler(ctx, modern)

    async def _ready(self) -> None:
        if not self._settled:
            await self._wait()
            self._settled = True
            self._notices.settle()

    async def _pass(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Leave a message to the SDK; a handshake gets our instructions, and opens a session."""
        if ctx.method not in ("initialize", "server/discover"):
            result = await call_next(ctx)
            if ctx.method == "notifications/initialized" and (session := session_of(ctx)) is not None:
                self._notices.add(session.watcher)
                await self._ready()
                await self._notices.welcome(session.watcher)
            return result
        if self._settings.instructed:
            with anyio.move_on_after(OPENING):  # what upstreams say of themselves is left out if it isn't there by then
                await self.listable()
        result = await call_next(ctx)
        if ctx.method == "initialize":
            self._open(ctx)
        said = self._about(peer_of(ctx).only)
        return {**result, "instructions": said} if said and isinstance(result, dict) else result

    def _open(self, ctx: Context) -> None:
        connection, former = connection_of(ctx), session_of(ctx)
        if former is not None:
            self._notices.remove(former.watcher)
        session = open_session(ctx, ctx.params or {})
        if ctx.request_id == REPLAY_ID:
            session.watcher.forget()
        connection.exit_stack.callback(self._notices.remove, session.watcher)
        if connection.session_id is not None and former is None:
            connection.exit_stack.callback(lambda: self.on_left(session.hop.peer.seat))

    def _hop(self, ctx: Context, modern: bool) -> Hop:
        session = None if modern else session_of(ctx)
        return session.by(peer_of(ctx)) if session is not None else modern_hop(ctx.params, peer_of(ctx))

    async def _list(self, ctx: Context, modern: bool) -> dict[str, Any]:
        kind, peer = KINDS[ctx.method], peer_of(ctx)
        listed = self._lists.of(kind, peer.only, peer.client)
        page = listed.page((ctx.params or {}).get("cursor"))
        result: dict[str, Any] = {KEYS[kind]: page.encoded if ctx.request is None else page.items}
        if page.next is not None:
            result["nextCursor"] = page.next
        if listed.hidden:
            result["_meta"] = {HIDDEN_KEY: listed.hidden}
        if modern:
            result["ttlMs"], result["cacheScope"] = LIST_TTL_MS, "private"
            self._notices.note(peer.seat, peer.only, kind, listed.etag, early=bool(self._catalogue.recalled))
        elif (session := session_of(ctx)) is not None:
            session.watcher.known[kind], session.watcher.deaf = listed.etag, False
        return envelope(result, modern=modern, server_info=self._info)

    async def _set_level(self, ctx: Context, modern: bool) -> dict[str, Any]:
        _validate(ctx)
        session = session_of(ctx)
        assert session is not None, "the relay lets nobody in without a session, and no modern client has this method"
        session.set_level((ctx.params or {})["level"])
        return {}

    async def _checked_call(self, ctx: Context, modern: bool) -> dict[str, Any]:
        _validate(ctx)
        result = await self._call(ctx, modern)
        if not modern and (session := session_of(ctx)) is not None:
            session.watcher.deaf = False
            if ctx.method == "resources/subscribe":
                session.watcher.uris.add((ctx.params or {})["uri"])
            elif ctx.method == "resources/unsubscribe":
                session.watcher.uris.discard((ctx.params or {})["uri"])
        return result

    async def _call(self, ctx: Context, modern: bool) -> dict[str, Any]:
        call = await self.named(self._reader.read(ctx.method, ctx.params or {}, self._hop(ctx, modern)))
        answer = await self._submit(call, self._caller(ctx, call))
        near = None
        if isinstance(answer, Refused) and answer.reason in UNKNOWN:
            near = self._catalogue.nearest(call.exposed, call.method)
        return write_answer(answer, call, self._info, near)

    def _caller(self, ctx: Context, call: Call) -> RequestCaller:
        hold = self._settings.holds.get(call.client.name, self._settings.hold)
        return RequestCaller(ctx, call, hold, peer_of(ctx).stands)

    async def _submit(self, call: Call, caller: RequestCaller) -> Answer:
        """Take a call along its path as soon as there is a place for it; without one it is refused as busy."""
        lane = self._gate.lane(call.principal.id, call.client.name)
        if lane is None or not lane.pay() or not (lane.enter() or await lane.wait()):
            return await self._enforcer.turn_away(call, Reason.BUSY)
        self.calls_in_flight += 1
        try:
            if (not self._settled or self._catalogue.awaited) and not await self._comes(call):
                return await self._enforcer.turn_away(call, Reason.UPSTREAM_DOWN)
            return await self._enforcer.handle(call, caller)
        finally:
            lane.leave()
            self.calls_in_flight -= 1
            if not self.calls_in_flight:
                self._idle.set()

    async def _comes(self, call: Call) -> bool:
        """Wait for the upstream of what was listed before it was here, since a call is decided on what that says by
        then, or for all of them as long as they get, and for the one that the name says; false for one that did not
        come.
        """
        tool = self._catalogue.expected(call.exposed, call.method, call.context.only)
        if tool is not None:
            return await self.heard(tool.ref.upstream)
        await self._ready()
        late = self._catalogue.awaits(call.exposed, call.context.only)
        return late is None or await self.heard(late)

    async def _listen(self, ctx: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        await self._ready()
        return await self._listening.serve(ctx, params, peer_of(ctx))

    async def _subscribe(self, ctx: Context, method: str, uri: str) -> bool:
        """Subscribe a listen stream to one resource, or unsubscribe it; whether that was done."""
        params = {**(ctx.params or {}), "uri": uri}
        call = await self.named(self._reader.read(method, params, modern_hop(ctx.params, peer_of(ctx))))
        answer = await self._submit(call, self._caller(ctx, call))
        return isinstance(answer, Done) and answer.error is None

    def _input_schema(self, name: str) -> Mapping[str, Any] | None:
        tool = self._catalogue.find(name) or self._catalogue.expected(name)
        schema = tool.definition.get("inputSchema") if tool is not None else None
        return schema if isinstance(schema, dict) else None


def _validate(ctx: Context) -> None:
    """The SDK's own check of params, which the middleware comes before; raises what the SDK answers errors to."""
    try:
        validate_client_request(ctx.method, ctx.protocol_version, ctx.params)
    except KeyError:
        raise MCPError(METHOD_NOT_FOUND, "Method not found", ctx.method) from None
