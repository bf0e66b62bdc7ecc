"""What a client hears of the calls that a gateway left when it died."""

import fcntl
import json
import os
import struct
import termios
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, ErrorData, JSONRPCError, JSONRPCRequest, JSONRPCResponse

from gateway.server.peer import NOBODY
from gateway.server.pipes import Pipes, _answer_left, serve_pipes
from gateway.transport.journal import InFlight, Journal
from gateway.transport.resume import Opening
from tests.fakes import DEADLINE


class Written:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, item: SessionMessage) -> None:
        self.messages.append(item.message)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("resources/read", -32010),
        ("prompts/get", -32010),
        ("tools/list", CONNECTION_CLOSED),
        ("ping", CONNECTION_CLOSED),
    ],
)
async def test_what_may_have_happened_is_told_apart_from_what_can_be_sent_again(method: str, code: int) -> None:
    writer = Written()
    await _answer_left((InFlight(7, method),), writer, modern=True)  # type: ignore[arg-type]  # a fake
    (message,) = writer.messages
    assert isinstance(message, JSONRPCError)
    assert (message.id, message.error.code) == (7, code)
    assert ("OUTCOME UNKNOWN" in message.error.message) == (code == -32010)


async def test_a_tool_that_was_called_is_answered_as_outcome_unknown() -> None:
    writer = Written()
    await _answer_left((InFlight("x", "tools/call"),), writer, modern=False)  # type: ignore[arg-type]  # a fake
    (message,) = writer.messages
    assert isinstance(message, JSONRPCResponse)
    assert message.result["isError"] is True
    assert message.result["_meta"]["dev.wardgate/decision"]["reason"] == "gateway-stopped"
    assert "resultType" not in message.result


def test_a_handshake_is_kept_once_it_is_answered_well() -> None:
    kept: list[Any] = []
    opening = Opening(kept.append)

    def initialize(id: int, version: str) -> None:
        opening.ask(JSONRPCRequest(jsonrpc="2.0", id=id, method="initialize", params={"protocolVersion": version}))

    initialize(1, "a")
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=7, result={}))
    assert kept == []
    opening.answer(JSONRPCError(jsonrpc="2.0", id=1, error=ErrorData(code=-32022, message="not this one")))
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=1, result={}))
    assert kept == [], "a connection whose handshake was refused is none of the legacy era"
    initialize(2, "b")
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=2, result={}))
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=2, result={}))
    assert kept == [{"protocolVersion": "b"}]


class Hearing:
    """A face that says nothing, and keeps what the client says."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def serve(self, read: Any, write: Any, peer: Any) -> None:
        async for item in read:
            self.heard.append(item.message)


async def taken_over(journal: int, says: bytes = b"") -> tuple[list[bytes], list[Any]]:
    """The lines that a client gets of the gateway that takes its pipes over, and what that one hears of it."""
    face, (theirs, into), (out, ours) = Hearing(), os.pipe(), os.pipe()
    os.write(into, says)
    os.close(into)
    pipes = Pipes(theirs, ours, os.dup(journal), resumed=True)
    try:
        with anyio.fail_after(DEADLINE):
            await serve_pipes(face, pipes, NOBODY, 1 << 20)  # type: ignore[arg-type]  # a fake
        with os.fdopen(out, "rb", closefd=False) as lines:
            return lines.read().split(b"\n")[:-1], face.heard
    finally:
        os.close(out)


def waiting(fd: int) -> int:
    """The bytes that a pipe holds."""
    (found,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"1234"))
    return int(found)


@pytest.fixture
def journal() -> Iterator[int]:
    fd = os.memfd_create("journal")
    yield fd
    os.close(fd)


@pytest.mark.parametrize("torn", [True, False])
async def test_a_client_is_told_what_was_left_and_a_line_that_has_no_end_gets_one(torn: bool, journal: int) -> None:
    left = Journal(os.dup(journal))
    left.begin(1, "tools/call")
    left.ask(77)
    if torn:
        left.writing(half=True)
    left.close()
    lines, _ = await taken_over(journal)
    assert lines[: len(lines) - 2] == ([b""] if torn else [])
    withdrawn, unknown = (json.loads(line) for line in lines[-2:])
    assert (withdrawn["method"], withdrawn["params"]["requestId"]) == ("notifications/cancelled", 77)
    assert (unknown["id"], unknown["result"]["isError"]) == (1, True)
    assert os.fstat(journal).st_size == 0
    assert await taken_over(journal) == ([], [])


async def test_what_was_left_unread_is_read_once(journal: int) -> None:
    left = Journal(os.dup(journal))
    left.leave(b'{"jsonrpc":"2.0","id":1,"me')
    left.close()
    _, heard = await taken_over(journal, b'thod":"ping"}\n')
    assert [message.id for message in heard] == [1]
    assert [each.id for each in Journal(os.dup(journal)).requests] == [1]


@pytest.mark.parametrize("size", [10, 5_000], ids=["short", "long"])
async def test_a_request_that_was_read_in_part_is_read_or_answered(size: int, journal: int) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * 9_000 + b'"}}\n'
    left = Journal(os.dup(journal))
    left.reading(line[: min(size, 200)])
    left.close()
    lines, heard = await taken_over(journal, line[size:] + b'{"jsonrpc":"2.0","id":2,"method":"ping"}\n')
    answered = [(answer["id"], answer["error"]["code"]) for answer in map(json.loads, lines)]
    assert (answered, [message.id for message in heard]) == (([], [1, 2]) if size == 10 else ([(1, -32700)], [2]))


async def test_what_was_left_unread_comes_before_what_is_read_while_the_client_takes_its_answers(journal: int) -> None:
    left = Journal(os.dup(journal))
    for number in range(12_000):  # their answers are more than a pipe and the writer hold
        left.begin(number, "tools/call")
    left.leave(b'{"jsonrpc":"2.0","id":"first","me')
    left.close()
    face, (theirs, into), (out, ours) = Hearing(), os.pipe(), os.pipe()
    os.write(into, b'thod":"ping"}\n')
    os.close(into)
    pipes = Pipes(theirs, ours, os.dup(journal), resumed=True)
    with anyio.fail_after(DEADLINE), os.fdopen(out, "rb") as lines:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_pipes, face, pipes, NOBODY, 1 << 20)  # type: ignore[arg-type]  # a fake
            while waiting(theirs):
                await anyio.lowlevel.checkpoint()
            answers = await anyio.to_thread.run_sync(lines.readlines)
    assert len(answers) == 12_000
    assert [message.id for message in face.heard] == ["first"]
