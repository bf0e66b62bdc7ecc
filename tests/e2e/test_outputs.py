"""An output that a person is asked about, with the installed command: held, answered from outside, and used up."""

import json
import sys
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from tests.e2e.kit import ERAS, House, text, upstream_table
from tests.e2e.planted import LABELS, LEAKY, PLANTED, Planted, found, records

ASKED = "result-asked"
CASES = [(era, yes) for era in ERAS for yes in (False, True)]


def asking(house: House, planted: Planted) -> House:
    """The house before an upstream whose output is asked about, with clients that wait for a minute."""
    plan = house.world / "secrets.json"
    plan.write_text(json.dumps({surface: planted[surface] for surface in PLANTED}), encoding="utf-8")
    table = upstream_table("leaky", [sys.executable, str(LEAKY), str(plan)])
    return house.configure(table, policies={"leaky": LABELS}, limits='hold = "60s"')


async def answered(house: House, client: Client, secret: str, yes: bool) -> tuple[str, str]:
    """What the client got once a person has answered, and the approval."""
    answers = list[Any]()

    async def ask() -> None:
        answers.append(await client.call_tool("leaky__asked", {}))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        row = await house.waiting()
        shown = await house.run("approvals", "show", row)
        assert "asked" in shown.out
        assert "content[0].text" in shown.out
        assert secret not in shown.out
        assert answers == []
        assert (await house.run("approve" if yes else "deny", row)).code == 0
    (answer,) = answers
    assert not answer.is_error
    return text(answer), row


@pytest.mark.slow
async def test_an_output_leaves_whole_once_a_person_said_so_and_redacted_after_a_no(house: House) -> None:
    planted = Planted()
    states = {}
    async with asking(house, planted).serving():
        for era, yes in CASES:
            async with house.client("shim", era) as client:
                got, row = await answered(house, client, planted[ASKED], yes)
            assert (planted[ASKED] in got) is yes, (era, yes)
            assert ("[REDACTED:" in got) is not yes, (era, yes)
            states[row] = "used" if yes else "denied"
        settled = await house.items("approvals", "--state", "all")
        assert {one["id"]: one["state"] for one in settled} == states
    outcomes = [one for one in records(house, "outcome") if one["tool"] == "asked"]
    for (era, yes), outcome in zip(CASES, outcomes, strict=True):
        assert outcome["release"] == ("full" if yes else "redacted"), era
        assert outcome["extra"]["asked"]["state"] == ("approved" if yes else "denied"), era
        assert {one["act"] for one in outcome["findings"]} == {"allowed" if yes else "redacted"}, era
    assert found(house.state, planted) == {}
    assert (await house.run("verify")).code == 0
