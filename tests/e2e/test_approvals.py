"""Approvals at the client: asked there, answered there or at the command line, and used once. Both eras, each door."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestFormParams, ElicitResult, InputRequiredResult

from tests.e2e.kit import ERAS, LABELS, House, asked, call, case, reason, text, until

READING = 0.8  # seconds that a person takes at least; what declines faster was never shown to one
YES = ElicitResult(action="accept", content={"approve": True})
NO = ElicitResult(action="decline")
SERVED = [(door, era) for door in ("shim", "http") for era in ERAS]
BRIEF = "".join(f'[clients.{name}]\nowner = "alice@example.com"\nhold = "100ms"\n' for name in ("brief", "stranger"))
SOON = """\
[[rule]]
id = "ledger.soon"
tools = "note"
when = 'args.text == "soon"'
decide = "ask"
approve = { proof = "local", timeout = "1s" }
"""

pytestmark = pytest.mark.slow


def person(answer: ElicitResult, seen: list[str], reading: float = 0) -> Callable[..., Any]:
    """An elicitation callback: somebody who reads the card and answers."""

    async def callback(context: ClientRequestContext, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        seen.append(params.message)
        await anyio.sleep(reading)  # it is a person's time, not a wait for the gateway
        return answer

    return callback


@asynccontextmanager
async def serving(house: House) -> AsyncIterator[Mapping[str, str]]:
    """The house with clients whose calls are hardly held, before a gateway that serves; gives the clients' tokens."""
    house.configure(house.ledger(), BRIEF, policies={"ledger": LABELS + SOON})
    async with house.serving():
        yield {name: await house.token(name) for name in ("tester", "brief", "stranger")}


@asynccontextmanager
async def behind(house: House, door: str, era: str, tokens: Mapping[str, str], name: str) -> AsyncIterator[Client]:
    """A client that can't be asked, behind a door of the gateway that serves."""
    opened = house.http_client(era, tokens[name]) if door == "http" else house.client(door, era, name=name)
    async with opened as client:
        yield client


async def accepts(house: House, client: Client, seen: list[str], words: str) -> None:
    """The client's user accepts: the call runs once."""
    done = await client.call_tool("ledger__note", {"text": words})
    assert not done.is_error, done
    assert house.forwarded.count(f"note {words}") == 1
    (card,) = seen
    assert "ledger__note" in card
    assert words in card


async def declines(house: House, era: str) -> None:
    """The client's user declines: nothing is forwarded."""
    async with house.client("shim", era, elicitation_callback=person(NO, [], READING)) as client:
        denied = await client.call_tool("ledger__note", {"text": f"declined {era}"})
        assert denied.is_error
        assert reason(denied) == "approval-denied"
        assert f"note declined {era}" not in house.forwarded


async def counts_once(house: House) -> None:
    """A request state counts once, and only for its own call."""
    async with house.client("shim", "modern", elicitation_callback=person(YES, [])) as client:

        async def send(arguments: dict[str, Any], **more: Any) -> Any:
            return await client.session.call_tool("ledger__note", arguments, allow_input_required=True, **more)

        async def refused(arguments: dict[str, Any], state: str | None) -> str:
            with pytest.raises(MCPError) as problem:
                await send(arguments, input_responses=answered, request_state=state)
            assert problem.value.error.code == -32602
            return str(problem.value.error.data["dev.wardgate/decision"]["reason"])

        answered = {"wardgate_approval": YES}
        first = await send({"text": "state"})
        assert isinstance(first, InputRequiredResult)
        state = first.request_state
        assert await refused({"text": "other state"}, state) == "handle-invalid"
        done = await send({"text": "state"}, input_responses=answered, request_state=state)
        assert not done.is_error, done
        for again in (state, "A" * 22, "r_" + "A" * 32):
            assert await refused({"text": "state"}, again) == "handle-invalid"


