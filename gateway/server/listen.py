"""`subscriptions/listen`: the streams on which modern clients are told of changes.

The SDK writes the stream; which resources it may tell of is decided on the path of a call, not here.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ServerEvent
from mcp.shared.exceptions import MCPError
from mcp_types import SubscriptionsListenRequestParams, SubscriptionsListenResult
from msgspec import Struct, field

from gateway.core.model import REFUSED
from gateway.server.notices import Notices, Watcher
from gateway.server.peer import Peer

MOST_STREAMS = 64  # of one seat at a time
UNSUBSCRIBE_DEADLINE = 5.0  # seconds that ending a stream may take

Context = ServerRequestContext[Any, Any]
Subscribe = Callable[[Context, str, str], Awaitable[bool]]
"""`(request, method, uri)`: take a call of `resources/subscribe` or `unsubscribe` along its path; was it done?"""


class _Seat(Struct):
    """The streams of one seat; one subscription of the upstream's serves all of them."""

    streams: int = 0
    uris: Counter[str] = field(default_factory=Counter)
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class _Bus(InMemorySubscriptionBus):
    """The SDK's, but what is told before its one stream has opened is told then."""

    def __init__(self) -> None:
        super().__init__()
        self._opened, self._before = False, list[ServerEvent]()

    async def publish(self, event: ServerEvent) -> None:
        """Tell the stream."""
        if not self._opened:
            self._before.append(event)
        await super().publish(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """The stream opens: what was told before is in it, behind its acknowledgement."""
        self._opened = True
        for event in self._before:
            listener(event)
        return super().subscribe(listener)


class Listening:
    """All listen streams."""

    def __init__(self, notices: Notices, subscribe: Subscribe, most: int) -> None:
        """`most` is how many resources one stream may be told of."""
        self._notices, self._subscribe, self._most = notices, subscribe, most
        self._seats: dict[str, _Seat] = {}
        self._handlers: dict[int, ListenHandler] = {}
        self._closed = False

    async def serve(
        self, ctx: Context, params: SubscriptionsListenRequestParams, peer: Peer
    ) -> SubscriptionsListenResult:
        """Serve one stream until its client, or `close`, ends it; raises `MCPError` over a limit."""
        if self._closed:
            raise MCPError(REFUSED, "busy: the gateway is about to stop")
        wanted = tuple(dict.fromkeys(params.notifications.resource_subscriptions or ()))
        if len(wanted) > self._most:
            raise MCPError(REFUSED, f"busy: a stream can tell of at most {self._most} resources")
        seat = self._seats.setdefault(peer.seat, _Seat())
        if seat.streams >= MOST_STREAMS:
            raise MCPError(REFUSED, f"busy: at most {MOST_STREAMS} streams can be open at a time")
        bus = _Bus()
        handler = ListenHandler(bus)
        watcher = Watcher(peer.seat, peer.only, peer.client, bus.publish, stream=True)
        seat.streams += 1
        self._handlers[id(handler)] = handler
        try:
            await self._take(ctx, seat, watcher, wanted)
            self._notices.add(watcher)
            await self._notices.welcome(watcher)
            honored = params.notifications.model_copy(
                update={"resource_subscriptions": [uri for uri in wanted if uri in watcher.uris] or None}
            )
            return await handler(ctx, params.model_copy(update={"notifications": honored}))
        finally:
            self._notices.remove(watcher)
            del self._handlers[id(handler)]
            with anyio.move_on_after(UNSUBSCRIBE_DEADLINE, shield=True):
                await self._give_up(ctx, seat, watcher)
            seat.streams -= 1
            if not seat.streams:
                self._seats.pop(peer.seat, None)

    def close(self) -> None:
        """End every stream in good order, and open none any more."""
        self._closed = True
        for handler in tuple(self._handlers.values()):
            handler.close()

    async def _take(self, ctx: Context, seat: _Seat, watcher: Watcher, wanted: tuple[str, ...]) -> None:
        """Subscribe to each resource; what is refused is not in the stream."""
        async with seat.turn:
            for uri in wanted:
                seat.uris[uri] += 1
                try:
                    if await self._subscribe(ctx, "resources/subscribe", uri):
                        watcher.uris.add(uri)
                finally:
                    if uri not in watcher.uris:
                        seat.uris[uri] -= 1

    async def _give_up(self, ctx: Context, seat: _Seat, watcher: Watcher) -> None:
        """Unsubscribe from what no other stream of the seat is told of."""
        seat.uris.subtract(watcher.uris)
        async with seat.turn:
            for uri in sorted(watcher.uris):
                if uri in seat.uris and seat.uris[uri] <= 0:
                    del seat.uris[uri]
                    await self._subscribe(ctx, "resources/unsubscribe", uri)
