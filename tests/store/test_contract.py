"""Every store keeps the contract of the port: the one of SQLite, and a second one that needs no database."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from gateway.store import Limits, SqliteStore, open_store
from gateway.store.statements import CHANGES, QUESTIONS
from tests.store import memory_tables as memory
from tests.store.contract import MOST, Bench, RecordContract, spoken_of
from tests.store.contract_flow import FlowContract
from tests.store.contract_leaks import LeaksContract
from tests.store.contract_people import PeopleContract
from tests.store.contract_spent import SpentContract
from tests.store.contract_tables import TablesContract
from tests.store.keep import Hang
from tests.store.memory import Memory, MemoryStore, open_memory


class SqliteBench:
    """A state folder; writes are refused and held up at the write connection."""

    def __init__(self, state: Path) -> None:
        self._state = state

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqliteStore]:
        async with open_store(self._state, Limits(linger=0.0, busy=0.0, queue=MOST)) as self._store:
            yield self._store

    async def fail(self) -> None:
        await self._store._writer.run(lambda db: db.execute("PRAGMA query_only=ON").fetchall())

    async def mend(self) -> None:
        await self._store._writer.run(lambda db: db.execute("PRAGMA query_only=OFF").fetchall())

    @asynccontextmanager
    async def hang(self) -> AsyncIterator[None]:
        hang = Hang()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._store._writer.run, hang)
            await hang.begun.wait()
            try:
                yield
            finally:
                hang.let_go()


class MemoryBench:
    """A memory that says no, or nothing."""

    def __init__(self) -> None:
        self._memory = Memory()

    def open(self) -> AbstractAsyncContextManager[MemoryStore]:
        return open_memory(self._memory, MOST)

    async def fail(self) -> None:
        self._memory.failing = "the memory takes nothing"

    async def mend(self) -> None:
        self._memory.failing = ""

    @asynccontextmanager
    async def hang(self) -> AsyncIterator[None]:
        self._memory.held = True
        try:
            yield
        finally:
            self._memory.held = False
            self._memory.woken()


class TestSqlite(RecordContract, TablesContract, PeopleContract, LeaksContract, FlowContract, SpentContract):
    """The store that the gateway uses."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        """A store of the test's own."""
        return SqliteBench(tmp_path / "state")


class TestMemory(RecordContract, TablesContract, PeopleContract, LeaksContract, FlowContract, SpentContract):
    """The port needs no SQLite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A store of the test's own."""
        return MemoryBench()


def test_the_contract_speaks_of_every_change_and_question() -> None:
    assert spoken_of(TestSqlite) == {*CHANGES, *QUESTIONS}
    assert {*memory.CHANGES, *memory.QUESTIONS} == {*CHANGES, *QUESTIONS}
