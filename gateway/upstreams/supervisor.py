"""The life of one upstream: start, serve, end, start again, with the state that people see.

Raises nothing for what the upstream does, and touches no other upstream.
"""

import contextlib
import itertools
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND
from mcp_types.version import LATEST_HANDSHAKE_VERSION

from gateway.core.model import Lost, Reason, Reply, Unsent
from gateway.errors import ConfigurationError, UpstreamError, WardgateError
from gateway.ports import Progress
from gateway.transport.process import visible
from gateway.upstreams.definitions import LARGEST_LIST, Listing, read_listing
from gateway.upstreams.intake import Intake
from gateway.upstreams.link import Link, connect
from gateway.upstreams.relay import relay
from gateway.upstreams.spec import UpstreamSpec

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
STABLE = 60.0  # seconds of service after which the pauses start small again
DEBOUNCE, LONGEST_DEBOUNCE = 0.2, 10.0  # seconds between a notice that the tools changed and the new list
LONGEST_DETAIL = 500


class State(str, Enum):
    """Where in its life an upstream is; only `ready` takes calls."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it was ready, ended, and is started again
    FAILED = "failed"  # the last start did not succeed; another one follows
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Pace:
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


class Supervisor:
    """Runs one upstream for as long as `run` runs; `offer` takes what it lists, `watch` hears of each new state."""

    def __init__(
        self,
        spec: UpstreamSpec,
        offer: Callable[[Listing], None],
        watch: Callable[[str], None],
        pace: Pace,
    ) -> None:
        self.spec, self._offer, self._watch, self._pace = spec, offer, watch, pace
        self._state, self.detail = State.STARTING, ""
        self.settled = anyio.Event()  # started, or failed to, for the first time
        self._link: Link | None = None
        self._in_flight = 0
        self._era = spec.era
        self._ready_at = math.inf
        self._stale, self._doubted = anyio.Event(), anyio.Event()

    @property
    def state(self) -> State:
        """Where it is; no more `ready` as soon as the connection has ended."""
        if self._state is State.READY and (self._link is None or self._link.over):
            return State.RESTARTING
        return self._state

    async def run(self) -> None:
        """Keep the upstream running until cancelled."""
        failures = 0
        try:
            while True:
                self._ready_at = math.inf
                detail, permanent = await self._live()
                was_ready = self._ready_at < math.inf
                failures = 0 if self._pace.now() - self._ready_at >= STABLE else failures
                self._become(State.RESTARTING if was_ready else State.FAILED, detail)
                await self._pace.sleep(self._pace.pause(failures, permanent))
                failures += 1
        finally:
            self._become(State.STOPPED, "")

    async def forward(self, tool: str, arguments: bytes, meta: Mapping[str, Any], progress: Progress | None) -> Reply:
        """Relay one call, unless the upstream isn't ready or has as many calls as it may get."""
        link = self._link
        if link is None or link.over:
            return Unsent(f"upstream `{self.spec.name}` is {self.state.value}")
        if self._in_flight >= self.spec.calls_in_flight:
            return Unsent(f"busy: upstream `{self.spec.name}` has {self._in_flight} calls in flight")
        self._in_flight += 1
        heard = link.heard
        try:
            reply = await relay(link, tool, arguments, meta, self.spec.timeout, progress)
        finally:
            self._in_flight -= 1
        unsent = isinstance(reply, Unsent)
        if (unsent or (isinstance(reply, Lost) and reply.reason is Reason.UPSTREAM_TIMEOUT)) and link.heard == heard:
            self._doubted.set()
        return reply

    async def _live(self) -> tuple[str, bool]:
        """Start it and serve until it ends; say why it ended, and whether only a person can mend that."""
        self._stale, self._doubted = anyio.Event(), anyio.Event()
        link: Link | None = None
        permanent = False
        detail = "the connection ended"
        with anyio.CancelScope(deadline=anyio.current_time() + self.spec.start_timeout) as starting:
            try:
                async with connect(self.spec, Intake(lambda: self._stale.set())) as link:
                    await self._negotiate(link)
                    await self._serve(link, starting)
            except Exception as problem:  # noqa: BLE001 - whatever is wrong with one upstream, it stays with that one
                detail, permanent = _explain(problem)
        if starting.cancelled_caught:
            detail = f"did not start within {self.spec.start_timeout:g} s"
        more = link.detail if link is not None else ""
        return f"{detail}; {more}" if more else detail, permanent

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
        """List its tools, take calls, and follow its changes until the connection ends."""
        async with anyio.create_task_group() as tasks:
            if link.modern:
                tasks.start_soon(self._listen, link)
            try:
                await self._list(link)
                starting.deadline, self._ready_at = math.inf, self._pace.now()
                tasks.start_soon(self._follow, link)
                tasks.start_soon(self._doubt, link)
                await link.ended.wait()
            finally:
                self._link = None
            tasks.cancel_scope.cancel()

    async def _list(self, link: Link) -> None:
        items = await link.list_tools(self.spec.most_tools, LARGEST_LIST)
        listing = read_listing(items, self.spec.largest_definition)
        self._offer(listing)
        self._link = link
        self._become(State.READY, listing.note)

    async def _follow(self, link: Link) -> None:
        """List again after each notice of a change; the old list stays until the new one is in."""
        pause = DEBOUNCE
        while True:
            await self._stale.wait()
            await self._pace.sleep(pause)
            self._stale = anyio.Event()
            began = anyio.current_time()
            with contextlib.suppress(MCPError), anyio.move_on_after(self.spec.start_timeout):
                await self._list(link)
            pause = min(max(DEBOUNCE, 5 * (anyio.current_time() - began)), LONGEST_DEBOUNCE)

    async def _listen(self, link: Link) -> None:
        """Keep a `subscriptions/listen` stream open, if it has one; its notices are noted by the intake."""
        for attempt in itertools.count():
            try:
                await link.request(
                    "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, f"listen-{attempt}"
                )
            except MCPError as problem:
                if problem.error.code in (METHOD_NOT_FOUND, INVALID_REQUEST, INVALID_PARAMS):
                    return
            await self._pace.sleep(self._pace.pause(attempt, permanent=False))
            self._stale.set()  # what changed meanwhile was not told

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

    def _become(self, state: State, detail: str) -> None:
        detail = " ".join(visible(detail).split())[:LONGEST_DETAIL]
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
            return f"could not agree on a protocol: {problem.error.message} ({problem.error.code})", False
        case _:  # what its answer made the SDK raise; the text may quote the answer
            return f"its answers could not be read: {type(problem).__name__}", False
