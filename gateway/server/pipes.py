"""Serve one client on its own pipes, and take over a connection that another gateway left. It decides nothing."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCResponse
from msgspec import Struct

from gateway.core import words
from gateway.core.model import REFUSED, Reason
from gateway.server.answers import DECISION_KEY, envelope
from gateway.server.caller import COME_BACK
from gateway.server.face import Face
from gateway.server.peer import Peer
from gateway.transport.journal import InFlight, Journal
from gateway.transport.resume import NotedReader, NotedWriter, Opening
from gateway.transport.serve import fd_streams
from gateway.transport.streams import MessageWriter


class Pipes(Struct, frozen=True):
    """The descriptors of a client, and what is left of the connection's past."""

    read: int
    write: int
    journal: int | None = None  # None: nothing can be taken over after a crash
    handshake: Mapping[str, Any] | None = None  # params of the `initialize` that an earlier gateway answered
    resumed: bool = False

    def close(self) -> None:
        """Close what nobody has taken over."""
        for fd in {self.read, self.write, *([] if self.journal is None else [self.journal])}:
            os.close(fd)


async def serve_pipes(
    face: Face,
    pipes: Pipes,
    peer: Peer,
    line_limit: int,
    on_handshake: Callable[[Mapping[str, Any]], None] = lambda params: None,
) -> None:
    """Speak with one client until it closes its end; takes the descriptors over and closes them."""
    try:
        journal = Journal(pipes.journal) if pipes.journal is not None else None
    except OSError:  # no journal, or none that can be written: nothing has taken the descriptors over yet
        pipes.close()
        raise
    try:
        async with fd_streams(pipes.read, pipes.write, line_limit) as (reader, writer):
            opening = Opening(on_handshake)
            read = NotedReader(reader, journal, pipes.handshake, opening)
            write = NotedWriter(writer, journal, opening)
            if journal is not None and pipes.resumed:
                unread, head = journal.take_unread()
                reader.feed(unread)
                reader.go_on(head)  # before anything is awaited, and more is read
                await _make_good(journal, writer, write, modern=pipes.handshake is None)
            try:
                await face.serve(read, write, peer)
            finally:
                if journal is not None and (rest := reader.take_back()):
                    journal.leave(rest)
    finally:
        if journal is not None:
            journal.close()


async def _make_good(journal: Journal, writer: MessageWriter, noted: NotedWriter, *, modern: bool) -> None:
    """Tell the client what became of all that the dead gateway left."""
    if journal.torn:
        writer.break_line()
        writer.when_out(partial(journal.writing, half=False))
    for question in journal.questions:
        params = {"requestId": question, "reason": "the gateway was restarted"}
        withdrawal = JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params=params)
        await noted.send(SessionMessage(withdrawal))
    await _answer_left(journal.requests, noted, modern=modern)


async def _answer_left(left: tuple[InFlight, ...], writer: NotedWriter, *, modern: bool) -> None:
    """Answer what the dead gateway left: calls as outcome unknown, everything else with an error that invites a
    retry.
    """
    decision = {DECISION_KEY: {"id": "", "verdict": "block", "reason": Reason.GATEWAY_STOPPED.value}}
    for request in left:
        if request.method == "tools/call":
            result = {
                "content": [{"type": "text", "text": words.unknown()}],
                "isError": True,
                "_meta": decision,
            }
            shaped = envelope(result, modern=modern, server_info={"name": "wardgate", "version": ""})
            message: JSONRPCResponse | JSONRPCError = JSONRPCResponse(jsonrpc="2.0", id=request.id, result=shaped)
        else:
            if request.method in COME_BACK:
                error = ErrorData(code=REFUSED, message=words.unknown(), data=decision)
            else:
                error = ErrorData(code=CONNECTION_CLOSED, message="the gateway was restarted; send this request again")
            message = JSONRPCError(jsonrpc="2.0", id=request.id, error=error)
        await writer.send(SessionMessage(message))
