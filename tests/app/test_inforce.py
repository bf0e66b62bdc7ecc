"""The policy in force is exchanged whole, and everybody who has to know is told, in order."""

from msgspec.structs import replace

from gateway.app.inforce import InForce
from gateway.core.policy import Policy
from tests.house import policy_of


def test_another_policy_counts_from_the_moment_of_the_exchange_and_is_told_in_order() -> None:
    first, second = policy_of(), replace(policy_of(), revision="2")
    held = InForce(first)
    told: list[tuple[str, Policy, Policy]] = []
    held.on_change(lambda policy: told.append(("rates", policy, held())))
    held.on_change(lambda policy: told.append(("catalogue", policy, held())))
    assert held() is first
    assert told == []
    held.exchange(second)
    assert held() is second
    assert told == [("rates", second, second), ("catalogue", second, second)]  # who is told finds the new one already


def test_nobody_has_to_be_told() -> None:
    held = InForce(policy_of())
    held.exchange(other := replace(policy_of(), revision="2"))
    assert held() is other
