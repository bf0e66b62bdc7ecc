"""One grant of OAuth for one upstream: the SDK's flow, with our bounds on where it may go and what it may read.

Keeps nothing itself: it fills a `Kept`. No text of a server's gets into a message.
"""

import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import msgspec
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic import AnyUrl, ValidationError

from gateway.config.hosts import is_loopback, may_carry_tokens
from gateway.config.nouns import OAuth
from gateway.errors import ConfigurationError, UpstreamError
from gateway.upstreams.vault import Kept

DEADLINE = 10.0  # seconds for one answer of an authorization server
LARGEST = 1024 * 1024  # bytes of one answer
UNSETTLED = "https://unsettled.invalid"  # an issuer that nobody has, until the upstream has named its own
_CODE = re.compile(r"[a-z_]{1,40}")


class Person(Protocol):
    """Who signs in at the authorization server, and the address on this machine that it sends them back to."""

    redirect_uri: str

    async def go(self, url: str) -> None:
        """Show the address to go to."""

    async def back(self) -> AuthorizationCodeResult:
        """Wait until they come back."""


class Grant:
    """Gets and renews the tokens in `kept`."""

    def __init__(self, url: str, oauth: OAuth, secret: str, kept: Kept, know: Callable[[Kept], None]) -> None:
        self._url, self._oauth, self._secret, self._kept, self._know = url, oauth, secret, kept, know
        self._loopback = is_loopback(urlsplit(url).hostname or "")
        self._said: tuple[int, str] = (0, "")  # status and error code of the last answer to a POST

    async def challenge(self) -> httpx2.Response:
        """What the upstream says to a request without a token; a bare 401 if it asks for none."""
        request = self._question()
        async with _client(self._loopback) as http:
            answer = await _ask(http, request, "it")
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            return answer
        return httpx2.Response(httpx2.codes.UNAUTHORIZED, request=request)

    async def obtain(self, challenge: httpx2.Response, person: Person | None) -> None:
        """Get tokens, by a person or by the client's own credentials.

        Raises `ConfigurationError` if the server refuses, `UpstreamError` if it can't be asked now.
        """
        provider = self._provider(person)
        await self._drive(provider, challenge)
        tokens = provider.context.current_tokens
        if tokens is None:
            raise UpstreamError("it asked for no token that could be had")
        self._take(provider)

    async def refresh(self) -> bool:
        """Renew the access token; False if the server refuses. Raises `UpstreamError` if it can't be asked now."""
        if self._kept.metadata is None or self._kept.tokens is None:
            return False
        provider = self._provider(None)
        context = provider.context
        context.oauth_metadata = OAuthMetadata.model_validate(self._kept.metadata)
        if self._kept.resource is not None:
            context.protected_resource_metadata = ProtectedResourceMetadata.model_validate(self._kept.resource)
        context.token_expiry_time = 1.0  # long ago: the flow begins with a refresh
        await self._drive(provider, None)
        if context.current_tokens is not None and self._said[0] == httpx2.codes.OK:
            self._take(provider)
            return True
        if self._said[0] >= httpx2.codes.INTERNAL_SERVER_ERROR or self._said[0] in (0, 429):
            raise UpstreamError(f"its token can't be renewed now (status {self._said[0]})")
        return False

    def _provider(self, person: Person | None) -> OAuthClientProvider:
        storage = _Storage(self._kept, self._client(person), self._know)
        scope = " ".join(self._oauth.scopes) or None
        if self._oauth.grant == "client_credentials":
            return _ByCredentials(self._url, storage, self._oauth, self._secret, self._kept.issuer)
        metadata = OAuthClientMetadata(
            redirect_uris=[AnyUrl(person.redirect_uri if person is not None else "http://127.0.0.1/callback")],
            client_name="Wardgate",
            scope=scope,
        )
        return _ByCode(self._url, metadata, storage, scope, person, self._loopback)

    def _client(self, person: Person | None) -> OAuthClientInformationFull | None:
        """Who the gateway is at the server: as configured, as registered, or (None) nobody yet."""
        if self._oauth.client_id:
            method = "client_secret_basic" if self._secret else "none"
            kept = (self._kept.client or {}).get("token_endpoint_auth_method", method)
            return OAuthClientInformationFull(
                client_id=self._oauth.client_id,
                client_secret=self._secret or None,
                token_endpoint_auth_method=kept,
                redirect_uris=[AnyUrl(person.redirect_uri)] if person is not None else None,
            )
        if person is not None or self._kept.client is None:
            return None  # it registers anew: the address to come back to has another port
        return OAuthClientInformationFull.model_validate(self._kept.client)

    def _question(self) -> httpx2.Request:
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        headers = {
            "Accept": "application/json, text/event-stream",
            MCP_PROTOCOL_VERSION_HEADER: LATEST_HANDSHAKE_VERSION,
        }
        return httpx2.Request("POST", self._url, json=body, headers=headers)

    async def _drive(self, provider: OAuthClientProvider, challenge: httpx2.Response | None) -> None:
        """Run the SDK's flow up to where it would send the upstream's own request, which is never sent from here."""
        request = self._question()
        flow = provider.async_auth_flow(request)
        try:
            await self._turns(provider, flow, request, challenge)
        except OAuthFlowError:
            raise self._refusal() from None
        except (ValidationError, ValueError, UnicodeError, RecursionError):
            raise UpstreamError("what its authorization server answered can't be read") from None
        finally:
            await flow.aclose()

    async def _turns(
        self,
        provider: OAuthClientProvider,
        flow: AsyncGenerator[httpx2.Request, httpx2.Response],
        request: httpx2.Request,
        challenge: httpx2.Response | None,
    ) -> None:
        async with _client(self._loopback) as http:
            outgoing = await anext(flow, None)
            while outgoing is not None:
                if outgoing is request:
                    if challenge is None:
                        return
                    answer, challenge = challenge, None
                else:
                    answer = await self._send(http, provider, outgoing)
                try:
                    outgoing = await flow.asend(answer)
                except StopAsyncIteration:
                    return

    async def _send(
        self, http: httpx2.AsyncClient, provider: OAuthClientProvider, request: httpx2.Request
    ) -> httpx2.Response:
        """Send one request of the flow; what is posted goes only to where the discovered metadata says."""
        metadata = provider.context.oauth_metadata
        if request.method == "POST":
            named = (metadata.token_endpoint, metadata.registration_endpoint) if metadata is not None else ()
            if request.url not in [httpx2.URL(str(url)) for url in named if url is not None]:
                raise UpstreamError("it names no authorization server with the endpoint that is needed")
        answer = await _ask(http, request, f"its authorization server `{request.url.host}`")
        if request.method == "POST":
            self._said = answer.status_code, _error_code(answer)
        return answer

    def _refusal(self) -> ConfigurationError | UpstreamError:
        """Why the flow gave up: the server's refusal is for a person to mend, anything else may pass."""
        status, code = self._said
        if httpx2.codes.BAD_REQUEST <= status < httpx2.codes.INTERNAL_SERVER_ERROR and status != 429:
            word = f": {code}" if code else ""
            return ConfigurationError(f"its authorization server refuses the gateway (status {status}{word})")
        return UpstreamError("no token can be had from its authorization server now")

    def _take(self, provider: OAuthClientProvider) -> None:
        """What is worth keeping of a flow that went well."""
        context = provider.context
        if context.oauth_metadata is not None:
            self._kept.issuer = str(context.oauth_metadata.issuer)
            self._kept.metadata = context.oauth_metadata.model_dump(mode="json", exclude_none=True)
        if context.protected_resource_metadata is not None:
            self._kept.resource = context.protected_resource_metadata.model_dump(mode="json", exclude_none=True)
        if context.client_info is not None:
            client = context.client_info.model_dump(mode="json", exclude_none=True)
            if self._oauth.client_secret:
                client.pop("client_secret", None)  # it stands where its reference says, and nowhere else
            self._kept.client = client


