"""OAuth towards upstreams: a token of the gateway's own for each, kept, renewed, and put on every request.

The protocol is the SDK's; this says where it may go, what is kept, and when a person is needed. It opens no browser,
and never sees a client's token.
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2

from gateway.config.nouns import Upstream
from gateway.config.references import resolve
from gateway.errors import ConfigurationError, UpstreamError, WardgateError
from gateway.upstreams.callback import waiting
from gateway.upstreams.grants import Grant, Person
from gateway.upstreams.spec import Learn
from gateway.upstreams.vault import Kept, Vault

log = logging.getLogger("wardgate")

EARLY = 30.0  # seconds before its end from which a token is renewed
PAUSE = 10.0  # seconds between two tries to get a token, whatever requests come in


class UpstreamAuth(httpx2.Auth):
    """Signs the requests to one upstream; all its connections share one, so that a token is renewed once."""

    def __init__(self, upstream: Upstream, state: Path, environ: Mapping[str, str], learn: Learn) -> None:
        assert upstream.oauth is not None  # `auth_of` looks
        self._upstream, self._oauth, self._environ, self._learn = upstream, upstream.oauth, environ, learn
        self._vault = Vault(state, upstream.name)
        self._kept: Kept | None = None
        self._lock = anyio.Lock()
        self._tried = -PAUSE

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send a request with the token, and once more with another where the upstream refuses that one.

        Raises `ConfigurationError` where only a person can help. While the authorization server can't be reached the
        upstream's refusal stands, for this request alone.
        """
        token = await self._current()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code != httpx2.codes.UNAUTHORIZED:
            return
        fresh = await self._renewed(token, response)
        if not fresh or fresh == token:
            return
        request.headers["Authorization"] = f"Bearer {fresh}"
        response = yield request
        if response.status_code == httpx2.codes.UNAUTHORIZED:
            raise ConfigurationError(f"it refuses a token that is new: {self._remedy}")

    async def sign_in(self, person: Person | None, keyring: bool | None) -> Kept:
        """Get a token anew, by a person where the grant needs one; returns what is kept from now on."""
        async with self._lock:
            self._kept = Kept(self._upstream.url)
            grant = await self._grant(self._kept)
            await grant.obtain(await grant.challenge(), person)
            await self._keep(self._kept, keyring)
            return self._kept

    @property
    def _by_person(self) -> bool:
        return self._oauth.grant == "authorization_code"

    @property
    def _remedy(self) -> str:
        return f"run `wardgate login {self._upstream.name}`"

    async def _current(self) -> str:
        """The token to begin with; empty where one is had only for the upstream's challenge."""
        kept = self._kept
        if kept is not None and (token := _token(kept)) and not _ends(kept):
            return token
        async with self._lock:
            kept = self._kept
            if kept is None or not _token(kept) or _ends(kept):
                kept = self._kept = await self._load()  # somebody may have logged in meanwhile
            if self._by_person and not _token(kept):
                raise ConfigurationError(f"there is no token for it: {self._remedy}")
            if _token(kept) and _ends(kept) and self._may_try():
                await self._refresh(kept)
            return _token(kept)

    async def _renewed(self, refused: str, challenge: httpx2.Response) -> str:
        """Another token than the one that was refused; empty if none can be had now."""
        async with self._lock:
            kept = self._kept
            if kept is None or _token(kept) == refused:
                kept = self._kept = await self._load()  # somebody may have logged in meanwhile
            if _token(kept) not in ("", refused):
                return _token(kept)
            if not self._may_try():
                return ""
            if self._by_person:
                await self._refresh(kept)
            else:
                await self._ask(kept, challenge)
            return _token(kept)

    def _may_try(self) -> bool:
        now = anyio.current_time()
        if now - self._tried < PAUSE:
            return False
        self._tried = now
        return True

    async def _refresh(self, kept: Kept) -> None:
        """Use the refresh token; one that the server refuses needs a person, or the client's own credentials."""
        if not (kept.tokens or {}).get("refresh_token"):
            if self._by_person:
                raise ConfigurationError(f"its token has ended: {self._remedy}")
            kept.tokens = None  # the next challenge gets a new one
            return
        try:
            good = await (await self._grant(kept)).refresh()
        except UpstreamError as problem:
            log.warning("upstream `%s`: %s", self._upstream.name, problem)
            return
        if good:
            await self._keep(kept)
        elif self._by_person:
            raise ConfigurationError(f"its token can't be renewed any more: {self._remedy}")
        else:
            kept.tokens = None

    async def _ask(self, kept: Kept, challenge: httpx2.Response) -> None:
        """Get a token by the client's own credentials."""
        try:
            await (await self._grant(kept)).obtain(challenge, None)
        except UpstreamError as problem:
            log.warning("upstream `%s`: %s", self._upstream.name, problem)
            return
        await self._keep(kept)

    async def _grant(self, kept: Kept) -> Grant:
        secret = ""
        if self._oauth.client_secret:
            reference = self._oauth.client_secret
            secret = await anyio.to_thread.run_sync(resolve, reference, self._upstream.base, self._environ)
            self._learn(self._upstream.name, {"oauth.client_secret": secret})
        return Grant(self._upstream.url, self._oauth, secret, kept, self._know)

    async def _load(self) -> Kept:
        kept = await anyio.to_thread.run_sync(self._vault.load, self._upstream.url)
        kept = kept or Kept(self._upstream.url)
        self._know(kept)
        return kept

    async def _keep(self, kept: Kept, keyring: bool | None = None) -> None:
        self._know(kept)
        await anyio.to_thread.run_sync(self._vault.save, kept, keyring)

    def _know(self, kept: Kept) -> None:
        """Make every secret known that could turn up in what the upstream says, before it is used."""
        secrets = {name: (kept.tokens or {}).get(name) for name in ("access_token", "refresh_token", "id_token")}
        secrets["client_secret"] = (kept.client or {}).get("client_secret")
        found = {f"oauth.{name}": value for name, value in secrets.items() if isinstance(value, str) and value}
        if found:
            self._learn(self._upstream.name, found)


