"""The life of one connection to an upstream: start, serve, end, start again, with the state that people see.

Raises nothing for what the upstream does, and touches no other connection.
"""

import contextlib
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.visible import visible
from gateway.errors import ConfigurationError, UpstreamError, WardgateError
from gateway.upstreams.definitions import Listing
from gateway.upstreams.intake import ACKNOWLEDGED, LONGEST_URI, UPDATED, Intake
from gateway.upstreams.link import STDERR, Link, connect
from gateway.upstreams.lists import Sieve, Unsifted, walk
from gateway.upstreams.logs import Logs
from gateway.upstreams.questions import Note, Parking, Questions
from gateway.upstreams.spec import UpstreamSpec
from gateway.upstreams.subscriptions import Listener, Updated, Watched

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
STABLE = 60.0  # seconds of service after which the pauses start small again
DEBOUNCE, LONGEST_DEBOUNCE = 0.2, 10.0  # seconds between a notice that a list changed and the new list
LONGEST_DETAIL = 500
LONGEST_TAIL = 300  # characters of stderr in it

Declare = Callable[[str, str, Mapping[str, Any]], Mapping[str, Any]]
"""`(upstream, client, capabilities)`: what the upstream may be told of what the client can do, as on the wire."""


class State(str, Enum):
    """Where in its life an upstream is; only `ready` takes calls."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it was ready, ended, and is started again
    FAILED = "failed"  # the last start did not succeed; another one follows
    STOPPED = "stopped"


class Pace(Struct, frozen=True):
    """Time and chance, injected."""

    now: Callable[[], float] = anyio.current_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, failures: int, permanent: bool) -> float:
        """Seconds before the next start: doubling from 0.5 to 60, at once 60 for what only a person can mend."""
        if permanent:
            return LONGEST_PAUSE
        longest = min(FIRST_PAUSE * 2.0 ** min(failures, 10), LONGEST_PAUSE)
        return longest * (0.75 + 0.25 * self.jitter())


def nothing_declared(_upstream: str, _client: str, _capabilities: Mapping[str, Any]) -> Mapping[str, Any]:
    """No upstream may ask anything of any client."""
    return {}


def nobody(*_heard: object) -> None:
    """Nobody hears of it."""


class Ties(Struct, frozen=True):
    """What the connections to all upstreams have in common."""

    pace: Pace = field(default_factory=Pace)
    declare: Declare = nothing_declared
    note: Note = nobody
    tell: Callable[[Updated], None] = nobody
    sieve: Sieve = field(default_factory=Unsifted)
    parking: Parking = field(default_factory=Parking)
    subscribed: Counter[str] = field(default_factory=Counter)  # resources by seat


class Guest(Struct, frozen=True):
    """For whom a connection is kept: the seat of one client (empty: of several), and what may be declared of it."""

    seat: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)


SHARED = Guest()


class Supervisor:
    """Runs one connection for as long as `run` runs; `offer` takes what it lists, `watch` hears of each new state.

    One that isn't `lasting` ends as soon as it has listed, stays `ready`, and lists anew after `relist`.
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        offer: Callable[[Listing], None],
        watch: Callable[[str], None],
        ties: Ties,
        guest: Guest = SHARED,
        lasting: bool = True,
    ) -> None:
        self.spec, self.ties, self.guest = spec, ties, guest
        self._offer, self._watch, self._lasting = offer, watch, lasting
        self._state, self.detail = State.STARTING, ""
        self.settled = anyio.Event()  # started, or failed to, for the first time
        self.unauthorized = False  # whether it asked at the last start for somebody to sign in
        self.listing = Listing()
        self.digests: Mapping[str, str] = {}  # of the tools that it lists
        self.link: Link | None = None
        self.logs: Logs | None = None
        self.listener: Listener | None = None
        self.watched = Watched(ties.subscribed)
        self.in_flight = 0
        self._era = spec.era
        self._ready_at = math.inf
        self._began, self.took = 0.0, 0.0  # seconds from the last start until it had listed what it offers
        self.agreed = ""  # the revision of the protocol that was agreed on
        self._stale, self._doubted, self._again = anyio.Event(), anyio.Event(), anyio.Event()

    @property
    def state(self) -> State:
        """Where it is; no more `ready` as soon as the connection has ended."""
        if self._lasting and self._state is State.READY and (self.link is None or self.link.over):
            return State.RESTARTING
        return self._state

    @property
    def busy(self) -> int:
        """How many calls have no answer yet, those that wait for a person included."""
        return self.in_flight + (self.link.parked if self.link is not None else 0)

    def relist(self) -> None:
        """Start one that isn't lasting once more, to list everything again."""
        self._again.set()

    def doubt(self) -> None:
        """Ask the upstream for a sign of life: a call got none."""
        self._doubted.set()

    async def run(self) -> None:
        """Keep the upstream running until cancelled."""
        failures = 0
        try:
            while True:
                self._ready_at = math.inf
                detail, permanent = await self._live()
                was_ready = self._ready_at < math.inf
                failures = 0 if self.ties.pace.now() - self._ready_at >= STABLE else failures
                if was_ready and not self._lasting:
                    failures = 0
                    await self._again.wait()
                    await self.ties.pace.sleep(DEBOUNCE)
                    self._again = anyio.Event()
                    continue
                self._become(State.RESTARTING if was_ready else State.FAILED, detail)
                await self.ties.pace.sleep(self.ties.pace.pause(failures, permanent))
                failures += 1
        finally:
            self.watched.clear()
            self._become(State.STOPPED, "")

    async def _live(self) -> tuple[str, bool]:
        """Start it and serve until it ends; say why it ended, and whether only a person can mend that."""
        self._stale, self._doubted = anyio.Event(), anyio.Event()
        self._began = self.ties.pace.now()
        link: Link | None = None
        permanent = False
        detail = "the connection ended"
        with anyio.CancelScope(deadline=anyio.current_time() + self.spec.start_timeout) as starting:
            try:
                async with connect(self.spec, Intake(self._hear), self.guest.declared) as link:
                    questions = Questions(self.spec.name, link, self.guest.seat != "", self.ties.note)
                    link.dispatcher.on_question = questions.ask
                    await self._negotiate(link)
                    await self._serve(link, starting)
            except Exception as problem:  # noqa: BLE001 - whatever is wrong with one upstream, it stays with that one
                detail, permanent = _explain(problem)
        if starting.cancelled_caught:
            detail = f"did not start within {self.spec.start_timeout:g} s"
        self.unauthorized = link is not None and link.unauthorized.is_set()
        more = link.detail if link is not None else ""
        if permanent and not more:
            return detail, permanent  # our own words; all else may quote the upstream, with a secret in it
        whole = f"{detail}; {more}" if more else detail
        return _shortened(await self.ties.sieve.words(self.spec.name, whole)), permanent

    async def _negotiate(self, link: Link) -> None:
        """Agree on a revision. A program that ends at the modern question gets the legacy one at the next start."""
        era, self._era = self._era, self.spec.era
        try:
            await link.negotiate(era)
        except MCPError:
            if era == "auto" and link.silent is not None and link.silent.is_set():
                self._era = LATEST_HANDSHAKE_VERSION
            raise

    async def _serve(self, link: Link, starting: anyio.CancelScope) -> None:
        """List what it offers, take calls, and follow its changes until the connection ends."""
        async with anyio.create_task_group() as tasks:
            if link.modern and self._lasting:
                self.listener = Listener(link, self.watched, self.ties.pace.sleep, self._note_gap)
                tasks.start_soon(self.listener.run)
            missed = self.watched.uris
            try:
                try:
                    await self._list(link, starting)
                except MCPError as problem:
                    raise UpstreamError(f"its tools could not be listed: {_said(problem)}") from None
                starting.deadline, self._ready_at = math.inf, self.ties.pace.now()
                self.took, self.agreed = self._ready_at - self._began, link.revision
                if not self._lasting:
                    await self._list_late(link)
                else:
                    tasks.start_soon(self._follow, link)
                    tasks.start_soon(self._doubt, link)
                    tasks.start_soon(self._restore, link, missed)
                    await link.ended.wait()
            finally:
                self.link = self.listener = self.logs = None
                self.ties.parking.close(link)
            tasks.cancel_scope.cancel()

    async def _list(self, link: Link, starting: anyio.CancelScope | None = None) -> None:
        listing = await walk(link, self.spec)
        if starting is not None:
            starting.deadline = math.inf  # it has done its part: screening has a deadline of its own
        listing = replace(await self.ties.sieve.listing(self.spec.name, listing), version=link.version)
        self.listing = listing
        self.digests = {one.name: one.digest for one in listing.tools}
        self._offer(listing)
        if self._lasting and self.link is None:
            self.logs = Logs(link, self.guest.seat != "")
            link.dispatcher.on_log = self.logs.hear
            self.link = link
        self._become(State.READY, listing.note)

    async def _list_late(self, link: Link) -> None:
        """Some servers complete their lists only once they know their client: list again, once, if it says so."""
        with anyio.move_on_after(DEBOUNCE):
            await self._stale.wait()
        if self._stale.is_set():
            await self.ties.pace.sleep(DEBOUNCE)
            with contextlib.suppress(MCPError), anyio.move_on_after(self.spec.start_timeout):
                await self._list(link)

    async def _follow(self, link: Link) -> None:
        """List again after each notice of a change; the old list stays until the new one is in."""
        pause = DEBOUNCE
        while True:
            await self._stale.wait()
            await self.ties.pace.sleep(pause)
            self._stale = anyio.Event()
            began = anyio.current_time()
            with contextlib.suppress(MCPError), anyio.move_on_after(self.spec.start_timeout):
                await self._list(link)
            pause = min(max(DEBOUNCE, 5 * (anyio.current_time() - began)), LONGEST_DEBOUNCE)

    async def _restore(self, link: Link, uris: frozenset[str]) -> None:
        """Subscribe again, on a new connection, to what was watched on the one before."""
        for uri in () if link.modern else sorted(uris):
            with contextlib.suppress(MCPError), anyio.move_on_after(self.spec.timeout):
                await link.request("resources/subscribe", {"uri": uri})
        for uri in uris:  # what changed meanwhile was not told
            self._tell(uri)

    async def _doubt(self, link: Link) -> None:
        """After a call without an answer: ask for any sign of life, and end a connection that gives none."""
        while True:
            await self._doubted.wait()
            self._doubted = anyio.Event()
            heard = link.heard
            with anyio.move_on_after(self.spec.doubt_timeout) as patience, contextlib.suppress(MCPError):
                await link.request("server/discover" if link.modern else "ping", {})
            if patience.cancelled_caught and link.heard == heard and not link.is_http:
                raise UpstreamError(f"gave no sign of life for {self.spec.doubt_timeout:g} s")

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        """Take a notice of the upstream's."""
        if method == ACKNOWLEDGED:
            if self.listener is not None:
                self.listener.acknowledge(params)
        elif method == UPDATED:
            uri = params.get("uri")
            if isinstance(uri, str) and len(uri) <= LONGEST_URI:
                self._tell(uri)
        else:
            self._stale.set()

    def _tell(self, uri: str) -> None:
        """Tell that a resource changed, if anybody asked for it; of a shared connection whoever subscribed is told."""
        seats = self.watched.seats_of(uri)
        for seat in sorted(seats) if self.spec.per != "gateway" else ("",) if seats else ():
            self.ties.tell(Updated(self.spec.name, uri, seat))

    def _note_gap(self) -> None:
        self._stale.set()
        for uri in self.watched.uris:
            self._tell(uri)

    def _become(self, state: State, detail: str) -> None:
        detail = visible(" ".join(detail.split()))[:LONGEST_DETAIL]
        if (state, detail) == (self._state, self.detail):
            return
        self._state, self.detail = state, detail
        if state is not State.STARTING:
            self.settled.set()
        self._watch(self.spec.name)


def _explain(problem: BaseException) -> tuple[str, bool]:
    """What went wrong in one line, and whether only a person can mend it."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    match problem:
        case ConfigurationError():
            return str(problem), True
        case WardgateError():
            return str(problem), False
        case MCPError():
            return f"could not agree on a protocol: {_said(problem)}", False
        case _:  # what its answer made the SDK raise; the text may quote the answer
            return f"its answers could not be read: {type(problem).__name__}", False


def _shortened(detail: str) -> str:
    """What is told of why it ended, with no more than the end of stderr; to be cut only after it was screened."""
    said, mark, tail = detail.partition(STDERR)
    return said + mark + tail[-LONGEST_TAIL:].replace("\n", " | ")


def _said(problem: MCPError) -> str:
    return f"{problem.error.message} ({problem.error.code})"
