"""`wardgate doctor`, installed, before real upstreams and real files: what is broken is told, and gone once mended."""

import json
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.e2e.kit import ALL_READS, LEDGER, House, upstream_table
from tests.e2e.real import RealUpstreams
from tests.upstreams.test_sandbox import PATH, real

pytestmark = pytest.mark.slow
OWNER = "alice@acme.io"
Row = Mapping[str, str]


async def consult(house: House, *words: str) -> tuple[int, dict[str, Row]]:
    """The exit code, and what is told, by what it is about."""
    ended = await house.run("doctor", "--json", *words)
    assert ended.code in (0, 1), ended
    return ended.code, {row["what"]: row for row in json.loads(ended.out)["items"]}


def warned(rows: Mapping[str, Row]) -> set[str]:
    """What is wrong; each says what mends it."""
    found = {what: row["do"] for what, row in rows.items() if row["severity"] == "warning"}
    assert all(found.values()), found
    return set(found)


async def wrong(house: House, *words: str) -> set[str]:
    """The same, looked at anew."""
    code, rows = await consult(house, *words)
    assert code == bool(warned(rows))
    return warned(rows)


def put(path: Path, said: Mapping[str, Any] | str) -> Path:
    """Write a client's file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    path.chmod(0o600)
    return path


def reads(name: str) -> str:
    """A policy by which all tools of an upstream are reads."""
    return f'upstream = "{name}"\nowner = "{OWNER}"\n{ALL_READS}'


def ledger(house: House, name: str) -> list[str]:
    """A ledger of its own."""
    return [sys.executable, str(LEDGER), str(house.world / f"{name}.txt")]


def home(house: House) -> Path:
    """The home of whoever runs the command."""
    return Path(house.environment["HOME"])


async def test_upstreams_labels_lock_and_names_are_told_until_they_are_right_and_nothing_stays(
    house: House, real_upstreams: RealUpstreams
) -> None:
    """No gateway runs: each time one is opened to look."""
    program = house.world / "server"
    table = upstream_table("ledger", [str(program)], owner=OWNER)
    bare = [upstream_table(name, ledger(house, name), owner=OWNER, expose="bare") for name in ("one", "two")]
    plain = [each.replace('expose = "bare"', "") for each in bare]
    policies = {name: reads(name) for name in ("one", "ledger")}
    house.configure(*bare, table, policies=policies, locked=False)
    house.lock(*bare)
    _, rows = await consult(house)
    assert warned(rows) == {"upstream two", "upstream ledger"}
    assert "is already offered by" in rows["upstream two"]["found"]
    assert "not found" in rows["upstream ledger"]["found"]

    lock = (house.folder / "policies" / "tools.lock").read_text(encoding="utf-8")
    house.configure(*plain, table, policies=policies, limits='start = "5s"', locked=False)
    house.write("policies/tools.lock", lock.replace("look = ", "looked = ", 1))
    put(program, "#!/bin/sh\nwhile read -r line; do :; done\n").chmod(0o700)
    code, rows = await consult(house)
    assert (code, warned(rows)) == (1, {"labels two", "held one", "upstream ledger"})
    assert rows["upstream ledger"]["found"] == "failed: did not start within 5 s"

    put(program, f"#!/bin/sh\nexec {shlex.join(ledger(house, 'ledger'))}\n").chmod(0o700)
    time, files = real_upstreams.time(), real_upstreams.filesystem(house.world)
    real = [
        upstream_table("time", [time.command, *time.args], owner=OWNER),
        upstream_table("files", [files.command, *files.args], owner=OWNER),
    ]
    policies = {name: reads(name) for name in ("one", "two", "ledger", "time", "files")}
    house.configure(*plain, table, *real, policies=policies, locked=True)
    for digest in re.findall(r"policy@[0-9a-f]{64}", (await house.run("accept", "policy")).err):
        assert (await house.run("accept", digest)).code == 0
    code, rows = await consult(house)
    assert (code, warned(rows)) == (0, set())
    assert rows["gateway"]["found"] == "none runs: one was opened to look, and ended"
    assert "2 tools, revision 2026-07-28, started in" in rows["upstream time"]["found"]
    assert "revision 2025-11-25" in rows["upstream files"]["found"]
    assert house.processes("serve") == []
    assert not (house.state / "gateway.json").exists()
    _, rows = await consult(house, "--offline")
    assert "not looked at" in rows["upstream time"]["found"]


async def _a_running_gateway_is_asked_without_loading_what_it_takes_to_be_one(house: House) -> None:
    """Its upstream starts for a second: that is waited for."""
    rule = '[[rule]]\nid = "r"\ntools = ["ledger/note"]\nwhen = "args.text == \'x\'"\ndecide = "ask"\n'
    house.write("policies/more.toml", f'owner = "{OWNER}"\n{rule}')
    async with house.serving():
        code = (
            "import sys; from gateway.cli.doctor import run; run(['--json', '--config', sys.argv[1]]);"
            "print([name for name in ('mcp', 'cel', 'anyio', 'pydantic', 'gateway.app') if name in sys.modules])"
        )
        done = await anyio.run_process([sys.executable, "-c", code, str(house.folder)], env=house.environment)
        printed, loaded = done.stdout.decode().splitlines()
        rows = {row["what"]: row for row in json.loads(printed)["items"]}
        assert loaded == "[]"
        assert "9 tools, revision 2025-11-25" in rows["upstream ledger"]["found"]
        assert "runs" in rows["gateway"]["found"]
        assert f"127.0.0.1:{house.port}" in rows["port"]["found"]
        assert rows["scanner rules"]["found"] == "compiled"
        assert warned(rows) == set()


async def test_a_sick_home_is_told_line_by_line_and_well_again_once_mended_but_for_its_record(house: House) -> None:
    program = put(house.world / "slow", f"#!/bin/sh\nsleep 1\nexec {shlex.join(ledger(house, 'ledger'))}\n")
    program.chmod(0o700)
    house.configure(upstream_table("ledger", [str(program)], owner=OWNER))
    await _a_running_gateway_is_asked_without_loading_what_it_takes_to_be_one(house)
    token = "gh" + "p_" + "q1W2e3R4t5" * 4
    entry = {"command": house.command, "args": ["stdio", "--config", str(house.folder), "--client", "tester"]}
    sick = {
        "wardgate": {**entry, "timeout": 1_000},
        "ledger": {"command": sys.executable, "args": ["other.py"], "env": {"GITHUB_TOKEN": token}},
    }
    put(home(house) / ".claude.json", {"mcpServers": sick})
    hook = {"matcher": "*", "hooks": [{"type": "command", "command": "yes"}]}
    settings = {"permissions": {"allow": ["mcp__wardgate__*"], "defaultMode": "auto"}, "hooks": {"Elicitation": [hook]}}
    put(home(house) / ".claude" / "settings.json", settings)
    put(home(house) / ".gemini" / "settings.json", '{"mcpServers": {')
    (house.state / "key").chmod(0o644)
    (house.folder / "policies").chmod(0o777)
    shutil.copy(house.state / "record.db", house.state / "whole.db")
    ended = await house.run("doctor", "--offline")
    assert token not in ended.out + ended.err
    assert ended.out.index("to mend") > ended.out.index("machine")
    assert await wrong(house, "--offline") == {
        "bypass claude-code ledger",
        "timeout claude-code",
        "client secret claude-code ledger",
        "autopilot claude-code permissions.allow",
        "autopilot claude-code permissions.defaultMode",
        "autopilot claude-code hooks.Elicitation",
        "client file gemini",
        "permissions",
    }
    (house.state / "whole.db").unlink()
    (house.state / "key").chmod(0o600)
    (house.folder / "policies").chmod(0o700)
    put(home(house) / ".gemini" / "settings.json", "{}")
    put(home(house) / ".claude" / "settings.json", {"permissions": {"deny": ["mcp__wardgate__wipe"]}})
    put(home(house) / ".claude.json", {"mcpServers": {"wardgate": entry}})
    code, rows = await consult(house)
    assert (code, rows["client claude-code"]["found"]) == (0, "registered as `wardgate` (user)")
    with sqlite3.connect(house.state / "record.db") as db:
        db.execute("UPDATE record SET body = x'00' WHERE seq = (SELECT max(seq) FROM record)")
    assert await wrong(house, "--offline") == {"tree"}


async def test_a_home_that_init_and_connect_have_set_up_is_fine(
    warm_environment: Mapping[str, str], wardgate_command: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in warm_environment.items() if name != "WARDGATE_CONFIG"}
    environment["PATH"] = f"{Path(wardgate_command).parent}:{environment['PATH']}"
    server = {"command": sys.executable, "args": [str(LEDGER), str(tmp_path / "ledger.txt")]}
    put(Path(environment["HOME"]) / ".claude.json", {"mcpServers": {"ledger": server}})
    for words in (["init", "--yes"], ["connect", "claude-code", "--yes"]):
        done = await anyio.run_process([wardgate_command, *words], env=environment, check=False, cwd=tmp_path)
        assert done.returncode == 0, (words, done)
    words = ["doctor", "--offline", "--json"]
    done = await anyio.run_process([wardgate_command, *words], env=environment, check=False, cwd=tmp_path)
    rows = {row["what"]: row for row in json.loads(done.stdout)["items"]}
    assert [what for what in warned(rows) if not what.startswith("port ")] == []  # others may hold the usual port
    assert rows["client claude-code"]["found"] == "registered as `wardgate` (user)"
    assert [what for what in rows if what.startswith("bypass")] == []


@real()
async def test_a_sandbox_that_works_here_is_told(house: House) -> None:
    house.environment["PATH"] = PATH
    house.configure(house.ledger(owner=OWNER, sandbox="bwrap", sandbox_write=[str(house.world)]), locked=False)
    _, rows = await consult(house, "--offline")
    assert rows["sandbox"]["found"] == "bwrap works, for ledger"
    empty = house.place / "empty"
    empty.mkdir()
    house.environment["PATH"] = str(empty)
    assert "sandbox" in await wrong(house, "--offline")
