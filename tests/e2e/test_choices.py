"""What people choose on cards, through the control socket, and what runs then: labels, edits, previews, grants, and
approvals whose client has left or whose gateway was killed meanwhile.
"""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.client import Client
from mcp_types import CallToolResult

from gateway.cli.talk import exchange
from tests.e2e.kit import LABELS, House, asked, call, reason, text, until, upstream_table

SHELF = Path(__file__).parents[1] / "servers" / "shelf.py"
PATIENT = 'hold = "60s"'
BRIEF = '[clients.brief]\nowner = "alice@example.com"\nhold = "100ms"\n'
BLOCK = '[[rule]]\nid = "ledger.no"\ntools = "note"\nwhen = \'args.text == "no"\'\ndecide = "block"\n'
UNLABELLED = LABELS.replace('match = "wipe"', 'match = "nothing"').replace('"look", ', "") + BLOCK
PREVIEWS = """\
upstream = "shelf"
owner = "alice@example.com"
[[tool]]
match = "show"
effect = "read"
[[tool]]
match = "put"
effect = "write"
sinks = { name = "path" }
payload = ["text"]
preview = { tool = "show", args = { name = "name" } }
"""
FREE = LABELS.replace('inert = ["text"]', 'payload = ["text"]', 1)


async def ask(house: House, **request: Any) -> dict[str, Any]:
    """Ask the gateway of a house over its control socket; it must answer well."""
    line = json.dumps(request).encode() + b"\n"
    answer = await anyio.to_thread.run_sync(exchange, house.state, line)
    assert answer["ok"], answer
    return answer


@asynccontextmanager
async def waits(client: Client, tool: str, **arguments: Any) -> AsyncIterator[list[CallToolResult]]:
    """A call that waits while the block runs; its answer is in the list behind it."""
    answers: list[CallToolResult] = []
    async with anyio.create_task_group() as calls:

        async def wait() -> None:
            answers.append(await call(client, tool, arguments))

        calls.start_soon(wait)
        yield answers


async def another(house: House, than: str) -> str:
    """The id of the one call that waits, once it is another one."""

    async def found() -> str:
        rows = [row["id"] for row in await house.items("approvals")]
        return rows[0] if rows and rows != [than] else ""

    return str(await until(found))


async def is_decided_anew(house: House, client: Client) -> None:
    """A tool is labelled from the card, and the call is decided anew."""
    async with waits(client, "ledger__wipe", text="one") as answers:
        first = await house.waiting()
        card = (await ask(house, op="approval", id=first))["view"]
        assert (card["labelled"], card["proposed"], card["tier"]) == (False, "destructive", "high")
        assert "arguments" not in card["choices"]
        await ask(house, op="label", id=first, effect="write")
        second = await another(house, first)
        card = (await ask(house, op="approval", id=second))["view"]
        assert (card["labelled"], card["effect"], card["tier"]) == (True, "write", "write")
        assert house.forwarded == []
        await ask(house, op="approve", id=second)
    assert text(answers[0]) == "wipe: one"
    assert house.forwarded == ["wipe one"]
    written = (house.folder / "policies" / "ledger.labels.toml").read_text(encoding="utf-8")
    assert 'match = "wipe"\neffect = "write"' in written
    rows = await house.items("approvals", "--state", "all")
    assert {row["id"]: row["state"] for row in rows} == {first: "withdrawn", second: "used"}
    checked = await house.run("check")
    assert checked.code == 0, checked
    policies = await house.items("log", "--kind", "policy")
    assert len({row["policy_revision"] for row in policies}) == 2


async def asks_nobody_any_more(house: House, client: Client) -> None:
    """A tool that is labelled as a read asks nobody any more."""
    async with waits(client, "ledger__look", text="one") as answers:
        await ask(house, op="label", id=await house.waiting(), effect="read")
    assert text(answers[0]) == "look: one"
    assert text(await call(client, "ledger__look", {"text": "two"})) == "look: two"
    assert house.forwarded[-2:] == ["look one", "look two"]


