"""Upstreams to test with: real programs, started by the real supervisors. No assertions here."""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
from msgspec.structs import force_setattr, replace

from gateway.core.canon import canonical
from gateway.core.model import (
    Again,
    Call,
    Client,
    Context,
    Effect,
    Labels,
    Principal,
    Reply,
    Result,
    Surface,
    Tier,
    Tool,
    ToolRef,
)
from gateway.ports import Ears
from gateway.upstreams import Upstreams, UpstreamSpec
from gateway.upstreams.supervisor import Pace

TESTS = Path(__file__).parent.parent
GOOD = str(TESTS / "servers" / "good.py")
ASKS = str(TESTS / "servers" / "asks.py")
HOSTILE = str(TESTS / "hostile" / "upstream.py")


def spec(name: str, program: str, *args: str, **more: Any) -> UpstreamSpec:
    """A spec with deadlines that suit a test."""
    fast = UpstreamSpec(
        name, sys.executable, (program, *args), timeout=5.0, start_timeout=20.0, discover_timeout=0.5, grace=0.3
    )
    return replace(fast, **more)


def classify(
    ref: ToolRef,
    exposed: str,
    definition: Mapping[str, Any],
    digest: str,
    surface: Surface = Surface.TOOLS,
    listed: bool = True,
) -> Tool:
    """Everything is a read."""
    return Tool(ref, exposed, definition, digest, Effect.READ, Tier.READ, Labels(Effect.READ), surface=surface)


def call(
    arguments: Mapping[str, Any],
    meta: Mapping[str, Any] | None = None,
    method: str = "tools/call",
    principal: str = "os:me",
    **context: Any,
) -> Call:
    """A call with these arguments; `context` are fields of its `Context`."""
    data = canonical(dict(arguments))
    where = Context("s", meta=meta or {}, **context)
    who = Principal(principal, "os-user")
    return Call("d_1", who, Client(), "x", arguments, data, "", datetime.now(UTC), where, method=method)


class Heard(Ears):
    """Ears that remember."""

    def __init__(self, wants_progress: bool = True) -> None:
        self.wants_progress = wants_progress
        self.steps: list[tuple[float, float | None, str | None]] = []
        self.lines: list[tuple[str, Any, str | None]] = []

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        self.steps.append((done, total, message))

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        self.lines.append((level, data, logger))


SILENT = Heard(wants_progress=False)


class Quick(Pace, frozen=True):
    """Restarts after a moment; remembers the pauses that were asked for."""

    jitter: Callable[[], float] = lambda: 1.0
    pauses: list[float] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            await anyio.sleep(min(seconds, 0.01))

        force_setattr(self, "sleep", sleep)


@contextlib.asynccontextmanager
async def running(*specs: UpstreamSpec, pace: Pace | None = None, **more: Any) -> AsyncIterator[Upstreams]:
    """Run upstreams until all have settled, and end them afterwards."""
    upstreams = Upstreams(specs, classify, pace or Quick(), **more)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            await tasks.start(upstreams.run)
            await upstreams.settled()
            yield upstreams
            tasks.cancel_scope.cancel()


async def ask(
    upstreams: Upstreams,
    exposed: str,
    arguments: Mapping[str, Any] | None = None,
    ears: Ears = SILENT,
    meta: Mapping[str, Any] | None = None,
    again: Again | None = None,
    **context: Any,
) -> Reply:
    """Forward a call of an exposed tool."""
    tool = upstreams.catalogue.find(exposed)
    assert tool is not None, f"{exposed} is not offered: {upstreams.states()}"
    made = call(arguments or {}, meta, **context)
    return await upstreams.forward(tool, made.canonical, made, ears, again)


def text_of(reply: Reply) -> str:
    """The text of a result."""
    assert isinstance(reply, Result), reply
    return str(reply.value["content"][0]["text"])


def json_of(reply: Reply) -> Any:
    """The JSON in the text of a result."""
    return msgspec.json.decode(text_of(reply))


async def until(upstreams: Upstreams, name: str, state: str) -> None:
    """Wait until an upstream is in a state."""
    changed = anyio.Event()

    def watch(_name: str) -> None:
        changed.set()

    upstreams.on_state(watch)
    with anyio.fail_after(30):
        while upstreams.state(name)[0] != state:
            await changed.wait()
            changed = anyio.Event()


@contextlib.contextmanager
def over_http(program: str, *args: str) -> Iterator[UpstreamSpec]:
    """A program that serves on a port of loopback, as an upstream."""
    with subprocess.Popen([sys.executable, program, "--http", *args], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            yield replace(spec("up", ""), command="", args=(), url=f"http://127.0.0.1:{port}/mcp")
        finally:
            server.kill()


@contextlib.contextmanager
def asks(kind: str, *args: str, **more: Any) -> Iterator[UpstreamSpec]:
    """The server that asks, over `stdio-ERA` or `http-ERA`."""
    transport, _, era = kind.partition("-")
    if transport == "http":
        with over_http(ASKS, "--era", era, *args) as upstream:
            yield replace(upstream, **more)
    else:
        yield spec("up", ASKS, "--era", era, *args, **more)


async def noted(ledger: Path, line: str) -> None:
    """Wait for a line in a server's ledger."""
    await eventually(lambda: line in lines_of(ledger))


def lines_of(ledger: Path) -> list[str]:
    """What a server noted so far."""
    return ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []


async def gone(pid: object) -> None:
    """Wait for the end of a process."""
    await eventually(lambda: not Path(f"/proc/{pid}").exists())


async def eventually(check: Callable[[], bool]) -> None:
    """Wait until something is so in another process."""
    with anyio.fail_after(10):
        while not check():  # noqa: ASYNC110 - nothing here could set an event for it
            await anyio.sleep(0.01)
