"""A gateway whose scanner compiles its rules first: it takes calls at once, and answers none of them unscreened."""

import pytest

from tests.e2e.kit import ERAS, House, text
from tests.e2e.planted import fake_token
from tests.processes import resident

MOST = 180_000  # kB that a gateway with its scanner holds, the compiling of the rules included


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_is_taken_before_the_scanner_is_warm_and_answered_screened(era: str, house: House) -> None:
    cache, token = house.place / "cache", fake_token()
    cache.mkdir(mode=0o700)
    house.environment["WARDGATE_CACHE"] = str(cache)
    async with house.client("standalone", era) as client:
        assert list(cache.iterdir()) == []  # nothing is compiled yet, and the handshake is over
        answered = await client.call_tool("ledger__look", {"text": f"use {token}"})
        assert not answered.is_error, answered
        assert "[REDACTED:" in text(answered)
        assert token not in answered.model_dump_json()
        assert list(cache.iterdir()) != []  # it was compiled meanwhile
        (gateway,) = house.processes("--standalone")
        assert resident(gateway) <= MOST
    assert house.forwarded == [f"look use {token}"]
