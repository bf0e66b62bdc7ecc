"""The connection to an upstream over streamable HTTP, with the faults of one request kept to that request.

The SDK's transport ends as a whole when one request fails on the wire; here such a request is answered with an error.
"""

import contextlib
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR

from gateway.errors import ConfigurationError

CONNECT = 10.0
WRITE = 30.0
_TOKEN = "dev.wardgate/" + secrets.token_hex(16)  # an upstream can't say what only the gateway may say
_UNAUTHORIZED, _NOT_FOUND = 401, 404


def was_sent(message: str, data: Any) -> bool | None:
    """Whether a request that failed on the wire was sent; None if the error is the upstream's own."""
    if _TOKEN in message:
        return True
    return data.get(_TOKEN) if isinstance(data, dict) else None


@contextlib.asynccontextmanager
async def http_streams(
    url: str,
    headers: Mapping[str, str],
    limit: int,
    calls: int,
    forgotten: anyio.Event,
    unauthorized: anyio.Event,
    auth: Callable[[], httpx2.Auth | None] | None = None,
) -> AsyncIterator[tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]]:
    """Open the stream pair; sets `forgotten` when the server has forgotten the session, `unauthorized` when it doesn't
    know who asks. `auth` signs the requests.

    No redirects, no proxy or certificate settings from the environment, at most `limit` bytes per answer. Reads have no
    timeout here: the deadline of the call ends them.
    """
    # The SDK logs an answer that it can't read, whole; what upstreams say is not for a log.
    logging.getLogger("mcp.client.streamable_http").setLevel(logging.CRITICAL)
    signed = auth() if auth is not None else None
    inner = await anyio.to_thread.run_sync(_connections, url, calls)
    wire = _OneAtATime(inner, limit, forgotten, unauthorized, signed is not None)
    timeout = httpx2.Timeout(CONNECT, read=None, write=WRITE, pool=CONNECT)
    try:
        client = httpx2.AsyncClient(
            transport=wire,
            headers=dict(headers),
            auth=signed,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        )
    except (ValueError, TypeError, UnicodeError):
        raise ConfigurationError("a header's value can't be sent over HTTP") from None
    async with client, streamable_http_client(url, http_client=client, max_sse_event_size=limit) as (read, write):
        yield read, write


def _connections(url: str, calls: int) -> httpx2.AsyncBaseTransport:
    """The pool of connections; reads the certificates to trust from disk, for plain HTTP none."""
    secure = url.lower().startswith("https:")
    tls = httpx2.create_ssl_context(trust_env=False) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    limits = httpx2.Limits(max_connections=calls + 8, max_keepalive_connections=20)
    return httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)


class _OneAtATime(httpx2.AsyncBaseTransport):
    """Turns what goes wrong with one request into an answer to it."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        limit: int,
        forgotten: anyio.Event,
        unauthorized: anyio.Event,
        signed: bool = False,
    ) -> None:
        """`signed`: a refusal of the token is left to what signs the requests."""
        self._inner, self._limit, self._signed = inner, limit, signed
        self._forgotten, self._unauthorized = forgotten, unauthorized

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.netloc.decode("ascii", "replace").rpartition("@")[2]
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return _error(f"can't connect to `{host}`", sent=False)
        except httpx2.TransportError:
            return _error(f"the connection to `{host}` was lost", sent=True)
        if response.status_code == _NOT_FOUND and "mcp-session-id" in request.headers:
            self._forgotten.set()
        if response.status_code == _UNAUTHORIZED:
            self._unauthorized.set()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        challenge = self._signed and response.status_code == _UNAUTHORIZED
        if response.is_redirect or (response.is_error and kind != "application/json" and not challenge):
            return await self._replace(response, host)
        if kind != "text/event-stream":  # of those the SDK bounds each event
            response.stream = _Bounded(response.stream, self._limit)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _replace(self, response: httpx2.Response, host: str) -> httpx2.Response:
        """Say what the status means, where the SDK would not."""
        status = response.status_code
        if status == _NOT_FOUND:
            return response
        await response.aclose()
        if status in (502, 504):  # from a proxy before the server: nobody knows what the server did
            return _error(f"`{host}` answered with status {status}", sent=True)
        text = "a redirect, which is not followed" if response.is_redirect else f"status {status}"
        return _error(f"`{host}` answered with {text}")


class _Bounded(httpx2.AsyncByteStream):
    """A body of at most `limit` bytes per answer; a failure in it fails this answer only."""

    def __init__(self, inner: Any, limit: int) -> None:
        self._inner, self._left = inner, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                self._left -= len(chunk)
                if self._left < 0:
                    raise httpx2.StreamError("the answer is over the limit")
                yield chunk
        except httpx2.TransportError:
            raise httpx2.StreamError(_TOKEN) from None

    async def aclose(self) -> None:
        await self._inner.aclose()


def _error(message: str, sent: bool | None = None) -> httpx2.Response:
    """An answer of our own: a JSON-RPC error whose id the SDK fills in."""
    code = INTERNAL_ERROR if sent is None else CONNECTION_CLOSED
    data = {} if sent is None else {"data": {_TOKEN: sent}}
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, **data}}
    return httpx2.Response(502, content=msgspec.json.encode(body), headers={"content-type": "application/json"})
