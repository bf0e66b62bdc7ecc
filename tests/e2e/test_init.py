"""From the files of clients to a guarded call: `wardgate init` before the real servers, then a client of the SDK."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from tests.cli.ptys import terminal
from tests.e2e.kit import House, reason, text
from tests.e2e.real import Launch, RealUpstreams

NAMED = Path(__file__).parents[1] / "servers" / "named.py"


def entry(launch: Launch, **more: Any) -> dict[str, Any]:
    """A server as clients write it down."""
    return {"command": launch.command, "args": launch.args, "env": dict(launch.env), **more}


def furnish(house: House, real: RealUpstreams) -> Path:
    """A home folder whose clients start the real servers, and no configuration; returns the repository."""
    home, repository = house.place / "home", house.world / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True, stdin=subprocess.DEVNULL)
    (repository / "notes.txt").write_text("buy milk", encoding="utf-8")
    files = {
        ".claude.json": {"numStartups": 7, "mcpServers": {"files": entry(real.filesystem(repository), type="stdio")}},
        ".cursor/mcp.json": {
            "mcpServers": {
                "files": entry(real.filesystem(repository)),
                "memory": entry(real.memory(house.world / "graph.jsonl")),
                "time": entry(real.time()),
            }
        },
        ".config/Code/User/mcp.json": {
            "servers": {
                "git": entry(real.git(repository)),
                "everything": {**entry(real.everything()), "env": {"OPENAI_API_KEY": "sk-" + "aB3" * 12}},
            }
        },
    }
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    house.environment |= {"HOME": str(home), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        house.environment.pop(name, None)
    shutil.rmtree(house.folder)
    return repository


@pytest.mark.slow
async def test_what_clients_start_is_guarded_after_one_command(house: House, real_upstreams: RealUpstreams) -> None:
    repository = furnish(house, real_upstreams)
    done = await house.run("init", "--yes", "--deadline", "60s")
    assert done.code == 0, done
    checked = await house.run("check")
    assert (checked.code, checked.out.strip()) == (0, "no problems found")
    played = await house.run("policy", "test")
    assert played.code == 0, played
    listen(house, '\n[limits]\nhold = "100ms"\n')
    async with house.serving(), house.client("shim", "legacy") as client:
        names = {tool.name.partition("__")[0] for tool in (await client.list_tools()).tools}
        assert names == {"files", "memory", "time", "git", "everything"}
        notes = {"path": str(repository / "notes.txt")}
        assert "buy milk" in text(await client.call_tool("files__read_text_file", notes))
        assert not (await client.call_tool("time__get_current_time", {"timezone": "UTC"})).is_error
        write = {**notes, "content": "x"}
        assert reason(await client.call_tool("files__write_file", write)) == "approval-pending"
        commit = {"repo_path": str(repository), "message": "m"}
        assert reason(await client.call_tool("git__git_commit", commit)) == "approval-pending"
        locked = await house.run("lock", "--check")
        assert locked.code == 0, locked
    assert (repository / "notes.txt").read_text(encoding="utf-8") == "buy milk"
    again = await house.run("init", "--yes")
    assert (again.code, "nothing to do" in again.out) == (0, True)


def write_servers(house: House, *names: str) -> None:
    """Servers of the user's own in Claude Code, each with tools of its own name."""
    servers = {name: {"command": sys.executable, "args": [str(NAMED), f"get_{name}", f"add_{name}"]} for name in names}
    (house.place / "home").mkdir(exist_ok=True)
    (house.place / "home" / ".claude.json").write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")


def listen(house: House, more: str = "") -> None:
    """Have the gateway listen where nobody else does."""
    file = house.folder / "upstreams.toml"
    gateway = f'[gateway]\nlisten = "127.0.0.1:{house.port}"'
    file.write_text(file.read_text(encoding="utf-8").replace("[gateway]", gateway) + more, encoding="utf-8")


async def answered(client: Client, tool: str) -> str:
    """What a client gets that calls a tool without arguments."""
    return text(await client.call_tool(tool, {}))


