"""The SDK's dispatcher, as a gateway needs it towards upstreams.

Correlation, cancellation and progress stay the SDK's.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import anyio
import anyio.abc
import anyio.lowlevel
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.dispatcher import CallOptions, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, ErrorData, JSONRPCRequest, RequestId

from gateway.transport.ends import Closing

LAST_WORD = 5.0  # seconds that telling an upstream of a cancelled call may take


class _Waiter:
    """One request that waits for its answer, in the shape that the SDK's table of pending requests has."""

    __slots__ = ("_event", "_outcome", "on_progress")

    def __init__(self, on_progress: ProgressFnT | None) -> None:
        self.on_progress = on_progress
        self._event = anyio.Event()
        self._outcome: dict[str, Any] | ErrorData | None = None

    @property
    def send(self) -> Self:
        """The end that the dispatcher puts the outcome into."""
        return self

    def send_nowait(self, outcome: dict[str, Any] | ErrorData) -> None:
        """Take the outcome; a second one counts for nothing."""
        if self._outcome is None:
            self._outcome = outcome
            self._event.set()

    async def outcome(self) -> dict[str, Any] | ErrorData:
        """Wait for the answer, or for the end of the connection."""
        await self._event.wait()
        assert self._outcome is not None
        return self._outcome


class UpstreamDispatcher(JSONRPCDispatcher):
    """The SDK's dispatcher with a first question that doesn't wait for long, and deaf to notices.

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

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: RequestId | None = None,
    ) -> dict[str, Any]:
        if method == "tools/call" and opts is not None and "request_id" in opts and "headers" not in opts:
            return await self._call(opts["request_id"], params or {}, opts.get("on_progress"))
        if method == "server/discover" and opts is not None and "timeout" in opts:
            opts["timeout"] = min(opts["timeout"], self._discover_timeout)
        return await super().send_raw_request(method, params, opts, _related_request_id=_related_request_id)

    async def _call(
        self, request_id: RequestId, params: Mapping[str, Any], on_progress: ProgressFnT | None
    ) -> dict[str, Any]:
        """What the SDK's own method does for a tools/call on a pipe, without its spans, clocks and streams.

        Half of the cost of a call to an upstream. `tests/upstreams/test_dispatcher.py` holds the two together.
        """
        if self._closed:
            raise MCPError(code=CONNECTION_CLOSED, message="Connection closed")
        if not self._running:
            raise RuntimeError("a call before the dispatcher runs")
        if on_progress is not None:
            params = {**params, "_meta": {**(params.get("_meta") or {}), "progressToken": request_id}}
        message = JSONRPCRequest.model_construct(jsonrpc="2.0", id=request_id, method="tools/call", params=params)
        waiter = _Waiter(on_progress)
        pending: dict[RequestId, Any] = self._pending
        pending[request_id] = waiter
        written = False
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            written = True
            try:
                await self._write(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise MCPError(code=CONNECTION_CLOSED, message="Connection closed") from None
            outcome = await waiter.outcome()
        except anyio.get_cancelled_exc_class():
            if written:
                with anyio.move_on_after(LAST_WORD, shield=True):
                    cancelled = {"requestId": request_id, "reason": "caller cancelled"}
                    await self.notify("notifications/cancelled", cancelled)
            raise
        finally:
            pending.pop(request_id, None)
        if isinstance(outcome, ErrorData):
            raise MCPError(code=outcome.code, message=outcome.message, data=outcome.data)
        return outcome

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            await super().run(on_request, on_notify, lambda _method, _params: True, task_status=task_status)
        finally:
            self._ended.set()

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
