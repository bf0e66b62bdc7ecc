"""What is learned of a client's patience: a limit is seen twice at the same moment, and holds calls less long."""

import pytest

from gateway.core.patience import REMEMBERED, SHARE, Patience, never_shown


def test_one_call_that_was_given_up_teaches_nothing() -> None:
    seen = Patience().gave_up(60.0)
    assert (seen.limit, seen.budget(240.0)) == (0.0, 240.0)


def test_two_at_the_same_moment_are_a_limit_and_calls_are_held_for_a_share_of_it() -> None:
    seen = Patience().gave_up(60.2).gave_up(12.0).gave_up(60.0)
    assert seen.limit == 60.0
    assert seen.budget(240.0) == SHARE * 60.0
    assert seen.budget(25.0) == 25.0


def test_people_who_give_up_at_any_moment_teach_nothing() -> None:
    seen = Patience()
    for after in (5.0, 9.0, 14.0, 33.0, 57.0):
        seen = seen.gave_up(after)
    assert seen.limit == 0.0


def test_a_limit_only_gets_shorter() -> None:
    seen = Patience().gave_up(30.0).gave_up(30.0).gave_up(60.0).gave_up(60.0)
    assert seen.limit == 30.0
    assert seen.gave_up(20.0).gave_up(20.0).limit == 20.0


def test_what_is_given_up_at_once_is_not_looked_at_and_old_moments_are_forgotten() -> None:
    assert Patience().gave_up(1.0) == Patience()
    seen = Patience()
    for after in range(10, 100, 5):
        seen = seen.gave_up(float(after))
    assert len(seen.seen) == REMEMBERED


@pytest.mark.parametrize(
    ("after", "limits", "unseen"),
    [
        (0.3, (), True),
        (0.7, (), False),
        (59.7, (60.0, 0.0), True),
        (60.4, (0.0, 60.0), True),
        (58.0, (60.0, 0.0), False),
        (0.7, (0.0, 0.0), False),
    ],
    ids=["faster than anybody reads", "read", "at the limit", "just after it", "before it", "no limit is known"],
)
def test_a_decline_that_nobody_can_have_given(after: float, limits: tuple[float, ...], unseen: bool) -> None:
    assert never_shown(after, limits) is unseen
