"""What is let in from an upstream besides answers, whatever the transport.

Keeps an upstream from filling memory or logs with messages that nobody asked for.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from mcp.shared._stream_protocols import ReadStream
from mcp.shared.message import SessionMessage
from mcp_types import PARSE_ERROR, JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from gateway.core.canon import finite
from gateway.transport.ends import ReadEnd
from gateway.transport.wire import INVALID_ANSWER, MalformedError, failed
from gateway.upstreams.dispatcher import LOG_NOTICE

LIST_CHANGED = frozenset(f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources"))
UPDATED = "notifications/resources/updated"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
PROGRESS_PER_SECOND = 500
REQUESTS_PER_SECOND = 100
LOGS_PER_SECOND = 100
UPDATES_PER_SECOND = 100
LARGEST_LOG = 64 * 1024  # bytes of one log notice
LONGEST_URI = 8 * 1024
_PASSED_ON = ("notifications/progress", "notifications/cancelled")

Heard = Callable[[str, Mapping[str, Any]], None]
"""`(method, params)`: a notice that a list changed, that a resource was updated, or that a subscription was taken."""


class Intake:
    """Admits answers, and up to a rate questions, progress and log notices; tells of changes; drops the rest."""

    def __init__(self, on_notice: Heard) -> None:
        self._on_notice = on_notice
        self._progress = Rate(PROGRESS_PER_SECOND)
        self._requests = Rate(REQUESTS_PER_SECOND)
        self._logs = Rate(LOGS_PER_SECOND)
        self._updates = Rate(UPDATES_PER_SECOND)
        self.heard = 0  # messages of any kind: a sign of life

    def admit(self, message: JSONRPCMessage) -> bool:
        """Whether the dispatcher gets to see the message."""
        self.heard += 1
        if isinstance(message, JSONRPCNotification):
            return self._notice(message.method, message.params or {})
        return not isinstance(message, JSONRPCRequest) or self._requests.take()

    def _notice(self, method: str, params: Mapping[str, Any]) -> bool:
        if method in _PASSED_ON:
            return self._progress.take()
        if method == LOG_NOTICE:
            return self._logs.take() and _fits(params)
        if method in LIST_CHANGED or method == ACKNOWLEDGED or (method == UPDATED and self._updates.take()):
            self._on_notice(method, params)
        return False


class Rate:
    """So many per second, the rest not."""

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._since = most, 0, 0.0

    def take(self) -> bool:
        """Whether one more fits into this second."""
        now = time.monotonic()
        if now - self._since >= 1:
            self._since, self._taken = now, 0
        self._taken += 1
        return self._taken <= self._most


def _fits(params: Mapping[str, Any]) -> bool:
    try:
        return len(msgspec.json.encode(params)) <= LARGEST_LOG
    except (TypeError, ValueError, RecursionError):
        return False


class AdmittingStream(ReadEnd):
    """A read stream of the SDK's that lets through only what is admitted, and reads numbers as strictly as stdio."""

    def __init__(self, inner: ReadStream[SessionMessage | Exception], intake: Intake) -> None:
        self._inner, self._intake = inner, intake

    async def receive(self) -> SessionMessage | Exception:
        """The next message that is admitted."""
        while True:
            item = _strict(await self._inner.receive())
            if not isinstance(item, SessionMessage) or self._intake.admit(item.message):
                return item

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()


def _strict(item: SessionMessage | Exception) -> SessionMessage | Exception:
    """The item; with a NaN or an infinity in it, which the SDK's reader lets in, an answer is an error for its call,
    and all else is no message.
    """
    if not isinstance(item, SessionMessage):
        return item
    message = item.message
    if finite(message.error.data if isinstance(message, JSONRPCError) else message.__dict__):
        return item
    if isinstance(message, JSONRPCError | JSONRPCResponse):
        return SessionMessage(failed(message.id, INVALID_ANSWER))
    return MalformedError(PARSE_ERROR, "parse error")
