"""What is under way on a client's pipes is in the journal for as long as the client would miss it."""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from gateway.transport.journal import InFlight, Journal
from gateway.transport.resume import NotedReader, NotedWriter, Opening
from gateway.transport.serve import fd_streams
from gateway.transport.streams import MessageWriter
from tests.fakes import DEADLINE

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}\n'
BIG = "x" * (3 << 20)  # more than a pipe holds


class Conversation(NamedTuple):
    """A client's ends of its pipes, ours, and the journal."""

    into: int
    out: int
    read: NotedReader
    write: NotedWriter
    writer: MessageWriter
    journal: int

    def left(self) -> Journal:
        """The journal as the next gateway would find it now."""
        return Journal(os.dup(self.journal))

    async def say(self, message: Any) -> None:
        """Send one message to the client."""
        await self.write.send(SessionMessage(message))

    async def take(self, size: int) -> bytes:
        """Read so many bytes of what the client gets."""
        found = b""
        while len(found) < size:
            found += await anyio.to_thread.run_sync(os.read, self.out, size - len(found))
        return found


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[Conversation]:
    """A connection; the client has made no request."""
    theirs, into = os.pipe()
    out, ours = os.pipe()
    fd = os.memfd_create("journal")
    journal = Journal(os.dup(fd))
    opening = Opening(lambda params: None)
    try:
        with anyio.fail_after(DEADLINE):
            async with fd_streams(theirs, ours) as (reader, writer):
                noted = NotedWriter(writer, journal, opening)
                yield Conversation(into, out, NotedReader(reader, journal, None, opening), noted, writer, fd)
                os.close(out)
                out = -1
    finally:
        for each in (into, fd, *([out] if out >= 0 else [])):
            os.close(each)


async def test_an_answer_is_given_once_all_of_it_is_in_the_pipe() -> None:
    async with talking() as talk:
        os.write(talk.into, CALL)
        await talk.read.receive()
        assert talk.left().requests == (InFlight(1, "tools/call"),)
        await talk.say(JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": BIG}))
        left = talk.left()
        assert (left.requests, left.torn) == ((InFlight(1, "tools/call"),), True)
        await talk.take(len(BIG))
        await talk.writer.flush(DEADLINE)
        assert os.fstat(talk.journal).st_size == 0


async def test_a_small_answer_is_given_at_once_and_leaves_nothing() -> None:
    async with talking() as talk:
        os.write(talk.into, CALL)
        await talk.read.receive()
        await talk.say(JSONRPCResponse(jsonrpc="2.0", id=1, result={}))
        assert os.fstat(talk.journal).st_size == 0


async def test_answers_in_one_turn_are_given_in_their_order() -> None:
    async with talking() as talk:
        os.write(talk.into, CALL + CALL.replace(b"1,", b"2,") + CALL.replace(b"1,", b"3,"))
        for _ in range(3):
            await talk.read.receive()
        await talk.say(JSONRPCError(jsonrpc="2.0", id=2, error=ErrorData(code=1, message="no")))
        await talk.say(JSONRPCResponse(jsonrpc="2.0", id=3, result={}))
        await talk.say(JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": BIG}))
        assert [each.id for each in talk.left().requests] == [1, 3]
        await talk.take(len(BIG))
        await talk.writer.flush(DEADLINE)
        assert talk.left().requests == ()


async def test_an_answer_that_never_gets_out_is_not_given() -> None:
    async with talking() as talk:
        os.write(talk.into, CALL)
        await talk.read.receive()
        await talk.say(JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": BIG}))
        talk.writer._lines.close()
        left = talk.left()
        assert (left.requests, left.torn) == ((InFlight(1, "tools/call"),), True)


@pytest.mark.parametrize("answer", [b'"result":{}', b'"error":{"code":1,"message":"no"}'], ids=["result", "error"])
async def test_a_question_is_open_until_the_client_answers_it(answer: bytes) -> None:
    async with talking() as talk:
        await talk.say(JSONRPCRequest(jsonrpc="2.0", id=5, method="elicitation/create"))
        assert talk.left().questions == (5,)
        os.write(talk.into, b'{"jsonrpc":"2.0","id":5,' + answer + b"}\n")
        await talk.read.receive()
        assert os.fstat(talk.journal).st_size == 0


async def test_a_question_is_open_until_it_is_withdrawn() -> None:
    async with talking() as talk:
        await talk.say(JSONRPCRequest(jsonrpc="2.0", id="q", method="elicitation/create"))
        await talk.say(JSONRPCNotification(jsonrpc="2.0", method="notifications/message", params={"requestId": "q"}))
        assert talk.left().questions == ("q",)
        await talk.say(JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params={"requestId": "q"}))
        await talk.say(JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled"))
        await talk.writer.flush(DEADLINE)
        assert os.fstat(talk.journal).st_size == 0


async def test_a_request_that_the_client_cancels_needs_no_answer() -> None:
    async with talking() as talk:
        os.write(talk.into, CALL)
        await talk.read.receive()
        os.write(talk.into, b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}\n')
        await talk.read.receive()
        assert os.fstat(talk.journal).st_size == 0
