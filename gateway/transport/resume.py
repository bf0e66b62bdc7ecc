"""A client's streams with a memory: what is under way is journalled, and a kept handshake is played again.

Wraps the stream pair of `fd_streams`; changes no message.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId

from gateway.transport.ends import Closing, ReadEnd
from gateway.transport.journal import Journal
from gateway.transport.streams import MessageReader, MessageWriter

REPLAY_ID = "wardgate-replayed-handshake"


class Opening:
    """The `initialize` that waits for its answer: it has opened the conversation once that is a result."""

    def __init__(self, on_handshake: Callable[[Mapping[str, Any]], None]) -> None:
        """`on_handshake` hears of its params before the answer leaves."""
        self._on_handshake = on_handshake
        self._asked: tuple[RequestId, Mapping[str, Any]] | None = None

    def ask(self, request: JSONRPCRequest) -> None:
        """It was read; the one before it opens nothing any more."""
        self._asked = (request.id, request.params or {})

    def answer(self, message: JSONRPCResponse | JSONRPCError) -> None:
        """Something is about to be answered."""
        if self._asked is None or self._asked[0] != message.id:
            return
        (_, params), self._asked = self._asked, None
        if isinstance(message, JSONRPCResponse):
            self._on_handshake(params)


class NotedReader(ReadEnd):
    """The read stream: a replayed handshake first, then the client's messages, each request and each answer
    journalled as it is read.
    """

    def __init__(
        self,
        inner: MessageReader,
        journal: Journal | None,
        handshake: Mapping[str, Any] | None,
        opening: Opening,
    ) -> None:
        """`handshake` are the params of an `initialize` that was answered before; `opening` hears of a new one."""
        self._inner, self._journal, self._opening = inner, journal, opening
        if journal is not None:
            inner.when_half(journal.reading)
        self._first: deque[SessionMessage] = deque()
        if handshake is not None:
            replayed = JSONRPCRequest(jsonrpc="2.0", id=REPLAY_ID, method="initialize", params=dict(handshake))
            self._first.append(SessionMessage(replayed))
            self._first.append(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")))

    async def receive(self) -> SessionMessage | Exception:
        """The next message; raises what the inner stream raises."""
        if self._first:
            return self._first.popleft()
        item = await self._inner.receive()
        if isinstance(item, SessionMessage):
            message = item.message
            if isinstance(message, JSONRPCRequest) and message.method == "initialize":
                self._opening.ask(message)
            if self._journal is not None:
                _note_read(self._journal, message)
        return item

    async def aclose(self) -> None:
        """Stop reading."""
        await self._inner.aclose()


class NotedWriter(Closing):
    """The write stream: drops the answer to a replayed handshake, and notes each request as answered once its answer
    is in the client's pipe.
    """

    def __init__(self, inner: MessageWriter, journal: Journal | None, opening: Opening) -> None:
        self._inner, self._journal, self._opening = inner, journal, opening
        if journal is not None:
            inner.when_half(journal.writing)

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message; raises what the inner stream raises."""
        message = item.message
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            if message.id == REPLAY_ID:
                return
            self._opening.answer(message)
        elif isinstance(message, JSONRPCRequest) and self._journal is not None:
            self._journal.ask(message.id)
        await self._inner.send(item)
        if self._journal is not None:
            self._note_written(self._journal, message)

    def _note_written(self, journal: Journal, message: JSONRPCMessage) -> None:
        """Note what is over with a message, once it is out: a kill before that leaves the client without it."""
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            if message.id is not None:
                self._inner.when_out(partial(journal.end, message.id))
        elif (withdrawn := _cancelled(message)) is not None:
            self._inner.when_out(partial(journal.settle, withdrawn))

    async def aclose(self) -> None:
        """Take no more messages."""
        await self._inner.aclose()


def _note_read(journal: Journal, message: JSONRPCMessage) -> None:
    """Note what begins or is over with a message of the client's."""
    if isinstance(message, JSONRPCRequest):
        journal.begin(message.id, message.method)
    elif isinstance(message, JSONRPCResponse | JSONRPCError):
        if message.id is not None:
            journal.settle(message.id)
    elif (cancelled := _cancelled(message)) is not None:
        journal.end(cancelled)


def _cancelled(message: JSONRPCMessage) -> RequestId | None:
    """The id of the request that a notification cancels."""
    if not isinstance(message, JSONRPCNotification) or message.method != "notifications/cancelled":
        return None
    request_id = (message.params or {}).get("requestId")
    return request_id if isinstance(request_id, str | int) else None
