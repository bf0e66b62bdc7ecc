"""`policy test`, `explain`, `simulate` and `propose`: exit codes, what is printed, and that nothing is changed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import tomli

from gateway.cli import policy
from gateway.cli.main import COMMANDS
from tests.cli.room import Ended, run_here
from tests.day import POLICY, a_day

CONFIG = """\
schema = 1
[gateway]
state = "state"
[upstreams.up]
command = "none"
owner = "o@example.com"
[clients.closed]
owner = "o@example.com"
[clients.open]
owner = "o@example.com"
"""
TESTS = """\
upstream = "up"
[[test]]
name = "a note of a session that has read nothing"
tool = "note"
session = { tainted = false }
expect = "allow"
rule = "up.clean"
[[test]]
name = "pages of .git"
tool = "write"
arguments = { path = "/srv/.git/config" }
expect = "block"
rule = "up.no-git"
"""
NO_GIT = POLICY[: POLICY.index('[[rule]]\nid = "up.no-git"')].count("\n") + 1
Capture = pytest.CaptureFixture[str]
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a policy, and the record of a day."""
    made = tmp_path_factory.mktemp("made") / "c"
    write(made, "upstreams.toml", CONFIG)
    write(made, "policies/up.toml", POLICY)
    anyio.run(a_day, made / "state")
    return made


def write(folder: Path, name: str, text: str) -> None:
    """Write a file that nobody else could have written."""
    (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(0o600)


@pytest.fixture
def run(folder: Path, capsys: Capture) -> Run:
    def command(*words: str, config: Path = folder) -> Ended:
        return run_here(capsys, policy, [*words, "--config", str(config)])

    return command


def items(ended: Ended) -> list[dict[str, Any]]:
    printed = json.loads(ended.out)
    assert (printed["schema"], printed["next"]) == (1, None)
    found: list[dict[str, Any]] = printed["items"]
    return found


def line(text: str) -> int:
    """The line behind a text."""
    return text.count("\n") + 1


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """A configuration with a policy and tests."""
    write(tmp_path / "c", "upstreams.toml", CONFIG)
    write(tmp_path / "c", "policies/up.toml", POLICY)
    write(tmp_path / "c", "policies/up.test.toml", TESTS)
    return tmp_path / "c"


def test_tests_that_hold_end_with_0(run: Run, tested: Path) -> None:
    assert run("test", config=tested) == (0, "2 tests, all as expected\n", "")
    assert [(item["ok"], item["where"]) for item in items(run("test", "--json", config=tested))] == [
        (True, "policies/up.test.toml:2"),
        (True, "policies/up.test.toml:8"),
    ]


def test_a_test_that_fails_is_told_with_file_and_line_and_ends_with_1(run: Run, tested: Path) -> None:
    write(tested, "policies/up.test.toml", TESTS.replace('expect = "block"', 'expect = "ask"'))
    ended = run("test", config=tested)
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "policies/up.test.toml:8: pages of .git",
        f"    expected ask, found block (rule of `up.no-git` at policies/up.toml:{NO_GIT})",
        "2 tests, 1 failed",
    ]
    (_, failed) = items(run("test", "--json", config=tested))
    assert (failed["ok"], failed["verdict"], failed["rules"]) == (False, "block", ["up.no-git"])


def test_a_wrong_file_of_tests_ends_with_1_and_others_are_played(run: Run, tested: Path) -> None:
    write(tested, "policies/b.test.toml", "upstream = 3\n" + TESTS.replace('upstream = "up"\n', ""))
    write(tested, "policies/c.test.toml", TESTS)
    (tested / "policies/c.test.toml").chmod(0o666)
    ended = run("test", config=tested)
    assert ended.code == 1
    assert "error: policies/b.test.toml:1 `upstream`" in ended.out
    assert "everybody can write" in ended.out
    assert ended.out.splitlines()[-1].startswith("2 tests, all as expected, ")
    assert [item["ok"] for item in items(run("test", "--json", config=tested))].count(True) == 2


