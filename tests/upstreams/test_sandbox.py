"""What a program can do under bubblewrap, tried from inside; and that it never runs outside of it instead."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, JSONRPCResponse

from gateway.config.nouns import Upstream
from gateway.core.model import Owner
from gateway.errors import ConfigurationError
from gateway.transport.process import Command, running
from gateway.upstreams.installation import needed
from gateway.upstreams.sandbox import View, arguments, confine, find
from tests.processes import children_of, is_alive

UNPACKED = Path(__file__).parents[2] / ".upstreams" / "bwrap"
PATH = os.pathsep.join((str(UNPACKED), os.environ.get("PATH", os.defpath)))


def hindrance() -> str:
    """Why no real sandbox can be had here; empty where one can."""
    bwrap = shutil.which("bwrap", path=PATH)
    if bwrap is None:
        return "bubblewrap is not installed, and could not be unpacked"
    trial = subprocess.run([bwrap, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, check=False)
    return "" if trial.returncode == 0 else "user namespaces are off"


real = pytest.mark.skipif(bool(reason := hindrance()), reason=reason or "there is one")

# Answers each request with what an expression or a block of statements gives inside the sandbox.
PROGRAM = """
import json, os, socket, subprocess, sys
for line in sys.stdin:
    request = json.loads(line)
    found = {}
    try:
        exec(request["params"]["code"], globals(), found)
        result = {"value": found.get("value")}
    except OSError as problem:
        result = {"error": type(problem).__name__, "number": problem.errno}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
"""


def upstream(base: Path, **more: Any) -> Upstream:
    return Upstream("boxed", Owner("a", "a"), base, 10, command=sys.executable, sandbox="bwrap", **more)


async def inside(
    tmp_path: Path, *codes: str, environment: Mapping[str, str] | None = None, cwd: str | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """What each piece of code gives inside the sandbox of these settings."""
    home = {"HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir(exist_ok=True)
    script = tmp_path / "program" / "main.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(PROGRAM, encoding="utf-8")
    plain = Command(sys.executable, (str(script),), environment or home, cwd, grace=1)
    with anyio.fail_after(30):
        environ = {"PATH": PATH, "WORKSPACE": str(tmp_path / "workspace")}
        command = await anyio.to_thread.run_sync(confine, upstream(tmp_path, **settings), plain, environ)
        async with running(command) as (read, write, process):
            answers = []
            for number, code in enumerate(codes):
                params = {"code": code}
                await write.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=number, method="run", params=params)))
                try:
                    item = await read.receive()
                except anyio.EndOfStream:
                    await process.watch()
                    pytest.fail(f"the program ended: {process.stderr_tail}")
                assert isinstance(item, SessionMessage)
                assert isinstance(item.message, JSONRPCResponse)
                answers.append(item.message.result)
            return answers


def reads(path: Path) -> str:
    return f"value = open({str(path)!r}).read()"


def writes(path: Path) -> str:
    return f"value = open({str(path)!r}, 'w').write('changed')"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Folders with a file each, outside the sandbox."""
    for name in ("secret", "data", "out", "workspace", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    return tmp_path


@real
async def test_it_reads_and_writes_what_is_named_and_nothing_else(outside: Path) -> None:
    found = await inside(
        outside,
        reads(outside / "data/file"),
        writes(outside / "data/file"),
        writes(outside / "out/file"),
        writes(outside / "workspace/new"),
        reads(outside / "secret/file"),
        writes(outside / "secret/new"),
        f"value = os.listdir({str(outside / 'home')!r})",
        writes(outside / "home/new"),
        "value = os.listdir('/')",
        "open('/new', 'w')",
        "open('/usr/new', 'w')",
        "value = os.path.exists('/etc/shadow')",
        sandbox_read=(outside / "data",),
        sandbox_write=(outside / "out", Path("${WORKSPACE}")),
    )
    assert found[0] == {"value": "data"}
    assert found[1]["error"] == "OSError"  # a read-only file system
    assert found[2:4] == [{"value": 7}, {"value": 7}]
    assert (outside / "out/file").read_text(encoding="utf-8") == "changed"
    assert (outside / "workspace/new").read_text(encoding="utf-8") == "changed"
    assert [answer.get("error") for answer in found[4:6]] == ["FileNotFoundError", "FileNotFoundError"]
    assert found[6:8] == [{"value": []}, {"value": 7}]  # a home of its own
    assert os.listdir(outside / "home") == ["file"]
    needs = {part for path in (outside, Path(sys.prefix), Path(sys.base_prefix)) for part in path.parts}
    assert not {"boot", "home", "mnt", "opt", "root", "run", "srv", "sys", "var"} & (set(found[8]["value"]) - needs)
    assert [answer["error"] for answer in found[9:11]] == ["OSError", "OSError"]
    assert found[11] == {"value": False}
    assert (outside / "data/file").read_text(encoding="utf-8") == "data"


@real
async def test_the_nearest_setting_counts(outside: Path) -> None:
    (outside / "out/kept").mkdir()
    found = await inside(
        outside,
        writes(outside / "out/new"),
        writes(outside / "out/kept/new"),
        sandbox_read=(outside / "out/kept",),
        sandbox_write=(outside / "out",),
    )
    assert [answer.get("error") for answer in found] == [None, "OSError"]


@real
async def test_it_sees_no_other_process_and_only_its_environment(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path / "home"), "TOKEN": "for it alone", "LD_LIBRARY_PATH": "/nowhere"}
    found = await inside(
        tmp_path,
        "value = dict(os.environ)",
        "value = [int(name) for name in os.listdir('/proc') if name.isdigit()]",
        f"os.kill({os.getpid()}, 0)",
        "value = os.getcwd()",
        environment=environment,
    )
    seen = {name: value for name, value in found[0]["value"].items() if name not in ("PWD", "LC_CTYPE")}
    assert seen == environment
    assert max(found[1]["value"]) < 10
    assert found[2]["error"] == "ProcessLookupError"
    assert found[3] == {"value": str(tmp_path / "home")}


