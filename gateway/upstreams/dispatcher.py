"""The SDK's dispatcher, as a gateway needs it towards upstreams.

Correlation and the life of the connection stay the SDK's; which message means what is decided elsewhere.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.dispatcher import CallOptions, DispatchContext, OnNotify, OnNotifyIntercept, OnRequest
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types import CONNECTION_CLOSED, METHOD_NOT_FOUND, ErrorData, JSONRPCRequest, RequestId

from gateway.transport.ends import Closing
from gateway.upstreams.exchange import Exchange

LAST_WORD = 5.0  # seconds that telling an upstream of a cancelled call may take
LOG_NOTICE = "notifications/message"


class UpstreamDispatcher(JSONRPCDispatcher):
    """The SDK's dispatcher with requests that can stay open, a first question that doesn't wait for long, and ears for
    log notices only.

    Progress and cancellation are handled before a notice gets here; the session would log what it can't parse.
    """

    def __init__(
        self,
        read: ReadStream[SessionMessage | Exception],
        write: WriteStream[SessionMessage],
        discover_timeout: float,
        ended: anyio.Event,
    ) -> None:
        super().__init__(read, write, on_stream_exception=self._count)
        self._discover_timeout = discover_timeout
        self.garbage = 0
        self._ended = ended
        self.on_question: Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]] | None = None
        self.on_log: Callable[[Mapping[str, Any]], None] | None = None

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: RequestId | None = None,
    ) -> dict[str, Any]:
        if method == "server/discover" and opts is not None and "timeout" in opts:
            opts["timeout"] = min(opts["timeout"], self._discover_timeout)
        return await super().send_raw_request(method, params, opts, _related_request_id=_related_request_id)

    async def converse(
        self, exchange: Exchange, message: JSONRPCRequest | None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Write a request (None: it was written before) and wait for its result; None if the upstream asks something
        first, and the exchange stays open until `converse` goes on with it or `abandon` ends it.

        What the SDK's own method does, without its spans, clocks and streams: half of the cost of a call.
        `tests/upstreams/test_dispatcher.py` holds the two together. Raises `MCPError`; cancelled, it tells the
        upstream.
        """
        pending: dict[RequestId, Any] = self._pending
        stays = False
        try:
            if message is not None:
                if self._closed:
                    raise MCPError(code=CONNECTION_CLOSED, message="Connection closed")
                if not self._running:
                    raise RuntimeError("a call before the dispatcher runs")
                pending[exchange.id] = exchange
                await anyio.lowlevel.checkpoint_if_cancelled()
                exchange.begun = True
                try:
                    await self._write(message, ClientMessageMetadata(headers=dict(headers)) if headers else None)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    raise MCPError(code=CONNECTION_CLOSED, message="Connection closed") from None
            await exchange.wait()
            answer = exchange.answer
            if answer is None:
                stays = True
                return None
            if exchange.saying:
                await exchange.quiet()
        except anyio.get_cancelled_exc_class():
            await self._take_back(exchange)
            raise
        finally:
            if not stays:
                pending.pop(exchange.id, None)
                if exchange.questions:
                    exchange.close()
        if isinstance(answer, ErrorData):
            raise MCPError(code=answer.code, message=answer.message, data=answer.data)
        return answer

    async def abandon(self, exchange: Exchange) -> None:
        """End an exchange that stays open: its questions are refused, and the upstream is told."""
        self._pending.pop(exchange.id, None)
        exchange.close()
        await self._take_back(exchange)

    def open_calls(self) -> Iterator[Exchange]:
        """The calls of clients that have no answer yet, the newest first."""
        table: dict[RequestId, Any] = self._pending
        for one in reversed(table.values()):
            if type(one) is Exchange and one.ears is not None and one.answer is None:
                yield one

    def note_sent(self, request: JSONRPCRequest) -> None:
        """Called by the transport for each request that it took."""
        exchange: Any = self._pending.get(request.id)
        if type(exchange) is Exchange:
            exchange.sent = True

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something beside the reading, until the connection ends; it must not raise."""
        if self._tg is not None:
            self._spawn(work, sender_ctx=None)

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            await super().run(self._answer, on_notify, self._hear, task_status=task_status)
        finally:
            self._ended.set()

    async def _answer(
        self, _context: DispatchContext[TransportContext], method: str, params: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Answer a request of the upstream's."""
        if method == "ping":
            return {}
        if self.on_question is None:
            raise MCPError(code=METHOD_NOT_FOUND, message="Method not found")
        return await self.on_question(method, params or {})

    def _hear(self, method: str, params: Mapping[str, Any] | None) -> bool:
        """Take a notice in the order in which it came; nothing goes on to the session."""
        if method == LOG_NOTICE and self.on_log is not None and params:
            self.on_log(params)
        return True

    async def _take_back(self, exchange: Exchange) -> None:
        """Tell the upstream that nobody waits for the answer any more; bounded, and not interrupted."""
        if exchange.begun and exchange.answer is None:
            with anyio.move_on_after(LAST_WORD, shield=True):
                cancelled = {"requestId": exchange.id, "reason": "caller cancelled"}
                await self.notify("notifications/cancelled", cancelled)

    async def _count(self, _problem: Exception) -> None:
        self.garbage += 1


class TrackedStream(Closing):
    """A write stream of the SDK's that tells of each request before it may leave."""

    def __init__(self, inner: WriteStream[SessionMessage]) -> None:
        self._inner = inner
        self.on_sent: Callable[[JSONRPCRequest], None] | None = None

    async def send(self, item: SessionMessage, /) -> None:
        """Send; one that is interrupted may have been sent, so it counts as sent from the start."""
        if self.on_sent is not None and isinstance(item.message, JSONRPCRequest):
            self.on_sent(item.message)
        await self._inner.send(item)

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()
