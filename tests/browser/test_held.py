"""Accepting what is held, in a real browser before a real gateway: by keyboard, exactly as it is shown."""

import json

import pytest

from tests.browser.kit import DESKTOP, PHONE, Visitor, visitor
from tests.e2e.kit import House
from tests.e2e.test_lock import PEEK, PUT, RUDE, TURN, differences, furnish, offer

pytestmark = pytest.mark.slow

LOOSER = """\
upstream = "ledger"
owner = "alice@example.com"
[[rule]]
id = "ledger.more"
tools = "note"
decide = "allow"
"""
WIPE = {**PUT, "name": "wipe", "description": "Removes <b>everything</b>."}


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


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desk", "phone-dark"])
async def test_what_is_held_is_accepted_by_keyboard_alone(house: House, size: tuple[int, int], scheme: str) -> None:
    furnish(house, locked=True)
    offer(house, tools=[PEEK, TURN, RUDE, WIPE])
    async with house.serving(), visitor(house, size, color_scheme=scheme) as person:
        held = await differences(house)
        assert held.keys() == {"tools put", "tools wipe"}
        page = (await on_the_page(house, person)).page
        text = await page.locator(".heldings").inner_text()
        for words in ("Before using this tool", "Removes <b>everything</b>.", held["tools put"]["digest"]):
            assert words in text, words
        assert await person.faults() == []
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size[0]
        await person.shot(f"held-{scheme}")

        await tab_to(person, f"{form('put')} button")
        await page.keyboard.press("Enter")
        await page.locator(form("put")).wait_for(state="detached")
        assert (await differences(house)).keys() == {"tools wipe"}

        person.expected = ["409"]
        await page.locator(f"{form('wipe')} button:enabled").wait_for()
        await tab_to(person, f"{form('wipe')} input[name=confirm]")
        await page.keyboard.type("shifty__wip")
        await page.keyboard.press("Enter")
        await page.locator(form("wipe")).get_by_text("type `shifty__wipe`").wait_for()
        await page.keyboard.type("e")
        await page.keyboard.press("Enter")
        await page.locator(".heldings").wait_for(state="detached")
        assert await differences(house) == {}
        assert await person.faults() == []


async def test_a_policy_that_is_held_is_accepted_by_keyboard(house: House) -> None:
    house.configure(house.ledger())
    async with house.serving():
        pass
    house.write("policies/more.toml", LOOSER)
    async with house.serving(), visitor(house) as person:
        page = (await on_the_page(house, person, "/policy")).page
        assert await person.faults() == []
        await tab_to(person, "form[data-form=policy] button")
        await page.keyboard.press("Enter")
        await page.locator("form[data-form=policy]").wait_for(state="detached")
        await page.get_by_text("accepted in the console").wait_for()
