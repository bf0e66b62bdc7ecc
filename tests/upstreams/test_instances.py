"""Upstreams that are run per client or per workspace: who gets which process, and when it ends."""

from pathlib import Path

import anyio
import pytest

from gateway.core.model import Failure, Lost, Result, Unsent
from gateway.upstreams import Upstreams
from tests.processes import children
from tests.upstreams.fleet import ASKS, ask, asks, eventually, gone, json_of, lines_of, noted, running, spec

WORKSPACE = "${WORKSPACE}"


async def who(upstreams: Upstreams, seat: str = "s1", **context: object) -> dict[str, object]:
    """What an instance says of itself."""
    reply = await ask(upstreams, "up__who", seat=seat, **context)
    said: dict[str, object] = json_of(reply)
    return said


async def test_each_client_has_its_own_process_and_the_one_that_listed_is_gone() -> None:
    before = children()
    with asks("stdio-both", per="client") as upstream:
        async with running(upstream) as upstreams:
            assert upstreams.state("up") == ("ready", "")
            await eventually(lambda: children() == before)
            pids = [(await who(upstreams, seat))["pid"] for seat in ("s1", "s2", "s1")]
            assert pids[0] == pids[2] != pids[1]
            assert upstreams.state("up") == ("ready", "")
    assert children() == before


@pytest.mark.parametrize(
    ("kind", "era", "modern"),
    [
        ("stdio-both", "legacy", False),
        ("stdio-both", "modern", True),
        ("stdio-legacy", "modern", False),
        ("stdio-modern", "legacy", True),
        ("http-both", "legacy", False),
        ("http-both", "modern", True),
        ("http-modern", "legacy", True),
    ],
)
async def test_a_client_gets_a_connection_of_its_own_era_where_there_is_one(kind: str, era: str, modern: bool) -> None:
    with asks(kind, per="client") as upstream:
        async with running(upstream) as upstreams:
            assert (await who(upstreams, era=era))["modern"] is modern


@pytest.mark.parametrize("kind", ["stdio-legacy", "http-legacy", "stdio-modern", "http-modern"])
async def test_what_is_declared_is_what_may_be_declared_of_that_client(kind: str) -> None:
    able = {"elicitation": {"form": {}}, "sampling": {}}
    heard: list[object] = []

    def declare(*told: object) -> dict[str, object]:
        heard.append(told)
        return {"elicitation": {"form": {}}}

    with asks(kind, per="client") as upstream:
        async with running(upstream, declare=declare) as upstreams:
            assert (await who(upstreams, capabilities=able))["declared"] == {"elicitation": {"form": {}}}
    assert set(map(str, heard)) == {str(("up", "unknown", able))}


async def test_a_shared_legacy_connection_declares_nothing() -> None:
    with asks("stdio-legacy") as upstream:
        async with running(upstream, declare=lambda *_told: {"sampling": {}}) as upstreams:
            assert (await who(upstreams, capabilities={"sampling": {}}))["declared"] == {}


async def test_each_workspace_has_its_own_process_per_principal() -> None:
    with asks("stdio-both", WORKSPACE, per="workspace") as upstream:
        async with running(upstream) as upstreams:
            first = await who(upstreams, "s1", workspace="/w/one")
            again = await who(upstreams, "s2", workspace="/w/one")
            other = await who(upstreams, "s1", workspace="/w/two")
            stranger = await who(upstreams, "s3", workspace="/w/one", principal="os:other")
            assert (first["arguments"], other["arguments"]) == (["/w/one"], ["/w/two"])
            assert len({str(one["pid"]) for one in (first, again, other, stranger)}) == 3
            assert first["pid"] == again["pid"]