def test_the_tests_of_another_folder_are_played_on_its_policies(run: Run, tested: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", "up.toml", POLICY.replace('decide = "block"', 'decide = "ask"', 1))
    write(tmp_path / "other", "up.test.toml", TESTS)
    ended = run("test", "--policy", str(tmp_path / "other"), config=tested)
    assert (ended.code, ended.out.splitlines()[0]) == (1, "other/up.test.toml:8: pages of .git")
    assert run("test", "--policy", str(tmp_path / "nowhere"), config=tested).code == 1


def test_without_tests_it_says_where_they_stand(run: Run, folder: Path) -> None:
    assert run("test").out == "no tests: write policies/NAME.test.toml\n"


@pytest.mark.parametrize("action", ["test", "explain up/read", "simulate", "propose"])
def test_an_invalid_policy_ends_with_1(run: Run, tested: Path, action: str) -> None:
    write(tested, "policies/up.toml", POLICY + "[[rule]]\n")
    (tested / "state").mkdir(mode=0o700)
    ended = run(*action.split(), config=tested)
    assert ended.code == 1
    assert "policies/up.toml:" in ended.err


def test_a_hypothetical_call_is_explained(run: Run) -> None:
    ended = run("explain", "up/write", "--args", '{"path": "/tmp/.git/x"}', "--client", "open")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "up/write: block"
    assert f"  rule        `up.no-git` at policies/up.toml:{NO_GIT}" in lines
    assert any("without rule `up.no-git`: allow (rule of `up.rated`)" in line for line in lines)


def test_what_is_known_of_the_session_is_said_by_options(run: Run) -> None:
    def verdict(*words: str) -> tuple[str, str]:
        (item,) = items(run("explain", *words, "--json"))
        return item["verdict"], item["reason"]

    assert verdict("up__note", "--clean") == ("allow", "rule")
    assert verdict("up__note", "--args", '{"path":"/tmp/plan"}', "--tainted") == ("ask", "unproven")
    assert verdict("up/note", "--args", '{"path":"/tmp/plan"}', "--prompt", "write /tmp/plan") == ("allow", "proven")
    assert verdict("up/put", "--role", "staff", "--principal", "os:sam") == ("allow", "rule")
    assert verdict("up/read", "--args", '{"n":1}', "--calls-10m", "61", "--consequential", "2") == ("block", "rule")
    used = ("up/write", "--args", '{"path":"/tmp/x"}', "--used")
    assert verdict(*used, "up.rated=3") == ("ask", "rate-exceeded")
    assert verdict(*used, "up.rated=2", "--not-private") == ("allow", "rule")
    assert verdict("up/read", "--args", '{"n":1}', "--annotations", '{"readOnlyHint":false}')[0] == "ask"
    assert verdict("up/note://one", "--as", "resource") == ("allow", "tier-default")


def test_another_folder_of_policies_can_be_asked(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "other", "up.toml", POLICY.replace('decide = "block"', 'decide = "ask"'))
    given = ("explain", "up/write", "--args", '{"path":"/tmp/.git/x"}', "--policy", str(tmp_path / "other"), "--json")
    (item,) = items(run(*given))
    assert (item["verdict"], item["rule_at"]) == ("ask", f"other/up.toml:{NO_GIT}")


@pytest.mark.parametrize(
    "words",
    [
        ("explain",),
        ("explain", "read"),
        ("explain", "upp/read"),
        ("explain", "up/read", "--args", "[]"),
        ("explain", "up/read", "--args", "{"),
        ("explain", "up/read", "--args", '{"n": NaN}'),
        ("explain", "up/read", "--args", '{"n": "\\ud800"}'),
        ("explain", "up/read", "--args", '{"n": [{"\\udfff": 1}]}'),
        ("explain", "up/read", "--args", f'{{"n": {"9" * 5000}}}'),
        ("explain", "up/read", "--annotations", '{"n": "\\ud800"}'),
        ("explain", "up/read", "--client", "opne"),
        ("explain", "up/read", "--used", "up.rate=1"),
        ("explain", "up/read", "--used", "up.rated=x"),
        ("explain", "up/read", "--tainted", "--clean"),
        ("explain", "up/read", "--calls-10m", "-1"),
        ("explain", "up/read", "--spent", "nothing=1"),
        ("simulate", "--since", "yesterday"),
        ("simulate", "--days", "3"),
        ("propose", "--since", "x"),
        ("propose", "--times", "1"),
        ("test", "x"),
        ("--days", "3", "test"),
        (),
    ],
)
def test_wrong_options_end_with_2(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).code == 2


def test_the_policy_in_force_changes_nothing(run: Run) -> None:
    ended = run("simulate", "--since", "2026-01-01")
    assert ended.code == 0
    assert "0 with another verdict, 0 by other rules" in ended.out.splitlines()[0]
    (whole, *others) = items(run("simulate", "--json"))
    assert (whole["of"], whole["newly-blocked"], whole["newly-asked"], whole["newly-allowed"]) == ("all", 0, 0, 0)
    assert {item["of"] for item in others} == {"untold"}
    assert run("simulate", "--since", "2099-01-01").out == "no call is on the record since then\n"


def test_what_another_policy_would_change_is_told_with_examples(run: Run, tmp_path: Path) -> None:
    stop = '[[rule]]\nid = "up.stop"\ntools = "send"\nwhen = \'args.to.endsWith("@evil.example")\'\ndecide = "block"\n'
    write(tmp_path / "other", "up.toml", POLICY + stop)
    given = ("simulate", "--policy", str(tmp_path / "other"))
    lines = run(*given).out.splitlines()
    blocked = f"newly blocked: 2 by `up.stop` at other/up.toml:{line(POLICY)} (rule)"
    assert blocked in lines
    example = lines[lines.index(blocked) + 1]
    assert example.endswith('up/send {"body": "first", "to": "mallory@evil.example"}')
    assert any(each.startswith("prompts: ") and each.endswith(" fewer a week") for each in lines)
    again = [run(*given, "--json").out for _ in range(2)]
    assert again[0] == again[1]


def test_a_folder_of_policies_that_is_not_there_is_an_error(run: Run, tmp_path: Path) -> None:
    ended = run("simulate", "--policy", str(tmp_path / "policies"))
    assert (ended.code, "there is no folder" in ended.err) == (1, True)
    assert run("explain", "up/read", "--policy", str(tmp_path / "nowhere")).code == 1


@pytest.mark.parametrize("action", ["simulate", "propose"])
def test_without_a_record_the_exit_code_is_3(run: Run, tested: Path, action: str) -> None:
    assert run(action, config=tested).code == 3
    assert not (tested / "state").exists()


def test_proposals_are_toml_with_their_evidence_and_change_nothing(run: Run, folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.glob("*/*.toml")}
    ended = run("propose", "--since", "2026-01-01", "--times", "2")
    assert ended.code == 0
    made = tomli.loads(ended.out)
    assert {"match": "zap", "effect": "destructive"} in made["tool"]
    assert "# called 3 times, " in ended.out
    kinds = {item["kind"] for item in items(run("propose", "--since", "2026-01-01", "--json"))}
    assert "label" in kinds
    assert run("propose", "--since", "2099-01-01").out == "nothing follows from what is on the record since then\n"
    assert before == {file: file.read_bytes() for file in folder.glob("*/*.toml")}


@pytest.mark.parametrize("action", [["explain", "up/read"], ["test"]], ids=["explain", "test"])
def test_it_starts_without_the_gateway_and_the_protocol(folder: Path, action: list[str]) -> None:
    heavy = "'mcp', 'anyio', 'aiosqlite', 'sqlite3', 'pydantic', 'gateway.app', 'gateway.server'"
    words = [*action, "--config", str(folder)]
    code = (
        f"import gateway.cli.policy as command, sys; command.run({words!r}); "
        f"print([each for each in ({heavy}) if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_a_condition_the_engine_is_not_loaded(tmp_path: Path) -> None:
    write(tmp_path / "c", "upstreams.toml", CONFIG)
    write(tmp_path / "c", "policies/up.toml", 'upstream = "up"\nowner = "o@example.com"\n')
    words = ["explain", "up/read", "--config", str(tmp_path / "c")]
    code = f"import gateway.cli.policy as command, sys; command.run({words!r}); print('cel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_command_is_listed() -> None:
    assert "simulate" in COMMANDS["policy"][1]
