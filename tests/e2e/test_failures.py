"""Ways to fail on the path of a call: nothing goes out that may not, and the record says how it ended."""

from collections import defaultdict
from typing import Any

import anyio
import pytest
from mcp import MCPError

from tests.e2e.kit import ERAS, LABELS, House, reason, text, until, upstream_table, wire

BROKEN_RULE = """\
[[rule]]
id = "ledger.broken"
tools = "note"
when = "args.text.size() > 0 && int(args.text) > 3"
decide = "block"
"""


@pytest.mark.slow
async def test_what_fails_on_the_path_of_a_call_is_told_and_recorded_and_nothing_goes_out_twice(house: House) -> None:
    gone = upstream_table("gone", [str(house.place / "no-such-program")])
    policies = {"ledger": LABELS + BROKEN_RULE}
    house.configure(house.ledger(), gone, policies=policies, limits='line = "64MiB"', locked=False)
    house.lock(house.ledger())  # the other one can't be asked
    async with house.serving():
        token = await house.token()
        for era in ERAS:
            await _an_unknown_tool_is_an_error_that_names_the_nearest_one(era, house)
        await _a_rule_that_errs_blocks_the_call(house)
        await _a_client_that_is_gone_before_anybody_approved_leaves_nothing_forwarded(house)
        assert house.forwarded == []
        await _an_upstream_that_does_not_start_leaves_the_others_alone(house)
        await _a_result_that_cannot_be_scanned_is_withheld_and_keeps_its_outcome(house)
        for era in ERAS:
            for door in ("shim", "http"):
                await _a_cancelled_call_is_told_to_the_upstream(door, era, house, token)
            await _a_write_whose_upstream_dies_is_unknown_and_never_sent_again(era, house)
        await _a_client_that_is_gone_in_mid_call_has_its_call_cancelled("closes", "legacy", house)
        await _a_client_that_is_gone_in_mid_call_has_its_call_cancelled("is killed", "modern", house)
        ended = await until(lambda: _ended(house))
    assert ended["ledger__notee"] == [("blocked", "unknown-tool")] * 2
    assert ended["note"] == [("blocked", "rule-error")]
    assert ended["wipe"] == [("blocked", "client-gone")]
    assert ended["stall"] == [("unknown", "cancelled")] * 6
    assert ended["die"] == [("unknown", "upstream-lost")] * 2
    assert set(ended["look"]) <= {("blocked", "upstream-down"), ("ok", "tier-default")}
    once = [line for line in house.forwarded if line.startswith(("note", "wipe", "flood", "die"))]
    assert once == ["flood", "die legacy", "die modern"]


async def _ended(house: House) -> dict[str, list[tuple[str, str]]]:
    """How the calls of each tool ended, oldest first, once all of those that were cancelled did."""
    ended = defaultdict(list)
    for row in reversed(await house.items("log", "--kind", "outcome", "--limit", "1000")):
        ended[row["tool"]].append((row["outcome"], row["reason"]))
    return ended if len(ended["stall"]) >= 6 else {}


async def _an_unknown_tool_is_an_error_that_names_the_nearest_one(era: str, house: House) -> None:
    async with house.client("shim", era) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("ledger__notee", {"text": "one"})
        assert raised.value.error.code == -32602, era
        assert "`ledger__note`" in raised.value.error.message, era


async def _a_rule_that_errs_blocks_the_call(house: House) -> None:
    async with house.client("shim", "modern") as client:
        refused = await client.call_tool("ledger__note", {"text": "no number"})
        assert refused.is_error
        assert reason(refused) == "rule-error"
        assert "ledger.broken" not in text(refused)
        decision = (refused.meta or {})["dev.wardgate/decision"]["id"]
        (explained,) = await house.items("explain", decision)
        assert explained["rules"] == ["ledger.broken"]
        assert explained["rule_at"].startswith("policies/ledger.toml:")


