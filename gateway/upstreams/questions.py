"""Questions of legacy upstreams: whose call each belongs to, and the calls that stay open until a client comes back.

Knows no content: whether a question may be asked at all is decided by whoever gets it. Asks no person itself.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST, METHOD_NOT_FOUND
from msgspec import Struct

from gateway.core.model import QUESTIONS, Again, Asked, Failure, Lost, Reason
from gateway.upstreams.exchange import GONE, Asking, Exchange
from gateway.upstreams.intake import Rate
from gateway.upstreams.link import Link
from gateway.upstreams.results import MOST_QUESTIONS, read_question

if TYPE_CHECKING:
    from gateway.upstreams.supervisor import Supervisor

MOST_REMEMBERED = 1_000  # parked calls that ended, of which it is still known why
NOTES_PER_SECOND = 10

Note = Callable[[str, str, Reason], None]
"""`(upstream, method, reason)`: hears of a question that was refused because it belongs to no call."""


class Questions:
    """What one legacy connection is asked; `personal` if it is kept for one client, who alone can be meant."""

    def __init__(self, upstream: str, link: Link, personal: bool, note: Note) -> None:
        self._upstream, self._link, self._personal, self._note = upstream, link, personal, note
        self._notes = Rate(NOTES_PER_SECOND)

    async def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Put a question to the call that it belongs to, and wait for the answer.

        Raises `MCPError` where nobody can be asked, or the answer is a refusal. It waits as long as the call is open.
        """
        if method not in QUESTIONS:
            raise MCPError(code=METHOD_NOT_FOUND, message="Method not found")
        question = read_question(secrets.token_hex(8), method, params)
        exchange = next(self._askable(), None) if self._personal and not self._link.modern else None
        if exchange is None or question is None:
            if self._notes.take():
                reason = Reason.METHOD_BLOCKED if self._personal else Reason.QUESTION_SHARED
                self._note(self._upstream, method, reason)
            raise MCPError(code=INVALID_REQUEST, message="nobody can be asked here")
        if len(exchange.questions) >= MOST_QUESTIONS:
            raise MCPError(code=INVALID_REQUEST, message=f"more than {MOST_QUESTIONS} questions at a time")
        asking = Asking(question)
        exchange.ask(asking)
        try:
            return await asking.answer()
        finally:  # answered, or taken back by the upstream
            exchange.questions.pop(question.key, None)

    def _askable(self) -> Iterator[Exchange]:
        """The calls that a question can belong to, best first: the newest that runs, else the newest that is open."""
        open_calls = list(self._link.dispatcher.open_calls())
        yield from (one for one in open_calls if not one.parked)
        yield from open_calls


class Parked(Struct, frozen=True):
    """A call that is open at its upstream while a client is asked something."""

    home: "Supervisor"
    link: Link
    exchange: Exchange
    principal: str
    until: float

    def answer(self, again: Again) -> None:
        """Hand the answers to the questions; those that there is none for stay asked."""
        for key, answer in again.answers.items():
            asking = self.exchange.questions.pop(key, None)
            if asking is not None:
                asking.settle(answer)


class Parking:
    """All parked calls, by the ticket under which each is taken up again, once."""

    def __init__(self) -> None:
        self._calls: dict[str, Parked] = {}
        self._ended: dict[str, Lost] = {}
        self._changed = anyio.Event()

    def park(self, call: Parked) -> Asked:
        """Keep a call until it is taken, dropped, or nobody came back by `until`."""
        ticket = secrets.token_hex(16)
        call.exchange.parked = True
        call.exchange.on_progress = None  # whoever waited for it has been answered
        call.link.parked += 1
        self._calls[ticket] = call
        self._changed.set()
        asked = tuple(asking.question for asking in call.exchange.questions.values())
        return Asked(asked, parked=ticket)

    def take(self, ticket: str, principal: str) -> Parked | Lost:
        """The call, for the principal that it was parked for; it is not parked any more."""
        call = self._calls.get(ticket)
        if call is None or call.principal != principal:
            unknown = Lost(Reason.UPSTREAM_LOST, "the call that waited for this answer is gone")
            return self._ended.get(ticket, unknown) if call is None else unknown
        return self._remove(ticket)

    async def drop(self, ticket: str) -> None:
        """Cancel a parked call at its upstream: nobody will come back. One that is gone is no error."""
        if ticket in self._calls:
            call = self._remove(ticket)
            self._remember(ticket, Lost(Reason.UPSTREAM_LOST, "the call was given up while its client was asked"))
            await call.link.dispatcher.abandon(call.exchange)

    def close(self, link: Link) -> None:
        """The connection ended, and every call that was parked on it is lost."""
        for ticket in [ticket for ticket, call in self._calls.items() if call.link is link]:
            self._remove(ticket).exchange.close()
            self._remember(ticket, Lost(Reason.UPSTREAM_LOST, "the connection was lost while its client was asked"))

    async def run(self) -> None:
        """End what nobody came back for in time, until cancelled."""
        while True:
            self._changed = anyio.Event()
            now = anyio.current_time()
            for ticket in [ticket for ticket, call in self._calls.items() if call.until <= now]:
                await self._expire(ticket)
            first = min((call.until for call in self._calls.values()), default=None)
            with anyio.move_on_after(None if first is None else max(0.0, first - now)):
                await self._changed.wait()

    async def _expire(self, ticket: str) -> None:
        if ticket not in self._calls:
            return
        call = self._remove(ticket)
        self._remember(ticket, Lost(Reason.QUESTION_EXPIRED, "nobody came back with an answer in time"))
        for asking in list(call.exchange.questions.values()):
            asking.settle(Failure(GONE, "nobody answered in time"))
        await call.link.dispatcher.abandon(call.exchange)

    def _remove(self, ticket: str) -> Parked:
        call = self._calls.pop(ticket)
        call.exchange.parked = False
        call.link.parked -= 1
        return call

    def _remember(self, ticket: str, why: Lost) -> None:
        self._ended[ticket] = why
        if len(self._ended) > MOST_REMEMBERED:
            del self._ended[next(iter(self._ended))]
