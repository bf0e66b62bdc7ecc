"""Deciding in the console, in a real browser before a real gateway: what a person does, and what the upstream gets."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from mcp.client.client import Client
from playwright.async_api import Browser

from tests.browser.kit import SHORT, Desk
from tests.e2e.kit import House, asked, reason, text

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def ask(client: Client, words: str, tool: str = "ledger__note") -> str:
    """Call a tool that needs a person; the id of the approval that it waits for."""
    held = await client.call_tool(tool, {"text": words})
    assert reason(held) == "approval-pending", held
    return asked(held)


async def state(house: House, approval: str) -> str:
    """What became of an approval, as the command line tells it."""
    (row,) = await house.items("approvals", "show", approval)
    return str(row["state"])


@asynccontextmanager
async def desk_of(house: House, chromium: Browser) -> AsyncIterator[Desk]:
    """A gateway of the test's own, for what counts all that waits or stands."""
    house.configure(limits=SHORT)
    async with house.serving():
        yield Desk(house, chromium, await house.token())


async def test_a_call_arrives_live_and_is_approved_by_keyboard_alone(house: House, chromium: Browser) -> None:
    async with desk_of(house, chromium) as desk, desk.at_work() as (client, person):
        page = (await person.sign_in()).page
        await page.get_by_text("Nothing waits for a person").wait_for()
        approval = await ask(client, "one")
        row = page.locator(f"[data-row={approval}]")
        await row.wait_for()  # by itself: nobody reloads
        assert await page.locator("[data-count]").inner_text() == "1"
        assert "ledger__note waits for a person" in await page.locator("[data-news]").inner_text()
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/approvals/{approval}")
        await person.armed()
        card = await page.locator("[data-card]").inner_text()
        assert "Allow ledger__note? It changes data." in card
        assert "client:tester" in card
        assert await page.evaluate("document.activeElement === document.body"), "nothing is the default"
        await page.keyboard.press("a")
        await page.locator("[data-state=approved]").wait_for()
        (kept,) = await house.items("approvals", "show", approval)
        assert (kept["state"], kept["decided_by"].partition(":")[0], kept["proof"]) == ("approved", "os", "local")
        assert house.forwarded == []
        assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
        assert house.forwarded == ["note one"]
        await person.go(f"/approvals/{approval}")
        await page.locator("[data-state=used]").wait_for()


