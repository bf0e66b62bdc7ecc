"""How far a caller is from the gateway: what is known raises the level, what isn't never does."""

import pytest

from gateway.core.isolation import MEANS, Isolation, between, of_call


@pytest.mark.parametrize(
    ("caller", "gateway", "loopback", "level"),
    [
        (1000, 1000, True, Isolation.SAME_USER),
        (None, 1000, True, Isolation.SAME_USER),  # nobody can tell
        (0, 1000, True, Isolation.SAME_USER),  # root may do what the gateway may
        (1001, 1000, True, Isolation.OWN_USER),
        (1001, 0, True, Isolation.OWN_USER),
        (None, 1000, False, Isolation.CONFINED),
    ],
)
def test_a_connection_has_the_level_that_is_known_of_it(
    caller: int | None, gateway: int, loopback: bool, level: Isolation
) -> None:
    assert between(caller, gateway, loopback=loopback) is level


@pytest.mark.parametrize(
    ("connection", "presence", "level"), [(0, False, 0), (0, True, 1), (2, False, 2), (2, True, 2), (3, True, 3)]
)
def test_a_touch_raises_a_call_above_what_any_process_could_approve(
    connection: int, presence: bool, level: int
) -> None:
    assert of_call(connection, presence=presence) == level


def test_each_level_says_what_it_is_and_what_it_holds_against() -> None:
    assert set(MEANS) == set(Isolation)
    assert all(is_it and against for is_it, against in MEANS.values())
