"""The monitor: reads what is committed, counts per session and identity, raises signals. Out of band: no call waits.

It has a task of its own, and writes nothing but its signals and what it remembers.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import anyio

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.model import Kind, Labels, Record
from gateway.core.overrides import Overrides
from gateway.core.pasts import Pasts
from gateway.core.raised import RaisedSessions
from gateway.core.record import decode
from gateway.core.remembered import Remembered, raised_text, read_raised
from gateway.core.session import key_of
from gateway.core.signals import Raised, Response, SessionCounters, Signal, response
from gateway.errors import RecordError
from gateway.store import Store, rows
from gateway.store.flow import last_seen

PAGE = 200  # records that are counted before somebody else has a turn
LOOK_BACK = 10_000  # records that are counted at start
FARTHEST = 100_000  # records that are read at start, where what is remembered is as old as that
SESSIONS = 10_000  # sessions that are remembered; the one that was quiet longest is forgotten first
RAISED = 1_000  # sessions of which it is kept that they are raised
PATIENCE = 1.0  # seconds before the next try when the record can't be read
KEEP_EVERY = 600.0  # seconds between two times at which what is remembered is written down
REMEMBERED, RAISED_NAME = "signals.pasts", "signals.raised"  # in the store

_NO_LABELS = Labels()
_SIGNALS = frozenset(signal.value for signal in Signal)

log = logging.getLogger("wardgate.monitor")


class Monitor:
    """Counters of every session and identity, kept from the committed record. `report` takes the records of signals,
    `raised` which sessions they raise.

    `key` makes the digests that stand in for values. Until `labels`, `said` and `inventory` are set, no tool has
    labels, no policy says anything of signals, and no client has an inventory.
    """

    def __init__(
        self,
        store: Store,
        clock: Sleeper,
        report: Callable[[Record], None] | None = None,
        key: bytes = b"",
        raised: RaisedSessions | None = None,
    ) -> None:
        self._store, self._clock, self._report = store, clock, report
        self._sessions: OrderedDict[str, SessionCounters] = OrderedDict()
        self._raised, self._raised_kept = raised if raised is not None else RaisedSessions(), 0
        self._remembered = Remembered(key)
        self._pasts, self._people = Pasts(self._remembered.fingerprint), Overrides()
        self._live = store.size  # what came before is counted, but raises no signal again
        self._seen, self._moved = max(0, store.size - LOOK_BACK), anyio.Event()
        self._learnt = 0  # up to here the pasts are known
        self._kept_at, self._kept = clock.monotonic(), 0
        self.labels: Callable[[str, str], Labels] = lambda upstream, tool: _NO_LABELS
        self.said: Callable[[str], Mapping[Signal, Response]] = lambda upstream: {}
        self.inventory: Callable[[str], Collection[str]] = lambda client: ()
        self.on_record: list[Callable[[Record], None]] = []  # who hears of each new record
        self.on_signal: list[Callable[[Record], None]] = []  # who hears of new signals, whoever raised them

    async def recall(self) -> None:
        """At start, before any call: read what is remembered, and tell of the sessions that are raised."""
        text = await rows.get_meta(self._store, REMEMBERED)
        learnt = self._remembered.read(text, self._pasts, self._people, self._live) if text else 0
        if learnt:
            self._learnt = self._kept = learnt
            self._seen = max(0, self._live - FARTHEST, min(self._seen, learnt))
        now = self._clock.now()
        for key, signal in read_raised(await rows.get_meta(self._store, RAISED_NAME)):
            last = None if key[2] else await last_seen(self._store, key[0], key[1])
            self._raised.add(key, signal, last or now, now)
        self._raised_kept = self._raised.changes

    async def keep(self) -> None:
        """Write down what is remembered, so that the next start knows it; raises `RecordError`."""
        if self._seen > self._kept:
            self._kept_at, self._kept = self._clock.monotonic(), self._seen
            text = self._remembered.text(self._pasts, self._people, self._seen)
            await self._store.append((), (rows.set_meta(REMEMBERED, text),))

    async def run(self) -> None:
        """Follow the record until cancelled."""
        while True:
            try:
                bodies = await self._store.tail(self._seen, PAGE)
                for seq, body in bodies:
                    self._observe(seq, body)
                if (changes := self._raised.changes) != self._raised_kept:
                    text = raised_text(self._raised.newest(RAISED))
                    await self._store.append((), (rows.set_meta(RAISED_NAME, text),))
                    self._raised_kept = changes
                if self._clock.monotonic() - self._kept_at >= KEEP_EVERY:
                    await self.keep()
            except RecordError as problem:
                log.warning("the record can't be followed: %s", problem)
                await self._clock.sleep(PATIENCE)
                continue
            if not bodies:
                await self._store.beyond(self._seen)

    @property
    def known(self) -> int:
        """How many sessions are remembered."""
        return len(self._sessions)

    def sessions(self) -> list[dict[str, Any]]:
        """What `wardgate sessions` shows, the most recently active session last."""
        items = [counters.item() for counters in self._sessions.values()]
        return [
            {**item, "raised": self._raised.by(key_of(item["principal"], item["client"], item["session"]))}
            for item in items
        ]

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
            raised = [*self._count(record), *(self._compare(record) if seq > self._learnt else ())]
            if record.kind is Kind.SIGNAL:
                self._heard(seq, record)
            elif seq > self._live:
                for one in raised:
                    self._raise(one, record)
            for hear in self.on_record if seq > self._live else ():
                hear(record)
        self._seen = seq
        self._moved.set()
        self._moved = anyio.Event()

    def _count(self, record: Record) -> tuple[Raised, ...]:
        """Count a record of a session; signals that are of none of its calls are not."""
        if not record.session or (record.kind is Kind.SIGNAL and record.detail not in _SIGNALS):
            return ()
        counters = self._sessions.get(record.session)
        if counters is None:
            counters = self._sessions[record.session] = SessionCounters(record.session)
        self._sessions.move_to_end(record.session)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return counters.count(record)

    def _compare(self, record: Record) -> tuple[Raised, ...]:
        """Compare a call with the past of its identity, and an answer with those of its person."""
        if record.kind is Kind.APPROVAL:
            return self._people.observe(record)
        if record.kind is Kind.INTENT:
            return self._pasts.observe(record, self.labels(record.upstream, record.tool), self.inventory(record.client))
        return ()

    def _heard(self, seq: int, record: Record) -> None:
        """A signal is on the record, whoever raised it."""
        if record.session and record.extra.get("effect") == Response.RAISE.value:
            self._raise_session(record, record.detail)
        if seq > self._live:
            for hear in self.on_signal:
                hear(record)

    def _raise(self, raised: Raised, record: Record) -> None:
        signal = raised.signal
        effect = response(signal, record.tier, self.said(record.upstream))
        log.warning("%s in session %s: %s/%s", signal.value, record.session, record.upstream, record.tool)
        if effect is Response.RAISE and record.session:
            self._raise_session(record, signal.value)
        if self._report is None:
            return
        call = str(record.extra.get("call", "")) if record.kind is Kind.APPROVAL else record.id
        about = Record(
            kind=Kind.SIGNAL,
            id=ids.new_id(ids.ENTRY),
            at=self._clock.now(),
            principal=record.principal,
            client=record.client,
            session=record.session,
            method=record.method,
            upstream=record.upstream,
            tool=record.tool,
            tier=record.tier,
            approval=record.approval,
            detail=signal.value,
            extra={"call": call, "effect": effect.value, "explanation": raised.explanation},
        )
        try:
            self._report(about)
        except RecordError as problem:
            log.warning("a signal could not be recorded: %s", problem)
            if record.session in self._sessions:
                self._sessions[record.session].note(about)

    def _raise_session(self, record: Record, signal: str) -> None:
        """From now on, what the session of a record does above tier read is asked about."""
        self._raised.add(key_of(record.principal, record.client, record.session), signal, record.at, self._clock.now())
