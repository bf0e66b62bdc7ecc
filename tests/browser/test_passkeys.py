"""Passkeys in the console, through Chromium's own virtual authenticator: enrolled, signed in with, and signed by."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from mcp.client.client import Client

from tests.browser.kit import Visitor, visitor
from tests.e2e.kit import LABELS, House, asked, reason

pytestmark = pytest.mark.slow

SIGNED = LABELS + '[[rule]]\nid = "ledger.signed"\ntools = "note"\ndecide = "ask"\napprove = { proof = "signed" }\n'


async def authenticator(person: Visitor) -> None:
    """A security key that is always there, and touched."""
    devtools = await person.page.context.new_cdp_session(person.page)
    await devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@asynccontextmanager
async def with_passkey(house: House) -> AsyncIterator[tuple[Client, Visitor]]:
    """A gateway whose notes need a signature, an agent, and a person who has just enrolled a passkey."""
    house.configure(limits='hold = "100ms"', policies={"ledger": SIGNED})
    file = house.folder / "upstreams.toml"
    whole = f'{file.read_text(encoding="utf-8")}\n[approvers.{getpass.getuser()}]\nproofs = ["local", "signed"]\n'
    house.write("upstreams.toml", whole)
    async with house.serving(), visitor(house) as person, house.http_client("legacy", await house.token()) as client:
        await authenticator(person)
        await person.sign_in("/you")
        await person.page.get_by_role("button", name="Enrol a passkey").click()
        await person.page.get_by_text("The passkey is enrolled").wait_for()
        yield client, person


async def test_a_call_that_needs_a_signature_is_approved_by_a_touched_passkey(house: House) -> None:
    async with with_passkey(house) as (client, person):
        page = person.page
        approval = asked(await client.call_tool("ledger__note", {"text": "one"}))
        await person.go(f"/approvals/{approval}")
        await person.armed()
        await page.get_by_role("button", name="Sign and approve once").click()
        await page.locator("[data-state=approved]").wait_for()
        (row,) = await house.items("approvals", "show", approval)
        assert (row["state"], row["proof"], row["decided_by"]) == ("approved", "signed", getpass.getuser())
        assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
        assert house.forwarded == ["note one"]
    assert (await house.run("verify")).code == 0


async def test_a_passkey_signs_in_without_a_link(house: House) -> None:
    async with with_passkey(house) as (_, person):
        page = person.page
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("button", name="Sign in with a passkey").click()
        await page.locator("[data-name]").get_by_text(getpass.getuser(), exact=True).wait_for()
        await page.get_by_role("definition").get_by_text(getpass.getuser(), exact=True).wait_for()


async def test_a_touched_passkey_stands_in_for_the_typed_name(house: House) -> None:
    async with with_passkey(house) as (client, person):
        approval = asked(await client.call_tool("ledger__wipe", {"text": "all"}))
        await person.go(f"/approvals/{approval}")
        await person.armed()
        await person.page.get_by_role("button", name="Approve with a passkey").click()
        await person.page.locator("[data-state=approved]").wait_for()
        (row,) = await house.items("approvals", "show", approval)
        assert row["proof"] == "signed"


async def test_a_signature_is_also_needed_for_a_grant_which_then_counts(house: House) -> None:
    async with with_passkey(house) as (client, person):
        approval = asked(await client.call_tool("ledger__note", {"text": "one"}))
        await person.go(f"/approvals/{approval}")
        await person.armed()
        await person.page.keyboard.press("p")
        await person.page.get_by_role("button", name="Sign and allow it").click()
        await person.page.locator("[data-state=approved]").wait_for()
        (grant,) = await house.items("grants")
        assert (grant["scope"], grant["proof"]) == ("pattern", "signed")
        assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error


async def test_without_a_touch_nothing_is_approved(house: House) -> None:
    async with with_passkey(house) as (client, person):
        approval = asked(await client.call_tool("ledger__note", {"text": "one"}))
        await person.go(f"/approvals/{approval}")
        await person.armed()
        await person.page.evaluate(
            "() => { navigator.credentials.get = () => Promise.reject(new DOMException('gone', 'NotAllowedError')) }"
        )
        await person.page.get_by_role("button", name="Sign and approve once").click()
        await person.page.get_by_role("alert").filter(has_text="The passkey was not used").wait_for()
        assert reason(await client.call_tool("ledger__note", {"text": "one"})) == "approval-pending"