async def runs_as_edited(house: House, client: Client, era: str) -> str:
    """What runs is the call that a person edited, and the model is told; returns the approval that counted."""
    before, edited = f"{era} one", f"{era} two"
    async with waits(client, "ledger__note", text=before) as answers:
        row = await house.waiting()
        wrong = await house.run("approve", row, "--edit", "nowhere.json")
        assert wrong.code == 1
        edit = {"choice": "edit", "arguments": {"text": edited}, "approve": True}
        (after,) = (await ask(house, op="approve", id=row, **edit))["items"]
        assert (after["state"], after["arguments"]) == ("approved", {"text": edited})
    told = f"note: {edited}\n[Wardgate: a person changed the arguments before the call was sent.]"
    assert text(answers[0]) == told
    assert house.forwarded[-1] == f"note {edited}"
    assert f"note {before}" not in house.forwarded
    rows = await house.items("approvals", "--state", "all")
    states = {each["id"]: each["state"] for each in rows if each["arguments"].get("text") in (before, edited)}
    assert states == {row: "withdrawn", after["id"]: "used"}
    return str(after["id"])


async def serves_one_matching_call(house: House, token: str) -> None:
    """An approval that is given after the client left serves one matching call."""
    async with house.http_client("modern", token) as client, anyio.create_task_group() as calls:
        calls.start_soon(call, client, "ledger__note", {"text": "left"})
        row = await house.waiting()
        calls.cancel_scope.cancel()
    assert "note left" not in house.forwarded
    await ask(house, op="approve", id=row)
    async with house.http_client("modern", token) as client:
        assert text(await call(client, "ledger__note", {"text": "left"})) == "note: left"
        async with waits(client, "ledger__note", text="left") as answers:
            assert await another(house, row) != row
            await ask(house, op="deny", id=await house.waiting())
        assert reason(answers[0]) == "approval-denied"
    assert house.forwarded.count("note left") == 1


async def shows_what_would_change(house: House, client: Client) -> None:
    """What a call would change is shown, and the call runs while that is so."""
    plan = house.world / "plan"
    plan.write_text("the old plan", encoding="utf-8")
    async with waits(client, "shelf__put", name="plan", text="the new plan") as answers:
        shown = await ask(house, op="approval", id=await house.waiting())
        assert shown["view"]["preview"]["text"] == "the old plan"
        assert "  | the old plan" in shown["card"]
        await ask(house, op="approve", id=shown["view"]["id"])
    assert text(answers[0]) == "put"
    assert plan.read_text(encoding="utf-8") == "the new plan"
    assert [row["outcome"] for row in await house.items("log", "--tool", "show", "--kind", "outcome")] == ["ok"] * 2


async def is_void(house: House, client: Client) -> None:
    """An approval is void where what the call would change is not as it was shown."""
    plan = house.world / "plan"
    async with waits(client, "shelf__put", name="plan", text="the newest plan") as answers:
        row = await house.waiting()
        plan.write_text("somebody else's plan", encoding="utf-8")
        await ask(house, op="approve", id=row)
    assert reason(answers[0]) == "approval-void"
    assert "sending the call again asks anew" in text(answers[0])
    assert plan.read_text(encoding="utf-8") == "somebody else's plan"
    assert (await house.outcomes("put"))[-1] == ("blocked", "approval-void")


async def changes_nothing(house: House) -> None:
    """An edit that doesn't fit the schema, or is blocked, changes nothing."""
    async with house.client("shim", "legacy", name="brief") as client:
        row = asked(await call(client, "ledger__note", {"text": "one"}))
        for arguments, why in (({"text": 3}, "schema"), ({}, "schema"), ({"text": "no"}, "policy blocks")):
            request = {"op": "approve", "id": row, "choice": "edit", "arguments": arguments}
            line = json.dumps(request).encode() + b"\n"
            refused = await anyio.to_thread.run_sync(exchange, house.state, line)
            assert not refused["ok"]
            assert why in refused["error"]
        assert await house.waiting() == row


