"""The hold ladder and the desk: who is asked how long, what an answer does, and that it serves one call once."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.approvals.ladder import HANDLE_GRACE, ROUNDS
from gateway.core.model import (
    Approval,
    ApprovalState,
    Call,
    Client,
    Context,
    Decision,
    Held,
    Kind,
    Obligation,
    ObligationKind,
    Principal,
    Proof,
    Resume,
    Tool,
    Vote,
)
from gateway.errors import ApprovalError, BusyError, RecordError
from gateway.records import Records
from gateway.store import SqliteStore, open_store
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE, on_disk, whole

SHOWN = {"path": "a.txt"}
LOCAL = an_ask(Proof.LOCAL)
CLIENT = an_ask(Proof.CLIENT)
BY = "os:bob"


@dataclass
class Desk:
    """A gateway's approvals on a store of their own, and what a test does with them."""

    store: SqliteStore
    clock: FakeClock
    approvals: Approvals
    state: Path

    async def obtain(
        self,
        call: Call | None = None,
        caller: FakeCaller | None = None,
        decision: Decision = LOCAL,
        tool: Tool | None = None,
        waiting: Approval | None = None,
    ) -> Approval | Held:
        given = a_wait(call or a_call(), tool or a_tool(), decision, SHOWN, self.clock.now())
        return await self.approvals.obtain(*given, caller or FakeCaller(budget=0), waiting)

    async def told(self, call: Call | None = None, decision: Decision = LOCAL) -> Approval:
        """A row of which the caller was told that it is pending."""
        held = await self.obtain(call, decision=decision)
        assert isinstance(held, Held)
        assert held.handle is None
        return held.approval

    async def handed_out(self, decision: Decision = CLIENT) -> tuple[str, Approval]:
        """A handle that a modern client holds, and its row."""
        held = await self.obtain(caller=FakeCaller("input"), decision=decision)
        assert isinstance(held, Held)
        assert held.handle is not None
        assert held.ask
        return held.handle, held.approval

    async def approve(self, row: Approval, by: str = BY) -> Approval:
        return await self.approvals.vote(row.id, True, by, Proof.LOCAL)

    def history(self) -> list[str]:
        """The states of approvals as the record holds them."""
        return [str(each.extra["state"]) for each in on_disk(self.state) if each.kind is Kind.APPROVAL]


@asynccontextmanager
async def a_desk(tmp_path: Path, prompts_per_hour: int = 60) -> AsyncIterator[Desk]:
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            yield Desk(
                store, clock, Approvals(store, clock, KEY, prompts_per_hour=prompts_per_hour), tmp_path / "state"
            )
    await whole(tmp_path / "state")


class Answer:
    """Where a call that waits leaves its answer."""

    value: Approval | Held | None = None

    def __init__(self, desk: Desk, caller: FakeCaller, **given: object) -> None:
        self.desk, self.caller, self.given = desk, caller, given

    async def __call__(self) -> None:
        self.value = await self.desk.obtain(caller=self.caller, **self.given)  # type: ignore[arg-type]  # passed on


async def only_row(desk: Desk) -> Approval:
    (row,) = await desk.approvals.list()
    return row


# --- rung 1: the row is on disk before anybody hears of it ---------------------------------------------------------