@pytest.mark.slow
@pytest.mark.timeout(240)  # the command is run five times, which opens a gateway each time
async def test_what_is_added_counts_unless_something_else_was_edited(house: House) -> None:
    shutil.rmtree(house.folder)
    house.environment |= {"HOME": str(house.place / "home"), "CLAUDE_CONFIG_DIR": str(house.place / "home")}

    async def init(*servers: str) -> tuple[int, bool]:
        """The exit code, and whether somebody has to accept what was written."""
        write_servers(house, *servers)
        done = await house.run("init", "--yes")
        waiting.extend(re.findall(r"^  wardgate (accept policy@\w+)$", done.out, re.M))
        return done.code, "wait to be accepted" in done.out

    waiting: list[str] = []
    assert await init("one") == (0, False)
    listen(house, '\n[limits]\nhold = "100ms"\n')
    async with house.serving(), house.client("shim", "legacy", name="claude-code") as client:
        assert await answered(client, "one__get_one") == "did get_one"

    assert await init("one", "two") == (0, False), "no gateway runs"
    async with house.serving(), house.client("shim", "legacy", name="claude-code") as client:
        assert await answered(client, "two__get_two") == "did get_two"
        assert await init("one", "two", "three") == (0, True), "one runs"
    for command in waiting:
        assert (await house.run(*command.split())).code == 0

    policy = house.folder / "policies" / "one.toml"
    policy.write_text(policy.read_text(encoding="utf-8").replace('"write"', '"read"'), encoding="utf-8")
    assert await init("one", "two", "three", "four") == (0, True), "another policy was edited"
    async with house.client("standalone", "legacy", name="claude-code") as client:
        assert await answered(client, "three__get_three") == "did get_three"
        assert "did add_one" not in await answered(client, "one__add_one")

    (house.folder / "upstreams.toml").unlink()
    shutil.rmtree(policy.parent)  # and the state folder stays, which knows what was accepted before
    assert (await init("one", "two", "three", "four"))[0] == 0
    async with house.client("standalone", "legacy", name="claude-code") as client:
        assert await answered(client, "four__get_four") == "did get_four"


# --- docs/first-five-minutes.md -------------------------------------------------------------------------------------

DOCUMENT = Path(__file__).parents[2] / "docs" / "first-five-minutes.md"
ADA = "/home/ada"
PATIENCE = 90.0
KEYS = (
    (("Who answers",), "\n"),
    (("Start these 3 servers",), "y"),
    (("`filesystem` is made for it", "Use it?"), "y"),
    (("`time` is made for it", "Use it?"), "y"),
    (("reads", "no, "), "y"),
    (("writes", "no, "), "y"),
    (("high", "no, "), "y"),
    (("Write all this?",), "y"),
)


def newcomer(house: House, real: RealUpstreams) -> Path:
    """The home folder of somebody who starts three servers from two clients; returns it."""
    home, programs = house.place / "home", house.place / "bin"
    for folder in (home / "notes", home / ".cursor", programs):
        folder.mkdir(parents=True)
    for name, launch, skipped in (("npx", real.filesystem(), 2), ("uvx", real.time(), 1)):
        words = " ".join([launch.command, *launch.args[: 1 if name == "npx" else 0]])
        (programs / name).write_text(f'#!/bin/sh\nshift {skipped}\nexec {words} "$@"\n', encoding="utf-8")
    todo = f"#!/bin/sh\nexec {sys.executable} {NAMED} list_tasks get_task add_task delete_task\n"
    (programs / "todo-server").write_text(todo, encoding="utf-8")
    for program in programs.iterdir():
        program.chmod(0o755)
    files = {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", str(home / "notes")]}
    clock = {"command": "uvx", "args": ["mcp-server-time"]}
    tasks = {"command": "todo-server", "args": [], "env": {"TODO_TOKEN": "td-" + "aB3" * 8}}
    claude = {"numStartups": 7, "mcpServers": {"files": {"type": "stdio", **files, "env": {}}, "time": clock}}
    (home / ".claude.json").write_text(json.dumps(claude), encoding="utf-8")
    (home / ".cursor" / "mcp.json").write_text(json.dumps({"mcpServers": {"files": files, "tasks": tasks}}))
    (home / ".gitconfig").write_text("[user]\nemail = ada@example.com\n", encoding="utf-8")
    house.environment |= {"HOME": str(home), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    house.environment["PATH"] = f"{programs}:{house.environment['PATH']}"
    own = {"XDG_CONFIG_HOME": ".config", "XDG_STATE_HOME": ".local/state", "GIT_CONFIG_GLOBAL": ".gitconfig"}
    own |= {"CLAUDE_CONFIG_DIR": "", "CODEX_HOME": ".codex"}
    house.environment |= {name: str(home / where) for name, where in own.items()}
    house.environment["TERM"] = "dumb"  # what is waited for is not drawn
    return home


async def transcript(house: House, home: Path) -> str:
    """What `wardgate init` and `wardgate check` show at a terminal."""
    shown = ""
    with anyio.fail_after(PATIENCE):
        async with terminal("init", environment=house.environment, folder=house.world) as screen:
            for words, key in KEYS:
                shown += await screen.see(*words)
                screen.clear()
                await screen.type(key)
            await screen.end()
            shown += screen.shown
    return shown.replace(str(home), ADA).replace("\r\n", "\n")


@pytest.mark.slow
async def test_the_first_five_minutes_are_as_the_document_shows_them(
    house: House, real_upstreams: RealUpstreams
) -> None:
    home = newcomer(house, real_upstreams)
    blocks = re.findall(r"```text\n\$ wardgate (\w+)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    found = {"init": await transcript(house, home)}
    (house.place / "shown.txt").write_text(found["init"], encoding="utf-8")
    checked = await anyio.run_process([house.command, "check"], env=house.environment)
    found["check"] = checked.stdout.decode()
    assert dict(blocks) == found
