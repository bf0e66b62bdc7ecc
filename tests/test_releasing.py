"""An output that a person is asked about: it leaves whole after a yes, and redacted after everything else."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.core.canon import canonical
from gateway.core.model import (
    RELEASE,
    Act,
    Approval,
    ApprovalState,
    Done,
    Kind,
    Proof,
    Reason,
    Release,
    Screened,
    Standing,
)
from gateway.errors import BusyError, RecordError
from gateway.holding import Nobody
from gateway.releasing import Patient
from tests.house import FakeCaller, Model, found
from tests.test_approvals import BY, Desk, a_desk, only_row

REDACTED = {"content": [{"type": "text", "text": "[R]"}]}
WHOLE = {"content": [{"type": "text", "text": "all of it"}]}


def asking(**changes: Any) -> Model:
    """A house whose output is asked about."""
    house = Model()
    house.caller.budget = 25.0
    house.screener.screened = Screened(
        Release.REDACTED,
        REDACTED,
        tuple(found()),
        Reason.SECRET_FOUND,
        "9" * 64,
        canonical(REDACTED),
        REDACTED,
        whole=WHOLE,
    )
    for name, value in changes.items():
        setattr(house.approvals, name, value)
    return house


def ended(house: Model) -> tuple[str, str, Any]:
    """Reason, release and what was answered, as the outcome's record holds them."""
    row = house.records.rows[-1]
    assert row.kind is Kind.OUTCOME
    return row.reason, row.release, row.extra.get("asked")


async def test_after_a_yes_the_output_leaves_whole_and_the_answer_is_used_up_with_its_record() -> None:
    house = asking(by="os:bob")
    assert await house.call("read") == Done(WHOLE)
    answer = {"approval": "a_0000000001", "state": "approved", "by": "os:bob", "proof": "local"}
    assert ended(house) == ("tier-default", "full", answer)
    assert house.effects[-3:] == ["screen", "obtain", "append outcome"]
    assert house.records.usable == set()
    row = house.records.rows[-1]
    assert [finding.act for finding in row.findings] == [Act.ALLOWED]
    assert "all of it" not in str(row)
    asked = house.approvals.given
    assert asked is not None
    assert (asked.method, asked.arguments_digest, asked.arguments) == (
        RELEASE,
        "9" * 64,
        {"content[0].text": "github-pat"},
    )
    assert house.turns.outputs == [("d_0000000001", "9" * 64)]


@pytest.mark.parametrize("state", [ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN])
async def test_after_any_other_answer_it_leaves_redacted(state: ApprovalState) -> None:
    house = asking(settle=state)
    assert await house.call("read") == Done(REDACTED)
    assert ended(house) == (
        "secret-found",
        "redacted",
        {"approval": "a_0000000001", "state": state.value},
    )
    assert [finding.act for finding in house.records.rows[-1].findings] == [Act.REDACTED]


async def test_when_the_client_has_waited_long_enough_it_leaves_redacted_and_the_question_is_withdrawn() -> None:
    house = asking(settle=None)
    assert await house.call("read") == Done(REDACTED)
    assert house.effects[-3:] == ["obtain", "expire", "append outcome"]
    assert ended(house) == ("secret-found", "redacted", {"approval": "a_0000000001", "state": "withdrawn"})


async def test_an_answer_that_was_used_or_withdrawn_meanwhile_lets_nothing_out() -> None:
    house = asking()
    house.records.usable = set()
    assert await house.call("read") == Done(REDACTED)
    assert ended(house) == ("secret-found", "redacted", {"approval": "a_0000000001", "state": "withdrawn"})
    assert len(house.records.outcomes()) == 1


async def test_while_somebody_holds_such_calls_a_yes_lets_nothing_out() -> None:
    house = asking()
    house.approvals.on_obtain = lambda: setattr(house.approvals, "said", Standing(frozen="by os:ada"))
    assert await house.call("read") == Done(REDACTED)
    assert ended(house)[:2] == ("secret-found", "redacted")
    assert "expire" in house.effects
    assert house.records.usable == {"a_0000000001"}


async def test_over_the_limit_of_questions_nobody_is_asked() -> None:
    def busy() -> None:
        raise BusyError("too many")

    house = asking(on_obtain=busy)
    assert await house.call("read") == Done(REDACTED)
    assert ended(house) == ("secret-found", "redacted", None)


