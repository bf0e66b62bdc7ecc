"""Shell completion, by a real bash: commands, options and names that exist, and nothing that a shell would run."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from gateway import reading
from gateway.cli import completion
from gateway.cli.main import COMMANDS
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Choice, Finding, Kind, Proof
from gateway.reading import Viewer
from tests.cli.ptys import terminal
from tests.cli.room import configure, run_here, running
from tests.fakes import DEADLINE, FakeClock, a_record

Capture = pytest.CaptureFixture[str]
Tab = Callable[[str], list[str]]
pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")

BASH = r"""
eval "$(wardgate completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<< "$1"
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
found=$(complete -p wardgate); found=${found##*-F }; found=${found%% *}
"$found" wardgate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""
"""What bash does at a Tab behind the line `$1`."""
LOCK = """\
[upstreams.files.tools]
read_file = "ab"
"$(touch made)" = "cd"
"a b" = "ef"
"""


@pytest.fixture
def tab(tmp_path: Path, environment: Mapping[str, str], wardgate_command: str) -> Tab:
    """Ask bash for the words behind a line, with the configuration in `tmp_path`."""
    folder = configure(tmp_path / "place")
    found = f"{Path(wardgate_command).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**environment, "PATH": found, "WARDGATE_CONFIG": str(folder)}

    def asked(line: str) -> list[str]:
        words = ["bash", "--norc", "-c", BASH, "bash", line]
        done = subprocess.run(words, capture_output=True, text=True, env=settings, cwd=folder, check=True, timeout=60)
        return done.stdout.split()

    return asked


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wardgate appro", ["approvals", "approve", "approver"]),
        ("wardgate policy ", ["review", "test", "explain", "simulate", "propose"]),
        ("wardgate policy test --p", ["--policy"]),
        ("wardgate record ro", ["rotate"]),
        ("wardgate record find --val", ["--value", "--value-file"]),
        ("wardgate approvals --state wa", ["waiting"]),
        ("wardgate log --outcome er", ["error"]),
        ("wardgate stdio --st", ["--standalone"]),
        ("wardgate hook ", ["claude-code"]),
        ("wardgate freeze fi", ["files"]),
        ("wardgate freeze --upstream ", ["files", "mail"]),
        ("wardgate check --config up", ["upstreams.toml"]),
        ("wardgate approve --reason ", []),
        ("wardgate nonsense ", []),
        ("wardgate explain d_", []),  # nothing is recorded yet
    ],
)
def test_what_may_stand_there_is_offered(line: str, offered: Sequence[str], tab: Tab) -> None:
    assert tab(line) == offered


def test_every_command_is_offered(tab: Tab) -> None:
    assert tab("wardgate ") == list(COMMANDS)


async def test_names_of_the_running_gateway_are_offered(tab: Tab, tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "place", capsys) as room:
        id = (await room.asks()).id
        for line in ("wardgate deny --reason no ", "wardgate approvals show "):
            assert await anyio.to_thread.run_sync(tab, line) == [id]
        assert await anyio.to_thread.run_sync(tab, f"wardgate approve {id[:5]}") == [id]


def test_accepted_tools_are_offered_but_for_those_that_a_shell_would_read(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "place" / "policies").mkdir()
    (tmp_path / "place" / "policies" / "tools.lock").write_text(LOCK, encoding="utf-8")
    assert tab("wardgate policy explain ") == ["files/read_file"]
    assert tab("wardgate accept ") == ["files__read_file"]
    assert tab("wardgate log --tool ") == ["read_file"]
    assert not (tmp_path / "place" / "made").exists()


