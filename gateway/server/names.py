"""Under which names this server is called: what may stand in Host and Origin. No I/O here."""

import re
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.config.hosts import is_loopback

ENDPOINT = "/mcp"
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]):\d{1,5}")


class Names(Struct, frozen=True):
    """Under which names this server is called: `hosts` as in the Host header, `origins` as in Origin.

    A server on loopback may have a forwarder before it, on a port of its own: it is called by any port of loopback. A
    foreign name never is, which is what rebinding needs.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    public: str = ""  # the audience, if it is an address
    loopback: bool = False

    def are(self, host: str) -> bool:
        """Whether a Host is one of ours."""
        return host in self.hosts or (self.loopback and _LOOPBACK.fullmatch(host) is not None)

    def may_call(self, origin: str, host: str) -> bool:
        """Whether a page of this Origin may call: one of ours, or of exactly the Host that the request is for."""
        return origin in self.origins or (self.loopback and origin == f"http://{host}")

    def place(self, host: str) -> tuple[str, str]:
        """Scheme with host, and path, of the endpoint of all upstreams, for a client that named this Host."""
        parts = urlsplit(self.public)
        if self.public and parts.netloc == host:
            return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        return f"http://{host}", ENDPOINT


def names_of(listen: str, port: int, audience: str = "") -> Names:
    """The names of a listen address, and of the address that JWTs are made out for."""
    own = {"127.0.0.1", "localhost", "[::1]"} if is_loopback(listen) or listen in ("0.0.0.0", "::") else set()  # noqa: S104 - compared, not bound
    if listen not in ("0.0.0.0", "::"):  # noqa: S104 - as above
        own.add(f"[{listen}]".lower() if ":" in listen else listen.lower())
    hosts = {f"{name}:{port}" for name in own} | (own if port == 80 else set())
    origins = {f"http://{host}" for host in hosts}
    parts = urlsplit(audience)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return Names(frozenset(hosts), frozenset(origins), loopback=is_loopback(listen))
    hosts.add(parts.netloc.lower())
    origins.add(f"{parts.scheme}://{parts.netloc.lower()}")
    public = parts._replace(netloc=parts.netloc.lower()).geturl()
    return Names(frozenset(hosts), frozenset(origins), public, is_loopback(listen))
