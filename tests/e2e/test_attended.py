"""Tools that a person is asked about say so in the list, by the rules that count now and for the client that asks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp_types import ToolListChangedNotification

from tests.e2e.kit import DEADLINE, LABELS, PATIENCE, House
from tests.e2e.real import Launch, RealUpstreams
from tests.e2e.test_clients import QUIET

MODEL = Path(__file__).parents[1] / "servers" / "model.py"

KEY = "anthropic/requiresUserInteraction"
ASKS = '[[rule]]\nid = "ledger.asks"\ntools = "look"\nclients = ["tester"]\ndecide = "ask"\n'


async def marked(client: Client) -> set[str]:
    """The tools that carry the key."""
    tools = (await client.list_tools()).tools
    assert all(tool.meta is None or tool.meta == {KEY: True} for tool in tools)
    return {tool.name.removeprefix("ledger__") for tool in tools if tool.meta}


@pytest.mark.slow
async def test_a_tool_that_is_asked_about_says_so_until_the_rules_are_others(house: House) -> None:
    changed = anyio.Event()

    async def hear(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    async with house.serving():
        token, other = await house.token(), await house.token("other")
        async with house.http_client("legacy", token, message_handler=hear) as client:
            assert await marked(client) == {"note", "wipe"}  # neither reads nor what a rule allows
            changed = anyio.Event()
            house.write("policies/ledger.toml", LABELS + ASKS)
            with anyio.fail_after(PATIENCE):
                await changed.wait()
            assert await marked(client) == {"look", "note", "wipe"}
            async with house.http_client("modern", other) as apart:
                assert await marked(apart) == {"note", "wipe"}


@contextmanager
def a_model(*tools: str) -> Iterator[str]:
    """The address of a model that calls these tools, one after the other."""
    with subprocess.Popen([sys.executable, str(MODEL), *tools], stdout=subprocess.PIPE) as model:
        try:
            assert model.stdout is not None
            yield f"http://127.0.0.1:{int(model.stdout.readline())}"
        finally:
            model.kill()


async def told_to_go_on(house: House, claude: Launch, *trusting: str) -> list[str]:
    """Claude Code calls a tool that is asked about and one that isn't; returns the tools that it was denied."""
    server, project = house.stdio(), house.place / "project"
    project.mkdir(exist_ok=True)
    servers = {"mcpServers": {"w": {"command": server[0], "args": server[1:]}}}
    words = ["-p", "go on", "--output-format", "json", "--strict-mcp-config", "--mcp-config", json.dumps(servers)]
    with a_model("mcp__w__ledger__note", "mcp__w__ledger__look") as model, anyio.fail_after(DEADLINE):
        own = {"ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": "made-up", "ENABLE_TOOL_SEARCH": "false"}
        done = await anyio.run_process(
            [claude.command, *claude.args, *words, *trusting],
            stdin=subprocess.DEVNULL,
            check=False,
            env={**house.environment, **QUIET, **own, "IS_SANDBOX": "1", "MCP_TIMEOUT": "60000"},
            cwd=project,
        )
    return [denied["tool_name"] for denied in json.loads(done.stdout)["permission_denials"]]


@pytest.mark.slow
@pytest.mark.may_block(reason="the test itself starts a program and waits for its port")
async def test_claude_code_lets_no_call_of_such_a_tool_pass_by_itself_whatever_it_was_told(
    house: House, real_upstreams: RealUpstreams
) -> None:
    claude = real_upstreams.claude()
    async with house.serving():
        for trusting in (["--allowedTools", "mcp__w"], ["--dangerously-skip-permissions"]):
            assert await told_to_go_on(house, claude, *trusting) == ["mcp__w__ledger__note"], trusting
    assert house.forwarded == ["look hi"] * 2
