"""The record under fire: locked, taken away, its gateway killed in mid-call, tampered with. No record, no call."""

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
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
async def test_a_locked_record_refuses_calls_until_it_is_free_again(house: House) -> None:
    async with house.client("shim", "legacy") as client:
        await until(lambda: house.items("log", "--kind", "catalogue"))  # nothing else waits to be recorded
        with closing(store(house)) as db:
            db.execute("BEGIN EXCLUSIVE")
            refused = await client.call_tool("ledger__stall", {"text": "one"})
            assert refused.is_error
            assert reason(refused) == "record-failed"
            read = await client.call_tool("ledger__look", {"text": "meanwhile"})
            assert reason(read) == "record-failed"
            assert house.forwarded == []
            db.execute("ROLLBACK")
        await until(look_again(client))
    assert "stall one" not in house.forwarded
    assert "look meanwhile" not in house.forwarded
    assert (await house.run("verify")).code == 0


def gone(folder: Path) -> bool:
    """Remove a folder in which somebody else may be writing; whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["removed", "swapped"])
async def test_a_state_folder_that_is_taken_from_a_running_gateway_refuses_writes(how: str, house: House) -> None:
    async with house.client("standalone", "modern") as client:
        assert text(await client.call_tool("ledger__look", {"text": "before"})) == "look: before"
        if how == "removed":
            await until(lambda: gone(house.state))
        else:
            house.state.rename(house.folder / "old")
            shutil.copytree(house.folder / "old", house.state, ignore=NO_SOCKET)
        refused = await client.call_tool("ledger__stall", {"text": "one"})
        assert refused.is_error
        assert reason(refused) == "record-failed"
        read = await client.call_tool("ledger__look", {"text": "after"})
        assert reason(read) == "record-failed"
    assert house.forwarded == ["look before"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_gateway_killed_in_mid_call_is_replaced_and_the_call_is_unknown(era: str, house: House) -> None:
    house.configure(limits='hold = "100ms"')
    answers: list[CallToolResult] = []

    async with house.client("shim", era) as client:

        async def stall() -> None:
            answers.append(await client.call_tool("ledger__stall", {"text": "one"}))

        held = await client.call_tool("ledger__note", {"text": "two"})
        async with anyio.create_task_group() as calls:
            calls.start_soon(stall)
            await until(lambda: "stall one" in house.forwarded)
            os.kill(house.gateway(), signal.SIGKILL)
        (lost,) = answers
        assert lost.is_error
        assert "OUTCOME UNKNOWN" in text(lost)
        assert reason(lost) == "gateway-stopped"
        assert text(await client.call_tool("ledger__look", {"text": "next"})) == "look: next"
        assert await house.outcomes("stall") == [("unknown", "gateway-stopped")]
        assert (await house.run("approve", asked(held))).code == 0  # what waited for a person waits on
        assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error
    assert house.forwarded == ["stall one", "look next", "note two"]
    proven = await house.run("verify")
    assert proven.code == 0, proven.out


@pytest.mark.slow
async def test_a_killed_standalone_gateway_leaves_an_open_intent_that_the_next_start_closes(house: House) -> None:
    with pytest.raises(BaseException):  # noqa: B017, PT012 - how a client says that its server is gone is the SDK's own
        async with house.client("standalone", "legacy") as client, anyio.create_task_group() as calls:
            calls.start_soon(client.call_tool, "ledger__stall", {"text": "one"})
            await until(lambda: "stall one" in house.forwarded)
            (intent,) = await house.items("log", "--kind", "intent")
            assert intent["tool"] == "stall"  # on the disk before it was forwarded
            (pid,) = house.processes("--standalone")
            os.kill(pid, signal.SIGKILL)
    assert await house.outcomes("stall") == []
    async with house.client("standalone", "legacy"):
        assert await until(lambda: house.outcomes("stall")) == [("unknown", "gateway-stopped")]
    assert house.forwarded == ["stall one"]


@pytest.mark.slow
async def test_a_second_gateway_does_not_start_on_the_same_state_folder(house: House) -> None:
    async with house.client("standalone", "legacy") as client:
        for words in (["serve"], ["stdio", "--standalone"]):
            second = await house.run(*words)
            assert second.code == 3
            assert second.out == ""
            assert len(second.err.splitlines()) == 1
        assert text(await client.call_tool("ledger__look", {"text": "fine"})) == "look: fine"


@pytest.mark.slow
async def test_verify_finds_every_kind_of_tampering(house: House) -> None:
    async with house.client("standalone", "modern") as client:
        for word in ("one", "two", "three"):
            await client.call_tool("ledger__look", {"text": word})
    assert (await house.run("verify")).code == 0
    whole = house.place / "whole"
    shutil.copytree(house.state, whole, ignore=NO_SOCKET)
    for tampering in (
        "UPDATE record SET body = replace(body, 'look', 'peek') WHERE seq = 3",
        "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'look', 'peek') AS BLOB) WHERE seq = 3",
        "UPDATE record SET tool = 'peek' WHERE seq = 3",
        "DELETE FROM record WHERE seq = 4",
        "DELETE FROM record WHERE seq = (SELECT max(seq) FROM record)",
    ):
        with closing(store(house)) as db:
            assert db.execute(tampering).rowcount == 1
        found = await house.run("verify")
        assert found.code == 1, tampering
        (row,) = json.loads((await house.run("verify", "--json")).out)["items"]
        assert row["ok"] is False
        shutil.rmtree(house.state)
        shutil.copytree(whole, house.state)
    assert (await house.run("verify")).code == 0


@pytest.mark.slow
async def test_a_call_is_proven_to_somebody_without_the_store_and_checkpoints_elsewhere_outlast_a_cut(
    house: House,
) -> None:
    kept = house.folder / "kept"
    house.configure(house.ledger(), f'[record]\ncheckpoints = [{{ file = "{kept}" }}]\n')
    bundle = house.folder / "bundle.json"
    async with house.client("shim", "modern") as client:
        await client.call_tool("ledger__look", {"text": "one"})
        (outcome, *_) = await house.items("log", "--kind", "outcome")
        assert (await house.run("export", "--proof", outcome["id"], "--output", str(bundle))).code == 0
        proven = await anyio.run_process(
            [sys.executable, "-m", "gateway.proof", str(bundle), "--checkpoint", str(kept)], check=False
        )
        assert proven.returncode == 0, proven.stderr
        assert b"outcome" in proven.stdout
        assert (await house.run("verify", "--against", str(kept))).code == 0
        assert (await house.run("export", "--proof", outcome["id"], "--output", str(bundle))).code == 1  # it is there
        assert (await house.run("export", "--proof", "d_ZZZZZZZZZZ")).code == 1
    with closing(store(house)) as db:
        (size,) = db.execute("SELECT max(seq) FROM record WHERE kind = 'policy'").fetchone()
        db.execute("DELETE FROM record WHERE seq > ?", (size,))
        tree = Tree()
        tree.extend([leaf for (leaf,) in db.execute("SELECT leaf FROM record ORDER BY seq")])
        db.execute("UPDATE head SET size = ?, frontier = ?, root = ?", (tree.size, tree.frontier, tree.root()))
    cut = await house.run("verify", "--against", str(kept))
    assert cut.code == 1
    assert "an older copy" in cut.out
