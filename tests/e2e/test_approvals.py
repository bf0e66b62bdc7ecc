"""Approvals at the client: asked there, answered there or at the command line, and used once. Both eras, each door."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestFormParams, ElicitResult, InputRequiredResult

from tests.e2e.kit import DOORS, ERAS, LABELS, House, asked, call, reason, text, until

READING = 0.8  # seconds that a person takes at least; what declines faster was never shown to one
SHORT = 'hold = "100ms"'


def person(answer: ElicitResult, seen: list[str], reading: float = 0) -> Callable[..., Any]:
    """An elicitation callback: somebody who reads the card and answers."""

    async def callback(context: ClientRequestContext, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        seen.append(params.message)
        await anyio.sleep(reading)  # it is a person's time, not a wait for the gateway
        return answer

    return callback


YES = ElicitResult(action="accept", content={"approve": True})
NO = ElicitResult(action="decline")


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", DOORS)
async def test_a_call_runs_once_when_the_clients_user_accepts(door: str, era: str, house: House) -> None:
    seen: list[str] = []
    async with house.client(door, era, elicitation_callback=person(YES, seen)) as client:
        done = await client.call_tool("ledger__note", {"text": "one"})
        assert not done.is_error, done
        assert house.forwarded == ["note one"]
        (card,) = seen
        assert "ledger__note" in card
        assert "one" in card
        (row,) = await house.items("approvals", "--state", "all")
        assert (row["state"], row["proof"], row["decided_by"]) == ("used", "client", "client:tester")
    assert await house.outcomes("note") == [("ok", "approved")]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_nothing_is_forwarded_when_the_clients_user_declines(era: str, house: House) -> None:
    async with house.client("shim", era, elicitation_callback=person(NO, [], READING)) as client:
        denied = await client.call_tool("ledger__note", {"text": "one"})
        assert denied.is_error
        assert reason(denied) == "approval-denied"
        assert house.forwarded == []
        assert await house.outcomes("note") == [("denied", "approval-denied")]


@pytest.mark.slow
async def test_a_decline_that_no_person_can_have_read_denies_nothing(house: House) -> None:
    house.configure(limits=SHORT)
    seen: list[str] = []
    async with house.client("shim", "legacy", elicitation_callback=person(NO, seen)) as client:
        held = await client.call_tool("ledger__note", {"text": "one"})
        assert reason(held) == "approval-pending"
        assert len(seen) == 1
        (row,) = await house.items("approvals")
        assert row["id"] == asked(held)


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_the_same_call_runs_once_after_it_was_approved_by_command(door: str, era: str, house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client(door, era) as client:
        held = await client.call_tool("ledger__note", {"text": "one"})
        assert held.is_error
        assert reason(held) == "approval-pending"
        assert "expires_at" in (held.meta or {})["dev.wardgate/approval"]
        assert house.forwarded == []
        assert (await house.run("approve", asked(held))).code == 0
        done = await client.call_tool("ledger__note", {"text": "one"})
        assert not done.is_error, done
        assert house.forwarded == ["note one"]
        third = await call(client, "ledger__note", {"text": "one"})
        assert reason(third) == "approval-pending"
        assert asked(third) != asked(held)
        assert house.forwarded == ["note one"]
    assert await house.outcomes("note") == [("ok", "approved")]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_reviewers_reason_reaches_the_model(era: str, house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", era) as client:
        held = await call(client, "ledger__note", {"text": "one"})
        assert (await house.run("deny", asked(held), "--reason", "wait for the audit")).code == 0
        denied = await call(client, "ledger__note", {"text": "one"})
        assert reason(denied) == "approval-denied"
        assert "wait for the audit" in text(denied)
    assert house.forwarded == []
    assert await house.outcomes("note") == [("denied", "approval-denied")]


@pytest.mark.slow
async def test_an_approval_covers_neither_other_arguments_nor_another_client(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client, house.client("shim", "legacy", name="other") as other:
        held = await client.call_tool("ledger__note", {"text": "one"})
        assert (await house.run("approve", asked(held))).code == 0
        changed = await client.call_tool("ledger__note", {"text": "two"})
        foreign = await other.call_tool("ledger__note", {"text": "one"})
        assert reason(changed) == reason(foreign) == "approval-pending"
        assert len({asked(held), asked(changed), asked(foreign)}) == 3
        assert house.forwarded == []
        assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
    assert house.forwarded == ["note one"]


@pytest.mark.slow
async def test_a_request_state_counts_once_and_only_for_its_own_call(house: House) -> None:
    async with house.client("shim", "modern", elicitation_callback=person(YES, [])) as client:

        async def send(arguments: dict[str, Any], **more: Any) -> Any:
            return await client.session.call_tool("ledger__note", arguments, allow_input_required=True, **more)

        async def refused(arguments: dict[str, Any], state: str | None) -> str:
            with pytest.raises(MCPError) as problem:
                await send(arguments, input_responses=answered, request_state=state)
            assert problem.value.error.code == -32602
            return str(problem.value.error.data["dev.wardgate/decision"]["reason"])

        answered = {"wardgate_approval": YES}
        first = await send({"text": "one"})
        assert isinstance(first, InputRequiredResult)
        state = first.request_state
        assert await refused({"text": "two"}, state) == "handle-invalid"
        done = await send({"text": "one"}, input_responses=answered, request_state=state)
        assert not done.is_error, done
        for again in (state, "A" * 22, "r_" + "A" * 32):
            assert await refused({"text": "one"}, again) == "handle-invalid"
    assert house.forwarded == ["note one"]
    blocked = ("blocked", "handle-invalid")
    assert await house.outcomes("note") == [blocked, ("ok", "approved"), blocked, blocked, blocked]


@pytest.mark.slow
async def test_an_approval_that_nobody_gives_expires_as_denied(house: House) -> None:
    rule = (
        '[[rule]]\nid = "ledger.soon"\ntools = "note"\ndecide = "ask"\napprove = { proof = "local", timeout = "1s" }\n'
    )
    house.configure(policies={"ledger": LABELS + rule})
    async with house.client("shim", "legacy") as client:
        late = await client.call_tool("ledger__note", {"text": "one"})
        assert late.is_error
        assert reason(late) == "approval-expired"
        approved = await house.run("approve", asked(late))
        assert approved.code == 1
    assert house.forwarded == []
    assert await house.outcomes("note") == [("denied", "approval-expired")]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_of_tier_high_is_never_asked_in_the_client_which_may_only_open_its_card(
    era: str, house: House
) -> None:
    house.configure(limits=SHORT)
    seen: list[str] = []

    async def autopilot(context: Any, params: Any) -> ElicitResult:
        seen.append(params.mode)
        return ElicitResult(action="accept", content={"approve": True} if params.mode == "form" else None)

    async with house.client("shim", era, elicitation_callback=autopilot) as client:
        held = await client.call_tool("ledger__wipe", {"text": "all"})
        assert reason(held) == "approval-pending"
        (row,) = await house.items("approvals")
        assert (row["tier"], row["proof_required"]) == ("high", "local")
        assert set(seen) <= {"url"}
        assert house.forwarded == []
        assert (await house.run("approve", asked(held))).code == 0
        assert not (await client.call_tool("ledger__wipe", {"text": "all"})).is_error
    assert house.forwarded == ["wipe all"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_held_call_tells_that_it_waits_and_goes_on_by_itself(era: str, house: House) -> None:
    notices: list[str] = []
    answers: list[Any] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        notices.append(message or "")

    async with house.client("shim", era) as client, anyio.create_task_group() as calls:

        async def wait() -> None:
            answers.append(await client.call_tool("ledger__note", {"text": "one"}, None, on_progress))

        calls.start_soon(wait)
        await until(lambda: notices)
        approval = await house.waiting()
        assert approval in notices[0]
        assert house.forwarded == []
        assert (await house.run("approve", approval)).code == 0
    assert not answers[0].is_error
    assert house.forwarded == ["note one"]