@pytest.mark.slow
async def test_what_runs_is_what_a_person_chose_on_the_card(house: House) -> None:
    shelf = upstream_table("shelf", [sys.executable, str(SHELF), str(house.world)])
    policies = {"ledger": UNLABELLED, "shelf": PREVIEWS}
    house.configure(house.ledger(), shelf, BRIEF, policies=policies, limits=PATIENT)
    async with house.serving():
        async with house.client("shim", "legacy") as client, house.client("shim", "modern") as modern:
            await is_decided_anew(house, client)
            await asks_nobody_any_more(house, client)
            edited = [await runs_as_edited(house, modern, "modern"), await runs_as_edited(house, client, "legacy")]
            await shows_what_would_change(house, client)
            await is_void(house, client)
        await serves_one_matching_call(house, await house.token())
        await changes_nothing(house)
    assert house.forwarded == ["wipe one", "look one", "look two", "note modern two", "note legacy two", "note left"]
    approved, left, denied = ("ok", "approved"), ("blocked", "client-gone"), ("denied", "approval-denied")
    assert await house.outcomes("note") == [approved, approved, left, approved, denied]
    intents = await house.items("log", "--kind", "intent", "--tool", "note")
    assert [row["approval"] for row in reversed(intents)][:2] == edited


async def lets_the_next_calls_through(house: House, client: Client) -> None:
    """A grant by pattern lets the next calls through, and the record says so."""
    row = asked(await call(client, "ledger__note", {"text": "one"}))
    await ask(house, op="approve", id=row, choice="pattern", minutes=5, uses=4)
    for number in ("one", "two"):
        assert text(await call(client, "ledger__note", {"text": number})) == f"note: {number}"
    wiped = await call(client, "ledger__wipe", {"text": "two"})
    assert reason(wiped) == "approval-pending"  # another tool
    (grant,) = await house.items("grants")
    assert (grant["scope"], grant["used"], grant["uses"], grant["free"]) == ("pattern", 2, 4, ["text"])
    newest, older = await house.items("log", "--kind", "outcome", "--tool", "note")
    assert [(each["outcome"], each["reason"]) for each in (newest, older)] == [("ok", "granted")] * 2
    (told,) = await house.items("explain", newest["id"])
    assert (told["verdict"], told["reason"]) == ("allow", "granted")
    explained = (await house.run("explain", newest["id"])).out
    assert "granted" in explained
    (used,) = [each for each in explained.splitlines() if "allowed by" in each]
    assert f"grant {grant['id']}" in used
    with closing(sqlite3.connect(house.state / "record.db")) as db:
        bodies = db.execute("SELECT body FROM record WHERE kind = 'intent' ORDER BY seq").fetchall()
    authorised = [json.loads(body)["authorised"] for (body,) in bodies]
    assert [each["grant"] for each in authorised] == [grant["id"]] * 2
    assert {each["approval"] for each in authorised} == {row}
    named = await house.items("log", "--text", grant["id"])
    assert [each["kind"] for each in named] == ["intent", "intent", "grant"]  # each use, and that it was given
    await ask(house, op="deny", id=asked(wiped))


@pytest.mark.slow
async def test_what_waits_and_what_was_granted_by_pattern_outlives_a_gateway_that_is_killed(house: House) -> None:
    house.configure(policies={"ledger": FREE}, limits='hold = "100ms"')
    async with house.client("shim", "legacy") as client:
        async with house.client("shim", "modern") as modern:
            await lets_the_next_calls_through(house, modern)
        waiting = asked(await call(client, "ledger__wipe", {"text": "all"}))
        before = house.gateway()
        os.kill(before, signal.SIGKILL)
        await until(lambda: house.gateway() != before)
        assert text(await call(client, "ledger__note", {"text": "three"})) == "note: three"  # by the grant
        assert reason(await call(client, "ledger__wipe", {"text": "all"})) == "approval-pending"
        assert await house.waiting() == waiting
        await ask(house, op="approve", id=waiting)
        assert house.forwarded[2:] == ["note three"]  # nothing runs for a caller that is gone
        assert text(await call(client, "ledger__wipe", {"text": "all"})) == "wipe: all"
        assert text(await call(client, "ledger__note", {"text": "four"})) == "note: four"  # and the last use of it
    assert house.forwarded == ["note one", "note two", "note three", "wipe all", "note four"]
    assert (await house.run("verify")).code == 0