async def test_a_row_and_its_record_are_on_disk_before_the_first_notice(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        answer = Answer(desk, caller := FakeCaller())
        tasks.start_soon(answer)
        await caller.noticed.wait()
        (record,) = on_disk(desk.state)
        row = await only_row(desk)
        assert (record.id, record.extra["state"], record.extra["call"]) == (row.id, "waiting", row.call)
        assert record.arguments == SHOWN
        assert caller.notices == [f"waiting for approval {row.id}"]
        tasks.cancel_scope.cancel()


async def test_the_record_of_a_row_tells_the_request_where_it_came_from_and_where_the_rule_stands(
    tmp_path: Path,
) -> None:
    call = replace(a_call(), method="resources/read", context=Context("s1", trace="00-trace"))
    async with a_desk(tmp_path) as desk:
        await desk.approve(await desk.told(call))
        opened, given = on_disk(desk.state)
        for record in (opened, given):
            assert (record.method, record.trace, record.places) == ("resources/read", "00-trace", ("files.toml:12",))
            assert (record.known_by, record.claimed, record.era) == ("os-user", "claude-code 2.1", "modern")


async def test_the_client_hears_every_ten_seconds_that_a_person_is_awaited(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        tasks.start_soon(Answer(desk, caller := FakeCaller(budget=1000)))
        for _ in range(3):
            await desk.clock.asleep(2)
            desk.clock.advance(10)
        await desk.clock.asleep(2)
        assert len(caller.notices) == 4
        tasks.cancel_scope.cancel()


async def test_a_notice_that_fails_settles_nothing(tmp_path: Path) -> None:
    class Deaf(FakeCaller):
        async def notice(self, text: str) -> None:
            self.noticed.set()
            raise RuntimeError("no token")

    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        tasks.start_soon(answer := Answer(desk, caller := Deaf()))
        await caller.noticed.wait()
        await desk.approve(await only_row(desk))
    assert isinstance(answer.value, Approval)


async def test_a_row_that_can_not_be_kept_asks_nobody(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
        with pytest.raises(RecordError):
            await desk.obtain(caller=(caller := FakeCaller()))
        assert not caller.notices
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))
        assert await desk.approvals.list() == []


async def test_arguments_are_left_out_of_the_record_where_the_label_says_digest(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        duties = frozenset({Obligation(ObligationKind.RECORD_DIGEST)})
        row = await desk.told(decision=replace(LOCAL, obligations=duties))
        assert row.arguments == SHOWN
        assert on_disk(desk.state)[0].arguments is None


# --- waiting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approve", [True, False], ids=["approve", "deny"])
async def test_an_answer_at_another_door_ends_the_wait(tmp_path: Path, approve: bool) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, caller := FakeCaller()))
            await caller.noticed.wait()
            row = await only_row(desk)
            settled = await desk.approvals.vote(row.id, approve, BY, Proof.LOCAL, "because")
        assert answer.value == settled
        assert (settled.decided_by, settled.proof, settled.note) == (BY, Proof.LOCAL, "because")
        assert desk.history() == ["waiting", "approved" if approve else "denied"]


async def test_at_the_budget_the_call_is_pending_and_the_row_open(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, FakeCaller(budget=25)))
            await desk.clock.asleep(2)
            desk.clock.advance(25)
        assert isinstance(answer.value, Held)
        assert answer.value.handle is None
        assert (await only_row(desk)).told


async def test_a_row_expires_while_its_call_waits(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, FakeCaller(budget=10_000)))
            await desk.clock.asleep(2)
            desk.clock.advance(600)
        assert isinstance(answer.value, Approval)
        assert answer.value.state is ApprovalState.EXPIRED
        assert desk.history() == ["waiting", "expired"]


async def test_a_clock_that_goes_back_expires_nothing_early(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, FakeCaller(budget=10_000)))
            await desk.clock.asleep(2)
            desk.clock.wall -= timedelta(seconds=300)
            desk.clock.advance(600)
            await desk.clock.asleep(1)
            assert (await only_row(desk)).state is ApprovalState.WAITING
            await desk.clock.asleep(2)
            desk.clock.advance(300)
        assert isinstance(answer.value, Approval)
        assert answer.value.state is ApprovalState.EXPIRED


async def test_an_answer_at_the_moment_of_the_budget_is_not_lost(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:

        class LastMoment(FakeClock):
            async def sleep(self, seconds: float) -> None:
                await desk.approve(await only_row(desk))

        desk.approvals._clock = LastMoment()
        settled = await desk.obtain(caller=FakeCaller(budget=25))
    assert isinstance(settled, Approval)
    assert settled.state is ApprovalState.APPROVED


# --- the same call again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approve", [True, False], ids=["approve", "deny"])
async def test_the_same_call_again_gets_the_answer_of_its_row(tmp_path: Path, approve: bool) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        await desk.approvals.vote(row.id, approve, BY, Proof.LOCAL)
        answer = await desk.obtain(a_call(2))
        assert isinstance(answer, Approval)
        assert (answer.id, answer.decided_by) == (row.id, BY)
        assert len(await desk.approvals.list()) == 1
        assert (await desk.told(a_call(3))).id != row.id


async def test_the_same_call_again_attaches_to_the_row_that_still_waits(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, caller := FakeCaller(), call=a_call(2)))
            await caller.noticed.wait()
            await desk.approve(row)
        assert isinstance(answer.value, Approval)
        assert answer.value.id == row.id


