"""The state folder of a configuration that can't be read: found where it can be, never guessed, and told in a line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest
from platformdirs import user_config_path, user_state_path

from gateway.cli import approvals, client, deny, freeze, honeytoken, thaw
from gateway.cli.options import COMPLETING
from gateway.cli.talk import Unreachable, find_state
from gateway.place import state_folder
from tests.cli.room import CONFIG, configure, run_here, running

Capture = pytest.CaptureFixture[str]
BROKEN = "[upstreams.new\n"
DEFAULT = "the platform's"


def written(folder: Path, text: str | bytes) -> Path:
    """A configuration that says this."""
    folder.mkdir(exist_ok=True)
    (folder / "upstreams.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the platform's state folder, and no configuration."""
    monkeypatch.delenv("WARDGATE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    user_state_path("wardgate").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (f"{BROKEN}[gateway]\nstate = 'kept'\n", "kept"),
        (f"[gateway]\nstate = 'kept'\n[limits]\n{BROKEN}", "kept"),
        (f'schema = 1\r\n[gateway]\r\nstate = "kept"\r\n{BROKEN}', "kept"),
        (f'\ufeff[gateway]\nstate = "kept"\n{BROKEN}', "kept"),
        (f'  [ gateway ] # ours\n  state = "kept"  # here\n{BROKEN}', "kept"),
        (f'["gateway"]\n"state" = "kept"\n{BROKEN}', "kept"),
        (f'[gateway]\nstate = "a\\u0062"\n{BROKEN}', "ab"),
        (f"note = '''\n[gateway]\nstate = 'kept'\n{BROKEN}", "kept"),
        ("[gateway\nstate = 'kept'\n", "kept"),
        ("[gateway]\nlisten = 127.0.0.1\nstate = 'kept'\n", "kept"),
        ("[gateway]\nlisten = '127.0.0.1\nstate = 'kept' # here\n", "kept"),
        (b"[gateway]\nstate = 'kept'\n[upstreams.x]\nowner = '\xff'\n", "kept"),
        (b"[gateway]\nstate = '\xff'\n[upstreams.x]\nowner = '\xff'\n", "\udcff"),
        (f"[gateway]\nlisten = '127.0.0.1:1'\n{BROKEN}", DEFAULT),
        (f"[gateway]\nlisten = '127.0.0.1:1\n{BROKEN}", DEFAULT),
        (f"schema = 1\n{BROKEN}", DEFAULT),
        ("schema = " + "[" * 5_000, DEFAULT),
    ],
    ids=[
        *("before", "behind", "lines of Windows", "BOM", "spaces", "quoted", "escaped", "in a text", "open header"),
        *("in a value", "open text", "no UTF-8", "a path that is no UTF-8", "not named", "not named, broken"),
        *("no table", "deep"),
    ],
)
def test_a_broken_configuration_still_tells_its_state_folder(
    text: str | bytes, state: str, home: Path, capsys: Capture
) -> None:
    folder = written(home / "c", text)
    expected = user_state_path("wardgate") if state is DEFAULT else folder / state
    expected.mkdir(exist_ok=True)
    assert find_state(str(folder)) == find_state(str(folder)) == expected
    (said,) = capsys.readouterr().err.splitlines()
    assert str(folder / "upstreams.toml") in said
    assert state is DEFAULT or state == "\udcff" or str(expected) in said


@pytest.mark.parametrize(
    "text",
    [
        f"[gateway]\nlisten = '127.0.0.1:1'\n{BROKEN}state = 'kept'\n",
        f"gateway.state = 'kept'\n{BROKEN}",
        f"'gateway'.state = 'kept'\n{BROKEN}",
        f"gateway = {{ state = 'kept' }}\n{BROKEN}",
        f"[gatway]\nstate = 'kept'\n{BROKEN}",
        f"[gateway]\n[gateway]\nstate = 'kept'\n{BROKEN}",
        f"[gateway]\nstate = 'kept\n{BROKEN}",
        f"[gateway]\nstate = 'kept'\nstate = 'other'\n{BROKEN}",
        f"[gateway]\nnote = '''\n[\n'''\nstate = 'kept'\n{BROKEN}",
        f"[gateway]\nlisten = 1 2\n[\nstate = 'kept'\n{BROKEN}",
        f"[gateway]\nstate = 7\n{BROKEN}",
        "[gateway]\nstate = ''\n",
    ],
    ids=[
        *("behind a header", "dotted", "dotted and quoted", "inline", "misspelled", "twice", "open", "named twice"),
        *("behind a text", "behind a line", "a number", "valid and empty"),
    ],
)
def test_where_the_state_folder_may_be_named_and_can_not_be_read_none_is_guessed(
    text: str, home: Path, capsys: Capture
) -> None:
    folder = written(home / "c", text)
    (folder / "kept").mkdir()
    with pytest.raises(Unreachable) as told:
        find_state(str(folder))
    assert told.value.code == 1
    assert capsys.readouterr().err == ""


