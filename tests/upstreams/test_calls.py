"""Calls to upstreams that behave: both eras, stdio and HTTP."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.model import Failure, Lost, Reason, Result, Unsent
from gateway.upstreams import UpstreamSpec
from tests.servers.guarded import guarded
from tests.upstreams.fleet import GOOD, SILENT, Heard, ask, call, json_of, over_http, running, spec, text_of, until

STDIO = {
    "modern": spec("up", GOOD, "--era", "modern"),
    "legacy": spec("up", GOOD, "--era", "legacy"),
    "legacy-silent": spec("up", GOOD, "--era", "legacy", "--silent"),
    "pinned-modern": spec("up", GOOD, era="2026-07-28"),
    "pinned-legacy": spec("up", GOOD, era="2025-11-25"),
}


@contextlib.contextmanager
def made(kind: str) -> Iterator[UpstreamSpec]:
    """An upstream of a kind."""
    if kind.startswith("http-"):
        with over_http(GOOD, "--era", kind.removeprefix("http-")) as upstream:
            yield upstream
    else:
        yield STDIO[kind]


@pytest.fixture(params=[*STDIO, "http-modern", "http-legacy"])
def upstream(request: pytest.FixtureRequest) -> Iterator[UpstreamSpec]:
    with made(request.param) as one:
        yield one


async def test_a_call_is_answered_with_exactly_what_the_upstream_said(upstream: UpstreamSpec) -> None:
    async with running(upstream) as upstreams:
        assert upstreams.state("up") == ("ready", "")
        reply = await ask(upstreams, "up__add", {"a": 1, "b": 2**70})
        assert reply == Result(
            {"content": [{"type": "text", "text": str(2**70 + 1)}], "structuredContent": {"sum": 2**70 + 1}}
        )


async def test_progress_is_passed_on(upstream: UpstreamSpec) -> None:
    heard = Heard()
    async with running(upstream) as upstreams:
        assert text_of(await ask(upstreams, "up__progress", {"steps": 3}, heard)) == "done"
        assert text_of(await ask(upstreams, "up__echo", {"text": "x"})) == "x"
    assert heard.steps
    assert set(heard.steps) <= {(1.0, 3.0, "step 0"), (2.0, 3.0, "step 1"), (3.0, 3.0, "step 2")}


@pytest.mark.parametrize("kind", ["modern", "legacy", "http-modern"])
async def test_meta_is_stamped_for_this_hop_and_the_rest_passes(kind: str) -> None:
    with made(kind) as upstream:
        async with running(upstream) as upstreams:
            meta = json_of(
                await ask(upstreams, "up__meta", {"region": "Øst"}, meta={"traceparent": "t", "vendor/x": 1})
            )
    assert meta["traceparent"] == "t"
    assert meta["vendor/x"] == 1
    own = {key: value for key, value in meta.items() if key.startswith("io.modelcontextprotocol/")}
    if kind == "legacy":
        assert own == {}
    else:
        assert own["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
        assert own["io.modelcontextprotocol/clientInfo"]["name"] == "wardgate"
        assert own["io.modelcontextprotocol/clientCapabilities"] == {}
    if kind == "http-modern":
        headers = {key.lower(): value for key, value in meta["headers"].items()}
        assert headers["mcp-method"] == "tools/call"
        assert headers["mcp-name"] == "meta"
        assert headers["mcp-param-region"] == "=?base64?w5hzdA==?="


async def test_one_megabyte_passes(upstream: UpstreamSpec) -> None:
    async with running(upstream) as upstreams:
        assert len(text_of(await ask(upstreams, "up__big", {"bytes": 1_000_000}))) == 1_000_000
        assert len(text_of(await ask(upstreams, "up__echo", {"text": "y" * 1_000_000}))) == 1_000_000


@pytest.mark.parametrize("kind", ["modern", "legacy"])
async def test_five_hundred_calls_at_once_all_get_their_own_answer(kind: str) -> None:
    async with running(replace(STDIO[kind], calls_in_flight=500, timeout=30.0)) as upstreams:
        answers: dict[int, str] = {}

        async def one(number: int) -> None:
            answers[number] = text_of(await ask(upstreams, "up__echo", {"text": f"n{number}"}))

        async with anyio.create_task_group() as tasks:
            for number in range(500):
                tasks.start_soon(one, number)
    assert answers == {number: f"n{number}" for number in range(500)}


async def test_a_call_beyond_the_limit_is_unsent() -> None:
    async with running(replace(STDIO["modern"], calls_in_flight=1)) as upstreams, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, upstreams, "up__slow", {"ms": 2_000})
        await anyio.wait_all_tasks_blocked()
        reply = await ask(upstreams, "up__echo", {"text": "x"})
        assert isinstance(reply, Unsent)
        assert reply.detail.startswith("busy")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["modern", "legacy", "http-modern"])
async def test_a_call_beyond_its_deadline_is_lost(kind: str) -> None:
    with made(kind) as upstream:
        async with running(replace(upstream, timeout=1.0)) as upstreams:
            reply = await ask(upstreams, "up__slow", {"ms": 30_000})
            assert isinstance(reply, Lost)
            assert reply.reason is Reason.UPSTREAM_TIMEOUT
            assert text_of(await ask(upstreams, "up__echo", {"text": "x"})) == "x"


async def test_cancellation_passes_through(upstream: UpstreamSpec) -> None:
    async with running(upstream) as upstreams:
        with anyio.move_on_after(0.2) as scope:
            await ask(upstreams, "up__slow", {"ms": 3_000})
        assert scope.cancelled_caught
        assert text_of(await ask(upstreams, "up__echo", {"text": "x"})) == "x"


async def test_what_cannot_be_sent_is_unsent_and_nothing_happened(tmp_path: Path) -> None:
    async with running(STDIO["modern"]) as upstreams:
        tool = upstreams.catalogue.find("up__write")
        assert tool is not None
        bad = call({}, {"vendor/x": object()})
        arguments = b'{"path":"%s","text":"x"}' % str(tmp_path / "file").encode()
        assert isinstance(await upstreams.forward(tool, arguments, bad, SILENT), Unsent)
        assert not (tmp_path / "file").exists()
        assert text_of(await upstreams.forward(tool, arguments, call({}), SILENT)) == "written"
        assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


@pytest.mark.parametrize("kind", ["modern", "legacy"])
async def test_a_changed_list_is_listed_again(kind: str) -> None:
    async with running(STDIO[kind]) as upstreams:
        changed = anyio.Event()
        upstreams.catalogue.on_change(lambda _kinds: changed.set())
        before = upstreams.catalogue.revision
        assert text_of(await ask(upstreams, "up__grow", {"name": "new"})) == "grown"
        with anyio.fail_after(20):
            await changed.wait()
        assert upstreams.catalogue.find("up__new") is not None
        assert upstreams.catalogue.revision > before


async def test_tools_are_listed_over_all_pages() -> None:
    async with running(spec("up", GOOD, "--tools", "350")) as upstreams:
        names = [tool.ref.name for tool in upstreams.catalogue.offered("tools")]
        assert len(names) == 361
        assert names == sorted(names)


async def test_the_program_gets_its_environment_and_nothing_else() -> None:
    program = "import json,os,sys; sys.exit(json.dumps(dict(os.environ)))"
    upstream = replace(spec("up", "-c", program), environment=lambda: {"ONLY": "this"})
    async with running(upstream) as upstreams:
        state, detail = upstreams.state("up")
    assert state == "failed"
    assert '"ONLY": "this"' in detail
    assert "PATH" not in detail


async def test_a_dead_http_upstream_leaves_calls_unsent_and_comes_back() -> None:
    with over_http(GOOD) as upstream:
        async with running(upstream) as upstreams:
            lost = await ask(upstreams, "up__exit")
            assert isinstance(lost, Lost)
            failed = await ask(upstreams, "up__fail")
            assert isinstance(failed, Failure)
            assert text_of(await ask(upstreams, "up__echo", {"text": "x"})) == "x"


async def test_an_http_upstream_that_is_not_there_fails_with_its_host() -> None:
    nobody = replace(spec("up", ""), command="", args=(), url="http://127.0.0.1:9/mcp?key=v")
    async with running(nobody) as upstreams:
        state, detail = upstreams.state("up")
    assert state == "failed"
    assert "127.0.0.1:9" in detail
    assert "key" not in detail


async def test_whether_an_upstream_asks_to_sign_in_is_known_by_its_answer_alone() -> None:
    with guarded() as server:
        refused = replace(spec("refused", ""), command="", args=(), url=server.url)
        known = replace(refused, name="known", headers=lambda: {"Authorization": "Bearer x"})
        nobody = replace(refused, name="nobody", url="http://127.0.0.1:9/401/unauthorized")
        async with running(refused, known, nobody, spec("program", "-c", "exit('401 unauthorized')")) as upstreams:
            found = {name: upstreams.asks_to_sign_in(name) for name in upstreams.states()}
    assert found == {"refused": True, "known": False, "nobody": False, "program": False}


async def test_states_end_with_stopped() -> None:
    async with running(STDIO["modern"]) as upstreams:
        await until(upstreams, "up", "ready")
    assert upstreams.state("up")[0] == "stopped"
    assert upstreams.state("other")[0] == "failed"
