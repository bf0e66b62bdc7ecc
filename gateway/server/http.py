"""Streamable HTTP: who gets in (Host, Origin, token), and how much of one may be open at a time, before anything of a
request is read.

It decides nothing about calls. Whatever is refused here has reached nobody.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

import anyio
import msgspec
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCRequest, RequestId
from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.config import Auth
from gateway.core.model import BUSY, REFUSED
from gateway.server.auth import NO_TOKEN, Denied
from gateway.server.face import PEER_SCOPE, DualEraServer
from gateway.server.names import ENDPOINT, Names
from gateway.server.peer import Peer
from gateway.server.probes import ALIVE, JSON, METRICS, PATHS, READY, Probes, told
from gateway.server.whence import level_of
from gateway.transport.wire import MalformedError, decode, encode

log = logging.getLogger("wardgate")

WELL_KNOWN = "/.well-known/oauth-protected-resource"
BODY_DEADLINE = 30.0  # seconds from a request's headers to the end of its body
LARGEST_FORM = 1024 * 1024  # bytes of what a page of the console posts
MOST_HEADERS, LARGEST_HEADERS = 100, 32 * 1024  # of one request, in bytes
CLOSE: Final = ((b"connection", b"close"),)
AT_REST = ("ping", "tools/list", "resources/list", "resources/templates/list", "prompts/list")
SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)

Admit = Callable[[str, str], Awaitable[Peer | Denied]]


class Refusal(NamedTuple):
    """An answer of the door's own."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    code: int = REFUSED
    id: RequestId | None = None  # of the request, where the body tells it


_ONLY_GET = Refusal(405, "only GET", ((b"allow", b"GET, HEAD"),))


class DoorSettings(Struct, frozen=True):
    """What the door needs to know of the configuration."""

    names: Names
    upstreams: Collection[str]
    auth: Auth | None = None
    max_body: int = 16 * 1024 * 1024
    connections: int = 256  # requests that are open at a time, listening ones included
    body_deadline: float = BODY_DEADLINE
    watchers: Collection[str] = ()  # clients that read `/metrics`, and nothing else