async def test_a_card_takes_no_yes_in_its_first_moment(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page, approval = person.page, await ask(client, "too soon")
        await page.clock.install()
        await person.sign_in(f"/approvals/{approval}")
        await page.clock.pause_at(await page.evaluate("Date.now() + 5"))
        button = page.locator("[data-do=once]")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.reload()
        await button.wait_for()
        assert await button.is_disabled()
        await page.keyboard.press("a")
        await page.clock.run_for(690)
        assert await button.is_disabled()
        assert await state(desk.house, approval) == "waiting"
        await page.clock.run_for(20)
        assert await button.is_enabled()


async def test_a_denial_is_told_to_the_model_with_its_reason(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        approval = await ask(client, "denied")
        await person.sign_in(f"/approvals/{approval}")
        await person.page.keyboard.press("d")
        await person.page.keyboard.type("wait for the audit")
        await person.page.keyboard.press("Enter")
        await person.page.locator("[data-state=denied]").wait_for()
        denied = await client.call_tool("ledger__note", {"text": "denied"})
        assert reason(denied) == "approval-denied"
        assert "wait for the audit" in text(denied)
        assert desk.house.forwarded == []


async def test_a_denied_tool_can_be_blocked_for_the_session(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        await person.sign_in(f"/approvals/{await ask(client, 'barred')}")
        await person.page.keyboard.press("b")
        await person.page.keyboard.press("Enter")
        await person.page.locator("[data-state=denied]").wait_for()
        barred = await client.call_tool("ledger__note", {"text": "barred, too"})
        assert reason(barred) == "tool-barred"
        assert desk.house.forwarded == []


async def test_edited_arguments_come_back_as_a_card_of_their_own_and_run_so(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page, approval = person.page, await ask(client, "plain")
        await person.sign_in(f"/approvals/{approval}")
        await person.armed()
        await page.keyboard.press("e")
        field = page.get_by_label("Arguments, as JSON")
        assert json.loads(await field.input_value()) == {"text": "plain"}
        dialog = page.locator("[data-dialog=edit]")
        for wrong, words in (('{"text": ', "no JSON"), ('{"text": 7}', "schema")):
            await field.fill(wrong)
            await dialog.get_by_role("button", name="Check them").click()
            await dialog.get_by_role("alert").filter(has_text=words).wait_for()
        person.errors.clear()  # the browser tells of each refusal
        await field.fill('{"text": "another one"}')
        await dialog.get_by_role("button", name="Check them").click()
        await page.get_by_text("edited by a person").wait_for()
        assert approval not in page.url
        await person.armed()
        await page.keyboard.press("a")
        await page.locator("[data-state=approved]").wait_for()
        done = await client.call_tool("ledger__note", {"text": "plain"})
        assert not done.is_error, done
        assert desk.house.forwarded == ["note another one"]


async def test_a_grant_is_given_on_a_card_counts_and_is_taken_back(house: House, chromium: Browser) -> None:
    async with desk_of(house, chromium) as desk, desk.at_work() as (client, person):
        page = person.page
        await person.sign_in(f"/approvals/{await ask(client, 'one')}")
        await person.armed()
        await page.keyboard.press("p")
        dialog = page.locator("[data-dialog=pattern]")
        await dialog.get_by_text("It would have covered 1 of 1 questions").wait_for()
        await dialog.get_by_label("For how long").select_option("15")
        await person.shot("grant")
        await dialog.get_by_role("button", name="Allow it").click()
        await page.locator("[data-state=approved]").wait_for()
        for words in ("two", "three"):
            assert not (await client.call_tool("ledger__note", {"text": words})).is_error
        assert house.forwarded == ["note two", "note three"]
        await person.go("/grants")
        (grant,) = await house.items("grants")
        row = page.locator(f"[data-grant={grant['id']}]")
        assert "2 / 20" in await row.inner_text()
        await row.get_by_role("button", name="Revoke").click()
        await page.get_by_text("No grant stands").wait_for()
        await ask(client, "four")
        assert house.forwarded == ["note two", "note three"]


async def test_a_recipient_that_a_person_vouches_for_is_not_asked_about_again(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page = person.page
        await person.sign_in(f"/approvals/{await ask(client, 'bob@example.com', 'mail__note')}")
        await person.armed()
        await page.keyboard.press("v")
        await page.get_by_role("button", name="Vouch and approve").click()
        await page.get_by_role("alert").filter(has_text="at least one value").wait_for()
        await page.get_by_label("bob@example.com").check()
        await page.get_by_role("button", name="Vouch and approve").click()
        await page.locator("[data-state=approved]").wait_for()
        assert not (await client.call_tool("mail__note", {"text": "bob@example.com"})).is_error
        assert not (await client.call_tool("mail__note", {"text": "bob@example.com"})).is_error
        await ask(client, "eve@example.com", "mail__note")
        assert desk.house.forwarded == ["note bob@example.com"] * 2


async def test_a_destructive_call_needs_the_name_of_its_tool_typed(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page, approval = person.page, await ask(client, "typed", "ledger__wipe")
        await person.sign_in(f"/approvals/{approval}")
        await person.armed()
        await page.keyboard.press("a")  # leads to the field, and approves nothing
        await page.keyboard.type("ledger__note")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").filter(has_text="type `ledger__wipe`").wait_for()
        person.errors.clear()  # the browser tells of the refusal
        assert await state(desk.house, approval) == "waiting"
        await page.keyboard.press("Control+a")
        await page.keyboard.type("ledger__wipe")
        await page.keyboard.press("Enter")
        await page.locator("[data-state=approved]").wait_for()


async def test_calls_of_one_session_are_approved_in_part_as_one_plan(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page = person.page
        first, second, third = [await ask(client, f"{words} of a plan") for words in ("one", "two", "three")]
        danger = await ask(client, "the plan", "ledger__wipe")
        await person.sign_in(f"/approvals/{first}")
        await person.armed()
        await page.locator(f"input[value={second}]").check()
        assert await page.locator(f"input[value={danger}]").count() == 0
        await page.get_by_role("button", name="Approve the chosen ones").click()
        await page.locator("[data-said]").filter(has_text="1 of 1 approved").wait_for()
        states = {row["id"]: row["state"] for row in await desk.house.items("approvals", "--state", "all")}
        assert [states[one] for one in (first, second, third, danger)] == ["waiting", "approved", "waiting", "waiting"]


async def test_a_tool_that_nobody_labelled_is_labelled_first_and_decided_again(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page = person.page
        await person.sign_in(f"/approvals/{await ask(client, 'one', 'bare__note')}")
        await person.armed()
        assert await page.locator("[data-do=once], [data-form=once]").count() == 0
        proposed = await page.locator("[name=effect]:checked").input_value()
        await page.get_by_label("read", exact=True).check()
        await page.get_by_role("button", name="Write the label").click()
        await page.get_by_text("the call is decided anew").wait_for()
        assert proposed
        assert 'effect = "read"' in (desk.house.folder / "policies" / "bare.labels.toml").read_text(encoding="utf-8")
        assert not (await client.call_tool("bare__note", {"text": "one"})).is_error
        assert desk.house.forwarded == ["note one"]


async def test_everything_is_frozen_and_thawed_from_the_header(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page = (await person.sign_in()).page
        await page.get_by_role("button", name="Freeze").click()
        await page.get_by_label("Why, for the record").fill("looking into it")
        await page.get_by_role("button", name="Freeze").last.click()
        await page.locator(".frozen").filter(has_text="looking into it").wait_for()
        assert reason(await client.call_tool("ledger__look", {"text": "x"})) == "frozen"
        await page.get_by_role("button", name="Thaw").click()
        await page.locator(".frozen").wait_for(state="detached")
        assert not (await client.call_tool("ledger__look", {"text": "x"})).is_error


async def test_what_another_door_settles_is_settled_on_the_open_card(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        approval = await ask(client, "settled elsewhere")
        await person.sign_in(f"/approvals/{approval}")
        assert (await desk.house.run("deny", approval)).code == 0
        await person.page.locator("[data-state=denied]").wait_for()
        assert await person.page.locator("[data-do=once]").count() == 0


async def test_hidden_characters_and_huge_values_are_shown_for_what_they_are(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page = person.page
        await person.sign_in(
            f"/approvals/{await ask(client, 'pay ' + chr(0x202E) + 'ecila' + chr(0x200B), 'odd__note')}"
        )
        assert await page.locator("mark.hid").all_inner_texts() == ["\\u{202e}", "\\u{200b}"]
        await person.go(f"/approvals/{await ask(client, '<b>x</b>' + 'y' * 100_000, 'odd__note')}")
        values = page.locator(".values")
        assert "100008 characters" in await values.inner_text()
        assert not await values.locator("pre").is_visible()
        await values.locator("summary").click()
        assert len(await values.locator("pre").inner_text()) == 100_008
        assert await values.locator("b").count() == 0, "an agent's text is never markup"


async def test_a_card_that_nobody_answers_counts_down_and_ends(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        approval = await ask(client, "one", "soon__note")
        await person.sign_in(f"/approvals/{approval}")
        left = await person.page.locator("[data-card] [data-clock]").inner_text()
        assert left.startswith("0:0")
        lower = person.page.locator("[data-card] [data-clock]").filter(has_text=re.compile("0:0[01]"))
        await lower.wait_for()
        await person.page.locator("[data-state=expired]").wait_for()  # though nobody asks for approvals
        assert await state(desk.house, approval) == "expired"


async def test_keys_are_listed_and_do_nothing_while_somebody_types(desk: Desk) -> None:
    async with desk.at_work() as (client, person):
        page, approval = person.page, await ask(client, "while typing")
        await person.sign_in(f"/approvals/{approval}")
        await person.armed()
        await page.keyboard.press("?")
        await page.get_by_role("heading", name="Keys").wait_for()
        await page.keyboard.press("a")
        await page.keyboard.press("Escape")
        await page.keyboard.press("d")
        await page.keyboard.type("a b")
        await page.keyboard.press("Escape")
        await page.keyboard.press("Control+a")
        await anyio.lowlevel.checkpoint()
        assert await state(desk.house, approval) == "waiting"
