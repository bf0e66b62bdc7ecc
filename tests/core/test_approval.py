"""The life of an approval: every state against every event, whose vote counts, and what a row covers."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.approval import (
    TRANSITIONS,
    Ballot,
    Event,
    IllegalEvent,
    Objection,
    answerable_by_client,
    covers,
    item,
    next_state,
    objection,
    requirement_of,
    settle,
)
from gateway.core.model import (
    Approval,
    ApprovalState,
    Call,
    Client,
    Context,
    Decision,
    Effect,
    Obligation,
    ObligationKind,
    Principal,
    Proof,
    Reason,
    Requirement,
    Tier,
    Tool,
    Verdict,
)
from tests import fakes
from tests.fakes import NOON, a_call, a_tool, an_ask

LATER = NOON + timedelta(minutes=1)


def a_row(proof: Proof = Proof.LOCAL, approvers: int = 1, by: frozenset[str] = frozenset()) -> Approval:
    decision = an_ask(proof, approvers=approvers, by=by)
    return fakes.a_row("a_0000000001", a_call(), a_tool(), decision, {"path": "a.txt"}, NOON)


def a_ballot(by: str = "os:bob", *, proof: Proof = Proof.LOCAL, approve: bool = True) -> Ballot:
    return Ballot(by, proof, approve, LATER)


@pytest.mark.parametrize("event", Event, ids=lambda event: event.value)
@pytest.mark.parametrize("state", ApprovalState, ids=lambda state: state.value)
def test_the_table_says_where_an_event_leads(state: ApprovalState, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalEvent):
            next_state(state, event)


@given(st.lists(st.sampled_from(Event), max_size=8))
def test_an_approval_is_used_once_and_only_after_it_was_approved(events: list[Event]) -> None:
    state, history = ApprovalState.WAITING, []
    for event in events:
        if (state, event) in TRANSITIONS:
            state = next_state(state, event)
            history.append(state)
    assert history.count(ApprovalState.USED) <= 1
    if ApprovalState.USED in history:
        assert history == [ApprovalState.APPROVED, ApprovalState.USED]


@pytest.mark.parametrize(
    "state", [s for s in ApprovalState if s not in (ApprovalState.WAITING, ApprovalState.APPROVED)]
)
def test_what_is_settled_stays_so(state: ApprovalState) -> None:
    assert not [event for event in Event if (state, event) in TRANSITIONS]


def test_a_row_holds_what_it_is_bound_to() -> None:
    row = a_row()
    assert covers(row, fakes.a_row("", a_call(2), a_tool(), an_ask()))
    assert row.expires_at - row.created_at == row.requirement.timeout
    assert (row.rule, row.reason, row.state) == ("files.writes", Reason.RULE, ApprovalState.WAITING)


def test_a_row_is_of_one_request_and_tells_all_rules_that_asked() -> None:
    call = replace(a_call(), method="prompts/get")
    row = fakes.a_row("a_1", call, a_tool(), replace(an_ask(), rules=("files.a", "files.b")), {}, NOON)
    assert (row.method, row.rule, row.rules) == ("prompts/get", "files.a", ("files.a", "files.b"))
    assert a_row().method == ""


@pytest.mark.parametrize(
    "other",
    [
        replace(a_call(), principal=Principal("os:eve", "os-user")),
        replace(a_call(), client=Client("cursor")),
        replace(a_call(), context=Context("s2")),
        replace(a_call(), exposed="files__other"),
        replace(a_call(), method="resources/subscribe"),
        a_call(path="b.txt"),
    ],
    ids=["principal", "client", "session", "exposed", "request", "arguments"],
)
def test_a_row_covers_no_other_call(other: Call) -> None:
    assert not covers(a_row(), fakes.a_row("", other, a_tool(), an_ask()))


@pytest.mark.parametrize(
    "tool",
    [a_tool("other"), replace(a_tool(), digest="00"), replace(a_tool(), ref=replace(a_tool().ref, upstream="mail"))],
    ids=["name", "definition", "upstream"],
)
def test_a_row_covers_no_other_tool(tool: Tool) -> None:
    assert not covers(a_row(), fakes.a_row("", a_call(), tool, an_ask()))


def test_arguments_that_are_not_shown_leave_an_empty_card() -> None:
    row = fakes.a_row("a_1", a_call(), a_tool(), replace(an_ask(), rules=()), None, NOON)
    assert (row.arguments, row.rule) == ({}, "")


def test_a_high_call_never_asks_for_less_than_local() -> None:
    high = a_tool(tier=Tier.HIGH, effect=Effect.EGRESS)
    assert requirement_of(an_ask(Proof.CLIENT), high).proof is Proof.LOCAL
    assert requirement_of(an_ask(Proof.SIGNED), high).proof is Proof.SIGNED
    assert requirement_of(an_ask(Proof.CLIENT), a_tool()).proof is Proof.CLIENT


def test_a_decision_without_a_requirement_gets_the_strict_default() -> None:
    assert requirement_of(Decision(Verdict.ASK, Reason.TIER_DEFAULT), a_tool()) == Requirement()


@pytest.mark.parametrize(
    ("row", "answerable"),
    [
        (a_row(Proof.CLIENT), True),
        (a_row(Proof.LOCAL), False),
        (a_row(Proof.CLIENT, approvers=2), False),
        (a_row(Proof.CLIENT, by=frozenset({"alice"})), False),
        (replace(a_row(Proof.CLIENT), tier=Tier.HIGH), False),
    ],
    ids=["client", "local", "two", "named", "high"],
)
def test_the_client_is_asked_only_where_its_word_is_enough(row: Approval, answerable: bool) -> None:
    assert answerable_by_client(row) is answerable


@pytest.mark.parametrize(
    ("row", "ballot", "expected"),
    [
        (a_row(), a_ballot(), None),
        (a_row(), a_ballot("os:alice"), None),
        (replace(a_row(), state=ApprovalState.DENIED), a_ballot(), Objection.SETTLED),
        (replace(a_row(), state=ApprovalState.EXPIRED), a_ballot(), Objection.EXPIRED),
        (a_row(), replace(a_ballot(), at=NOON + timedelta(minutes=10)), Objection.EXPIRED),
        (a_row(Proof.SIGNED), a_ballot(), Objection.PROOF),
        (a_row(Proof.SIGNED), a_ballot(approve=False), None),
        (a_row(by=frozenset({"carol"})), a_ballot(), Objection.NOT_PERMITTED),
        (a_row(by=frozenset({"carol"})), a_ballot(approve=False), Objection.NOT_PERMITTED),
        (a_row(by=frozenset({"bob"})), a_ballot(), None),
        (a_row(by=frozenset({"role:mail-admin"})), a_ballot(), None),
        (a_row(by=frozenset({"role:root"})), a_ballot(), Objection.NOT_PERMITTED),
    ],
    ids=[
        "fine",
        "requester-alone",
        "settled",
        "expired",
        "late",
        "weak",
        "weak-denial",
        "stranger",
        "stranger-denies",
        "named",
        "role",
        "other-role",
    ],
)
def test_whose_vote_counts(row: Approval, ballot: Ballot, expected: Objection | None) -> None:
    assert objection(row, (), ballot, frozenset({"mail-admin"})) is expected


def test_two_approvers_are_two_people_and_the_requester_is_never_the_second() -> None:
    row, first = a_row(approvers=2), a_ballot("os:bob")
    assert settle(row, (), first) == row
    assert objection(row, (first,), a_ballot("os:bob")) is Objection.REPEATED
    assert objection(row, (first,), a_ballot("os:alice")) is Objection.REQUESTER
    second = a_ballot("os:carol", proof=Proof.SIGNED)
    assert objection(row, (first,), second) is None
    after = settle(row, (first,), second)
    assert (after.state, after.decided_by, after.proof) == (ApprovalState.APPROVED, "os:bob, os:carol", Proof.LOCAL)


def test_one_denial_is_enough() -> None:
    row = a_row(approvers=2)
    after = settle(row, (a_ballot("os:bob"),), replace(a_ballot("os:carol", approve=False), note="not today"))
    assert (after.state, after.note, after.decided_at) == (ApprovalState.DENIED, "not today", LATER)


def test_the_json_shape_is_the_contract() -> None:
    decided = settle(a_row(), (), a_ballot())
    keys = (
        "id state call upstream tool arguments arguments_digest principal client session tier effect rule reason "
        "proof_required approvers_required created_at expires_at decided_by proof"
    )
    assert list(item(decided)) == keys.split()
    assert (item(decided)["proof"], item(a_row())["proof"]) == ("local", "")
    assert item(a_row())["expires_at"] == "2026-11-22T12:10:00.000000Z"


def test_duties_are_written_on_the_row() -> None:
    duty = Obligation(ObligationKind.SET, "priority", "low")
    decision = replace(an_ask(), obligations=frozenset({duty}))
    assert fakes.a_row("a_1", a_call(), a_tool(), decision, {}, NOON).obligations == (str(duty),)


def test_the_agents_own_client_is_never_one_of_two_approvers() -> None:
    """It may be asked about nothing but calls that it approves alone, and so answers about nothing else."""
    row, ballot = a_row(Proof.CLIENT, approvers=2), a_ballot("client:claude-code", proof=Proof.CLIENT)
    assert objection(row, (), ballot) is Objection.PROOF
    assert objection(row, (a_ballot(),), ballot) is Objection.PROOF
    assert objection(a_row(Proof.CLIENT), (), ballot) is None
    assert objection(row, (), replace(ballot, approve=False)) is None


@pytest.mark.parametrize("name", ["bob", "os:Bob", "Bob", "jwt:bob", "os:\uff42ob"])
def test_who_differs_only_in_how_the_name_is_known_or_written_is_no_second_person(name: str) -> None:
    row, first = a_row(approvers=2), a_ballot("os:bob")
    assert objection(row, (first,), a_ballot(name)) is Objection.REPEATED
    assert settle(row, (first,), a_ballot(name)).state is ApprovalState.WAITING


@pytest.mark.parametrize("name", ["os:ada", "os:ADA", "jwt:ada", "jwt:Ada", "client:ada"])
def test_a_requester_who_is_named_like_an_approver_is_not_the_second_person(name: str) -> None:
    row = replace(a_row(approvers=2), principal=name)
    assert objection(row, (), a_ballot("ada")) is Objection.REQUESTER
    assert objection(row, (), a_ballot("bob")) is None


def test_what_two_different_people_would_have_to_approve_can_be_approved_by_nobody() -> None:
    both = Requirement(by=frozenset({"ada"})).combine(Requirement(by=frozenset({"bob"})))
    row = replace(a_row(), requirement=both)
    for name in ("os:nobody", "nobody", "os:ada", "bob"):
        assert objection(row, (), a_ballot(name)) is Objection.NOT_PERMITTED
