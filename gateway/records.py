"""The record, behind `ports.Records`: what happened goes in, durable or queued, and never comes out changed.

It writes through the store and decides nothing; what is handed over is redacted already.
"""

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from gateway import __version__, ids
from gateway.clock import Sleeper
from gateway.core.model import Kind, Outcome, Reason, Record, Release
from gateway.core.record import columns, decode, encode
from gateway.errors import RecordError
from gateway.store import Change, Entry, Store, rows

SWEEP_PAGE = 500
_SWEPT = "swept"


class Records:
    """The records of one store."""

    def __init__(self, store: Store, clock: Sleeper) -> None:
        self._store, self._clock = store, clock

    async def append(self, record: Record, consume: str = "") -> bool:
        """Make a record durable; returns after it is on disk. Not interrupted by cancellation once it has begun.

        `consume` names an approval that is used up (approved -> used) in the same transaction; False, with nothing
        written, if it is no longer there to be used or has expired. Raises `RecordError` if the record can't be made
        durable.
        """
        changes = (rows.use_approval(consume, self._clock.now()),) if consume else ()
        return await self._store.write((_entry(record),), changes)

    def queue(self, record: Record) -> None:
        """Hand over a record that nobody awaits; never drops: `BusyError` when full, `RecordError` when broken."""
        self._store.queue(_entry(record))

    async def flush(self) -> None:
        """Wait until everything that was queued is on disk."""
        await self._store.flush()

    async def started(self, policy_revision: str = "", **about: Any) -> None:
        """Record that the gateway started, with what its user should be able to prove later (`about`)."""
        await self.append(self._own(Kind.START, policy_revision, about))

    async def stopped(self, detail: str = "", **about: Any) -> None:
        """Record that the gateway stops, and why."""
        await self.append(replace(self._own(Kind.STOP, "", about), detail=detail))

    async def close_open_intents(self) -> int:
        """At start: give every open intent the outcome `unknown` (`gateway-stopped`). Returns how many there were."""
        closed, size = 0, self._store.size
        begin = await self._store.read(_swept)
        while found := await self._store.read(partial(_open_intents, after=begin, limit=SWEEP_PAGE)):
            now = self._clock.now()
            await self._store.write([_entry(_closing(intent, now)) for _, intent in found])
            begin, closed = found[-1][0], closed + len(found)
        await self._store.write((), (Change("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_SWEPT, str(size))),))
        return closed

    def _own(self, kind: Kind, policy_revision: str, about: Mapping[str, Any]) -> Record:
        return Record(
            kind=kind,
            id=ids.new_id(ids.ENTRY),
            at=self._clock.now(),
            policy_revision=policy_revision,
            extra={"version": __version__, "gateway": self._store.folder.gateway_id, **about},
        )


def _entry(record: Record) -> Entry:
    try:
        return Entry(encode(record), columns(record))
    except ValueError as problem:
        raise RecordError(f"a record of `{record.id}` can't be written down: {problem}") from None


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
        timings_us={},
        detail="the gateway stopped before the call ended",
    )


def _swept(db: sqlite3.Connection) -> int:
    """Up to which row no intent is open, as the last start left it."""
    found = db.execute("SELECT value FROM meta WHERE name = ?", (_SWEPT,)).fetchone()
    return int(found[0]) if found is not None else 0


def _open_intents(db: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, Record]]:
    found = db.execute(
        "SELECT body FROM record AS intent WHERE seq > ? AND kind = 'intent' AND NOT EXISTS "
        "(SELECT 1 FROM record WHERE id = intent.id AND kind = 'outcome') ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [decode(body) for (body,) in found]
