"""One request at an upstream, from the moment it is written until it is answered or given up.

A value that others change: it sends nothing itself.
"""

from collections.abc import Mapping
from typing import Any, Self

import anyio
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types import ErrorData, RequestId

from gateway.core.model import Failure, Question
from gateway.ports import Ears

LAST_NOTICES = 2.0  # seconds that notices get which are on their way when the answer comes
LONGEST_NOTE = 1_000  # characters of a progress message


class Exchange:
    """A request that waits for its answer, in the shape that the SDK's table of pending requests has.

    `ears` are whose call it is, None for a request of the gateway's own. `questions` are those that the upstream asked
    while it runs and that wait for an answer.
    """

    __slots__ = (
        "_event",
        "answer",
        "begun",
        "ears",
        "id",
        "left",
        "method",
        "on_progress",
        "parked",
        "questions",
        "saying",
        "sent",
    )

    def __init__(self, request_id: RequestId, method: str, ears: Ears | None = None) -> None:
        self.id, self.method = request_id, method
        self.ears: Ears | None = None
        self.on_progress: ProgressFnT | None = None
        self.begun = False  # writing it has begun: the upstream is told if it is given up
        self.sent = False  # the transport took it: the upstream may have seen it
        self.parked = False  # it waits for a client to come back with answers
        self.left = 0.0  # seconds that the upstream still has when it goes on
        self.answer: dict[str, Any] | ErrorData | None = None
        self.questions: dict[str, Asking] = {}
        self.saying = 0  # notices of the upstream that are on their way to the client
        self._event = anyio.Event()
        if ears is not None:
            self.hear(ears)

    @property
    def send(self) -> Self:
        """The end that the dispatcher puts the outcome into."""
        return self

    def send_nowait(self, outcome: dict[str, Any] | ErrorData) -> None:
        """Take the outcome; a second one counts for nothing."""
        if self.answer is None:
            self.answer = outcome
            self._event.set()

    def hear(self, ears: Ears) -> None:
        """Say from now on to these what the upstream says of this call."""
        self.ears = ears
        self.on_progress = _latest(self, ears) if ears.wants_progress else None

    def ask(self, asking: "Asking") -> None:
        """Put a question of the upstream's to whoever waits for the answer."""
        self.questions[asking.question.key] = asking
        self._event.set()

    async def wait(self) -> None:
        """Wait for the answer, for a question, or for the end of the connection."""
        while self.answer is None and not self.questions:
            await self._event.wait()
            if self.answer is None:
                self._event = anyio.Event()

    def said(self) -> None:
        """A notice that was on its way has reached the client, or was dropped."""
        self.saying -= 1
        self._event.set()

    async def quiet(self) -> None:
        """Wait until what was said before the answer has reached the client, for `LAST_NOTICES` seconds at most: behind
        the answer it would reach nobody who listens on one request.
        """
        with anyio.move_on_after(LAST_NOTICES):
            while self.saying:
                self._event = anyio.Event()
                await self._event.wait()

    def close(self) -> None:
        """Refuse what is still asked: nobody waits for this call any more."""
        for asking in list(self.questions.values()):
            asking.settle(Failure(GONE, "the call that this was asked for is over"))
        self.questions.clear()


GONE = -32000  # what an upstream is told whose question nobody will answer


class Asking:
    """A question of a legacy upstream that waits for its answer."""

    __slots__ = ("_answer", "_event", "question")

    def __init__(self, question: Question) -> None:
        self.question = question
        self._event = anyio.Event()
        self._answer: Mapping[str, Any] | Failure | None = None

    def settle(self, answer: Mapping[str, Any] | Failure) -> None:
        """Answer or refuse; the first one counts."""
        if self._answer is None:
            self._answer = answer
            self._event.set()

    async def answer(self) -> dict[str, Any]:
        """Wait for the answer; raises `MCPError` if it is refused. Has no deadline: the call that it is part of has."""
        await self._event.wait()
        if isinstance(self._answer, Failure):
            raise MCPError(code=self._answer.code, message=self._answer.message, data=self._answer.data)
        return dict(self._answer or {})


def _latest(exchange: Exchange, ears: Ears) -> ProgressFnT:
    """Pass on progress one notice at a time; while one is under way only the latest is kept."""
    waiting: list[tuple[float, float | None, str | None]] = []
    busy = False

    async def report(progress: float, total: float | None, message: str | None) -> None:
        nonlocal busy
        waiting[:] = [(progress, total, message[:LONGEST_NOTE] if message else message)]
        if busy:
            return
        busy = True
        exchange.saying += 1
        try:
            while waiting:
                await ears.progress(*waiting.pop())
        finally:
            busy = False
            exchange.said()

    return report
