"""How much one client may have in flight, waiting, and in a second. It decides on numbers only, and calls nothing."""

from collections import deque
from collections.abc import Callable
from functools import partial

import anyio

MOST_LANES = 1024  # principals with their clients that are remembered though nothing of theirs runs


class Lane:
    """The places of one client.

    Who gets no place at once may `wait` for one: in order, among at most `queue` others, for at most `patience`
    seconds. Whoever has a place leaves it with `leave`.
    """

    __slots__ = (
        "_at",
        "_clock",
        "_patience",
        "_places",
        "_queue",
        "_rate",
        "_shut",
        "_tokens",
        "_waiting",
        "in_flight",
    )

    def __init__(self, places: int, queue: int, patience: float, rate: int, clock: Callable[[], float]) -> None:
        """`rate` is in calls per second; as many may come at once."""
        self._places, self._queue, self._patience, self._clock = places, queue, patience, clock
        self._rate = self._tokens = float(rate)
        self._at = clock()
        self._waiting: deque[anyio.Event] = deque()
        self._shut = False
        self.in_flight = 0

    @property
    def idle(self) -> bool:
        """Whether it can be forgotten: nothing runs or waits, and its rate has recovered."""
        return not self.in_flight and not self._waiting and self._refill() >= self._rate

    def pay(self) -> bool:
        """Count one call; False if it is one too many for now."""
        tokens = self._refill()
        if tokens < 1:
            return False
        self._tokens = tokens - 1
        return True

    def enter(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self.in_flight >= self._places:
            return False
        self.in_flight += 1
        return True

    async def wait(self) -> bool:
        """Wait for a place; False at once if too many wait already, or once the time is up."""
        if len(self._waiting) >= self._queue:
            return False
        place, taken = anyio.Event(), False
        self._waiting.append(place)
        try:
            with anyio.move_on_after(self._patience):
                await place.wait()
            taken = place.is_set() and place not in self._waiting
            return taken
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not taken:  # cancelled after the place was given
                self.leave()

    def leave(self) -> None:
        """Give a place back: to who waits longest, if anybody does."""
        if self._waiting and not self._shut:
            self._waiting.popleft().set()
        else:
            self.in_flight -= 1

    def turn_out(self) -> None:
        """Let nobody wait any longer."""
        self._shut = True
        for place in self._waiting:
            place.set()

    def _refill(self) -> float:
        now, rate = self._clock(), self._rate
        tokens = self._tokens + (now - self._at) * rate
        self._tokens, self._at = tokens if tokens < rate else rate, now
        return self._tokens


class Gate:
    """The lanes of all clients, by principal and client."""

    def __init__(self, places: int, queue: int, patience: float, rate: int, clock: Callable[[], float]) -> None:
        self._new: Callable[[], Lane] = partial(Lane, places, queue, patience, rate, clock)
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._closed = False

    def lane(self, principal: str, client: str) -> Lane | None:
        """The lane of a client; None once the gate is closed."""
        if self._closed:
            return None
        return self._lanes.get((principal, client)) or self._open(principal, client)

    def close(self) -> None:
        """Let nobody in any more, and nobody wait; who has a place goes on."""
        self._closed = True
        for lane in self._lanes.values():
            lane.turn_out()

    def _open(self, principal: str, client: str) -> Lane:
        if len(self._lanes) >= MOST_LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.idle}
        lane = self._lanes[principal, client] = self._new()
        return lane
