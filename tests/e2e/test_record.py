"""The record under fire: locked, taken away, its gateway killed in mid-call, tampered with. No record, no call."""

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp_types import CallToolResult

from gateway.core.merkle import Tree
from tests.e2e.kit import ERAS, House, asked, reason, text, until

NO_SOCKET = shutil.ignore_patterns("*.sock")


def store(house: House) -> sqlite3.Connection:
    """The record's own file, opened behind the gateway's back."""
    files = [path for path in house.state.iterdir() if path.is_file()]
    (file,) = [path for path in files if path.name == "record.db"]
    return sqlite3.connect(file, isolation_level=None)


def look_again(client: Client) -> Callable[[], Any]:
    """A claim for `until`: a read works."""

    async def works() -> bool:
        return not (await client.call_tool("ledger__look", {"text": "again"})).is_error

    return works


@pytest.mark.slow
async def test_a_locked_record_refuses_calls_and_a_gateway_killed_in_mid_call_is_replaced(house: House) -> None:
    house.configure(limits='hold = "100ms"')
    async with AsyncExitStack() as stack:
        clients = {era: await stack.enter_async_context(house.client("shim", era)) for era in ERAS}
        await until(lambda: house.items("log", "--kind", "catalogue"))  # nothing else waits to be recorded
        await locked(house, clients)
        await killed(house, clients)
    proven = await house.run("verify")
    assert proven.code == 0, proven.out


async def locked(house: House, clients: Mapping[str, Client]) -> None:
    """While somebody else holds the record, nothing is forwarded; then calls work again."""
    with closing(store(house)) as db:
        db.execute("BEGIN EXCLUSIVE")
        for era, client in clients.items():
            refused = await client.call_tool("ledger__stall", {"text": "locked"})
            assert refused.is_error, era
            assert reason(refused) == "record-failed", era
            read = await client.call_tool("ledger__look", {"text": "locked"})
            assert reason(read) == "record-failed", era
        assert house.forwarded == []
        db.execute("ROLLBACK")
    for client in clients.values():
        await until(look_again(client))
    assert set(house.forwarded) == {"look again"}


async def killed(house: House, clients: Mapping[str, Client]) -> None:
    """The calls that a kill cuts off are unknown, and the next gateway goes on with all that waited."""
    answers: dict[str, CallToolResult] = {}

    async def stall(era: str) -> None:
        answers[era] = await clients[era].call_tool("ledger__stall", {"text": era})

    held = {era: await client.call_tool("ledger__note", {"text": era}) for era, client in clients.items()}
    before = len(house.forwarded)
    async with anyio.create_task_group() as calls:
        for era in clients:
            calls.start_soon(stall, era)
        await until(lambda: len(house.forwarded) == before + len(clients))
        os.kill(house.gateway(), signal.SIGKILL)
    for era, client in clients.items():
        assert answers[era].is_error, era
        assert "OUTCOME UNKNOWN" in text(answers[era]), era
        assert reason(answers[era]) == "gateway-stopped", era
        assert text(await client.call_tool("ledger__look", {"text": era})) == f"look: {era}"
    ended = await house.outcomes("stall")
    assert [each for each in ended if each[1] != "record-failed"] == [("unknown", "gateway-stopped")] * len(clients)
    for era, client in clients.items():  # what waited for a person waits on
        assert (await house.run("approve", asked(held[era]))).code == 0, era
        assert not (await client.call_tool("ledger__note", {"text": era})).is_error, era
    stalled, others = house.forwarded[before:][: len(clients)], house.forwarded[before:][len(clients) :]
    assert set(stalled) == {f"stall {era}" for era in clients}
    assert others == [*(f"look {era}" for era in clients), *(f"note {era}" for era in clients)]