async def only_opens_its_card(house: House, era: str) -> None:
    """A call of tier high is never asked in the client, which may only open its card."""
    seen: list[str] = []

    async def autopilot(context: Any, params: Any) -> ElicitResult:
        seen.append(params.mode)
        return ElicitResult(action="accept", content={"approve": True} if params.mode == "form" else None)

    async with house.client("shim", era, name="brief", elicitation_callback=autopilot) as client:
        held = await client.call_tool("ledger__wipe", {"text": era})
        assert reason(held) == "approval-pending"
        (row,) = await house.items("approvals")
        assert (row["id"], row["tier"], row["proof_required"]) == (asked(held), "high", "local")
        assert set(seen) <= {"url"}
        assert f"wipe {era}" not in house.forwarded
        assert (await house.run("approve", asked(held))).code == 0
        assert not (await client.call_tool("ledger__wipe", {"text": era})).is_error


async def declines_unread(house: House) -> None:
    """A decline that no person can have read denies nothing."""
    seen: list[str] = []
    async with house.client("shim", "legacy", name="brief", elicitation_callback=person(NO, seen)) as client:
        held = await client.call_tool("ledger__note", {"text": "unread"})
        assert reason(held) == "approval-pending"
        assert len(seen) == 1
        (row,) = await house.items("approvals")
        assert row["id"] == asked(held)


async def test_what_the_clients_user_says_counts_once_and_for_no_call_of_tier_high(house: House) -> None:
    ran = []
    async with serving(house) as tokens:
        for door, era in SERVED:
            ran.append(f"note {door} {era}")
            with case(door, era):
                seen: list[str] = []
                more: dict[str, Any] = {"elicitation_callback": person(YES, seen)}
                http = door == "http"
                opened = house.http_client(era, tokens["tester"], **more) if http else house.client(door, era, **more)
                async with opened as client:
                    await accepts(house, client, seen, f"{door} {era}")
        rows = await house.items("approvals", "--state", "all")
        assert [(row["state"], row["proof"], row["decided_by"]) for row in rows] == [
            ("used", "client", "client:tester")
        ] * 4
        for era in ERAS:
            with case("declines", era):
                await declines(house, era)
        await counts_once(house)
        assert house.forwarded == [*ran, "note state"]
        for era in ERAS:
            with case("tier high", era):
                await only_opens_its_card(house, era)
        await declines_unread(house)
        assert house.forwarded == [*ran, "note state", *(f"wipe {era}" for era in ERAS)]
    approved, denied, blocked = ("ok", "approved"), ("denied", "approval-denied"), ("blocked", "handle-invalid")
    state = [blocked, approved, blocked, blocked, blocked]
    assert await house.outcomes("note") == [*[approved] * 4, *[denied] * 2, *state]


@pytest.mark.parametrize("era", ERAS)
async def test_a_gateway_of_ones_own_runs_a_call_once_when_the_clients_user_accepts(era: str, house: House) -> None:
    seen: list[str] = []
    async with house.client("standalone", era, elicitation_callback=person(YES, seen)) as client:
        await accepts(house, client, seen, "one")
        (row,) = await house.items("approvals", "--state", "all")
        assert (row["state"], row["proof"], row["decided_by"]) == ("used", "client", "client:tester")
    assert house.forwarded == ["note one"]
    assert await house.outcomes("note") == [("ok", "approved")]


async def goes_on(house: House, era: str) -> None:
    """A held call tells that it waits, and goes on by itself."""
    notices: list[str] = []
    answers: list[Any] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        notices.append(message or "")

    async with house.client("shim", era) as client, anyio.create_task_group() as calls:

        async def wait() -> None:
            answers.append(await client.call_tool("ledger__note", {"text": f"held {era}"}, None, on_progress))

        calls.start_soon(wait)
        await until(lambda: notices)
        approval = await house.waiting()
        assert approval in notices[0]
        assert f"note held {era}" not in house.forwarded
        assert (await house.run("approve", approval)).code == 0
    assert not answers[0].is_error
    assert house.forwarded.count(f"note held {era}") == 1


