"""What waits for a person, for those who watch it over the control socket: each asks for what is new, and waits.

A short memory and no more: whoever missed some of it is told so, and lists what waits.
"""

import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any

import anyio

from gateway.acceptance import Held
from gateway.app.reload import held_item
from gateway.core.approval import item
from gateway.core.model import Approval, ApprovalState
from gateway.core.record import stamp
from gateway.ports import Clock

MOST = 256  # events that are remembered
PATIENCE = 20.0  # seconds that a watcher waits at most for the next one


class News:
    """The events of one gateway's approvals, and policies that it holds, numbered from 1; `epoch` tells this gateway
    from the one before it.
    """

    def __init__(self, clock: Clock, patience: float = PATIENCE) -> None:
        self._clock, self._patience = clock, patience
        self.epoch = secrets.token_hex(8)
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MOST)
        self._number, self._come = 0, anyio.Event()

    def note(self, row: Approval) -> None:
        """A row was opened, got one more vote, or was settled: a hook of the desk."""
        self._tell("opened" if row.state is ApprovalState.WAITING else "settled", item(row))

    def hold(self, held: Held) -> None:
        """A policy, or upstreams.toml, waits for a person: a hook of the reload."""
        self._tell("held", held_item(held))

    def _tell(self, event: str, about: Mapping[str, Any]) -> None:
        self._number += 1
        self._events.append((self._number, {"event": event, "at": stamp(self._clock.now()), "item": about}))
        self._come.set()
        self._come = anyio.Event()

    async def after(self, epoch: str, number: int) -> dict[str, Any]:
        """The events behind `number`, once there are some, or none after the patience; `missed` for one who has to list
        anew: of another epoch, or one that was gone too long.
        """
        oldest = self._events[0][0] if self._events else self._number + 1
        if epoch != self.epoch or not oldest - 1 <= number <= self._number:
            return {"epoch": self.epoch, "number": self._number, "missed": True, "events": []}
        if number == self._number:
            with anyio.move_on_after(self._patience):
                await self._come.wait()
        new = [event for place, event in self._events if place > number]
        return {"epoch": self.epoch, "number": self._number, "missed": False, "events": new}
