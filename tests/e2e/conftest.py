"""Fixtures of the end-to-end tests: the installed command, before real servers, in a home of the test's own."""

import fcntl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.kit import House
from tests.e2e.real import RealUpstreams

ROOT = Path(__file__).parents[2]
WARM_DEADLINE = 120  # seconds


@pytest.fixture(scope="session")
def real_upstreams() -> RealUpstreams:
    """The start commands of the real upstreams and of the Inspector."""
    return RealUpstreams(ROOT / ".upstreams")


@pytest.fixture(scope="session")
def _warm(wardgate_command: str, rules_cache: Path, _away_from_home: None) -> None:
    """Compile the scanner's rules once, so that no gateway of a test has to."""
    with (rules_cache.parent / "compiling").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)  # the next worker finds them compiled
        subprocess.run([wardgate_command, "warm"], check=True, stdin=subprocess.DEVNULL, timeout=WARM_DEADLINE)


@pytest.fixture
def warm_environment(environment: Mapping[str, str], _warm: None) -> Mapping[str, str]:
    """The environment for a started `wardgate`: an isolated home, and the scanner's rules already compiled."""
    return environment


@pytest.fixture
def house(tmp_path: Path, warm_environment: Mapping[str, str], wardgate_command: str) -> Iterator[House]:
    """A configuration folder with the ledger behind it; every gateway that was started for it ends with the test."""
    made = House(tmp_path, dict(warm_environment), wardgate_command)
    yield made.configure()
    made.close()
