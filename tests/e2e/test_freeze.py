"""The emergency stop: everything is held at once, for every client, across a restart, until somebody lets it go."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from tests.e2e.kit import LABELS, House, asked, call, reason, text, until, upstream_table

SHELF = Path(__file__).parents[1] / "servers" / "shelf.py"
SHORT = 'hold = "100ms"'
PATIENT = '[clients.patient]\nowner = "alice@example.com"\nhold = "60s"\n'
SHELVED = 'upstream = "shelf"\nowner = "alice@example.com"\n[[tool]]\nmatch = "show"\neffect = "read"\n'
HELD = "NOT EXECUTED - a person holds all such calls for now."


def configure(house: House) -> None:
    """The house before a ledger and a shelf."""
    shelf = upstream_table("shelf", [sys.executable, str(SHELF), str(house.world)])
    house.configure(house.ledger(), shelf, PATIENT, policies={"ledger": LABELS, "shelf": SHELVED}, limits=SHORT)


async def freezes(house: House) -> list[tuple[str, str, str]]:
    """What the record says of freezes, oldest first: state is in `explain`'s story, so kind, upstream and session."""
    rows = await house.items("log", "--kind", "freeze")
    return [(row["upstream"], row["session"], row["tool"]) for row in reversed(rows)]


async def holds_everybody(house: House) -> None:
    """Reads and writes of every client are held at once until thaw, and a grant lapses."""
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
        assert house.forwarded == before == ["look 1", "note granted"]
        (row,) = await house.items("freeze")
        assert (row["upstream"], row["session"], row["note"]) == ("", "", "drill")
        (grant,) = await house.items("grants", "--all")
        assert grant["ended"].startswith("lapsed: frozen by os:")
        assert (await house.run("thaw", "--all")).code == 0
        assert not (await one.call_tool("ledger__look", {"text": "2"})).is_error
        again = await one.call_tool("ledger__note", {"text": "again"})
        assert reason(again) == "approval-pending"
        assert (await house.run("deny", asked(again))).code == 0
    assert set(await house.outcomes("wipe")) == {("blocked", "frozen")}


async def lets_end_what_was_sent(house: House) -> None:
    """A call that was sent before the freeze ends as it would have."""
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
    assert (await house.run("thaw", "shelf")).code == 0


def opened(pipe: Path) -> int:
    """A writer for a pipe that somebody reads; 0 while nobody does."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


async def runs_nothing_that_is_approved(house: House) -> None:
    """A waiting call that is approved while everything is held doesn't run."""
    answers: list[Any] = []
    async with house.client("shim", "legacy", name="patient") as client, anyio.create_task_group() as calls:

        async def note() -> None:
            answers.append(await client.call_tool("ledger__note", {"text": "approved"}))

        calls.start_soon(note)
        approval = await house.waiting()
        assert (await house.run("freeze", "--all")).code == 0
        assert (await house.run("approve", approval)).code == 0
    (answer,) = answers
    assert reason(answer) == "frozen"
    assert "note approved" not in house.forwarded
    assert (await house.run("thaw", "--all")).code == 0


async def holds_one_session(house: House, one: Client, two: Client, sessions: Mapping[str, str]) -> None:
    """One session is held, and the other goes on."""
    assert (await house.run("freeze", sessions["tester"][:8])).code == 0
    assert reason(await one.call_tool("ledger__look", {"text": "held"})) == "frozen"
    assert not (await two.call_tool("ledger__look", {"text": "goes on"})).is_error
    assert (await house.run("thaw", sessions["other"])).code == 1
    assert (await house.run("thaw", sessions["tester"])).code == 0
    assert not (await one.call_tool("ledger__look", {"text": "let go"})).is_error


async def bars_the_tool(house: House, one: Client, two: Client, session: str) -> None:
    """A denial that bars the tool bars it for that session alone."""
    held = asked(await one.call_tool("ledger__note", {"text": "one"}))
    assert (await house.run("deny", held, "--bar", "--reason", "not today")).code == 0
    barred = await one.call_tool("ledger__note", {"text": "two"})
    assert reason(barred) == "tool-barred"
    assert text(barred).startswith("NOT EXECUTED - refused by policy")
    assert "The reviewer's reason: not today." in text(barred)
    assert reason(await one.call_tool("ledger__wipe", {"text": "x"})) == "approval-pending"
    assert not (await one.call_tool("ledger__look", {"text": "x"})).is_error
    assert reason(await two.call_tool("ledger__note", {"text": "two"})) == "approval-pending"
    (row,) = await house.items("freeze")
    assert (row["upstream"], row["tool"], row["session"]) == ("ledger", "note", session)
    assert (await house.run("thaw", row["session"])).code == 0
    assert reason(await one.call_tool("ledger__note", {"text": "two"})) == "approval-pending"