async def expires(house: House) -> None:
    """An approval that nobody gives expires as denied."""
    async with house.client("shim", "legacy") as client:
        late = await client.call_tool("ledger__note", {"text": "soon"})
        assert late.is_error
        assert reason(late) == "approval-expired"
        approved = await house.run("approve", asked(late))
        assert approved.code == 1


async def tells_why(house: House, era: str) -> None:
    """A reviewer's reason reaches the model."""
    async with house.client("shim", era, name="brief") as client:
        held = await call(client, "ledger__note", {"text": f"denied {era}"})
        assert (await house.run("deny", asked(held), "--reason", "wait for the audit")).code == 0
        denied = await call(client, "ledger__note", {"text": f"denied {era}"})
        assert reason(denied) == "approval-denied"
        assert "wait for the audit" in text(denied)


async def runs_once(house: House, client: Client, words: str) -> None:
    """The same call runs once after it was approved by command."""
    held = await client.call_tool("ledger__note", {"text": words})
    assert held.is_error
    assert reason(held) == "approval-pending"
    assert "expires_at" in (held.meta or {})["dev.wardgate/approval"]
    assert f"note {words}" not in house.forwarded
    assert (await house.run("approve", asked(held))).code == 0
    done = await client.call_tool("ledger__note", {"text": words})
    assert not done.is_error, done
    assert house.forwarded.count(f"note {words}") == 1
    third = await call(client, "ledger__note", {"text": words})
    assert reason(third) == "approval-pending"
    assert asked(third) != asked(held)
    assert house.forwarded.count(f"note {words}") == 1


async def covers_nothing_else(house: House, client: Client, stranger: Client, words: str) -> None:
    """An approval covers neither other arguments nor another client."""
    held = await call(client, "ledger__note", {"text": words})
    assert (await house.run("approve", asked(held))).code == 0
    changed = await call(client, "ledger__note", {"text": f"{words} changed"})
    foreign = await call(stranger, "ledger__note", {"text": words})
    assert reason(changed) == reason(foreign) == "approval-pending"
    assert len({asked(held), asked(changed), asked(foreign)}) == 3
    assert f"note {words}" not in house.forwarded
    assert not (await client.call_tool("ledger__note", {"text": words})).is_error
    assert house.forwarded.count(f"note {words}") == 1


async def test_what_is_decided_by_command_counts_once_and_for_the_call_of_its_client_alone(house: House) -> None:
    async with serving(house) as tokens:
        for era in ERAS:
            with case("waits", era):
                await goes_on(house, era)
        await expires(house)
        for era in ERAS:
            with case("reason", era):
                await tells_why(house, era)
        for door, era in SERVED:
            with case("approved", door, era):
                async with behind(house, door, era, tokens, "brief") as client:
                    await runs_once(house, client, f"{door} {era}")
        for door, era in (("shim", "legacy"), ("http", "legacy"), ("http", "modern")):
            with case("covers", door, era):
                async with (
                    behind(house, door, era, tokens, "brief") as client,
                    behind(house, door, era, tokens, "stranger") as stranger,
                ):
                    await covers_nothing_else(house, client, stranger, f"covered {door} {era}")
        rows = await house.items("approvals", "--state", "all")
        covers = [row["principal"] for row in rows if row["arguments"]["text"].startswith("covered http")]
        assert sorted(covers) == ["client:brief"] * 4 + ["client:stranger"] * 2
    ran = [f"held {era}" for era in ERAS] + [f"{door} {era}" for door, era in SERVED]
    covered = ["covered shim legacy", "covered http legacy", "covered http modern"]
    assert house.forwarded == [f"note {words}" for words in [*ran, *covered]]
    approved, denied, expired = ("ok", "approved"), ("denied", "approval-denied"), ("denied", "approval-expired")
    assert await house.outcomes("note") == [approved, approved, expired, denied, denied, *[approved] * 7]
