"""`doctor`: what it asks of a gateway that runs, what it does without one, and how it is told."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import approver, doctor
from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Finding, Group, Line, warning
from gateway.cli.doctor.telling import WIDTH, tell
from gateway.cli.main import main
from tests.authenticator import SshKey
from tests.cli.consulting import case_of, configure, upstream
from tests.cli.consulting import write as put
from tests.cli.room import configure as configure_room
from tests.cli.room import run_here, running
from tests.signing import in_thread

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
DOCS = Path(__file__).parents[2] / "docs" / "doctor.md"


async def test_it_tells_the_isolation_level_and_what_that_holds_against(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        told = " ".join((await room.run(doctor)).out.split())
        assert "level 0: the caller runs as the user of the gateway; 1 for a call that is approved by signature" in told
        assert "it holds against what an agent does through its tools" in told


async def test_an_upstream_that_is_not_there_is_a_warning(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        told = await room.run(doctor, "--json")
        items = {item["what"]: item for item in json.loads(told.out)["items"]}
        assert told.code == 1
        assert (items["upstream files"]["severity"], items["upstream mail"]["severity"]) == ("note", "warning")
        assert items["upstream mail"]["found"] == "failed: it ended"
        assert "runs" in items["gateway"]["found"]
        assert {tuple(item) for item in items.values()} == {("what", "where", "found", "do", "severity")}
        assert "wrote" in items["flow"]["found"]


async def test_what_is_wrong_in_the_files_is_asked_of_the_gateway_that_runs(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        file = tmp_path / "c" / "upstreams.toml"
        file.write_text(file.read_text(encoding="utf-8") + "unknown = 1\n", encoding="utf-8")
        items = json.loads((await room.run(doctor, "--json")).out)["items"]
        (found,) = [item for item in items if item["what"].endswith("unknown")]
        assert (found["what"], found["severity"]) == ("configuration [upstreams.mail] unknown", "warning")


async def test_a_secret_that_is_too_weak_to_be_searched_for_is_noted(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        items = json.loads((await room.run(doctor, "--json")).out)["items"]
        (found,) = [item for item in items if item["what"] == "secret files.PIN"]
        assert (found["severity"], found["found"]) == ("note", "shorter than 8 characters: it is not looked for")


async def test_a_key_that_signs_with_nobody_there_is_a_warning(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    async with running(tmp_path / "c", capsys) as room:
        key: SshKey = await in_thread(SshKey.make, tmp_path / "key", "")
        await room.run(approver, "add", "ada", "--ssh-key", f"{key.file}.pub")
        items = json.loads((await room.run(doctor, "--json")).out)["items"]
        (found,) = [item for item in items if item["what"] == "key of ada"]
        assert found["severity"] == "warning"
        assert "signs with nobody there" in found["found"]


def offline(config: Path, capsys: Capture, *words: str) -> tuple[int, str]:
    """Run it where no gateway runs, and start none."""
    told = run_here(capsys, doctor, ["--config", str(config), "--offline", *words])
    return told.code, told.out


def test_without_a_gateway_nothing_is_started_where_that_is_not_wanted(tmp_path: Path, capsys: Capture) -> None:
    _, out = offline(configure_room(tmp_path / "c"), capsys, "--json")
    items = {item["what"]: item for item in json.loads(out)["items"]}
    assert "no gateway answers" in items["gateway"]["found"]
    assert items["upstream files"]["severity"] == "note"
    assert not (tmp_path / "c" / "state").exists()


def test_a_configuration_that_is_not_there_is_exit_code_1_and_the_rest_is_looked_at(
    tmp_path: Path, capsys: Capture
) -> None:
    code, out = offline(tmp_path, capsys, "--json")
    items = {item["what"]: item for item in json.loads(out)["items"]}
    assert code == 1
    assert (items["configuration"]["severity"], "wardgate init" in items["configuration"]["do"]) == ("warning", True)
    assert items["python"]["severity"] == "note"


def test_nothing_wrong_is_exit_code_0(tmp_path: Path, capsys: Capture) -> None:
    configure(tmp_path)
    code, out = offline(tmp_path / "config", capsys)
    assert (code, out.splitlines()[-1].startswith("no problems: ")) == (0, True)


def test_it_imports_nothing_heavy_unless_it_has_to_start_something(tmp_path: Path) -> None:
    code = (
        "import sys; from gateway.cli.doctor import run; run(['--offline', '--config', sys.argv[1]]);"
        "print([name for name in ('mcp', 'cel', 'pydantic', 'rich', 'gateway.app') if name in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(configure_room(tmp_path / "c"))]
    done = subprocess.run(words, check=False, capture_output=True, env={**os.environ, "HOME": str(tmp_path)})
    assert done.stdout.splitlines()[-1] == b"[]", done.stderr


def broken(case: Case) -> Iterator[Finding]:
    """Tell something, and break."""
    yield Finding(Line.DISK, "there")
    raise KeyError("x")


def fine(case: Case) -> Iterator[Finding]:
    """Tell something."""
    yield Finding(Line.CLOCK, "set")


def test_a_check_that_breaks_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    found = list(doctor.examine(case_of(tmp_path), Group("x", (broken, fine))))
    assert [(each.line, each.of, each.wrong) for each in found] == [
        (Line.DISK, "", False),
        (Line.CHECK, "test_doctor.broken", True),
        (Line.CLOCK, "", False),
    ]
    assert "KeyError" in found[1].found


@pytest.mark.parametrize("group", doctor.GROUPS, ids=lambda group: group.title)
def test_no_check_breaks_where_nothing_is_there(group: Group, tmp_path: Path) -> None:
    found = [each for made in (case_of(tmp_path), case_of(tmp_path, {})) for each in doctor.examine(made, group)]
    assert [each.of for each in found if each.line is Line.CHECK] == []


@pytest.mark.parametrize("group", doctor.GROUPS, ids=lambda group: group.title)
def test_no_check_breaks_by_what_a_gateway_says(group: Group, tmp_path: Path) -> None:
    configure(tmp_path)
    made = case_of(tmp_path, {"items": [upstream()]})
    assert [each.of for each in doctor.examine(made, group) if each.line is Line.CHECK] == []


def test_lines_fit_80_columns_and_problems_come_last() -> None:
    long = "word " * 60
    found = [
        ("one", [Finding(Line.DISK, long, of="x" * 30, do=long), warning(Line.CLOCK, long, long, where="file")]),
        ("nothing", []),
        ("two", [Finding(Line.PORT, "free")]),
    ]
    text = tell(found, colour=False)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "nothing" not in text
    assert text.index("to mend") > text.index("two")
    assert text.splitlines()[-1] == "1 problem, 2 looked at and fine"
    plain = re.sub(r"\x1b\[\d+m", "", coloured := tell(found, colour=True))
    assert coloured != plain
    assert max(map(len, plain.splitlines())) <= WIDTH


def test_what_others_wrote_can_not_act_on_the_terminal() -> None:
    text = tell(
        [("one", [warning(Line.BYPASS, "a\x1b[2Jb\nc", "do\x07", of="\x1b]0;x\x07", where="\r")])], colour=False
    )
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    assert "a\\u{1b}[2Jb\\nc" in text
    assert len(tell([("one", [Finding(Line.BYPASS, "x" * 10_000)])], colour=False)) < 2_000


def test_every_line_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z ]+?)(?: [A-Z_.]+)?` \|", DOCS.read_text(encoding="utf-8"), re.M)
    assert sorted(rows) == sorted({line.value for line in Line})


def test_every_line_is_said_by_some_check() -> None:
    folder = Path(doctor.__file__).parent
    code = "\n".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    assert [line.name for line in Line if f"Line.{line.name}" not in code] == []


def advised() -> list[str]:
    """Every `wardgate WORDS` in the texts of `doctor`, up to the first word that is put in when it is told."""
    texts: set[str] = set()
    for file in Path(doctor.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "{" for part in node.values)
                texts.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    found = (each for text in texts for each in re.findall(r"`wardgate ([^`{]+)", text))
    return sorted({" ".join(each.split()) for each in found})


def test_every_command_that_is_advised_exists(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(advised()) > 10
    for line in advised():
        words = line.removesuffix(" CLIENT").split()
        options = [word for word in words if word.startswith("--")]
        monkeypatch.setattr(sys, "argv", ["wardgate", *(word for word in words if word not in options), "--help"])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capfd.readouterr().out
        assert (ended.value.code, [option for option in options if option not in told]) == (0, []), line


def test_terminal_escapes_of_a_client_s_file_are_shown_and_not_sent(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path)
    put(tmp_path / ".cursor" / "mcp.json", {"mcpServers": {"a\x1b[2J": {"command": "x\x07"}}})
    monkeypatch.setenv("HOME", str(tmp_path))
    _, out = offline(tmp_path / "config", capsys)
    assert "\x1b" not in out
    assert "a\\u{1b}[2J" in out


def test_a_gateway_that_can_not_be_opened_is_told_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def breaks(*words: object) -> None:
        tried.append(words)
        raise ExceptionGroup("several", [KeyError("x")])

    monkeypatch.setattr("gateway.cli.conversing.converse", breaks)
    configure(tmp_path)
    case = Case(str(tmp_path / "config"), {"HOME": str(tmp_path)}, tmp_path, start=True)
    found = [each for group in doctor.GROUPS for each in doctor.examine(case, group)]
    assert [(each.what, each.found) for each in found if each.wrong] == [
        ("upstream files", "not looked at: no gateway could be opened to look: ExceptionGroup")
    ]
    assert len(tried) == 1


def test_the_sample_in_the_document_is_what_is_told() -> None:
    where = "/home/ada/.claude.json"
    found = "Claude Code starts it too: calls of upstream `files` go round the gateway"
    do = "`wardgate connect claude-code` disables it there"
    lines = [
        Finding(Line.CLIENT, "registered as `wardgate` (user)", "claude-code", where),
        warning(Line.BYPASS, found, do, "claude-code files", where),
    ]
    sample = DOCS.read_text(encoding="utf-8").split("$ wardgate doctor\n")[1].split("```")[0]
    assert sample == tell([("clients", lines)], colour=False) + "\n"


@pytest.mark.parametrize("folder", ["config", "config/state", ".claude"])
def test_no_check_breaks_by_what_may_not_be_looked_at(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path)
    put(tmp_path / "config" / "state" / "record.db", "x")
    put(tmp_path / ".claude" / "settings.json", "{}")
    put(tmp_path / ".claude.json", {"mcpServers": {"wardgate": {"command": "wardgate", "args": ["stdio"]}}})
    look = Path.stat

    def stat(path: Path, **more: bool) -> os.stat_result:
        if (tmp_path / folder) in path.parents:
            raise PermissionError(13, "Permission denied")
        return look(path, **more)

    made = case_of(tmp_path)
    assert made.settings is not None
    monkeypatch.setattr(Path, "stat", stat)
    found = [each for group in doctor.GROUPS for each in doctor.examine(made, group)]
    assert [(each.of, each.found) for each in found if each.line is Line.CHECK] == []
    told = {each.found for each in found if each.line is Line.CONFIGURATION and each.wrong}
    assert told == ({"can't be read: permission denied"} if folder == "config" else set())
