"""The monitor: reads what is committed, counts per session, raises signals. Out of band: no call ever waits for it.

It has a task of its own, and writes nothing but its signals.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import anyio

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.model import Kind, Record
from gateway.core.record import decode
from gateway.core.signals import SessionCounters, Signal
from gateway.errors import RecordError
from gateway.store import Store

PAGE = 500
LOOK_BACK = 10_000  # records that are counted at start
SESSIONS = 10_000  # sessions that are remembered; the one that was quiet longest is forgotten first
PATIENCE = 1.0  # seconds before the next try when the record can't be read

log = logging.getLogger("wardgate.monitor")


class Monitor:
    """Counters of every session, kept from the committed record. `report` takes the records of signals."""

    def __init__(self, store: Store, clock: Sleeper, report: Callable[[Record], None] | None = None) -> None:
        self._store, self._clock, self._report = store, clock, report
        self._sessions: OrderedDict[str, SessionCounters] = OrderedDict()
        self._live = store.size  # what came before is counted, but raises no signal again
        self._seen, self._moved = max(0, store.size - LOOK_BACK), anyio.Event()
        self.on_signal: list[Callable[[Record], None]] = []  # who hears of new signals, whoever raised them

    async def run(self) -> None:
        """Follow the record until cancelled."""
        while True:
            try:
                bodies = await self._store.tail(self._seen, PAGE)
            except RecordError as problem:
                log.warning("the record can't be followed: %s", problem)
                await self._clock.sleep(PATIENCE)
                continue
            for seq, body in bodies:
                self._observe(seq, body)
            if not bodies:
                await self._store.beyond(self._seen)

    def sessions(self) -> list[dict[str, Any]]:
        """What `wardgate sessions` shows, the most recently active session last."""
        return [counters.item() for counters in self._sessions.values()]

    async def reached(self, seq: int) -> None:
        """Wait until the record is counted up to `seq`."""
        while self._seen < seq:
            await self._moved.wait()

    def _observe(self, seq: int, body: bytes) -> None:
        try:
            _, record = decode(body)
        except ValueError as problem:
            log.warning("row %d can't be counted: %s", seq, problem)
        else:
            incident = record.kind is Kind.SIGNAL and record.detail == Signal.HONEYTOKEN.value  # it is raised elsewhere
            if record.session and (incident or record.kind is not Kind.SIGNAL):
                self._count(seq, record)
            if record.kind is Kind.SIGNAL and seq > self._live:
                for hear in self.on_signal:
                    hear(record)
        self._seen = seq
        self._moved.set()
        self._moved = anyio.Event()

    def _count(self, seq: int, record: Record) -> None:
        counters = self._sessions.setdefault(record.session, SessionCounters(record.session))
        self._sessions.move_to_end(record.session)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        raised = counters.count(record)
        if seq > self._live:
            for signal in raised:
                self._raise(signal, record)

    def _raise(self, signal: Signal, record: Record) -> None:
        log.warning("%s in session %s: %s/%s", signal.value, record.session, record.upstream, record.tool)
        if self._report is None:
            return
        about = Record(
            kind=Kind.SIGNAL,
            id=ids.new_id(ids.ENTRY),
            at=self._clock.now(),
            principal=record.principal,
            client=record.client,
            session=record.session,
            upstream=record.upstream,
            tool=record.tool,
            tier=record.tier,
            detail=signal.value,
            extra={"call": record.id},
        )
        try:
            self._report(about)
        except RecordError as problem:
            log.warning("a signal could not be recorded: %s", problem)
