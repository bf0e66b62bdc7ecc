"""An output that a person is asked about, with the installed command: held, answered from outside, and used up."""

import json
import sys
from typing import Any

import anyio
import pytest

from tests.e2e.kit import ERAS, House, text, upstream_table
from tests.e2e.planted import LABELS, LEAKY, PLANTED, Planted, found, records

ASKED = "result-asked"


def asking(house: House, planted: Planted) -> House:
    """The house before an upstream whose output is asked about, with clients that wait for a minute."""
    plan = house.world / "secrets.json"
    plan.write_text(json.dumps({surface: planted[surface] for surface in PLANTED}), encoding="utf-8")
    table = upstream_table("leaky", [sys.executable, str(LEAKY), str(plan)])
    return house.configure(table, policies={"leaky": LABELS}, limits='hold = "60s"')


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("yes", [True, False], ids=["approved", "denied"])
async def test_an_output_leaves_whole_once_a_person_said_so_and_redacted_after_a_no(
    yes: bool, era: str, house: House
) -> None:
    planted, answers = Planted(), list[Any]()
    async with asking(house, planted).client("shim", era) as client:

        async def ask() -> None:
            answers.append(await client.call_tool("leaky__asked", {}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            row = await house.waiting()
            shown = await house.run("approvals", "show", row)
            assert "asked" in shown.out
            assert "content[0].text" in shown.out
            assert planted[ASKED] not in shown.out
            assert answers == []
            assert (await house.run("approve" if yes else "deny", row)).code == 0
        (answer,) = answers
        assert not answer.is_error
        assert (planted[ASKED] in text(answer)) is yes
        assert ("[REDACTED:" in text(answer)) is not yes
        (settled,) = await house.items("approvals", "--state", "all")
        assert settled["state"] == ("used" if yes else "denied")
    (outcome,) = [one for one in records(house, "outcome") if one["tool"] == "asked"]
    assert outcome["release"] == ("full" if yes else "redacted")
    assert outcome["extra"]["asked"]["state"] == ("approved" if yes else "denied")
    assert {one["act"] for one in outcome["findings"]} == {"allowed" if yes else "redacted"}
    assert found(house.state, planted) == {}
    assert (await house.run("verify")).code == 0
