"""`wardgate hook`: what it hands over, how long it waits, and that it never says a word or blocks a client."""

import fcntl
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import hook
from gateway.place import CONTROL_NAME

HERE = {"CLAUDE_CODE_SESSION_ID": "s1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CODE_SESSION_ATTENDED": "1"}


def sent(event: Mapping[str, Any]) -> dict[str, Any]:
    line = hook.request(event, "tester", {})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= hook.MOST_SENT + 1
    told: dict[str, Any] = json.loads(line)
    return told


@pytest.mark.parametrize(
    ("environ", "attended"),
    [
        ({}, True),
        ({"CLAUDE_CODE_ENTRYPOINT": "claude-vscode"}, True),
        ({"CLAUDE_CODE_ENTRYPOINT": "sdk-cli"}, False),
        ({"CLAUDE_CODE_ENTRYPOINT": "sdk-py"}, False),
        ({"CLAUDE_CODE_ENTRYPOINT": None}, False),
        ({"CLAUDE_CODE_SESSION_ATTENDED": "0"}, False),
        ({"CLAUDE_CODE_SESSION_ATTENDED": None}, None),
        ({"CLAUDE_CODE_SESSION_ATTENDED": "yes"}, None),
        ({"CLAUDE_CODE_SESSION_ID": "another"}, None),
        ({"CLAUDE_CODE_SESSION_ID": None}, None),
    ],
)
def test_a_run_is_attended_only_where_its_own_environment_says_so(
    environ: Mapping[str, str | None], attended: bool | None
) -> None:
    whole = {name: value for name, value in {**HERE, **environ}.items() if value is not None}
    assert hook.interactive(whole, "s1") is attended


def test_what_the_gateway_has_no_use_for_stays_behind() -> None:
    event = {
        "hook_event_name": "Stop",
        "session_id": "s1",
        "transcript_path": "/a",
        "cwd": "/b",
        "last_assistant_message": "private",
        "background_tasks": [{"command": "private"}],
        "session_crons": [],
    }
    told = sent(event)
    assert told["event"] == {
        "hook_event_name": "Stop",
        "session_id": "s1",
        "background_tasks": 1,
        "session_crons": 0,
    }
    assert (told["op"], told["client"], told["interactive"]) == ("hook", "tester", None)


def test_what_is_too_long_is_left_out_and_its_length_told() -> None:
    much = "x" * (hook.MOST_SENT + 1)
    told = sent({"tool_response": much, "tool_input": {"a": 1}})
    assert (told["event"], told["cut"]) == (
        {"tool_response": None, "tool_input": {"a": 1}},
        {"tool_response": len(much) + 2},
    )
    asked = sent({"prompt": much})
    assert asked["event"]["prompt"] == much[: hook.MOST_SENT // 16]
    assert asked["cut"] == {"prompt": len(much) + 2}


def test_half_characters_are_sent_as_question_marks() -> None:
    assert sent({"prompt": "a\ud800b"})["event"]["prompt"] == "a?b"


@pytest.mark.parametrize(
    "words",
    [
        *(["elsewhere"], ["claude-code", "--clint", "x"], ["claude-code", "--client"], ["claude-code", "more"]),
        *(["--json"], ["--clint", "claude-code"]),
    ],
)
def test_wrong_options_never_end_with_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert hook.run(words) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words", [["--json"], ["--config", "{config}"], ["--config={config}", "--client", "x"]], ids=" ".join
)
def test_options_may_stand_before_the_kind(
    words: list[str], config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook, "POLL", 1e9)  # it does not wait
    monkeypatch.setattr("sys.stdin", Input(STOP))
    monkeypatch.setenv("WARDGATE_CONFIG", str(config))
    assert hook.run([*(word.format(config=config) for word in words), "claude-code"]) == 1
    assert "no gateway answers" in capsys.readouterr().err


def test_without_a_kind_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert hook.run(["--json"]) == 1
    assert "claude-code" in capsys.readouterr().err
    assert hook.run(["--json", "--help"]) == 0


class Input:
    """Standard input that holds these bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")
    (tmp_path / "state").mkdir()
    return tmp_path


def play(config: Path, event: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", Input(event))
    return hook.run(["claude-code", f"--config={config}", "--client", "tester"])


STOP = b'{"hook_event_name": "Stop", "session_id": "s1"}'


def test_without_a_gateway_it_ends_at_once_with_one_line(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook, "POLL", 1e9)  # it does not wait
    assert play(config, STOP, monkeypatch) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_an_event_over_the_limit_is_not_read(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook, "LONGEST_EVENT", len(STOP) - 1)
    assert play(config, STOP, monkeypatch) == 1
    assert "at most" in capsys.readouterr().err


def answer(config: Path, said: Mapping[str, Any], ready: threading.Event, heard: list[bytes]) -> None:
    """A gateway that answers once."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(config / "state" / CONTROL_NAME))
        listener.listen()
        ready.set()
        link, _ = listener.accept()
        with link:
            heard.append(link.recv(1 << 16))
            link.sendall(json.dumps(said).encode() + b"\n")


@pytest.mark.parametrize(("said", "code"), [({"ok": True}, 0), ({"ok": False, "error": "no", "exit": 2}, 1)])
def test_the_gateways_answer_is_the_exit_code_but_never_2(
    said: Mapping[str, Any],
    code: int,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ready, heard = threading.Event(), list[bytes]()
    gateway = threading.Thread(target=answer, args=(config, said, ready, heard))
    gateway.start()
    assert ready.wait(10)
    assert play(config, STOP, monkeypatch) == code
    gateway.join(10)
    assert json.loads(heard[0])["event"]["hook_event_name"] == "Stop"
    assert capsys.readouterr().out == ""


def test_a_gateway_that_is_being_started_is_waited_for(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shim holds the lock of its turn while it starts one; the listener comes up once the hook polls."""
    lock = os.open(config / "state" / "start.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ready, heard = threading.Event(), list[bytes]()
    gateway = threading.Thread(target=answer, args=(config, {"ok": True}, ready, heard))

    def poll(seconds: float) -> None:
        if not gateway.is_alive():
            gateway.start()
        assert ready.wait(10)

    monkeypatch.setattr("gateway.cli.hook.time.sleep", poll)
    assert play(config, STOP, monkeypatch) == 0
    gateway.join(10)
    os.close(lock)
    assert not hook._starting(config / "state")


def test_it_imports_nothing_heavy(config: Path) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'msgspec', 'gateway.core', 'cel', 'pydantic'"
    run = "import gateway.cli.hook as it, sys; it.run(['claude-code'])"
    code = f"{run}; print([each for each in ({heavy}) if each in sys.modules])"
    told = {**os.environ, "WARDGATE_CONFIG": str(config)}
    done = subprocess.run([sys.executable, "-c", code], input=STOP, capture_output=True, check=True, env=told)
    assert done.stdout == b"[]\n"
