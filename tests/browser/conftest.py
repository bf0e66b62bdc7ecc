"""Fixtures of the browser tests: those of the end-to-end tests, and one browser and one gateway for many tests."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.kit import SENDS, SHORT, SOON, UNLABELLED, Desk, browser, labels
from tests.conftest import settle
from tests.e2e.conftest import _warm, house, warm_environment  # noqa: F401 - fixtures are found by their names
from tests.e2e.kit import House


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser; each visitor has a new profile in it."""
    async with browser() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def desk(
    tmp_path_factory: pytest.TempPathFactory,
    rules_cache: Path,
    wardgate_command: str,
    chromium: Browser,
    _warm: None,  # noqa: F811 - the fixture
) -> AsyncIterator[Desk]:
    """A gateway that runs, with a ledger behind it for each way to be decided: what a test does stays for the others,
    so it looks at its own calls alone.
    """
    policies = {"mail": SENDS, "soon": SOON, "bare": UNLABELLED, **{name: labels(name) for name in ("ledger", "odd")}}
    place = tmp_path_factory.mktemp("desk")
    made = House(place, {**os.environ, **settle(place / "home", rules_cache)}, wardgate_command)
    tables = [made.ledger().replace("[upstreams.ledger]", f"[upstreams.{name}]") for name in policies]
    made.configure(*tables, policies=policies, limits=SHORT)
    async with made.serving():
        yield Desk(made, chromium, await made.token())
    made.close()
