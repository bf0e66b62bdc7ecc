"""Who is told what and when: one notice for a group, a second target at half time, so many an hour at most."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gateway.core.model import Approval, ApprovalState
from gateway.notices.board import MOST_GROUPS, PER_HOUR, Act, After, Board, after_of
from tests.fakes import NOON, a_call, a_row, a_tool, an_ask

MINUTE = timedelta(minutes=1)


def a_board(after: After | None = None) -> Board:
    return Board(after or After(), lambda row: f"http://localhost/approvals/{row.id}")


def a_wait(number: int = 1, session: str = "s1", minute: int = 0) -> Approval:
    """A row that was opened at this minute, and may wait for ten."""
    row = a_row(f"a_{number}", a_call(number, session=session), a_tool(), an_ask(), at=NOON + minute * MINUTE)
    return replace(row, session=session)


def ended(row: Approval, state: ApprovalState = ApprovalState.DENIED) -> Approval:
    return replace(row, state=state)


def acts(steps: list[object]) -> list[str]:
    return [step.act.value for step in steps]  # type: ignore[attr-defined]  # they are steps


def test_the_first_call_of_a_group_is_told_and_the_others_renew_it() -> None:
    board = a_board()
    first, second = a_wait(1), a_wait(2)
    (step,) = board.hear(first, NOON)
    assert (step.act, step.row, "a call waits" in step.notice.title) == (Act.TELL, first, True)
    (step,) = board.hear(second, NOON)
    assert (step.act, step.row, "2 calls" in step.notice.title) == (Act.RENEW, first, True)
    assert board.hear(second, NOON) == []  # one more vote


def test_a_group_is_withdrawn_once_nothing_waits_in_it() -> None:
    board = a_board()
    first, second = a_wait(1), a_wait(2)
    for row in (first, second):
        board.hear(row, NOON)
    (step,) = board.hear(ended(first), NOON)
    assert (step.act, step.row, step.notice.text.endswith("a_2")) == (Act.RENEW, second, True)
    assert acts(board.hear(ended(second), NOON)) == ["withdraw"]
    assert board.hear(ended(second), NOON) == []
    assert board.next_due() is None
    assert acts(board.hear(a_wait(3), NOON)) == ["tell"]


def test_groups_are_told_apart() -> None:
    board = a_board()
    assert acts(board.hear(a_wait(1, "s1"), NOON) + board.hear(a_wait(2, "s2"), NOON)) == ["tell", "tell"]


def test_the_second_target_is_told_once_at_half_time() -> None:
    board = a_board()
    board.hear(a_wait(1), NOON)
    assert board.next_due() == NOON + 5 * MINUTE
    assert board.due(NOON + 5 * MINUTE - timedelta(seconds=1)) == []
    assert acts(board.due(NOON + 5 * MINUTE)) == ["second"]
    assert board.due(NOON + 6 * MINUTE) == []
    assert board.next_due() == NOON + 10 * MINUTE


def test_what_was_answered_before_half_time_is_told_nobody_else() -> None:
    board = a_board()
    row = a_wait(1)
    board.hear(row, NOON)
    board.hear(ended(row), NOON + MINUTE)
    assert board.due(NOON + 5 * MINUTE) == []


def test_what_expires_is_withdrawn_by_itself() -> None:
    board = a_board()
    board.hear(a_wait(1), NOON)
    board.due(NOON + 5 * MINUTE)
    assert acts(board.due(NOON + 10 * MINUTE)) == ["withdraw"]
    assert board.next_due() is None


def test_a_gateway_that_slept_tells_nobody_of_what_has_expired() -> None:
    board = a_board()
    board.hear(a_wait(1), NOON)
    assert acts(board.due(NOON + 20 * MINUTE)) == ["withdraw"]


def test_a_principal_has_so_many_notices_in_an_hour_and_one_word_of_each_beyond() -> None:
    board = a_board()
    for number in range(PER_HOUR):
        assert acts(board.hear(a_wait(number, f"s{number}"), NOON)) == ["tell"]
    over = a_wait(100, "s100")
    assert acts(board.hear(over, NOON)) == ["limited"]
    assert board.hear(a_wait(101, "s100"), NOON) == []
    assert board.hear(ended(over), NOON) == []
    assert board.due(NOON + 5 * MINUTE)[-1].group.session != "s100"
    other = replace(a_wait(102, "s102"), principal="os:bob")
    assert acts(board.hear(other, NOON)) == ["tell"]
    assert acts(board.hear(a_wait(103, "s103", 60), NOON + 60 * MINUTE)) == ["tell"]


def test_what_is_remembered_is_bounded() -> None:
    board = a_board()
    for number in range(MOST_GROUPS + 5):
        board.hear(replace(a_wait(number, f"s{number}"), principal=f"os:{number}"), NOON)
    assert len(board._cases) == MOST_GROUPS
    assert len(board._hours) == MOST_GROUPS


@pytest.mark.parametrize(
    ("text", "after"),
    [("50%", 5 * MINUTE), ("0%", 0 * MINUTE), ("90s", 1.5 * MINUTE), ("2m", 2 * MINUTE), ("1h", 60 * MINUTE)],
)
def test_after_is_a_share_or_a_time(text: str, after: timedelta) -> None:
    assert after_of(text).of(10 * MINUTE) == after
