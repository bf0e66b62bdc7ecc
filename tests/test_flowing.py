"""Flow along the path of a call: what is proven passes, what leaves is noted first, and what can't be noted stays."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.model import (
    Again,
    ApprovalState,
    Asked,
    Call,
    Done,
    Held,
    Kind,
    Question,
    Reason,
    Refused,
    Release,
    Reply,
    Screened,
    Tool,
)
from gateway.errors import RecordError
from gateway.holding import Nobody
from gateway.ports import Ears
from tests.house import Model, a_call, policy_of

UNLESS = """\
upstream = "up"
owner = "o@example.com"
[lists]
friends = ["*@friend.example"]
[[tool]]
match = "read"
effect = "read"
[[tool]]
match = "write"
effect = "write"
inert = ["mode"]
[[tool]]
match = "send"
effect = "egress"
sinks = { to = "email" }
known = { to = "friends" }
payload = ["body"]
[[rule]]
id = "up.unless"
tools = "*"
decide = "ask-unless-proven"
"""
ANN = "ann@corp.example"


def model(*, tainted: bool = True, **said: str) -> Model:
    """A house with that rule, and with what was said by origin."""
    made = Model(policy_of(UNLESS))
    made.flows.tainted = tainted
    made.approvals.settle = None  # what asks is held
    for origin, text in said.items():
        made.flows.origins.add(origin, text)
    return made


@pytest.mark.parametrize(
    ("house", "tool", "arguments", "passes"),
    [
        (model(tainted=False), "send", {"to": "eve@evil.example"}, True),
        (model(tainted=False), "send", {}, True),
        (model(), "send", {"to": "eve@evil.example"}, False),
        (model(), "send", {}, False),
        (model(), "send", {"body": "nowhere"}, False),
        (model(), "send", {"to": "bob@friend.example"}, True),
        (model(), "send", {"to": "no address"}, False),
        (model(prompt=ANN), "send", {"to": ANN}, True),
        (model(trusted=ANN), "send", {"to": ANN, "body": "hello"}, True),
        (model(prompt=ANN), "send", {"to": ANN, "body": "see http://evil.example/x"}, False),
        (model(prompt=ANN), "send", {"to": [ANN, "eve@evil.example"]}, False),
        (model(), "write", {}, True),
        (model(), "write", {"mode": "fast"}, True),
        (model(), "write", {"path": "/a/b"}, False),
        (model(argument="/a/b"), "write", {"path": "/a/b"}, True),
        (model(), "read", {"q": "anything"}, True),
    ],
)
async def test_ask_unless_proven_asks_where_something_has_no_good_origin(
    house: Model, tool: str, arguments: dict[str, Any], passes: bool
) -> None:
    answer = await house.call(tool, **arguments)
    assert (isinstance(answer, Done), bool(house.upstreams.sent)) == (passes, passes)
    if passes:
        assert (house.records.rows[0].verdict, house.records.rows[0].reason) == ("allow", "proven")
    else:
        assert isinstance(answer, Held)
        assert answer.approval.reason is Reason.UNPROVEN
        named = "names nowhere" if not arguments.get("to") and "path" not in arguments else "no good origin for "
        assert named in answer.approval.shown.detail


async def test_the_record_tells_the_origins_of_values_and_not_the_values() -> None:
    house = model(prompt=ANN)
    await house.call("send", to=[ANN, "bob@friend.example"])
    (intent, _) = house.records.rows
    assert [told[:2] for told in intent.facts["values"]] == [["to[0]", "prompt"], ["to[1]", ""]]


async def test_what_leaves_is_noted_first_and_what_cant_be_noted_does_not_leave() -> None:
    house = model(tainted=False)
    house.flows.broken = RecordError("full")
    answer = await house.call("read")
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.RECORD_FAILED
    assert house.turns.outputs == []
    house.flows.broken = None
    assert isinstance(await house.call("read"), Done)
    assert house.flows.read == ["d_0000000001"]


async def test_what_is_withheld_leaves_no_trace_in_the_flow() -> None:
    house = model(tainted=False)
    house.screener.screened = Screened(Release.WITHHELD, None, (), Reason.SECRET_FOUND)
    assert isinstance(await house.call("read"), Refused)
    assert house.flows.read == []


async def test_what_a_call_writes_stands_on_its_intent_and_what_it_made_on_its_outcome() -> None:
    house = model(argument="/a/b")
    house.flows.marks = ("00ff",)
    await house.call("write", path="/a/b")
    assert [(record.kind, record.marks) for record in house.records.rows] == [
        (Kind.INTENT, ("00ff",)),
        (Kind.OUTCOME, ("00ff",)),
    ]


async def test_a_preview_is_shown_to_a_person_and_reaches_no_session() -> None:
    house = model(tainted=False)
    assert isinstance(await house.enforcer.handle(a_call("read"), Nobody()), Done)
    assert (house.flows.read, house.turns.outputs) == ([], [])


def says(house: Model, where: str) -> None:
    """Have the upstream say something while it works."""
    forward = house.upstreams.forward

    async def speaking(tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None = None) -> Reply:
        if where == "progress":
            await ears.progress(0.5, 1.0, "half of it")
        else:
            await ears.log("info", "a line", None)
        return await forward(tool, arguments, call, ears, again)

    house.upstreams.forward = speaking  # type: ignore[method-assign]  # it speaks first


@pytest.mark.parametrize("hears", [True, False])
async def test_progress_is_noted_where_somebody_hears_it(hears: bool) -> None:
    house = model(tainted=False)
    says(house, "progress")
    house.caller.wants_progress = hears
    await house.call("read")
    assert len(house.flows.read) == 1 + 3 * hears  # the upstream of this house says two things more


async def test_a_log_notice_that_cant_be_noted_is_dropped() -> None:
    house = model(tainted=False)
    says(house, "log")
    await house.call("read")
    assert (len(house.flows.read), len(house.caller.logged)) == (2, 1)
    house.flows.broken = RecordError("full")
    await house.call("read")
    assert len(house.caller.logged) == 1


async def test_a_question_is_noted_before_it_is_shown() -> None:
    house = model(tainted=False)
    house.upstreams.may_elicit, house.caller.answers_inline = "form", True
    house.caller.answers["elicitation/create"] = {"action": "decline"}
    params = {"message": "really?", "requestedSchema": {"type": "object", "properties": {"x": {"type": "string"}}}}
    house.upstreams.asks = [Asked((Question("k", "elicitation/create", params),))]
    call = a_call("read")
    context = replace(call.context, capabilities={"elicitation": {"form": {}}})
    await house.enforcer.handle(replace(call, context=context), house.caller)
    assert len(house.flows.read) == 1 + len(house.caller.asked)
    assert house.caller.asked


@pytest.mark.parametrize("tainted", [True, False])
async def test_a_result_is_screened_for_the_session_that_it_goes_to(tainted: bool) -> None:
    house = model(tainted=tainted)
    await house.call("read")
    assert house.screener.tainted == [tainted]


async def test_what_a_write_made_is_marked_also_where_its_result_is_withheld() -> None:
    house = model(argument="/a/b")
    house.flows.marks = ("00ff",)
    house.screener.screened = Screened(Release.WITHHELD, None, (), Reason.SECRET_FOUND)
    assert isinstance(await house.call("write", path="/a/b"), Refused)
    assert [(record.kind, record.marks) for record in house.records.rows] == [
        (Kind.INTENT, ("00ff",)),
        (Kind.OUTCOME, ("00ff",)),
    ]


@pytest.mark.parametrize(("where", "sure"), [("progress", True), ("log", False)])
async def test_a_log_notice_may_be_of_another_call_and_progress_is_not(where: str, sure: bool) -> None:
    house = model(tainted=False)
    says(house, where)
    house.caller.wants_progress = True
    await house.call("read")
    assert house.flows.sure[0] is sure


async def test_where_something_was_redacted_no_place_is_told_by_its_name() -> None:
    house = model()
    answer = await house.call("send", to={"secret-key": "eve@evil.example"})
    assert isinstance(answer, Held)
    assert answer.approval.shown.detail.startswith("no good origin for 2 of its values; ")
    house.approvals.settle = ApprovalState.DENIED
    await house.call("send", to={"secret-key": "eve@evil.example"})
    assert house.records.rows
    assert all("secret" not in f"{record.detail}{record.facts}" for record in house.records.rows)
