"""The kill loop: what a gateway that is killed at any moment under load leaves on its record, and that the loop can
fail.
"""

import random
import sys

import pytest

from tests.e2e.kill_loop import KillLoop, WrongRecordError
from tests.e2e.kit import House

ROUNDS = 30
BOUND = 10  # rounds in which a gateway that is wrong must be found out


@pytest.fixture
def chance() -> random.Random:
    """Its seed is printed, so that a failure can be played again."""
    seed = random.getrandbits(32)
    print(f"the seed of this loop is {seed}")
    return random.Random(seed)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_gateway_killed_at_any_moment_leaves_a_record_of_all_that_happened(
    house: House, chance: random.Random
) -> None:
    loop = KillLoop(house, chance)
    await loop.run(ROUNDS)
    assert len(loop.effects) > ROUNDS
    assert loop.unknown > 0  # the kills met calls under way


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("mutant", "found"),
    [("late-intent", "an effect without an intent"), ("late-outcome", r"answered as done, recorded as \['unknown'\]")],
)
async def test_a_gateway_that_writes_too_late_is_found_out(
    house: House, chance: random.Random, mutant: str, found: str
) -> None:
    loop = KillLoop(house, chance, [sys.executable, "-m", "tests.e2e.mutants", mutant])
    with pytest.raises(WrongRecordError, match=found):
        await loop.run(BOUND)
