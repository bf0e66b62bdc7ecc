"""Budgets, loops and observation through the installed gateway: calls that come at once, and a gateway that ends."""

from pathlib import Path

import anyio
import pytest

from tests.e2e.kit import House, reason, text

POLICY = """\
upstream = "ledger"
owner = "alice@example.com"
[[tool]]
match = ["look", "grow"]
effect = "read"
[[tool]]
match = "note"
effect = "write"
inert = ["text"]
[[rule]]
id = "ledger.free"
tools = "note"
decide = "allow"
[[budget]]
id = "ledger.notes"
tools = "note"
per = "principal"
calls = 3
over = "block"
[[budget]]
id = "ledger.looks"
tools = "look"
per = "session"
calls = 4
[loop]
same_call = 2
over = "block"
"""


@pytest.mark.slow
async def test_calls_at_once_and_a_restart_take_no_more_than_a_budget_has(house: House) -> None:
    house.configure(policies={"ledger": POLICY}, limits='hold = "100ms"')
    ended: list[str] = []
    async with house.client("standalone", "modern") as client:

        async def note(number: int) -> None:
            ended.append(reason(await client.call_tool("ledger__note", {"text": f"n{number}"})))

        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(note, number)
    async with house.client("standalone", "legacy") as client, anyio.create_task_group() as tasks:
        for number in range(2, 6):
            tasks.start_soon(note, number)
    assert sorted(ended) == [""] * 3 + ["budget-exceeded"] * 3
    assert len(house.forwarded) == 3
    assert (await house.run("verify")).code == 0
    refused = (await house.items("log", "--verdict", "block"))[0]
    (told,) = await house.items("explain", refused["id"])
    assert "`ledger.notes`" in told["detail"]
    assert told["facts"]["spent"] == {"ledger.notes": 3_000_000}


@pytest.mark.slow
async def test_a_read_beyond_its_budget_asks_and_the_same_call_in_a_loop_is_blocked(house: House) -> None:
    house.configure(policies={"ledger": POLICY}, limits='hold = "100ms"')
    async with house.client("shim", "modern") as client:
        same = [await client.call_tool("ledger__look", {"text": "same"}) for _ in range(3)]
        assert [reason(each) for each in same] == ["", "", "loop"]
        assert "again and again" in text(same[2])
        other = [reason(await client.call_tool("ledger__look", {"text": f"{number}"})) for number in range(3)]
        assert other == ["", "", "approval-pending"]


@pytest.mark.slow
async def test_a_file_that_observes_asks_nobody_and_says_who_would_have_been(house: House, tmp_path: Path) -> None:
    import datetime

    until = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=2)
    asks = POLICY.replace('decide = "allow"', 'decide = "ask"').replace("same_call = 2", "same_call = 9")
    house.configure(policies={"ledger": asks.replace("[[tool]]", f"observe_until = {until}\n[[tool]]", 1)})
    async with house.client("shim", "legacy") as client:
        assert reason(await client.call_tool("ledger__note", {"text": "n"})) == ""
    row = (await house.items("log", "--kind", "intent"))[0]
    assert (row["verdict"], row["reason"], row["rules"]) == ("allow", "observed", ["ledger.free"])
    (told,) = await house.items("explain", row["id"])
    assert "`ledger.free` would have asked 1 with proof client" in told["detail"]
