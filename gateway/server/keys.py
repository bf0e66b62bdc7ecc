"""The public keys of the issuer of JWTs: found by its metadata (RFC 8414, OpenID Connect), kept for a while.

Verifies no token. Without keys that are recent enough there are none: whoever asks gets an error, not an old key.
"""

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import jwt
import msgspec
from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls

from gateway.config.hosts import is_loopback, may_carry_tokens
from gateway.errors import UpstreamError

log = logging.getLogger("wardgate")

FRESH = 600.0  # seconds for which keys are used without asking again
STALE = 3600.0  # seconds after which they are used no more, whether the issuer answers or not
PAUSE = 10.0  # seconds between two questions to the issuer, whatever tokens come in
DEADLINE = 5.0  # seconds for one answer
LARGEST = 256 * 1024  # bytes of one answer
MOST_KEYS = 100
SMALLEST_RSA = 2048  # bits

CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *CURVES)  # none that knows a shared secret

Fetch = Callable[[str], Awaitable[bytes]]


class IssuerKeys:
    """The keys of one issuer, by key id."""

    def __init__(self, issuer: str, fetch: Fetch | None = None, now: Callable[[], float] = anyio.current_time) -> None:
        self.issuer = issuer
        self._fetch, self._now = fetch or _get, now
        self._keys: Sequence[Mapping[str, Any]] = ()
        self._made: dict[tuple[str, str], jwt.PyJWK] = {}
        self._at = self._tried = -math.inf
        self._lock = anyio.Lock()
        self.generation = 0  # grows with each set of keys

    @property
    def fresh(self) -> bool:
        """Whether the keys are used without asking again."""
        return self._now() - self._at < FRESH

    async def find(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """The key for a token's `kid` (empty: it names none) and `alg`; raises `UpstreamError` if no keys can be had.

        Old keys are replaced, and an unknown `kid` is asked for, at most once in `PAUSE` seconds.
        """
        key = self._pick(kid, algorithm)
        if key is not None and self.fresh:
            return key
        await self._renew()
        if self._now() - self._at > STALE:
            raise UpstreamError(f"the keys of the issuer `{self.issuer}` can't be had now")
        return self._pick(kid, algorithm)

    async def _renew(self) -> None:
        async with self._lock:
            if self._now() - self._tried < PAUSE:
                return
            self._tried = self._now()
            try:
                keys = await self._load()
            except UpstreamError as problem:
                log.warning("[auth]: %s", problem)
                return
            self._keys, self._made, self._at = keys, {}, self._now()
            self.generation += 1

    async def _load(self) -> Sequence[Mapping[str, Any]]:
        metadata: Mapping[str, Any] | None = None
        problem = "names no metadata"
        for url in build_oauth_authorization_server_metadata_discovery_urls(self.issuer, self.issuer):
            try:
                metadata = _object(await self._fetch(url))
                break
            except UpstreamError as found:
                problem = str(found)
        if metadata is None:
            raise UpstreamError(f"the issuer `{self.issuer}` can't be asked: {problem}")
        if metadata.get("issuer") != self.issuer:
            raise UpstreamError(f"the metadata of the issuer `{self.issuer}` is another issuer's")
        where = metadata.get("jwks_uri")
        if not isinstance(where, str) or not may_carry_tokens(where, loopback=_local(self.issuer)):
            raise UpstreamError(f"the issuer `{self.issuer}` names no `jwks_uri` that may be believed")
        keys = _object(await self._fetch(where)).get("keys")
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise UpstreamError(f"the issuer `{self.issuer}` has no list of keys")
        return tuple(key for key in keys if isinstance(key, dict))

    def _pick(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        made = self._made.get((kid, algorithm))
        if made is not None:
            return made
        fitting = [key for key in self._keys if _fits(key, algorithm) and (not kid or key.get("kid") == kid)]
        if len(fitting) != 1 or algorithm not in ALGORITHMS:
            return None
        with contextlib.suppress(jwt.PyJWTError):
            made = jwt.PyJWK(dict(fitting[0]), algorithm)
            if fitting[0]["kty"] == "RSA" and made.key.key_size < SMALLEST_RSA:
                return None
            self._made[kid, algorithm] = made
        return made


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key is one to check signatures of this algorithm with."""
    if key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
        return False
    if algorithm in CURVES:
        kind = "OKP" if algorithm == "EdDSA" else "EC"
        return key.get("kty") == kind and key.get("crv") == CURVES[algorithm]
    return key.get("kty") == "RSA"


def _local(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UpstreamError("its answer is no JSON object")
    return value


async def _get(url: str) -> bytes:
    """Read one small answer: no redirect, no proxy, no compression, within a deadline."""
    if not may_carry_tokens(url, loopback=True):
        raise UpstreamError(f"`{url}` is neither https nor on this machine")
    try:
        with anyio.fail_after(DEADLINE):
            tls = await anyio.to_thread.run_sync(lambda: httpx2.create_ssl_context(trust_env=False))
            wire = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
            asked = {"Accept": "application/json", "Accept-Encoding": "identity"}
            async with (
                httpx2.AsyncClient(transport=wire, trust_env=False, follow_redirects=False, timeout=DEADLINE) as http,
                http.stream("GET", url, headers=asked) as answer,
            ):
                if answer.status_code != httpx2.codes.OK or "content-encoding" in answer.headers:
                    raise UpstreamError(f"`{url}` answered with status {answer.status_code}")
                return await _bounded(answer, url)
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError, OSError) as problem:
        raise UpstreamError(f"`{url}` can't be read ({type(problem).__name__})") from None


async def _bounded(answer: httpx2.Response, url: str) -> bytes:
    data = b""
    async for chunk in answer.aiter_raw():
        data += chunk
        if len(data) > LARGEST:
            raise UpstreamError(f"the answer of `{url}` is larger than {LARGEST // 1024} KiB")
    return data
