"""The kit of the end-to-end tests: a house of the test's own, the installed command, and clients of both eras at
each door.

Knows nothing of the gateway's inside: it speaks to it as people and clients do. Whatever it starts, it stops by its id.
"""

import hashlib
import inspect
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, InputRequiredResult, TextContent

MODES = {"legacy": "legacy", "modern": "auto"}  # era -> the mode of the SDK's client
ERAS, DOORS = tuple(MODES), ("shim", "standalone", "http")
DEADLINE = 60.0  # seconds that one conversation with a client may take
PATIENCE = 20.0  # seconds until something that is awaited must have happened
POLL = 0.02
LEDGER = Path(__file__).parents[1] / "servers" / "ledger.py"
ALL_READS = '[[tool]]\nmatch = "*"\neffect = "read"\n'
PLACE = "@PLACE@"  # a house's own folder, in what is kept for the next one

LABELS = """\
upstream = "ledger"
owner = "alice@example.com"
[[tool]]
match = ["look", "fail", "grow", "flood", "reveal"]
effect = "read"
[[tool]]
match = ["note", "stall", "die"]
effect = "write"
inert = ["text"]
[[tool]]
match = "wipe"
effect = "destructive"
inert = ["text"]
[[rule]]
id = "ledger.free"
tools = ["stall", "die"]
decide = "allow"
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


async def until(claim: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Poll until `claim` (it may be a coroutine function) gives something true, and return that."""
    with anyio.fail_after(patience):
        while True:
            found = claim()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await anyio.sleep(POLL)


