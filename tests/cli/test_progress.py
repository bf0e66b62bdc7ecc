"""What is waited for is shown at a terminal after a moment, and nothing of it is left; pipes get nothing."""

import io
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import anyio
import pytest

from gateway.cli import progress as shown
from gateway.cli.main import COMMANDS
from gateway.cli.progress import AFTER, progress
from gateway.core.model import Kind
from tests.cli.ptys import terminal as on_terminal
from tests.cli.room import configure, run_here
from tests.cli.test_log import record
from tests.cli.test_reach import FILES, put
from tests.fakes import DEADLINE
from tests.store.keep import an_entry

ERASED = "\x1b[2K"


class Terminal(io.StringIO):
    """A terminal that says when something is written on it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        found = super().write(text)
        if "counting" in self.getvalue():
            self.written.set()
        return found


def screen(patch: pytest.MonkeyPatch, after: float = 0) -> Terminal:
    """Standard error, as a terminal on which waiting is shown so soon."""
    made = Terminal()
    patch.setattr(sys, "stderr", made)  # in a test: what captures sets its own before each
    patch.setattr(shown, "AFTER", after)
    patch.setenv("TERM", "xterm")
    return made


def shows() -> bool:
    """Whether something is being shown now."""
    return any(each.name == shown.NAME for each in threading.enumerate())


def test_what_takes_long_is_shown_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    with progress("counting [bold]rows[/bold]", quiet=False):
        assert terminal.written.wait(DEADLINE)
        assert shows()
    assert "counting [bold]rows[/bold]" in terminal.getvalue()
    assert terminal.getvalue().endswith(ERASED)  # nothing of it is left


def test_what_is_quick_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch, AFTER)
    with progress("counting", quiet=False):
        pass
    assert terminal.getvalue() == ""
    assert AFTER == 1.0


@pytest.mark.parametrize(("quiet", "term"), [(True, "xterm"), (False, "dumb")])
def test_json_and_terminals_that_can_not_draw_get_nothing(
    quiet: bool, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = screen(monkeypatch)
    monkeypatch.setenv("TERM", term)
    with progress("counting", quiet=quiet):
        assert not shows()
    assert terminal.getvalue() == ""


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    monkeypatch.setattr(shown, "AFTER", 0)
    with progress("counting", quiet=False):
        pass
    assert pipe.getvalue() == ""


def test_what_fails_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    with suppress(ValueError), progress("counting", quiet=False):
        assert terminal.written.wait(DEADLINE)
        raise ValueError
    assert terminal.getvalue().endswith(ERASED)
    assert not shows()


LONG = {
    "verify": "verifying the record",
    "backup copy": "copying the record",
    "export --output rows": "exporting the record",
    "record find --value x": "looking through the record",
    "record rotate digest": "exchanging the key",
    "policy simulate": "deciding again",
    "policy propose": "reading the record",
    "policy test": "playing the tests",
    "reach": "looking at what each tool",
    "check": "reading the configuration",
    "warm": "compiling the scanner's rules",
}
"""Commands that may take long, and what is shown meanwhile."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, policies and a record."""
    folder = configure(tmp_path / "place")
    put(folder, FILES)
    record(folder, an_entry(1, Kind.OUTCOME, outcome="ok"))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("words", LONG)
def test_what_may_take_long_is_shown_but_with_json(
    words: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *more = words.split()
    command = import_module(COMMANDS[name][0])
    if "--output" not in more:  # which goes not with `--json`
        quiet = screen(monkeypatch)
        assert run_here(capsys, command, [*more, "--json", "--config", str(place)]).code == 0
        assert quiet.getvalue() == ""
        more = ["again" if word == "copy" else word for word in more]
    loud = screen(monkeypatch)
    assert run_here(capsys, command, [*more, "--config", str(place)]).code == 0
    assert LONG[words] in loud.getvalue()


@pytest.mark.slow
async def test_compiling_the_rules_is_shown_at_a_terminal_and_then_its_result(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE * 6):
        async with on_terminal("warm", environment={"WARDGATE_CACHE": str(tmp_path / "rules")}) as seen:
            assert await seen.end() == 0
            assert "compiling the scanner's rules" in seen.shown
            last = seen.raw.decode().rpartition(ERASED)[2]
            assert "is warm now" in last
