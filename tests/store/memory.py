"""A second store, in memory: it shows that the port can be kept without SQLite, and what an implementation has to do.

Plain and slow: an operation works on a copy of everything, which takes the place of the original when all went well.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.lowlevel

from gateway.core.merkle import Tree
from gateway.core.query import FILTERS, PAGE_LIMIT, Query
from gateway.core.record import stamp
from gateway.errors import BusyError, RecordError
from gateway.store.port import Ask, Body, Change, Entry, LateEntry, Value
from tests.store.memory_tables import CHANGES, QUESTIONS, Kept, Row, Taken

T = TypeVar("T")


@dataclass
class Memory:
    """What outlasts a store, as a disk does; `failing` says why it takes nothing, `held` that it does not answer."""

    kept: Kept = field(default_factory=Kept)
    failing: str = ""
    held: bool = False
    woken: Callable[[], None] = lambda: None


@dataclass(eq=False)
class _Operation:
    entries: Sequence[Entry | LateEntry]
    changes: Sequence[Change] = ()
    done: anyio.Event | None = None
    happened: bool = True
    error: str = ""


class MemoryStore:
    """`port.Store` without a database."""

    gateway_id = "0" * 32

    def __init__(self, memory: Memory, most: int) -> None:
        self._memory, self._most = memory, most
        self._waiting: deque[_Operation] = deque()
        self._closed, self._grown = False, anyio.Event()
        self.broken = ""
        memory.woken = self._write

    @property
    def tree(self) -> Tree:
        return self._memory.kept.tree.copy()

    @property
    def size(self) -> int:
        return self._memory.kept.tree.size

    async def append(self, entries: Sequence[Entry], changes: Sequence[Change] = ()) -> bool:
        await anyio.lowlevel.checkpoint_if_cancelled()
        if unknown := [change.name for change in changes if change.name not in CHANGES]:
            raise LookupError(f"the store knows no change `{unknown[0]}`")
        done = anyio.Event()
        operation = _Operation(entries, changes, done)
        self._accept(operation)
        with anyio.CancelScope(shield=True):
            await done.wait()
        if operation.error:
            raise RecordError(operation.error)
        return operation.happened

    def queue(self, entry: Entry | LateEntry) -> None:
        if self.broken:
            raise RecordError(self.broken)
        self._accept(_Operation((entry,)))

    async def flush(self) -> None:
        await self.append(())

    async def beyond(self, seq: int) -> int:
        while self.size <= seq:
            await self._grown.wait()
        return self.size

    async def tail(self, after: int, limit: int) -> Sequence[Body]:
        return await self._look(lambda kept: [(seq, row[0]) for seq, row in kept.rows.items() if seq > after][:limit])

    async def page(self, query: Query) -> Sequence[Body]:
        def found(kept: Kept) -> list[Body]:
            fit = [(seq, row[0]) for seq, row in kept.rows.items() if _fits(query, seq, row[0], row[2])]
            return fit[::-1][: min(query.limit, PAGE_LIMIT)]

        return await self._look(found)

    async def by_id(self, wanted: str) -> Sequence[Body]:
        return await self._look(
            lambda kept: [(seq, row[0]) for seq, row in kept.rows.items() if row[2]["id"] == wanted]
        )

    async def leaves(self, after: int, upto: int) -> Sequence[bytes]:
        return await self._look(lambda kept: [row[1] for seq, row in kept.rows.items() if after < seq <= upto])

    async def ask(self, question: Ask) -> Sequence[tuple[Value, ...]]:
        answer = QUESTIONS[question.name]
        return await self._look(lambda kept: answer(kept, *question.values))

    async def _look(self, work: Callable[[Kept], T]) -> T:
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise RecordError("it is closed")
        return work(self._memory.kept)

    def _accept(self, operation: _Operation) -> None:
        if self._closed:
            raise RecordError("the gateway is stopping")
        if len(self._waiting) >= self._most:
            raise BusyError("the queue of the record is full")
        self._waiting.append(operation)
        self._write()

    def _write(self) -> None:
        """Bring what waits into the memory, unless that does not answer."""
        while self._waiting and not self._memory.held:
            if self._memory.failing:
                self.broken = self._memory.failing
                for operation in self._waiting:
                    _answer(operation, self.broken)
                self._waiting = deque(each for each in self._waiting if each.done is None)
                return
            self.broken = ""
            self._do(self._waiting.popleft())

    def _do(self, operation: _Operation) -> None:
        draft = deepcopy(self._memory.kept)
        try:
            changes = [*operation.changes, *(each for entry in operation.entries for each in entry.settled().changes)]
            operation.happened = all(
                CHANGES[change.name](draft, *change.values) or not change.must for change in changes
            )
        except Taken:
            _answer(operation, "the key is taken")
            return
        if operation.happened:
            for entry in operation.entries:
                draft.add(entry)
            self._memory.kept = draft
            self._grown.set()
            self._grown = anyio.Event()
        _answer(operation, "")

    def close(self) -> None:
        """Accept nothing more."""
        self._write()
        self._closed = True


def _answer(operation: _Operation, error: str) -> None:
    if operation.done is not None:
        operation.error = error
        operation.done.set()


@asynccontextmanager
async def open_memory(memory: Memory, most: int) -> AsyncIterator[MemoryStore]:
    """A store over what is in `memory`, until the block ends; at most `most` operations wait."""
    store = MemoryStore(memory, most)
    try:
        yield store
    finally:
        store.close()


def _fits(query: Query, seq: int, body: bytes, row: Row) -> bool:
    wanted = {name: query.filters.get(name, "") for name in FILTERS}
    text = body.decode().lower()
    return (
        (query.before is None or seq < query.before)
        and all(row[name] == value for name, value in (*wanted.items(), ("principal", query.principal)) if value)
        and (query.since is None or row["at"] >= stamp(query.since))
        and (query.until is None or row["at"] < stamp(query.until))
        and all(json.dumps(word, ensure_ascii=False)[1:-1].lower() in text for word in query.text.split())
    )
