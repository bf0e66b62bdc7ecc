"""A newcomer in an empty home folder: their clients' files, and from the first command to a guarded call and back.

Everything is as it is for them: no configuration, the folders of the platform, nothing compiled beforehand.
"""

import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from gateway.clients import ClientFile, files, servers
from tests.clients.samples import SAMPLES
from tests.e2e.kit import DEADLINE, Ended, text, until
from tests.e2e.real import RealUpstreams

GOAL = 60.0  # seconds from the first command to the guarded call
DEADLINE_OF_ONE = 180.0  # of one command, on a busy machine
USERS = [name for name, (scope, _, _) in SAMPLES.items() if scope == "user"]
REAL = Path(pwd.getpwuid(os.getuid()).pw_dir)  # the home folder of who runs the tests
SAID = "what the newcomer keeps"


@dataclass
class Newcomer:
    """Somebody's home folder and project, and the commands that they type there."""

    home: Path
    project: Path
    command: str
    before: dict[Path, bytes] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        """What their shell hands on: no variable of ours, and no home folder but this one."""
        assert self.home != REAL
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "USER": "newcomer"}

    @property
    def state(self) -> Path:
        return self.home / ".local" / "state" / "wardgate"

    def files(self) -> tuple[ClientFile, ...]:
        """Their clients' files."""
        return tuple(file for file in files(self.environment, self.project, "linux") if file.place.scope != "local")

    def write(self, name: str, registered: Mapping[str, Any]) -> None:
        """A client's file, as it would be there."""
        scope, path, say = SAMPLES[name]
        file = (self.home if scope == "user" else self.project) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(say(registered), encoding="utf-8")
        self.before[file] = file.read_bytes()

    async def type(self, *words: str) -> Ended:
        """One command, which must end well."""
        ended = await self.run(self.command, *words)
        assert ended.code == 0, (words, ended)
        return ended

    async def run(self, *words: str) -> Ended:
        with anyio.fail_after(DEADLINE_OF_ONE):
            done = await anyio.run_process(
                list(words), stdin=subprocess.DEVNULL, check=False, env=self.environment, cwd=self.project
            )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def items(self, *words: str) -> Sequence[Mapping[str, Any]]:
        return list(json.loads((await self.type(*words, "--json")).out)["items"])

    async def leave(self) -> None:
        """End the gateway that was started on demand."""
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int(json.loads((self.state / "gateway.json").read_text(encoding="utf-8"))["pid"])
            os.kill(pid, signal.SIGTERM)
            await until(lambda: not Path(f"/proc/{pid}").exists())


@pytest.fixture
async def newcomer(tmp_path: Path, wardgate_command: str, real_upstreams: RealUpstreams) -> AsyncIterator[Newcomer]:
    made = Newcomer(tmp_path / "home", tmp_path / "project", wardgate_command)
    documents = tmp_path / "documents"
    for folder in (made.home, made.project, documents):
        folder.mkdir()
    (documents / "note.txt").write_text(SAID, encoding="utf-8")
    filesystem, memory = real_upstreams.filesystem(documents), real_upstreams.memory(tmp_path / "memory.json")
    token = "ghp_" + "aB3" * 12
    registered = {
        "documents": {"command": filesystem.command, "args": filesystem.args},
        "memory": {"command": memory.command, "args": memory.args, "env": {**memory.env, "API_TOKEN": token}},
    }
    for name in (*USERS, "claude-code, project"):
        made.write(name, registered)
    yield made
    await made.leave()


@pytest.mark.may_block("the test itself reads the files that were written")
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_from_nothing_to_a_guarded_call_and_back(
    newcomer: Newcomer, real_upstreams: RealUpstreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    await newcomer.type("init", "--yes", "--project", "--owner", "new@example.com")
    await newcomer.type("check")
    first = SAMPLES["claude-code"][1]
    await newcomer.type("connect", "claude-code", "--yes")
    call = ["--method", "tools/call", "--tool-name", "documents__read_text_file"]
    call += ["--tool-arg", f"path={tmp_path / 'documents' / 'note.txt'}"]
    inspector = real_upstreams.inspector()
    called = await newcomer.run(
        inspector.command, *inspector.args, "--config", str(newcomer.home / first), "--server", "wardgate", *call
    )
    took = time.monotonic() - started
    assert called.code == 0, called
    assert SAID in called.out
    with capsys.disabled():
        print(f"\nfrom the first command to a guarded call: {took:.1f} s (goal: {GOAL:.0f} s)")
    await _connect_the_others(newcomer)
    rows = await newcomer.items("log", "--kind", "outcome", "--tool", "read_text_file")
    assert {row["client"] for row in rows} == {name.partition(",")[0] for name in USERS}
    assert {row["outcome"] for row in rows} == {"ok"}
    for name in USERS:
        await newcomer.type("disconnect", name, "--yes")
    await newcomer.type("disconnect", "claude-code", "--scope", "project", "--yes")
    assert {path: path.read_bytes() for path in newcomer.before} == newcomer.before


async def _connect_the_others(newcomer: Newcomer) -> None:
    """Connect every other file, and call by exactly what was written there, as its client would."""
    path = newcomer.project.parent / "documents" / "note.txt"
    for name in [*USERS, "claude-code, project"]:
        if name != "claude-code":
            await newcomer.type("connect", name.partition(",")[0], "--scope", SAMPLES[name][0], "--yes")
    for file in newcomer.files():
        (ours,) = [server for server in servers(file, newcomer.project) if not server.disabled]
        assert ours.wardgate, file
        if file.place.scope == "project":
            continue
        parameters = StdioServerParameters(
            command=ours.command, args=list(ours.args), env={"HOME": str(newcomer.home)}, cwd=newcomer.home
        )
        with anyio.fail_after(DEADLINE), (newcomer.home.parent / "stderr.log").open("a") as log:
            async with Client(stdio_client(parameters, log), mode="legacy", cache=None) as client:
                answer = await client.call_tool("documents__read_text_file", {"path": str(path)})
        assert text(answer) == SAID, file
