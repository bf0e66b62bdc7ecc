"""Every page of the console at a desk's and a phone's width: it has its data, fits, and axe finds nothing serious.

With WARDGATE_SCREENSHOTS=1 the pictures of docs/screenshots are made anew.
"""

import pytest
from mcp.client.client import Client
from playwright.async_api import Browser

from tests.browser.kit import LOOKS, SHORT, Desk, Visitor, visitor
from tests.e2e.kit import House, asked, until
from tests.made import token

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LABELS = """\
upstream = "ledger"
owner = "alice@example.com"
review_by = 2031-01-31
[[tool]]
match = ["look", "reveal"]
effect = "read"
[[tool]]
match = "note"
effect = "write"
inert = ["text"]
[[tool]]
match = "stall"
effect = "egress"
payload = ["text"]
[[tool]]
match = "wipe"
effect = "destructive"
[[rule]]
id = "ledger.notes"
tools = "note"
decide = "ask"
[[rule]]
id = "ledger.never"
tools = "die"
decide = "block"
"""
PAGES = {
    "waiting": ("/", "ledger__wipe"),
    "grants": ("/grants", "These exact arguments"),
    "decisions": ("/decisions", "ledger/look"),
    "figures": ("/figures", "ledger.notes"),
    "sessions": ("/sessions", "tester"),
    "upstreams": ("/upstreams", "policies/ledger.toml"),
    "leaks": ("/leaks", "ledger/reveal"),
    "policy": ("/policy", "policies/ledger.toml"),
    "you": ("/you", "Signed in as"),
}


async def busy(house: House, client: Client) -> dict[str, str]:
    """Let an agent do what fills every page; the pages that have an id in their address."""
    for words in ("the order book", "the price list", "yesterday's notes"):
        await client.call_tool("ledger__look", {"text": words})
    await client.call_tool("ledger__reveal", {"text": "PLANTED"})
    kept = asked(await client.call_tool("ledger__note", {"text": "stock taken"}))
    assert (await house.run("approve", kept, "--arguments", "--for", "1h")).code == 0
    before = {"text": "Order 30 crates of oranges for the market on Saturday"}
    first = asked(await client.call_tool("ledger__note", before))
    assert (await house.run("approve", first)).code == 0
    await client.call_tool("ledger__note", before)
    asked(await client.call_tool("ledger__fail", {"text": "what is that?"}))
    change = "Order 300 crates of oranges for the market on Sunday"
    card = asked(await client.call_tool("ledger__note", {"text": change}))
    asked(await client.call_tool("ledger__note", {"text": "Tell the driver: gate 4, before six"}))
    danger = asked(await client.call_tool("ledger__wipe", {"text": "last year's ledger"}))
    (call,) = {row["call"] for row in await house.items("approvals", "--state", "all") if row["id"] == first}
    return {"card": f"/approvals/{card}", "typed": f"/approvals/{danger}", "decision": f"/decisions/{call}"}


async def test_every_page_fits_and_can_be_used_by_everybody(house: House, chromium: Browser) -> None:
    house.environment["PLANTED"] = token()
    house.configure(house.ledger(inherit_env=["PLANTED"]), limits=SHORT, policies={"ledger": LABELS})
    async with house.serving():
        async with house.http_client("legacy", await house.token()) as client:
            more = await busy(house, client)
        pages = {**PAGES, **{name: (path, "ledger") for name, path in more.items()}}
        wrong = []
        async with visitor(house, chromium) as person:
            await person.sign_in()
            for name, (path, words) in pages.items():
                await person.go(path)
                if "/approvals/" in path:
                    await person.armed()
                await person.page.locator("[data-page]").filter(has_text=words).wait_for()
                for look in LOOKS:
                    await person.look(look)
                    wrong += [f"{name}, {look}: {fault}" for fault in await person.flaws()]
                    await person.shot(f"{name}-{look}")
            wrong += await _dialogs(person, more["card"])
        assert wrong == []


async def _dialogs(person: Visitor, card: str) -> list[str]:
    """What is wrong with the card's dialogs."""
    wrong = []
    await person.go(card)
    await person.armed()
    for key in "xped?":
        await person.page.keyboard.press(key)
        await person.page.locator("dialog[open]").wait_for()
        for look in LOOKS:
            await person.look(look)
            wrong += [f"dialog {key}, {look}: {fault}" for fault in await person.faults()]
        await person.page.keyboard.press("Escape")
        await until(lambda: _closed(person))
    return wrong


async def _closed(person: Visitor) -> bool:
    return not await person.page.locator("dialog[open]").count()


async def test_somebody_who_is_not_signed_in_sees_a_link_to_a_card_and_nothing_of_it(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        approval = asked(await client.call_tool("ledger__note", {"text": "the words of the call"}))
        await person.page.goto(f"{person.address}/approvals/{approval}")
        await person.page.get_by_role("heading", name="This tab is not signed in").wait_for()
        assert "the words of the call" not in await person.page.content()
        assert await person.faults() == []
        await person.shot("sign-in-desk")


async def test_a_link_signs_in_once_and_leaves_no_trace_in_the_address(desk: Desk) -> None:
    link = (await desk.house.run("console")).out.strip()
    async with visitor(desk.house, desk.chromium) as person, visitor(desk.house, desk.chromium) as late:
        late.expected = ["403"]
        await person.page.goto(link)
        await person.ready()
        assert person.page.url == f"{person.address}/"
        await person.page.reload()
        await person.ready()  # the tab remembers
        await late.page.goto(link)
        await late.page.get_by_role("alert").filter(has_text="this link was used").wait_for()
        await late.page.reload()
        await late.page.get_by_role("heading", name="This tab is not signed in").wait_for()


async def test_a_new_tab_of_the_same_browser_is_let_in_and_signing_out_ends_both(desk: Desk) -> None:
    async with visitor(desk.house, desk.chromium) as person:
        await person.sign_in()
        second = await person.page.context.new_page()
        await second.goto(f"{person.address}/policy")
        await second.get_by_text("policies/ledger.toml").wait_for()
        await person.go("/you")
        await person.page.get_by_role("button", name="Sign out").click()
        await person.page.get_by_role("heading", name="This tab is not signed in").wait_for()
        await second.get_by_role("heading", name="This tab is not signed in").wait_for()
        assert [cookie["name"] for cookie in await person.page.context.cookies()] == []