async def test_a_row_may_be_told_again_and_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        assert {(await desk.told(a_call(number))).id for number in range(4)} == {(await only_row(desk)).id}


async def test_two_equal_calls_in_flight_are_two_rows(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        async with anyio.create_task_group() as tasks:
            callers = [FakeCaller(), FakeCaller()]
            for number, caller in enumerate(callers):
                tasks.start_soon(Answer(desk, caller, call=a_call(number)))
            for caller in callers:
                await caller.noticed.wait()
            rows = {each.id for each in await desk.approvals.list()}
            assert len(rows) == 2
            assert row.id in rows
            tasks.cancel_scope.cancel()


OTHERS: list[tuple[Call, Tool]] = [
    (a_call(path="b.txt"), a_tool()),
    (a_call(session="s2"), a_tool()),
    (replace(a_call(), client=Client("cursor")), a_tool()),
    (replace(a_call(), principal=Principal("os:eve", "os-user")), a_tool()),
    (a_call(), replace(a_tool(), digest="00" * 32)),
    (a_call(), a_tool("other")),
]


@pytest.mark.parametrize(
    ("call", "tool"), OTHERS, ids=["arguments", "session", "client", "principal", "definition", "tool"]
)
async def test_an_approval_serves_no_other_call(tmp_path: Path, call: Call, tool: Tool) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        await desk.approve(row)
        held = await desk.obtain(call, tool=tool)
        assert isinstance(held, Held)
        assert held.approval.id != row.id


async def test_an_answer_that_has_expired_serves_nobody(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row, other = await desk.told(), await desk.told(a_call(path="b"))
        await desk.approve(row)
        await desk.approvals.vote(other.id, False, BY, Proof.LOCAL)
        desk.clock.advance(600)
        assert (await desk.told()).id != row.id
        assert (await desk.told(a_call(path="b"))).id != other.id
        assert (await desk.approvals.show(row.id)).state is ApprovalState.EXPIRED


async def test_a_call_whose_client_went_away_leaves_a_row_that_is_banked_for_the_same_call(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Answer(desk, caller := FakeCaller()))
            await caller.noticed.wait()
            tasks.cancel_scope.cancel()
        row = await only_row(desk)
        assert (row.state, row.told) == (ApprovalState.WAITING, True)
        await desk.approve(row)
        answer = await desk.obtain(a_call(2))
        assert isinstance(answer, Approval)
        assert (answer.id, answer.state) == (row.id, ApprovalState.APPROVED)


async def test_cancellation_passes_even_where_the_row_can_not_be_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, caller := FakeCaller()))
            await caller.noticed.wait()
            await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
            tasks.cancel_scope.cancel()
        assert answer.value is None
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))
        assert not (await only_row(desk)).told


# --- rung 2: the client's user is asked -----------------------------------------------------------------------------


def answering(vote: Vote, clock: FakeClock, after: float = 5.0) -> Callable[[Approval], object]:
    async def elicit(row: Approval) -> Vote:
        clock.ticks += after
        return vote

    return elicit


@pytest.mark.parametrize(
    ("vote", "state"), [(Vote.APPROVE, ApprovalState.APPROVED), (Vote.DENY, ApprovalState.DENIED)], ids=["yes", "no"]
)
async def test_a_legacy_clients_user_decides(tmp_path: Path, vote: Vote, state: ApprovalState) -> None:
    async with a_desk(tmp_path) as desk:
        caller = FakeCaller("elicit", elicit=answering(vote, desk.clock))  # type: ignore[arg-type]  # returns a coroutine
        answer = await desk.obtain(caller=caller, decision=CLIENT)
    assert isinstance(answer, Approval)
    assert (answer.state, answer.decided_by, answer.proof) == (state, "client:claude-code", Proof.CLIENT)


async def broken(row: Approval) -> Vote:
    raise RuntimeError("the client declared it and can't")


@pytest.mark.parametrize(
    ("vote", "after"), [(Vote.CANCEL, 5.0), (Vote.DENY, 0.69), (None, 0.0)], ids=["cancel", "too-fast", "error"]
)
async def test_what_no_person_answered_leaves_the_row_open(tmp_path: Path, vote: Vote | None, after: float) -> None:
    async with a_desk(tmp_path) as desk:
        elicit = broken if vote is None else answering(vote, desk.clock, after)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, FakeCaller("elicit", elicit=elicit), decision=CLIENT))  # type: ignore[arg-type]  # as above
            await desk.clock.asleep(2)
            await desk.approve(await only_row(desk))
        assert isinstance(answer.value, Approval)
        assert answer.value.decided_by == BY


