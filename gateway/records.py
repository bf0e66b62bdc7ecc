"""The record, behind `ports.Records`: what happened goes in, durable or queued, and never comes out changed.

It writes through the store and decides nothing; what is handed over is redacted already. What a record tells of secrets
that were found changes the ledger of leaks in the same transaction.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from gateway import __version__, ids
from gateway.clock import Sleeper
from gateway.core.model import Kind, Outcome, Reason, Record, Release, Spend
from gateway.core.record import columns, encode
from gateway.errors import RecordError
from gateway.store import Entry, LateEntry, Store, flow, people, rows, spent
from gateway.store.leaks import Ledger
from gateway.store.port import Change

SWEEP_PAGE = 500
LATE_SIZE = 8 * 1024  # bytes that a record counts for while it is not encoded yet
MOST_OWED = 10_000  # outcomes that wait for a disk that doesn't take them
_SWEPT = "swept"

log = logging.getLogger("wardgate")


class Records:
    """The records of one store. `owner` tells the business owner of an upstream, for the leaks."""

    def __init__(self, store: Store, clock: Sleeper, owner: Callable[[str], str] = lambda upstream: "") -> None:
        self._store, self._clock, self._ledger = store, clock, Ledger(owner)
        self._owed: dict[str, Record] = {}

    async def append(self, record: Record, consume: Sequence[str | Spend] = ()) -> bool:
        """Make a record durable; returns after it is on disk. Not interrupted by cancellation once it has begun.

        `consume` names an approval (approved -> used) and grants (used once more) that are used up in the same
        transaction, and what is taken of budgets, in which an intent also asks that nobody holds such calls; False,
        with nothing written, where one of these is not so any more. Raises `RecordError` if the record can't be made
        durable.
        """
        now = self._clock.now()
        changes = [_used_up(one, now) for one in consume]
        if record.kind is Kind.INTENT:
            changes.append(people.not_frozen(record.upstream, record.session, record.tool))
        return await self._store.append((self._entry(record),), changes)

    def queue(self, record: Record) -> None:
        """Hand over a record that nobody awaits; never drops: `BusyError` when full, `RecordError` when broken."""
        self._store.queue(self._entry(record))

    def queue_small(self, record: Record, finish: Callable[[Record], Record]) -> None:
        """The same for a record of at most some KiB, which is finished and encoded a little later, on the loop."""
        self._ledger.expect(record)
        self._store.queue(LateEntry(LATE_SIZE, partial(self._finished, record, finish)))

    async def recall(self) -> None:
        """At start: read what leaks were read from, so that it is noticed when that is read again without them."""
        await self._ledger.load(self._store)

    async def flush(self) -> None:
        """Wait until everything that was queued is on disk."""
        await self._store.flush()

    async def started(self, policy_revision: str = "", **about: Any) -> None:
        """Record that the gateway started, with what its user should be able to prove later (`about`)."""
        await self.append(self._own(Kind.START, policy_revision, about))

    async def stopped(self, detail: str = "", **about: Any) -> None:
        """Record that the gateway stops, and why."""
        await self.append(replace(self._own(Kind.STOP, "", about), detail=detail))

    def owe(self, outcome: Record) -> None:
        """Keep an outcome that could not be written now, for `sweep`; see `ports.Records`."""
        if len(self._owed) >= MOST_OWED:
            log.error("the outcome of %s can't be kept any more; the next start closes it", outcome.id)
            return
        self._owed.setdefault(outcome.id, outcome)

    async def sweep(self) -> int:
        """Write what is owed, once for each call; returns how many outcomes that were. Does nothing while the disk
        takes nothing.

        INVARIANT: it looks for an outcome after the disk has taken something: by then it is known what of a batch that
        was said to have failed is there all the same.
        """
        if not self._owed:
            return 0
        written = 0
        try:
            await self._store.flush()
            for call, outcome in list(self._owed.items()):
                if not await rows.has_ended(self._store, call):
                    await self._store.append((self._entry(outcome),))
                    written += 1
                del self._owed[call]
        except RecordError as problem:
            log.info("%d outcomes are owed: %s", len(self._owed), problem)
        return written

    async def close_open_intents(self) -> int:
        """At start: give every open intent the outcome `unknown` (`gateway-stopped`). Returns how many there were."""
        closed, size = 0, self._store.size
        begin = int(await rows.get_meta(self._store, _SWEPT) or 0)
        while found := await rows.open_intents(self._store, begin, SWEEP_PAGE):
            now = self._clock.now()
            first: dict[str, Record] = {}  # a call that was sent in several rounds has several intents
            for _, intent in found:
                first.setdefault(intent.id, intent)
            await self._store.append([self._entry(_closing(intent, now)) for intent in first.values()])
            begin, closed = found[-1][0], closed + len(first)
        await self._store.append((), (rows.set_meta(_SWEPT, str(size)),))
        return closed

    def _own(self, kind: Kind, policy_revision: str, about: Mapping[str, Any]) -> Record:
        return Record(
            kind=kind,
            id=ids.new_id(ids.ENTRY),
            at=self._clock.now(),
            policy_revision=policy_revision,
            extra={"version": __version__, "gateway": self._store.gateway_id, **about},
        )

    def _entry(self, record: Record) -> Entry:
        try:
            changes = self._ledger.changes(record)
            if record.marks or record.kind is Kind.FLOW:
                changes += flow.changes(record)
            return Entry(encode(record), columns(record), changes)
        except ValueError as problem:
            raise RecordError(f"a record of `{record.id}` can't be written down: {problem}") from None

    def _finished(self, record: Record, finish: Callable[[Record], Record]) -> Entry:
        """The entry of a record that was handed over already: it is on the record, whatever can't be told of it."""
        try:
            return self._entry(finish(record))
        except Exception as problem:  # noqa: BLE001 - the call went on: what happened to it must not be lost
            log.error("the record of %s is cut short: %s", record.id, type(problem).__name__)  # noqa: TRY400 - no values
            cut = Record(record.kind, record.id, record.at, outcome=record.outcome, reason=Reason.INTERNAL.value)
            return self._entry(replace(cut, upstream=record.upstream, tier=record.tier, verdict=record.verdict))


def _used_up(what: str | Spend, now: datetime) -> Change:
    """The change that uses something up, or keeps the intent from being written."""
    if isinstance(what, Spend):
        return spent.spend(what, now)
    return people.use_grant(what, now) if what.startswith(f"{ids.GRANT}_") else rows.use_approval(what, now)


def _closing(intent: Record, now: datetime) -> Record:
    """The outcome of a call that a crash left open."""
    return replace(
        intent,
        kind=Kind.OUTCOME,
        at=now,
        outcome=Outcome.UNKNOWN.value,
        reason=Reason.GATEWAY_STOPPED.value,
        release=Release.WITHHELD.value,
        arguments=None,
        findings=(),
        facts={},
        context={},
        carried=(),
        leaves={},
        omitted={},
        authorised={},
        timings_us={},
        detail="the gateway stopped before the call ended",
    )
