"""A card that asks whether an output may leave: it says what was found where, and nothing of a call to come."""

import pytest
from msgspec.structs import replace

from gateway.core.model import RELEASE, ApprovalState
from tests.console.room import FIRST, SECOND, signed_in

FOUND = {"content[0].text": "github-pat (2)"}


async def test_the_card_of_an_output_tells_what_was_found_and_offers_a_yes_and_a_no() -> None:
    async with signed_in() as (room, tab):
        row = room.gate.rows[FIRST]
        shown = replace(row.shown, redacted=True, named=False)
        room.gate.rows[FIRST] = replace(row, method=RELEASE, arguments=FOUND, shown=shown)
        text = (await tab.get(f"/data/approvals/{FIRST}")).text
        for words in (
            *("Let the output of files__write_file leave with the secrets in it?", "Found in its output"),
            *("content[0].text", "github-pat (2)", "the output leaves redacted", "its output is held"),
            "The output goes on without what was found.",
        ):
            assert words in text, words
        assert "executed" not in text.replace("The call has been executed", "")
        assert 'data-dialog="deny"' in text
        for choice in ("arguments", "pattern", "session", "edit", "bar"):
            assert f'data-choice="{choice}"' not in text


@pytest.mark.parametrize("state", [ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.USED])
async def test_a_settled_card_of_an_output_says_how_it_left(state: ApprovalState) -> None:
    async with signed_in() as (room, tab):
        row = replace(room.gate.rows[FIRST], method=RELEASE, arguments=FOUND, state=state, decided_by="os:bob")
        room.gate.rows[FIRST] = row
        text = (await tab.get(f"/data/approvals/{FIRST}")).text
        assert ("the output left as it was" if state is ApprovalState.USED else "the output left redacted") in text


async def test_an_output_is_not_let_out_from_the_list_of_a_plan() -> None:
    async with signed_in() as (room, tab):
        row = room.gate.rows[SECOND]
        assert f'value="{SECOND}"' in (await tab.get(f"/data/approvals/{FIRST}")).text
        room.gate.rows[SECOND] = replace(row, method=RELEASE, arguments=FOUND, shown=replace(row.shown, redacted=True))
        assert f'value="{SECOND}"' not in (await tab.get(f"/data/approvals/{FIRST}")).text
