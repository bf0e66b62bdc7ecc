"""Ways to fail on the path of a call: nothing goes out that may not, and the record says how it ended."""

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
@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_tool_is_an_error_that_names_the_nearest_one(era: str, house: House) -> None:
    async with house.client("shim", era) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("ledger__notee", {"text": "one"})
        assert raised.value.error.code == -32602
        assert "`ledger__note`" in raised.value.error.message
        rows = await until(lambda: house.items("log", "--kind", "outcome"))
        assert [(row["outcome"], row["reason"]) for row in rows] == [("blocked", "unknown-tool")]
    assert house.forwarded == []


@pytest.mark.slow
async def test_an_upstream_that_does_not_start_leaves_the_others_alone(house: House) -> None:
    house.configure(house.ledger(), upstream_table("gone", [str(house.place / "no-such-program")]))
    async with house.client("shim", "modern") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert "ledger__look" in tools
        assert not [name for name in tools if name.startswith("gone__")]
        assert text(await client.call_tool("ledger__look", {"text": "fine"})) == "look: fine"


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_write_whose_upstream_dies_is_unknown_and_never_sent_again(era: str, house: House) -> None:
    async with house.client("shim", era) as client:
        lost = await client.call_tool("ledger__die", {"text": "one"})
        assert lost.is_error
        assert reason(lost) == "upstream-lost"
        assert "OUTCOME UNKNOWN" in text(lost)
        assert await house.outcomes("die") == [("unknown", "upstream-lost")]

        async def back() -> bool:
            return not (await client.call_tool("ledger__look", {"text": "back"})).is_error

        await until(back)
    assert house.forwarded.count("die one") == 1
    assert set(await house.outcomes("look")) <= {("blocked", "upstream-down"), ("ok", "tier-default")}


@pytest.mark.slow
async def test_a_rule_that_errs_blocks_the_call(house: House) -> None:
    house.configure(policies={"ledger": LABELS + BROKEN_RULE})
    async with house.client("shim", "modern") as client:
        refused = await client.call_tool("ledger__note", {"text": "no number"})
        assert refused.is_error
        assert reason(refused) == "rule-error"
        assert "ledger.broken" not in text(refused)
        decision = (refused.meta or {})["dev.wardgate/decision"]["id"]
        (explained,) = await house.items("explain", decision)
        assert explained["rules"] == ["ledger.broken"]
        assert explained["rule_at"].startswith("policies/ledger.toml:")
    assert house.forwarded == []
    assert await house.outcomes("note") == [("blocked", "rule-error")]


@pytest.mark.slow
async def test_a_result_that_cannot_be_scanned_is_withheld_and_keeps_its_outcome(house: House) -> None:
    house.configure(limits='line = "64MiB"')  # more than one scan takes
    async with house.client("shim", "legacy") as client:
        withheld = await client.call_tool("ledger__flood", {"mib": 17})
        assert withheld.is_error
        assert reason(withheld) == "scanner-failed"
        assert len(text(withheld)) < 1000
        assert text(await client.call_tool("ledger__look", {"text": "next"})) == "look: next"
        (row,) = await until(lambda: house.items("log", "--kind", "outcome", "--tool", "flood"))
        assert (row["outcome"], row["reason"], row["release"]) == ("ok", "scanner-failed", "withheld")
    assert house.forwarded == ["flood", "look next"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_a_cancelled_call_is_told_to_the_upstream_and_recorded_as_unknown(
    door: str, era: str, house: House
) -> None:
    async with house.client(door, era) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(client.call_tool, "ledger__stall", {"text": "one"})
            await until(lambda: "stall one" in house.forwarded)
            calls.cancel_scope.cancel()
        await until(lambda: "cancelled one" in house.forwarded)
        assert await until(lambda: house.outcomes("stall")) == [("unknown", "cancelled")]
        assert text(await client.call_tool("ledger__look", {"text": "next"})) == "look: next"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "era"), [("closes", "legacy"), ("is killed", "modern")])
async def test_a_client_that_is_gone_in_mid_call_leaves_an_unknown_outcome(how: str, era: str, house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet(era)
        call = {"name": "ledger__stall", "arguments": {"text": "one"}, "_meta": meta}
        await pipes.put({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        await until(lambda: "stall one" in house.forwarded)
        if how == "closes":
            await pipes.process.stdin.aclose()  # type: ignore[union-attr]  # it was opened as a pipe
        else:
            pipes.process.kill()
        await until(lambda: "cancelled one" in house.forwarded)
        assert await until(lambda: house.outcomes("stall")) == [("unknown", "cancelled")]


@pytest.mark.slow
async def test_a_client_that_is_gone_before_anybody_approved_leaves_nothing_forwarded(house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet("legacy")
        call = {"name": "ledger__note", "arguments": {"text": "one"}, "_meta": meta}
        await pipes.put({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        approval = await house.waiting()
        await pipes.process.stdin.aclose()  # type: ignore[union-attr]  # it was opened as a pipe
        assert await until(lambda: house.outcomes("note")) == [("blocked", "client-gone")]
        assert (
            await house.run("approve", approval)
        ).code == 0  # it stays decidable, and nothing runs with nobody there
    assert house.forwarded == []


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