@contextmanager
def case(*words: object) -> Iterator[None]:
    """Whatever fails in here tells of which case it did."""
    try:
        yield
    except BaseException as failed:
        failed.add_note(f"the case: {', '.join(map(str, words))}")
        raise


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on this port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def text(result: CallToolResult) -> str:
    """The text of a result, as the model reads it."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def reason(result: CallToolResult) -> str:
    """Why the gateway refused, from the result's `_meta`; empty for a result of the upstream's."""
    return str((result.meta or {}).get("dev.wardgate/decision", {}).get("reason", ""))


async def call(client: Client, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """Call a tool, and again at once where the gateway says so (the SDK's own client waits between rounds)."""
    state: str | None = None
    while True:
        answer = await client.session.call_tool(tool, dict(arguments), request_state=state, allow_input_required=True)
        if not isinstance(answer, InputRequiredResult):
            assert isinstance(answer, CallToolResult)
            return answer
        state = answer.request_state


def asked(result: CallToolResult) -> str:
    """The id of the approval that a result speaks of."""
    return str((result.meta or {})["dev.wardgate/approval"]["id"])


def upstream_table(name: str, command: Sequence[str], **more: Any) -> str:
    """One `[upstreams.NAME]`; texts, lists and tables of texts are the same in JSON and TOML but for the tables."""
    values: dict[str, Any] = {"command": command[0], "args": list(command[1:]), "owner": "alice@example.com", **more}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join([f"[upstreams.{name}]", *lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {json.dumps(part)}" for key, part in value.items()) + " }"
    return json.dumps(value)


@dataclass
class House:
    """One configuration folder, its gateways and its ledger."""

    place: Path
    environment: dict[str, str]
    command: str
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        for folder in (self.folder, self.folder / "policies", self.world):
            folder.mkdir(mode=0o700)

    @property
    def folder(self) -> Path:
        """The folder that holds upstreams.toml."""
        return self.place / "config"

    @property
    def state(self) -> Path:
        """The gateway's own folder."""
        return self.folder / "state"

    @property
    def world(self) -> Path:
        """What the upstreams may change."""
        return self.place / "world"

    @property
    def forwarded(self) -> list[str]:
        """The calls that really reached the ledger, in order."""
        ledger = self.world / "ledger.txt"
        return ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []

    def ledger(self, *options: str, **more: Any) -> str:
        """The table of the upstream that keeps a ledger."""
        command = [sys.executable, str(LEDGER), str(self.world / "ledger.txt"), *options]
        return upstream_table("ledger", command, **more)

    def configure(
        self,
        *upstreams: str,
        policies: Mapping[str, str] | None = None,
        limits: str = "",
        trust: Sequence[str] = (),
        notify: str = "desktop = false",
        locked: bool | None = None,
    ) -> "House":
        """Write upstreams.toml (the ledger alone where none is given) and the policies, and return the house; `trust`
        is what `tester` is trusted with, `locked` whether somebody has accepted what the upstreams offer (where
        nothing is said: if it calls more than reads, and no upstream is reached over HTTP).
        """
        tables = upstreams or (self.ledger(),)
        gateway = f'schema = 1\n[gateway]\nlisten = "127.0.0.1:{self.port}"\nstate = "state"\n'
        clients = "".join(f'[clients.{name}]\nowner = "alice@example.com"\n' for name in ("other", "tester"))
        clients += f"trust = {json.dumps(list(trust))}\n"
        keys = f"[limits]\n{limits}\n[notify]\n{notify}\n"
        self.write("upstreams.toml", "\n".join([gateway, keys, clients, *tables]))
        for old in (self.folder / "policies").glob("*.toml"):
            old.unlink()
        texts = policies if policies is not None else {"ledger": LABELS}
        for name, policy in texts.items():
            self.write(f"policies/{name}.toml", policy)
        (self.folder / "policies" / "tools.lock").unlink(missing_ok=True)
        if locked is None:
            locked = "\nurl = " not in "\n".join(tables) and not all(ALL_READS in policy for policy in texts.values())
        if locked:
            self.lock(*(table for table in tables if table.lstrip().startswith("[upstreams.")))
        return self

    def lock(self, *tables: str) -> None:
        """Accept what the upstreams offer, as a person would by `wardgate lock --yes`, with a state folder aside.

        One that can't be asked has nothing in the lock. The same ones are asked once in a run of the tests, by
        whichever worker meets them first.
        """
        asked = "\n".join(tables).replace(str(self.place), PLACE)
        beside = Path(self.environment.get("WARDGATE_CACHE", self.place / "rules"))  # all workers share it
        kept = beside.with_name("locks") / hashlib.sha256(asked.encode()).hexdigest()
        if not kept.exists() and (text := self._asked(tables)):
            kept.parent.mkdir(exist_ok=True)
            made = kept.with_name(f"{kept.name}.{os.getpid()}")
            made.write_text(text, encoding="utf-8")
            made.rename(kept)  # whole or not at all: other workers read it
        if kept.exists():
            self.write("policies/tools.lock", kept.read_text(encoding="utf-8").replace(PLACE, str(self.place)))

    def _asked(self, tables: Sequence[str]) -> str:
        aside = self.place / "locking"
        for folder in (aside, aside / "policies"):
            folder.mkdir(mode=0o700)
        gateway = f'schema = 1\n[gateway]\nstate = "{aside}/state"\npolicies = "{aside}/policies"\n'
        keys = '[limits]\nstart = "30s"\n[notify]\ndesktop = false\n'
        config = self.write("locking.toml", "\n".join([gateway, keys, *tables]))
        words = [self.command, "lock", "--yes", "--config", str(config)]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=self.environment, timeout=DEADLINE
        )
        assert done.returncode in (0, 1), done.stderr
        file = aside / "policies" / "tools.lock"
        made = file.read_text(encoding="utf-8") if file.exists() else ""
        config.unlink()
        shutil.rmtree(aside)
        return made.replace(str(self.place), PLACE)

    def write(self, name: str, content: str) -> Path:
        """Write one file of the configuration, for its owner only."""
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
        return path

    async def run(self, *words: str) -> Ended:
        """Run one command to its end."""
        with anyio.fail_after(DEADLINE):
            done = await anyio.run_process(
                [self.command, *words, "--config", str(self.folder)],
                stdin=subprocess.DEVNULL,
                check=False,
                env=self.environment,
            )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def consent(self) -> None:
        """Accept the policies as the files are now: neither starting a gateway nor reloading accepts what loosens."""
        shown = await self.run("accept", "policy")
        digest = re.search(r"policy@[0-9a-f]{64}", shown.out + shown.err)
        assert digest is not None, shown
        accepted = await self.run("accept", digest[0])
        assert accepted.code == 0, accepted

    async def hook(
        self,
        event: Mapping[str, Any] | bytes,
        *,
        client: str = "tester",
        attended: str = "1",
        entrypoint: str = "cli",
    ) -> Ended:
        """Play one hook event through the command, in the environment that Claude Code gives to its hooks."""
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        told = {"CLAUDE_CODE_SESSION_ATTENDED": attended, "CLAUDE_CODE_ENTRYPOINT": entrypoint}
        if isinstance(event, Mapping):
            told["CLAUDE_CODE_SESSION_ID"] = str(event.get("session_id", ""))
        words = ["hook", "claude-code", "--client", client, "--config", str(self.folder)]
        with anyio.fail_after(DEADLINE):
            done = await anyio.run_process(
                [self.command, *words], input=data, check=False, env={**self.environment, **told}
            )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def items(self, *words: str) -> list[dict[str, Any]]:
        """The rows that a command prints with `--json`; it must end well."""
        ended = await self.run(*words, "--json")
        assert ended.code == 0, ended
        printed = json.loads(ended.out)
        assert printed["schema"] == 1
        assert "next" in printed
        return list(printed["items"])

    async def waiting(self) -> str:
        """The id of the one call that waits for a person, once there is one."""
        (row,) = await until(lambda: self.items("approvals"))
        return str(row["id"])

    async def outcomes(self, tool: str) -> list[tuple[str, str]]:
        """How the calls of a tool ended, oldest first: (outcome, reason)."""
        rows = await self.items("log", "--kind", "outcome", "--tool", tool)
        return [(row["outcome"], row["reason"]) for row in reversed(rows)]

    def stdio(self, *options: str, client: str = "tester") -> list[str]:
        """The command that a client registers."""
        return [self.command, "stdio", "--config", str(self.folder), "--client", client, *options]

    async def token(self, name: str = "tester") -> str:
        """A new bearer token."""
        added = await self.run("client", "add", name)
        assert added.code == 0, added
        return added.out.strip()

    @property
    def url(self) -> str:
        """Where `serve` speaks HTTP."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def log(self) -> TextIO:
        """A file for what is said on stderr."""
        return (self.place / "stderr.log").open("a", encoding="utf-8")

    def said(self) -> str:
        """What was said on stderr so far."""
        return (self.place / "stderr.log").read_text(encoding="utf-8")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[anyio.abc.Process]:
        """`wardgate serve`, from when it takes connections until the block ends."""
        words = [self.command, "serve", "--config", str(self.folder)]
        with self.log() as log:
            process = await anyio.open_process(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
            try:
                await until(lambda: process.returncode is not None or listens(self.port))
                assert process.returncode is None, self.said()
                yield process
            finally:
                with anyio.CancelScope(shield=True):
                    await stop(process)

    @asynccontextmanager
    async def client(
        self, door: str, era: str, *, name: str = "tester", heard: list[bytes] | None = None, **options: Any
    ) -> AsyncIterator[Client]:
        """A client of the SDK behind a door; at `http` it has a `wardgate serve` and a token of its own. Every message
        that it gets is put to `heard`.
        """
        if door == "http":
            async with self.serving(), self.http_client(era, await self.token(name), heard=heard, **options) as client:
                yield client
            return
        words = self.stdio(*(["--standalone"] if door == "standalone" else []), client=name)
        parameters = StdioServerParameters(command=words[0], args=words[1:], env=self.environment)
        with self.log() as log, anyio.fail_after(DEADLINE):
            transport = tapped(stdio_client(parameters, log), heard)
            async with Client(transport, mode=MODES[era], cache=None, **options) as client:
                yield client

    @asynccontextmanager
    async def http_client(
        self, era: str, token: str, path: str = "", heard: list[bytes] | None = None, **options: Any
    ) -> AsyncIterator[Client]:
        """A client of the SDK before a `serve` that runs; `path` leads to one upstream."""
        with anyio.fail_after(DEADLINE):
            async with create_mcp_http_client({"Authorization": f"Bearer {token}"}) as http:
                transport = tapped(streamable_http_client(self.url + path, http_client=http), heard)
                async with Client(transport, mode=MODES[era], cache=None, **options) as client:
                    yield client

    def gateway(self) -> int:
        """The process id of the gateway that was announced last."""
        return int(json.loads((self.state / "gateway.json").read_text(encoding="utf-8"))["pid"])

    def close(self) -> None:
        """End every gateway that was started on demand for this folder."""
        for pid in self.processes("serve"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while left := self.processes("serve"):
            if time.monotonic() > deadline:
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                raise AssertionError("a gateway did not end when it was told to")
            threading.Event().wait(POLL)

    def processes(self, word: str) -> list[int]:
        """The running commands for this folder that hold this word; one that ended has no command line any more."""
        return self._running(word, self.folder)

    def ledgers(self) -> list[int]:
        """The running upstreams that keep a ledger here."""
        return self._running(str(LEDGER), self.world)

    @staticmethod
    def _running(word: str, folder: Path) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if word.encode() in words and any(each.startswith(bytes(folder)) for each in words):
                    found.append(int(entry.name))
        return found


class Tap:
    """A read stream of the SDK's, of which every message is written down before anybody reads it."""

    def __init__(self, inner: Any, heard: list[bytes]) -> None:
        self._inner, self._heard = inner, heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def receive(self) -> Any:
        """The next message."""
        return self._noted(await self._inner.receive())

    def __aiter__(self) -> "Tap":
        return self

    async def __anext__(self) -> Any:
        return self._noted(await self._inner.__anext__())

    async def __aenter__(self) -> "Tap":
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *how: Any) -> Any:
        return await self._inner.__aexit__(*how)

    def _noted(self, item: Any) -> Any:
        message = getattr(item, "message", None)
        self._heard.append((repr(item) if message is None else message.model_dump_json(by_alias=True)).encode())
        return item


