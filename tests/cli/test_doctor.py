"""`doctor`: how far the caller is from the gateway, in words, and what is not as it should be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import approver, doctor
from tests.authenticator import SshKey
from tests.cli.room import configure, run_here, running
from tests.signing import in_thread

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]


async def test_it_tells_the_isolation_level_and_what_that_holds_against(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        told = await room.run(doctor)
        assert "level 0: the caller runs as the user of the gateway; 1 for a call that is approved by signature" in (
            told.out
        )
        assert "isolation: it holds against what an agent does through its tools" in told.out


async def test_an_upstream_that_is_not_there_is_a_warning(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        told = await room.run(doctor, "--json")
        items = {item["what"]: item for item in json.loads(told.out)["items"]}
        assert told.code == 1
        assert (items["upstream files"]["severity"], items["upstream mail"]["severity"]) == ("note", "warning")
        assert items["upstream mail"]["found"] == "failed: it ended"
        assert "runs" in items["gateway"]["found"]
        assert {tuple(item) for item in items.values()} == {("what", "where", "found", "do", "severity")}


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


def test_a_folder_of_another_user_is_level_2(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path / "state").stat().st_uid + 1)
    told = run_here(capsys, doctor, ["--config", str(tmp_path), "--json"])
    isolation, gateway = json.loads(told.out)["items"]
    assert isolation["found"] == "level 2: the gateway runs as a user of its own"
    assert "no gateway answers" in gateway["found"]


def test_without_a_gateway_nothing_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    told = run_here(capsys, doctor, ["--config", str(configure(tmp_path / "c"))])
    assert told.code == 0
    assert "level 0" in told.out
    assert not (tmp_path / "c" / "state").exists()


def test_a_configuration_that_can_not_be_read_is_exit_code_1(tmp_path: Path, capsys: Capture) -> None:
    assert run_here(capsys, doctor, ["--config", str(tmp_path)]).code == 1


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from gateway.cli.doctor import run; run(['--config', sys.argv[1]]);"
        "sys.exit(any(name in sys.modules for name in ('mcp', 'cel', 'anyio', 'rich', 'pydantic')))"
    )
    words = [sys.executable, "-c", code, str(configure(tmp_path / "c"))]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0


def test_what_does_not_count_of_the_files_is_a_warning_with_what_to_do() -> None:
    status = {
        "revision": "ab" * 32,
        "accepted_by": "os:ada",
        "accepted_how": "first seen",
        "held": [{"what": "policy", "differences": ["a.toml: new file"], "do": "wardgate accept x"}],
        "refused": "a.toml:3: not valid TOML",
        "restart": True,
    }
    found = list(doctor._policy(status))
    assert [(each.what, each.severity) for each in found] == [
        ("policy", "note"),
        ("policy held", "warning"),
        ("policy refused", "warning"),
        ("restart", "warning"),
    ]
    assert found[0].found == f"revision {'ab' * 6}: first seen, by os:ada"
    assert (found[1].found, "`wardgate accept x`" in found[1].do) == ("a.toml: new file", True)
    assert list(doctor._policy({})) == []
