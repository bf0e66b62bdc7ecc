"""Accepting what is held, in a real browser before a real gateway: by keyboard, exactly as it is shown."""

import json

import pytest
from playwright.async_api import Browser

from tests.browser.kit import Visitor, visitor
from tests.e2e.kit import House
from tests.e2e.test_lock import PEEK, PUT, RUDE, differences, furnish, offer

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LOOSER = """\
upstream = "ledger"
owner = "alice@example.com"
[[rule]]
id = "ledger.more"
tools = "note"
decide = "allow"
"""
MORE = {**RUDE, "name": "turn"}
WIPE, BURN = ({**PUT, "name": name, "description": "Removes <b>everything</b>."} for name in ("wipe", "burn"))


async def on_the_page(house: House, person: Visitor, path: str = "/upstreams") -> Visitor:
    """Somebody who sees what is held."""
    await person.sign_in(path)
    await person.armed()
    return person


async def tab_to(person: Visitor, what: str) -> None:
    """Press Tab until something has the focus, from where it is."""
    for _ in range(60):
        await person.page.keyboard.press("Tab")
        if await person.page.evaluate(f"document.activeElement.matches({json.dumps(what)})"):
            return
    pytest.fail(f"no Tab leads to {what}")


def form(name: str) -> str:
    """The form that accepts a tool."""
    return f'form[aria-label="Accept shifty__{name}"]'


async def test_what_is_held_is_accepted_by_keyboard_alone(house: House, chromium: Browser) -> None:
    furnish(house, locked=True)
    offer(house, tools=[PEEK, MORE, RUDE, WIPE, BURN])
    async with house.serving(), visitor(house, chromium) as first, visitor(house, chromium, "phone-dark") as second:
        held = await differences(house)
        assert held.keys() == {"tools put", "tools turn", "tools wipe", "tools burn"}
        for person, name in ((first, "light"), (second, "dark")):
            page = (await on_the_page(house, person)).page
            text = await page.locator(".heldings").inner_text()
            for words in ("Before using this tool", "Removes <b>everything</b>.", held["tools put"]["digest"]):
                assert words in text, words
            assert await person.flaws() == []
            await person.shot(f"held-{name}")
        await _accepted(house, first, "put", "wipe")
        assert (await differences(house)).keys() == {"tools turn", "tools burn"}
        await _accepted(house, second, "turn", "burn")
        assert await differences(house) == {}
        await second.page.locator(".heldings").wait_for(state="detached")
        await first.page.reload()
        await first.ready()
        for person in (first, second):
            assert await person.page.locator(".heldings").count() == 0
            assert await person.faults() == []


async def _accepted(house: House, person: Visitor, changed: str, added: str) -> None:
    """Accept a tool that changed by one key, and a new one by its name, which is mistyped at first."""
    page = person.page
    await page.locator(f"{form(changed)} button:enabled").wait_for()
    await tab_to(person, f"{form(changed)} button")
    await page.keyboard.press("Enter")
    await page.locator(form(changed)).wait_for(state="detached")
    left = (await differences(house)).keys()
    assert f"tools {changed}" not in left
    assert f"tools {added}" in left

    person.expected = ["409"]
    await page.locator(f"{form(added)} button:enabled").wait_for()
    await tab_to(person, f"{form(added)} input[name=confirm]")
    await page.keyboard.type(f"shifty__{added[:-1]}")
    await page.keyboard.press("Enter")
    await page.locator(form(added)).get_by_text(f"type `shifty__{added}`").wait_for()
    await page.keyboard.type(added[-1])
    await page.keyboard.press("Enter")
    await page.locator(form(added)).wait_for(state="detached")


async def test_a_policy_that_is_held_is_accepted_by_keyboard(house: House, chromium: Browser) -> None:
    async with house.serving(), visitor(house, chromium) as person:
        house.write("policies/more.toml", LOOSER)
        page = person.page
        await person.sign_in("/policy")
        await page.locator("form[data-form=policy] button:enabled").wait_for()
        assert await person.faults() == []
        await tab_to(person, "form[data-form=policy] button")
        await page.keyboard.press("Enter")
        await page.locator("form[data-form=policy]").wait_for(state="detached")
        await page.get_by_text("accepted in the console").wait_for()