async def test_each_is_offered_what_is_theirs_to_see(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, capsys, FakeClock(datetime.now(UTC))) as room:
        for number, who in ((1, "os:alice"), (2, "os:bob")):
            findings = (Finding("github-pat", "content[0].text", "ab" * 8),)
            about = {"principal": who, "session": f"s{number}", "outcome": "ok", "findings": findings}
            await room.records.append(a_record(number, Kind.OUTCOME, **about))
        row = await room.asks()
        until = room.clock.now() + timedelta(hours=1)
        await room.approvals.settle(row.id, Chosen(Choice.ARGUMENTS, until=until), Voter("os:eve", Proof.LOCAL))

        def offered(viewer: Viewer) -> dict[str, set[str]]:
            monkeypatch.setattr(reading, "viewer_in", lambda config, state: viewer)
            sources = {**completion.SOURCES, **completion.ANYWHERE}
            wanted = ("explain id", "session", "principal", "leaks id", "grants id")
            return {name: set(completion._found(sources[name], str(tmp_path))) for name in wanted}

        auditor = await anyio.to_thread.run_sync(offered, Viewer("os:eve", True))
        bob = await anyio.to_thread.run_sync(offered, Viewer("os:bob", False))
    assert {"d_0000000001", "d_0000000002"} <= auditor["explain id"]
    assert (len(auditor["leaks id"]), len(auditor["grants id"])) == (1, 1)
    assert bob["explain id"] == {"d_0000000002"}
    assert (bob["session"], bob["principal"]) == ({"s2"}, {"os:bob"})
    assert (bob["leaks id"], bob["grants id"]) == (set(), set())  # the grant is alice's


def test_a_file_of_another_shape_offers_nothing(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "place" / "upstreams.toml").write_text("upstreams = 7\ngateway = []\n", encoding="utf-8")
    for line in ("wardgate freeze ", "wardgate accept ", "wardgate log --session ", "wardgate approve "):
        assert tab(line) == []
    for value in (*completion.SOURCES, *completion.ANYWHERE):
        assert completion.near(value, "nothing-like-it", str(tmp_path / "place")) == ""


@pytest.mark.slow
def test_no_command_runs_while_its_words_are_asked_for(tab: Tab, tmp_path: Path) -> None:
    for name in COMMANDS:
        assert "--config" in tab(f"wardgate {name} --conf"), name
    assert [file.name for file in (tmp_path / "place").iterdir()] == ["upstreams.toml"]


async def test_a_tab_in_a_real_bash_completes_the_line(tmp_path: Path, wardgate_command: str) -> None:
    found = {"PATH": f"{Path(wardgate_command).parent}{os.pathsep}{os.environ['PATH']}", "PS1": "> "}
    given = {**found, "WARDGATE_CONFIG": str(configure(tmp_path))}
    with anyio.fail_after(DEADLINE * 3):
        async with terminal("--norc", "--noprofile", "-i", program="bash", environment=given) as shell:
            await shell.see("> ")
            await shell.type('eval "$(wardgate completion bash)"; echo re""ady\n')
            await shell.see("ready")
            shell.clear()
            await shell.type("wardgate freez\t")
            await shell.see("wardgate freeze ")
            await shell.type("ma\t")
            await shell.see("wardgate freeze mail ")


@pytest.mark.parametrize(
    ("shell", "settings", "offered"),
    [
        ("fish", {"_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_DFS": "\t"}, "freeze\thold everything"),
        ("zsh", {}, "freeze:hold everything"),
    ],
)
def test_other_shells_are_told_what_each_word_means(
    shell: str, settings: Mapping[str, str], offered: str, wardgate_command: str, capsys: Capture
) -> None:
    line = "wardgate freez"
    asking = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": shell, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    asking["_ARGCOMPLETE_SUPPRESS_SPACE"] = "1"
    done = subprocess.run(
        ["bash", "-c", '"$1" 8>&1 9>/dev/null 1>/dev/null', "bash", wardgate_command],
        capture_output=True,
        text=True,
        env={**os.environ, **asking, **settings},
        check=True,
    )
    assert done.stdout.startswith(offered)
    ended = run_here(capsys, completion, [shell])
    assert (ended.code, "_ARGCOMPLETE" in ended.out, ended.err) == (0, True, "")


def test_the_script_can_be_had_as_json(capsys: Capture) -> None:
    ended = run_here(capsys, completion, ["bash", "--json"])
    (item,) = json.loads(ended.out)["items"]
    assert item["shell"] == "bash"
    assert item["script"].endswith("\n")


def test_a_gateway_that_does_not_answer_is_not_waited_for_long() -> None:
    assert completion.DEADLINE <= 1
