"""The hold ladder against clients of every kind, scripted: what each is told, and that no answer of nobody counts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.approvals.ladder import ROUNDS
from gateway.core.approval import Chosen, Voter
from gateway.core.model import AGAIN, Approval, ApprovalState, Choice, Held, Proof, Resume, Vote
from tests.fakes import KEY, FakeCaller, a_call, a_row, a_tool, an_ask
from tests.test_approvals import CLIENT, LOCAL, Answer, Desk, a_desk, again, only_row

CARD = "http://localhost:8765/approvals/"


def linked(desk: Desk) -> Desk:
    """A desk whose cards can be opened in a console."""
    desk.approvals.link = lambda row: f"{CARD}{row.id}"  # type: ignore[method-assign]  # as the gateway sets it
    return desk


def opening(asks: str) -> FakeCaller:
    """A client that can open pages."""
    caller = FakeCaller(asks, budget=0)
    caller.opens = True
    return caller


async def test_a_modern_client_opens_the_card_where_its_word_is_not_enough(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        held = await linked(desk).obtain(caller=opening("input"), decision=LOCAL)
        assert isinstance(held, Held)
        assert (held.ask, held.url) == (False, f"{CARD}{held.approval.id}")
        assert held.handle is not None
        resumed = await desk.approvals.resume(again(held.handle, Vote.CANCEL))  # the link was opened, and that is all
        assert resumed is not None
        assert resumed[1].state is ApprovalState.WAITING
        back = await desk.obtain(a_call(2), opening("input"), LOCAL, waiting=resumed[1])
        assert isinstance(back, Held)
        assert (back.handle, back.ask, back.url) == (None, False, "")


async def test_a_legacy_client_opens_the_card_while_its_call_waits(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            caller = FakeCaller("elicit")
            caller.opens = True
            tasks.start_soon(answer := Answer(linked(desk), caller))
            await caller.noticed.wait()
            await desk.clock.asleep(2)
            await desk.approve(row := await only_row(desk))
        assert caller.opened == [f"{CARD}{row.id}"]
        assert isinstance(answer.value, Approval)
        assert answer.value.state is ApprovalState.APPROVED


async def test_a_page_that_can_not_be_opened_leaves_the_row_open(tmp_path: Path) -> None:
    class Closed(FakeCaller):
        async def open(self, approval: Approval, url: str) -> None:
            raise RuntimeError("declared, and can't")

    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            caller = Closed("elicit")
            caller.opens = True
            tasks.start_soon(answer := Answer(linked(desk), caller))
            await desk.clock.asleep(2)
            await desk.approve(await only_row(desk))
        assert isinstance(answer.value, Approval)


async def test_no_page_is_opened_while_no_console_is_served(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        held = await desk.obtain(caller=opening("input"), decision=LOCAL)
        assert isinstance(held, Held)
        assert held.url == ""


async def test_a_modern_client_is_told_to_call_again_nine_times_at_the_most(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        waiting, handles = None, 0
        for number in range(ROUNDS + 1):
            held = await desk.obtain(a_call(number), FakeCaller("input-silent", budget=0), LOCAL, waiting=waiting)
            assert isinstance(held, Held)
            handles += held.handle is not None
            waiting = held.approval
        assert handles == ROUNDS
        assert (await only_row(desk)).told


async def test_a_client_that_gives_up_twice_at_the_same_moment_is_held_less_from_then_on(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for number in range(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Answer(desk, caller := FakeCaller(budget=240), call=a_call(number, path=str(number))))
                await caller.noticed.wait()
                desk.clock.advance(30)
                tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, FakeCaller(budget=240), call=a_call(9, path="9")))
            await desk.clock.asleep(2)
            desk.clock.advance(25)
        assert isinstance(answer.value, Held)  # pending, before the client gives up
        other = Approvals(desk.store, desk.clock, KEY)
        await other.recover()
        assert other._patience["client"].limit == 30.0  # and a restart forgets nothing


@pytest.mark.parametrize("at", [59.8, 60.3])
async def test_a_decline_exactly_at_the_clients_limit_was_given_by_nobody(tmp_path: Path, at: float) -> None:
    async with a_desk(tmp_path) as desk:

        async def decline(row: Approval) -> Vote:
            desk.clock.ticks += at
            return Vote.DENY

        async with anyio.create_task_group() as tasks:
            caller = FakeCaller("elicit", budget=240, elicit=decline)
            caller.limit = 60.0
            tasks.start_soon(answer := Answer(desk, caller, decision=CLIENT))
            await desk.clock.asleep(2)
            await desk.approve(await only_row(desk))
        assert isinstance(answer.value, Approval)
        assert answer.value.decided_by == "os:bob"


async def test_a_modern_decline_at_the_limit_leaves_the_row_open(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        handle, _ = await desk.handed_out()
        desk.clock.advance(60)
        caller = FakeCaller("input")
        caller.limit = 60.0
        resumed = await desk.approvals.resume(again(handle, Vote.DENY), caller)
        assert resumed is not None
        assert resumed[1].state is ApprovalState.WAITING


async def test_an_autopilot_that_accepts_approves_nothing_that_needs_a_person(tmp_path: Path) -> None:
    async def accept(row: Approval) -> Vote:
        raise AssertionError("it is not even asked")

    async with a_desk(tmp_path) as desk:
        held = await desk.obtain(caller=FakeCaller("elicit", budget=0, elicit=accept), decision=LOCAL)
        assert isinstance(held, Held)
        assert held.approval.state is ApprovalState.WAITING


# --- a person changes the call --------------------------------------------------------------------------------------


def edits(desk: Desk, arguments: Mapping[str, Any]) -> Chosen:
    """An edit, and a gateway that takes it as it is."""

    async def reconsider(row: Approval, given: Mapping[str, Any]) -> Approval:
        return a_row("", a_call(7, **given), a_tool(), LOCAL, dict(given), desk.clock.now())

    desk.approvals.reconsider = reconsider
    return Chosen(Choice.EDIT, arguments=arguments)


BOB = Voter("os:bob", Proof.LOCAL)


async def test_a_call_that_is_edited_waits_on_for_an_answer_to_what_it_is_now(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, caller := FakeCaller(budget=100)))
            await caller.noticed.wait()
            row = await only_row(desk)
            new = await desk.approvals.settle(row.id, edits(desk, {"path": "b.txt"}), BOB)
            assert (new.state, new.follows, new.asked_digest) == (ApprovalState.WAITING, row.id, row.arguments_digest)
            old = await desk.approvals.show(row.id)
            assert (old.state, old.followed_by) == (ApprovalState.WITHDRAWN, new.id)
            await desk.approve(new)
        assert isinstance(answer.value, Approval)
        assert (answer.value.id, answer.value.arguments) == (new.id, {"path": "b.txt"})
        assert desk.history() == ["waiting", "withdrawn", "waiting", "approved"]


async def test_the_same_call_again_finds_the_edited_row_and_an_edit_by_the_agent_does_not(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told()
        new = await desk.approvals.settle(row.id, edits(desk, {"path": "b.txt"}), BOB)
        await desk.approve(new)
        found = await desk.obtain(a_call(2))
        assert isinstance(found, Approval)
        assert found.id == new.id
        other = await desk.obtain(a_call(3, path="b.txt"))
        assert isinstance(other, Held)
        assert other.approval.id not in (row.id, new.id)


async def test_votes_that_were_given_are_void_once_the_call_is_edited(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.told(decision=an_ask(Proof.LOCAL, approvers=2))
        await desk.approve(row, "os:bob")

        async def reconsider(old: Approval, given: Mapping[str, Any]) -> Approval:
            two = an_ask(Proof.LOCAL, approvers=2)
            return a_row("", a_call(7, **given), a_tool(), two, dict(given), desk.clock.now())

        desk.approvals.reconsider = reconsider
        new = await desk.approvals.settle(row.id, Chosen(Choice.EDIT, arguments={"path": "b"}), BOB)
        assert (await desk.approve(new, "os:carol")).state is ApprovalState.WAITING
        assert (await desk.approve(new, "os:bob")).state is ApprovalState.APPROVED


async def test_what_waits_is_decided_anew_once_its_tool_is_labelled(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer := Answer(desk, caller := FakeCaller(budget=100)))
            await caller.noticed.wait()
            assert await desk.approvals.again("files", "write_file") == 1
            assert await desk.approvals.again("files", "other") == 0
        assert isinstance(answer.value, Approval)
        assert (answer.value.state, answer.value.followed_by) == (ApprovalState.WITHDRAWN, AGAIN)


async def test_a_handle_of_an_edited_row_goes_on_at_the_row_that_follows(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        held = await desk.obtain(caller=FakeCaller("input-silent", budget=0), decision=LOCAL)
        assert isinstance(held, Held)
        assert held.handle is not None
        new = await desk.approvals.settle(held.approval.id, edits(desk, {"path": "b.txt"}), BOB)
        await desk.approve(new)
        resumed = await desk.approvals.resume(replace(a_call(2), resume=Resume(held.handle)))
        assert resumed is not None
        found = await desk.obtain(a_call(2), FakeCaller("input-silent", budget=0), LOCAL, waiting=resumed[1])
        assert isinstance(found, Approval)
        assert (found.id, found.state) == (new.id, ApprovalState.APPROVED)
