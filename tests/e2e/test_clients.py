"""Clients' own command lines list what `connect` wrote, reach the gateway by it, call by it, and get their files back.

They are run without an account, with everything switched off that would call home.
"""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from gateway.clients import files, servers
from gateway.core.clients import CLIENTS as TABLE
from tests.e2e.kit import ALL_READS, DEADLINE, LEDGER, Ended, House, call, reason, stop
from tests.e2e.real import Launch, RealUpstreams

QUIET = {
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "GEMINI_TELEMETRY_ENABLED": "false",
    "GEMINI_CLI_NO_RELAUNCH": "true",
    "NO_COLOR": "1",
    "NO_UPDATE_NOTIFIER": "1",
}
CLIENTS = "".join(f'[clients.{name}]\nowner = "alice@example.com"\n' for name in ("claude-code", "codex", "gemini"))
REAL = Path(pwd.getpwuid(os.getuid()).pw_dir)  # the home folder of who runs the tests
MOVES = {place.moved for client in TABLE.values() for place in client.places if place.moved}
OWNED = 'upstream = "ledger"\nowner = "alice@example.com"\n'

pytestmark = pytest.mark.slow


class Desk(NamedTuple):
    """Somebody's home folder and project, with the ledger registered in their client directly."""

    house: House
    home: Path
    project: Path

    @property
    def server(self) -> Mapping[str, Any]:
        """The ledger, as a client's file names it."""
        return {"command": sys.executable, "args": [str(LEDGER), str(self.house.world / "ledger.txt")]}

    async def run(self, launch: Launch, *words: str) -> Ended:
        """Run a client's command line."""
        return await self._run(launch.command, *launch.args, *words)

    async def wardgate(self, *words: str) -> Ended:
        """Run ours."""
        done = await self._run(self.house.command, *words, "--config", str(self.house.folder))
        assert done.code == 0, done
        return done

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client is run with: a home folder of its own, for clients write into it whatever they are asked."""
        given = {**self.house.environment, **QUIET}
        assert Path(given["HOME"]) == self.home != REAL
        assert not given.keys() & MOVES
        return given

    async def _run(self, *words: str) -> Ended:
        with anyio.fail_after(DEADLINE):
            done = await anyio.run_process(
                list(words), stdin=subprocess.DEVNULL, check=False, env=self.environment, cwd=self.project
            )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def clients(self) -> set[str]:
        """The clients that the gateway has spoken with."""
        return {str(row["client"]) for row in await self.house.items("sessions")}


@pytest.fixture
async def desk(house: House, tmp_path: Path) -> Desk:
    house.configure(house.ledger(), CLIENTS, policies={"ledger": f"{OWNED}{ALL_READS}"})
    project = tmp_path / "project"
    project.mkdir()
    made = Desk(house, Path(house.environment["HOME"]), project)
    async with house.client("shim", "legacy") as client:  # the gateway is up before a client waits for it
        await client.list_tools()
    return made


async def test_claude_code_lists_and_reaches_the_gateway_and_gets_its_servers_back(
    desk: Desk, real_upstreams: RealUpstreams
) -> None:
    claude, file = real_upstreams.claude(), desk.home / ".claude.json"
    file.write_text(json.dumps({"mcpServers": {"mine": {"type": "stdio", **desk.server}}}, indent=2))
    before = await desk.run(claude, "mcp", "list")
    assert (before.code, "mine:" in before.out) == (0, True), before
    await desk.wardgate("connect", "claude-code", "--yes")
    listed = await desk.run(claude, "mcp", "list")
    assert listed.code == 0, listed
    (line,) = [line for line in listed.out.splitlines() if line.startswith("wardgate:")]
    assert "Connected" in line
    assert "mine:" not in listed.out
    got = await desk.run(claude, "mcp", "get", "wardgate")
    assert (got.code, "Connected" in got.out) == (0, True), got
    written = json.loads(file.read_text())
    assert len(written) > 1, "the client wrote nothing of its own"
    await desk.wardgate("disconnect", "claude-code", "--yes")
    left = json.loads(file.read_text())
    assert left == {**written, "mcpServers": {"mine": {"type": "stdio", **desk.server}}}


async def test_gemini_lists_and_reaches_the_gateway(desk: Desk, real_upstreams: RealUpstreams) -> None:
    gemini, folder = real_upstreams.gemini(), desk.home / ".gemini"
    folder.mkdir()
    (folder / "trustedFolders.json").write_text(json.dumps({str(desk.project): "TRUST_FOLDER"}))
    file = folder / "settings.json"
    file.write_text(f'{{\n  // mine\n  "mcpServers": {{ "mine": {json.dumps(desk.server)} }}\n}}\n')
    before = file.read_bytes()
    await desk.wardgate("connect", "gemini", "--yes")
    listed = await desk.run(gemini, "mcp", "list")
    assert listed.code == 0, listed
    said = listed.out + listed.err
    (line,) = [line for line in said.splitlines() if "wardgate:" in line]
    assert "Connected" in line
    assert "mine:" not in said
    await desk.wardgate("disconnect", "gemini", "--yes")
    assert file.read_bytes() == before


def disabled(desk: Desk) -> Mapping[str, bool]:
    """Of each server in a client's file, whether it is read as disabled."""
    found = (server for file in files(desk.environment, desk.project) for server in servers(file, desk.project))
    return {server.name: server.disabled for server in found}


