"""Gateways come and go: a newer shim takes over, a stop is a stop, bytes are relayed where pipes can not be passed."""

import json
import os
import signal
import socket
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from gateway.place import socket_address
from tests.e2e.kit import ERAS, MODES, House, text, until, wire


def greet_as(house: House, version: str) -> dict[str, Any]:
    """Say hello on the control socket as a shim of some version, and return the first thing that is said back."""
    folder = os.open(house.state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(socket_address(house.state, folder))
            link.sendall(json.dumps({"op": "attach", "version": version, "client": "tester"}).encode() + b"\n")
            said = link.makefile("rb").readline()
    finally:
        os.close(folder)
    return dict(json.loads(said))


@pytest.mark.slow
async def test_a_newer_shim_makes_the_gateway_hand_its_clients_over(house: House) -> None:
    async with house.client("shim", "legacy") as legacy, house.client("shim", "modern", name="other") as modern:
        for client in (legacy, modern):
            assert text(await client.call_tool("ledger__look", {"text": "one"}))
        before = house.gateway()
        assert greet_as(house, "99.0.0") == {"handover": True}
        await until(lambda: house.gateway() != before)
        for client in (legacy, modern):
            assert text(await client.call_tool("ledger__look", {"text": "two"}))
        await until(lambda: before not in house.processes("serve"))
    assert house.forwarded == ["look one", "look one", "look two", "look two"]
    rows = await house.items("log", "--tool", "look")
    assert len({(row["client"], row["session"]) for row in rows}) == len({row["client"] for row in rows}) == 2


async def is_relayed(house: House, era: str) -> None:
    """Bytes are relayed where descriptors can't be passed."""
    words = house.stdio("--relay")
    parameters = StdioServerParameters(command=words[0], args=words[1:], env=house.environment)
    with house.log() as log:
        async with Client(stdio_client(parameters, log), mode=MODES[era], cache=None) as client:
            assert text(await client.call_tool("ledger__look", {"text": era + "x" * 300_000}))
    assert sum(line.startswith(f"look {era}") for line in house.forwarded) == 1, era


@pytest.mark.slow
async def test_shims_that_open_together_start_one_gateway_and_a_stop_is_a_stop(house: House) -> None:
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(wire(house)) for _ in range(6)]
        async with anyio.create_task_group() as tasks:
            for pipes in opened:
                tasks.start_soon(pipes.greet, "legacy")
        assert len(house.processes("serve")) == 1
        assert greet_as(house, "0.0.1")["bye"] == 3  # a shim without its pipes is told so
        for era in ERAS:
            await is_relayed(house, era)
        os.kill(house.gateway(), signal.SIGTERM)
        for pipes in opened:
            with_code = await until(
                lambda each=pipes: each.process.returncode is not None and [each.process.returncode]
            )
            assert with_code == [0]
        await until(lambda: not house.processes("serve"))
    assert not (house.state / "gateway.json").exists()  # its pid may be another program's soon
    assert len(house.forwarded) == 2
    log = (house.state / "gateway.log").read_text(encoding="utf-8")
    assert log.count(" listens on ") == 1
