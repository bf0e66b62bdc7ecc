"""A leak reaches whom it concerns: by the notices of a real gateway, once, and never as the secret that it is."""

import json

import pytest

from tests.e2e.kit import DEADLINE, House, text, until
from tests.made import token
from tests.notices.receiver import receiving

pytestmark = pytest.mark.slow


async def test_a_secret_that_was_read_is_told_once_with_its_page_and_without_itself(house: House) -> None:
    secret = token()
    with receiving() as receiver:
        house.environment["WHERE"] = receiver.url("hook")
        house.configure(notify='desktop = false\nto = ["env:WHERE"]')
        async with house.client("http", "legacy") as client:
            for _ in range(2):
                assert "[REDACTED:" in text(await client.call_tool("ledger__look", {"text": secret}))
            await until(lambda: receiver.got, DEADLINE)
            (leak,) = await house.items("leaks")
        (got,) = receiver.got
    assert got["title"] == "Wardgate: a secret was seen"
    first, second, link = got["message"].splitlines()
    assert first.startswith(f"{leak['kind']} from ledger, seen ")
    assert second.endswith("owner: alice@example.com")
    assert link.endswith(f"/leaks/{leak['id']}")
    assert not any(part in json.dumps(got) for part in (secret, leak["fingerprint"]))


async def test_a_honeytoken_that_is_carried_is_told_at_once_as_an_incident(house: House) -> None:
    with receiving() as receiver:
        house.environment["WHERE"] = receiver.url("hook")
        house.configure(notify='desktop = false\nto = ["env:WHERE"]')
        async with house.client("http", "legacy") as client:
            (minted,) = await house.items("honeytoken", "ledger")
            assert (await client.call_tool("ledger__look", {"text": minted["text"]})).is_error

            def incident() -> list[dict[str, str]]:
                return [got for got in receiver.got if "INCIDENT" in got["title"]]

            (got,) = await until(incident)
    assert got["title"] == "Wardgate: INCIDENT: a honeytoken was used"
    assert got["message"].startswith("in ledger/look, by tester for client:tester")
    assert not any(value in json.dumps(receiver.got) for value in minted["values"])