async def test_servers_that_claude_code_and_gemini_keep_from_being_started_are_read_as_disabled(
    house: House, tmp_path: Path, real_upstreams: RealUpstreams
) -> None:
    desk = Desk(house, Path(house.environment["HOME"]), tmp_path / "project")
    claude, gemini = desk.home / ".claude.json", desk.home / ".gemini"
    here = {
        "hasTrustDialogAccepted": True,
        "mcpServers": {"la": desk.server, "lb": desk.server},
        "disabledMcpServers": ["la", "ua", "pd"],
    }
    texts = {
        claude: {"mcpServers": {"ua": desk.server}, "projects": {str(desk.project): here}},
        desk.home / ".claude" / "settings.json": {"disabledMcpjsonServers": ["pa"]},
        desk.project / ".claude" / "settings.json": {"disabledMcpjsonServers": ["pb"]},
        desk.project / ".claude" / "settings.local.json": {
            "disabledMcpjsonServers": ["pc"],
            "enabledMcpjsonServers": ["pd", "pe"],
        },
        desk.project / ".mcp.json": {"mcpServers": dict.fromkeys(("pa", "pb", "pc", "pd", "pe"), desk.server)},
        gemini / "settings.json": {
            "mcpServers": dict.fromkeys(("ga", "gb", "gc"), desk.server),
            "mcp": {"excluded": ["ga", "ha"]},
        },
        gemini / "mcp-server-enablement.json": {"gb": {"enabled": False}, "gc": {"enabled": True}},
        gemini / "trustedFolders.json": {str(desk.project): "TRUST_FOLDER"},
        desk.project / ".gemini" / "settings.json": {
            "mcpServers": dict.fromkeys(("ha", "hb", "hc"), desk.server),
            "mcp": {"excluded": ["hb"]},
        },
    }
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(text))
    read = await anyio.to_thread.run_sync(disabled, desk)
    assert {name for name, off in read.items() if off} == {"la", "pa", "pb", "pc", "pd", "ga", "gb", "ha", "hb"}
    listed = await desk.run(real_upstreams.claude(), "mcp", "list")
    said = [line for line in listed.out.splitlines() if str(LEDGER) in line]
    started = {line.partition(":")[0] for line in said if line.endswith("Connected")}
    assert started == {"lb", "pe"}, listed
    assert started == {name for name, off in read.items() if not off and name[0] in "lp"}
    (line,) = [line for line in said if line.startswith("ua:")]
    assert "Disabled for this project" in line, "and started in others"
    listed = await desk.run(real_upstreams.gemini(), "mcp", "list")
    said = (listed.out + listed.err).splitlines()
    for name in ("ga", "gb", "gc", "ha", "hb", "hc"):
        line = next(line for line in said if f" {name}: " in line)
        assert read[name] == line.endswith(("Blocked", "Disabled")), line


