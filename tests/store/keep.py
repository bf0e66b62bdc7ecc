"""What the tests of the store share: limits without waiting, entries, and a look at what is really on the disk."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread

from gateway.core.model import Kind, Record
from gateway.core.record import columns, decode, encode
from gateway.core.verify import Verification
from gateway.schema import STORE_NAME
from gateway.store import Entry, Limits
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, a_record

AT_ONCE = Limits(linger=0.0, busy=0.0)


def an_entry(number: int = 1, kind: Kind = Kind.INTENT, **more: object) -> Entry:
    """A record as the store takes it."""
    record = a_record(number, kind, **more)
    return Entry(encode(record), columns(record))


def on_disk(state: Path) -> list[Record]:
    """The records of a state folder, read by somebody else."""
    with closing(sqlite3.connect(state / STORE_NAME)) as db:
        return [decode(body)[1] for (body,) in db.execute("SELECT body FROM record ORDER BY seq")]


def ids_on_disk(state: Path) -> list[str]:
    """Their ids, in order."""
    return [record.id for record in on_disk(state)]


async def whole(state: Path) -> Verification:
    """The record is whole, or the test fails."""
    found = await anyio.to_thread.run_sync(verify_folder, state)
    assert found.ok, found.detail
    return found


class Hang:
    """Work that keeps a connection's thread busy until it is let go."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self._gate = threading.Event()
        self._token = anyio.lowlevel.current_token()

    def __call__(self, db: sqlite3.Connection) -> None:
        anyio.from_thread.run_sync(self.begun.set, token=self._token)
        self._gate.wait(DEADLINE)

    def let_go(self) -> None:
        """Let the thread go on."""
        self._gate.set()
