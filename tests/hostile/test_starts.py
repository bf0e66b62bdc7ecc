"""Each way in which an upstream can misbehave before it is ready: a clear state, and nobody else hurt (R7)."""

import anyio
import pytest

from gateway.core.model import Unsent
from tests.upstreams.fleet import GOOD, HOSTILE, SILENT, Quick, ask, call, running, spec, text_of, until

ERAS = pytest.mark.parametrize("era", ["modern", "legacy"])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("dies", "no config"),
        ("hangs", "did not start within"),
        ("other_protocol", ""),
        ("many_tools", "more than 2000 tools"),
        ("cycle", "circle"),
        ("endless_pages", "more than 100 pages"),
        ("bad_list", "no list of tools"),
    ],
)
async def test_an_upstream_that_does_not_start_fails_with_a_clear_detail(fault: str, told: str) -> None:
    program = [HOSTILE, fault] if fault != "other_protocol" else [HOSTILE, "other_protocol", "hangs"]
    bad = spec("bad", *program, start_timeout=2.0)
    async with running(bad, spec("good", GOOD)) as upstreams:
        state, detail = upstreams.state("bad")
        assert state == "failed"
        assert told in detail
        assert "\x1b" not in detail
        assert "\u202e" not in detail
        assert text_of(await ask(upstreams, "good__echo", {"text": "x"})) == "x"


async def test_the_good_are_ready_while_another_hangs() -> None:
    async with running(spec("good", GOOD)) as upstreams:
        assert upstreams.state("good") == ("ready", "")
    slow = spec("bad", HOSTILE, "hangs", start_timeout=30.0)
    from gateway.upstreams import Upstreams
    from tests.upstreams.fleet import classify

    upstreams = Upstreams([slow, spec("good", GOOD)], classify, Quick())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await tasks.start(upstreams.run)
            await until(upstreams, "good", "ready")
            assert upstreams.state("bad")[0] == "starting"
            tasks.cancel_scope.cancel()
    assert upstreams.state("bad")[0] == "stopped"


async def test_a_missing_command_is_named_and_tried_again_after_the_long_pause() -> None:
    pace = Quick()
    async with running(spec("bad", "x", command="no-such-command-here"), pace=pace) as upstreams:
        assert upstreams.state("bad") == ("failed", "command `no-such-command-here` not found")
        tool_call = call({})
        ghost = upstreams.catalogue.find("bad__ok")
        assert ghost is None
        assert tool_call.canonical == b"{}"
    assert set(pace.pauses) == {60.0}


async def test_pauses_double_up_to_a_minute() -> None:
    pace = Quick()
    assert [pace.pause(n, permanent=False) for n in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


@ERAS
@pytest.mark.parametrize("fault", ["banner", "asks_first", "empty_cursor"])
async def test_oddities_at_the_start_do_no_harm(fault: str, era: str) -> None:
    async with running(spec("bad", HOSTILE, era, fault)) as upstreams:
        assert upstreams.state("bad") == ("ready", "")
        assert text_of(await ask(upstreams, "bad__ok")) == "fine"


async def test_a_program_that_dies_of_the_modern_question_is_asked_the_legacy_one() -> None:
    async with running(spec("bad", HOSTILE, "legacy", "dies_when_surprised")) as upstreams:
        await until(upstreams, "bad", "ready")
        assert text_of(await ask(upstreams, "bad__ok")) == "fine"


async def test_definitions_that_break_a_rule_are_left_out_and_noted() -> None:
    async with running(spec("bad", HOSTILE, "strange_names")) as upstreams:
        state, detail = upstreams.state("bad")
        assert state == "ready"
        assert " tools left out" in detail
        offered = {tool.ref.name for tool in upstreams.catalogue.offered("tools")}
        assert "ok" in offered
        assert offered.isdisjoint({"twin", "deep_schema", "no_schema", "novel"})
        assert all(name.isascii() for name in offered)


async def test_a_call_to_an_upstream_that_is_down_is_unsent() -> None:
    bad = spec("bad", HOSTILE, timeout=1.0)
    async with running(bad) as upstreams:
        tool = upstreams.catalogue.find("bad__exit")
        assert tool is not None
        made = call({})
        await upstreams.forward(tool, made.canonical, made, SILENT)
        assert isinstance(await upstreams.forward(tool, made.canonical, made, SILENT), Unsent)
        assert upstreams.catalogue.find("bad__ok") is not None
        await until(upstreams, "bad", "ready")
        assert text_of(await ask(upstreams, "bad__ok")) == "fine"
