"""Who is at the other end of a connection, as far as the gateway knows by itself. No claims of the client's here."""

from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from gateway.core.model import Principal

PEER_SCOPE = "wardgate.peer"  # the key in an HTTP request's scope under which `http.py` puts the peer


async def _stands() -> bool:
    return True


class Peer(Struct, frozen=True):
    """One connection: its principal, its client's registered name, and the session that it is.

    A seat that isn't given is that of the session.
    """

    principal: Principal
    client: str
    session: str
    transport: str
    connection: str = ""
    trust_session: bool = False  # this client may name its session in `_meta`
    trust_prompt: bool = False  # this client may hand over its user's prompt in `_meta`
    seat: str = ""  # principal, client and connection: what upstreams with `per = "client"` are kept for
    workspace: str = ""  # the client's working directory, as its shim said; empty: unknown
    only: str = ""  # the one upstream that this endpoint shows (`/mcp/<upstream>`); empty: all
    isolation: int = 0  # how far it is from the gateway, at least (`core/isolation.py`)
    stands: Callable[[], Awaitable[bool]] = _stands  # whether it would be let in now

    def __post_init__(self) -> None:
        if not self.seat:
            force_setattr(self, "seat", f"{self.principal.id}/{self.client}/{self.session}")

    def at(self, session: str, connection: str = "") -> "Peer":
        """The same peer in another session."""
        return replace(self, session=session, connection=connection, seat="")


NOBODY = Peer(Principal("nobody", "none"), "unknown", "none", "http")
