"""What is let in from an upstream besides answers, whatever the transport.

Keeps an upstream from filling memory or logs with messages that nobody asked for.
"""

import time
from collections.abc import Callable

from mcp.shared._stream_protocols import ReadStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest

from gateway.transport.ends import ReadEnd

LIST_CHANGED = "notifications/tools/list_changed"
PROGRESS_PER_SECOND = 500
REQUESTS_PER_SECOND = 100
_PASSED_ON = ("notifications/progress", "notifications/cancelled")


class Intake:
    """Admits answers, questions and progress, the latter two up to a rate; takes note of changed lists; drops the rest.

    Log notices are dropped until they can be screened and passed on.
    """

    def __init__(self, on_list_changed: Callable[[], None]) -> None:
        self._on_list_changed = on_list_changed
        self._progress = _Rate(PROGRESS_PER_SECOND)
        self._requests = _Rate(REQUESTS_PER_SECOND)
        self.heard = 0  # messages of any kind: a sign of life

    def admit(self, message: JSONRPCMessage) -> bool:
        """Whether the dispatcher gets to see the message."""
        self.heard += 1
        if isinstance(message, JSONRPCNotification):
            if message.method == LIST_CHANGED:
                self._on_list_changed()
            return message.method in _PASSED_ON and self._progress.take()
        return not isinstance(message, JSONRPCRequest) or self._requests.take()


class _Rate:
    """So many per second, the rest not."""

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._since = most, 0, 0.0

    def take(self) -> bool:
        now = time.monotonic()
        if now - self._since >= 1:
            self._since, self._taken = now, 0
        self._taken += 1
        return self._taken <= self._most


class AdmittingStream(ReadEnd):
    """A read stream of the SDK's that lets through only what is admitted."""

    def __init__(self, inner: ReadStream[SessionMessage | Exception], intake: Intake) -> None:
        self._inner, self._intake = inner, intake

    async def receive(self) -> SessionMessage | Exception:
        """The next message that is admitted."""
        while True:
            item = await self._inner.receive()
            if not isinstance(item, SessionMessage) or self._intake.admit(item.message):
                return item

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()