def test_a_state_folder_that_is_not_there_is_none(tmp_path: Path, capsys: Capture) -> None:
    folder = written(tmp_path / "c", f"[gateway]\nstate = 'kept'\n{BROKEN}")
    with pytest.raises(Unreachable, match="can't be read"):
        find_state(str(folder))
    assert capsys.readouterr().err == ""


def test_what_starts_a_gateway_reads_no_broken_configuration(tmp_path: Path) -> None:
    folder = written(tmp_path / "c", f"[gateway]\nstate = 'kept'\n{BROKEN}")
    with pytest.raises(ValueError, match="at line 3"):
        state_folder(folder / "upstreams.toml")


def test_a_shell_that_asks_for_words_is_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    folder = written(tmp_path / "c", f"[gateway]\nstate = 'kept'\n{BROKEN}")
    (folder / "kept").mkdir()
    monkeypatch.setenv(COMPLETING, "1")
    assert find_state(str(folder)) == folder / "kept"
    assert capsys.readouterr().err == ""


def test_a_configuration_that_can_not_be_opened_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").mkdir()
    with pytest.raises(Unreachable, match="can't be read"):
        find_state(str(tmp_path / "upstreams.toml" / "upstreams.toml" / "upstreams.toml"))
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    with pytest.raises(Unreachable, match="can't be read"):
        find_state(str(tmp_path / "loop.toml"))


# --- a configuration that is gone -----------------------------------------------------------------------------------


def by_folder(environ: pytest.MonkeyPatch) -> str | None:
    return str(user_config_path("wardgate"))


def by_variable(environ: pytest.MonkeyPatch) -> str | None:
    environ.setenv("WARDGATE_CONFIG", str(user_config_path("wardgate") / "upstreams.toml"))
    return None


@pytest.mark.parametrize("name", [lambda environ: None, by_folder, by_variable], ids=["none", "option", "variable"])
def test_where_the_platforms_configuration_is_gone_its_state_folder_is_taken(
    name: Callable[[pytest.MonkeyPatch], str | None], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    given = name(monkeypatch)
    assert find_state(given) == user_state_path("wardgate")
    (said,) = capsys.readouterr().err.splitlines()
    assert str(user_state_path("wardgate")) in said
    user_config_path("wardgate").parent.mkdir(exist_ok=True)
    user_config_path("wardgate").write_text("no folder any more", encoding="utf-8")
    assert find_state(given) == user_state_path("wardgate")


def test_where_another_configuration_is_gone_nothing_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="wardgate init"):
        find_state(str(home / "elsewhere"))
    monkeypatch.setenv("WARDGATE_CONFIG", str(home / "elsewhere"))
    with pytest.raises(Unreachable, match="wardgate init"):
        find_state(None)
    monkeypatch.delenv("WARDGATE_CONFIG")
    user_state_path("wardgate").rmdir()
    with pytest.raises(Unreachable, match="wardgate init"):
        find_state(None)


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
async def test_with_a_broken_configuration_everything_is_held_and_denied_all_the_same(
    tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        written(tmp_path / "c", f"{CONFIG}{BROKEN}")
        assert (await room.run(freeze, "--all")).code == 0
        (held,) = room.approvals.standings.freezes()
        assert held.upstream == held.session == ""
        assert (await room.run(approvals)).out.count(row.id) == 1
        assert (await room.run(deny, row.id)).code == 0
        assert (await room.run(freeze, "mail")).code == 0


async def off(capsys: Capture, command: object, folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a command where no gateway runs."""
    return await anyio.to_thread.run_sync(run_here, capsys, command, [*words, "--config", str(folder)])


@pytest.mark.parametrize("words", [["--all"], ["s1"]], ids=" ".join)
@pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
async def test_with_a_broken_configuration_and_no_gateway_the_store_is_written_to(
    words: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        await room.asks()
    written(tmp_path / "c", f"{CONFIG}{BROKEN}")
    assert (await off(capsys, freeze, tmp_path / "c", *words))[0] == 0
    code, _, err = await off(capsys, freeze, tmp_path / "c", "files")
    assert code == 1
    assert "unknown" in err
    configure(tmp_path / "c")
    async with running(tmp_path / "c", capsys) as room:
        assert len(room.approvals.standings.freezes()) == 1
    assert (await off(capsys, thaw, tmp_path / "c", *words))[0] == 0


async def test_what_needs_more_of_a_broken_configuration_says_so(tmp_path: Path, capsys: Capture) -> None:
    written(configure(tmp_path / "c"), f"{CONFIG}{BROKEN}")
    (tmp_path / "c" / "state").mkdir(mode=0o700)
    code, out, err = await off(capsys, client, tmp_path / "c", "add", "ci")
    assert (code, out.count("\n"), "Until it is" in err) == (0, 1, True)
    code, _, err = await off(capsys, honeytoken, tmp_path / "c", "files")
    assert (code, "can't be read" in err) == (1, True)
