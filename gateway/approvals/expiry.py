"""Approvals whose time is over end then, also where nobody asks for them any more. It settles nothing else."""

import logging
from datetime import datetime

from gateway.approvals.desk import OPEN, Desk
from gateway.clock import Sleeper
from gateway.core.model import Approval
from gateway.errors import RecordError

LOOK = 1.0  # seconds between two looks for rows whose time is over

log = logging.getLogger("wardgate.approvals")


class Expiry:
    """The ends of the open rows of one desk. It asks the store for rows at its start, and when one is due."""

    def __init__(self, desk: Desk, clock: Sleeper) -> None:
        self._desk, self._clock = desk, clock
        self._ends: dict[str, datetime] = {}
        desk.on_change.append(self._note)

    def _note(self, row: Approval) -> None:
        if row.state in OPEN:
            self._ends[row.id] = row.expires_at
        else:
            self._ends.pop(row.id, None)

    async def run(self) -> None:
        """Look again and again, until cancelled. What can't be recorded now is ended by a later look."""
        for state in OPEN:  # those from before
            self._ends |= {row.id: row.expires_at for row in await self._desk.list(state)}
        while True:
            now = self._clock.now()
            if any(end <= now for end in self._ends.values()):
                try:
                    await self._desk.expire_due()
                except RecordError as problem:
                    log.warning("approvals whose time is over can't be ended now: %s", problem)
                else:  # a row that a call used was open when it was told last
                    self._ends = {row: end for row, end in self._ends.items() if end > now}
            await self._clock.sleep(LOOK)
