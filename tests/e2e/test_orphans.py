"""No process is left behind, whatever ends the gateway; and a sandbox holds from end to end."""

import os
import signal
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path

from mcp.client.client import Client

from tests.e2e.kit import House, text, until, upstream_table
from tests.upstreams.test_sandbox import PATH, real

# Speaks just enough of the protocol; ends by nothing but SIGKILL, and so does the child that it starts.
STUBBORN = """
import json, os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
subprocess.Popen([sys.executable, "-c", code, __file__], start_new_session=True)
schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
for line in sys.stdin:
    request = json.loads(line)
    params = request.get("params", {})
    if request["method"] == "initialize":
        about = {"name": "stubborn", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about}
    elif request["method"] == "tools/list":
        result = {"tools": [{"name": "read", "inputSchema": schema}]}
    elif request["method"] == "tools/call":
        try:
            said, failed = open(params["arguments"]["path"]).read(), False
        except OSError as problem:
            said, failed = type(problem).__name__, True
        result = {"content": [{"type": "text", "text": said}], "isError": failed}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
while True:
    time.sleep(300)
"""
LABELS = 'upstream = "stubborn"\nowner = "a@example.com"\n[[tool]]\nmatch = "read"\neffect = "read"\n'


def stubborn(house: House, **more: object) -> House:
    """A house whose one upstream doesn't want to end."""
    script = house.world / "program" / "stubborn.py"
    script.parent.mkdir()
    script.write_text(STUBBORN, encoding="utf-8")
    table = upstream_table("stubborn", [sys.executable, str(script)], era="2025-11-25", **more)
    return house.configure(table, policies={"stubborn": LABELS}, locked=False)


def running(house: House) -> list[int]:
    """Everything that runs of the upstream and of the watchdogs' wards."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(house.world / "program").encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def killed(house: House, *clients: AbstractAsyncContextManager[Client], alone: bool = False) -> bool:
    """Kill the gateway of these clients once its upstream runs; whether everything of that ended with it."""
    over = False
    with suppress(Exception):  # what a client makes of a gateway that vanishes is not the matter here
        async with AsyncExitStack() as stack:
            for each in clients:
                await (await stack.enter_async_context(each)).session.list_tools()
            left = await until(lambda: found if len(found := running(house)) == 2 else None)
            house.write("upstreams.toml", "")  # no gateway can start in its place
            os.kill(house.processes("--standalone")[0] if alone else house.gateway(), signal.SIGKILL)
            await until(lambda: not set(left) & set(running(house)))
            over = True
    return over


async def test_kill_9_of_a_gateway_on_its_own_leaves_nothing_of_its_upstreams(house: House) -> None:
    stubborn(house)
    assert await killed(house, house.client("standalone", "legacy"), alone=True)


async def test_kill_9_of_a_gateway_that_a_shim_started_leaves_nothing_of_its_upstreams(house: House) -> None:
    """With a client at each of its doors."""
    stubborn(house)
    token = await house.token()
    assert await killed(house, house.client("shim", "legacy"), house.http_client("legacy", token))


@real
async def test_a_sandboxed_upstream_serves_reads_only_what_it_is_shown_and_leaves_nothing(house: House) -> None:
    (house.world / "shown").mkdir()
    (house.world / "shown" / "file").write_text("shown", encoding="utf-8")
    (house.world / "hidden").write_text("hidden", encoding="utf-8")
    house.environment["PATH"] = PATH
    stubborn(house, sandbox="bwrap", sandbox_read=[str(house.world / "shown")])
    async with house.client("standalone", "legacy") as client:
        for path, said in (("shown/file", "shown"), ("hidden", "FileNotFoundError")):
            answer = await client.session.call_tool("stubborn__read", {"path": str(house.world / path)})
            assert text(answer) == said
        outside = await client.session.call_tool("stubborn__read", {"path": "/etc/shadow"})
        assert text(outside) == "FileNotFoundError"
    await until(lambda: not running(house))


async def test_a_sandbox_that_cannot_be_had_is_told_and_the_program_never_runs(house: House) -> None:
    stubborn(house, sandbox="bwrap")
    tools = house.place / "tools"
    tools.mkdir(mode=0o755)
    (tools / "bwrap").write_text("#!/bin/sh\necho 'no namespaces here' >&2\nexit 1\n", encoding="utf-8")
    (tools / "bwrap").chmod(0o755)
    house.environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    async with house.client("standalone", "legacy") as client:
        assert (await client.session.list_tools()).tools == []
        assert running(house) == []