def auth_of(
    upstream: Upstream, state: Path, environ: Mapping[str, str], learn: Learn
) -> Callable[[], httpx2.Auth | None] | None:
    """What signs the requests to an upstream, for `UpstreamSpec.auth`; None for one without `oauth`.

    Nothing is read or asked before the first request.
    """
    if upstream.oauth is None:
        return None
    shared = UpstreamAuth(upstream, state, environ, learn)
    return lambda: shared


def _token(kept: Kept) -> str:
    token = (kept.tokens or {}).get("access_token", "")
    return token if isinstance(token, str) else ""


def _ends(kept: Kept) -> bool:
    return kept.expires_at > 0 and time.time() > kept.expires_at - EARLY


async def sign_in(
    upstream: Upstream,
    state: Path,
    environ: Mapping[str, str],
    show: Callable[[str], None],
    *,
    port: int = 0,
    keyring: bool | None = None,
) -> str:
    """Get a token for an upstream anew and keep it; returns the issuer that it is of.

    Where the grant needs a person, `show` gets the address to go to, and they have five minutes. Raises
    `ConfigurationError` for what somebody refused, `UpstreamError` for what could not be reached.
    """
    auth = UpstreamAuth(upstream, state, environ, lambda name, values: None)
    if upstream.oauth is not None and upstream.oauth.grant == "client_credentials":
        return (await auth.sign_in(None, keyring)).issuer
    refused: WardgateError
    async with waiting(show, port) as callback:
        try:
            return (await auth.sign_in(callback, keyring)).issuer
        except WardgateError as problem:  # raised after the listener's task group, which would wrap it
            refused = problem
    raise refused
