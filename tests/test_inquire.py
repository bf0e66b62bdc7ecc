"""What upstreams ask in the middle of a call: who is asked, what is sent upstream and recorded, on every way."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.account import HEARD, Trail
from gateway.core.canon import canonical, keyed_digest
from gateway.core.inquiry import MESSAGE_LIMIT
from gateway.core.model import (
    Act,
    Again,
    Asked,
    Asking,
    Done,
    Failure,
    Finding,
    Grade,
    Kind,
    Lost,
    Question,
    Reason,
    Refused,
    Result,
    Resume,
    Standing,
    Unsent,
)
from gateway.errors import GatewayError
from gateway.inquire import LONGEST, TAIL, Listener
from tests.house import KEY, POLICY, Model, a_call, a_grant, policy_of

ELICIT, SAMPLE, ROOTS = "elicitation/create", "sampling/createMessage", "roots/list"
FORM = {"type": "object", "properties": {"name": {"type": "string"}}}
NAME = Question("q1", ELICIT, {"message": "Who?", "requestedSchema": FORM})
ALLOWING = POLICY + f'[[rule]]\nid = "up.asks"\nmethods = ["{SAMPLE}", "{ROOTS}"]\ndecide = "allow"\n'
STRICTER = """[[rule]]
id = "up.stricter"
tools = ["write"]
decide = "ask"
approve = { proof = "signed", approvers = 2 }
"""
CAPABLE = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
FOUND = Finding("fake", "somewhere", "f" * 16)
ACCEPTED = {"action": "accept", "content": {"name": "Ada"}}


def asked(*questions: Question, state: str | None = "s1", parked: str = "") -> Asked:
    """What an upstream needs before it goes on."""
    return Asked(questions or (NAME,), None if parked else state, parked)


def house(*asks: Asked, modern: bool = False, elicit: str = "form", policy: str = ALLOWING) -> Model:
    """A house whose upstream asks, and whose client can be asked."""
    model = Model(policy_of(policy))
    model.upstreams.asks = list(asks)
    model.upstreams.may_elicit = elicit
    model.caller.modern, model.caller.answers_inline = modern, not modern
    model.caller.answers = {ELICIT: ACCEPTED, SAMPLE: {"role": "assistant"}, ROOTS: {"roots": []}}
    return model


async def call(model: Model, name: str = "read", resume: Resume | None = None, capabilities: Any = CAPABLE) -> Any:
    """Take a call along the path, from a client that declared what it can do."""
    made = a_call(name, {"path": "x"}, resume)
    made = replace(made, context=replace(made.context, capabilities=capabilities))
    return await model.enforcer.handle(made, model.caller)


def questions(model: Model) -> list[tuple[str, str]]:
    """What the record says of each question: verdict and reason."""
    return [(row.verdict, row.reason) for row in model.records.rows if row.kind is Kind.QUESTION]


@pytest.mark.parametrize("parked", ["", "t1"], ids=["modern upstream", "legacy upstream"])
async def test_a_legacy_client_is_asked_while_its_call_runs(parked: str) -> None:
    model = house(asked(parked=parked))
    assert await call(model) == Done({"content": [{"type": "text", "text": "fine"}]})
    assert [question.key for question in model.caller.asked] == ["q1"]
    assert model.caller.asked[0].params["message"].startswith("[Wardgate]")
    assert model.upstreams.again == [None, Again({"q1": ACCEPTED}, None if parked else "s1", parked)]
    assert questions(model) == [("allow", "tier-default")]
    assert model.records.outcomes() == [("ok", "tier-default")]


async def test_each_round_that_is_sent_is_an_intent_on_the_record_first() -> None:
    model = house(asked(), asked())
    await call(model, "write")
    assert model.effects == [
        *("obtain", "append intent", "forward", "queue question"),
        *("append intent", "forward", "queue question"),
        *("append intent", "forward", "screen", "append outcome"),
    ]
    first, second, third = (row for row in model.records.rows if row.kind is Kind.INTENT)
    assert (first.arguments, first.extra) == ({"path": "x"}, {})
    assert second.extra == {"round": 2, "answers": {"q1": "accept"}}
    assert third.extra == {"round": 3, "answers": {"q1": "accept"}}
    assert len({row.id for row in (first, second, third)}) == 1


async def test_a_modern_client_gets_the_questions_and_comes_back_with_answers() -> None:
    model = house(asked(), modern=True)
    asking = await call(model)
    assert isinstance(asking, Asking)
    assert (asking.handle, asking.questions[0].key) == ("r_1", "q1")
    assert asking.questions[0].params["message"].startswith("[Wardgate]")
    assert model.records.outcomes() == []
    assert isinstance(await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED})), Done)
    assert model.upstreams.again == [None, Again({"q1": ACCEPTED}, "s1", "")]
    assert model.records.outcomes() == [("ok", "tier-default")]
    assert model.rounds.closing[0].outcome == "unknown"


async def test_questions_without_any_are_a_call_again() -> None:
    model = house(Asked((), "s1"), modern=True)
    asking = await call(model, capabilities={})
    assert isinstance(asking, Asking)
    assert asking.questions == ()
    assert isinstance(await call(model, resume=Resume("r_1")), Done)
    looped = house(Asked((), "s1"))
    looped.caller.answers_inline = False
    assert isinstance(await call(looped, capabilities={}), Done)


async def test_a_second_question_is_a_second_round_under_the_first_id() -> None:
    model = house(asked(), asked(state="s2"), modern=True)
    await call(model)
    again = await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(again, Asking)
    assert model.rounds.kept["r_2"].number == 2
    assert isinstance(await call(model, resume=Resume("r_2", answers={"q1": ACCEPTED})), Done)
    assert [each.state for each in model.upstreams.again if each] == ["s1", "s2"]


async def test_an_approved_call_is_not_asked_about_again_and_its_approval_is_used_once() -> None:
    model = house(asked(), modern=True)
    assert isinstance(await call(model, "write"), Asking)
    assert isinstance(await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED})), Done)
    assert model.effects.count("obtain") == 1
    assert model.records.usable == set()
    assert model.records.outcomes() == [("ok", "approved")]


async def test_a_handle_that_is_not_the_calls_forwards_nothing() -> None:
    model = house(modern=True)
    refused = await call(model, resume=Resume("r_9", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.HANDLE_INVALID
    assert model.upstreams.sent == []
    assert model.records.outcomes() == [("blocked", "handle-invalid")]


async def test_a_retry_whose_call_is_gone_is_unknown_and_never_sent_anew() -> None:
    model = house(asked(parked="t1"), modern=True)
    await call(model)
    model.rounds.kept["r_1"] = replace(model.rounds.kept["r_1"], asked=None)
    refused = await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert refused.text.startswith("OUTCOME UNKNOWN")
    assert len(model.upstreams.sent) == 1
    assert model.records.outcomes() == [("unknown", "question-expired")]


@pytest.mark.parametrize("what", ["definition", "policy"])
async def test_what_changed_between_rounds_ends_the_call(what: str) -> None:
    model = house(asked(parked="t1"), modern=True)
    await call(model, "write")
    if what == "definition":
        model.catalogue.tools["up__write"] = replace(model.catalogue.tools["up__write"], digest="other")
    else:
        model.policy = policy_of(ALLOWING + STRICTER)
    refused = await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert model.upstreams.dropped == ["t1"]
    assert len(model.upstreams.sent) == 1
    assert model.records.outcomes() == [("unknown", "approval-void")]


async def test_a_policy_that_asks_for_no_more_ends_no_call_between_rounds() -> None:
    model = house(asked(parked="t1"), modern=True)
    await call(model, "write")
    model.policy = policy_of(ALLOWING + "# reviewed\n")
    assert isinstance(await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED})), Done)
    assert model.records.outcomes() == [("ok", "approved")]


@pytest.mark.parametrize("parked", ["", "t1"], ids=["modern upstream", "legacy upstream"])
async def test_a_call_that_is_blocked_between_rounds_ends_as_unknown_under_its_first_id(parked: str) -> None:
    model = house(asked(parked=parked), modern=True)
    await call(model)
    (first,) = {row.id for row in model.records.rows}
    model.policy = policy_of(POLICY.replace("when = 'has(args.bad)'\n", ""))
    refused = await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.text[:15], refused.call) == (Reason.RULE, "OUTCOME UNKNOWN", first)
    assert "Nothing has changed" not in refused.text
    assert model.records.outcomes() == [("unknown", "rule")]
    assert (model.rounds.kept, len(model.upstreams.sent)) == ({}, 1)


async def test_what_was_approved_in_a_clean_session_is_not_gone_on_with_in_a_tainted_one() -> None:
    model = house(asked(), modern=True)
    model.flows.tainted = False
    await call(model, "write")
    model.flows.tainted = True
    refused = await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.APPROVAL_VOID
    assert len(model.upstreams.sent) == 1
    (row,) = [row for row in model.records.rows if row.kind is Kind.OUTCOME]
    assert (row.outcome, row.detail) == ("unknown", "an untrusted output was read in the session meanwhile")


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_call_goes_on_under_the_grant_that_it_used_up_unless_that_was_revoked(revoked: bool) -> None:
    cards: list[Any] = []
    model = house(modern=True)
    model.approvals.edit = lambda row: cards.append(row) or row
    await call(model, "write")
    (row,) = cards
    grant = replace(a_grant(row), uses=1)
    model.approvals.said = Standing(grants=(grant,))
    model.records.usable = {grant.id}
    model.upstreams.asks = [asked()]
    assert isinstance(await call(model, "write"), Asking)
    assert model.effects.count("obtain") == 1
    model.approvals.said = Standing(grants=() if revoked else (replace(grant, used=1),))
    ended = await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(ended, Refused if revoked else Done)
    assert model.records.outcomes()[1:] == [("unknown", "approval-void") if revoked else ("ok", "granted")]
    assert len(model.upstreams.sent) == (2 if revoked else 3)


async def test_an_approval_whose_time_is_over_between_rounds_was_used_in_time() -> None:
    model = house(asked(), modern=True)
    await call(model, "write")
    model.clock.passed += 86_400
    assert isinstance(await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED})), Done)


async def test_a_second_round_that_can_not_be_sent_is_unknown_since_the_first_was() -> None:
    model = house(asked(), modern=True)
    await call(model)
    model.upstreams.reply = Unsent("not connected")
    refused = await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert refused.text.startswith("OUTCOME UNKNOWN")
    assert model.records.outcomes() == [("unknown", "upstream-down")]


async def test_a_call_whose_arguments_a_person_edited_goes_on_with_those() -> None:
    model = house(asked(), modern=True)

    def edit(row: Any) -> Any:
        given = {"path": "edited"}
        return replace(row, arguments=given, arguments_digest=keyed_digest(KEY, canonical(given)))

    model.approvals.edit = edit
    await call(model, "write")
    assert model.rounds.bound == [a_call("write", {"path": "x"}).digest]  # to what its client can send again
    assert isinstance(await call(model, "write", Resume("r_1", answers={"q1": ACCEPTED})), Done)
    assert model.upstreams.sent == [b'{"path":"edited"}'] * 2


async def test_other_arguments_than_those_that_were_sent_are_not_gone_on_with() -> None:
    model = house(asked(), modern=True)
    await call(model, "set")
    model.policy = policy_of(ALLOWING.replace('"low"', '"high"'))
    refused = await call(model, "set", Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.APPROVAL_VOID
    assert len(model.upstreams.sent) == 1


async def test_a_handle_that_is_used_says_that_the_call_may_have_happened() -> None:
    model = house(asked(), modern=True)
    await call(model)
    await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    again = await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(again, Refused)
    assert again.reason is Reason.HANDLE_INVALID
    assert "Nothing has changed" not in again.text
    assert "may have happened" in again.text


@pytest.mark.parametrize(
    ("question", "policy", "elicit", "capabilities", "reason"),
    [
        (NAME, ALLOWING, "block", CAPABLE, Reason.METHOD_BLOCKED),
        (Question("q1", SAMPLE, {}), POLICY, "form", CAPABLE, Reason.METHOD_BLOCKED),
        (NAME, ALLOWING, "form", {}, Reason.CLIENT_UNABLE),
        (Question("q1", ELICIT, {"message": "x"}), ALLOWING, "form", CAPABLE, Reason.QUESTION_UNFIT),
    ],
    ids=["by its key", "by policy", "by the client", "by its form"],
)
async def test_a_question_that_is_not_let_through_reaches_nobody(
    question: Question, policy: str, elicit: str, capabilities: Any, reason: Reason
) -> None:
    modern = house(asked(question), elicit=elicit, policy=policy)
    refused = await call(modern, capabilities=capabilities)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.text[:13]) == (reason, "NOT COMPLETED")
    assert (refused.requires is not None) is (reason is Reason.CLIENT_UNABLE)
    assert modern.records.outcomes() == [("error", reason.value)]
    legacy = house(asked(question, parked="t1"), elicit=elicit, policy=policy)
    assert isinstance(await call(legacy, capabilities=capabilities), Done)
    told = legacy.upstreams.again[1]
    assert told is not None
    assert isinstance(told.answers["q1"], Failure)
    assert "up" not in told.answers["q1"].message
    for model in (modern, legacy):
        assert model.caller.asked == []
        assert questions(model) == [("block", reason.value)]


async def test_one_bad_question_among_several_stops_them_all() -> None:
    bad = Question("q2", ELICIT, {"message": "x", "requestedSchema": {}})
    model = house(asked(NAME, bad))
    assert isinstance(await call(model), Refused)
    assert model.caller.asked == []


async def test_a_client_that_cannot_be_asked_at_all_is_not() -> None:
    model = house(asked())
    model.caller.answers_inline = False
    refused = await call(model)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.CLIENT_UNABLE
    assert model.caller.asked == []


async def test_an_upstream_that_asks_again_and_again_is_stopped() -> None:
    model = house(*[asked(parked="t")] * 9)
    refused = await call(model)
    assert isinstance(refused, Refused)
    assert len(model.upstreams.sent) == 3
    assert model.upstreams.dropped == ["t"]
    assert model.records.outcomes() == [("unknown", "too-many-rounds")]


@pytest.mark.parametrize("fault", [GatewayError("declined"), "event"], ids=["refused", "never answers"])
async def test_an_elicitation_without_an_answer_is_cancelled(fault: Any) -> None:
    model = house(asked())
    model.caller.answers[ELICIT] = anyio.Event() if fault == "event" else fault
    assert isinstance(await call(model), Done)
    assert model.upstreams.again[1] == Again({"q1": {"action": "cancel"}}, "s1", "")


async def test_a_sample_without_an_answer_ends_the_call() -> None:
    model = house(asked(Question("q1", SAMPLE, {"messages": []})))
    model.caller.answers[SAMPLE] = GatewayError("no")
    refused = await call(model)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.CLIENT_UNABLE
    assert questions(model) == [("allow", "rule"), ("block", "client-unable")]


@pytest.mark.parametrize("parked", ["", "t1"])
async def test_an_answer_that_holds_a_secret_does_not_leave(parked: str) -> None:
    model = house(asked(parked=parked))
    model.caller.answers[ELICIT] = {"action": "accept", "content": {"name": "a secret"}}
    answer = await call(model)
    assert all("secret" not in str(again) or "secret-found" in str(again) for again in model.upstreams.again[1:])
    assert questions(model)[-1] == ("block", "secret-found")
    assert isinstance(answer, Done if parked else Refused)


async def test_what_cannot_be_screened_is_neither_shown_nor_sent() -> None:
    model = house(asked())

    async def never(value: Any, deadline: float, tool: Any = None) -> Any:
        if value != {"path": "x"}:
            raise GatewayError("the scanner fails")
        return value, ()

    model.screener.redact = never  # type: ignore[method-assign]  # a scanner that fails at the question
    refused = await call(model)
    assert isinstance(refused, Refused)
    assert (refused.reason, model.caller.asked) == (Reason.SCANNER_FAILED, [])
    later = house(asked(), modern=True)
    await call(later)
    later.screener.redact = never  # type: ignore[method-assign]  # a scanner that fails at the answer
    refused = await call(later, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.SCANNER_FAILED
    assert len(later.upstreams.sent) == 1


async def test_a_secret_in_a_question_is_redacted_and_on_the_record() -> None:
    model = house(asked(Question("q1", ELICIT, {"message": "the secret?", "requestedSchema": FORM})))
    await call(model)
    assert "[R]" in model.caller.asked[0].params["message"]
    (row,) = (row for row in model.records.rows if row.kind is Kind.QUESTION)
    assert row.findings == (model.screener.as_found,)
    assert model.records.outcomes() == [("ok", "tier-default")]


@pytest.mark.parametrize("elicit", ["form", "block"])
async def test_a_question_without_a_secret_leaves_no_finding(elicit: str) -> None:
    model = house(asked(), elicit=elicit)
    await call(model)
    assert [row.findings for row in model.records.rows if row.kind is Kind.QUESTION] == [()]


async def test_a_question_that_holds_a_secret_of_the_gateways_own_is_not_put() -> None:
    model = house(asked(Question("q1", ELICIT, {"message": "the secret?", "requestedSchema": FORM})))
    model.screener.as_found = replace(FOUND, exact=True, grade=Grade.EXACT)
    refused = await call(model)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.EXACT_SECRET
    assert model.caller.asked == []
    (row,) = (row for row in model.records.rows if row.kind is Kind.QUESTION)
    assert [finding.act for finding in row.findings] == [Act.WITHHELD]


async def test_a_question_is_screened_before_it_is_cut() -> None:
    """A secret that is cut in two looks like none."""
    long = "x" * (MESSAGE_LIMIT - 3) + "secret"
    model = house(asked(Question("q1", ELICIT, {"message": long, "requestedSchema": FORM})))
    await call(model)
    assert "xsec" not in model.caller.asked[0].params["message"]


@pytest.mark.parametrize(
    ("question", "elicit"),
    [
        (Question("the secret", ELICIT, {"message": "Who?", "requestedSchema": FORM}), "form"),
        (Question("q1", ELICIT, {"message": "Go", "mode": "url", "url": "https://x.example/secret"}), "url"),
    ],
    ids=["its key", "its address"],
)
async def test_a_question_whose_key_or_address_holds_a_secret_is_not_put(question: Question, elicit: str) -> None:
    model = house(asked(question), elicit=elicit, modern=True)
    refused = await call(model, capabilities={"elicitation": {"form": {}, "url": {}}})
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.SECRET_FOUND
    assert "secret " not in refused.text.replace("secret-found", "")
    (row,) = (row for row in model.records.rows if row.kind is Kind.QUESTION)
    assert row.findings == (replace(model.screener.as_found, act=Act.WITHHELD),)
    fine = house(asked(replace(question, key="q1", params={**question.params, **_plain(elicit)})), elicit=elicit)
    assert isinstance(await call(fine, capabilities={"elicitation": {"form": {}, "url": {}}}), Done)


def _plain(elicit: str) -> dict[str, str]:
    return {"url": "https://x.example/"} if elicit == "url" else {}


@pytest.mark.parametrize(
    ("found", "reason", "act"),
    [
        (replace(FOUND, exact=True, grade=Grade.EXACT), Reason.EXACT_SECRET, Act.BLOCKED),
        (FOUND, Reason.SECRET_FOUND, Act.BLOCKED),
        (replace(FOUND, grade=Grade.GENERIC), None, Act.FLAGGED),
        (replace(FOUND, act=Act.ALLOWED), None, Act.ALLOWED),
    ],
    ids=["exact", "vendor", "generic", "allowed by a person"],
)
async def test_what_is_found_in_an_answer_is_on_the_record_whatever_it_leads_to(
    found: Finding, reason: Reason | None, act: Act
) -> None:
    model = house(asked())
    model.screener.as_found = found
    model.caller.answers[ELICIT] = answer = {"action": "accept", "content": {"name": "a secret"}}
    await call(model)
    assert model.upstreams.again[1:] == ([Again({"q1": answer}, "s1", "")] if reason is None else [])
    if reason is None:
        assert model.records.rows[-1].findings == (replace(found, act=act, place="answer.somewhere"),)
    else:
        assert questions(model)[-1] == ("block", reason.value)
        assert model.records.rows[-2].findings == (replace(found, act=act, place="answer.somewhere"),)


async def test_what_was_heard_before_a_client_is_asked_is_on_the_record_of_the_question() -> None:
    """A modern client comes back with a call of its own, whose outcome knows nothing of the round before."""
    model = house(asked(), modern=True)
    model.caller.wants_progress = True
    assert isinstance(await call(model), Asking)
    (row,) = (row for row in model.records.rows if row.kind is Kind.QUESTION)
    assert {one.place for one in row.findings} == {"progress.somewhere", "log.somewhere"}
    model.caller.wants_progress = False
    await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert model.records.rows[-1].findings == ()


async def test_of_what_is_heard_beside_the_answer_so_many_findings_are_kept() -> None:
    model = house()
    trail = Trail(a_call("read"), model.clock.monotonic, model.house.capture)
    trail.hear("log", [replace(FOUND, place=f"data[{number}]") for number in range(HEARD + 5)])
    trail.hear("log", [FOUND])
    assert len(trail.heard) == HEARD
    assert next(iter(trail.heard)).place == "log.data[0]"


async def test_a_client_that_goes_away_while_it_is_asked_leaves_the_outcome_unknown() -> None:
    model = house(asked(parked="t1"))
    waiting = anyio.Event()
    model.caller.answers[ELICIT] = waiting
    model.enforcer._inquiry._patience = 60.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, model)
        with anyio.fail_after(20):
            await waiting.wait()
        tasks.cancel_scope.cancel()
    assert model.upstreams.dropped == ["t1"]
    assert model.records.outcomes() == [("unknown", "cancelled")]


async def test_a_parked_call_that_is_lost_is_unknown() -> None:
    model = house(asked(parked="t1"), modern=True)
    await call(model)
    model.upstreams.reply = Lost(Reason.UPSTREAM_LOST, "gone")
    refused = await call(model, resume=Resume("r_1", answers={"q1": ACCEPTED}))
    assert isinstance(refused, Refused)
    assert model.records.outcomes() == [("unknown", "upstream-lost")]


async def test_what_an_upstream_says_meanwhile_is_screened_before_it_goes_on() -> None:
    model = house()
    model.caller.wants_progress = True
    await call(model)
    assert model.caller.heard == [(0.5, 1.0, "half a [R]"), (1.0, None, None)]
    assert model.caller.logged == [("info", {"said": "a [R]"}, "it")]
    found = model.records.rows[-1].findings
    assert {one.place for one in found} == {"progress.somewhere", "log.somewhere"}
    model.caller.wants_logs = False
    await call(model)
    assert len(model.caller.logged) == 1


async def test_what_an_upstream_says_and_asks_meanwhile_is_screened_under_the_label_of_the_tool() -> None:
    model = house(asked())
    model.caller.wants_progress = model.caller.wants_logs = True
    redact, labels = model.screener.redact, dict[str, str]()

    async def under(value: Any, deadline: float, tool: Any = None) -> Any:
        if tool is not None:
            labels[next(iter(value)) if isinstance(value, dict) else "progress"] = tool.ref.name
        return await redact(value, deadline, tool)

    model.screener.redact = under  # type: ignore[method-assign]  # the labels, beside what the fake does
    await call(model)
    assert labels == dict.fromkeys(("progress", "data", "key"), "read")


async def test_what_an_upstream_says_meanwhile_and_cannot_be_screened_is_dropped() -> None:
    model = house()
    model.caller.wants_progress = True

    async def only_arguments(value: Any, deadline: float, tool: Any = None) -> Any:
        if value != {"path": "x"}:
            raise GatewayError("the scanner fails")
        return value, ()

    model.screener.redact = only_arguments  # type: ignore[method-assign]  # a scanner that fails at notices
    await call(model)
    assert (model.caller.heard, model.caller.logged) == ([(0.5, 1.0, None), (1.0, None, None)], [])
    cold = house()  # a scanner that is not loaded yet: nobody waits for a notice
    cold.caller.wants_progress, cold.screener.quick = True, False
    await call(cold)
    assert cold.caller.heard[0] == (0.5, 1.0, None)


async def test_a_notice_that_holds_a_secret_of_the_gateways_own_is_dropped_and_on_the_record() -> None:
    model = house()
    model.caller.wants_progress = True
    model.screener.as_found = replace(FOUND, exact=True, grade=Grade.EXACT)
    await call(model)  # the upstream says `half a secret` and `a secret` meanwhile
    assert (model.caller.heard[0], model.caller.logged) == ((0.5, 1.0, None), [])
    (outcome,) = (row for row in model.records.rows if row.kind is Kind.OUTCOME)
    assert {finding.act for finding in outcome.findings} == {Act.WITHHELD}


async def test_a_progress_notice_that_is_cut_loses_what_might_be_half_a_secret() -> None:
    model = house()
    listener = Listener(model.house, model.caller, Trail(a_call("read"), model.clock.monotonic, model.house.capture))
    await listener.progress(1.0, None, "x" * (LONGEST - 3) + "secret")
    assert model.caller.heard == [(1.0, None, "x" * (LONGEST - TAIL))]


async def test_a_call_that_is_turned_away_is_on_the_record() -> None:
    model = house()
    refused = await model.enforcer.turn_away(a_call("write"), Reason.BUSY)
    assert refused.text.startswith("NOT EXECUTED - the gateway is busy")
    assert model.effects == ["queue outcome"]
    assert model.records.outcomes() == [("blocked", "busy")]


async def test_other_methods_get_their_result_as_it_is() -> None:
    model = house()
    model.upstreams.reply = Result({"contents": []})
    made = replace(a_call("read"), method="resources/read")
    assert await model.enforcer.handle(made, model.caller) == Done({"contents": []})


@pytest.mark.parametrize("parked", ["", "t1"], ids=["modern upstream", "legacy upstream"])
async def test_a_freeze_between_two_rounds_says_not_that_nothing_happened(parked: str) -> None:
    model = house(asked(parked=parked))
    answers = model.caller.ask

    async def meanwhile(question: Question) -> Mapping[str, Any]:
        model.approvals.said = Standing(frozen="by os:ada")
        return await answers(question)

    model.caller.ask = meanwhile  # type: ignore[method-assign]  # somebody is faster than the client's user
    answer = await call(model)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.FROZEN
    assert len(model.upstreams.sent) == 1
    assert model.records.outcomes() == [("unknown", "frozen")]
    assert answer.text.startswith("OUTCOME UNKNOWN")