async def test_without_a_client_or_workspace_nothing_is_started(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    for per, context in (
        ("workspace", {"seat": "s1"}),
        ("workspace", {"seat": "s1", "workspace": "relative"}),
        ("client", {"workspace": "/w"}),
        ("client", {"seat": "s1"}),
    ):
        with asks("stdio-both", "--ledger", str(ledger), WORKSPACE, per=per) as upstream:
            async with running(upstream) as upstreams:
                assert isinstance(await ask(upstreams, "up__who", **context), Unsent)
    starts = lines_of(ledger)
    assert len(starts) == 4
    assert all("wardgate-" in line for line in starts)  # only the ones that listed, in an empty folder
    await eventually(lambda: not any(Path(line.removeprefix("start ")).exists() for line in starts))


async def test_one_more_than_the_limit_is_busy_until_one_leaves() -> None:
    with asks("stdio-both", per="client", most_instances=1) as upstream:
        async with running(upstream) as upstreams:
            await who(upstreams)
            busy = await ask(upstreams, "up__who", seat="s2")
            assert isinstance(busy, Unsent)
            assert busy.detail.startswith("busy:")
            upstreams.left("s1")
            assert isinstance(await ask(upstreams, "up__who", seat="s2"), Result)


async def test_a_workspace_is_kept_until_its_last_client_left() -> None:
    with asks("stdio-both", per="workspace") as upstream:
        async with running(upstream) as upstreams:
            first = await who(upstreams, "s1", workspace="/w")
            await who(upstreams, "s2", workspace="/w")
            upstreams.left("s1")
            assert (await who(upstreams, "s2", workspace="/w"))["pid"] == first["pid"]
            upstreams.left("s2")
            assert (await who(upstreams, "s3", workspace="/w"))["pid"] != first["pid"]


async def test_an_idle_instance_ends_and_a_busy_one_does_not() -> None:
    with asks("stdio-both", per="client", idle=0.2) as upstream:
        async with running(upstream) as upstreams:
            pid = (await who(upstreams))["pid"]
            assert isinstance(await ask(upstreams, "up__slow", {"ms": 600}, seat="s1"), Result)
            await gone(pid)
            assert (await who(upstreams))["pid"] != pid


async def test_what_fails_stays_with_that_instance() -> None:
    program = "import sys, runpy; sys.argv[0] = sys.argv.pop(1); w = sys.argv.pop()\n"
    program += "sys.exit('no such place') if w.endswith('bad') else runpy.run_path(sys.argv[0], run_name='__main__')"
    upstream = spec("up", "-c", program, ASKS, WORKSPACE, per="workspace")
    async with running(upstream) as upstreams:
        bad = await ask(upstreams, "up__who", seat="s1", workspace="/bad")
        assert isinstance(bad, Unsent)
        assert isinstance(await ask(upstreams, "up__who", seat="s1", workspace="/good"), Result)
        lost = await ask(upstreams, "up__die", seat="s1", workspace="/good")
        assert isinstance(lost, Lost)
        state, detail = upstreams.state("up")
        assert state == "ready"
        assert "1 of 2 instances failed" in detail
        assert "no such place" in detail


async def test_a_change_in_an_instance_reaches_the_catalogue_but_its_resources_do_not() -> None:
    with asks("stdio-both", per="client") as upstream:
        async with running(upstream) as upstreams:
            changed = anyio.Event()
            upstreams.catalogue.on_change(lambda _kinds: changed.set())
            await ask(upstreams, "up__grow", {"name": "x://private", "resource": True}, seat="s1")
            await ask(upstreams, "up__grow", {"name": "new"}, seat="s1")
            with anyio.fail_after(10):
                await changed.wait()
            assert upstreams.catalogue.find("up__new") is not None
            assert upstreams.catalogue.find("x://private", "resources/read") is None
            changed = anyio.Event()
            upstreams.left("s1")
            with anyio.fail_after(10):
                await changed.wait()  # nobody offers it any more
            assert upstreams.catalogue.find("up__new") is None


async def test_a_session_over_http_is_ended_at_its_server(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with asks("http-legacy", "--ledger", str(ledger), per="client") as upstream:
        async with running(upstream) as upstreams:
            assert (await who(upstreams))["modern"] is False
            before = lines_of(ledger).count("session ended")
            upstreams.left("s1")
            await eventually(lambda: lines_of(ledger).count("session ended") > before)


async def test_an_instance_that_does_not_start_is_unsent_in_time() -> None:
    program = "import sys, runpy, threading; sys.argv[0] = sys.argv.pop(1); w = sys.argv.pop()\n"
    program += "threading.Event().wait() if w == '/w' else runpy.run_path(sys.argv[0], run_name='__main__')"
    upstream = spec("up", "-c", program, ASKS, WORKSPACE, per="workspace", start_timeout=3.0)
    async with running(upstream) as upstreams:
        with anyio.fail_after(8):
            assert isinstance(await ask(upstreams, "up__who", seat="s1", workspace="/w"), Unsent)


@pytest.mark.parametrize("kind", ["stdio-legacy", "stdio-modern"])
async def test_cancelling_the_first_call_does_not_end_the_instance(kind: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with asks(kind, "--ledger", str(ledger), per="client") as upstream:
        async with running(upstream) as upstreams:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: ask(upstreams, "up__hush", seat="s1"))
                await noted(ledger, "call hush")
                tasks.cancel_scope.cancel()
            await noted(ledger, "cancelled")
            assert not isinstance(await ask(upstreams, "up__who", seat="s1"), Failure | Unsent)
