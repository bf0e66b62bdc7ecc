"""Calls on their path before a real store that fails (promises R1, R2, R3): what is forwarded, and what the record says
in the end. However the disk behaves, a forwarded call has its intent, and every call one outcome.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.model import Answer, Done, Kind, Reason, Refused
from gateway.enforce import Enforcer
from gateway.inquire import Inquiry
from gateway.records import Records
from gateway.store import Limits, SqliteStore, open_store
from gateway.store.batch import Batch
from tests.fakes import DEADLINE, FakeClock
from tests.house import POLICY, Model, a_call, policy_of
from tests.store.faults import FAULTS, Locked, LogGone, Moved, ReadOnly, Swapped
from tests.store.keep import AT_ONCE, Hang, on_disk, whole

ALLOWED = POLICY + '[[rule]]\nid = "up.free"\ntools = "write"\ndecide = "allow"\n'
BIG = "x" * 20_000
SHORT = Limits(linger=0.0, busy=0.0, deadline=0.05)


@dataclass
class Gate:
    """The path of a call before a real record; `meanwhile` is awaited when a call has reached its upstream."""

    model: Model
    store: SqliteStore
    records: Records
    enforcer: Enforcer
    meanwhile: Callable[[], Awaitable[None]] | None = None
    count: int = 0

    @property
    def forwarded(self) -> int:
        """Calls that reached the upstream."""
        return len(self.model.upstreams.sent)

    async def call(self, name: str = "write") -> Answer:
        """One call of a tool, allowed by rule; its arguments take several pages."""
        self.count += 1
        call = replace(a_call(name, {"text": BIG}), id=f"d_{self.count:010d}")
        return await self.enforcer.handle(call, self.model.caller)

    async def settle(self) -> list[tuple[str, str]]:
        """Write what is owed, and return the outcomes that are on the disk; no intent is left open."""
        await self.records.sweep()
        await self.records.flush()
        found = on_disk(self.store.folder.path)
        assert await self.records.close_open_intents() == 0
        await whole(self.store.folder.path)
        return [(each.outcome, each.reason) for each in found if each.kind is Kind.OUTCOME]


@asynccontextmanager
async def gate(folder: Path, limits: Limits = AT_ONCE) -> AsyncIterator[Gate]:
    """A gate, for as long as the block runs."""
    model = Model(policy_of(ALLOWED))
    forward = model.upstreams.forward
    with anyio.fail_after(DEADLINE):
        async with open_store(folder / "state", limits) as store:
            records = Records(store, FakeClock())
            house = model.house._replace(records=records)
            made = Gate(model, store, records, Enforcer(house, Inquiry(house, patience=0.05, most_rounds=3)))

            async def meanwhile(done: anyio.Event) -> None:
                if made.meanwhile is not None:
                    await made.meanwhile()
                done.set()

            async def forwarded(*given: Any) -> Any:
                done = anyio.Event()
                beside.start_soon(meanwhile, done)  # not on the gateway's own stack: there nothing may block
                await done.wait()
                return await forward(*given)

            model.upstreams.forward = forwarded  # type: ignore[method-assign,assignment]  # as before, and something more
            async with anyio.create_task_group() as beside:
                yield made


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_write_whose_intent_can_not_be_recorded_is_not_forwarded(tmp_path: Path, fault: type[Locked]) -> None:
    broken = fault()
    async with gate(tmp_path) as house:
        await broken(house.store)
        for name in ("write", "write", "read"):  # after a failed batch everything is refused
            answer = await house.call(name)
            assert isinstance(answer, Refused)
            assert answer.reason is Reason.RECORD_FAILED
        assert house.forwarded == 0
        await broken.mend(house.store)
        assert await house.settle() == [("blocked", "record-failed")] * 3


@pytest.mark.parametrize("fault", [Locked, ReadOnly, Moved, Swapped, LogGone], ids=lambda fault: fault.__name__)
async def test_a_write_whose_outcome_can_not_be_recorded_is_unknown_to_its_client_and_on_the_record(
    tmp_path: Path, fault: type[Locked]
) -> None:
    broken = fault()
    async with gate(tmp_path) as house:
        house.meanwhile = lambda: broken(house.store)
        answer = await house.call()
        assert isinstance(answer, Refused)
        assert answer.text.startswith("OUTCOME UNKNOWN")
        assert house.forwarded == 1
        await broken.mend(house.store)
        assert await house.settle() == [("unknown", "record-failed")]


async def test_a_client_that_goes_while_the_disk_hangs_leaves_a_call_that_is_not_forwarded(tmp_path: Path) -> None:
    """It ends by the writer's deadline, although its record can't be closed; the outcome is owed."""
    async with gate(tmp_path, SHORT) as house:
        hang = Hang()
        async with anyio.create_task_group() as disk:
            disk.start_soon(house.store._writer.run, hang)
            await hang.begun.wait()
            async with anyio.create_task_group() as client:
                client.start_soon(house.call)
                await anyio.wait_all_tasks_blocked()
                client.cancel_scope.cancel()
            assert house.forwarded == 0
            hang.let_go()
        assert await house.settle() == [("blocked", "record-failed")]


async def test_a_client_that_goes_while_the_outcome_is_written_finds_it_on_the_record(tmp_path: Path) -> None:
    async with gate(tmp_path) as house:
        hang, answers = Hang(), list[Answer]()

        async def hold() -> None:
            disk.start_soon(house.store._writer.run, hang)
            await hang.begun.wait()

        async def call() -> None:
            answers.append(await house.call())

        house.meanwhile = hold
        async with anyio.create_task_group() as disk, anyio.create_task_group() as client:
            client.start_soon(call)
            await hang.begun.wait()
            await anyio.wait_all_tasks_blocked()
            client.cancel_scope.cancel()
            hang.let_go()
        assert house.forwarded == 1
        assert [type(answer) for answer in answers] == [Done]  # the path was through; nobody takes it any more
        assert await house.settle() == [("ok", "rule")]


@pytest.mark.parametrize("which", ["intent", "outcome"])
async def test_a_record_that_landed_although_it_was_said_to_have_failed_is_not_contradicted(
    tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of the disk is lost: what is there stays, and the call has one outcome all the same."""
    commit, left = Batch.commit, [1 if which == "intent" else 2]

    def commit_then_fail(batch: Batch, *given: Any, **more: Any) -> Any:
        tree = commit(batch, *given, **more)
        left[0] -= 1
        if left[0] == 0:
            raise OSError("the answer was lost")
        return tree

    async with gate(tmp_path) as house:
        monkeypatch.setattr(Batch, "commit", commit_then_fail)
        answer = await house.call()
        assert isinstance(answer, Refused)
        assert house.forwarded == (1 if which == "outcome" else 0)
        assert await house.settle() == [("ok", "rule") if which == "outcome" else ("blocked", "record-failed")]