async def test_codex_lists_the_gateway_and_calls_by_it(desk: Desk, real_upstreams: RealUpstreams) -> None:
    codex, folder = real_upstreams.codex(), desk.home / ".codex"
    folder.mkdir()
    file, server = folder / "config.toml", desk.server
    file.write_text(
        "# mine\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n"
        f"[mcp_servers.mine]\ncommand = {json.dumps(server['command'])}\nargs = {json.dumps(server['args'])}\n"
    )
    before = file.read_bytes()
    await desk.wardgate("connect", "codex", "--yes")
    listed = await desk.run(codex, "mcp", "list", "--json")
    assert listed.code == 0, listed
    found = {row["name"]: row for row in json.loads(listed.out)}
    assert {name: row["enabled"] for name, row in found.items()} == {"mine": False, "wardgate": True}
    assert found["wardgate"]["tool_timeout_sec"] == 660
    assert found["wardgate"]["transport"]["args"][:3] == ["stdio", "--client", "codex"]
    got = await desk.run(codex, "mcp", "get", "wardgate")
    assert (got.code, "enabled: true" in got.out) == (0, True), got
    answer = await _called_by_codex(desk, codex, "ledger__look", {"text": "by codex"})
    assert answer["content"][0]["text"] == "look: by codex"
    assert await desk.house.outcomes("look") == [("ok", "tier-default")]
    assert await desk.clients() == {"codex"}
    await desk.wardgate("disconnect", "codex", "--yes")
    assert file.read_bytes() == before


async def _called_by_codex(desk: Desk, codex: Launch, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer to one call that Codex itself makes: no model is asked for it, so no account is needed."""
    words = [codex.command, *codex.args, "app-server"]
    with anyio.fail_after(DEADLINE), desk.house.log() as log:
        process = await anyio.open_process(words, stderr=log, env=desk.environment, cwd=desk.project)
        assert process.stdin is not None
        assert process.stdout is not None
        heard = BufferedByteReceiveStream(process.stdout)

        async def ask(number: int, method: str, **params: Any) -> Any:
            said = json.dumps({"id": number, "method": method, "params": params}) + "\n"
            await process.stdin.send(said.encode())  # type: ignore[union-attr]  # it is there
            while True:
                answer = json.loads(await heard.receive_until(b"\n", 1 << 24))
                if answer.get("id") == number and "method" not in answer:
                    return answer["result"]

        try:
            await ask(1, "initialize", clientInfo={"name": "test", "title": "test", "version": "1"})
            await process.stdin.send(b'{"method": "initialized"}\n')
            thread = (await ask(2, "thread/start"))["thread"]["id"]
            call = {"threadId": thread, "server": "wardgate", "tool": tool, "arguments": arguments}
            return dict(await ask(3, "mcpServer/tool/call", **call))
        finally:
            with anyio.CancelScope(shield=True):
                await stop(process)


async def test_the_inspector_calls_by_the_files_that_were_written(desk: Desk, real_upstreams: RealUpstreams) -> None:
    inspector = real_upstreams.inspector()
    for client, path in (("claude-code", ".claude.json"), ("gemini", ".gemini/settings.json")):
        file = desk.home / path
        await desk.wardgate("connect", client, "--yes")
        words = ["--config", str(file), "--server", "wardgate", "--method", "tools/call", "--tool-name", "ledger__look"]
        called = await desk.run(inspector, *words)
        assert called.code == 0, called
        assert client in await desk.clients()
        await desk.wardgate("disconnect", client, "--yes")
        assert not file.exists()
    assert await desk.house.outcomes("look") == [("ok", "tier-default")] * 2
    assert desk.house.forwarded == ["look"] * 2


async def test_a_file_that_was_connected_is_out_of_reach_wherever_it_stands(house: House, tmp_path: Path) -> None:
    file = tmp_path / "odd" / "config.toml"
    house.configure(house.ledger(), CLIENTS, policies={"ledger": f"{OWNED}{ALL_READS}"})
    house.environment["CODEX_HOME"] = str(file.parent)
    connected = await house.run("connect", "codex", "--yes")
    assert connected.code == 0, connected
    async with house.client("shim", "legacy") as client:
        refused = await call(client, "ledger__note", {"text": str(file)})
        assert reason(refused) == "self-protection"
        passed = await call(client, "ledger__note", {"text": str(file.parent)})
        assert not passed.is_error
