"""Following a leak in the console, in a real browser before a real gateway: from the first sight to its end."""

import shlex
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import anyio.to_thread
import pytest
from mcp.client.client import Client
from playwright.async_api import Browser

from tests.browser.kit import Visitor, visitor
from tests.e2e.kit import LEDGER, PATIENCE, House, text, until, upstream_table
from tests.made import credentials, token

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LABELS = """\
upstream = "ledger"
owner = "alice@example.com"
review_by = 2031-01-31
[[tool]]
match = ["look", "reveal"]
effect = "read"
"""
OLD = {"stripe": 30, "slack": 16, "postgres": 9}  # days; a kind of `tests.made`


@asynccontextmanager
async def at_work(house: House, chromium: Browser) -> AsyncIterator[tuple[Client, Visitor]]:
    """An agent that read a secret twice, and a person who looks at the leaks."""
    house.configure(careless(house), policies={"ledger": LABELS})
    async with house.serving(), house.http_client("legacy", await house.token()) as client:
        for _ in range(2):
            assert "[REDACTED:" in await reveal(client)
        async with visitor(house, chromium) as person:
            yield client, await person.sign_in("/leaks")


def careless(house: House) -> str:
    """The ledger in a script that holds a secret which the gateway never gave it."""
    made = credentials(7)
    house.environment["PLANTED"] = token()
    planted = {"PLANTED": house.environment["PLANTED"], **{name: made[name][0] for name in OLD}}
    words = shlex.join([sys.executable, str(LEDGER), str(house.world / "ledger.txt")])
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in planted.items())
    script = house.write("ledger.sh", f"{given} exec {words}\n")
    return upstream_table("ledger", ["/bin/sh", str(script)])


async def reveal(client: Client, name: str = "PLANTED") -> str:
    """Have the upstream tell a secret; what the agent gets."""
    return text(await client.call_tool("ledger__reveal", {"text": name}))


async def grow_old(house: House, client: Client) -> None:
    """Let more secrets be seen, one of them in what the agent says, and days go by: the ledger itself is told so."""
    for name, days in OLD.items():
        known = await leaks(house)
        said = await reveal(client, name)
        assert "[REDACTED:" in said, said
        if name == "slack":
            await client.call_tool("ledger__look", {"text": credentials(7)[name][0]})
        (new,) = await until(partial(others, house, known))
        await anyio.to_thread.run_sync(age, house, new, datetime.now(UTC) - timedelta(days=days))


async def leaks(house: House) -> set[str]:
    """The ids of all leaks, as the command line lists them."""
    return {row["id"] for row in await house.items("leaks")}


async def others(house: House, known: set[str]) -> set[str]:
    """The leaks that came since."""
    return await leaks(house) - known


def age(house: House, leak: str, at: datetime) -> None:
    """Have a leak's days begin earlier."""
    text = f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"
    with closing(sqlite3.connect(house.state / "record.db", timeout=PATIENCE)) as db, db:
        db.execute("UPDATE leak SET opened_at = ?, first_seen = ? WHERE id = ?", (text, text, leak))


async def test_a_leak_is_passed_by_one_click_or_followed_by_keyboard_alone_until_it_is_rotated_and_opens_again(
    house: House, chromium: Browser
) -> None:
    async with at_work(house, chromium) as (client, person):
        page = person.page
        await page.get_by_text("ledger/reveal").wait_for()
        assert house.environment["PLANTED"] not in await page.content()
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/leaks/l_*")
        await person.ready()
        assert await page.get_by_role("link", name="ledger/reveal").count() == 2, "the calls that saw it"
        assert await page.evaluate("document.activeElement === document.body"), "nothing is the default"

        await person.armed()
        await page.get_by_role("button", name="False positive").click()
        await page.locator("[data-leak][data-was='accepted 0']").wait_for()
        assert house.environment["PLANTED"] in await reveal(client)
        await page.reload()
        await page.get_by_text("allowed 1").wait_for()
        await page.get_by_role("button", name="It counts").click()
        await page.locator("[data-leak][data-was='open 0']").wait_for()
        assert "[REDACTED:" in await reveal(client)

        await person.go("/leaks")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/leaks/l_*")
        await person.ready()
        await page.keyboard.press("r")
        await page.locator("[data-leak][data-was='rotating 0']").wait_for()
        await page.keyboard.press("t")
        await page.get_by_label("What proves it").fill("revoked at 14:02, and the old one is refused")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.locator("[data-leak][data-was='rotated 0']").wait_for()
        assert "revoked at 14:02" in await page.locator("[data-page]").inner_text()
        await page.keyboard.press("u")
        await page.get_by_text("None of these").wait_for()
        await reveal(client)
        await page.reload()
        await page.get_by_text("seen again").wait_for()


async def test_the_page_of_a_leak_fits_and_can_be_used_by_everybody(house: House, chromium: Browser) -> None:
    async with at_work(house, chromium) as (client, person):
        await grow_old(house, client)
        await person.page.reload()
        rows = person.page.locator("[data-page] a[data-row]")
        for words in (
            "day 30 of 27: overdue",
            "day 16 of 27: now for its business owner",
            "day 9 of 27: due",
            "day 0 of 27",
            "passed",
        ):
            await rows.filter(has_text=words).first.wait_for()
        wrong = []
        for look in ("desk", "phone-dark"):
            await person.look(look)
            wrong += [f"{look}: {fault}" for fault in await person.flaws()]
            await person.shot(f"followed-{look}")
        await person.page.get_by_role("link").filter(has_text="day 16").click()
        await person.armed()
        for look in ("desk", "phone-dark"):
            await person.look(look)
            wrong += [f"leak, {look}: {fault}" for fault in await person.flaws()]
            await person.shot(f"leak-{look}")
            for key in "tc":
                await person.page.keyboard.press(key)
                await person.page.locator("dialog[open]").wait_for()
                wrong += [f"dialog {key}, {look}: {fault}" for fault in await person.faults()]
                await person.page.keyboard.press("Escape")
                await person.page.locator("dialog[open]").wait_for(state="hidden")
        assert wrong == []
