"""Which addresses may carry a token: https, or http that doesn't leave this machine. Opens nothing."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host (a name, or an address without brackets) is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def may_carry_tokens(url: str, *, loopback: bool) -> bool:
    """Whether tokens may be sent to `url`, or answers about them believed.

    https to another machine always; this machine, by http or https, only with `loopback`: an address that a remote
    server names must not lead to what listens here.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or any(ord(char) <= 32 for char in url):
        return False
    return loopback and parts.scheme in ("http", "https") if is_loopback(host) else parts.scheme == "https"
