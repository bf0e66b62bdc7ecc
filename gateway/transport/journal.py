"""The calls in flight on one connection, noted in an anonymous file that outlives the gateway. No decision here.

The shim owns the file; whichever gateway speaks on its pipes writes it. Page cache survives a kill, so nothing is
synced.
"""

import base64
import os

import msgspec
from msgspec import Struct

MAX_SIZE = 1 << 20  # bytes; a journal that grows past it is rewritten


class InFlight(Struct, frozen=True):
    """A request that was read and not yet answered: its JSON-RPC id, and its method."""

    id: str | int
    method: str


class Journal:
    """Writes the requests that begin and end on a connection; an idle connection has an empty journal."""

    def __init__(self, fd: int) -> None:
        """`fd` is open for reading and writing, and is owned by the journal from here on."""
        self._fd = fd
        self._open: dict[str | int, str] = {}
        self._size = 0

    def begin(self, request_id: str | int, method: str) -> None:
        """Note a request before it is handled."""
        self._open[request_id] = method
        self._write("+", request_id, method)

    def end(self, request_id: str | int) -> None:
        """Note that a request was answered, or needs no answer any more."""
        if self._open.pop(request_id, None) is None:
            return
        if not self._open:
            self._clear()
            return
        self._write("-", request_id, "")
        if self._size > MAX_SIZE:
            self._clear()
            for open_id, method in self._open.items():
                self._write("+", open_id, method)

    def leave(self, unread: bytes) -> None:
        """Keep bytes of the client's that were read and not yet understood, for the gateway that takes over."""
        self._write("=", base64.b64encode(unread).decode("ascii"), "")

    def close(self) -> None:
        """Let go of the file; what it holds stays for the next gateway."""
        os.close(self._fd)

    def _write(self, sign: str, request_id: str | int, method: str) -> None:
        line = msgspec.json.encode([sign, request_id, method]) + b"\n"
        os.pwrite(self._fd, line, self._size)
        self._size += len(line)

    def _clear(self) -> None:
        os.ftruncate(self._fd, 0)
        self._size = 0


def left_open(fd: int) -> tuple[tuple[InFlight, ...], bytes]:
    """Read the requests that the last gateway left unanswered and the bytes it did not understand; empties the
    journal.
    """
    data = os.pread(fd, 2 * MAX_SIZE, 0)
    os.ftruncate(fd, 0)
    left: dict[str | int, str] = {}
    unread = b""
    for line in data.splitlines():
        try:
            sign, request_id, method = msgspec.json.decode(line, type=tuple[str, str | int, str])
        except msgspec.MsgspecError:
            continue  # the last line may be half written
        if sign == "+":
            left[request_id] = method
        elif sign == "=":
            unread = base64.b64decode(str(request_id))
        else:
            left.pop(request_id, None)
    return tuple(InFlight(request_id, method) for request_id, method in left.items()), unread
