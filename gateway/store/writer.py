"""The one writer of the record: takes what is queued, commits it in groups, tells those who wait.

It never drops a row and never invents one; while it can't write, nothing new is accepted but what tries to write.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
from msgspec import Struct

from gateway.core.merkle import Tree
from gateway.core.query import Query
from gateway.errors import BusyError, RecordError
from gateway.reading import bodies_after, bodies_of, leaves_between, newest_bodies
from gateway.store.batch import Batch, Identity, Operation, identity
from gateway.store.connection import Connection, Connector, cause, connect, create_file, prepare
from gateway.store.folder import StateFolder, hold
from gateway.store.port import Ask, Body, Change, Entry, LateEntry, Value
from gateway.store.statements import CHANGES, QUESTIONS

T = TypeVar("T")
log = logging.getLogger("wardgate.store")


class Limits(Struct, frozen=True):
    """Bounds of the writer; seconds and counts."""

    queue: int = 10_000  # operations that wait for the disk
    queue_bytes: int = 64 << 20
    batch: int = 1_000  # operations in one transaction
    linger: float = 0.05  # seconds that rows which nobody awaits wait for company
    late: float = 0.002  # seconds after which a late entry is made
    crowd: int = 200  # rows that need no more company
    busy: float = 5.0  # seconds to wait for a lock of another process
    deadline: float = 10.0  # seconds that one batch may take


class SqliteStore:
    """`port.Store` in one SQLite file; made by `open_store`."""

    def __init__(
        self, folder: StateFolder, pair: tuple[Connection, Connection], files: Identity, tree: Tree, limits: Limits
    ) -> None:
        self.folder = folder
        self._writer, self._reader = pair
        self._files, self._tree, self._limits = files, tree, limits
        self._waiting: deque[Operation] = deque()
        self._bytes = 0
        self._broken = ""
        self._doubt: Batch | None = None
        self._probe = False
        self._closing = False
        self._unmade: list[LateEntry] = []
        self._work, self._urgent, self._committed = anyio.Event(), anyio.Event(), anyio.Event()
        self._late = anyio.Event()

    @property
    def gateway_id(self) -> str:
        """The id of the gateway that it belongs to."""
        return self.folder.gateway_id

    @property
    def size(self) -> int:
        """Records on the disk."""
        return self._tree.size

    @property
    def queued(self) -> int:
        """Operations that wait for the disk."""
        return len(self._waiting)

    @property
    def tree(self) -> Tree:
        """The tree over the records on the disk, as it is now."""
        return self._tree.copy()

    @property
    def broken(self) -> str:
        """Why nothing can be written now; empty while all is well."""
        return self._broken

    async def append(self, entries: Sequence[Entry], changes: Sequence[Change] = ()) -> bool:
        """Make entries and changes durable together; returns when they are on the disk.

        False, with nothing written, if a change that must hit a row hit none. Once begun it isn't interrupted by
        cancellation. Raises `BusyError` when the queue is full and `RecordError` when the disk doesn't take it.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        if unknown := [change.name for change in changes if change.name not in CHANGES]:
            raise LookupError(f"the store knows no change `{unknown[0]}`")
        done = anyio.Event()
        operation = Operation(entries, changes, done)
        self._accept(operation)
        self._probe = self._probe or bool(self._broken)
        self._urgent.set()
        with anyio.CancelScope(shield=True):  # the writer has the deadline, and ends every wait
            await done.wait()
        if operation.error:
            raise RecordError(operation.error)
        return operation.happened

    def queue(self, entry: Entry | LateEntry) -> None:
        """Hand over a record that nobody waits for; it is written with the next group and never dropped.

        Raises `BusyError` when the queue is full, and `RecordError` while nothing can be written (it is tried again).
        """
        if self._broken:
            self._probe = True
            self._work.set()
            raise RecordError(self._broken)
        self._accept(Operation((entry,)))
        if isinstance(entry, LateEntry):
            self._unmade.append(entry)
            self._late.set()

    async def flush(self) -> None:
        """Wait until everything handed over so far is on the disk."""
        await self.append(())

    async def tail(self, after: int, limit: int) -> Sequence[Body]:
        """The records behind `after`, oldest first."""
        return await self.read(partial(bodies_after, seq=after, limit=limit))

    async def page(self, query: Query) -> Sequence[Body]:
        """The records that a query asks for, newest first."""
        return await self.read(partial(newest_bodies, query=query))

    async def by_id(self, wanted: str) -> Sequence[Body]:
        """The records of one id, oldest first."""
        return await self.read(partial(bodies_of, wanted=wanted))

    async def leaves(self, after: int, upto: int) -> Sequence[bytes]:
        """The leaf hashes of the records behind `after` up to `upto`, in order."""
        return await self.read(partial(leaves_between, after=after, upto=upto))

    async def ask(self, question: Ask) -> Sequence[tuple[Value, ...]]:
        """The rows that answer a question."""
        return await self.read(lambda db: db.execute(QUESTIONS[question.name], question.values).fetchall())

    async def used(self) -> int:
        """Bytes that its pages take, without those that are free inside the file."""

        def count(db: sqlite3.Connection) -> int:
            names = ("page_count", "freelist_count", "page_size")
            pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
            return int((pages - free) * size)

        return await self.read(count)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Look something up on the read connection."""
        try:
            return await self._reader.run(work)
        except sqlite3.Error as problem:
            raise RecordError(f"the record can't be read: {cause(problem)}") from None

    async def beyond(self, seq: int) -> int:
        """Wait until the record is longer than `seq`; returns its length."""
        while self._tree.size <= seq:
            await self._committed.wait()
        return self._tree.size

    def _accept(self, operation: Operation) -> None:
        if self._closing:
            raise RecordError("the gateway is stopping")
        size = operation.size
        if len(self._waiting) >= self._limits.queue or self._bytes + size > self._limits.queue_bytes:
            raise BusyError("the queue of the record is full")
        self._bytes += size
        self._waiting.append(operation)
        if len(self._waiting) >= self._limits.crowd:
            self._urgent.set()
        self._work.set()

    async def run(self) -> None:
        """Write until `close` was called and all is written; cancellation does not end it."""
        with anyio.CancelScope(shield=True):
            while await self._more():
                await self._commit(Batch(self._take(), self._tree, self._doubt))
                if self._closing and self._broken:
                    break
        if self._waiting:
            log.error("%d records could not be written before the gateway stopped", len(self._waiting))

    async def make(self) -> None:
        """Make late entries until `close` was called: a few at a time, when what they came from has gone on."""
        while not self._closing:
            await self._late.wait()
            await anyio.sleep(self._limits.late)
            self._late, unmade, self._unmade = anyio.Event(), self._unmade, []
            for entry in unmade:
                entry.settled()

    async def _more(self) -> bool:
        """Wait for work, and a little longer for company where nobody waits for it; False when all is done.

        While broken, what was kept waits for the next try (`_probe`).
        """
        while not (self._probe or (self._waiting and not self._broken)):
            if self._closing:
                return bool(self._waiting)
            self._work = anyio.Event()
            await self._work.wait()
        if not self._urgent.is_set():
            with anyio.move_on_after(self._limits.linger):
                await self._urgent.wait()
        return True

    def _take(self) -> list[Operation]:
        self._probe = False
        count = min(len(self._waiting), self._limits.batch)
        taken = [self._waiting.popleft() for _ in range(count)]
        for operation in taken:
            operation.settle()  # on the loop, not in the writer's thread
        if not self._waiting and not self._closing:
            self._urgent = anyio.Event()
        return taken

    async def _commit(self, batch: Batch) -> None:
        """Bring one batch to the disk and tell everybody how it went."""
        error, tree = "", batch.before
        try:
            with anyio.fail_after(self._limits.deadline):
                tree = await self._writer.run(partial(batch.commit, file=self.folder.store, files=self._files))
        except TimeoutError:
            error = f"nothing can be recorded: the disk did not answer within {self._limits.deadline:g} s"
        except RecordError as problem:
            error = f"nothing can be recorded: {problem}"
        except (sqlite3.Error, OSError) as problem:
            error = f"nothing can be recorded: {cause(problem)}"
        if error:
            self._failed(batch, error)
            return
        if self._broken:
            log.warning("the record can be written again")
        self._broken, self._doubt, self._tree = "", None, tree
        self._bytes -= sum(operation.size for operation in batch.operations)
        self._committed.set()
        self._committed = anyio.Event()
        for position, operation in enumerate(batch.operations):
            operation.happened = position not in batch.missed
            _answer(operation, batch.errors.get(position, ""))

    def _failed(self, batch: Batch, error: str) -> None:
        """Refuse what was awaited, keep what was not, and remember what may be on the disk all the same."""
        batch.abandoned = True
        if batch.after is not None:
            self._doubt = batch
        if error != self._broken:
            log.error("%s", error)
        self._broken = error
        involved = [*batch.operations, *self._waiting]
        self._waiting = deque(operation for operation in involved if operation.done is None)
        self._bytes = sum(operation.size for operation in self._waiting)
        for operation in involved:
            _answer(operation, error)

    def close(self) -> None:
        """Accept nothing more; `run` ends when all is written, or after one try."""
        self._closing = True
        self._late.set()
        self._work.set()
        self._urgent.set()


def _answer(operation: Operation, error: str) -> None:
    if operation.done is not None:
        operation.error = error
        operation.done.set()


@asynccontextmanager
async def open_store(
    path: Path,
    limits: Limits | None = None,
    *,
    owner: str = "",
    lost: Collection[str] = (),
    connector: Connector = connect,
) -> AsyncIterator[SqliteStore]:
    """Hold the state folder at `path`, open its record, and write until the block ends.

    `owner` is the id that the configuration gives its gateway: the store belongs to the first one that is named.
    `lost` names keys that may be missing since they are about to be exchanged; `connector` opens the connections.

    Raises `StateError` if the folder or the store can't be this gateway's, `RecordError` if the record doesn't work.
    """
    limits = limits or Limits()
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(await anyio.to_thread.run_sync(hold, path, lost))
        store = await _open(stack, folder, limits, partial(prepare, folder=folder, lost=lost, owner=owner), connector)
        async with anyio.create_task_group() as group:
            group.start_soon(store.run)
            group.start_soon(store.make)
            try:
                yield store
            except Exception as broken:  # noqa: BLE001 - raised again below, where no task group wraps it
                failure = broken
            finally:
                store.close()
    if failure is not None:
        raise failure


async def _open(
    stack: AsyncExitStack,
    folder: StateFolder,
    limits: Limits,
    prepared: Callable[[sqlite3.Connection], Tree],
    connector: Connector,
) -> SqliteStore:
    try:
        await anyio.to_thread.run_sync(create_file, folder)
        writer = await _connected(stack, connector(folder.store, write=True, busy=limits.busy), limits)
        tree = await writer.run(prepared)
        reader = await _connected(stack, connector(folder.store, write=False, busy=limits.busy), limits)
        await anyio.to_thread.run_sync(folder.confirm)
        files = await anyio.to_thread.run_sync(identity, folder.store)
    except (sqlite3.Error, OSError) as problem:
        raise RecordError(f"the record `{folder.store}` can't be opened: {cause(problem)}") from None
    return SqliteStore(folder, (writer, reader), files, tree, limits)


async def _connected(stack: AsyncExitStack, connection: Connection, limits: Limits) -> Connection:
    """Open a connection, and close it with the stack whatever is cancelled by then."""
    _ = await connection

    async def close() -> None:
        with anyio.move_on_after(limits.deadline, shield=True):
            await connection.close()

    stack.push_async_callback(close)
    return connection
