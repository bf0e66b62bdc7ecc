"""Passkeys in the console, through Chromium's own virtual authenticator: enrolled, signed in with, and signed by."""

import getpass

import pytest
from mcp.client.client import Client
from playwright.async_api import Browser

from tests.browser.kit import SHORT, Visitor, labels, visitor
from tests.e2e.kit import House, asked, reason

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SIGNED = '[[rule]]\nid = "ledger.signed"\ntools = "note"\ndecide = "ask"\napprove = { proof = "signed" }\n'


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


async def test_a_passkey_is_enrolled_signs_what_needs_it_and_signs_in(house: House, chromium: Browser) -> None:
    approver = f'[approvers.{getpass.getuser()}]\nproofs = ["local", "signed"]\n'
    house.configure(house.ledger(), approver, policies={"ledger": labels("ledger", SIGNED)}, limits=SHORT)
    async with (
        house.serving(),
        visitor(house, chromium) as person,
        house.http_client("legacy", await house.token()) as client,
    ):
        await authenticator(person)
        await person.sign_in("/you")
        await person.page.get_by_role("button", name="Enrol a passkey").click()
        await person.page.get_by_text("The passkey is enrolled").wait_for()
        await _without_a_touch_nothing_is_approved(client, person)
        await _a_call_that_needs_a_signature_is_approved_by_a_touch(client, person)
        await _a_touch_stands_in_for_the_typed_name(client, person)
        await _a_signature_is_also_needed_for_a_grant_which_then_counts(client, person)
        await _it_signs_in_without_a_link(person)
    assert (await house.run("verify")).code == 0


async def card(client: Client, person: Visitor, tool: str, words: str) -> str:
    """Show the card of a call that needs a person; the id of its approval."""
    approval = asked(await client.call_tool(tool, {"text": words}))
    await person.go(f"/approvals/{approval}")
    await person.armed()
    return approval


async def _without_a_touch_nothing_is_approved(client: Client, person: Visitor) -> None:
    await card(client, person, "ledger__note", "untouched")
    await person.page.evaluate(
        "() => { navigator.credentials.get = () => Promise.reject(new DOMException('gone', 'NotAllowedError')) }"
    )
    await person.page.get_by_role("button", name="Sign and approve once").click()
    await person.page.get_by_role("alert").filter(has_text="The passkey was not used").wait_for()
    assert reason(await client.call_tool("ledger__note", {"text": "untouched"})) == "approval-pending"


async def _a_call_that_needs_a_signature_is_approved_by_a_touch(client: Client, person: Visitor) -> None:
    approval = await card(client, person, "ledger__note", "one")
    await person.page.get_by_role("button", name="Sign and approve once").click()
    await person.page.locator("[data-state=approved]").wait_for()
    (row,) = await person.house.items("approvals", "show", approval)
    assert (row["state"], row["proof"], row["decided_by"]) == ("approved", "signed", getpass.getuser())
    assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
    assert person.house.forwarded == ["note one"]


async def _a_touch_stands_in_for_the_typed_name(client: Client, person: Visitor) -> None:
    approval = await card(client, person, "ledger__wipe", "all")
    await person.page.get_by_role("button", name="Approve with a passkey").click()
    await person.page.locator("[data-state=approved]").wait_for()
    (row,) = await person.house.items("approvals", "show", approval)
    assert row["proof"] == "signed"


async def _a_signature_is_also_needed_for_a_grant_which_then_counts(client: Client, person: Visitor) -> None:
    await card(client, person, "ledger__note", "of many")
    await person.page.keyboard.press("p")
    await person.page.get_by_role("button", name="Sign and allow it").click()
    await person.page.locator("[data-state=approved]").wait_for()
    (grant,) = await person.house.items("grants")
    assert (grant["scope"], grant["proof"]) == ("pattern", "signed")
    assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error


async def _it_signs_in_without_a_link(person: Visitor) -> None:
    await person.go("/you")
    await person.page.get_by_role("button", name="Sign out").click()
    await person.page.get_by_role("button", name="Sign in with a passkey").click()
    await person.page.locator("[data-name]").get_by_text(getpass.getuser(), exact=True).wait_for()
    await person.page.get_by_role("definition").get_by_text(getpass.getuser(), exact=True).wait_for()
