"""Resources of one upstream that clients want to be told of, and the stream of a modern upstream that tells of changes.

Knows no client: a seat is only a name to count by. Reads no resource.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import anyio
import anyio.abc
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND

from gateway.upstreams.link import Link

ACKNOWLEDGE = 10.0  # seconds that an upstream gets to take up a changed subscription
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds before a stream that was lost is opened again


class Updated(NamedTuple):
    """A resource changed; `seat` is whose connection said so, empty for one that clients share."""

    upstream: str
    uri: str
    seat: str


class Watched:
    """Which resources are watched on one connection, and from which seats; `counted` is the total of each seat."""

    def __init__(self, counted: Counter[str]) -> None:
        self._seats: dict[str, set[str]] = {}
        self._counted = counted

    @property
    def uris(self) -> frozenset[str]:
        """Everything that is watched."""
        return frozenset(self._seats)

    def has(self, uri: str, seat: str) -> bool:
        """Whether this seat watches it."""
        return seat in self._seats.get(uri, ())

    def add(self, uri: str, seat: str) -> None:
        """Watch it from this seat too."""
        if not self.has(uri, seat):
            self._seats.setdefault(uri, set()).add(seat)
            self._counted[seat] += 1

    def remove(self, uri: str, seat: str) -> bool:
        """Watch it from this seat no more; whether nobody watches it now."""
        if not self.has(uri, seat):
            return False
        self._seats[uri].discard(seat)
        self._counted[seat] -= 1
        if self._counted[seat] <= 0:
            del self._counted[seat]
        if not self._seats[uri]:
            del self._seats[uri]
            return True
        return False

    def leave(self, seat: str) -> tuple[str, ...]:
        """Forget a seat; what nobody watches now."""
        return tuple(uri for uri in tuple(self._seats) if self.remove(uri, seat))

    def clear(self) -> None:
        """Forget all seats."""
        for seat in {seat for seats in self._seats.values() for seat in seats}:
            self.leave(seat)

    def seats_of(self, uri: str) -> frozenset[str]:
        """Who is to be told of a change: watchers of the resource, or of one that it is a part of."""
        found = set(self._seats.get(uri, ()))
        for watched, seats in self._seats.items():
            if uri.startswith(watched if watched.endswith("/") else f"{watched}/"):
                found |= seats
        return frozenset(found)


class Listener:
    """Keeps a `subscriptions/listen` stream to a modern upstream open, with everything that is watched.

    `refresh` opens a new stream before the old one ends, so that nothing is missed in between; `on_gap` is called when
    something may have been.
    """

    def __init__(
        self, link: Link, watched: Watched, sleep: Callable[[float], Awaitable[None]], on_gap: Callable[[], None]
    ) -> None:
        self._link, self._watched, self._sleep, self._on_gap = link, watched, sleep, on_gap
        self._open: _Stream | None = None  # the one that tells of changes
        self._latest: _Stream | None = None  # the one that was asked for last
        self._changed, self._turn = anyio.Event(), anyio.Event()
        self._denied: frozenset[str] = frozenset()
        self._deaf = False

    def refresh(self) -> None:
        """Note that what is watched changed."""
        self._changed.set()

    async def covers(self, uri: str) -> bool:
        """Wait until the upstream has taken up the subscription; False if it won't. Has no deadline of its own."""
        while not self._deaf and uri not in self._denied and (self._open is None or uri not in self._open.asked):
            await self._turn.wait()
        return self._open is not None and uri in self._open.honored

    def acknowledge(self, params: Mapping[str, Any]) -> None:
        """Take the upstream's word for which subscriptions it honours."""
        meta, granted, stream = params.get("_meta"), params.get("notifications"), self._latest
        if stream is None or not isinstance(meta, dict) or meta.get(SUBSCRIPTION_ID_META_KEY) != stream.id:
            return
        uris = granted.get("resourceSubscriptions") if isinstance(granted, dict) else None
        taken = frozenset(uri for uri in uris if isinstance(uri, str)) if isinstance(uris, list) else frozenset()
        stream.honored = taken & stream.asked
        stream.settled.set()

    async def run(self) -> None:
        """Follow until cancelled, or until the upstream turns out to have no such stream."""
        failures = 0
        async with anyio.create_task_group() as tasks:
            for number in itertools.count():
                self._changed = anyio.Event()
                stream = await self._try(number, tasks)
                if stream is not None and stream.refused and self._open is None:
                    self._deaf = True
                    self._turn.set()
                    return
                if stream is None or not stream.ended or (stream.refused and self._open is not None):
                    failures = 0
                    await self._changed.wait()
                    stream = self._open
                if stream is not None and stream.ended:
                    self._open = None
                    await self._sleep(min(FIRST_PAUSE * 2.0 ** min(failures, 10), LONGEST_PAUSE))
                    failures += 1
                    self._on_gap()

    async def _try(self, number: int, tasks: anyio.abc.TaskGroup) -> "_Stream | None":
        """Ask for everything that is wanted now, and let the new stream take the old one's place if it stands."""
        wanted = self._filter()
        if not wanted:
            self._replace(None)
            return None
        stream = self._latest = _Stream(f"listen-{number}", self._watched.uris)
        tasks.start_soon(self._hold, stream, wanted)
        with anyio.move_on_after(ACKNOWLEDGE):
            await stream.settled.wait()
        if stream.refused and self._open is not None:
            self._denied = stream.asked - self._open.asked
            self._turn.set()
            self._turn = anyio.Event()
        elif not stream.ended:
            self._replace(stream)
        return stream

    async def _hold(self, stream: "_Stream", wanted: Mapping[str, Any]) -> None:
        with stream.scope:
            try:
                await self._link.request("subscriptions/listen", {"notifications": wanted}, stream.id)
            except MCPError as problem:
                stream.refused = problem.error.code in (METHOD_NOT_FOUND, INVALID_REQUEST, INVALID_PARAMS)
        stream.ended = True
        stream.settled.set()
        if stream is self._open:
            self._changed.set()

    def _replace(self, stream: "_Stream | None") -> None:
        """Put the new stream in the place of the old one, and wake who waits for it."""
        before, self._open, self._denied = self._open, stream, frozenset()
        if before is not None:
            before.scope.cancel()
        self._turn.set()
        self._turn = anyio.Event()

    def _filter(self) -> dict[str, Any]:
        kinds = {f"{kind}ListChanged": True for kind in ("tools", "prompts", "resources") if self._link.offers(kind)}
        uris = sorted(self._watched.uris)
        return {**kinds, **({"resourceSubscriptions": uris} if uris else {})}


class _Stream:
    """One `subscriptions/listen` request."""

    def __init__(self, request_id: str, asked: frozenset[str]) -> None:
        self.id, self.asked = request_id, asked
        self.honored: frozenset[str] = frozenset()
        self.scope = anyio.CancelScope()
        self.settled = anyio.Event()  # acknowledged, or ended
        self.ended = self.refused = False
