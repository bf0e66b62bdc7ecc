"""Grants before a real upstream: what one covers runs without asking, everything else asks, and it can be revoked."""

import json

import pytest
from mcp.client.client import Client

from tests.e2e.kit import House, asked, reason, until
from tests.notices.receiver import receiving

SHORT = 'hold = "100ms"'


async def is_named_by_the_review(house: House, client: Client) -> None:
    """A rule that is waved through is named by the review."""
    for number in range(20):
        held = asked(await client.call_tool("ledger__note", {"text": str(number)}))
        assert (await house.run("approve", held)).code == 0
    whole, rule, _ = await house.items("policy", "review")
    assert (whole["asked"], whole["approved"]) == (20, 20)
    assert rule["name"] == "(no rule: effect write)"
    assert rule["waved_through"]
    assert {made["kind"] for made in rule["proposals"]} == {"rule", "grant"}


async def runs_as_edited(house: House, client: Client) -> None:
    """Edited arguments are what runs, and the model is told."""
    file = house.place / "arguments.json"
    file.write_text(json.dumps({"text": "edited"}), encoding="utf-8")
    held = asked(await client.call_tool("ledger__note", {"text": "to be edited"}))
    assert (await house.run("approve", held, "--edit", str(file))).code == 0
    done = await client.call_tool("ledger__note", {"text": "to be edited"})
    assert not done.is_error, done
    assert "a person changed the arguments" in str(done.content)


async def runs_until_it_is_revoked(house: House, client: Client) -> None:
    """Exact arguments run again without asking until the grant is revoked."""
    held = asked(await client.call_tool("ledger__note", {"text": "one"}))
    assert (await house.run("approve", held, "--arguments", "--for", "30m", "--uses", "5")).code == 0
    for _ in range(3):
        assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
    assert reason(await client.call_tool("ledger__note", {"text": "two"})) == "approval-pending"
    (grant,) = await house.items("grants")
    assert (grant["scope"], grant["used"], grant["uses"]) == ("arguments", 3, 5)
    assert (await house.run("grants", "revoke", grant["id"])).code == 0
    assert reason(await client.call_tool("ledger__note", {"text": "one"})) == "approval-pending"
    assert await house.items("grants") == []
    assert (await house.outcomes("note")).count(("ok", "granted")) == 3
    assert [row["kind"] for row in await house.items("log", "--kind", "grant")] == ["grant"] * 2


@pytest.mark.slow
async def test_what_a_grant_covers_runs_without_asking_and_everything_else_asks(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.serving():
        async with house.client("shim", "legacy") as client:
            await is_named_by_the_review(house, client)
            await runs_as_edited(house, client)
            await runs_until_it_is_revoked(house, client)
            held = asked(await client.call_tool("ledger__note", {"text": "in the session"}))
            assert (await house.run("approve", held, "--session", "--for", "1h")).code == 0
            for words in ("in the session", "and this"):
                assert not (await client.call_tool("ledger__note", {"text": words})).is_error
        async with house.client("shim", "legacy") as client:  # a session's grant ended with it
            held = asked(await client.call_tool("ledger__note", {"text": "three"}))
            assert (await house.run("approve", held, "--pattern")).code == 0
            assert not (await client.call_tool("ledger__note", {"text": "four"})).is_error
        async with house.client("shim", "legacy", name="other") as client:
            assert reason(await client.call_tool("ledger__note", {"text": "four"})) == "approval-pending"
    ran = ["edited", *["one"] * 3, "in the session", "and this", "four"]
    assert house.forwarded == [f"note {words}" for words in ran]
    (proven,) = await house.items("verify")
    assert proven["ok"] is True


@pytest.mark.slow
async def test_one_notice_goes_out_for_many_waiting_calls_and_holds_no_argument(house: House) -> None:
    with receiving() as receiver:
        house.environment["WHERE"] = receiver.url("hook")
        house.configure(limits=SHORT, notify='desktop = false\nto = ["env:WHERE", "json://127.0.0.1:1/x"]')
        async with house.client("shim", "legacy") as client:
            held = [asked(await client.call_tool("ledger__note", {"text": f"private {n}"})) for n in range(3)]
            await until(lambda: receiver.got)
            for approval in held:
                assert (await house.run("deny", approval)).code == 0

            async def failed() -> list[object]:
                return await house.items("log", "--kind", "signal")

            (signal,) = await until(failed)
            assert signal["approval"] == held[0]
    (got,) = receiver.got
    assert got["title"] == "Wardgate: a call waits for a person"
    assert "ledger/note, asked by tester" in got["message"]
    assert "private" not in json.dumps(got)
    assert receiver.url("hook") not in (house.state / "gateway.log").read_text(encoding="utf-8")