async def test_a_question_that_can_not_be_kept_lets_nothing_out() -> None:
    def broken() -> None:
        raise RecordError("disk")

    house = asking(on_obtain=broken)
    answer = await house.call("read")
    assert answer.reason is Reason.RECORD_FAILED
    assert house.records.outcomes() == [("unknown", "record-failed")]


async def test_nobody_is_asked_where_nobody_waits_or_the_client_has_waited_already() -> None:
    house = asking()
    house.clock.passed = 24.5
    assert await house.call("read") == Done(REDACTED)
    house.caller = Nobody()  # type: ignore[assignment]  # as a preview is called
    assert await house.call("read") == Done(REDACTED)
    assert "obtain" not in house.effects


async def test_the_client_waits_and_has_no_say() -> None:
    opened: list[str] = []

    class Client(FakeCaller):
        budget = 60.0
        opens = answers_inline = True

        async def notice(self, text: str) -> None:
            opened.append(text)

        async def open(self, approval: Approval, url: str) -> None:
            opened.append(url)

    patient = Patient(Client(), 7.0)
    assert (patient.asks, patient.budget, patient.opens, patient.modern) == ("none", 7.0, True, False)
    await patient.notice("waiting")
    await patient.open(None, "http://localhost/")  # type: ignore[arg-type]  # handed on as it is
    assert opened == ["waiting", "http://localhost/"]


# With the real desk.


class Waiter(FakeCaller):
    """A client of some kind, that waits for a while."""

    def __init__(self, asks: str, budget: float) -> None:
        super().__init__()
        self.asks, self.budget, self.answers_inline = asks, budget, asks == "elicit"


async def ask(desk: Desk, house: Model, caller: Any, answers: list[Any]) -> None:
    """Take a call along the path, whose people answer at a real desk."""
    desk.clock.wall = house.clock.now()
    house.caller = caller
    answers.append(await house.call("read"))


@pytest.mark.parametrize("yes", [True, False], ids=["yes", "no"])
@pytest.mark.parametrize("asks", ["none", "input", "elicit", "input-silent"])
async def test_at_a_real_desk_a_person_decides_whatever_the_client_can(tmp_path: Path, asks: str, yes: bool) -> None:
    async with a_desk(tmp_path) as desk:
        house, answers = asking(), list[Any]()
        house.approvals.obtain = desk.approvals.obtain  # type: ignore[method-assign]  # the real one
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk, house, Waiter(asks, budget=600), answers)
            await desk.clock.asleep(2)
            row = await only_row(desk)
            assert (row.state, row.method) == (ApprovalState.WAITING, RELEASE)
            house.records.usable = {row.id}
            await desk.approvals.vote(row.id, yes, BY, Proof.LOCAL)
        assert answers == [Done(WHOLE if yes else REDACTED)]
        assert (await only_row(desk)).decided_by


async def test_at_a_real_desk_the_question_ends_with_the_clients_patience(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        house, answers = asking(), list[Any]()
        house.approvals.obtain = desk.approvals.obtain  # type: ignore[method-assign]  # the real ones
        house.approvals.expire = desk.approvals.expire  # type: ignore[method-assign]  # likewise
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk, house, Waiter("none", budget=20), answers)
            await desk.clock.asleep(2)
            desk.clock.advance(30)
        assert answers == [Done(REDACTED)]
        assert (await only_row(desk)).state is ApprovalState.WITHDRAWN


async def test_the_same_call_again_never_attaches_to_a_question_about_an_output(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        house, answers = asking(), list[Any]()
        house.approvals.obtain = desk.approvals.obtain  # type: ignore[method-assign]  # the real one
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk, house, Waiter("none", budget=600), answers)
            await desk.clock.asleep(2)
            tasks.cancel_scope.cancel()  # the client goes away; the row stays open
        row = await only_row(desk)
        assert row.told
        again: list[Any] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk, house, Waiter("none", budget=600), again)
            await desk.clock.asleep(2)
            rows = await desk.approvals.list(ApprovalState.WAITING)
            tasks.cancel_scope.cancel()
        assert [one.method for one in rows] == [RELEASE] * len(rows)
