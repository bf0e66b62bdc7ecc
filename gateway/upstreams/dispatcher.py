"""The SDK's dispatcher, as a gateway needs it towards upstreams.

Correlation, cancellation and progress stay the SDK's.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.dispatcher import CallOptions, OnNotify, OnNotifyIntercept, OnRequest
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, RequestId


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
        if method == "server/discover" and opts is not None and "timeout" in opts:
            opts["timeout"] = min(opts["timeout"], self._discover_timeout)
        return await super().send_raw_request(method, params, opts, _related_request_id=_related_request_id)

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


class TrackedStream:
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
