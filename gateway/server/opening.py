"""Which era a client on a pipe speaks, told by its first request; it is then served in that one.

A handshake is served on the stream itself: the SDK's loop for both eras would pass each later message through a task
and a queue of its own.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.server.lowlevel.server import Server
from mcp.server.runner import serve_dual_era_loop, serve_loop
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PROTOCOL_VERSION_META_KEY, JSONRPCRequest

from gateway.server.peer import Peer
from gateway.transport.ends import ReadEnd

EARLY = 8  # messages before the first request that are kept


class Opened(ReadEnd):
    """A read stream whose first messages were read already."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._first = inner, deque[Any]()

    async def opening(self) -> str:
        """The method of the first request; empty if the client leaves before it makes one."""
        try:
            while True:
                item = await self._inner.receive()
                asks = isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCRequest)
                if asks or len(self._first) < EARLY:
                    self._first.append(item)
                if asks:
                    return str(item.message.method)
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return ""

    async def receive(self) -> Any:
        """The next message; raises what the inner stream raises."""
        return self._first.popleft() if self._first else await self._inner.receive()

    async def aclose(self) -> None:
        """Stop reading."""
        await self._inner.aclose()


async def serve_client(server: Server[Any], read: Any, write: Any, peer: Peer) -> None:
    """Speak with one client over a stream pair until it closes, in the era that it opens with; closes both streams."""
    stream, options = Opened(read), server.create_initialization_options()
    try:
        serve = serve_loop if await stream.opening() == "initialize" else serve_dual_era_loop
        await serve(server, stream, write, lifespan_state=peer, init_options=options)
    finally:
        await stream.aclose()
        await write.aclose()


def refuse_other_era(method: str, params: Mapping[str, Any] | None) -> None:
    """What opened with a handshake stays with it: raises `MCPError` for a request in the envelope of the other era."""
    meta = (params or {}).get("_meta")
    if method != "initialize" and isinstance(meta, Mapping) and PROTOCOL_VERSION_META_KEY in meta:
        raise MCPError(
            INVALID_REQUEST, "this connection opened with `initialize`: what is asked in an envelope needs another one"
        )
