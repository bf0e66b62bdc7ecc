"""What is remembered of a legacy session between its requests. Nothing here is of any other session."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from msgspec import Struct

from gateway.server.notices import Watcher, teller
from gateway.server.peer import NOBODY, PEER_SCOPE, Peer
from gateway.server.wire import Hop, claimed_name

STATE = "wardgate"  # the key in a connection's state


class LegacySession(Struct, eq=False):
    """A connection that opened with a handshake: who it is, what it declared, and what it wants to hear."""

    base: Peer  # as the transport knows it
    hop: Hop
    watcher: Watcher

    def by(self, peer: Peer) -> Hop:
        """The hop of a request, which over HTTP comes with a peer of its own."""
        if peer is not self.base and peer != self.base:
            self.base, self.hop = peer, self.hop._replace(peer=seated(peer, self.hop.peer.session))
        return self.hop

    def set_level(self, level: str) -> None:
        """Hear of logs from this level on."""
        self.hop = self.hop._replace(log_level=level)


def connection_of(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """The connection of a request. The SDK names it only in private, and everything that we keep hangs on it."""
    return ctx.session._connection


def session_of(ctx: ServerRequestContext[Any, Any]) -> LegacySession | None:
    """The legacy session that a request belongs to, once it has opened."""
    session: LegacySession | None = connection_of(ctx).state.get(STATE)
    return session


def peer_of(ctx: ServerRequestContext[Any, Any]) -> Peer:
    """The peer of a request: of its pipe, or as `http.py` authenticated it (nobody otherwise)."""
    if isinstance(ctx.lifespan_context, Peer):
        return ctx.lifespan_context
    peer: Peer = ctx.request.scope.get(PEER_SCOPE, NOBODY) if ctx.request is not None else NOBODY
    return peer


def seated(peer: Peer, session: str) -> Peer:
    """A peer over HTTP in a session of its own."""
    return peer if peer.session == session else peer.at(session, peer.connection)


def open_session(ctx: ServerRequestContext[Any, Any], params: Mapping[str, Any]) -> LegacySession:
    """Remember a session by the params of its `initialize`; another one on the same connection takes its place."""
    connection, base = connection_of(ctx), peer_of(ctx)
    name = connection.session_id
    peer = base if name is None else seated(base, f"http:{sha256(name.encode()).hexdigest()[:16]}")
    declared = params.get("capabilities")
    hop = Hop(peer, claimed_name(params.get("clientInfo")), False, declared if isinstance(declared, dict) else {}, "")
    session = LegacySession(base, hop, Watcher(peer.seat, peer.only, peer.client, teller(connection)))
    connection.state[STATE] = session
    return session
