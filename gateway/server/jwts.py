"""JWTs of the configured issuer, checked as a resource server of OAuth 2.1 does (RFC 9068, RFC 8725).

Knows no principal: it says what a token claims, or why it doesn't count.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import jwt

from gateway.config import Auth
from gateway.errors import UpstreamError
from gateway.server.auth import UNKNOWN_TOKEN, Denied, invalid
from gateway.server.keys import ALGORITHMS, IssuerKeys

LEEWAY = 30.0  # seconds by which the issuer's clock may differ from ours
LONGEST_TOKEN = 16 * 1024  # characters
MOST_KEPT = 1024  # tokens that were found good, so that their signatures are not checked again with each request
TYPES = ("at+jwt", "application/at+jwt", "jwt", "")  # RFC 9068, and issuers that don't follow it
_OPTIONS: Any = {"require": ["exp", "iat", "iss", "aud"], "verify_signature": True}


class Jwts:
    """Checks the JWTs of one issuer."""

    def __init__(self, auth: Auth, keys: IssuerKeys, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.auth, self._keys, self._now = auth, keys, now
        self._good: dict[tuple[bytes, str], Mapping[str, Any]] = {}
        self._generation = 0

    async def verify(self, token: str, only: str) -> Mapping[str, Any] | Denied:
        """The claims of a token, or why it doesn't count at the endpoint of `only`.

        Nothing is asked of the issuer for a token that doesn't even say that it comes from there.
        """
        if len(token) > LONGEST_TOKEN:
            return invalid("the token is too long")
        name = sha256(token.encode("utf-8", "replace")).digest(), only
        if self._generation != self._keys.generation or len(self._good) > MOST_KEPT:
            self._good, self._generation = {}, self._keys.generation
        kept = self._good.get(name)
        if kept is not None and self._keys.fresh and kept["exp"] + LEEWAY > self._now().timestamp():
            return kept
        claims = await self._check(token, audiences(self.auth.audience, only))
        if not isinstance(claims, Denied) and self._generation == self._keys.generation:
            self._good[name] = claims
        return claims

    async def _check(self, token: str, accepted: tuple[str, ...]) -> Mapping[str, Any] | Denied:
        try:
            header = jwt.get_unverified_header(token)
            said = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return UNKNOWN_TOKEN
        algorithm, kid, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "")
        if algorithm not in ALGORITHMS or "crit" in header or str(kind).lower() not in TYPES:
            return invalid("the token is of a kind that is not accepted")
        if said.get("iss") != self._keys.issuer:
            return invalid("the token is not of the issuer that counts here")
        try:
            key = await self._keys.find(str(kid), algorithm)
        except UpstreamError:
            return Denied(503, "temporarily_unavailable", "the token can't be checked: its issuer can't be reached")
        if key is None:
            return invalid("the token is signed with a key that its issuer doesn't name")
        return self._decode(token, key, algorithm, accepted)

    def _decode(
        self, token: str, key: jwt.PyJWK, algorithm: str, accepted: tuple[str, ...]
    ) -> Mapping[str, Any] | Denied:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],  # one of ALGORITHMS, and the one that the key is for
                audience=accepted,
                issuer=self._keys.issuer,
                leeway=LEEWAY,
                options=_OPTIONS,
            )
        except jwt.ExpiredSignatureError:
            return invalid("the token has expired")
        except jwt.InvalidAudienceError:
            return invalid("the token is not made out for this server")
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return invalid("the token is not valid")
        if "cnf" in claims:
            return invalid("the token is bound to a key, and can't be used as a bearer token")
        if isinstance(claims["exp"], bool) or not isinstance(claims["exp"], int | float):
            return invalid("the token is not valid")
        return claims


def audiences(audience: str, only: str) -> tuple[str, ...]:
    """For whom a token may be made out: for the whole gateway, or for the one upstream of the endpoint."""
    return (audience, f"{audience.rstrip('/')}/{only}") if only else (audience,)