async def _a_client_that_is_gone_before_anybody_approved_leaves_nothing_forwarded(house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet("legacy")
        await pipes.put(_call("wipe", "one", meta))
        approval = await house.waiting()
        await pipes.process.stdin.aclose()  # type: ignore[union-attr]  # it was opened as a pipe
        assert await until(lambda: house.outcomes("wipe")) == [("blocked", "client-gone")]
        approved = await house.run("approve", approval)
        assert approved.code == 0, approved  # it stays decidable, and nothing runs with nobody there


async def _an_upstream_that_does_not_start_leaves_the_others_alone(house: House) -> None:
    async with house.client("shim", "modern") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert "ledger__look" in tools
        assert not [name for name in tools if name.startswith("gone__")]
        assert text(await client.call_tool("ledger__look", {"text": "fine"})) == "look: fine"


async def _a_result_that_cannot_be_scanned_is_withheld_and_keeps_its_outcome(house: House) -> None:
    async with house.client("shim", "legacy") as client:
        withheld = await client.call_tool("ledger__flood", {"mib": 17})  # more than one scan takes
        assert withheld.is_error
        assert reason(withheld) == "scanner-failed"
        assert len(text(withheld)) < 1000
        assert text(await client.call_tool("ledger__look", {"text": "next"})) == "look: next"
    assert house.forwarded[-2:] == ["flood", "look next"]
    (row,) = await until(lambda: house.items("log", "--kind", "outcome", "--tool", "flood"))
    assert (row["outcome"], row["reason"], row["release"]) == ("ok", "scanner-failed", "withheld")


async def _a_cancelled_call_is_told_to_the_upstream(door: str, era: str, house: House, token: str) -> None:
    case = f"{door} {era}"
    behind = house.client(door, era) if door == "shim" else house.http_client(era, token)
    async with behind as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(client.call_tool, "ledger__stall", {"text": case})
            await until(lambda: f"stall {case}" in house.forwarded)
            calls.cancel_scope.cancel()
        await until(lambda: f"cancelled {case}" in house.forwarded)
        assert text(await client.call_tool("ledger__look", {"text": "next"})) == "look: next", case


async def _a_write_whose_upstream_dies_is_unknown_and_never_sent_again(era: str, house: House) -> None:
    async with house.client("shim", era) as client:
        lost = await client.call_tool("ledger__die", {"text": era})
        assert lost.is_error, era
        assert reason(lost) == "upstream-lost", era
        assert "OUTCOME UNKNOWN" in text(lost), era

        async def back() -> bool:
            return not (await client.call_tool("ledger__look", {"text": "back"})).is_error

        await until(back)


async def _a_client_that_is_gone_in_mid_call_has_its_call_cancelled(how: str, era: str, house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet(era)
        await pipes.put(_call("stall", how, meta))
        await until(lambda: f"stall {how}" in house.forwarded)
        if how == "closes":
            await pipes.process.stdin.aclose()  # type: ignore[union-attr]  # it was opened as a pipe
        else:
            pipes.process.kill()
        await until(lambda: f"cancelled {how}" in house.forwarded)


def _call(tool: str, said: str, meta: dict[str, Any]) -> dict[str, Any]:
    params = {"name": f"ledger__{tool}", "arguments": {"text": said}, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@pytest.mark.slow
async def test_an_upstream_that_hangs_at_its_start_holds_nobody_up(house: House) -> None:
    hanging = house.ledger("--hang").replace("[upstreams.ledger]", "[upstreams.stuck]")
    house.configure(house.ledger(), hanging, limits='start = "1h"', locked=False)
    async with house.client("standalone", "modern") as client:
        with anyio.fail_after(10):
            tools = [tool.name for tool in (await client.list_tools()).tools]
        assert "ledger__look" in tools
        assert not [name for name in tools if name.startswith("stuck__")]
        assert text(await client.call_tool("ledger__look", {"text": "fine"})) == "look: fine"
        assert len(house.ledgers()) == 2
    assert house.ledgers() == []  # the client has ended the gateway: with it went the one that hangs, too
    last = [row["kind"] for row in (await house.items("log"))[:3]]
    assert last == ["checkpoint", "key", "stop"]  # the first checkpoint names the key that signs it
