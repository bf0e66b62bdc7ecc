"""A leak reaches whom it concerns: by the notices of a real gateway, once, and never as the secret that it is."""

import json

import pytest

from tests.e2e.kit import DEADLINE, House, text, until
from tests.made import token
from tests.notices.receiver import receiving

pytestmark = pytest.mark.slow


async def test_a_leak_is_told_once_with_its_page_and_a_honeytoken_at_once_as_an_incident_both_without_the_secret(
    house: House,
) -> None:
    secret = token()
    with receiving() as receiver:
        house.environment["WHERE"] = receiver.url("hook")
        house.configure(notify='desktop = false\nto = ["env:WHERE"]')
        async with house.client("http", "legacy") as client:
            for _ in range(2):
                assert "[REDACTED:" in text(await client.call_tool("ledger__look", {"text": secret}))
            await until(lambda: receiver.got, DEADLINE)
            (leak,) = await house.items("leaks")
            (seen,) = receiver.got
            (minted,) = await house.items("honeytoken", "ledger")
            assert (await client.call_tool("ledger__look", {"text": minted["text"]})).is_error

            def incident() -> list[dict[str, str]]:
                return [got for got in receiver.got if "INCIDENT" in got["title"]]

            (used,) = await until(incident)
    assert receiver.got == [seen, used]
    assert seen["title"] == "Wardgate: a secret was seen"
    first, second, link = seen["message"].splitlines()
    assert first.startswith(f"{leak['kind']} from ledger, seen ")
    assert second.endswith("owner: alice@example.com")
    assert link.endswith(f"/leaks/{leak['id']}")
    assert used["title"] == "Wardgate: INCIDENT: a honeytoken was used"
    assert used["message"].startswith("in ledger/look, by tester for client:tester")
    everything = json.dumps(receiver.got)
    assert not any(value in everything for value in (secret, leak["fingerprint"], *minted["values"]))
