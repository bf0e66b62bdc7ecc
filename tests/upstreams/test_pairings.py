"""Clients of both eras at servers that the SDK made, of both eras, over both transports."""

import contextlib
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.model import Again, Asked, Reply, Result
from gateway.upstreams import Updated, Upstreams, UpstreamSpec
from tests.e2e.kit import case
from tests.upstreams.fleet import TESTS, Heard, ask, call, json_of, over_http, running, spec

SDK = str(TESTS / "servers" / "sdk.py")
ABLE = {"elicitation": {"form": {}}}
SERVERS = pytest.mark.parametrize("server", ["stdio-both", "stdio-legacy", "http-both", "http-legacy"])
ERAS = ("modern", "legacy")


@contextlib.contextmanager
def served(server: str, **more: Any) -> Iterator[UpstreamSpec]:
    """The server as an upstream that is run per client."""
    transport, _, era = server.partition("-")
    options = ["--legacy"] if era == "legacy" else []
    if transport == "http":
        with over_http(SDK, *options) as upstream:
            yield replace(upstream, per="client", timeout=20.0, **more)
    else:
        yield spec("up", SDK, *options, per="client", timeout=20.0, discover_timeout=10.0, **more)


def fleet(upstream: UpstreamSpec) -> contextlib.AbstractAsyncContextManager[Upstreams]:
    """The upstream, run; it may be told all that a client can do."""
    return running(upstream, declare=lambda _upstream, _client, capabilities: capabilities)


async def do(upstreams: Upstreams, method: str, exposed: str, arguments: dict[str, Any], **context: Any) -> Reply:
    """Forward a request of any method."""
    tool = upstreams.catalogue.find(exposed, method)
    assert tool is not None
    made = call(arguments, method=method, **context)
    return await upstreams.forward(tool, made.canonical, made, Heard())


@SERVERS
async def test_everything_passes_between_any_two_eras(server: str) -> None:
    with served(server) as upstream:
        async with fleet(upstream) as upstreams:
            for era in ERAS:
                with case(server, era):
                    await _requests_pass(upstreams, era, server)
                    await _notices_pass(upstreams, era)


async def _requests_pass(upstreams: Upstreams, era: str, server: str) -> None:
    client = {"seat": era, "era": era, "capabilities": ABLE}
    assert json_of(await ask(upstreams, "up__able", **client)) == ABLE
    asked = await ask(upstreams, "up__ask", **client)
    assert isinstance(asked, Asked)
    assert bool(asked.parked) is (era == "legacy" or server.endswith("legacy"))
    answer = {asked.questions[0].key: {"action": "accept", "content": {"x": "y"}}}
    again = Again(answer, asked.state, asked.parked)
    assert json_of(await ask(upstreams, "up__ask", again=again, **client)) == {"x": "y"}
    read = await do(upstreams, "resources/read", "note://one", {"uri": "note://one"}, **client)
    assert isinstance(read, Result)
    assert read.value["contents"][0]["text"] == "text"
    prompt = await do(upstreams, "prompts/get", "up__hello", {}, **client)
    assert isinstance(prompt, Result)
    asking = {"ref": {"type": "ref/prompt", "name": "up__hello"}, "argument": {"name": "a", "value": "v"}}
    completed = await do(upstreams, "completion/complete", "up__hello", asking, **client)
    assert isinstance(completed, Result)
    assert completed.value["completion"]["values"] == ["v!"]


async def _notices_pass(upstreams: Upstreams, era: str) -> None:
    told, heard = anyio.Event(), Heard()
    seen: list[Updated] = []
    upstreams.on_notice(lambda updated: (seen.append(updated), told.set())[1])
    client = {"seat": era, "era": era, "log_level": "info"}
    uri = {"uri": "note://one"}
    assert await do(upstreams, "resources/subscribe", "note://one", uri, **client) == Result({})
    with anyio.fail_after(20):
        while not told.is_set():  # over HTTP the stream of a session may be opened a little later
            await ask(upstreams, "up__touch", **client)
            with anyio.move_on_after(0.5):
                await told.wait()
    assert seen[0] == Updated("up", "note://one", era)
    await ask(upstreams, "up__log", ears=heard, **client)
    assert heard.lines == [("warning", "a line", "sdk")]
    assert await do(upstreams, "resources/unsubscribe", "note://one", uri, **client) == Result({})
