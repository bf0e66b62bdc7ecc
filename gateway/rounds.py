"""Calls that their upstream asked something, kept until their modern client comes back, behind `ports.Rounds`.

It sends nothing upstream. What waits lives in memory, and ends with it; the store knows which handles were given, so
that a client that comes back to a gateway that forgot is told so, and nothing is sent anew.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from gateway.clock import Sleeper
from gateway.core.model import Call, Record, Round
from gateway.errors import BusyError, RecordError
from gateway.ports import Records
from gateway.store import Store, rows

MARK = "r_"  # how handles of this kind begin
GRACE = timedelta(hours=1)  # beyond its time, so that a late client hears that nobody waits
LOOK = 2.0  # seconds between two looks for rounds whose time is over

log = logging.getLogger("wardgate.rounds")


class _Waiting(Struct, frozen=True):
    """One round that waits: its outcome if nobody comes back, and until when."""

    kept: Round
    closing: Record
    until: datetime


class Rounds:
    """The waiting rounds of one gateway: at most `limit`, each for at most `patience` seconds."""

    def __init__(
        self,
        store: Store,
        clock: Sleeper,
        records: Records,
        drop: Callable[[str], Awaitable[None]],
        patience: float,
        limit: int,
    ) -> None:
        """`drop` cancels a parked call at its upstream."""
        self._store, self._clock, self._records, self._drop = store, clock, records, drop
        self._patience, self._limit = timedelta(seconds=patience), limit
        self._waiting: dict[bytes, _Waiting] = {}

    def owns(self, call: Call) -> bool:
        """Whether a call comes back with a handle of this kind."""
        return call.resume is not None and call.resume.handle.startswith(MARK)

    async def open(self, call: Call, kept: Round, closing: Record) -> str:
        """Keep a round, on the disk before its handle leaves; see `ports.Rounds`."""
        if len(self._waiting) >= self._limit:
            raise BusyError(f"{self._limit} calls wait for answers already")
        handle, now = MARK + secrets.token_urlsafe(24), self._clock.now()
        key, until = rows.handle_hash(handle), now + self._patience
        self._waiting[key] = _Waiting(kept, closing, until)
        try:
            await self._store.append((), (rows.insert_handle(handle, call, kept.call, now, until + GRACE),))
        except BaseException:
            self._waiting.pop(key, None)
            raise
        return handle

    async def take(self, call: Call) -> Round | None:
        """Use up the handle that a call came back with; see `ports.Rounds`."""
        handle, now = call.resume.handle if call.resume is not None else "", self._clock.now()
        given = await rows.find_handle(self._store, handle)
        if given is None or given.approval or not await self._store.append((), (rows.use_handle(handle, call, now),)):
            return None
        waiting = self._waiting.pop(rows.handle_hash(handle), None)
        if waiting is None:
            return Round(given.call, "", 0, "", None)
        return waiting.kept

    async def run(self) -> None:
        """End rounds whose time is over, until cancelled."""
        while True:
            await self._clock.sleep(LOOK)
            await self.end_due()

    async def end_due(self) -> None:
        """Record the outcome of each call that nobody came back to in time, and cancel it at its upstream."""
        now = self._clock.now()
        for key, waiting in [(key, each) for key, each in self._waiting.items() if each.until <= now]:
            if self._waiting.pop(key, None) is None:
                continue
            if waiting.kept.asked is not None and waiting.kept.asked.parked:
                await self._drop(waiting.kept.asked.parked)
            try:
                await self._records.append(replace(waiting.closing, at=now))
            except RecordError as problem:  # the sweep at the next start closes it
                log.warning("the end of %s could not be recorded: %s", waiting.kept.call, problem)
