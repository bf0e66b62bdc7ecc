"""The stream pair that the SDK's dispatcher reads and writes, straight over a reader and a writer of lines.

No task and no queue of its own: a message is decoded where it is read and written where it is sent.
"""

import asyncio
from collections.abc import Callable
from enum import Enum

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from gateway.transport import wire
from gateway.transport.ends import Closing, ReadEnd
from gateway.transport.pipes import LineReader, LineWriter, Overlong

TURN = 32  # messages read in a row before other tasks get their turn


class Role(Enum):
    """Which side of the conversation we are."""

    SERVER = "server"  # the other side is a client: what is no message is answered
    CLIENT = "client"  # the other side is an upstream: what is no message is told to the dispatcher


class MessageWriter(Closing):
    """The write stream: `send` returns once the message is with the descriptor or in the bounded buffer.

    While the other side reads nothing, what may be lost is dropped and the rest waits, at most `stall` seconds without
    any progress; then the stream is broken. `on_sent` hears of each request that was handed over, `on_broken` that the
    other side reads no more.
    """

    def __init__(self, lines: LineWriter, role: Role, stall: float = 60.0) -> None:
        self._lines, self._role, self._stall = lines, role, stall
        self._closed = False
        self.on_sent: Callable[[JSONRPCRequest], None] | None = None
        self.on_broken: Callable[[], None] | None = None

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message.

        Raises `BrokenResourceError` when the other side is gone, `ValueError` for a request that is no JSON.
        """
        message = item.message
        if self._closed:
            raise anyio.ClosedResourceError
        if self._lines.full:
            if self._may_drop(message):
                return
            await self._wait_for_room()
        if not self._lines.broken:
            data = self._encode(message)
            self._lines.write(data)
        if self._lines.broken:
            if self.on_broken is not None:
                self.on_broken()
            raise anyio.BrokenResourceError
        if self.on_sent is not None and isinstance(message, JSONRPCRequest):
            self.on_sent(message)

    def answer(self, message: JSONRPCError) -> None:
        """Write an error answer of the transport itself, unless the other side doesn't read."""
        if not self._closed and not self._lines.full:
            self._lines.write(wire.encode(message))

    def when_out(self, then: Callable[[], None]) -> None:
        """Call `then` once all messages so far are with the descriptor; never if they don't get there."""
        self._lines.when_out(then)

    def when_half(self, then: Callable[[bool], None]) -> None:
        """Call `then` before the last line in the descriptor may have no end, and when it has one again."""
        self._lines.on_half = then

    def break_line(self) -> None:
        """End the line that somebody else may have begun and not finished; an empty one if nobody did."""
        self._lines.write(b"\n")

    async def flush(self, seconds: float) -> None:
        """Wait until everything is with the descriptor, at most `seconds`."""
        with anyio.move_on_after(seconds):
            await self._lines.wait_for_room(empty=True)

    async def aclose(self) -> None:
        """Take no more messages; what waits is still written by `flush`."""
        self._closed = True

    def _may_drop(self, message: JSONRPCMessage) -> bool:
        """An upstream that reads nothing gets no answers and no notices; a client loses notices only."""
        if self._role is Role.CLIENT:
            return not isinstance(message, JSONRPCRequest)
        return isinstance(message, JSONRPCNotification)

    async def _wait_for_room(self) -> None:
        while self._lines.full:
            before = self._lines.waiting
            with anyio.move_on_after(self._stall) as scope:
                await self._lines.wait_for_room()
            if scope.cancelled_caught and self._lines.waiting >= before:
                self._lines.close()

    def _encode(self, message: JSONRPCMessage) -> bytes:
        """Encode; a result that is no JSON becomes an error answer, so that nobody waits for it."""
        try:
            return wire.encode(message)
        except ValueError:
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                return wire.encode(wire.failed(message.id, "the result could not be encoded"))
            raise


class MessageReader(ReadEnd):
    """The read stream. As a client, what is no message comes out as `wire.MalformedError`; as a server, it is answered.

    `admit` may drop messages before anybody sees them; `ended` is set when nothing more can come in.
    """

    def __init__(
        self,
        lines: LineReader,
        role: Role,
        writer: MessageWriter,
        admit: Callable[[JSONRPCMessage], bool] | None = None,
    ) -> None:
        self._lines, self._role, self._writer, self._admit = lines, role, writer, admit
        self._closed = False
        self._in_a_row = 0
        self.ended = anyio.Event()
        lines.on_end = self.ended.set

    async def receive(self) -> SessionMessage | Exception:
        """The next message; raises `EndOfStream` at the end, `ClosedResourceError` after `aclose`."""
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            self._in_a_row += 1
            if self._in_a_row % TURN == 0:
                await asyncio.sleep(0)
            line = await self._lines.next()
            if line is None:
                raise anyio.EndOfStream
            item = self._read(line)
            if item is not None:
                return item

    def _read(self, line: bytes | Overlong) -> SessionMessage | Exception | None:
        levels = wire.LEVELS if self._role is Role.SERVER else wire.UPSTREAM_LEVELS
        message = wire.decode(line, levels) if isinstance(line, bytes) else wire.decode_overlong(line)
        if isinstance(message, wire.MalformedError):
            if self._role is Role.CLIENT:
                return message
            self._writer.answer(wire.failed(message.id, message.message, message.code))
            return None
        if self._admit is not None and not self._admit(message):
            return None
        return SessionMessage(message)

    def feed(self, data: bytes) -> None:
        """Take bytes that an earlier reader of the descriptor had not used."""
        self._lines.feed(data)

    def go_on(self, head: bytes) -> None:
        """Go on in a line of which an earlier reader of the descriptor told the beginning; empty for none."""
        self._lines.go_on(head)

    def when_half(self, then: Callable[[bytes], None]) -> None:
        """Call `then` with how the line begins that was read in part, and with nothing once none is."""
        self._lines.on_half = then

    def take_back(self) -> bytes:
        """Stop reading, and return what was read and not used."""
        return self._lines.take_back()

    async def aclose(self) -> None:
        """Stop reading."""
        self._closed = True
        self._lines.close()