def gone(folder: Path) -> bool:
    """Remove a folder in which somebody else may be writing; whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


async def taken(house: House, client: Client, how: str) -> None:
    """Take the state folder from a gateway that runs; it forwards nothing any more."""
    before = house.forwarded
    assert text(await client.call_tool("ledger__look", {"text": how})) == f"look: {how}"
    if how == "removed":
        await until(lambda: gone(house.state))
    else:
        house.state.rename(house.folder / "old")
        shutil.copytree(house.folder / "old", house.state, ignore=NO_SOCKET)
    for tool in ("stall", "look"):
        refused = await client.call_tool(f"ledger__{tool}", {"text": "after"})
        assert refused.is_error, (how, tool)
        assert reason(refused) == "record-failed", (how, tool)
    assert house.forwarded == [*before, f"look {how}"], how


@pytest.mark.slow
async def test_a_killed_standalone_gateway_leaves_an_open_intent_and_one_without_its_state_folder_refuses(
    house: House,
) -> None:
    with pytest.raises(BaseException):  # noqa: B017, PT012 - how a client says that its server is gone is the SDK's own
        async with house.client("standalone", "legacy") as client:
            await no_second_one_starts(house, client)
            async with anyio.create_task_group() as calls:
                calls.start_soon(client.call_tool, "ledger__stall", {"text": "one"})
                await until(lambda: "stall one" in house.forwarded)
                intents = await house.items("log", "--kind", "intent", "--tool", "stall")
                assert len(intents) == 1  # on the disk before it was forwarded
                (pid,) = house.processes("--standalone")
                os.kill(pid, signal.SIGKILL)
    assert await house.outcomes("stall") == []
    async with house.client("standalone", "modern") as client:
        assert await until(lambda: house.outcomes("stall")) == [("unknown", "gateway-stopped")]
        assert house.forwarded.count("stall one") == 1
        await taken(house, client, "swapped")
    async with house.client("standalone", "modern") as client:
        await taken(house, client, "removed")


async def no_second_one_starts(house: House, client: Client) -> None:
    """A state folder is one gateway's."""
    for words in (["serve"], ["stdio", "--standalone"]):
        second = await house.run(*words)
        assert second.code == 3, words
        assert second.out == "", words
        assert len(second.err.splitlines()) == 1, words
    assert text(await client.call_tool("ledger__look", {"text": "fine"})) == "look: fine"


async def check_tampering(house: House) -> None:
    """Every kind is found; the record is whole again after it."""
    assert (await house.run("verify")).code == 0
    whole = house.place / "whole"
    shutil.copytree(house.state, whole, ignore=NO_SOCKET)
    with closing(store(house)) as db:
        ((row,),) = db.execute("SELECT min(seq) FROM record WHERE kind = 'outcome' AND tool = 'look'")
    for tampering in (
        f"UPDATE record SET body = replace(body, 'look', 'peek') WHERE seq = {row}",
        f"UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'look', 'peek') AS BLOB) WHERE seq = {row}",
        f"UPDATE record SET tool = 'peek' WHERE seq = {row}",
        f"DELETE FROM record WHERE seq = {row}",
        "DELETE FROM record WHERE seq = (SELECT max(seq) FROM record)",
    ):
        with closing(store(house)) as db:
            assert db.execute(tampering).rowcount == 1
        found = await house.run("verify", "--json")
        assert found.code == 1, tampering
        (told,) = json.loads(found.out)["items"]
        assert told["ok"] is False, tampering
        shutil.rmtree(house.state)
        shutil.copytree(whole, house.state)


@pytest.mark.slow
async def test_a_call_is_proven_without_the_store_and_every_tampering_and_cut_is_found(house: House) -> None:
    kept = house.folder / "kept"
    house.configure(house.ledger(), f'[record]\ncheckpoints = [{{ file = "{kept}" }}]\n')
    bundle = house.folder / "bundle.json"
    async with house.client("shim", "modern") as client:
        for word in ("one", "two", "three"):
            await client.call_tool("ledger__look", {"text": word})
        (outcome, *_) = await house.items("log", "--kind", "outcome")
        assert (await house.run("export", "--proof", outcome["id"], "--output", str(bundle))).code == 0
        proven = await anyio.run_process(
            [sys.executable, "-m", "gateway.proof", str(bundle), "--checkpoint", str(kept)], check=False
        )
        assert proven.returncode == 0, proven.stderr
        assert b"outcome" in proven.stdout
        assert (await house.run("export", "--proof", outcome["id"], "--output", str(bundle))).code == 1  # it is there
        assert (await house.run("export", "--proof", "d_ZZZZZZZZZZ")).code == 1
    house.close()
    await check_tampering(house)
    assert (await house.run("verify", "--against", str(kept))).code == 0
    with closing(store(house)) as db:
        (size,) = db.execute("SELECT max(seq) FROM record WHERE kind = 'policy'").fetchone()
        db.execute("DELETE FROM record WHERE seq > ?", (size,))
        tree = Tree()
        tree.extend([leaf for (leaf,) in db.execute("SELECT leaf FROM record ORDER BY seq")])
        db.execute("UPDATE head SET size = ?, frontier = ?, root = ?", (tree.size, tree.frontier, tree.root()))
    cut = await house.run("verify", "--against", str(kept))
    assert cut.code == 1
    assert "an older copy" in cut.out