class _ByCode(OAuthClientProvider):
    """A person's grant, with the scopes that were configured."""

    def __init__(
        self,
        url: str,
        metadata: OAuthClientMetadata,
        storage: "_Storage",
        scope: str | None,
        person: Person | None,
        loopback: bool,
    ) -> None:
        self._scope, self._loopback, self._person = scope, loopback, person
        super().__init__(
            url,
            metadata,
            storage,
            self._go if person is not None else None,
            person.back if person is not None else None,
        )

    async def _go(self, url: str) -> None:
        if not may_carry_tokens(url, loopback=self._loopback):
            raise ConfigurationError("its authorization server sends people to an address that is not https")
        assert self._person is not None  # else this is not the handler
        await self._person.go(url)

    async def _perform_authorization(self) -> httpx2.Request:
        asked = self.context.client_metadata.scope or ""
        if self._scope is not None:
            offline = "offline_access" in asked.split() and "offline_access" not in self._scope.split()
            self.context.client_metadata.scope = f"{self._scope} offline_access" if offline else self._scope
        _settle_method(self)
        return await super()._perform_authorization()


class _ByCredentials(ClientCredentialsOAuthProvider):
    """The client's own grant. Its secret goes to the issuer that was met first, and to no other one later."""

    def __init__(self, url: str, storage: "_Storage", oauth: OAuth, secret: str, issuer: str) -> None:
        self._scope = " ".join(oauth.scopes) or None
        super().__init__(url, storage, oauth.client_id, secret, scope=self._scope, issuer=issuer or UNSETTLED)

    def _select_authorization_server(self, advertised: list[str]) -> str:
        if self._issuer == UNSETTLED:
            self._issuer = advertised[0]
        return super()._select_authorization_server(advertised)

    async def _perform_authorization(self) -> httpx2.Request:
        if self._scope is not None:
            self.context.client_metadata.scope = self._scope
        _settle_method(self)
        return await super()._perform_authorization()


