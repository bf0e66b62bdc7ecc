"""Who is at the other end of a connection, as far as the gateway knows by itself. No claims of the client's here."""

from dataclasses import dataclass

from gateway.core.model import Principal


@dataclass(frozen=True, slots=True)
class Peer:
    """One connection: its principal, its client's registered name, and the session that it is."""

    principal: Principal
    client: str
    session: str
    transport: str
    connection: str = ""
    trust_session: bool = False  # this client may name its session in `_meta`