@pytest.mark.parametrize(
    "decision", [LOCAL, an_ask(Proof.CLIENT, approvers=2), an_ask(Proof.CLIENT, by=frozenset({"bob"}))]
)
async def test_a_client_is_not_asked_where_its_word_is_not_enough(tmp_path: Path, decision: Decision) -> None:
    async with a_desk(tmp_path) as desk:
        for asks in ("elicit", "input"):
            held = await desk.obtain(caller=FakeCaller(asks, budget=0), decision=decision)
            assert isinstance(held, Held)
            assert held.handle is None


async def test_the_question_at_the_client_is_withdrawn_when_another_door_was_faster(tmp_path: Path) -> None:
    withdrawn = anyio.Event()

    async def never(row: Approval) -> Vote:
        try:
            await anyio.sleep_forever()
        finally:
            withdrawn.set()
        return Vote.CANCEL

    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, caller := FakeCaller("elicit", elicit=never), decision=CLIENT))
            await caller.noticed.wait()
            await desk.approve(await only_row(desk))
        assert withdrawn.is_set()
        assert isinstance(answer.value, Approval)


async def test_an_answer_that_can_not_be_recorded_is_no_answer(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:

        async def elicit(row: Approval) -> Vote:
            await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
            return Vote.APPROVE

        with pytest.raises(RecordError):
            await desk.obtain(caller=FakeCaller("elicit", elicit=elicit), decision=CLIENT)
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))
        assert (await only_row(desk)).state is ApprovalState.WAITING


# --- rung 2, modern: handles ----------------------------------------------------------------------------------------


def again(handle: str, vote: Vote | None = Vote.APPROVE, call: Call | None = None) -> Call:
    return replace(call or a_call(2), resume=Resume(handle, vote))


@pytest.mark.parametrize(
    ("vote", "state"),
    [
        (Vote.APPROVE, ApprovalState.APPROVED),
        (Vote.DENY, ApprovalState.DENIED),
        (Vote.CANCEL, ApprovalState.WAITING),
        (None, ApprovalState.WAITING),
    ],
    ids=["yes", "no", "cancel", "again"],
)
async def test_a_second_round_brings_the_answer(tmp_path: Path, vote: Vote | None, state: ApprovalState) -> None:
    async with a_desk(tmp_path) as desk:
        handle, row = await desk.handed_out()
        desk.clock.advance(5)
        resumed = await desk.approvals.resume(again(handle, vote))
        assert resumed is not None
        assert (resumed[0], resumed[1].id, resumed[1].state) == (row.call, row.id, state)


async def test_only_a_hash_of_the_handle_is_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, _ = await desk.handed_out()
        stored = await desk.store.read(lambda db: db.execute("SELECT * FROM handle").fetchone())
        assert handle.encode() not in b"".join(str(each).encode() for each in stored)
        assert len(handle) >= 22


async def test_a_handle_is_used_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, _ = await desk.handed_out()
        answers: list[object] = []

        async def come_back() -> None:
            answers.append(await desk.approvals.resume(again(handle, None)))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(come_back)
        assert len([answer for answer in answers if answer is not None]) == 1


@pytest.mark.parametrize(
    "call",
    [
        a_call(path="b.txt"),
        a_call(session="s2"),
        replace(a_call(), client=Client("cursor")),
        replace(a_call(), principal=Principal("os:eve", "os-user")),
        replace(a_call(), exposed="files__delete"),
    ],
    ids=["arguments", "session", "client", "principal", "tool"],
)
async def test_a_handle_of_another_call_is_invalid_and_stays_for_its_own(tmp_path: Path, call: Call) -> None:
    async with a_desk(tmp_path) as desk:
        handle, row = await desk.handed_out()
        assert await desk.approvals.resume(again(handle, call=call)) is None
        assert (await desk.approvals.show(row.id)).state is ApprovalState.WAITING
        assert await desk.approvals.resume(again(handle)) is not None


@pytest.mark.parametrize("forged", ["", "x" * 22, "\ud800"], ids=["empty", "guess", "surrogate"])
async def test_a_forged_handle_is_invalid(tmp_path: Path, forged: str) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.handed_out()
        assert await desk.approvals.resume(again(forged)) is None


