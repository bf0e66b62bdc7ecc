"""Reach beside a real gateway: a grant shows in it at once, and the origins of a session are asked of its gateway."""

import pytest

from tests.e2e.kit import LABELS, House, asked, reason, until

PROVEN = '[[rule]]\nid = "ledger.proven"\ntools = "wipe"\ndecide = "ask-unless-proven"\n'
SHORT = 'hold = "100ms"'


@pytest.mark.slow
async def test_a_grant_shows_in_the_number_while_it_stands(house: House) -> None:
    house.configure(limits=SHORT)
    assert (await house.run("reach", "--max", "2")).code == 0  # stall and die, by their rule
    assert (await house.run("reach", "--max", "1")).code == 1
    async with house.client("shim", "legacy") as client:
        assert not (await client.call_tool("ledger__look", {"text": "taints"})).is_error
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        given = await house.run("approve", held, "--pattern")
        assert "It would let pass unasked, up to 100 times in 60 min: the tool as on the card" in given.out
        whole, *places = await house.items("reach")
        assert whole["number"] == 3
        (grant,) = await house.items("grants")
        mine = [one for one in places if one["tool"] == "note"]
        assert [one["passes"][0]["by"] for one in mine] == [f"grant {grant['id']}"]
        assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error
        assert (await house.run("grants", "revoke", grant["id"])).code == 0
        assert (await house.items("reach"))[0]["number"] == 2
        assert reason(await client.call_tool("ledger__note", {"text": "three"})) == "approval-pending"


@pytest.mark.slow
async def test_the_origins_of_a_session_are_asked_of_its_gateway(house: House) -> None:
    labels = LABELS.replace(
        'effect = "destructive"\ninert = ["text"]', 'effect = "destructive"\nsinks = { text = "text" }'
    )
    house.configure(limits=SHORT)
    house.write("policies/ledger.toml", labels + PROVEN)
    async with house.client("shim", "legacy") as client:
        assert not (await client.call_tool("ledger__look", {"text": "taints"})).is_error
        (session,) = await until(lambda: house.items("sessions"))
        name = session["session"]
        whole, *places = await house.items("reach", "--session", name)
        assert whole["number"] == 2
        assert {one["tool"] for one in places} == {"stall", "die"}
        assert (await house.run("reach", "--session", "nobody")).code == 1
    house.close()
    assert (await house.run("reach", "--session", name)).code == 3
    assert (await house.run("reach")).code == 0
