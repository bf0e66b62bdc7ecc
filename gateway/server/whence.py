"""Where an HTTP connection comes from: the uid at its other end, where it is on this machine. It decides nothing.

Looked up once for each connection, in a thread; a level that can't be found out is the least.
"""

import ipaddress
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.types import Scope

from gateway.core.isolation import Isolation, between

HOLDER = "wardgate.connection"  # the key in a scope's state under which a connection keeps what was found out of it
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_LEVEL = "isolation"


async def level_of(scope: Scope) -> int:
    """The level of the connection that a request came on."""
    holder: dict[str, Any] | None = scope.get("state", {}).get(HOLDER)
    if holder is not None and _LEVEL in holder:
        return int(holder[_LEVEL])
    level = await anyio.to_thread.run_sync(_look, scope.get("client"), scope.get("server"))
    if holder is not None:
        holder[_LEVEL] = level
    return int(level)


def _look(client: tuple[str, int] | None, server: tuple[str, int | None] | None) -> Isolation:
    if client is None or server is None or server[1] is None:
        return Isolation.SAME_USER
    try:
        here, there = _plain(client[0]), _plain(server[0])
        caller = uid_of((here, client[1]), (there, server[1]))  # a connection has two ends here, by whatever address
        on_this = here.is_loopback or here == there or caller is not None
        return between(caller, os.getuid(), loopback=on_this)
    except ValueError:
        return Isolation.SAME_USER


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
End = tuple[Address, int]


def uid_of(client: End, server: End) -> int | None:
    """The uid that owns the client's end of a TCP connection on this machine; None where the system doesn't tell."""
    for table in TABLES:
        with suppress(OSError):
            for local, remote, state, uid in _rows(table.read_text(encoding="ascii", errors="replace")):
                if state == _ESTABLISHED and _end(local) == client and _end(remote) == server:
                    return uid
    return None


def _rows(text: str) -> Iterator[tuple[str, str, str, int]]:
    """`local, remote, state, uid` of each line of /proc/net/tcp (proc_net_tcp.txt of the kernel)."""
    for line in text.splitlines()[1:]:
        cells = line.split()
        if len(cells) > 7 and cells[7].isdigit():
            yield cells[1], cells[2], cells[3], int(cells[7])


def _end(text: str) -> End | None:
    """An address as the kernel writes it: words of 32 bits in the machine's own order, and a port."""
    host, _, port = text.partition(":")
    try:
        words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
        order = "<" if sys.byteorder == "little" else ">"
        return _plain(ipaddress.ip_address(struct.pack(f"{order}{len(words)}I", *words))), int(port, 16)
    except ValueError:
        return None


def _plain(host: str | Address) -> Address:
    """An address, with one of version 4 that is written as one of version 6 made plain."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
