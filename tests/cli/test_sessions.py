"""`wardgate sessions`: from the gateway that runs, and from the record where none does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import sessions
from gateway.cli.talk import Unreachable
from gateway.core.model import Kind
from tests.cli.test_log import record
from tests.store.keep import an_entry

KEYS = {"session", "principal", "client", "calls", "outcomes", "first_at", "last_at", "prompts", "signals"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def recorded(config: Path) -> Path:
    record(
        config,
        an_entry(1, Kind.OUTCOME, outcome="ok", session="s1"),
        an_entry(2, Kind.OUTCOME, outcome="ok", session="s2", principal="os:bob"),
        an_entry(3, Kind.OUTCOME, outcome="error", session="s1"),
    )
    return config


def asked(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """The items that `sessions --json` prints."""
    assert sessions.run(["--config", str(config), "--json", *words]) == 0
    items: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["items"]
    return items


def test_without_a_gateway_they_come_from_the_record(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = asked(recorded, capsys)
    assert set(first) >= KEYS
    assert (first["session"], first["calls"], first["outcomes"]) == ("s1", 2, {"ok": 1, "error": 1})
    assert (second["session"], second["principal"]) == ("s2", "os:bob")
    assert [item["session"] for item in asked(recorded, capsys, "--limit", "1")] == ["s1"]
    assert [item["session"] for item in asked(recorded, capsys, "--as", "os:bob")] == ["s2"]
    assert asked(recorded, capsys, "--as", "os:carol") == []


def test_people_get_a_line_for_each(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sessions.run(["--config", str(recorded)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("s1  os:alice  claude-code  2 calls (1 error, 1 ok)")
    assert second.startswith("s2  os:bob")
    assert sessions.run(["--config", str(recorded), "--as", "os:carol"]) == 0
    assert capsys.readouterr().out == "no session yet\n"


def test_a_session_in_which_nothing_was_called_has_no_list_of_outcomes(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = {"session": "s9", "principal": "os:alice", "client": "x", "calls": 0, "outcomes": {}, "last_at": "now"}
    monkeypatch.setattr(sessions, "ask", lambda config, op: {"ok": True, "items": [idle]})
    assert sessions.run(["--config", str(recorded)]) == 0
    assert capsys.readouterr().out == "s9  os:alice  x  0 calls  last now\n"


def test_what_stands_out_is_told_below_the_session_the_newest_only(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [{"signal": "new-tool", "call": "d_7", "explanation": f"first \u202e{number}"} for number in range(9)]
    told[8]["explanation"] = ""
    item = {"session": "s9", "principal": "os:alice", "client": "x", "calls": 0, "outcomes": {}, "last_at": "now"}
    loud = {**item, "raised": "new-sink", "told": told}
    monkeypatch.setattr(sessions, "ask", lambda config, op: {"ok": True, "items": [loud]})
    assert sessions.run(["--config", str(recorded)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "    raised by new-sink: every call above tier read is asked about"
    assert lines[2] == "    new-tool: first \\u{202e}4"
    assert lines[6:] == ["    new-tool: wardgate explain d_7"]


def test_a_gateway_that_runs_is_asked_first(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = [{"session": f"s{number}", "principal": who} for number, who in ((7, "os:bob"), (8, "os:alice"))]
    monkeypatch.setattr(sessions, "ask", lambda config, op: {"ok": True, "items": list(counted)})
    assert [item["session"] for item in asked(recorded, capsys)] == ["s8", "s7"]
    assert [item["session"] for item in asked(recorded, capsys, "--as", "os:bob")] == ["s7"]


def test_a_gateway_that_refuses_is_not_passed_over(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: str | None, op: str) -> dict[str, Any]:
        raise Unreachable("refused", 1)

    monkeypatch.setattr(sessions, "ask", refuse)
    with pytest.raises(SystemExit) as ended:
        asked(recorded, capsys)
    assert ended.value.code == 1


@pytest.mark.parametrize("folder", [False, True])
def test_with_neither_a_gateway_nor_a_record_the_exit_code_is_3(
    config: Path, capsys: pytest.CaptureFixture[str], folder: bool
) -> None:
    if folder:
        (config / "state").mkdir()
    with pytest.raises(SystemExit) as ended:
        sessions.run(["--config", str(config)])
    assert ended.value.code == 3
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_a_configuration_that_can_not_be_read_is_exit_code_1(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        sessions.run(["--config", str(tmp_path)])
    assert ended.value.code == 1


@pytest.mark.parametrize("words", [["--limit", "0"], ["--limit", "1001"], ["--all"]], ids=" ".join)
def test_wrong_options_are_exit_code_2(recorded: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sessions.run(["--config", str(recorded), *words])
    assert ended.value.code == 2


def test_it_imports_nothing_heavy(recorded: Path) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic'"
    run = f"import gateway.cli.sessions as command, sys; command.run(['--config', {str(recorded)!r}])"
    code = f"{run}; print([each for each in ({heavy}) if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
