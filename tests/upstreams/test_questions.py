"""Questions of upstreams in the middle of a call: both eras, stdio and HTTP, and every way in which they end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.core.model import Again, Asked, Failure, Lost, Reason, Reply, Result, Unsent
from gateway.upstreams import Upstreams, UpstreamSpec
from tests.upstreams.fleet import ask, asks, gone, json_of, noted, running, text_of

LEGACY = pytest.mark.parametrize("kind", ["stdio-legacy", "http-legacy"])
MODERN = pytest.mark.parametrize("kind", ["stdio-modern", "http-modern"])
SEAT = {"seat": "s1", "era": "legacy"}
FORM = {"action": "accept", "content": {"x": "y"}}


@contextmanager
def personal(kind: str, *args: str, **more: Any) -> Iterator[UpstreamSpec]:
    """The server that asks, run per client."""
    with asks(kind, *args, per="client", **more) as upstream:
        yield upstream


def parked(reply: Reply) -> Asked:
    """A reply that asks and leaves the call open."""
    assert isinstance(reply, Asked), reply
    assert reply.parked
    return reply


def answers(asked: Asked, *given: Mapping[str, Any] | Failure) -> Again:
    """The answers to questions, in their order."""
    keys = [question.key for question in asked.questions]
    return Again(dict(zip(keys, given, strict=False)), asked.state, asked.parked)


async def call(
    upstreams: Upstreams, name: str, again: Again | None = None, seat: str = "s1", **arguments: Any
) -> Reply:
    """Call a tool as a client with a seat."""
    return await ask(upstreams, f"up__{name}", arguments, again=again, seat=seat, era="legacy")


@LEGACY
@pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list"])
async def test_a_legacy_question_parks_the_call_and_its_answer_goes_on_with_it(kind: str, method: str) -> None:
    with personal(kind) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask", method=method))
            assert [question.method for question in asked.questions] == [method]
            assert ("message" in asked.questions[0].params) is (method == "elicitation/create")
            assert json_of(await call(upstreams, "ask", answers(asked, FORM))) == [FORM]


@LEGACY
async def test_several_questions_at_once_and_one_after_the_other(kind: str) -> None:
    with personal(kind) as upstream:
        async with running(upstream) as upstreams:
            given: list[Mapping[str, Any]] = []
            reply = await call(upstreams, "ask", times=3)
            while isinstance(reply, Asked):
                new = [{"action": "accept", "content": {"x": str(len(given) + n)}} for n in range(len(reply.questions))]
                given += new
                reply = await call(upstreams, "ask", answers(reply, *new))
            assert json_of(reply) == given
            assert len(given) == 3
            rounds = 0
            reply = await call(upstreams, "chain", times=3)
            while isinstance(reply, Asked):
                rounds += 1
                reply = await call(upstreams, "chain", answers(reply, FORM))
            assert (rounds, json_of(reply)) == (3, [FORM] * 3)


async def test_an_answer_that_is_missing_is_asked_for_again() -> None:
    with personal("stdio-legacy") as upstream:
        async with running(upstream) as upstreams:
            first = parked(await call(upstreams, "ask"))
            second = parked(await call(upstreams, "ask", Again({}, parked=first.parked)))
            assert second.questions == first.questions
            assert second.parked != first.parked
            assert json_of(await call(upstreams, "ask", answers(second, FORM))) == [FORM]


@LEGACY
async def test_a_refused_question_is_refused_at_the_upstream_with_that_error(kind: str) -> None:
    with personal(kind) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask"))
            reply = await call(upstreams, "ask", answers(asked, Failure(-32042, "no", {"why": 1})))
            assert isinstance(reply, Result)
            assert json.loads(text_of(reply)) == {"code": -32042, "message": "no", "data": {"why": 1}}


async def test_a_ticket_counts_once_and_only_for_its_principal(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with personal("stdio-legacy", "--ledger", str(ledger)) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask"))
            for again in (Again({}, parked="0" * 32), answers(asked, FORM)):
                stranger = await ask(upstreams, "up__ask", again=again, principal="os:other", **SEAT)
                assert isinstance(stranger, Lost)
                assert stranger.reason is Reason.UPSTREAM_LOST
            assert json_of(await call(upstreams, "ask", answers(asked, FORM))) == [FORM]
            twice = await call(upstreams, "ask", answers(asked, FORM))
            assert isinstance(twice, Lost)
            assert ledger.read_text(encoding="utf-8").splitlines().count("call ask") == 1


@LEGACY
async def test_nobody_came_back_in_time(kind: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with personal(kind, "--ledger", str(ledger), question=0.2) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask"))
            await noted(ledger, "cancelled")
            late = await call(upstreams, "ask", answers(asked, FORM))
            assert isinstance(late, Lost)
            assert late.reason is Reason.QUESTION_EXPIRED
            assert json_of(await call(upstreams, "who"))["modern"] is False


@LEGACY
async def test_a_dropped_call_is_cancelled_at_its_upstream(kind: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with personal(kind, "--ledger", str(ledger), calls_in_flight=1) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask"))
            busy = await call(upstreams, "who")
            assert isinstance(busy, Unsent)
            assert busy.detail.startswith("busy:")
            await upstreams.drop(asked.parked)
            await upstreams.drop(asked.parked)
            await noted(ledger, "cancelled")
            assert isinstance(await call(upstreams, "ask", answers(asked, FORM)), Lost)
            assert json_of(await call(upstreams, "who"))["modern"] is False


async def test_a_parked_call_is_lost_with_its_connection() -> None:
    with personal("stdio-legacy") as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask"))
            assert isinstance(await call(upstreams, "die"), Lost)
            with anyio.fail_after(10):
                while isinstance(await call(upstreams, "who"), Unsent):  # noqa: ASYNC110 - no event tells of it
                    await anyio.sleep(0.01)
            lost = await call(upstreams, "ask", answers(asked, FORM))
            assert isinstance(lost, Lost)
            assert lost.reason is Reason.UPSTREAM_LOST


async def test_a_client_that_left_takes_its_parked_calls_along() -> None:
    with personal("stdio-legacy") as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask"))
            pid = json_of(await call(upstreams, "who"))["pid"]
            upstreams.left("s1")
            assert isinstance(await call(upstreams, "who", seat="s2"), Result)
            await gone(pid)
            assert isinstance(await call(upstreams, "ask", answers(asked, FORM)), Lost)


async def test_the_time_of_a_person_is_not_the_upstreams() -> None:
    with personal("stdio-legacy", timeout=1.0) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "ask", ms=600))
            await anyio.sleep(1.2)
            assert json_of(await call(upstreams, "ask", answers(asked, FORM))) == [FORM]


async def test_a_question_that_is_taken_back_is_not_waited_for() -> None:
    with personal("stdio-legacy") as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "withdraw"))
            await anyio.sleep(0.4)
            assert json_of(await call(upstreams, "withdraw", answers(asked, FORM))) == "went on"


async def test_a_cancelled_second_round_is_cancelled_at_the_upstream(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with personal("stdio-legacy", "--ledger", str(ledger)) as upstream:
        async with running(upstream) as upstreams:
            asked = parked(await call(upstreams, "chain", times=1))
            with anyio.move_on_after(0.0):
                await call(upstreams, "chain", answers(asked, FORM))
            await noted(ledger, "cancelled")
            assert isinstance(await call(upstreams, "chain", answers(asked, FORM)), Lost)


@LEGACY
async def test_a_question_belongs_to_the_newest_call_that_runs_of_the_same_seat(kind: str) -> None:
    with personal(kind) as upstream:
        async with running(upstream) as upstreams:
            replies: dict[str, Reply] = {}

            async def one(seat: str) -> None:
                replies[seat] = await call(upstreams, "ask", seat=seat)

            async with anyio.create_task_group() as tasks:
                for seat in ("s1", "s2"):
                    tasks.start_soon(one, seat)
            first, second = parked(replies["s1"]), parked(replies["s2"])
            assert json_of(await call(upstreams, "ask", answers(second, {"n": 2}), seat="s2")) == [{"n": 2}]
            third = parked(await call(upstreams, "ask"))
            assert json_of(await call(upstreams, "ask", answers(third, {"n": 3}))) == [{"n": 3}]
            assert json_of(await call(upstreams, "ask", answers(first, {"n": 1}))) == [{"n": 1}]


@LEGACY
@pytest.mark.parametrize("per", ["gateway", "workspace"])
async def test_a_question_on_a_shared_connection_is_refused_and_noted(kind: str, per: str) -> None:
    told: list[tuple[str, str, Reason]] = []
    with asks(kind, per=per) as upstream:
        async with running(upstream, note=lambda *heard: told.append(heard)) as upstreams:
            reply = await ask(upstreams, "up__ask", seat="s1", workspace="/w")
            assert isinstance(reply, Result)
            assert reply.value["isError"] is True
    assert told == [("up", "elicitation/create", Reason.QUESTION_SHARED)]


@MODERN
async def test_a_modern_question_ends_the_round_and_its_answers_go_with_the_next(kind: str) -> None:
    with asks(kind) as upstream:
        async with running(upstream) as upstreams:
            asked = await ask(upstreams, "up__chain", {"times": 2})
            assert isinstance(asked, Asked)
            assert (asked.parked, [question.key for question in asked.questions]) == ("", ["k0"])
            assert json.loads(asked.state or "") == {"answers": []}
            again = await ask(upstreams, "up__chain", {"times": 2}, again=answers(asked, {"n": 1}))
            assert isinstance(again, Asked)
            done = await ask(upstreams, "up__chain", {"times": 2}, again=answers(again, {"n": 2}))
            assert json_of(done) == [{"n": 1}, {"n": 2}]


@MODERN
async def test_a_refused_question_has_no_answer_at_a_modern_upstream(kind: str) -> None:
    with asks(kind) as upstream:
        async with running(upstream) as upstreams:
            asked = await ask(upstreams, "up__ask")
            assert isinstance(asked, Asked)
            assert isinstance(await ask(upstreams, "up__ask", again=answers(asked, Failure(-1, "no"))), Asked)
