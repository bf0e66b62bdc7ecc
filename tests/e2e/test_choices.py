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
SHORT = 'hold = "100ms"'
PATIENT = 'hold = "60s"'
UNLABELLED = LABELS.replace('match = "wipe"', 'match = "nothing"')
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


@pytest.mark.slow
async def test_a_tool_is_labelled_from_the_card_and_the_call_is_decided_anew(house: House) -> None:
    house.configure(policies={"ledger": UNLABELLED}, limits=PATIENT)
    async with house.client("shim", "legacy") as client, waits(client, "ledger__wipe", text="one") as answers:
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
    (checked,) = [await house.run("check")]
    assert checked.code == 0, checked
    policies = await house.items("log", "--kind", "policy")
    assert len({row["policy_revision"] for row in policies}) == 2


@pytest.mark.slow
async def test_a_tool_that_is_labelled_as_a_read_asks_nobody_any_more(house: House) -> None:
    house.configure(policies={"ledger": UNLABELLED}, limits=PATIENT)
    async with house.client("shim", "legacy") as client:
        async with waits(client, "ledger__wipe", text="one") as answers:
            await ask(house, op="label", id=await house.waiting(), effect="read")
        assert text(answers[0]) == "wipe: one"
        assert text(await call(client, "ledger__wipe", {"text": "two"})) == "wipe: two"
    assert house.forwarded == ["wipe one", "wipe two"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_what_runs_is_the_call_that_a_person_edited_and_the_model_is_told(era: str, house: House) -> None:
    house.configure(limits=PATIENT)
    async with house.client("shim", era) as client, waits(client, "ledger__note", text="one") as answers:
        row = await house.waiting()
        wrong = await house.run("approve", row, "--edit", "nowhere.json")
        assert wrong.code == 1
        edit = {"choice": "edit", "arguments": {"text": "two"}, "approve": True}
        (after,) = (await ask(house, op="approve", id=row, **edit))["items"]
        assert (after["state"], after["arguments"]) == ("approved", {"text": "two"})
    assert house.forwarded == ["note two"]
    assert text(answers[0]) == "note: two\n[Wardgate: a person changed the arguments before the call was sent.]"
    assert await house.outcomes("note") == [("ok", "approved")]
    edited, asked_for = await house.items("approvals", "--state", "all"), row
    states = {each["id"]: each["state"] for each in edited}
    assert (states.pop(asked_for), *states.values()) == ("withdrawn", "used")
    (intent,) = await house.items("log", "--kind", "intent")
    assert intent["approval"] == after["id"]


@pytest.mark.slow
async def test_an_edit_that_does_not_fit_the_schema_or_is_blocked_changes_nothing(house: House) -> None:
    block = '[[rule]]\nid = "ledger.no"\ntools = "note"\nwhen = \'args.text == "no"\'\ndecide = "block"\n'
    house.configure(policies={"ledger": LABELS + block}, limits=SHORT)
    async with house.client("shim", "legacy") as client:
        row = asked(await call(client, "ledger__note", {"text": "one"}))
        for arguments, why in (({"text": 3}, "schema"), ({}, "schema"), ({"text": "no"}, "policy blocks")):
            request = {"op": "approve", "id": row, "choice": "edit", "arguments": arguments}
            line = json.dumps(request).encode() + b"\n"
            refused = await anyio.to_thread.run_sync(exchange, house.state, line)
            assert not refused["ok"]
            assert why in refused["error"]
        assert await house.waiting() == row
    assert house.forwarded == []


def with_shelf(house: House) -> Path:
    """The house with a shelf; returns the file `plan` on it."""
    table = upstream_table("shelf", [sys.executable, str(SHELF), str(house.world)])
    house.configure(table, policies={"shelf": PREVIEWS}, limits=PATIENT)
    plan = house.world / "plan"
    plan.write_text("the old plan", encoding="utf-8")
    return plan


@pytest.mark.slow
async def test_what_a_call_would_change_is_shown_and_the_call_runs_while_that_is_so(house: House) -> None:
    plan = with_shelf(house)
    async with house.client("shim", "legacy") as client:
        async with waits(client, "shelf__put", name="plan", text="the new plan") as answers:
            shown = await ask(house, op="approval", id=await house.waiting())
            assert shown["view"]["preview"]["text"] == "the old plan"
            assert "  | the old plan" in shown["card"]
            await ask(house, op="approve", id=shown["view"]["id"])
        assert text(answers[0]) == "put"
    assert plan.read_text(encoding="utf-8") == "the new plan"
    assert [row["outcome"] for row in await house.items("log", "--tool", "show", "--kind", "outcome")] == ["ok"] * 2


@pytest.mark.slow
async def test_an_approval_is_void_where_what_it_would_change_is_not_as_it_was_shown(house: House) -> None:
    plan = with_shelf(house)
    async with house.client("shim", "legacy") as client:
        async with waits(client, "shelf__put", name="plan", text="the new plan") as answers:
            row = await house.waiting()
            plan.write_text("somebody else's plan", encoding="utf-8")
            await ask(house, op="approve", id=row)
        assert reason(answers[0]) == "approval-void"
        assert "sending the call again asks anew" in text(answers[0])
    assert plan.read_text(encoding="utf-8") == "somebody else's plan"
    assert await house.outcomes("put") == [("blocked", "approval-void")]


@pytest.mark.slow
async def test_a_grant_by_pattern_lets_the_next_call_through_and_the_record_says_so(house: House) -> None:
    house.configure(policies={"ledger": FREE}, limits=SHORT)
    async with house.client("shim", "modern") as client:
        row = asked(await call(client, "ledger__note", {"text": "one"}))
        await ask(house, op="approve", id=row, choice="pattern", minutes=5, uses=3)
        for number in ("one", "two"):
            assert text(await call(client, "ledger__note", {"text": number})) == f"note: {number}"
        wiped = await call(client, "ledger__wipe", {"text": "two"})
        assert reason(wiped) == "approval-pending"  # another tool
        (grant,) = await house.items("grants")
        assert (grant["scope"], grant["used"], grant["uses"], grant["free"]) == ("pattern", 2, 3, ["text"])
    assert await house.outcomes("note") == [("ok", "granted"), ("ok", "granted")]
    (newest, *_) = await house.items("log", "--kind", "outcome", "--tool", "note")
    (told,) = await house.items("explain", newest["id"])
    assert (told["verdict"], told["reason"]) == ("allow", "granted")
    assert "granted" in (await house.run("explain", newest["id"])).out
    with closing(sqlite3.connect(house.state / "record.db")) as db:
        bodies = db.execute("SELECT body FROM record WHERE kind = 'intent' ORDER BY seq").fetchall()
    told = [json.loads(body)["authorised"] for (body,) in bodies]
    assert [each["grant"] for each in told] == [grant["id"]] * 2
    assert {each["approval"] for each in told} == {row}
    named = await house.items("log", "--text", grant["id"])
    assert [each["kind"] for each in named] == ["intent", "intent", "grant"]  # each use, and that it was given
    (used,) = [each for each in (await house.run("explain", newest["id"])).out.splitlines() if "allowed by" in each]
    assert f"grant {grant['id']}" in used


@pytest.mark.slow
async def test_an_approval_that_is_given_after_the_client_left_serves_one_matching_call(house: House) -> None:
    house.configure(limits=PATIENT)
    async with house.serving():
        token = await house.token()
        async with house.http_client("modern", token) as client, anyio.create_task_group() as calls:
            calls.start_soon(call, client, "ledger__note", {"text": "one"})
            row = await house.waiting()
            calls.cancel_scope.cancel()
        assert house.forwarded == []
        await ask(house, op="approve", id=row)
        async with house.http_client("modern", token) as client:
            assert text(await call(client, "ledger__note", {"text": "one"})) == "note: one"
            async with waits(client, "ledger__note", text="one") as answers:
                assert await another(house, row) != row
                await ask(house, op="deny", id=await house.waiting())
            assert reason(answers[0]) == "approval-denied"
    assert house.forwarded == ["note one"]


@pytest.mark.slow
async def test_what_waits_and_what_was_granted_outlives_a_gateway_that_is_killed(house: House) -> None:
    house.configure(policies={"ledger": FREE}, limits=SHORT)
    async with house.client("shim", "legacy") as client:
        granted = asked(await call(client, "ledger__note", {"text": "one"}))
        await ask(house, op="approve", id=granted, choice="pattern", uses=2)
        waiting = asked(await call(client, "ledger__wipe", {"text": "all"}))
        before = house.gateway()
        os.kill(before, signal.SIGKILL)
        await until(lambda: house.gateway() != before)
        assert text(await call(client, "ledger__note", {"text": "two"})) == "note: two"  # by the grant
        assert reason(await call(client, "ledger__wipe", {"text": "all"})) == "approval-pending"
        assert await house.waiting() == waiting
        await ask(house, op="approve", id=waiting)
        assert house.forwarded == ["note two"]  # nothing runs for a caller that is gone
        assert text(await call(client, "ledger__wipe", {"text": "all"})) == "wipe: all"
        assert text(await call(client, "ledger__note", {"text": "one"})) == "note: one"  # and the last use of it
    assert house.forwarded == ["note two", "wipe all", "note one"]
    assert (await house.run("verify")).code == 0
