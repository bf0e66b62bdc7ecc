"""`reach`: offline and from a real store, for people, as JSON and in CI; a session is asked of a gateway that runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.accepted import Accepted
from gateway.cli import approve, reach
from gateway.core.canon import canonical, digest
from gateway.core.flow import PROMPT
from gateway.core.lock import Locked, Runtime, render
from tests.cli.room import Ended, configure, run_here, running
from tests.fakes import FakeClock

Capture = pytest.CaptureFixture[str]
Reach = Callable[..., Ended]

FILES = """
upstream = "files"
owner = "o@example.com"
[[tool]]
match = "write_file"
effect = "write"
sinks = { path = "path" }
payload = ["text"]
[[tool]]
match = "read_file"
effect = "read"
"""
ASKS = '[[rule]]\nid = "files.rest"\ntools = "*"\ndecide = "ask"\n'
LETS = '[[rule]]\nid = "files.drafts"\ntools = "write_file"\nwhen = \'args.path == "a"\'\ndecide = "allow"\n'
PROVES = '[[rule]]\nid = "files.proven"\ntools = "write_file"\ndecide = "ask-unless-proven"\n'


def put(folder: Path, text: str, name: str = "policies") -> Path:
    (folder / name).mkdir(mode=0o700, exist_ok=True)
    file = folder / name / "files.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = configure(tmp_path / "c")
    put(made, FILES + LETS)
    return made


@pytest.fixture
def say(folder: Path, capsys: Capture) -> Reach:
    def run(*words: str) -> Ended:
        return run_here(capsys, reach, [*words, "--config", str(folder)])

    return run


def test_what_would_pass_is_told_offline_with_its_number(say: Reach, folder: Path) -> None:
    ended = say()
    assert (ended.code, ended.err) == (0, "")
    first, *rest = ended.out.splitlines()
    assert first.startswith("reach 2: 2 places where an effect lands unasked, 0 tools by which what is private leaves")
    assert rest == [
        'files/write_file (write): `path` while args.path == "a" (by files.drafts), for unknown',
        'files/write_file (write): the call while args.path == "a" (by files.drafts), for unknown',
    ]
    assert not (folder / "state").exists()


def test_json_has_the_number_and_each_place(say: Reach) -> None:
    printed = json.loads(say("--json").out)
    assert (printed["schema"], printed["next"]) == (1, None)
    whole, *places = printed["items"]
    assert whole == {"of": "reach", "policy": "", "number": 2, "openings": 2, "routes": 0}
    assert [(place["of"], place["tool"], place["sink"]) for place in places] == [
        ("opening", "write_file", "path"),
        ("opening", "write_file", ""),
    ]


@pytest.mark.parametrize(("most", "code"), [("1", 1), ("2", 0)])
def test_more_than_may_be_fails(say: Reach, most: str, code: int) -> None:
    assert say("--max", most).code == code


def test_two_policies_are_compared_and_the_other_one_counts(say: Reach, folder: Path) -> None:
    other = put(folder, FILES + ASKS, "other")
    ended = say("--policy", str(other), "--max", "0")
    assert ended.code == 0
    first, *rest = ended.out.splitlines()
    assert first.startswith("reach 2 -> 0: nothing above a plain read passes unasked")
    assert [line[:2] for line in rest] == ["- ", "- "]
    put(folder, FILES + ASKS)
    put(folder, FILES + LETS, "other")
    grown = json.loads(say("--policy", str(other), "--json").out)["items"]
    assert [item["of"] for item in grown] == ["reach", "reach", "opened", "opened"]
    assert say("--policy", str(other), "--max", "1").code == 1
    assert say("--policy", str(folder / "policies")).out.splitlines()[-1] == "both let the same pass"


def test_what_was_accepted_is_looked_at_and_nothing_else(say: Reach, folder: Path) -> None:
    put(folder, FILES + PROVES)
    assert say().out.startswith("reach 1:")  # the call itself: it needs no path, as far as anybody knows
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    definition = {"name": "write_file", "inputSchema": schema}
    (folder / "state").mkdir(mode=0o700)
    Accepted(folder / "state").keep([canonical(definition)])
    locked = Locked(Runtime(command="none"), tools={"write_file": digest(definition), "never_seen": "0" * 64})
    lock = folder / "policies" / "tools.lock"
    lock.write_text(render({"files": locked}), encoding="utf-8")
    lock.chmod(0o600)
    assert say().out.startswith("reach 0:")


def test_a_wrong_policy_is_exit_code_1_and_wrong_options_2(say: Reach, folder: Path) -> None:
    assert say("--max", "x").code == 2
    assert say("--policy", str(folder / "none")).code == 1
    put(folder, "nonsense")
    assert say().code == 1


def test_a_session_needs_a_gateway_that_runs(say: Reach) -> None:
    assert say("--session", "s_1").code == 3


@pytest.mark.may_block(reason="binding the control socket looks at its path, once at start; the test writes policies")
async def test_grants_of_the_store_and_origins_of_the_session_count(tmp_path: Path, capsys: Capture) -> None:
    clock = FakeClock(datetime.now(UTC))
    async with running(tmp_path / "c", capsys, clock) as room:
        put(room.folder, FILES + PROVES)
        row = await room.asks()
        assert (await room.run(approve, row.id, "--pattern")).code == 0
        upstreams = (room.folder / "upstreams.toml").read_text(encoding="utf-8")
        named = f'{upstreams}\n[clients.{row.client}]\nowner = "o@example.com"\n'
        (room.folder / "upstreams.toml").write_text(named, encoding="utf-8")
        told = (await room.run(reach)).out
        assert "1 grants stand" not in told
        assert "1 grant stands" in told
        (grant,) = await room.approvals.standings.grants()
        room.sessions.append({"session": row.session, "principal": row.principal, "client": row.client})
        room.held[row.principal, row.client, row.session] = frozenset({PROMPT})
        lines = (await room.run(reach, "--session", row.session)).out.splitlines()
        assert any(f"grant {grant.id}" in line for line in lines)
        assert any("`path` with what stands in the user's prompt (by files.proven)" in line for line in lines)
        assert (await room.run(reach, "--session", "s_other")).code == 1


def test_it_starts_light(folder: Path) -> None:
    put(folder, FILES + ASKS)
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'gateway.app', 'gateway.server', 'gateway.upstreams'"
    code = (
        f"import gateway.cli.reach as command, sys; command.run(['--config', {str(folder)!r}]); "
        f"print([each for each in ({heavy}) if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