@real
@pytest.mark.parametrize("network", [False, True])
async def test_it_has_a_network_only_where_it_is_given_one(network: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"value = socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5).fileno() > 0"
        found = await inside(tmp_path, code, sandbox_network=network)
    assert found == ([{"value": True}] if network else [{"error": "ConnectionRefusedError", "number": 111}])


@real
async def test_its_working_folder_is_the_one_of_its_settings(outside: Path) -> None:
    found = await inside(outside, "value = os.getcwd()", "value = open('file').read()", cwd=str(outside / "data"))
    assert found == [{"value": str(outside / "data")}, {"value": "data"}]


@real
async def test_it_ends_with_its_pipes_and_with_everything_that_it_started(tmp_path: Path) -> None:
    start = "subprocess.Popen(['sleep', '300'], start_new_session=True); value = os.readlink('/proc/self/ns/pid')"
    (found,) = await inside(tmp_path, start)
    assert in_namespace(found["value"]) == []


GATEWAY = """
import os, sys, anyio
from pathlib import Path
from gateway.config.nouns import Upstream
from gateway.core.model import Owner
from gateway.transport.process import Command, running
from gateway.upstreams.sandbox import confine
async def main():
    settings = Upstream("boxed", Owner("a", "a"), Path("/"), 10, command=sys.executable, sandbox="bwrap")
    plain = Command(sys.executable, ("-c", sys.argv[1]), {"HOME": "/nowhere"})
    command = await anyio.to_thread.run_sync(confine, settings, plain, dict(os.environ))
    async with running(command) as (read, _, process):
        item = await read.receive()
        os.write(1, item.message.params["namespace"].encode() + b"\\n")
        await anyio.sleep_forever()
anyio.run(main)
"""
STUBBORN = """
import json, os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
params = {"namespace": os.readlink("/proc/self/ns/pid")}
print(json.dumps({"jsonrpc": "2.0", "method": "m", "params": params}), flush=True)
time.sleep(300)
"""


@real
@pytest.mark.parametrize("with_watchdog", [True, False], ids=["", "and of its watchdog"])
async def test_kill_9_of_the_gateway_leaves_nothing_of_it(with_watchdog: bool) -> None:
    with (
        subprocess.Popen(  # noqa: ASYNC220 - it takes no time, and what it says is waited for in a thread
            [sys.executable, "-c", GATEWAY, STUBBORN],
            stdout=subprocess.PIPE,
            env={**os.environ, "PATH": PATH},
            cwd=Path(__file__).parents[2],
        ) as gateway,
        ExitStack() as end,
    ):
        end.callback(gateway.kill)  # else it is waited for without an end
        assert gateway.stdout is not None
        with anyio.fail_after(30):
            namespace = (await anyio.to_thread.run_sync(gateway.stdout.readline)).decode().strip()
            handles = [os.pidfd_open(pid) for pid in in_namespace(namespace)]
            assert len(handles) == 3  # bwrap as init, the program, its child
            if not with_watchdog:
                for pid in children_of(gateway.pid, b"orphans.py"):
                    os.kill(pid, signal.SIGKILL)
            gateway.kill()
            for handle in handles:
                await anyio.wait_readable(handle)
                os.close(handle)


def in_namespace(namespace: str) -> list[int]:
    """The processes of a PID namespace, as they are seen from outside."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/ns/pid") == namespace and is_alive(int(name)):
                found.append(int(name))
        except OSError:
            continue
    return found


@real
async def test_a_program_of_a_virtual_environment_finds_its_python(tmp_path: Path) -> None:
    (found,) = await inside(tmp_path, "import msgspec; value = sys.prefix")
    assert found == {"value": sys.prefix}


async def test_without_bwrap_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="install bubblewrap"):
        await anyio.to_thread.run_sync(confine, upstream(tmp_path), Command(sys.executable), {"PATH": str(tmp_path)})


def fake(folder: Path, text: str, mode: int = 0o755) -> Mapping[str, str]:
    """An environment in which this is bwrap."""
    folder.mkdir(exist_ok=True, mode=0o755)
    (folder / "bwrap").write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / "bwrap").chmod(mode)
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions"),
        ("printf 'a\\033[2Jb\\nc' >&2; exit 1", r"a\\u\{1b\}\[2Jb c"),
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
    ],
    ids=["no namespaces", "escapes", "silent", "killed"],
)
async def test_a_bwrap_that_fails_is_never_passed_by(text: str, said: str, tmp_path: Path) -> None:
    environ = fake(tmp_path / "bin", text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        await anyio.to_thread.run_sync(confine, upstream(tmp_path), Command(sys.executable), environ)
    assert "\x1b" not in str(caught.value)


async def test_a_bwrap_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstreams.sandbox.TRIAL", 0.1)
    environ = fake(tmp_path / "bin", "exec sleep 60")
    with anyio.fail_after(10), pytest.raises(ConfigurationError, match="TimeoutExpired"):
        await anyio.to_thread.run_sync(confine, upstream(tmp_path), Command(sys.executable), environ)


def test_a_bwrap_that_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="everybody can write"):
        find(fake(tmp_path / "bin", "exit 0", 0o777))
    environ = fake(tmp_path / "bin", "exit 0")
    assert find(environ) == str(tmp_path / "bin" / "bwrap")
    (tmp_path / "bin").chmod(0o777)
    with pytest.raises(ConfigurationError, match="everybody can write"):
        find(environ)


def test_bwrap_is_not_looked_for_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "bin", "exit 0")
    monkeypatch.chdir(tmp_path / "bin")
    for path in (".", "", "bin:."):
        with pytest.raises(ConfigurationError, match="not found"):
            find({"PATH": path})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sandbox_read": (Path("/no/such/folder"),)}, "/no/such/folder"),
        ({"sandbox_write": (Path("${WORKSPACE}/gone"),)}, "gone"),
    ],
)
async def test_what_it_should_show_has_to_be_there(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    environ = {**fake(tmp_path / "bin", "exit 0"), "WORKSPACE": str(tmp_path)}
    with pytest.raises(ConfigurationError, match=said):
        await anyio.to_thread.run_sync(confine, upstream(tmp_path, **settings), Command(sys.executable), environ)


@pytest.mark.parametrize("workspace", ["", "relative", "/", "/usr", "/etc", "/proc", "/dev/../", "/no/such/folder"])
async def test_a_workspace_is_a_folder_and_never_the_system(workspace: str, tmp_path: Path) -> None:
    environ = {**fake(tmp_path / "bin", "exit 0"), "WORKSPACE": workspace}
    settings = upstream(tmp_path, sandbox_write=(Path("${WORKSPACE}"),))
    with pytest.raises(ConfigurationError, match="expected a folder"):
        await anyio.to_thread.run_sync(confine, settings, Command(sys.executable), environ)


async def test_a_program_that_is_missing_is_told_as_without_a_sandbox(tmp_path: Path) -> None:
    environ = fake(tmp_path / "bin", "exit 0")
    for program in ("no-such-command-here", "/no/such/program"):
        with pytest.raises(ConfigurationError, match=f"command `{program}` not found"):
            await anyio.to_thread.run_sync(confine, upstream(tmp_path), Command(program), environ)


async def test_no_variable_of_the_loader_and_no_secret_is_where_it_does_not_belong(tmp_path: Path) -> None:
    secret = "s" + "ecret-value"
    plain = Command(sys.executable, ("-x",), {"TOKEN": secret, "LD_PRELOAD": "/x.so"}, str(tmp_path), 7, 9)
    environ = fake(tmp_path / "bin", "exit 0")
    command = await anyio.to_thread.run_sync(confine, upstream(tmp_path), plain, environ)
    assert command.environment == {"TOKEN": secret}  # bwrap hands it on; arguments can be read by everybody
    assert not any(secret in arg for arg in command.args)
    place = command.args.index("LD_PRELOAD")
    assert command.args[place - 1 : place + 2] == ("--setenv", "LD_PRELOAD", "/x.so")
    assert command.args[-3:] == ("--", sys.executable, "-x")
    assert (command.program, command.cwd, command.grace, command.limit) == (str(tmp_path / "bin/bwrap"), None, 7, 9)


def view(**more: Any) -> View:
    base: dict[str, Any] = {"read": frozenset(), "write": frozenset(), "home": Path("/home/a"), "cwd": Path("/home/a")}
    return View(**{**base, "network": False, **more})


def mounts(args: tuple[str, ...]) -> list[tuple[str, str]]:
    """What is mounted where, in order."""
    kinds = ("--bind", "--ro-bind")
    found = [(args[i], args[i + 2]) for i, arg in enumerate(args) if arg in kinds]
    return [(kind, path) for kind, path in found if not path.startswith(("/usr", "/etc", "/lib", "/bin", "/sbin"))]


def test_what_lies_deeper_is_mounted_later() -> None:
    read = frozenset(map(Path, ("/srv/a/b/c", "/srv", "/usr/share/doc")))
    args = arguments(view(read=read, write=frozenset(map(Path, ("/srv/a/b", "/home/a/w")))))
    assert mounts(args) == [
        ("--ro-bind", "/srv"),
        ("--bind", "/home/a/w"),
        ("--bind", "/srv/a/b"),
        ("--ro-bind", "/srv/a/b/c"),
    ]
    assert args.index("/home/a") < args.index("/home/a/w")


@pytest.mark.parametrize("home", ["/", "/usr", "/usr/lib/x", "/etc", "relative", "/dev"])
def test_a_home_that_is_the_system_is_not_hidden(home: str) -> None:
    args = arguments(view(home=Path(home)))
    assert [args[i + 1] for i, arg in enumerate(args) if arg == "--tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("network", [False, True])
def test_names_are_resolved_only_with_a_network(network: bool) -> None:
    args = arguments(view(network=network))
    assert ("--share-net" in args) == network
    assert ("/etc/resolv.conf" in args) == (network and Path("/etc/resolv.conf").exists())
    assert {"--unshare-all", "--die-with-parent", "--new-session"} <= set(args)
    assert args[args.index("--cap-drop") + 1] == "ALL"


class TestWhatAProgramNeeds:
    """Installations of several kinds, made of empty files."""

    def made(self, folder: Path, *files: str) -> None:
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("", encoding="utf-8")

    def found(self, tmp_path: Path, program: str, *args: str, **environment: str) -> set[str]:
        command = Command(str(tmp_path / program), args, environment, str(tmp_path))
        shown = set(needed(command, tmp_path / "home"))
        return {str(path.relative_to(tmp_path)) for path in shown if path.is_relative_to(tmp_path)}

    def test_the_parts_of_a_prefix_and_never_its_data(self, tmp_path: Path) -> None:
        self.made(tmp_path, "home/.local/bin/run", "home/.local/lib/x", "home/.local/share/keyrings/y")
        assert self.found(tmp_path, "home/.local/bin/run") == {"home/.local/bin", "home/.local/lib"}

    def test_a_virtual_environment_and_the_python_that_it_came_from(self, tmp_path: Path) -> None:
        self.made(tmp_path, "base/bin/python3", "base/lib/os.py", "venv/lib/x", "venv/pyvenv.cfg")
        (tmp_path / "venv/bin").mkdir()
        (tmp_path / "venv/bin/python").symlink_to("python3")
        (tmp_path / "venv/bin/python3").symlink_to(tmp_path / "base/bin/python3")
        (tmp_path / "venv/pyvenv.cfg").write_text(f"home = {tmp_path}/base/bin\nversion = 3\n", encoding="utf-8")
        assert self.found(tmp_path, "venv/bin/python") == {
            *("venv/bin", "venv/lib", "venv/pyvenv.cfg"),
            *("base/bin", "base/lib"),
        }

    def test_the_interpreter_of_a_script_by_its_first_line(self, tmp_path: Path) -> None:
        self.made(tmp_path, "node/bin/node", "node/lib/x", "node/lib/node_modules/npm/bin/npx-cli.js")
        (tmp_path / "node/lib/node_modules/npm/bin/npx-cli.js").write_text("#!/usr/bin/env node\n", encoding="utf-8")
        (tmp_path / "node/bin/node").chmod(0o755)
        (tmp_path / "node/bin/npx").symlink_to("../lib/node_modules/npm/bin/npx-cli.js")
        shown = self.found(tmp_path, "node/bin/npx", PATH=str(tmp_path / "node/bin"))
        assert {"node/bin", "node/lib"} <= shown

    def test_a_script_in_a_home_is_shown_alone(self, tmp_path: Path) -> None:
        self.made(tmp_path, "home/server.py", "home/notes", "py/bin/python")
        assert self.found(tmp_path, "py/bin/python", "home/server.py") == {"py/bin", "home/server.py"}

    def test_a_script_of_node_with_its_modules(self, tmp_path: Path) -> None:
        self.made(tmp_path, "home/p/dist/index.js", "home/p/node_modules/x/y", "home/p/package.json", "n/bin/node")
        assert self.found(tmp_path, "n/bin/node", "--flag", "home/p/dist/index.js") == {
            *("n/bin", "home/p/dist", "home/p/node_modules", "home/p/package.json"),
        }

    def test_links_in_a_circle_end(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        self.found(tmp_path, "a")
