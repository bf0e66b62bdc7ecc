"""Lines from and bytes to a file descriptor (pipe, socket, terminal, file), with every buffer bounded.

Knows no JSON. Reads and writes never block the event loop; nothing here raises for what the other side does.
"""

import asyncio
import contextlib
import itertools
import os
import stat
import threading
from collections import deque
from collections.abc import Callable

from msgspec import Struct

CHUNK = 1 << 18
BURST = 8  # chunks read before the loop gets its turn
GATHERED = 64  # messages written with one call
EDGE = 200  # bytes kept of the head and the tail of a line over the limit
RUNAWAY = 8  # a line this many times over the limit never ends: the stream is given up
MEBIBYTE = 1 << 20
LARGE = 1 << 16  # bytes: what is no larger goes into an empty pipe at once


class Overlong(Struct, frozen=True):
    """What is kept of a line over the limit, or of one whose beginning an earlier reader took along."""

    head: bytes
    tail: bytes
    limit: int  # 0 for the latter

    @property
    def text(self) -> str:
        """What is wrong with it, as a person reads it."""
        if not self.limit:
            return "line that was read in part when the gateway was restarted"
        return f"line over {self.limit // MEBIBYTE} MiB" if self.limit >= MEBIBYTE else f"line over {self.limit} bytes"


