"""Reading the record beside a gateway that runs: words, the index that may be left off, following over a restart."""

import json
import os
import signal
import subprocess

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.e2e.kit import PATIENCE, House, until


@pytest.mark.slow
async def test_words_are_found_with_and_without_an_index(house: House) -> None:
    index = house.state / "search.db"
    async with house.client("shim", "modern") as client:
        await client.call_tool("ledger__look", {"text": "Zanzibar"})
        await until(lambda: house.outcomes("look"))
        rows = await house.items("log", "--text", "zanz look")
        assert "intent" in {row["kind"] for row in rows}
        assert await house.items("log", "--text", "anzibar") == []
        assert await house.items("log", "--text", "zanzibar", "--as", "os:nobody-else") == []
        await until(index.exists)
        assert index.stat().st_mode & 0o777 == 0o600
    house.close()
    assert len(await house.items("log", "--text", "zanzibar")) == len(rows)
    (session,) = await house.items("sessions")
    assert (session["client"], session["calls"]) == ("tester", 1)
    house.configure(house.ledger(), "[record]\nsearch = false\n")
    async with house.client("shim", "modern"):
        await until(lambda: not index.exists())
    assert len(await house.items("log", "--text", "zanzibar")) == len(rows)


@pytest.mark.slow
async def test_the_record_is_followed_over_a_restart_of_the_gateway(house: House) -> None:
    async with house.client("shim", "modern") as client:
        await client.call_tool("ledger__look", {"text": "one"})
    words = [house.command, "log", "-f", "--json", "--kind", "outcome", "--config", str(house.folder)]
    process = await anyio.open_process(words, stdin=subprocess.DEVNULL, env=house.environment)
    try:
        with anyio.fail_after(PATIENCE * 3):
            assert process.stdout is not None
            lines = BufferedByteReceiveStream(process.stdout)
            seen = json.loads(await lines.receive_until(b"\n", 1 << 16))
            assert seen["tool"] == "look"
            os.kill(house.gateway(), signal.SIGKILL)
            async with house.client("shim", "modern") as client:
                await client.call_tool("ledger__look", {"text": "two"})
                assert json.loads(await lines.receive_until(b"\n", 1 << 16))["seq"] > seen["seq"]
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