@pytest.mark.slow
async def test_a_freeze_holds_everything_an_upstream_or_a_session_at_once_until_thaw(house: House) -> None:
    configure(house)
    async with house.serving():
        await holds_everybody(house)
        await lets_end_what_was_sent(house)
        await runs_nothing_that_is_approved(house)
        before = {row["session"] for row in await house.items("sessions")}
        async with house.client("shim", "legacy") as one, house.client("shim", "legacy", name="other") as two:
            for client in (one, two):
                assert not (await client.call_tool("ledger__look", {"text": "both"})).is_error

            async def both() -> dict[str, str]:
                rows = [row for row in await house.items("sessions") if row["session"] not in before]
                return {row["client"]: row["session"] for row in rows} if len(rows) == 2 else {}

            sessions = await until(both)
            await holds_one_session(house, one, two, sessions)
            await bars_the_tool(house, one, two, sessions["tester"])
    looked = ["1", "granted", "2", "both", "both", "goes on", "let go", "x"]
    assert [line.partition(" ")[2] for line in house.forwarded] == looked
    everything, session = ("", "", ""), ("", sessions["tester"], "")
    barred = ("ledger", sessions["tester"], "note")
    assert await freezes(house) == [
        *[everything] * 2,
        *[("shelf", "", "")] * 2,
        *[everything] * 2,
        *[session] * 2,
        *[barred] * 2,
    ]


@pytest.mark.slow
async def test_freezes_and_grants_outlive_the_gateway_and_a_grant_lapses_with_the_labels(house: House) -> None:
    configure(house)
    token = await house.token()
    async with house.serving(), house.http_client("legacy", token) as client:
        assert not (await client.call_tool("ledger__look", {"text": "1"})).is_error
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        assert (await house.run("approve", held, "--pattern")).code == 0
        assert (await house.run("freeze", "shelf")).code == 0
    async with house.serving(), house.http_client("legacy", token) as client:
        assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error
        assert reason(await client.call_tool("shelf__show", {"name": "plan"})) == "frozen"
        assert (await house.run("thaw", "shelf")).code == 0
        assert not (await client.call_tool("shelf__show", {"name": "plan"})).is_error
    house.write("policies/ledger.toml", LABELS.replace('inert = ["text"]', 'sinks = { text = "text" }'))
    await house.consent()
    async with house.serving(), house.http_client("legacy", token) as client:
        assert reason(await client.call_tool("ledger__note", {"text": "three"})) == "approval-pending"
        assert not (await client.call_tool("ledger__look", {"text": "2"})).is_error
    alone = await house.run("freeze", "--all")
    assert alone.code == 0
    assert "no gateway runs" in alone.err
    async with house.serving(), house.http_client("legacy", token) as client:
        assert reason(await client.call_tool("ledger__look", {"text": "3"})) == "frozen"
    assert house.forwarded == ["look 1", "note two", "look 2"]
    (proven,) = await house.items("verify")
    assert proven["ok"] is True


@pytest.mark.slow
async def test_a_broken_configuration_stops_neither_a_freeze_nor_a_denial(house: House) -> None:
    configure(house)
    config = house.folder / "upstreams.toml"
    good = config.read_text(encoding="utf-8")
    async with house.serving(), house.http_client("legacy", await house.token()) as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        house.write("upstreams.toml", f"{good}[upstreams.new\n")
        assert not (await client.call_tool("ledger__look", {"text": "still served"})).is_error
        frozen = await house.run("freeze", "--all")
        assert (frozen.code, frozen.out) == (0, "held: everything; `wardgate thaw` lets it go\n")
        (said,) = frozen.err.splitlines()
        assert str(house.state) in said
        assert reason(await client.call_tool("ledger__look", {"text": "held"})) == "frozen"
        assert (await house.run("deny", held)).code == 0
        for words in (("approvals",), ("console",), ("sessions",), ("log",), ("thaw", "--all")):
            ended = await house.run(*words)
            assert (ended.code, ended.err.count("\n")) == (0, 1), ended
        told = await house.run("doctor", "--offline")
        assert told.code == 1
        assert "upstreams.toml" in told.out
        assert "it broke" not in told.out
        config.unlink()
        assert (await house.run("freeze", "--all")).code == 1  # another place than the platform's: nothing is guessed
        house.write("upstreams.toml", good)
    assert house.forwarded == ["look still served"]
