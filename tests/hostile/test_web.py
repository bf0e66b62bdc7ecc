"""What an upstream over HTTP can do wrong in a call stays with that call."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp_types import INTERNAL_ERROR
from msgspec.structs import replace

from gateway.core.model import Failure, Lost, Reason, Reply, ToolRef, Unsent
from gateway.transport.wire import INVALID_ANSWER
from gateway.upstreams import Upstreams, UpstreamSpec
from tests.upstreams.fleet import SILENT, ask, call, classify, running, spec, text_of

WEB = str(Path(__file__).with_name("web.py"))


@pytest.fixture
def web() -> Iterator[UpstreamSpec]:
    """The misbehaving server, as an upstream."""
    with subprocess.Popen([sys.executable, WEB], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield replace(spec("web", ""), command="", url=f"http://127.0.0.1:{port}/mcp", line_limit=2**20)
        finally:
            server.kill()


async def provoke(upstreams: Upstreams, name: str) -> Reply:
    """Call a tool that isn't listed."""
    made = call({})
    tool = upstreams.catalogue.find(f"web__{name}") or classify(ToolRef("web", name), name, {}, "")
    return await upstreams.forward(tool, made.canonical, made, SILENT)


NO_NUMBERS = ["nan", "nan_error", "infinite_event"]
FAILS = [*NO_NUMBERS, "garbage", "page", "huge", "redirect", "accepted", "400", "401", "404", "500", "503"]
LOSES = ["no_answer", "huge_event", "cut", "hang_up", "502", "504"]


@pytest.mark.parametrize("fault", [*FAILS, *LOSES])
async def test_a_fault_in_one_answer_is_the_end_of_that_call_only(
    fault: str, web: UpstreamSpec, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(web) as upstreams:
        changes: list[str] = []
        upstreams.on_state(changes.append)
        reply = await provoke(upstreams, fault)
        assert isinstance(reply, Failure if fault in FAILS else Lost)
        if isinstance(reply, Lost):
            assert reply.reason is Reason.UPSTREAM_LOST
        if fault in NO_NUMBERS:
            assert reply == Failure(INTERNAL_ERROR, INVALID_ANSWER)
        assert "quoted-part" not in str(reply)
        assert text_of(await ask(upstreams, "web__ok")) == "fine"
        assert changes == []
    assert "quoted-part" not in caplog.text


async def test_faults_do_not_hurt_calls_beside_them(web: UpstreamSpec) -> None:
    async with running(web) as upstreams:
        fine: list[str] = []

        async def good() -> None:
            fine.append(text_of(await ask(upstreams, "web__ok")))

        async with anyio.create_task_group() as tasks:
            for fault in (*FAILS, *LOSES):
                tasks.start_soon(provoke, upstreams, fault)
                tasks.start_soon(good)
        assert fine == ["fine"] * (len(FAILS) + len(LOSES))


async def test_a_server_that_went_away_took_no_call(web: UpstreamSpec) -> None:
    async with running(web) as upstreams:
        await provoke(upstreams, "die")
        replies = [await provoke(upstreams, "ok") for _ in range(3)]
    assert isinstance(replies[-1], Unsent)
