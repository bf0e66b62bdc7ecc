"""A state folder with a record in it, made by the store itself, for tests of commands that read one."""

from datetime import timedelta
from pathlib import Path

import anyio

from gateway.core.model import Kind, Record
from gateway.records import Records
from gateway.store import open_store
from tests.fakes import FakeClock
from tests.store.keep import AT_ONCE


def record(state: Path, rows: int = 3, clock: FakeClock | None = None, checkpoint: int | None = None) -> None:
    """Write some records, a second apart; the one with the number `checkpoint` says that it is a checkpoint."""
    anyio.run(_record, state, rows, clock or FakeClock(), checkpoint)


async def _record(state: Path, rows: int, clock: FakeClock, checkpoint: int | None) -> None:
    async with open_store(state, AT_ONCE) as store:
        records = Records(store, clock)
        for number in range(rows):
            kind = Kind.CHECKPOINT if number == checkpoint else Kind.SIGNAL
            await records.append(Record(kind, f"e_{number}", clock.now() + timedelta(seconds=number)))
