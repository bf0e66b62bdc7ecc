"""Every command alike: `--help`, `--config`, `--json`, one line for what is wrong, and what the exit codes mean."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from gateway.cli.main import COMMANDS, usage
from gateway.core.model import ApprovalState
from tests.cli.ptys import Pty, terminal
from tests.cli.room import Ended, configure, run_here, running

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
FINE, FINDINGS, USAGE, UNREACHABLE = 0, 1, 2, 3


class Case(NamedTuple):
    """One thing that a command does, and how it ends without a gateway and without a record of one."""

    words: str
    alone: int | None = UNREACHABLE  # None: it opens a gateway of its own
    unread: int | None = FINDINGS  # where the configuration can't be read; None: it reads none
    lists: bool = False  # whether it prints one object with `--json` and changes nothing
    names: bool = False  # whether it ends with an id or a name that nothing has

    def __str__(self) -> str:
        return self.words


CASES = (
    Case("check", FINE, lists=True),
    Case("lock --check", None),
    Case("accept files__nothing", None),
    Case("tools", None),
    Case("doctor", None),
    Case("approvals", lists=True),
    Case("approvals list --state all", lists=True),
    Case("approvals show a_0000000000", names=True),
    Case("approve a_0000000000", names=True),
    Case("deny a_0000000000", names=True),
    Case("grants", lists=True),
    Case("grants revoke g_0000000000", names=True),
    Case("freeze", lists=True),
    Case("freeze --all"),
    Case("freeze filos", names=True),
    Case("thaw --all"),
    Case("thaw filos", names=True),
    Case("policy review", lists=True),
    Case("policy test", FINE, lists=True),
    Case("policy explain files/read", FINE, lists=True),
    Case("policy simulate", lists=True),
    Case("policy propose", lists=True),
    Case("reach", FINE, lists=True),
    Case("reach --session s_0000000000", names=True),
    Case("console"),
    Case("approver list", lists=True),
    Case("approver revoke k_0000000000", names=True),
    Case("log", lists=True),
    Case("explain d_0000000000", names=True),
    Case("export"),  # it takes signals, which a thread can't: tests/cli/test_export.py reads its object
    Case("export --proof d_0000000000", names=True),
    Case("verify", lists=True),
    Case("backup copy"),
    Case("record find --value nothing", lists=True),
    Case("record rotate digest"),
    Case("record forget --before 90d"),
    Case("leaks", lists=True),
    Case("leaks show k_0000000000", names=True),
    Case("leaks resolve k_0000000000 --proof turned", names=True),
    Case("leaks accept k_0000000000 --reason made-up", names=True),
    Case("sessions", lists=True),
    Case("client list", FINE, lists=True),
    Case("client revoke nobody", FINDINGS, names=True),
    Case("honeytoken", FINE, lists=True),
    Case("honeytoken filos", FINDINGS, names=True),
    Case("login filos", FINDINGS, names=True),
    Case("completion bash", FINE, unread=None, lists=True),
    Case("warm", FINE, unread=None),  # tests/cli/test_warm.py reads its object
    Case("demo", None, unread=None),
    Case("init", None, unread=None),
    Case("connect cursor", None),
    Case("disconnect cursor", None),
)
PRESENT = [case for case in CASES if case.words.split()[0] in COMMANDS]
SHIMS = ("stdio", "hook", "serve")  # what clients and service managers run: looked at in a process of its own


def run(capture: Capture, words: str, *more: str) -> Ended:
    """Run one command in this process."""
    name, *rest = words.split()
    return run_here(capture, import_module(COMMANDS[name][0]), [*rest, *more])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_command_is_looked_at() -> None:
    assert {case.words.split()[0] for case in PRESENT} | set(SHIMS) == set(COMMANDS)


@pytest.mark.parametrize("case", PRESENT, ids=str)
def test_help_tells_of_config_and_json(case: Case, capsys: Capture) -> None:
    ended = run(capsys, case.words, "--help")
    assert (ended.code, ended.err) == (FINE, "")
    assert "--config" in ended.out
    assert "--json" in ended.out


@pytest.mark.parametrize("case", PRESENT, ids=str)
def test_a_wrong_option_is_2_and_one_line_with_the_nearest(case: Case, capsys: Capture) -> None:
    ended = run(capsys, case.words, "--jsn")
    assert (ended.code, ended.out) == (USAGE, "")
    assert ended.err.count("\n") == 1
    assert "unknown option `--jsn`; did you mean `--json`?" in ended.err


@pytest.mark.parametrize("case", [case for case in PRESENT if case.unread is not None], ids=str)
def test_a_configuration_that_can_not_be_read_is_1(case: Case, tmp_path: Path, capsys: Capture) -> None:
    ended = run(capsys, case.words, "--config", str(tmp_path / "nowhere" / "upstreams.toml"), "--json")
    assert ended.code == FINDINGS
    if ended.out:  # `check` and `doctor` tell what they find there
        assert "upstreams.toml" in json.dumps(json.loads(ended.out)["items"])
    else:
        assert ended.err.startswith("wardgate: ")
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize("case", [case for case in PRESENT if case.unread is not None], ids=str)
def test_a_broken_configuration_breaks_no_command(case: Case, tmp_path: Path, capsys: Capture) -> None:
    folder = configure(tmp_path / "place")
    (folder / "upstreams.toml").write_text("[gateway]\nstate = 'state'\n[upstreams.new\n", encoding="utf-8")
    (folder / "state").mkdir(mode=0o700)
    ended = run(capsys, case.words, "--config", str(folder))
    assert ended.code in (FINE, FINDINGS, UNREACHABLE)
    assert "upstreams.toml" in ended.out + ended.err


@pytest.mark.parametrize("case", [case for case in PRESENT if case.alone is not None], ids=str)
def test_without_a_gateway_and_a_record_it_says_so(case: Case, tmp_path: Path, capsys: Capture) -> None:
    ended = run(capsys, case.words, "--config", str(configure(tmp_path / "place")))
    assert ended.code == case.alone
    if ended.code:
        assert (ended.out, ended.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("case", [case for case in PRESENT if case.lists or case.names], ids=str)
async def test_beside_a_gateway_what_lists_prints_one_object_and_what_has_no_name_is_1(
    case: Case, tmp_path: Path, capsys: Capture
) -> None:
    folder = str(tmp_path / "place")
    async with running(tmp_path / "place", capsys):
        ended = await anyio.to_thread.run_sync(run, capsys, case.words, "--json", "--config", folder)
    if case.lists:
        assert ended.code == FINE, ended
        assert set(json.loads(ended.out)) == {"schema", "items", "next"}
    else:
        assert (ended.code, ended.out) == (FINDINGS, "")
        assert ended.err.startswith("wardgate: ")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("approvals lst", "list"),
        ("policy simulat", "simulate"),
        ("record fnd", "find"),
        ("log --kind outcom", "outcome"),
        ("log --reason resl", ""),
        ("completion fsh", "fish"),
        ("leaks --state opn", "open"),
        ("client list extra", ""),
        ("tools --unused -3", ""),
    ],
)
def test_a_wrong_word_is_2_and_names_the_nearest(words: str, near: str, capsys: Capture) -> None:
    ended = run(capsys, words)
    assert (ended.code, ended.out, ended.err.count("\n")) == (USAGE, "", 1)
    assert f"did you mean `{near}`?" in ended.err or not near


@pytest.mark.parametrize("words", ["freeze filos", "honeytoken filos", "login filos", "policy explain filos/read"])
def test_a_wrong_upstream_names_the_nearest(words: str, tmp_path: Path, capsys: Capture) -> None:
    with_store = words.startswith("freeze")
    folder = configure(tmp_path / "place")

    def said() -> str:
        return run(capsys, words, "--config", str(folder)).err

    async def beside_a_gateway() -> str:
        async with running(folder, capsys):
            return await anyio.to_thread.run_sync(said)

    assert "did you mean `files`?" in (anyio.run(beside_a_gateway) if with_store else said())


async def test_a_wrong_id_names_the_nearest(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "place", capsys) as room:
        id = (await room.asks()).id
        wrong = f"{id[:-1]}{'A' if id[-1] != 'A' else 'B'}"
        for words in (f"approve {wrong}", f"deny {wrong}", f"approvals show {wrong}"):
            ended = await anyio.to_thread.run_sync(run, capsys, words, "--config", str(tmp_path / "place"))
            assert ended.code == FINDINGS
            assert f"did you mean `{id}`?" in ended.err


@pytest.mark.parametrize("words", ["log --upstream filos", "log --tool wrte"])
async def test_a_filter_that_nothing_has_names_the_nearest(words: str, tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "place", capsys) as room:
        (room.folder / "policies").mkdir()
        lock = '[upstreams.files.tools]\nwrite = "ab"\n'
        (room.folder / "policies" / "tools.lock").write_text(lock, encoding="utf-8")
        ended = await anyio.to_thread.run_sync(run, capsys, words, "--config", str(tmp_path / "place"))
    assert ended.code == FINE
    assert "; did you mean `" in ended.out


def test_what_is_told_of_wrong_words_has_no_escapes(tmp_path: Path, capsys: Capture) -> None:
    nowhere = str(tmp_path / "\x1b[2J" / "upstreams.toml")
    for words in (["approvals", "\x1b[2J"], ["approvals", "--\x1b[2J"], ["log", "--kind", "\x1b[2J"]):
        assert "\x1b" not in run(capsys, *words).err
    for name in ("approvals", "log", "verify", "freeze", "grants"):
        assert "\x1b" not in run(capsys, name, "--config", nowhere).err


@pytest.mark.parametrize("words", [("stdio", "--jsn"), ("hook", "claude-code", "--jsn"), ("serve", "--jsn"), ("chek",)])
def test_what_clients_run_says_one_line_too(words: tuple[str, ...], wardgate_command: str) -> None:
    ended = subprocess.run(
        [wardgate_command, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert ended.returncode == (FINDINGS if words[0] == "hook" else USAGE)  # a hook's 2 would block the client's user
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize("name", SHIMS)
def test_what_clients_run_tells_of_config_and_json_and_takes_both(
    name: str, wardgate_command: str, tmp_path: Path
) -> None:
    helped = subprocess.run([wardgate_command, name, "--help"], capture_output=True, text=True, check=False)
    assert (helped.returncode, "--config" in helped.stdout, "--json" in helped.stdout) == (FINE, True, True)
    kind = ("claude-code",) if name == "hook" else ()
    nowhere = str(tmp_path / "nowhere" / "upstreams.toml")
    ended = subprocess.run(
        [wardgate_command, name, *kind, "--json", "--config", nowhere],
        capture_output=True,
        text=True,
        input="{}",
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (FINDINGS, "")
    assert "nowhere" in ended.stderr


@pytest.mark.parametrize("words", [("--help",), ("completion", "bash")])
def test_what_nobody_reads_on_ends_quietly(words: tuple[str, ...], wardgate_command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([wardgate_command, *words], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")


async def interrupted(screen: Pty) -> int:
    """Press Ctrl-C until it is heard: one that comes just before a read begins is heard after it. The exit code."""
    while True:
        os.kill(screen.process.pid, signal.SIGINT)
        with anyio.move_on_after(2):
            return await screen.end()


async def test_ctrl_c_ends_a_command_without_a_trace(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "place", capsys) as room:
        row = await room.asks()
        words = ("approve", row.id, "--config", str(tmp_path / "place"))
        async with terminal(*words) as screen:
            await screen.see("Type `yes`")
            assert await interrupted(screen) == 128 + signal.SIGINT
            assert "Traceback" not in screen.shown
        assert (await room.row(row)).state is ApprovalState.WAITING


def test_the_list_of_commands_fits_a_terminal() -> None:
    assert max(map(len, usage().splitlines())) <= 80
