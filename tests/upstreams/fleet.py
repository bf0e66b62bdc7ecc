"""Upstreams to test with: real programs, started by the real supervisors. No assertions here."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec

from gateway.core.canon import canonical
from gateway.core.model import Call, Client, Context, Effect, Labels, Principal, Reply, Result, Tier, Tool, ToolRef
from gateway.ports import Progress
from gateway.upstreams import Upstreams, UpstreamSpec
from gateway.upstreams.supervisor import Pace

TESTS = Path(__file__).parent.parent
GOOD = str(TESTS / "servers" / "good.py")
HOSTILE = str(TESTS / "hostile" / "upstream.py")


def spec(name: str, program: str, *args: str, **more: Any) -> UpstreamSpec:
    """A spec with deadlines that suit a test."""
    fast = UpstreamSpec(
        name, sys.executable, (program, *args), timeout=5.0, start_timeout=20.0, discover_timeout=0.5, grace=0.3
    )
    return replace(fast, **more)


def classify(ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str) -> Tool:
    """Everything is a read."""
    return Tool(ref, exposed, definition, digest, Effect.READ, Tier.READ, Labels(Effect.READ))


def call(arguments: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> Call:
    """A call with these arguments."""
    data = canonical(dict(arguments))
    context = Context("s", meta=meta or {})
    return Call("d_1", Principal("os:me", "os-user"), Client(), "x", arguments, data, "", datetime.now(UTC), context)


class Quick(Pace):
    """Restarts after a moment; remembers the pauses that were asked for."""

    pauses: list[float]

    def __init__(self) -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await anyio.sleep(min(seconds, 0.01))

        super().__init__(sleep=sleep, jitter=lambda: 1.0)
        object.__setattr__(self, "pauses", pauses)


@contextlib.asynccontextmanager
async def running(*specs: UpstreamSpec, pace: Pace | None = None) -> AsyncIterator[Upstreams]:
    """Run upstreams until all have settled, and end them afterwards."""
    upstreams = Upstreams(specs, classify, pace or Quick())
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
    progress: Progress | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Reply:
    """Forward a call of an exposed tool."""
    tool = upstreams.catalogue.find(exposed)
    assert tool is not None, f"{exposed} is not offered: {upstreams.states()}"
    made = call(arguments or {}, meta)
    return await upstreams.forward(tool, made.canonical, made, progress)


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


def children() -> set[int]:
    """Processes whose parent or session leader we are, by /proc."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.add(int(entry.name))
    return found
