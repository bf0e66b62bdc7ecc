"""Streamable HTTP: who gets in (token, Host, Origin), before anything of a request is read. It decides nothing else."""

from collections.abc import Callable, Iterable
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.core.model import Principal
from gateway.server.face import PEER_SCOPE, DualEraServer
from gateway.server.peer import Peer


class Door:
    """ASGI middleware: Host and Origin are ours, and a bearer token names the client; otherwise nothing passes."""

    def __init__(self, app: ASGIApp, admit: Callable[[str], Peer | None], hosts: Iterable[str]) -> None:
        """`admit` gives the peer that a token belongs to; `hosts` are the accepted Host values, port included."""
        self._app, self._admit = app, admit
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403 (Host, Origin) or 401 (token)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse_place(headers)
        if refusal is None:
            peer = self._authenticate(headers)
            if peer is not None:
                token = AccessToken(token="", client_id=f"{peer.principal.id}/{peer.client}", scopes=[])
                scope = {**scope, "user": AuthenticatedUser(token), PEER_SCOPE: peer}
                await self._app(scope, receive, send)
                return
            refusal = _error(401, "a bearer token is needed: `wardgate client add NAME` prints one")
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="wardgate", error="invalid_token"'
        await refusal(scope, receive, send)

    def _refuse_place(self, headers: Headers) -> Response | None:
        if headers.get("host", "") not in self._hosts:
            return _error(403, "this Host is not served here")
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            return _error(403, "this Origin may not call")
        return None

    def _authenticate(self, headers: Headers) -> Peer | None:
        values = headers.getlist("authorization")
        if len(values) != 1:
            return None
        scheme, _, token = values[0].partition(" ")
        return self._admit(token.strip()) if scheme.lower() == "bearer" and token.strip() else None


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)


def http_peer(name: str, registered: bool, trust_session: bool) -> Peer:
    """The peer of a client token: its principal is the token's name; its session is that of principal and client."""
    client = name if registered else "unknown"
    principal = Principal(f"client:{name}", "token")
    return Peer(principal, client, f"{principal.id}/{client}", "http", trust_session=trust_session)


def http_app(server: DualEraServer, admit: Callable[[str], Peer | None], port: int, max_body: int) -> Any:
    """The ASGI application: `/mcp` behind the door. Its lifespan must be run by whoever serves it."""
    hosts = [f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"http://{host}" for host in hosts],
    )
    app = server.streamable_http_app(transport_security=security, max_request_body_size=max_body)
    app.add_middleware(Door, admit=admit, hosts=hosts)
    return app
