"""Lines over descriptors of every kind, on both event loops; and messages over them."""

import asyncio
import contextlib
import os
import pty
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import msgspec
import pytest
import uvloop
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from gateway.transport.pipes import LineReader, LineWriter, Overlong
from gateway.transport.serve import fd_streams

Body = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Run a coroutine function on one of the loops, with a deadline."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(body: Body) -> None:
        async def bounded() -> None:
            with anyio.fail_after(20):
                await body()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run


@contextlib.contextmanager
def ends(kind: str) -> Iterator[tuple[int, int]]:
    """A descriptor to read from and one that feeds it."""
    if kind == "pipe":
        reading, writing = os.pipe()
    elif kind == "socket":
        left, right = socket.socketpair()
        reading, writing = left.detach(), right.detach()
    else:
        writing, reading = pty.openpty()
    try:
        yield reading, writing
    finally:
        for descriptor in (reading, writing):
            with contextlib.suppress(OSError):
                os.close(descriptor)


KINDS = pytest.mark.parametrize("kind", ["pipe", "socket"])


@KINDS
def test_lines_are_split_and_the_end_is_told(kind: str, on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends(kind) as (reading, writing):
            reader = LineReader(reading, 1_000)
            os.write(writing, b"one\n\n  \ntwo\nthr")
            assert [await reader.next(), await reader.next()] == [b"one", b"two"]
            os.write(writing, b"ee\nrest")
            assert await reader.next() == b"three"
            os.close(writing)
            assert await reader.next() is None
            assert await reader.next() is None

    on_loop(body)


@KINDS
def test_a_line_over_the_limit_is_skipped_and_the_next_one_works(kind: str, on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends(kind) as (reading, writing):
            reader, writer = LineReader(reading, 100_000), LineWriter(writing)
            writer.write(b"h" * 300 + b"x" * 500_000 + b"t" * 300 + b"\nnext\n")
            skipped = await reader.next()
            assert skipped == Overlong(b"h" * 200, b"t" * 200, 100_000)
            assert await reader.next() == b"next"
            writer.write(b"y" * 100_000 + b"\n")
            assert await reader.next() == b"y" * 100_000
            reader.close()
            writer.close()

    on_loop(body)


def test_how_a_line_begins_is_told_while_it_is_read_in_part(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends("pipe") as (reading, _):
            lines, told = LineReader(reading, limit=1_000), list[bytes]()
            lines.on_half = told.append
            for data in (b"whole\n", b"a", b"b" * 300, b"c" * 300, b"\nwhole\n", b"d" * 900, b"d" * 900, b"\ne"):
                lines.feed(data)
            assert told == [b"a", b"a" + b"b" * 199, b"", b"d" * 200, b"e"]
            assert lines.take_back() == b"whole\na" + b"b" * 300 + b"c" * 300 + b"\nwhole\ne"
            assert told[-1] == b""  # who takes it back has it

    on_loop(body)


def test_a_line_whose_beginning_an_earlier_reader_took_along_is_gone_on_with(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends("pipe") as (reading, writing):
            lines, told = LineReader(reading, limit=1_000), list[bytes]()
            lines.on_half = told.append
            lines.go_on(b"")
            lines.go_on(b"sh")
            os.write(writing, b"ort\n")
            assert await lines.next() == b"short"
            lines.go_on(b"h" * 200)
            os.write(writing, b"t" * 300 + b"\nnext\n")
            skipped = await lines.next()
            assert skipped == Overlong(b"h" * 200, b"t" * 200, 0)
            assert "restarted" in skipped.text
            assert await lines.next() == b"next"
            assert told == [b"sh", b"", b"h" * 200, b""]
            lines.close()

    on_loop(body)


def test_a_line_that_never_ends_ends_the_stream(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends("pipe") as (reading, writing):
            reader, writer = LineReader(reading, 1_000), LineWriter(writing)
            writer.write(b"x" * 20_000)
            assert await reader.next() is None
            writer.close()

    on_loop(body)


def test_reading_stops_while_nobody_takes_the_lines(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends("pipe") as (reading, writing):
            reader, writer = LineReader(reading, 1_000, backlog=10_000), LineWriter(writing, high=1_000)
            sent = 0
            with anyio.move_on_after(0.3):
                while True:
                    writer.write(b"%06d" % sent + b"x" * 900 + b"\n")
                    sent += 1
                    await writer.wait_for_room()
                    await anyio.lowlevel.checkpoint()
            assert sent < 1_000
            for number in range(sent):
                line = await reader.next()
                assert isinstance(line, bytes)
                assert line.startswith(b"%06d" % number)
            reader.close()
            writer.close()

    on_loop(body)


def test_a_writer_whose_reader_is_gone_is_broken_and_says_so(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends("pipe") as (reading, writing):
            writer = LineWriter(writing, high=1_000)
            writer.write(b"x" * 1_000_000)
            assert writer.full
            os.close(reading)
            await writer.wait_for_room()
            assert writer.broken
            assert writer.waiting == 0
            writer.write(b"ignored")
            writer.close()

    on_loop(body)


async def speak(reading: int, writing: int, lines: bytes) -> list[bytes]:
    """Serve over two descriptors, echoing requests, after `lines` were put in; the raw lines that came out."""
    out, theirs = os.pipe() if writing < 0 else (-1, writing)
    async with fd_streams(reading, theirs, limit=1_000) as (read, write):
        async for item in read:
            assert isinstance(item, SessionMessage)
            if isinstance(item.message, JSONRPCRequest):
                await write.send(
                    SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=item.message.id, result={"ok": True}))
                )
    if out < 0:
        return []
    data = os.read(out, 1_000_000)
    os.close(out)
    return data.splitlines()


BAD = b"\n".join(
    [
        b'{"jsonrpc":"2.0","id":1,"method":"m"}',
        b"no json",
        b'{"jsonrpc":"2.0","id":2,"method":"m","params":{"x":"\xff"}}',
        b'{"jsonrpc":"2.0","id":3,"method":"m","params":{"x":"' + b"y" * 2_000 + b'"}}',
        b'[{"jsonrpc":"2.0","id":4,"method":"m"}]',
        b'{"id":5,"method":"m"}',
        b'{"jsonrpc":"2.0","method":"notifications/x"}',
        b'{"jsonrpc":"2.0","id":6,"method":"m"}',
        b"",
    ]
)
CODES = [(1, None), (None, -32700), (2, -32700), (3, -32700), (None, -32600), (5, -32600), (6, None)]


def codes(lines: list[bytes]) -> list[tuple[object, object]]:
    """Ids and error codes of what was answered."""
    messages = [msgspec.json.decode(line) for line in lines]
    return [(message["id"], message.get("error", {}).get("code")) for message in messages]


@KINDS
def test_a_client_is_told_what_was_wrong_and_its_next_good_line_works(
    kind: str, on_loop: Callable[[Body], None]
) -> None:
    async def body() -> None:
        with ends(kind) as (reading, writing):
            os.write(writing, BAD)
            os.close(writing)
            assert codes(await speak(reading, -1, b"")) == CODES

    on_loop(body)


@pytest.mark.may_block(reason="a regular file can only be written at once")
def test_files_and_dev_null_can_be_served(on_loop: Callable[[Body], None], tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "in").write_bytes(BAD)
        reading, writing = os.open(tmp_path / "in", os.O_RDONLY), os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        await speak(reading, writing, b"")
        assert codes((tmp_path / "out").read_bytes().splitlines()) == CODES
        null = os.open(os.devnull, os.O_RDWR)
        assert await speak(null, os.dup(null), b"") == []

    on_loop(body)


def test_one_socket_for_both_directions_can_be_served(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        right.sendall(BAD)
        right.shutdown(socket.SHUT_WR)
        mine = left.detach()
        await speak(mine, mine, b"")
        right.setblocking(False)
        assert codes(right.recv(100_000).splitlines()) == CODES
        right.close()

    on_loop(body)


def test_a_terminal_can_be_served_and_keeps_its_mode(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        ours, theirs = pty.openpty()
        os.write(ours, b'{"jsonrpc":"2.0","id":1,"method":"m"}\n\x04')
        keep = os.dup(theirs)
        await speak(os.dup(theirs), theirs, b"")
        assert os.get_blocking(keep)
        seen = b""
        while b'{"jsonrpc":"2.0","id":1,"result":{"ok":true}}' not in seen:  # a terminal hands on when it likes
            seen += await anyio.to_thread.run_sync(os.read, ours, 10_000)
        os.close(keep)
        os.close(ours)

    on_loop(body)


def test_descriptors_get_their_mode_back(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        with ends("pipe") as (reading, writing):
            keep = os.dup(reading)
            os.close(writing)
            out, theirs = os.pipe()
            await speak(reading, theirs, b"")
            assert os.get_blocking(keep)
            os.close(keep)
            os.close(out)

    on_loop(body)


def test_a_client_that_reads_nothing_is_given_up_and_memory_stays_bounded(on_loop: Callable[[Body], None]) -> None:
    async def body() -> None:
        incoming, feed = os.pipe()
        out, theirs = os.pipe()
        answer = SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=1, result={"x": "y" * 1_000_000}))
        notice = SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={}))
        async with fd_streams(incoming, theirs, stall=0.2) as (read, write):
            await write.send(notice)
            for _ in range(3):  # the pipe and the buffer are full; notices are dropped from here on
                await write.send(answer)
            await write.send(notice)
            with pytest.raises(anyio.BrokenResourceError):
                await write.send(answer)
            assert [item async for item in read] == []
        os.close(out)
        os.close(feed)

    on_loop(body)
