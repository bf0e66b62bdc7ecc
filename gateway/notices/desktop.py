"""The platform's own desktop notices: shown, exchanged in place and taken away again, by the programs that are there.

Programs are run as argument lists, without a shell, with next to nothing of the environment. Linux: `notify-send`, else
D-Bus by `gdbus` or `busctl`; macOS: `osascript`, which can't take a notice away.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio

from gateway.core.notice import Group, Notice
from gateway.errors import GatewayError

PASSED_ON = ("PATH", "HOME", "LANG", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
BUS = "org.freedesktop.Notifications"
OBJECT = "/org/freedesktop/Notifications"
APP = "Wardgate"
STAYS = "0"  # until it is taken away: that is what happens when nothing waits any more
PASSES = "30000"  # ms
SCRIPT = (
    *("-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)"),
    *("-e", "end run"),
)
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # a notice's body is markup

Which = Callable[[str], str | None]


def find_desktop(
    environ: Mapping[str, str], platform: str | None = None, which: Which | None = None
) -> "Desktop | None":
    """The desktop that can be told something, or None where there is none."""
    look = which or (lambda name: shutil.which(name, path=environ.get("PATH")))
    passed = {name: environ[name] for name in PASSED_ON if name in environ}
    if (platform or sys.platform) == "darwin":
        found = look("osascript")
        return Desktop("osascript", {"osascript": found}, passed) if found else None
    if not _has_bus(environ):
        return None
    programs = {name: path for name in ("notify-send", "gdbus", "busctl") if (path := look(name))}
    return Desktop(next(iter(programs)), programs, passed) if programs else None


def _has_bus(environ: Mapping[str, str]) -> bool:
    runtime = environ.get("XDG_RUNTIME_DIR")
    return bool(environ.get("DBUS_SESSION_BUS_ADDRESS")) or (runtime is not None and (Path(runtime) / "bus").exists())


class Desktop:
    """One desktop. `by` is the program that shows notices, `programs` are the paths of all that are there."""

    name = "desktop"

    def __init__(self, by: str, programs: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._by, self._programs, self._environ = by, programs, environ
        self._shown: dict[Group, str] = {}

    async def tell(self, group: Group, notice: Notice, *, anew: bool) -> None:
        """Show a notice, in the place of the group's earlier one; raises `GatewayError`. One that was shown before and
        is only otherwise now (`anew` false) isn't shown where it can't be exchanged.
        """
        before = self._shown.get(group, "")
        if not anew and not before:
            return
        said = await self._run(*self._show(notice, before))
        found = re.findall(r"\d+", said)
        if found and notice.stays and self._by != "osascript":
            self._shown[group] = found[-1]

    async def withdraw(self, group: Group) -> None:
        """Take a group's notice away, where that can be done; raises `GatewayError`."""
        id = self._shown.pop(group, "")
        if id:
            await self._run(*self._close(id))

    def _show(self, notice: Notice, before: str) -> Sequence[str]:
        title, body = notice.title, notice.text.translate(_ESCAPES)
        program, lasts = self._programs[self._by], STAYS if notice.stays else PASSES
        match self._by:
            case "notify-send":
                replaced = [f"--replace-id={before}"] if before else []
                time = f"--expire-time={lasts}"
                return (program, f"--app-name={APP}", time, "--print-id", *replaced, "--", title, body)
            case "gdbus":
                given = (APP, before or "0", "", title, body, "[]", "{}", lasts)
                quoted = [text if place in (1, 5, 6, 7) else _variant(text) for place, text in enumerate(given)]
                return (*self._gdbus("Notify"), *quoted)
            case "busctl":
                given = (APP, before or "0", "", title, body, "0", "0", lasts)
                return (*self._busctl("Notify", "susssasa{sv}i"), *given)
            case _:
                return (program, *SCRIPT, title, notice.text)

    def _close(self, id: str) -> Sequence[str]:
        if "gdbus" in self._programs:
            return (*self._gdbus("CloseNotification"), id)
        if "busctl" in self._programs:
            return (*self._busctl("CloseNotification", "u"), id)
        # It can only be exchanged for one that goes by itself.
        shown = (f"--replace-id={id}", "--expire-time=1", "--transient")
        return (self._programs["notify-send"], f"--app-name={APP}", *shown, "--", f"{APP}: settled", "")

    def _gdbus(self, method: str) -> Sequence[str]:
        where = ("--session", "--dest", BUS, "--object-path", OBJECT, "--method", f"{BUS}.{method}")
        return (self._programs["gdbus"], "call", *where)

    def _busctl(self, method: str, signature: str) -> Sequence[str]:
        return (self._programs["busctl"], "--user", "call", BUS, OBJECT, BUS, method, signature)

    async def _run(self, *words: str) -> str:
        try:
            done = await anyio.run_process(
                words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=dict(self._environ)
            )
        except OSError as problem:
            raise GatewayError(f"`{Path(words[0]).name}` can't be run: {problem.strerror}") from None
        if done.returncode:
            raise GatewayError(f"`{Path(words[0]).name}` ended with {done.returncode}")
        return done.stdout[:256].decode("ascii", "replace")


def _variant(text: str) -> str:
    """A text as gdbus reads one."""
    return json.dumps(text, ensure_ascii=False)
