"""A listening socket that systemd passes to the gateway (`sd_listen_fds(3)`), checked before use. Binds nothing."""

import os
import socket
from collections.abc import MutableMapping

from gateway.errors import ConfigurationError

FIRST = 3  # the first descriptor that is passed
_ABOUT = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed(environ: MutableMapping[str, str], host: str, port: int) -> socket.socket | None:
    """The socket that was passed to this process, or None; raises `ConfigurationError` for one that isn't `listen`.

    What told of it is taken out of `environ`, so that no child takes it for its own.
    """
    about = {name: environ.pop(name, "") for name in _ABOUT}
    if about["LISTEN_PID"] != str(os.getpid()) or about["LISTEN_FDS"] in ("", "0"):
        return None
    if about["LISTEN_FDS"] != "1":
        raise ConfigurationError(f"one socket was expected from systemd, and {about['LISTEN_FDS']} came: use one unit")
    try:
        os.set_inheritable(FIRST, False)
        listener = socket.socket(fileno=FIRST)
    except OSError as problem:
        raise ConfigurationError(f"what systemd passed is no socket: {problem.strerror}") from None
    wrong = _wrong(listener, host, port)
    if wrong:
        listener.close()
        raise ConfigurationError(f"the socket that systemd passed {wrong}; make `ListenStream=` and `listen` agree")
    return listener


def _wrong(listener: socket.socket, host: str, port: int) -> str:
    """What is wrong with a socket; empty for a good one."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
        return "is no TCP socket"
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "doesn't listen"
    found = listener.getsockname()[:2]
    names = {each[4][:2] for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    return "" if found in names else f"listens on {found[0]}:{found[1]}, and `listen` says {host}:{port}"