def can_poll(fd: int) -> bool:
    """Whether the event loop can watch the descriptor: pipes, sockets and terminals, not files or /dev/null."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)


class LineReader:
    """Splits what a descriptor brings into lines of at most `limit` bytes; one task may wait at a time.

    The reading stops while `backlog` bytes wait. A longer line is skipped to its end and told by an `Overlong`.
    `on_half` hears how the line begins that was read in part, and nothing once none is.
    """

    def __init__(self, fd: int, limit: int, backlog: int = 4 * MEBIBYTE) -> None:
        self._fd, self._limit, self._backlog = fd, limit, backlog
        self._lines: deque[bytes | Overlong] = deque()
        self._waiting_bytes = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""  # of the line that is being read
        self._tail = b""  # of a line that is being skipped
        self._skipping = self._ended = self._paused = self._taken_along = False
        self._half = b""  # as it was told
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._thread_may_read = threading.Event()
        self.on_end: Callable[[], None] = _nothing
        self.on_half: Callable[[bytes], None] = _ignore
        if can_poll(fd):
            os.set_blocking(fd, False)
            self._pollable = True
            self._loop.add_reader(fd, self._fill)
        else:
            self._pollable = False
            self._thread_may_read.set()
            threading.Thread(target=self._read_file, name="wardgate-reader", daemon=True).start()

    async def next(self) -> bytes | Overlong | None:
        """The next line without its line feed; None at the end."""
        while not self._lines:
            if self._ended:
                return None
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        line = self._lines.popleft()
        self._waiting_bytes -= len(line) if isinstance(line, bytes) else 2 * EDGE
        if self._paused and self._waiting_bytes < self._backlog // 2:
            self._resume()
        return line

    def feed(self, data: bytes) -> None:
        """Take bytes as if the descriptor had brought them: what an earlier reader of it had not used."""
        self._feed(data)

    def go_on(self, head: bytes) -> None:
        """Go on in the line of which an earlier reader told this beginning.

        A short one is all that it had read; of a longer one the rest is skipped, and told by an `Overlong`.
        """
        if len(head) < EDGE:
            self._feed(head)
            return
        self._head, self._tail, self._size = head, b"", len(head)
        self._skipping = self._taken_along = True
        self._tell_half()

    def take_back(self) -> bytes:
        """Stop reading, and return what was read and not used: whole lines, and the beginning of one."""
        self.close()
        if self._parts:
            self.on_half(b"")
        lines = [line for line in self._lines if isinstance(line, bytes)]
        self._lines.clear()
        return b"".join(line + b"\n" for line in lines) + b"".join(self._parts)

    def finish(self) -> None:
        """Take what is there now and end: the other side is gone, whoever still holds its end of the pipe."""
        if not self._ended and self._pollable:
            self._drain()
        self.close()

    def close(self) -> None:
        """Stop reading. The descriptor stays open: its owner closes it."""
        self._end()

    def _fill(self) -> None:
        for _ in range(BURST):
            data = self._read()
            if data is None:
                return
            if not data:
                self._end()
                return
            self._feed(data)
            if self._paused or self._ended or len(data) < CHUNK // 4:
                return

    def _drain(self) -> None:
        """Read up to one line's limit more, so that a last answer is not lost."""
        left = self._limit
        while left > 0 and not self._ended and (data := self._read()):
            left -= len(data)
            self._feed(data)

    def _read(self) -> bytes | None:
        """What is there: None for nothing now, empty at the end or when the descriptor is broken."""
        try:
            return os.read(self._fd, CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:  # a terminal whose other side is gone says EIO, a socket ECONNRESET
            return b""

    def _read_file(self) -> None:
        """The reading thread of a descriptor that can't be polled; a daemon, since such a read can't be interrupted."""
        while self._thread_may_read.wait() and not self._ended:
            data = self._read()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._thread_may_read.clear()
                self._loop.call_soon_threadsafe(self._take_from_thread, data or b"")
            if not data:
                return

    def _take_from_thread(self, data: bytes) -> None:
        if not data:
            self._end()
            return
        self._feed(data)
        if not self._paused:
            self._thread_may_read.set()

    def _feed(self, data: bytes) -> None:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._finish_line(data[start:end])
            start = end + 1
        if start < len(data):
            self._keep(data[start:] if start else data)
        self._tell_half()
        if self._waiting_bytes > self._backlog and not self._paused and not self._ended:
            self._pause()
        self._wake()

    def _finish_line(self, piece: bytes) -> None:
        self._keep(piece)
        if self._skipping:
            self._lines.append(Overlong(self._head, self._tail, 0 if self._taken_along else self._limit))
            self._waiting_bytes += 2 * EDGE
        else:
            line = b"".join(self._parts) if len(self._parts) > 1 else piece
            if line and not line.isspace():
                self._lines.append(line)
                self._waiting_bytes += len(line)
        self._parts, self._size, self._head = [], 0, b""
        self._skipping = self._taken_along = False

    def _keep(self, piece: bytes) -> None:
        """Add a piece of the line that is being read, or forget the line once it is over the limit."""
        self._size += len(piece)
        if len(self._head) < EDGE:
            self._head = (self._head + piece[:EDGE])[:EDGE]
        if self._skipping:
            self._tail = (self._tail + piece[-EDGE:])[-EDGE:]
        else:
            self._parts.append(piece)
            if self._size > self._limit:
                whole = b"".join(self._parts)
                self._tail, self._parts, self._skipping = whole[-EDGE:], [], True
        if self._size > self._limit * RUNAWAY:
            self._end()

    def _tell_half(self) -> None:
        if self._head != self._half:
            self._half = self._head
            self.on_half(self._head)

    def _pause(self) -> None:
        self._paused = True
        if self._pollable:
            self._loop.remove_reader(self._fd)

    def _resume(self) -> None:
        self._paused = False
        if self._ended:
            return
        if self._pollable:
            self._loop.add_reader(self._fd, self._fill)
        else:
            self._thread_may_read.set()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._thread_may_read.set()
        if self._pollable and not self._paused:
            self._loop.remove_reader(self._fd)
        self._wake()
        self.on_end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LineWriter:
    """Writes to a descriptor without blocking; once `high` bytes wait, callers are to wait for room.

    `on_half` hears before the last line in the descriptor may have no end, and when it has one again. A regular file
    is written at once, as no system has another way to.
    """

    def __init__(self, fd: int, high: int = MEBIBYTE) -> None:
        self._fd, self._high = fd, high
        self._waiting: deque[memoryview] = deque()
        self.waiting = 0  # bytes
        self._given = 0  # bytes, so far
        self._due: deque[tuple[int, Callable[[], None]]] = deque()
        self._corked = self._watching = False
        self._room: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()
        self.broken = False
        self._half = False
        self.on_half: Callable[[bool], None] = _ignore
        if can_poll(fd):
            os.set_blocking(fd, False)

    @property
    def full(self) -> bool:
        """Whether so much waits that callers have to wait."""
        return self.waiting >= self._high

    def write(self, data: bytes) -> None:
        """Write now what the descriptor takes and keep the rest; does nothing once the other side is gone.

        Of several writes in one turn of the loop the first goes out at once and the others together at its end.
        """
        if self.broken:
            return
        self._waiting.append(memoryview(data))
        self.waiting += len(data)
        self._given += len(data)
        if len(data) > LARGE:
            self._say_half(True)
        if not self._corked and not self._watching:
            self._corked = True
            self._loop.call_soon(self._uncork)
            self._flush()

    def when_out(self, then: Callable[[], None]) -> None:
        """Call `then` once the descriptor has taken all that was written so far: now, later, or never if it breaks."""
        if self.waiting:
            self._due.append((self._given, then))
        elif not self.broken:
            then()

    async def wait_for_room(self, empty: bool = False) -> None:
        """Return once callers may write again (or nothing waits at all), or the other side is gone."""
        while not self.broken and (self.waiting if empty else self.full):
            turn = self._loop.create_future()
            self._room.add(turn)
            try:
                await turn
            finally:
                self._room.discard(turn)

    def close(self) -> None:
        """Drop what waits and stop. The descriptor stays open: its owner closes it."""
        self._break()

    def _uncork(self) -> None:
        self._corked = False
        if self._waiting and not self._watching:
            self._flush()

    def _flush(self) -> None:
        """Write what the descriptor takes; have the loop call again while something is left."""
        try:
            while self._waiting:
                if len(self._waiting) == 1:
                    self._forget(os.write(self._fd, self._waiting[0]))
                else:
                    self._forget(os.writev(self._fd, [*itertools.islice(self._waiting, GATHERED)]))
        except (BlockingIOError, InterruptedError):
            if not self._watching:
                self._watching = True
                self._loop.add_writer(self._fd, self._flush)
            self._say_half(True)
        except OSError:
            self._break()
        else:
            self._stop_watching()
            self._say_half(False)
        while self._due and self._due[0][0] <= self._given - self.waiting:
            self._due.popleft()[1]()
        if not self.full:
            self._wake()

    def _say_half(self, half: bool) -> None:
        if half is not self._half:
            self._half = half
            self.on_half(half)

    def _forget(self, written: int) -> None:
        """Take what was written off the front."""
        self.waiting -= written
        while written:
            first = self._waiting[0]
            if written < len(first):
                self._waiting[0] = first[written:]
                return
            written -= len(first)
            self._waiting.popleft()

    def _stop_watching(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._fd)

    def _break(self) -> None:
        self.broken = True
        self._stop_watching()
        self._waiting.clear()
        self._due.clear()
        self.waiting = 0
        self._wake()

    def _wake(self) -> None:
        for turn in self._room:
            if not turn.done():
                turn.set_result(None)


def _nothing() -> None:
    """Nobody wants to know."""


def _ignore(value: object) -> None:
    """Nobody wants to know this either."""
