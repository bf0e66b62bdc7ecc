"""Whom a bearer token speaks for: a client token of ours, or a JWT (which `jwts.py` checks).

What is not clearly good is nobody's. A token is looked at here and goes nowhere else: no upstream ever gets one.
"""

import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from msgspec import Struct

from gateway.config import Auth, ClientEntry
from gateway.core.model import Principal
from gateway.errors import StateError
from gateway.server.peer import Peer
from gateway.tokens import PREFIX, Tokens

if TYPE_CHECKING:
    from gateway.server.jwts import Jwts

log = logging.getLogger("wardgate")

LOOK = 0.05  # seconds for which the file of tokens isn't looked at again
LONGEST_CLAIM = 256  # characters of a principal or a role
MOST_ROLES = 200


class Denied(Struct, frozen=True):
    """Why nobody was let in: the status, RFC 6750's word for it (empty: no token came), and a text for people."""

    status: int
    error: str
    text: str


NO_TOKEN = Denied(401, "", "a bearer token is needed: `wardgate client add NAME` prints one")
UNKNOWN_TOKEN = Denied(401, "invalid_token", "the bearer token is not known here, or was revoked")


def invalid(why: str) -> Denied:
    """The answer to a token that doesn't count."""
    return Denied(401, "invalid_token", why)


class Admission:
    """Tells who a request comes from."""

    def __init__(
        self,
        tokens: Tokens,
        clients: Mapping[str, ClientEntry],
        jwts: "Jwts | None" = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens, self._clients, self._jwts, self._now = tokens, clients, jwts, now
        self._looked = -math.inf

    async def admit(self, token: str, only: str) -> Peer | Denied:
        """The peer that a token belongs to, on the endpoint of the upstream `only` (empty: of all)."""
        if self._jwts is not None and not token.startswith(PREFIX):
            claims = await self._jwts.verify(token, only)
            return claims if isinstance(claims, Denied) else self._of_claims(claims, self._jwts.auth, only)
        if anyio.current_time() - self._looked > LOOK:
            try:
                await anyio.to_thread.run_sync(self._tokens.all)
            except StateError as problem:
                log.error("client tokens: %s", problem)  # noqa: TRY400 - a file's mode, said in one line
                return Denied(503, "temporarily_unavailable", "tokens can't be checked now")
            self._looked = anyio.current_time()
        kept = self._tokens.match(token)
        if kept is None:
            return UNKNOWN_TOKEN
        if kept.expired(self._now()):
            return invalid(f"the token of client `{kept.name}` has expired: `wardgate client add` makes a new one")
        return self._peer(Principal(f"client:{kept.name}", "token"), kept.name, only)

    def _of_claims(self, claims: Mapping[str, Any], auth: Auth, only: str) -> Peer | Denied:
        named = claims.get(auth.principal)
        if not isinstance(named, str) or not 0 < len(named) <= LONGEST_CLAIM or not named.isprintable():
            return invalid(f"the token names nobody in its claim `{auth.principal}`")
        if auth.principal == "email" and claims.get("email_verified", True) is not True:
            return invalid("the token's address was never verified")
        roles = _roles(claims.get(auth.roles)) if auth.roles else frozenset()
        if roles is None:
            return invalid(f"the token's claim `{auth.roles}` is no list of roles")
        clients = {claims[key] for key in ("client_id", "azp") if isinstance(claims.get(key), str)}
        client = clients.pop() if len(clients) == 1 else "unknown"
        return self._peer(Principal(f"jwt:{named}", "jwt", roles), client, only)

    def _peer(self, principal: Principal, named: str, only: str) -> Peer:
        entry = self._clients.get(named)
        client = entry.name if entry is not None else "unknown"
        seat = f"{principal.id}/{client}"
        trust = entry.trust if entry is not None else ()
        session, prompt = "session" in trust, "prompt" in trust
        return Peer(principal, client, seat, "http", trust_session=session, trust_prompt=prompt, seat=seat, only=only)


def _roles(claim: Any) -> frozenset[str] | None:
    """The roles of a claim: a list of texts, or texts with spaces between; None for anything else."""
    listed = claim.split() if isinstance(claim, str) else [] if claim is None else claim
    if not isinstance(listed, list) or len(listed) > MOST_ROLES:
        return None
    if not all(isinstance(role, str) and 0 < len(role) <= LONGEST_CLAIM for role in listed):
        return None
    return frozenset(listed)
