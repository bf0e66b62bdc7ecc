"""The desktop's own notices, with scripts in the place of the platform's programs: what they are told, exactly."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from gateway.core.notice import Group, Notice
from gateway.errors import GatewayError
from gateway.notices.desktop import Desktop, find_desktop
from tests.fakes import DEADLINE

pytestmark = pytest.mark.may_block(reason="looking for the programs is done once, at start")
GROUP, OTHER = Group("os:alice", "claude-code", "s1"), Group("os:alice", "claude-code", "s2")
NOTICE = Notice('Wardgate: "a" & b', "<b>files/x</b> -- $(id)\nhttp://localhost:1/approvals/a_1")
SECRETIVE = "WARDGATE_SOMETHING"


class Programs:
    """A folder of programs that note their words and say what they are told to say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        folder.mkdir()

    def put(self, name: str, says: str = "", code: int = 0) -> None:
        """Put a program there; `{n}` in what it says is how often it was run."""
        script = (
            f"#!{sys.executable}\nimport json, os, sys\nlog = {str(self.log)!r}\n"
            f"line = json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], sorted(os.environ)])\n"
            "with open(log, 'a') as file: file.write(line + '\\n')\n"
            f"count = sum(1 for _ in open(log))\nprint({says!r}.replace('{{n}}', str(40 + count)))\nsys.exit({code})\n"
        )
        (self.folder / name).write_text(script, encoding="utf-8")
        (self.folder / name).chmod(0o700)

    @property
    def ran(self) -> list[list[str]]:
        """The programs that were run, with their words."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [json.loads(line)[:-1] for line in lines]

    @property
    def environments(self) -> list[list[str]]:
        """The names of the variables that they saw."""
        return [json.loads(line)[-1] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def desktop(self, platform: str = "linux", **more: str) -> Desktop:
        """The desktop that is found with these programs."""
        environ = {"PATH": str(self.folder), "DBUS_SESSION_BUS_ADDRESS": "unix:path=none", SECRETIVE: "x", **more}
        found = find_desktop(environ, platform)
        assert found is not None
        return found


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "programs")


@pytest.mark.parametrize(
    ("environ", "names", "platform"),
    [
        ({}, ("notify-send",), "linux"),
        ({"DBUS_SESSION_BUS_ADDRESS": "x"}, (), "linux"),
        ({"XDG_RUNTIME_DIR": "/nowhere"}, ("notify-send",), "linux"),
        ({}, ("notify-send",), "darwin"),
    ],
    ids=["no-bus", "no-program", "no-socket", "mac-without"],
)
def test_where_there_is_no_desktop_there_is_none(
    programs: Programs, environ: Mapping[str, str], names: tuple[str, ...], platform: str
) -> None:
    for name in names:
        programs.put(name)
    assert find_desktop({"PATH": str(programs.folder), **environ}, platform) is None


def test_the_bus_is_found_in_the_runtime_folder_too(programs: Programs, tmp_path: Path) -> None:
    programs.put("gdbus")
    (tmp_path / "bus").touch()
    assert find_desktop({"PATH": str(programs.folder), "XDG_RUNTIME_DIR": str(tmp_path)}, "linux") is not None


async def test_notify_send_shows_exchanges_in_place_and_takes_away(programs: Programs) -> None:
    programs.put("notify-send", "{n}")
    desktop = programs.desktop()
    with anyio.fail_after(DEADLINE):
        await desktop.tell(GROUP, NOTICE, anew=True)
        await desktop.tell(GROUP, NOTICE, anew=False)
        await desktop.tell(OTHER, NOTICE, anew=False)  # it was never shown: there is nothing to exchange
        await desktop.withdraw(GROUP)
        await desktop.withdraw(GROUP)
    body = "&lt;b&gt;files/x&lt;/b&gt; -- $(id)\nhttp://localhost:1/approvals/a_1"
    shown = ["notify-send", "--app-name=Wardgate", "--expire-time=0", "--print-id"]
    assert programs.ran == [
        [*shown, "--", NOTICE.title, body],
        [*shown, "--replace-id=41", "--", NOTICE.title, body],
        [*shown[:2], "--replace-id=42", "--expire-time=1", "--transient", "--", "Wardgate: settled", ""],
    ]


async def test_programs_see_next_to_nothing_of_the_environment(programs: Programs) -> None:
    programs.put("notify-send", "1")
    with anyio.fail_after(DEADLINE):
        await programs.desktop(HOME="/home/ada").tell(GROUP, NOTICE, anew=True)
    (seen,) = programs.environments
    assert SECRETIVE not in seen
    assert {"HOME", "PATH", "DBUS_SESSION_BUS_ADDRESS"} <= set(seen)


async def test_what_notify_send_showed_is_closed_over_the_bus_where_that_can_be(programs: Programs) -> None:
    programs.put("notify-send", "7")
    programs.put("gdbus")
    desktop = programs.desktop()
    with anyio.fail_after(DEADLINE):
        await desktop.tell(GROUP, NOTICE, anew=True)
        await desktop.withdraw(GROUP)
    assert programs.ran[-1][-2:] == ["org.freedesktop.Notifications.CloseNotification", "7"]


async def test_gdbus_is_given_texts_that_it_can_not_misread(programs: Programs) -> None:
    programs.put("gdbus", "(uint32 {n},)")
    desktop = programs.desktop()
    with anyio.fail_after(DEADLINE):
        await desktop.tell(GROUP, NOTICE, anew=True)
        await desktop.tell(GROUP, NOTICE, anew=False)
        await desktop.withdraw(GROUP)
    first, again, closed = programs.ran
    at = first.index("--method") + 2
    body = '"&lt;b&gt;files/x&lt;/b&gt; -- $(id)\\nhttp://localhost:1/approvals/a_1"'
    assert first[at - 1] == "org.freedesktop.Notifications.Notify"
    assert first[at:] == ['"Wardgate"', "0", '""', '"Wardgate: \\"a\\" & b"', body, "[]", "{}", "0"]
    assert again[at + 1] == "41"
    assert closed[-1] == "42"


async def test_busctl_is_told_the_types_of_its_words(programs: Programs) -> None:
    programs.put("busctl", "u {n}")
    desktop = programs.desktop()
    with anyio.fail_after(DEADLINE):
        await desktop.tell(GROUP, NOTICE, anew=True)
        await desktop.withdraw(GROUP)
    shown, closed = programs.ran
    assert shown[7:10] == ["susssasa{sv}i", "Wardgate", "0"]
    assert closed[-3:] == ["CloseNotification", "u", "41"]


async def test_osascript_gets_texts_as_arguments_and_takes_nothing_away(programs: Programs) -> None:
    programs.put("osascript", "7")
    desktop = programs.desktop("darwin")
    with anyio.fail_after(DEADLINE):
        await desktop.tell(GROUP, NOTICE, anew=True)
        await desktop.tell(GROUP, NOTICE, anew=False)
        await desktop.withdraw(GROUP)
    (shown,) = programs.ran
    assert shown[-2:] == [NOTICE.title, NOTICE.text]
    assert not any(NOTICE.title in word for word in shown[:-2])


async def test_a_program_that_fails_or_is_gone_is_an_error_in_words(programs: Programs) -> None:
    programs.put("notify-send", "", 3)
    desktop = programs.desktop()
    with anyio.fail_after(DEADLINE):
        with pytest.raises(GatewayError, match="`notify-send` ended with 3"):
            await desktop.tell(GROUP, NOTICE, anew=True)
        (programs.folder / "notify-send").unlink()
        with pytest.raises(GatewayError, match="can't be run"):
            await desktop.tell(GROUP, NOTICE, anew=True)


async def test_a_program_that_says_no_id_leaves_nothing_to_take_away(programs: Programs) -> None:
    programs.put("notify-send", "")
    desktop = programs.desktop()
    with anyio.fail_after(DEADLINE):
        await desktop.tell(GROUP, NOTICE, anew=True)
        await desktop.withdraw(GROUP)
    assert len(programs.ran) == 1
