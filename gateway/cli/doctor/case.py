"""What `doctor` looks at: where everything is, and what the gateway and the files say, each asked or read once.

It looks and changes nothing, but that a gateway is opened in this process where none runs and that was asked for.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.talk import UNREACHABLE, Unreachable, ask
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.clients import ClientFile, Server
    from gateway.config import Settings


def installed(name: str) -> str:
    """The version of a distribution; empty where there is none."""
    from importlib.metadata import PackageNotFoundError, version  # imported late, as below

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def there(path: Path) -> bool:
    """Whether something stands at a path, as far as that may be looked at."""
    try:
        return path.exists()
    except PermissionError:
        return False


class Case:
    """One run of `doctor`. `start` says whether upstreams may be started where no gateway runs."""

    def __init__(
        self,
        config: str | None,
        environ: Mapping[str, str],
        project: Path,
        *,
        start: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        platform: str = sys.platform,
        installed: Callable[[str], str] = installed,
        progress: Callable[[str], AbstractContextManager[None]] = lambda what: nullcontext(),
    ) -> None:
        self.config, self.environ, self.project = config, environ, project
        self.start, self.now, self.platform = start, now, platform
        self.installed, self._progress = installed, progress
        self.unreachable, self.alone = "", False

    @cached_property
    def file(self) -> Path:
        """The configuration, there or not."""
        from gateway.place import config_file

        return config_file(self.config, self.environ)

    @cached_property
    def state(self) -> Path | None:
        """The state folder, there or not; None where the configuration can't be read."""
        from gateway.place import state_folder

        try:
            return state_folder(self.file)
        except (OSError, ValueError):
            return None

    @cached_property
    def settings(self) -> "Settings | None":
        """What the configuration says; None where something is wrong in it."""
        from gateway.config import load_settings  # some 0.1 s

        try:
            return load_settings(self.file, self.environ)
        except ConfigurationError:
            return None

    @cached_property
    def status(self) -> Mapping[str, Any] | None:
        """What the gateway tells of itself, of the one that runs, or of one that is opened for it; None without one."""
        try:
            return self._settled(ask(self.config, "status"))
        except Unreachable as problem:
            self.unreachable = str(problem)
            if not self.start or problem.code != UNREACHABLE or self.settings is None:
                return None
        return self._opened()

    @property
    def running(self) -> bool:
        """Whether a gateway runs."""
        return self.status is not None and not self.alone

    def _settled(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a gateway that runs tells once its upstreams have started, or failed to; what it told before if that
        takes too long.
        """
        count = sum(row["state"] == "starting" for row in told["items"])
        if not count:
            return told
        what = f"the gateway starts {count} upstream{'' if count == 1 else 's'}"
        with self._progress(what), suppress(Unreachable):
            return ask(self.config, "status", settled=True)
        return told

    def _opened(self) -> Mapping[str, Any] | None:
        """The same of a gateway in this process, which starts the upstreams and ends with it."""
        from gateway.cli.conversing import converse

        told: list[Mapping[str, Any]] = []
        count = len(self.settings.upstreams) if self.settings is not None else 0
        what = f"no gateway runs: starting {count} upstream{'' if count == 1 else 's'}"
        try:
            with self._progress(what):
                converse(self.config, {"op": "status", "settled": True}, told.append)
        except Unreachable as problem:
            self.unreachable = str(problem)
            return None
        except Exception as broken:  # noqa: BLE001 - whatever breaks it, the rest is looked at, and it isn't tried again
            self.unreachable = f"no gateway could be opened to look: {type(broken).__name__}"
            return None
        self.alone = True
        return told[0]

    @cached_property
    def problems(self) -> tuple[Mapping[str, str], ...]:
        """What is wrong in the files, as `wardgate check` tells it: asked of the gateway that runs, which has loaded
        what that takes, or else found here.
        """
        if self.running:
            try:
                return tuple(ask(self.config, "check")["items"])
            except Unreachable:
                pass  # it is an older one
        from gateway.config import check
        from gateway.core.problems import item

        return tuple(item(one) for one in check(self.file, self.environ, self.now().date(), unlocked=True))

    @cached_property
    def clients(self) -> "tuple[tuple[ClientFile, tuple[Server, ...]], ...]":
        """The clients' files that are there and can be read, and the servers in each."""
        return tuple((file, found) for file, found, problem in self._clients if not problem)

    @cached_property
    def unread(self) -> "tuple[tuple[ClientFile, str], ...]":
        """The clients' files that can't be read, and why."""
        return tuple((file, problem) for file, _, problem in self._clients if problem)

    @cached_property
    def _clients(self) -> "tuple[tuple[ClientFile, tuple[Server, ...], str], ...]":
        from gateway.clients import files, read

        return tuple(read(files(self.environ, self.project, self.platform), self.project))
