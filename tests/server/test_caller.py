"""The client face of one call: what a client can be asked, and what it is told."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.core.model import Answer, Call, Done, Question, Vote
from gateway.errors import GatewayError
from gateway.ports import Caller
from gateway.server.caller import can_fill_forms, can_open_pages, page, vote_of
from tests.core.test_card import approval
from tests.server.room import ALL, PARAMS, RESULTS, Room

FORM = Question(
    "q", "elicitation/create", {"mode": "form", "message": "m", "requestedSchema": {"type": "object", "properties": {}}}
)
SAMPLE = Question("q", "sampling/createMessage", {"messages": [], "maxTokens": 5})
ROOTS = Question("q", "roots/list", {})
GOOD: Mapping[str, Mapping[str, Any]] = {
    "elicitation/create": {"action": "accept", "content": {"a": 1}, "vendor": {"n": None}},
    "sampling/createMessage": {
        "role": "assistant",
        "model": "m",
        "content": {"type": "text", "text": "t"},
        "vendor": 1,
    },
    "roots/list": {"roots": [{"uri": "file:///x", "vendor": 1}], "_meta": {"v": 1}},
}


@pytest.mark.parametrize(
    ("answer", "vote"),
    [
        ({"action": "accept", "content": {"approve": True}}, Vote.APPROVE),
        ({"action": "accept", "content": {"approve": False}}, Vote.DENY),
        ({"action": "accept", "content": {"approve": "yes"}}, Vote.CANCEL),
        ({"action": "accept", "content": {}}, Vote.CANCEL),
        ({"action": "accept"}, Vote.CANCEL),
        ({"action": "decline"}, Vote.DENY),
        ({"action": "cancel"}, Vote.CANCEL),
        ("yes", Vote.CANCEL),
    ],
    ids=["yes", "no", "no boolean", "empty form", "no form", "declined", "cancelled", "no object"],
)
def test_only_a_ticked_form_approves(answer: object, vote: Vote) -> None:
    assert vote_of(answer) is vote


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        ({}, False),
        ({"elicitation": {}}, False),
        ({"elicitation": {"form": {}}}, False),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": "url"}, False),
    ],
    ids=["nothing", "form by default", "form", "both", "odd"],
)
def test_a_page_is_opened_only_where_the_client_declares_it(capabilities: Mapping[str, Any], can: bool) -> None:
    assert can_open_pages(capabilities) is can


def test_a_page_is_the_rows_card_and_nothing_else() -> None:
    asked = page(approval(), "http://localhost:1/approvals/a_0000000001")
    assert (asked["mode"], asked["elicitationId"]) == ("url", "a_0000000001")
    assert "requestedSchema" not in asked


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        ({}, False),
        ({"elicitation": None}, False),
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
    ],
    ids=["none", "no elicitation", "empty means form", "both", "url only"],
)
def test_forms_need_the_form_mode(capabilities: Mapping[str, Any], can: bool) -> None:
    assert can_fill_forms(capabilities) is can


async def seen(era: str, method: str, capabilities: Mapping[str, Any] = ALL) -> Caller:
    """The caller of a call of that method."""
    room, callers = Room(), []

    async def keep(call: Call, caller: Caller) -> Answer:
        callers.append(caller)
        return Done(RESULTS[call.method])

    room.enforcer.answer = keep
    async with room.wire(era, capabilities) as wire:
        await wire.ask(method, PARAMS[method])
    return callers[0]


@pytest.mark.parametrize(
    ("era", "method", "capabilities", "asks", "modern", "inline"),
    [
        ("modern", "tools/call", ALL, "input", True, False),
        ("modern", "resources/read", ALL, "input", True, False),
        ("modern", "tools/call", {}, "input-silent", True, False),
        ("modern", "completion/complete", ALL, "none", False, False),
        ("legacy", "tools/call", ALL, "elicit", False, True),
        ("legacy", "prompts/get", {}, "none", False, True),
        ("legacy", "completion/complete", ALL, "none", False, True),
    ],
)
async def test_each_client_is_asked_as_it_can_be(
    era: str, method: str, capabilities: Mapping[str, Any], asks: str, modern: bool, inline: bool
) -> None:
    caller = await seen(era, method, capabilities)
    # a connection that has ended can't be asked any more, but could be while the call ran
    assert (caller.asks, caller.modern, caller.answers_inline) == (asks, modern, inline)


async def ask(
    question: Question, capabilities: Mapping[str, Any], reply: Mapping[str, Any], era: str = "legacy"
) -> Any:
    """What the caller gives for a question of an upstream, and what the client saw of it."""
    room, got = Room(), []

    async def put(call: Call, caller: Caller) -> Answer:
        try:
            got.append(await caller.ask(question))
        except GatewayError as problem:
            got.append(problem)
        return Done(RESULTS[call.method])

    room.enforcer.answer = put
    async with room.wire(era, capabilities) as wire:
        wire.replies = {question.method: reply}
        await wire.ask("tools/call", PARAMS["tools/call"])
    return got[0], wire.told


@pytest.mark.parametrize("question", [FORM, SAMPLE, ROOTS], ids=lambda question: question.method)
async def test_a_question_reaches_a_legacy_client_and_its_raw_answer_comes_back(question: Question) -> None:
    got, told = await ask(question, ALL, GOOD[question.method])
    assert got == GOOD[question.method]
    assert told == [(question.method, dict(question.params) or None)]


@pytest.mark.parametrize("question", [FORM, SAMPLE, ROOTS], ids=lambda question: question.method)
async def test_a_client_is_never_asked_for_what_it_did_not_declare(question: Question) -> None:
    got, told = await ask(question, {}, GOOD[question.method])
    assert isinstance(got, GatewayError)
    assert told == []


async def test_a_modern_client_is_never_asked_in_the_middle() -> None:
    got, told = await ask(FORM, ALL, GOOD[FORM.method], era="modern")
    assert isinstance(got, GatewayError)
    assert told == []


@pytest.mark.parametrize("reply", [{}, {"action": "maybe"}, {"action": "accept", "content": 3}])
async def test_an_answer_of_the_wrong_shape_is_none(reply: Mapping[str, Any]) -> None:
    got, _ = await ask(FORM, ALL, reply)
    assert isinstance(got, GatewayError)


async def test_an_error_of_the_client_is_a_refusal() -> None:
    room, got = Room(), []

    async def put(call: Call, caller: Caller) -> Answer:
        try:
            await caller.ask(FORM)
        except GatewayError as problem:
            got.append(problem)
        return Done(RESULTS[call.method])

    room.enforcer.answer = put
    async with room.client("legacy") as client:
        await client.call_tool("up__echo", {})
    assert len(got) == 1


async def test_progress_goes_out_growing_and_only_to_who_asked() -> None:
    room = Room()

    async def work(call: Call, caller: Caller) -> Answer:
        await caller.progress(5, 10, "half")
        await caller.progress(2, 10, None)
        await caller.notice("waiting")
        return Done(RESULTS[call.method])

    room.enforcer.answer = work
    for era in ("legacy", "modern"):
        async with room.wire(era) as wire:
            await wire.ask("resources/read", PARAMS["resources/read"])
            assert wire.told == []
            await wire.ask("resources/read", {**PARAMS["resources/read"], "_meta": {"progressToken": "t"}})
            steps = [params["progress"] for _, params in wire.told]
        assert steps == sorted(set(steps))
        assert [params.get("message") for _, params in wire.told] == ["half", None, "waiting"]
        assert {params["progressToken"] for _, params in wire.told} == {"t"}


async def test_a_legacy_client_is_asked_for_an_approval_by_a_form() -> None:
    room, votes = Room(), []

    async def put(call: Call, caller: Caller) -> Answer:
        votes.append(await caller.elicit(approval()))
        return Done(RESULTS[call.method])

    room.enforcer.answer = put
    async with room.wire("legacy") as wire:
        wire.replies = {"elicitation/create": {"action": "accept", "content": {"approve": True}}}
        await wire.ask("tools/call", PARAMS["tools/call"])
    assert votes == [Vote.APPROVE]


async def test_no_question_has_an_id_that_another_gateways_on_the_same_pipes_could_have() -> None:
    asked: list[Any] = []

    async def put(call: Call, caller: Caller) -> Answer:
        await caller.elicit(approval())
        await caller.open(approval(), "http://localhost:1/approvals/a_0000000001")
        for question in (FORM, SAMPLE, ROOTS):
            await caller.ask(question)
        return Done(RESULTS[call.method])

    for _ in range(2):
        room = Room()
        room.enforcer.answer = put
        async with room.wire("legacy") as wire:
            wire.replies = GOOD
            await wire.ask("tools/call", PARAMS["tools/call"])
        assert len(wire.asked) == 5
        asked += wire.asked
    assert len(set(asked)) == len(asked)
    assert all(type(id) is int and id < 2**53 for id in asked)
    assert sum(asked) > 2**40  # they aren't counted


async def test_an_answer_that_nobody_waits_for_answers_nothing() -> None:
    room, votes = Room(), []

    async def put(call: Call, caller: Caller) -> Answer:
        votes.append(await caller.elicit(approval()))
        return Done(RESULTS[call.method])

    room.enforcer.answer = put
    yes, no = {"action": "accept", "content": {"approve": True}}, {"action": "decline"}
    async with room.wire("legacy") as wire:
        for id in (*range(20), *map(str, range(20))):
            await wire.reply(id, yes)
        wire.replies = {"elicitation/create": no}
        number = await wire.send("tools/call", PARAMS["tools/call"])
        for id in (*range(20), *map(str, range(20))):
            await wire.reply(id, yes)
        await wire.answer(number)
    assert votes == [Vote.DENY]