@asynccontextmanager
async def tapped(transport: Any, heard: list[bytes] | None) -> AsyncIterator[Any]:
    """A transport of the SDK's, with every message that comes put to `heard` where that is given."""
    async with transport as (read, write):
        yield (read if heard is None else Tap(read, heard)), write


async def stop(process: anyio.abc.Process) -> None:
    """End a process that the test started."""
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(PATIENCE):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    await process.aclose()


class Wire:
    """A client that writes lines as they are: for what no SDK would send."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._stdin, self._stdout, self._rest = process, process.stdin, process.stdout, b""
        self.notices: list[dict[str, Any]] = []

    async def write(self, data: bytes) -> None:
        """Write bytes that may be a part of a line; most of them were read when this returns."""
        await self._stdin.send(data)

    async def put(self, line: bytes | Mapping[str, Any]) -> None:
        """Write one line."""
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        await self.write(data + b"\n")

    async def peek(self) -> None:
        """Wait until the next line has begun, and read hardly any of it."""
        with anyio.fail_after(PATIENCE):
            while not self._rest:
                self._rest += await self._stdout.receive(1)

    async def line(self, patience: float = PATIENCE) -> bytes:
        """The next line as it is."""
        with anyio.fail_after(patience):
            while b"\n" not in self._rest:
                self._rest += await self._stdout.receive()
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    async def take(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The next message that is no notice; those are in `notices`."""
        with anyio.fail_after(patience):
            while True:
                message: dict[str, Any] = json.loads(await self.line(patience))
                if "id" in message:
                    return message
                self.notices.append(message)

    async def greet(self, era: str, capabilities: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Open the conversation in this era, and return the `_meta` that each request needs."""
        about, declared = {"name": "wire", "version": "1"}, dict(capabilities or {})
        if era == "legacy":
            hello = {"protocolVersion": "2025-11-25", "capabilities": declared, "clientInfo": about}
            assert "result" in await self.ask("initialize", hello, "hello")
            await self.put({"jsonrpc": "2.0", "method": "notifications/initialized"})
            return {}
        prefix = "io.modelcontextprotocol"
        modern = {"protocolVersion": "2026-07-28", "clientInfo": about, "clientCapabilities": declared}
        meta = {f"{prefix}/{name}": value for name, value in modern.items()}
        assert "result" in await self.ask("server/discover", {"_meta": meta}, "hello")
        return meta

    async def ask(self, method: str, params: Mapping[str, Any], id: int | str = 1) -> dict[str, Any]:
        """Send one request and return its answer, which must be the next message."""
        await self.put({"jsonrpc": "2.0", "id": id, "method": method, "params": dict(params)})
        answer = await self.take()
        assert answer["id"] == id, answer
        return answer


@asynccontextmanager
async def wire(house: House, *options: str) -> AsyncIterator[Wire]:
    """The pipes of `wardgate stdio`."""
    with house.log() as log:
        process = await anyio.open_process(house.stdio(*options), stderr=log, env=house.environment)
        try:
            yield Wire(process)
        finally:
            with anyio.CancelScope(shield=True):
                await stop(process)