def _settle_method(provider: OAuthClientProvider) -> None:
    """Send the client's secret in the body where the server takes it no other way."""
    client, metadata = provider.context.client_info, provider.context.oauth_metadata
    if client is None or metadata is None or client.token_endpoint_auth_method != "client_secret_basic":  # noqa: S105 - a method
        return
    supported = metadata.token_endpoint_auth_methods_supported
    if supported is not None and "client_secret_basic" not in supported and "client_secret_post" in supported:
        client.token_endpoint_auth_method = "client_secret_post"  # noqa: S105 - a method


class _Storage:
    """The SDK's token storage, on what is kept."""

    def __init__(self, kept: Kept, client: OAuthClientInformationFull | None, know: Callable[[Kept], None]) -> None:
        self._kept, self._client, self._know = kept, client, know

    async def get_tokens(self) -> OAuthToken | None:
        return OAuthToken.model_validate(self._kept.tokens) if self._kept.tokens is not None else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._kept.tokens = tokens.model_dump(mode="json", exclude_none=True)
        self._kept.expires_at = time.time() + tokens.expires_in if tokens.expires_in is not None else 0.0
        self._know(self._kept)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


@asynccontextmanager
async def _client(loopback: bool) -> AsyncIterator[httpx2.AsyncClient]:
    """What asks authorization servers: no proxy, no redirects but the flow's own, small answers in time."""
    tls = await anyio.to_thread.run_sync(lambda: httpx2.create_ssl_context(trust_env=False))
    wire = _Careful(tls, loopback)
    async with httpx2.AsyncClient(transport=wire, trust_env=False, follow_redirects=False) as http:
        yield http


async def _ask(http: httpx2.AsyncClient, request: httpx2.Request, who: str) -> httpx2.Response:
    """Send a request and read the whole answer in time; raises `UpstreamError`."""
    request.extensions = {**request.extensions, "timeout": httpx2.Timeout(DEADLINE).as_dict()}
    try:
        with anyio.fail_after(DEADLINE):
            return await http.send(request)
    except (httpx2.HTTPError, httpx2.StreamError, TimeoutError) as problem:
        raise UpstreamError(f"{who} can't be reached ({type(problem).__name__})") from None


class _Careful(httpx2.AsyncBaseTransport):
    """Goes to https and, for an upstream on this machine, to this machine; reads at most a mebibyte."""

    def __init__(self, tls: ssl.SSLContext, loopback: bool) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
        self._loopback = loopback

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not may_carry_tokens(str(request.url), loopback=self._loopback):
            raise UpstreamError(f"it leads to `{request.url.host}`, which is neither https nor where it is itself")
        request.headers["Accept-Encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        response.stream = _Small(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Small(httpx2.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner, self._left = inner, LARGEST

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.StreamError("the answer is over the limit")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _error_code(answer: httpx2.Response) -> str:
    """The `error` of an answer of a token or registration endpoint, if it is a plain word."""
    try:
        body = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, httpx2.ResponseNotRead):
        return ""
    code = body.get("error") if isinstance(body, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