class Door:
    """The ASGI application: everything behind it has a Host, an Origin and a token that are good."""

    def __init__(
        self,
        app: ASGIApp,
        admit: Admit,
        settings: DoorSettings,
        console: ASGIApp | None = None,
        probes: Probes | None = None,
    ) -> None:
        """`admit` gives the peer that a token belongs to on the endpoint of one upstream (empty: of all); `console`
        has every path that is neither an endpoint nor one of the probes', and lets nobody in by a token.
        """
        self._app, self._admit, self._settings, self._console, self._probes = app, admit, settings, console, probes
        self.open = 0
        self.draining = False  # whoever stops the gateway sets it: what is new is refused from then on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer for what is wrong with it."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", ())
                named = {name for name, _ in own}
                message["headers"] = [*own, *(each for each in SECURITY if each[0] not in named)]
            await send(message)

        if self.open >= self._settings.connections and scope["path"] not in (ALIVE, READY):
            await _answer(_busy("too many requests are open"), guarded)
            return
        self.open += 1
        try:
            await self._enter(scope, receive, guarded)
        finally:
            self.open -= 1

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        refusal = self._refuse_place(headers, host)
        if refusal is None and scope["path"].startswith("/.well-known/"):
            await self._tell(scope, host, send)
            return
        if refusal is None and self._probes is not None and scope["path"] in PATHS:
            refusal = await self._probe(self._probes, scope, headers, host, send)
        elif refusal is None and self._console is not None and not _is_endpoint(scope["path"]):
            refusal = await self._pass_to_people(self._console, scope, receive, send)
        elif refusal is None:
            only = self._only(scope["path"])
            found = await self._authenticate(headers, only or "")
            if isinstance(found, Denied):
                refusal = self._denied(found, host, only or "")
            elif found.client in self._settings.watchers:
                refusal = Refusal(403, f"the client `{found.client}` reads `{METRICS}` and nothing else")
            else:
                refusal = _refuse_shape(scope["method"], headers, only)
                if refusal is None:
                    peer = replace(found, stands=self._standing(headers, only or "", found))
                    refusal = await self._pass(peer, scope, receive, send)
        if refusal is not None:
            await _answer(refusal, send)

    def _refuse_place(self, headers: Headers, host: str) -> Refusal | None:
        if (
            len(headers.raw) > MOST_HEADERS
            or sum(len(name) + len(value) for name, value in headers.raw) > LARGEST_HEADERS
        ):
            return Refusal(431, "too many headers, or too large ones", CLOSE)
        if "transfer-encoding" in headers and "content-length" in headers:
            return Refusal(400, "the length of the request's body is told twice", CLOSE)
        if not self._settings.names.are(host) or len(headers.getlist("host")) != 1:
            return Refusal(403, "this Host is not served here")
        origins = headers.getlist("origin")
        if not all(self._settings.names.may_call(origin.lower(), host) for origin in origins):
            return Refusal(403, "this Origin may not call")
        return None

    def _only(self, path: str) -> str | None:
        """The upstream that a path is the endpoint of: "" for all of them, None for a path that is no endpoint."""
        if path == ENDPOINT:
            return ""
        name = path.removeprefix(f"{ENDPOINT}/")
        return name if path.startswith(f"{ENDPOINT}/") and name in self._settings.upstreams else None

    async def _authenticate(self, headers: Headers, only: str) -> Peer | Denied:
        values = headers.getlist("authorization")
        if len(values) > 1:
            return Denied(400, "invalid_request", "one Authorization header was expected, and more came")
        scheme, _, token = (values[0] if values else "").partition(" ")
        token = token.strip()
        return await self._admit(token, only) if scheme.lower() == "bearer" and token else NO_TOKEN

    def _standing(self, headers: Headers, only: str, peer: Peer) -> Callable[[], Awaitable[bool]]:
        """What tells, later, whether a peer would still be let in by what it was let in by."""

        async def stands() -> bool:
            found = await self._authenticate(headers, only)
            return isinstance(found, Peer) and (found.principal, found.client) == (peer.principal, peer.client)

        return stands

    def _denied(self, denied: Denied, host: str, only: str) -> Refusal:
        """The answer to a request without a good token (RFC 6750 section 3, RFC 9728 section 5.1)."""
        if denied.status == 503:
            return Refusal(503, denied.text, ((b"retry-after", b"10"),), BUSY)
        parts = ['realm="wardgate"']
        if denied.error:
            parts += [f'error="{denied.error}"', f'error_description="{denied.text}"']
        if self._settings.auth is not None:
            base, path = self._settings.names.place(host)
            parts.append(f'resource_metadata="{base}{WELL_KNOWN}{path}{f"/{only}" if only else ""}"')
        challenge = f"Bearer {', '.join(parts)}".encode("latin-1", "replace")
        return Refusal(denied.status, denied.text, ((b"www-authenticate", challenge),))

    async def _probe(self, probes: Probes, scope: Scope, headers: Headers, host: str, send: Send) -> Refusal | None:
        """How the gateway is; in numbers only to who has `metrics = true`."""
        if scope["method"] not in ("GET", "HEAD"):
            return _ONLY_GET
        if scope["path"] == METRICS:
            found = await self._authenticate(headers, "")
            if isinstance(found, Denied):
                return self._denied(found, host, "")
            if found.client not in self._settings.watchers:
                return Refusal(403, f"`{METRICS}` is for clients with `metrics = true` in `[clients.NAME]`")
        answer = await told(scope["path"], probes)
        await _send(answer.status, answer.body, (), send, answer.type)
        return None

    async def _tell(self, scope: Scope, host: str, send: Send) -> None:
        """Protected resource metadata (RFC 9728), for the gateway and for each upstream's endpoint."""
        path, auth, names = scope["path"], self._settings.auth, self._settings.names
        only = self._only(_described(path, names.place(host)[1])) if auth is not None else None
        if auth is None or only is None:
            await _answer(Refusal(404, "there is nothing here"), send)
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(_ONLY_GET, send)
        else:
            await _send(200, msgspec.json.encode(resource_metadata(auth, only, names, host)), (), send)

    async def _pass(self, peer: Peer, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        """Hand a request on, with its whole body; or say what is wrong with that."""
        body = await self._body(scope, receive, self._settings.max_body)
        if isinstance(body, Refusal):
            return body
        message = None
        if scope["method"] == "POST":
            # INVARIANT: a body is read as strictly as a line of stdio before the SDK sees it: its readers let numbers
            # and texts in that no JSON carries, so that something else would be checked than is sent.
            message = decode(body)
            if isinstance(message, MalformedError) and not _is_batch(body):
                return Refusal(400, message.message, code=message.code, id=message.id)
            if isinstance(message, JSONRPCError):  # of an answer that is broken, too: it fails the question
                body = encode(message)
        if self.draining and (scope["method"] == "GET" or (message is not None and is_new(message))):
            return Refusal(503, "the gateway is about to stop", ((b"retry-after", b"5"),), BUSY)
        # A session belongs to the principal, the client and the endpoint that opened it: the SDK compares this.
        token = AccessToken(token="", client_id="\n".join((peer.principal.id, peer.client, peer.only)), scopes=[])
        if level := await level_of(scope):
            peer = replace(peer, isolation=level)
        scope = {**scope, "user": AuthenticatedUser(token), PEER_SCOPE: peer}
        await self._app(scope, _replay(body, receive), send)
        return None

    async def _pass_to_people(self, console: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        """Hand a request on to the console, with its whole body; or say what is wrong with that."""
        body = await self._body(scope, receive, min(self._settings.max_body, LARGEST_FORM))
        if isinstance(body, Refusal):
            return body
        await console(scope, _replay(body, receive), send)
        return None

    async def _body(self, scope: Scope, receive: Receive, limit: int) -> bytes | Refusal:
        """The whole body of a POST, within its limit and deadline; empty for any other method."""
        if scope["method"] != "POST":
            return b""
        try:
            with anyio.fail_after(self._settings.body_deadline):
                whole = await _read(receive, limit)
        except TimeoutError:
            return Refusal(408, "the request's body did not come in time", CLOSE)
        return Refusal(413, f"the request's body is over the limit of {limit} bytes") if whole is None else whole


def _is_endpoint(path: str) -> bool:
    """Whether a path is for programs: everything below `/mcp`."""
    return path == ENDPOINT or path.startswith(f"{ENDPOINT}/")


def _replay(body: bytes, receive: Receive) -> Receive:
    """What tells the body that was read already, and then whatever comes."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _described(path: str, endpoint: str) -> str:
    """The path on this server that a well-known path describes; empty for another one."""
    if not path.startswith(WELL_KNOWN):
        return ""
    rest = path.removeprefix(WELL_KNOWN)
    if rest == endpoint or rest.startswith(f"{endpoint}/"):
        return f"{ENDPOINT}{rest.removeprefix(endpoint)}"
    return rest or ENDPOINT


def resource_metadata(auth: Auth, only: str, names: Names, host: str) -> Mapping[str, Any]:
    """What a client must know to get a token for an endpoint (RFC 9728 section 2)."""
    whole = auth.audience if names.public else "".join(names.place(host))
    return {
        "resource": f"{whole.rstrip('/')}/{only}" if only else whole,
        "authorization_servers": [auth.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": f"Wardgate: {only}" if only else "Wardgate",
    }


def is_new(message: JSONRPCMessage | MalformedError) -> bool:
    """Whether a message asks for something that would have to be finished: not an answer to a question of ours, nor a
    notice about what runs, nor one of the lists with which clients check an answer that they just got.
    """
    if isinstance(message, JSONRPCRequest):
        return message.method not in AT_REST
    return isinstance(message, MalformedError)


def _is_batch(body: bytes) -> bool:
    """Whether a body can only be an array, which the SDK refuses in both eras, whatever is in it."""
    return body.lstrip(b" \t\r\n")[:1] == b"["


async def _read(receive: Receive, limit: int) -> bytes | None:
    """A request's whole body; None if it is over the limit, or its client is gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse_shape(method: str, headers: Headers, only: str | None) -> Refusal | None:
    if only is None:
        return Refusal(404, "there is nothing here: `/mcp` and `/mcp/<upstream>` are served")
    if method not in ("POST", "GET", "DELETE"):
        return Refusal(405, "only POST, GET and DELETE", ((b"allow", b"POST, GET, DELETE"),))
    kind, _, options = headers.get("content-type", "").partition(";")
    if method == "POST" and (kind.strip().lower() != "application/json" or _foreign_charset(options)):
        return Refusal(415, "only application/json, in UTF-8")
    return None


def _foreign_charset(options: str) -> bool:
    name, _, charset = options.strip().partition("=")
    return name.strip().lower() == "charset" and charset.strip('" ').lower() != "utf-8"


def _busy(text: str) -> Refusal:
    return Refusal(503, f"busy: {text}", ((b"retry-after", b"1"),), BUSY)


async def _answer(refusal: Refusal, send: Send) -> None:
    """A refusal as a JSON-RPC error: an SDK's client shows its message, and something unrelated for any other body."""
    error = {"code": refusal.code, "message": refusal.text}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": refusal.id, "error": error})
    await _send(refusal.status, body, refusal.headers, send)


async def _send(
    status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...], send: Send, kind: str = JSON
) -> None:
    own = ((b"content-type", kind.encode("latin-1")), (b"content-length", str(len(body)).encode()))
    start = [*own, (b"cache-control", b"no-store"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def session_manager(server: DualEraServer, names: Names, max_body: int, sessions: int) -> StreamableHTTPSessionManager:
    """What speaks MCP behind the door; its `run` must be entered by whoever serves it."""
    own = [f"{name}:*" for name in ("127.0.0.1", "localhost", "[::1]")] if names.loopback else []  # of any port
    security = TransportSecuritySettings(
        allowed_hosts=[*sorted(names.hosts), *own],
        allowed_origins=[*sorted(names.origins), *(f"http://{host}" for host in own)],
    )
    return StreamableHTTPSessionManager(
        server, security_settings=security, max_request_body_size=max_body, max_sessions=sessions
    )
