"""Our side of a client's pipes: messages over two descriptors that somebody handed to us.

Never starts or ends a process, and leaves the descriptors' modes as they were.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Iterator

import anyio

from gateway.transport.pipes import MEBIBYTE, LineReader, LineWriter
from gateway.transport.streams import MessageReader, MessageWriter, Role

LINE_LIMIT = 16 * MEBIBYTE
LAST_WORDS = 5.0  # seconds for what was written to reach the client at the end


@contextlib.asynccontextmanager
async def fd_streams(
    rfd: int, wfd: int, limit: int = LINE_LIMIT, stall: float = 60.0
) -> AsyncIterator[tuple[MessageReader, MessageWriter]]:
    """Speak as a server over two descriptors: pipes, sockets, a terminal, files or /dev/null, even the same one twice.

    `limit` is in bytes per line; a client that reads nothing for `stall` seconds is given up. Takes the descriptors
    over and closes them at the end, after at most 5 seconds for the last answers.
    """
    with contextlib.ExitStack() as owned:
        reading = owned.enter_context(_own(rfd))
        writing = owned.enter_context(_own(os.dup(rfd) if rfd == wfd else wfd))
        widen(writing)
        lines_out = LineWriter(writing)
        lines_in = LineReader(reading, limit)
        writer = MessageWriter(lines_out, Role.SERVER, stall)
        writer.on_broken = lines_in.close
        try:
            yield MessageReader(lines_in, Role.SERVER, writer), writer
        finally:
            lines_in.close()
            with anyio.CancelScope(shield=True):
                await writer.flush(LAST_WORDS)
            lines_out.close()


def widen(fd: int) -> None:
    """Give a pipe room for a large message: fewer wake-ups. Only Linux has it, and not for everything."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, MEBIBYTE)


def take_stdio() -> tuple[int, int]:
    """Take fd 0 and 1 for the protocol: reads of others find the end, prints and children's output go to stderr."""
    sys.stdout.flush()
    taken = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return taken


@contextlib.contextmanager
def _own(fd: int) -> Iterator[int]:
    """The descriptor, or for a terminal one with a mode of its own: non-blocking would hit stderr and the shell."""
    mine, blocking = fd, os.get_blocking(fd)
    if os.isatty(fd):
        with contextlib.suppress(OSError):
            mine = os.open(os.ttyname(fd), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield mine
    finally:
        with contextlib.suppress(OSError):
            os.set_blocking(fd, blocking)
        for descriptor in {fd, mine}:
            with contextlib.suppress(OSError):
                os.close(descriptor)
