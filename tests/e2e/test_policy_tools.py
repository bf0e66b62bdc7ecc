"""Simulation beside a real gateway: what it decided is decided again, and another policy tells what it would change."""

import pytest

from tests.e2e.kit import LABELS, House, asked, reason

SHORT = 'hold = "100ms"'
RATED = (
    '[[rule]]\nid = "ledger.looks"\ntools = "look"\nwhen = "size(args.text) < 20"\ndecide = "allow"\nrate = "2/hour"\n'
)


@pytest.mark.slow
async def test_a_policy_is_simulated_over_what_a_real_gateway_decided(house: House) -> None:
    house.configure(limits=SHORT, policies={"ledger": LABELS + RATED})
    async with house.client("shim", "legacy") as client, house.client("shim", "modern", name="other") as other:
        for text in ("one", "two", "three", "a text that is longer than it may be"):
            await client.call_tool("ledger__look", {"text": text})
        held = asked(await client.call_tool("ledger__note", {"text": "approved"}))
        assert (await house.run("approve", held)).code == 0
        assert not (await client.call_tool("ledger__note", {"text": "approved"})).is_error
        held = asked(await client.call_tool("ledger__note", {"text": "pattern"}))
        assert (await house.run("approve", held, "--pattern")).code == 0
        assert not (await client.call_tool("ledger__note", {"text": "pattern two"})).is_error
        held = asked(await client.call_tool("ledger__wipe", {"text": "denied"}))
        assert (await house.run("deny", held)).code == 0
        assert reason(await client.call_tool("ledger__wipe", {"text": "denied"})) == "approval-denied"
        await other.call_tool("ledger__look", {"text": "four"})
        whole, *changes = await house.items("policy", "simulate")
        assert changes == []
        assert (whole["same"], whole["otherwise"]) == (whole["calls"], 0)
        assert (whole["calls"], whole["waited"], whole["prompts_then"]) == (9, 3, 5)
        # The same policy under another name was not in force: its rates are counted from the calls.
        (house.folder / "new").mkdir(mode=0o700)
        house.write("new/ledger.toml", LABELS + RATED)
        assert len(await house.items("policy", "simulate", "--policy", str(house.folder / "new"))) == 1
        house.write("new/ledger.toml", LABELS + RATED.replace('decide = "allow"\nrate = "2/hour"', 'decide = "block"'))
        whole, *changes = await house.items("policy", "simulate", "--policy", str(house.folder / "new"))
        assert {(one["change"], *one["rules"]) for one in changes} == {("newly-blocked", "ledger.looks")}
    ended = await house.run("policy", "explain", "ledger/look", "--args", '{"text": "x"}')
    assert ended.out.startswith("ledger/look: allow")
    assert (await house.run("policy", "propose")).code == 0
