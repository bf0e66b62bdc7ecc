"""Keep the record in order: what is owed is written, a full disk is seen coming, what is too old goes.

No call waits for it, and it decides on none. What it lets go of is on the record first.
"""

import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from gateway.clock import Sleeper
from gateway.config import Recording
from gateway.core.merkle import Tree
from gateway.core.model import Kind, Record
from gateway.core.query import PAGE_LIMIT
from gateway.core.record import decode, stamp
from gateway.errors import RecordError
from gateway.ids import ENTRY, new_id
from gateway.records import Records
from gateway.store import Query, Store, rows

LOOK = 5.0  # seconds between two looks
JUMP = 5.0  # seconds by which the wall clock may fall behind between two looks
PRUNE_EVERY = 3600.0  # seconds between two looks for what is too old
STEP = 2_000  # records that are let go of in one transaction
PAUSE = 0.05  # seconds between two of those, in which calls are recorded
LEAST = 1_000  # the newest records, which are never let go of
TIDY = timedelta(days=31)  # how long settled approvals, used handles and old connections are remembered

log = logging.getLogger("wardgate")


class Keeping:
    """Looks after one store. `used` tells how many bytes its records take, `free` how many are free on its disk."""

    def __init__(self, store: Store, records: Records, clock: Sleeper, how: Recording, space: "Space") -> None:
        self._store, self._records, self._clock, self._how, self._space = store, records, clock, how, space
        self._low = False
        self._wall, self._steady = clock.now(), clock.monotonic()
        self._pruned_at = clock.monotonic()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(LOOK)
            await self.look()

    async def look(self) -> None:
        """One look: owed outcomes, space, clock, and now and then what is too old. What fails is tried again."""
        try:
            await self._records.sweep()
            await self._look_at_space()
            await self._look_at_clock()
            if self._clock.monotonic() - self._pruned_at >= PRUNE_EVERY:
                self._pruned_at = self._clock.monotonic()
                await self.prune()
        except RecordError as problem:
            log.warning("the record can't be kept in order now: %s", problem)

    async def _look_at_space(self) -> None:
        free = await self._space.free()
        low = free < self._how.low_space
        if low and not self._low:
            log.warning("only %d MiB are free on the disk of the record; at 0 nothing is forwarded", free >> 20)
            await self._note(Kind.SIGNAL, "low-space", free=free, limit=self._how.low_space)
        self._low = low

    async def _look_at_clock(self) -> None:
        now, steady = self._clock.now(), self._clock.monotonic()
        expected = self._wall + timedelta(seconds=steady - self._steady)
        self._wall, self._steady = now, steady
        if (expected - now).total_seconds() > JUMP:
            log.warning("the clock went back from %s to %s", stamp(expected), stamp(now))
            await self._note(Kind.CLOCK, "the clock went back", expected=stamp(expected), found=stamp(now))

    async def _note(self, kind: Kind, detail: str, **about: Any) -> None:
        await self._records.append(Record(kind, new_id(ENTRY), self._clock.now(), detail=detail, extra=about))

    async def prune(self) -> int:
        """Let go of what is older or more than it may be; returns how many records that were.

        It stops before an intent that is still open, the last checkpoint, and the newest records. The record of it is
        durable first; each step leaves a record that can be verified from its beginning on.
        """
        await self._store.append((), rows.tidy(self._clock.now() - TIDY))
        gone = await rows.get_pruned(self._store)
        upto, why = await self._too_much(gone.size)
        upto = await self._bound(gone.size, upto)
        if upto <= gone.size:
            return 0
        await self._note(Kind.PRUNING, why, first=gone.size + 1, last=upto, root=gone.root().hex())
        await self._say_keys_again(upto)
        before = gone.size
        while gone.size < upto:
            gone = await self._step(gone, min(upto, gone.size + STEP))
            await self._clock.sleep(PAUSE)
        log.info("records %d to %d were let go: %s", before + 1, gone.size, why)
        return gone.size - before

    async def _say_keys_again(self, upto: int) -> None:
        """Record anew what the record tells of keys, where some of it is about to go: by it, checkpoints count."""
        page = await self._store.page(Query(filters={"kind": Kind.KEY.value}, limit=PAGE_LIMIT))
        newest_first = [(seq, decode(body)[1].extra) for seq, body in page]
        stay = [extra for seq, extra in newest_first if seq > upto]
        if all(extra in stay for _, extra in newest_first):
            return
        told: list[Mapping[str, Any]] = []
        for _, extra in newest_first:
            if extra not in told:
                told.append(extra)
        for extra in reversed(told):
            await self._note(Kind.KEY, "said again before a pruning", **extra)

    async def _step(self, gone: Tree, upto: int) -> Tree:
        tree = gone.copy()
        for leaf in await self._store.leaves(gone.size, upto):
            tree.append(leaf)
        if tree.size != upto or not await self._store.append((), rows.prune(gone.size, tree)):
            raise RecordError(f"records {gone.size + 1} to {upto} are not there to be let go")
        return tree

    async def _too_much(self, gone: int) -> tuple[int, str]:
        """Up to which record there is too much, and why."""
        found, why = gone, ""
        if self._how.keep is not None:
            oldest = self._clock.now() - timedelta(seconds=self._how.keep)
            found, why = await self._before(oldest, gone), f"older than {stamp(oldest)}"
        size = await self._space.used()
        if self._how.size is not None and size > self._how.size:
            held = self._store.size - gone
            share = gone + int(held * (1 - 0.9 * self._how.size / size))
            if share > found:
                found, why = share, f"more than {self._how.size} bytes"
        return found, why

    async def _before(self, oldest: datetime, gone: int) -> int:
        """The last record of before a time: they are in order of time but for a few, so halving finds it."""
        low, high = gone, self._store.size
        while low < high:
            middle = (low + high) // 2
            page = await self._store.tail(middle, 1)
            if page and decode(page[0][1])[1].at < oldest:
                low = middle + 1
            else:
                high = middle
        return low

    async def _bound(self, gone: int, upto: int) -> int:
        """Up to which record, `upto` at most, they may be let go at all."""
        upto = min(upto, self._store.size - LEAST)
        for seq, _ in await self._store.page(Query(filters={"kind": Kind.CHECKPOINT.value}, limit=1)):
            upto = min(upto, seq - 1)
        still = await rows.first_open(self._store, gone, upto)
        return upto if still is None else still - 1


class Space:
    """The disk of a store's file. `pages` asks the store how many bytes its records take."""

    def __init__(self, file: Path, pages: Callable[[], Any]) -> None:
        self._file, self._pages = file, pages

    async def free(self) -> int:
        """Bytes that are free for this user."""
        found = await anyio.to_thread.run_sync(os.statvfs, self._file.parent)
        return found.f_bavail * found.f_frsize

    async def used(self) -> int:
        """Bytes that the store's pages take, without those that are free inside it."""
        return int(await self._pages())
