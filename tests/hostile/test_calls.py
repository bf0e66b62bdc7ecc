"""Each way in which an upstream can misbehave in a call: the right reply, nobody else hurt, usable again (R7)."""

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.model import Failure, Lost, Reason, Reply, Result
from gateway.upstreams import Upstreams
from tests.e2e.kit import case
from tests.processes import children
from tests.upstreams.fleet import GOOD, HOSTILE, Heard, ask, running, spec, text_of, until

TIMEOUT, LOST, FAILS, FINE = "timeout", "lost", "fails", "fine"
ENDS = {"exit", "close_stdout", "endless", "orphan"}
LONG = {"line_60mb", "endless", "progress_flood", "ask_client"}
FAULTS = {
    "never": TIMEOUT,
    "unknown_id": TIMEOUT,
    "string_id": FINE,  # "7" for 7: the SDK takes it for the same id, as other clients do
    "float_id": TIMEOUT,
    "neither": FAILS,
    "null_result": FAILS,
    "list_result": FAILS,
    "both_null": FAILS,
    "line_60mb": FAILS,
    "endless": LOST,
    "bad_utf8": FAILS,
    "nul": FAILS,
    "surrogate": FAILS,
    "duplicate_keys": FINE,
    "nan": FAILS,
    "huge_number": FAILS,
    "deep": FAILS,
    "null_block": FAILS,
    "no_content": FAILS,
    "bad_kind": FAILS,
    "twice": FINE,
    "late": TIMEOUT,
    "progress_flood": FINE,
    "unknown_progress": FINE,
    "stderr_flood": FINE,
    "garbage": TIMEOUT,
    "exit": LOST,
    "close_stdout": LOST,
    "ask_client": FINE,
    "error_object": FAILS,
    "error_text": FAILS,
    "orphan": LOST,
    "guess": FINE,
}


def kind(reply: Reply) -> str:
    """The reply in a word."""
    match reply:
        case Result():
            return FINE
        case Failure():
            return FAILS
        case Lost(reason=Reason.UPSTREAM_TIMEOUT):
            return TIMEOUT
        case Lost(reason=Reason.UPSTREAM_LOST):
            return LOST
    return "unsent"


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("ends", [TIMEOUT, LOST, FAILS, FINE])
async def test_a_fault_in_a_call_stays_with_that_call(ends: str, era: str) -> None:
    """The same process makes one fault after the other."""
    bad = spec("bad", HOSTILE, era, timeout=0.7)
    async with running(bad, replace(bad, name="patient", timeout=8.0), spec("good", GOOD)) as upstreams:
        for fault in (fault for fault, end in FAULTS.items() if end == ends):
            with case(fault, era):
                await _stays_with_its_call(upstreams, "patient" if fault in LONG else "bad", fault)


async def _stays_with_its_call(upstreams: Upstreams, bad: str, fault: str) -> None:
    replies: list[Reply] = []

    async def break_it() -> None:
        replies.append(await ask(upstreams, f"{bad}__{fault}"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(break_it)
        for number in range(5):
            assert text_of(await ask(upstreams, "good__echo", {"text": str(number)})) == str(number)
    assert kind(replies[0]) == FAULTS[fault]
    if fault in ENDS:
        await until(upstreams, bad, "ready")
    assert text_of(await ask(upstreams, f"{bad}__ok")) == "fine"
    assert text_of(await ask(upstreams, "good__echo", {"text": "still here"})) == "still here"


async def test_progress_of_a_flood_is_passed_on_but_bounded() -> None:
    heard = Heard()
    async with running(spec("bad", HOSTILE, timeout=20.0)) as upstreams:
        assert kind(await ask(upstreams, "bad__progress_flood", ears=heard)) == FINE
    seen = [done for done, _, _ in heard.steps]
    assert 0 < len(seen) < 20_000
    assert seen == sorted(seen)


async def test_an_upstream_that_reads_no_more_is_started_again_and_its_calls_have_an_end() -> None:
    bad = spec("bad", HOSTILE, timeout=0.5, doubt_timeout=0.3)
    async with running(bad, spec("good", GOOD)) as upstreams:
        assert kind(await ask(upstreams, "bad__stop_reading")) == TIMEOUT
        seen: list[tuple[str, str]] = []
        upstreams.on_state(lambda name: seen.append(upstreams.state(name)))
        assert kind(await ask(upstreams, "bad__ok")) in (TIMEOUT, LOST)
        await until(upstreams, "bad", "restarting")
        await until(upstreams, "bad", "ready")
        assert [state for state, _ in seen] == ["restarting", "ready"]
        assert "no sign of life" in seen[0][1]
        assert text_of(await ask(upstreams, "bad__ok")) == "fine"
        assert text_of(await ask(upstreams, "good__echo", {"text": "x"})) == "x"


async def test_calls_that_find_no_room_are_told_to_be_unsent() -> None:
    bad = spec("bad", HOSTILE, timeout=0.4, doubt_timeout=60.0)
    async with running(bad) as upstreams:
        kinds = [kind(await ask(upstreams, "bad__stop_reading"))]
        for _ in range(4):
            kinds.append(kind(await ask(upstreams, "bad__ok", {"fill": "x" * 1_000_000})))
        assert kinds[0] == TIMEOUT
        assert kinds[-1] == "unsent"


async def test_no_process_is_left_behind_however_it_ended() -> None:
    before = children()
    async with running(spec("bad", HOSTILE, timeout=1.0), spec("good", GOOD)) as upstreams:
        assert len(children() - before) == 2
        await ask(upstreams, "bad__orphan")
        await until(upstreams, "bad", "ready")
        await ask(upstreams, "bad__stop_reading")
    assert children() == before