async def test_a_call_without_a_handle_resumes_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        assert await desk.approvals.resume(a_call()) is None


async def test_a_late_round_hears_that_the_approval_expired_and_a_much_later_one_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        (first, _), (second, _) = await desk.handed_out(), await desk.handed_out()
        desk.clock.advance(600)
        resumed = await desk.approvals.resume(again(first))
        assert resumed is not None
        assert resumed[1].state is ApprovalState.EXPIRED
        desk.clock.advance(HANDLE_GRACE.total_seconds())
        assert await desk.approvals.resume(again(second)) is None


async def test_a_decline_faster_than_a_person_can_read_leaves_the_row_open(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, _ = await desk.handed_out()
        desk.clock.advance(0.5)
        resumed = await desk.approvals.resume(again(handle, Vote.DENY))
        assert resumed is not None
        assert resumed[1].state is ApprovalState.WAITING


async def test_a_round_that_comes_after_another_door_gets_that_doors_answer(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, row = await desk.handed_out()
        await desk.approvals.vote(row.id, False, BY, Proof.LOCAL)
        resumed = await desk.approvals.resume(again(handle, Vote.APPROVE))
        assert resumed is not None
        assert (resumed[1].state, resumed[1].decided_by) == (ApprovalState.DENIED, BY)
        assert await desk.obtain(a_call(2), FakeCaller("input"), CLIENT, waiting=resumed[1]) == resumed[1]


async def test_a_round_without_an_answer_waits_to_the_budget_and_is_pending(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, row = await desk.handed_out()
        resumed = await desk.approvals.resume(again(handle, None))
        assert resumed is not None
        held = await desk.obtain(a_call(2), FakeCaller("input", budget=0), CLIENT, waiting=resumed[1])
        assert isinstance(held, Held)
        assert (held.approval.id, held.handle) == (row.id, None)
        assert (await only_row(desk)).told


async def test_a_round_for_a_changed_definition_is_asked_anew(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, row = await desk.handed_out()
        desk.clock.advance(5)
        resumed = await desk.approvals.resume(again(handle))
        assert resumed is not None
        changed = replace(a_tool(), digest="00" * 32)
        held = await desk.obtain(a_call(2), FakeCaller("input"), CLIENT, changed, waiting=resumed[1])
        assert isinstance(held, Held)
        assert held.approval.id != row.id
        assert (await desk.approvals.show(row.id)).state is ApprovalState.WITHDRAWN


# --- rung 3: a modern client that can't be asked ----------------------------------------------------------------------


async def test_a_silent_client_calls_again_nine_times_and_is_then_told_that_it_is_pending(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        caller = FakeCaller("input-silent", budget=0)
        held = await desk.obtain(caller=caller)
        for number in range(ROUNDS):
            assert isinstance(held, Held)
            assert held.handle is not None
            assert not held.ask
            resumed = await desk.approvals.resume(again(held.handle, None, a_call(number)))
            assert resumed is not None
            held = await desk.obtain(a_call(number), caller, waiting=resumed[1])
        assert isinstance(held, Held)
        assert held.handle is None
        assert len(await desk.approvals.list()) == 1


async def test_an_answer_that_comes_without_a_question_is_nobodys(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        held = await desk.obtain(caller=FakeCaller("input-silent", budget=0))
        assert isinstance(held, Held)
        assert held.handle is not None
        desk.clock.advance(5)
        for vote in (Vote.APPROVE, Vote.DENY):
            resumed = await desk.approvals.resume(again(held.handle, vote))
            assert resumed is not None
            assert resumed[1].state is ApprovalState.WAITING
            held = await desk.obtain(a_call(3), FakeCaller("input-silent", budget=0), waiting=resumed[1])
            assert isinstance(held, Held)
            assert held.handle is not None


# --- the desk ---------------------------------------------------------------------------------------------------------


async def objection(desk: Desk, prefix: str, by: str = BY, proof: Proof = Proof.LOCAL, approve: bool = True) -> str:
    with pytest.raises(ApprovalError) as caught:
        await desk.approvals.vote(prefix, approve, by, proof)
    assert "\n" not in str(caught.value)
    return caught.value.objection


async def test_a_vote_that_does_not_count_says_why_and_settles_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        assert await objection(desk, "a_0000000000") == "unknown"
        assert await objection(desk, row.id[:3]) == "unknown"
        assert await objection(desk, "") == "unknown"
        assert await objection(desk, row.id, proof=Proof.CLIENT) == "proof-too-weak"
        named = await desk.told(a_call(path="b"), an_ask(Proof.LOCAL, by=frozenset({"carol"})))
        assert await objection(desk, named.id) == "not-permitted"
        assert [each.state for each in await desk.approvals.list()] == [ApprovalState.WAITING] * 2
        await desk.approve(row)
        assert await objection(desk, row.id) == "settled"
        desk.clock.advance(600)
        assert await objection(desk, named.id, by="os:carol") == "expired"


async def test_a_beginning_of_four_is_enough_if_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["a_7F3K000001", "a_7F3K000002", "a_8000000000"])
    monkeypatch.setattr("gateway.ids.new_id", lambda letter: next(ids))
    async with a_desk(tmp_path) as desk:
        for number in range(3):
            await desk.told(a_call(path=str(number)))
        assert await objection(desk, "a_7F3K") == "ambiguous"
        assert (await desk.approvals.show("A_8o")).id == "a_8000000000"
        assert (await desk.approvals.show("a_7f3koooool")).id == "a_7F3K000001"


async def test_two_deciders_at_the_same_moment_settle_it_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row, results = await desk.told(), []

        async def decide(by: str, approve: bool) -> None:
            try:
                results.append((await desk.approvals.vote(row.id, approve, by, Proof.LOCAL)).state.value)
            except ApprovalError as problem:
                results.append(problem.objection)

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(decide, f"os:user{number}", number % 2 == 0)
        assert results.count("settled") == 5
        assert len(desk.history()) == 2


async def test_two_approvers_are_needed_where_the_policy_says_so(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told(decision=an_ask(Proof.LOCAL, approvers=2))
        assert (await desk.approve(row)).state is ApprovalState.WAITING
        assert await objection(desk, row.id) == "already-voted"
        assert await objection(desk, row.id, by="os:alice") == "requester"
        settled = await desk.approve(row, "os:carol")
        assert (settled.state, settled.decided_by) == (ApprovalState.APPROVED, "os:bob, os:carol")
        assert desk.history() == ["waiting", "waiting", "approved"]


async def test_two_approvers_at_the_same_moment_both_count(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told(decision=an_ask(Proof.LOCAL, approvers=2))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.approve, row, "os:bob")
            tasks.start_soon(desk.approve, row, "os:carol")
        assert (await only_row(desk)).state is ApprovalState.APPROVED


async def test_a_vote_that_can_not_be_recorded_settles_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
        with pytest.raises(RecordError):
            await desk.approve(row)
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))
        assert (await only_row(desk)).state is ApprovalState.WAITING


async def test_over_the_prompts_of_an_hour_a_principal_is_refused_as_busy(tmp_path: Path) -> None:
    async with a_desk(tmp_path, prompts_per_hour=2) as desk:
        for number in range(2):
            await desk.told(a_call(path=str(number)))
        with pytest.raises(BusyError):
            await desk.obtain(a_call(path="2"))
        await desk.told(replace(a_call(path="2"), principal=Principal("os:eve", "os-user")))
        desk.clock.advance(3601)
        await desk.told(a_call(path="2"))
        assert desk.history().count("waiting") == 4


async def test_a_void_approval_is_withdrawn_and_a_used_one_stays_used(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        await desk.approvals.expire(await desk.approve(row))
        assert (await only_row(desk)).state is ApprovalState.WITHDRAWN
        used = await desk.approve(await desk.told(a_call(path="b")))
        assert await Records(desk.store, desk.clock).append(a_record(9, approval=used.id), consume=(used.id,))
        await desk.approvals.expire(used)
        assert (await desk.approvals.show(used.id)).state is ApprovalState.USED


async def test_who_watches_is_told_of_every_change(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        seen: list[tuple[str, ApprovalState]] = []
        desk.approvals.on_change.append(lambda row: seen.append((row.id, row.state)))
        row = await desk.told()
        await desk.approve(row)
        assert seen == [(row.id, ApprovalState.WAITING), (row.id, ApprovalState.APPROVED)]


async def test_a_start_expires_what_is_due_and_leaves_the_rest_to_the_same_call(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        late = await desk.told(a_call(path="b"), an_ask(Proof.LOCAL, timeout=timedelta(minutes=1)))
        _, row = await desk.handed_out()
        await desk.approve(row)
        desk.clock.advance(60)
        assert await desk.approvals.recover() == 1
        assert (await desk.approvals.show(late.id)).state is ApprovalState.EXPIRED
        answer = await desk.obtain(a_call(2), decision=CLIENT)
        assert isinstance(answer, Approval)
        assert (answer.id, answer.state) == (row.id, ApprovalState.APPROVED)
        assert await desk.approvals.recover() == 0


async def test_a_list_is_by_state_and_what_is_due_is_expired_in_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        first, second = await desk.told(), await desk.told(a_call(path="b"))
        await desk.approve(first)
        assert [row.id for row in await desk.approvals.list(ApprovalState.WAITING)] == [second.id]
        desk.clock.advance(600)
        assert await desk.approvals.list(ApprovalState.WAITING) == []
        assert len(await desk.approvals.list(ApprovalState.EXPIRED)) == 2


async def test_a_row_is_read_back_as_it_was_opened(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        asked = an_ask(Proof.SIGNED, by=frozenset({"role:x", "bob"}), approvers=2, timeout=timedelta(seconds=90))
        opened: list[Approval] = []
        desk.approvals.on_change.append(opened.append)
        told = await desk.told(decision=asked)
        assert replace(told, told=False) == opened[0]
        assert told.requirement == asked.requirement


async def test_many_deciders_at_the_same_moment_all_count(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told(decision=an_ask(Proof.LOCAL, approvers=8))
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(desk.approve, row, f"os:user{number}")
        assert (await only_row(desk)).state is ApprovalState.APPROVED


async def test_two_who_look_at_a_row_whose_time_is_over_expire_it_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.told()
        desk.clock.advance(600)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.approvals.list)
            tasks.start_soon(desk.approvals.list)
        assert desk.history() == ["waiting", "expired"]


async def test_a_row_that_nobody_knows_can_not_be_expired(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        with pytest.raises(ApprovalError):
            await desk.approvals.expire(replace(row, id="a_ZZZZZZZZZZ"))


async def test_two_calls_that_wait_at_one_row_both_hear_of_its_end(tmp_path: Path) -> None:
    """A start tells every open row, so a round and a new call can meet at one; only one of them can use it."""
    async with a_desk(tmp_path) as desk:
        handle, row = await desk.handed_out()
        await desk.approvals.recover()
        resumed = await desk.approvals.resume(again(handle, None))
        assert resumed is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first := Answer(desk, one := FakeCaller(), call=a_call(2)))
            await one.noticed.wait()
            tasks.start_soon(second := Answer(desk, two := FakeCaller(), waiting=resumed[1]))
            await two.noticed.wait()
            settled = await desk.approve(row)
        assert (first.value, second.value) == (settled, settled)
        records = Records(desk.store, desk.clock)
        assert await records.append(a_record(2, approval=row.id), consume=(row.id,))
        assert not await records.append(a_record(1, approval=row.id), consume=(row.id,))


async def test_a_row_that_is_settled_before_anybody_watches_is_seen(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        answered: list[Approval] = []

        def at_once(row: Approval) -> None:
            """What happens between the row's first commit and the wait: it is settled in the store."""
            answered.append(row)

        desk.approvals.on_change.append(at_once)
        opened = desk.approvals._open

        async def open_and_settle(row: Approval) -> None:
            await opened(row)
            await desk.approvals.vote(row.id, False, BY, Proof.LOCAL)

        desk.approvals._open = open_and_settle  # type: ignore[method-assign]  # the moment can't be met otherwise
        settled = await desk.obtain(caller=(caller := FakeCaller(budget=25)))
        assert isinstance(settled, Approval)
        assert (settled.state, caller.notices, len(answered)) == (ApprovalState.DENIED, [], 2)


async def test_an_answer_between_the_budget_and_the_telling_is_not_lost(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        hold = desk.approvals._hold

        async def hold_and_settle(row: Approval, caller: FakeCaller, end: float, *, ask: bool, url: str) -> Approval:
            found = await hold(row, caller, end, ask=ask, url=url)
            await desk.approve(row)
            return found

        desk.approvals._hold = hold_and_settle  # type: ignore[method-assign,assignment]  # as above
        settled = await desk.obtain()
        assert isinstance(settled, Approval)
        assert settled.state is ApprovalState.APPROVED
