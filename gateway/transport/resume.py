"""A client's streams with a memory: requests in flight are journalled, and a kept handshake is played again.

Wraps the stream pair of `fd_streams`; changes no message.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId

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
    """The read stream: a replayed handshake first, then the client's messages, each request journalled as it is
    read.
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
            if isinstance(message, JSONRPCRequest):
                if self._journal is not None:
                    self._journal.begin(message.id, message.method)
                if message.method == "initialize":
                    self._opening.ask(message)
            elif isinstance(message, JSONRPCNotification) and self._journal is not None:
                self._forget_cancelled(message)
        return item

    def _forget_cancelled(self, message: JSONRPCNotification) -> None:
        if message.method == "notifications/cancelled" and self._journal is not None:
            request_id = (message.params or {}).get("requestId")
            if isinstance(request_id, str | int):
                self._journal.end(request_id)

    async def aclose(self) -> None:
        """Stop reading."""
        await self._inner.aclose()


class NotedWriter(Closing):
    """The write stream: drops the answer to a replayed handshake, and notes each request as answered once it is
    written.
    """

    def __init__(self, inner: MessageWriter, journal: Journal | None, opening: Opening) -> None:
        self._inner, self._journal, self._opening = inner, journal, opening

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message; raises what the inner stream raises."""
        message = item.message
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            await self._inner.send(item)
            return
        if message.id == REPLAY_ID:
            return
        self._opening.answer(message)
        await self._inner.send(item)
        if self._journal is not None and message.id is not None:
            self._journal.end(message.id)

    async def aclose(self) -> None:
        """Take no more messages."""
        await self._inner.aclose()
