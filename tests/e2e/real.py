"""The real upstreams and the Inspector, as `make upstreams` installs them into `.upstreams/`: how each is started.

Starts nothing itself but the Inspector, and needs nothing from the PATH but git.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

PACKAGES = Path("npm", "node_modules", "@modelcontextprotocol")
INSPECTOR_DEADLINE = 60.0  # seconds for one run of the Inspector


class Launch(NamedTuple):
    """How a stdio server is started; `env` is what it needs besides nothing."""

    command: str
    args: list[str]
    env: Mapping[str, str] = {}


class Inspected(NamedTuple):
    """What one run of the Inspector's command line ended with: exit code, the JSON on stdout, and stderr."""

    code: int
    result: Any
    stderr: str


def missing(what: str) -> None:
    """Skip the test, with what would help; under CI nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing: run `make upstreams`")
    pytest.skip(f"{what} is missing: run `make upstreams`")


@dataclass(frozen=True)
class RealUpstreams:
    """Start commands of the servers under `root`; asking for one that is not there skips the test, under CI fails it.

    Their eras: the servers of npm speak legacy only, the ones of PyPI both.
    """

    root: Path

    def _path(self, *parts: str | Path) -> str:
        path = self.root.joinpath(*parts)
        if not path.exists():
            missing(f"`{Path(self.root.name, *parts)}`")
        return str(path)

    def _npm(self, package: str, *args: str, env: Mapping[str, str] | None = None) -> Launch:
        script = self._path(PACKAGES, package, "dist", "index.js")
        return Launch(self._path("node", "node"), [script, *args], env or {})

    def filesystem(self, *folders: Path) -> Launch:
        """Files inside `folders`. It takes the roots of a client that offers some instead."""
        return self._npm("server-filesystem", *map(str, folders))

    def everything(self) -> Launch:
        """One of each feature; needs a JSON-speaking stdin only."""
        return self._npm("server-everything", "stdio")

    def memory(self, file: Path) -> Launch:
        """A knowledge graph kept in `file`."""
        return self._npm("server-memory", env={"MEMORY_FILE_PATH": str(file)})

    def git(self, repository: Path) -> Launch:
        """The git repository at `repository`; it runs the machine's git."""
        if shutil.which("git") is None:
            missing("the program `git`")
        return Launch(
            self._path("git", "bin", "mcp-server-git"),
            ["--repository", str(repository)],
            {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        )

    def time(self) -> Launch:
        """The time in any zone; local time is UTC."""
        return Launch(self._path("time", "bin", "mcp-server-time"), ["--local-timezone", "UTC"])

    def thinking(self) -> Launch:
        """Thoughts that are numbered and counted."""
        return self._npm("server-sequential-thinking")

    def fetch(self, proxy: str) -> Launch:
        """Pages of the web, all of them by way of the server at `proxy`."""
        return Launch(self._path("fetch", "bin", "mcp-server-fetch"), ["--proxy-url", proxy])

    def inspector(self) -> Launch:
        """The command line of the Inspector; options follow, then the server's address or `--` and its command."""
        launcher = self._path(PACKAGES, "inspector", "clients", "launcher", "build", "index.js")
        return Launch(self._path("node", "node"), [launcher, "--cli", "--format", "json", "--stored-auth-only"])

    def claude(self) -> Launch:
        """Claude Code's own command line."""
        return self._client("@anthropic-ai", "claude-code", "cli-wrapper.cjs")

    def codex(self) -> Launch:
        """Codex's own command line."""
        return self._client("@openai", "codex", "bin", "codex.js")

    def gemini(self) -> Launch:
        """Gemini's own command line."""
        return self._client("@google", "gemini-cli", "bundle", "gemini.js")

    def _client(self, *script: str) -> Launch:
        """A client whose package is a script for Node; nothing of it was run when it was installed."""
        path = self._path("npm", "node_modules", *script)
        return Launch(self._path("node", "node"), [path])

    async def inspect(
        self, options: Sequence[str], server: Sequence[str] | str, environment: Mapping[str, str], token: str = ""
    ) -> Inspected:
        """Run the Inspector once before `server`: a command with its arguments, or the URL of a streamable HTTP server.

        `options` are such as `--method tools/list` and `--protocol-era modern` (its default is legacy). Exit code 0 is
        a result, 3 a missing or refused token, 5 a tool that is unknown or answered with `isError`.
        """
        inspector = self.inspector()
        if isinstance(server, str):
            where = ["--transport", "http", "--server-url", server]
            where += ["--header", f"Authorization: Bearer {token}"] if token else []
        else:  # it passes on no more than HOME, PATH and the like by itself
            named = [name for name in environment if name.startswith(("WARDGATE_", "XDG_"))]
            where = [word for name in named for word in ("-e", f"{name}={environment[name]}")]
            where += ["--", *server]
        with anyio.fail_after(INSPECTOR_DEADLINE):
            done = await anyio.run_process(
                [inspector.command, *inspector.args, *options, *where],
                stdin=subprocess.DEVNULL,
                check=False,
                env=environment,
            )
        return Inspected(
            done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr.decode()
        )
