"""What is told of the start of an upstream: the revision that was agreed on, and how long it took."""

import pytest

from tests.upstreams.fleet import GOOD, TESTS, running, spec

SDK = str(TESTS / "servers" / "sdk.py")


@pytest.mark.parametrize(
    ("options", "era"), [((), "2026-07-28"), (("--legacy",), "2025-11-25")], ids=["modern", "legacy"]
)
async def test_era_and_time_of_a_start_are_told(options: tuple[str, ...], era: str) -> None:
    async with running(spec("up", SDK, *options, discover_timeout=10.0)) as upstreams:
        agreed, seconds = upstreams.started("up")
        assert agreed == era
        assert 0 < seconds < 20


async def test_of_one_that_never_started_nothing_is_told() -> None:
    async with running(spec("up", f"{GOOD}.gone")) as upstreams:
        assert upstreams.started("up") == ("", 0.0)
        with pytest.raises(KeyError):
            upstreams.started("other")
