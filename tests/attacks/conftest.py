"""Fixtures of the attacks: four houses, and values of this run's own."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.conftest import _warm, warm_environment  # noqa: F401 - pytest finds its fixtures here by name
from tests.e2e.kit import House


@pytest.fixture
def seed() -> int:
    """The values of this run."""
    return random.randrange(1_000_000)


@pytest.fixture
def houses(tmp_path: Path, warm_environment: Mapping[str, str], wardgate_command: str) -> Iterator[list[House]]:  # noqa: F811 - the fixture above
    """Folders for a stage each; every gateway that was started for them ends with the test."""
    made = []
    for name in ("one", "two", "three", "four"):
        (tmp_path / name).mkdir()
        made.append(House(tmp_path / name, dict(warm_environment), wardgate_command))
    yield made
    for house in made:
        house.close()
