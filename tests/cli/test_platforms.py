"""Where it doesn't run, every command says so, before anything of it is loaded."""

import subprocess
import sys

import pytest

from gateway.cli import main as entry
from gateway.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_on_windows_a_command_says_that_it_is_not_supported(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["wardgate", name])
    monkeypatch.setattr(entry, "import_module", loaded.append)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, loaded) == (3, "", [])
    assert "Windows is not supported" in said.err


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_on_windows_help_and_version_are_told(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["wardgate", option])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "wardgate" in capsys.readouterr().out


def test_the_entry_loads_nothing_that_windows_does_not_have() -> None:
    missing = "'fcntl', 'pwd', 'grp', 'termios', 'resource'"
    code = f"import sys; [sys.modules.__setitem__(name, None) for name in ({missing})]; import gateway.cli.main"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
