"""The emergency stop: everything is held at once, for every client, across a restart, until somebody lets it go."""

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.e2e.kit import House, asked, call, reason, text, until, upstream_table

SHELF = Path(__file__).parents[1] / "servers" / "shelf.py"
SHORT = 'hold = "100ms"'
HELD = "NOT EXECUTED - a person holds all such calls for now."


async def freezes(house: House) -> list[tuple[str, str, str]]:
    """What the record says of freezes, oldest first: state is in `explain`'s story, so kind, upstream and session."""
    rows = await house.items("log", "--kind", "freeze")
    return [(row["upstream"], row["session"], row["tool"]) for row in reversed(rows)]


@pytest.mark.slow
async def test_freeze_holds_reads_and_writes_of_every_client_at_once_until_thaw(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as one, house.client("shim", "modern", name="other") as two:
        assert not (await one.call_tool("ledger__look", {"text": "1"})).is_error
        held = asked(await one.call_tool("ledger__note", {"text": "granted"}))
        assert (await house.run("approve", held, "--pattern")).code == 0
        assert not (await one.call_tool("ledger__note", {"text": "granted"})).is_error
        before = house.forwarded
        frozen = await house.run("freeze", "--all", "--reason", "drill")
        assert (frozen.code, frozen.out) == (0, "held: everything; `wardgate thaw` lets it go\n")
        for client in (one, two):
            for tool in ("ledger__look", "ledger__note", "ledger__wipe"):
                refused = await call(client, tool, {"text": "x"})
                assert refused.is_error
                assert reason(refused) == "frozen"
                assert text(refused).startswith(HELD)
        assert house.forwarded == before
        (row,) = await house.items("freeze")
        assert (row["upstream"], row["session"], row["note"]) == ("", "", "drill")
        (grant,) = await house.items("grants", "--all")
        assert grant["ended"].startswith("lapsed: frozen by os:")
        assert (await house.run("thaw", "--all")).code == 0
        assert not (await one.call_tool("ledger__look", {"text": "2"})).is_error
        assert reason(await one.call_tool("ledger__note", {"text": "again"})) == "approval-pending"
    assert await freezes(house) == [("", "", "")] * 2
    assert set(await house.outcomes("wipe")) == {("blocked", "frozen")}


@pytest.mark.slow
async def test_a_call_that_was_sent_before_the_freeze_ends_as_it_would_have(house: House) -> None:
    shelf = upstream_table("shelf", [sys.executable, str(SHELF), str(house.world)])
    labels = 'upstream = "shelf"\nowner = "alice@example.com"\n[[tool]]\nmatch = "show"\neffect = "read"\n'
    house.configure(shelf, policies={"shelf": labels})
    pipe = house.world / "pipe"
    os.mkfifo(pipe)  # who shows it waits until somebody writes
    answers: list[Any] = []
    async with house.client("shim", "legacy") as client, anyio.create_task_group() as calls:

        async def show() -> None:
            answers.append(await client.call_tool("shelf__show", {"name": "pipe"}))

        calls.start_soon(show)
        writer = await until(lambda: opened(pipe))
        assert (await house.run("freeze", "shelf")).code == 0
        assert reason(await client.call_tool("shelf__show", {"name": "other"})) == "frozen"
        assert answers == []
        os.write(writer, b"late")
        os.close(writer)
    (answer,) = answers
    assert (answer.is_error, text(answer)) == (False, "late")
    assert sorted(await house.outcomes("show")) == [("blocked", "frozen"), ("ok", "tier-default")]


def opened(pipe: Path) -> int:
    """A writer for a pipe that somebody reads; 0 while nobody does."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


@pytest.mark.slow
async def test_a_freeze_outlives_the_gateway_and_works_without_one(house: House) -> None:
    house.configure(limits=SHORT)
    token = await house.token()
    async with house.serving(), house.http_client("legacy", token) as client:
        assert not (await client.call_tool("ledger__look", {"text": "1"})).is_error
        assert (await house.run("freeze", "ledger")).code == 0
    async with house.serving(), house.http_client("legacy", token) as client:
        assert reason(await client.call_tool("ledger__look", {"text": "2"})) == "frozen"
        assert (await house.run("thaw", "ledger")).code == 0
        assert not (await client.call_tool("ledger__look", {"text": "3"})).is_error
    alone = await house.run("freeze", "--all")
    assert alone.code == 0
    assert "no gateway runs" in alone.err
    async with house.serving(), house.http_client("legacy", token) as client:
        assert reason(await client.call_tool("ledger__look", {"text": "4"})) == "frozen"
    assert house.forwarded == ["look 1", "look 3"]
    (proven,) = await house.items("verify")
    assert proven["ok"] is True


@pytest.mark.slow
async def test_one_session_is_held_and_the_other_goes_on(house: House) -> None:
    async with house.client("shim", "legacy") as one, house.client("shim", "legacy", name="other") as two:
        for client in (one, two):
            assert not (await client.call_tool("ledger__look", {"text": "1"})).is_error
        sessions = {row["client"]: row["session"] for row in await until(lambda: _both(house))}
        assert (await house.run("freeze", sessions["tester"][:8])).code == 0
        assert reason(await one.call_tool("ledger__look", {"text": "2"})) == "frozen"
        assert not (await two.call_tool("ledger__look", {"text": "2"})).is_error
        assert (await house.run("thaw", sessions["other"])).code == 1
        assert (await house.run("thaw", sessions["tester"])).code == 0
        assert not (await one.call_tool("ledger__look", {"text": "3"})).is_error


async def _both(house: House) -> list[dict[str, Any]]:
    rows = await house.items("sessions")
    return rows if len(rows) == 2 else []


@pytest.mark.slow
async def test_a_waiting_call_that_is_approved_while_everything_is_held_does_not_run(house: House) -> None:
    answers: list[Any] = []
    async with house.client("shim", "legacy") as client, anyio.create_task_group() as calls:

        async def note() -> None:
            answers.append(await client.call_tool("ledger__note", {"text": "one"}))

        calls.start_soon(note)
        approval = await house.waiting()
        assert (await house.run("freeze", "--all")).code == 0
        assert (await house.run("approve", approval)).code == 0
    (answer,) = answers
    assert reason(answer) == "frozen"
    assert house.forwarded == []


@pytest.mark.slow
async def test_a_denial_that_bars_the_tool_bars_it_for_that_session_alone(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as one, house.client("shim", "legacy", name="other") as two:
        held = asked(await one.call_tool("ledger__note", {"text": "one"}))
        assert (await house.run("deny", held, "--bar", "--reason", "not today")).code == 0
        barred = await one.call_tool("ledger__note", {"text": "two"})
        assert reason(barred) == "tool-barred"
        assert text(barred).startswith("NOT EXECUTED - refused by policy")
        assert reason(await one.call_tool("ledger__wipe", {"text": "x"})) == "approval-pending"
        assert not (await one.call_tool("ledger__look", {"text": "x"})).is_error
        assert reason(await two.call_tool("ledger__note", {"text": "two"})) == "approval-pending"
        (row,) = await house.items("freeze")
        assert (row["upstream"], row["tool"]) == ("ledger", "note")
        assert (await house.run("thaw", row["session"])).code == 0
        assert reason(await one.call_tool("ledger__note", {"text": "two"})) == "approval-pending"
    assert house.forwarded == ["look x"]
