"""Grants: what can be given on a card, and which calls one covers: that one, as it was, and nothing near it."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.approval import Chosen, Voter
from gateway.core.canon import canonical, keyed_digest
from gateway.core.decide import decide
from gateway.core.flow import Origins, trace
from gateway.core.grants import (
    MOST_USES,
    USUAL,
    USUAL_USES,
    bound,
    covers,
    covers_row,
    free_of,
    freeze_item,
    give,
    grant_item,
    labels_digest,
    offered,
    pins,
    stands,
    vouchable,
    vouched,
)
from gateway.core.model import (
    Approval,
    Call,
    Choice,
    Context,
    Decision,
    Effect,
    Facts,
    Freeze,
    Grant,
    Labels,
    Obligation,
    ObligationKind,
    OutputLabel,
    PersonalAction,
    Place,
    Principal,
    Proof,
    Reason,
    Requirement,
    SecretAction,
    Shown,
    SinkKind,
    Surface,
    Tier,
    Tool,
    Verdict,
)
from tests.core.cases import NOW, call_of, facts_of, policy_of, tool_of
from tests.fakes import a_row

KEY = b"k" * 32
LABELS: dict[str, Any] = {
    "sinks": {"to": SinkKind.EMAIL},
    "payload": ("body",),
    "inert": ("mood",),
    "at": Place("p", 1),
}
TOOL = tool_of(Effect.EGRESS, **LABELS)
WRITE = tool_of(Effect.WRITE, **LABELS)
MAIL = {"to": "bob@corp.example", "body": "hello"}
ASK = Decision(
    Verdict.ASK,
    Reason.RULE,
    ("mail.ask",),
    obligations=frozenset({Obligation(ObligationKind.REDACT)}),
    requirement=Requirement(Proof.LOCAL),
)
ADA = Voter("os:ada", Proof.LOCAL, frozenset({"admin"}))
SCOPES = (Choice.ARGUMENTS, Choice.PATTERN, Choice.SESSION)


def a_call(**arguments: Any) -> Call:
    asked = arguments or MAIL
    sealed = canonical(asked)
    return replace(call_of(asked), canonical=sealed, digest=keyed_digest(KEY, sealed))


def row_of(call: Call | None = None, tool: Tool = TOOL, decision: Decision = ASK, **more: Any) -> Approval:
    """A row that waits for this call, as the path drafts it."""
    call = call or a_call()
    row = a_row("a_1", call, tool, decision, call.arguments, NOW)
    tied = bound(tool, call.arguments, KEY, tainted=True)
    return replace(row, **{"labels": tied.labels, "pins": tied.pins, "free": tied.free, **more})


def granted(scope: Choice, row: Approval | None = None, voter: Voter = ADA, value: str = "", **more: Any) -> Grant:
    return replace(give(row or row_of(), Chosen(scope), voter, "g_1", NOW, value), **more)


def facts(tool: Tool = TOOL, call: Call | None = None, **more: Any) -> Facts:
    call = call or a_call()
    return replace(facts_of(tool, call), pins=pins(tool, call.arguments, KEY), **more)


def covered(grant: Grant, call: Call | None = None, tool: Tool = TOOL, decision: Decision = ASK, **more: Any) -> bool:
    call = call or a_call()
    return covers(grant, call, facts(tool, call, **more), tool, decision)


# --- what a grant is bound to ----------------------------------------------------------------------------------------


def test_a_label_that_changes_in_anything_but_its_place_has_another_digest() -> None:
    digests = {
        labels_digest(labels)
        for labels in (
            TOOL.labels,
            replace(TOOL.labels, effect=Effect.WRITE),
            replace(TOOL.labels, sinks=None),
            replace(TOOL.labels, sinks={"to": SinkKind.TEXT}),
            replace(TOOL.labels, payload=()),
            replace(TOOL.labels, inert=()),
            replace(TOOL.labels, known={"to": "colleagues"}),
            replace(TOOL.labels, output=OutputLabel(private=False)),
            replace(TOOL.labels, output=OutputLabel(secrets=SecretAction.BLOCK)),
            replace(TOOL.labels, output=OutputLabel(strict=True)),
            replace(TOOL.labels, output=OutputLabel(pii=PersonalAction.FLAG)),
            replace(TOOL.labels, record="full"),
            replace(TOOL.labels, fetches=True),
        )
    }
    assert len(digests) == 13
    assert labels_digest(replace(TOOL.labels, at=Place("q", 7))) == labels_digest(TOOL.labels)


def test_what_may_vary_is_payload_and_inert_and_no_sink() -> None:
    assert free_of(TOOL.labels) == ("body", "mood")
    assert free_of(replace(TOOL.labels, sinks={"body": SinkKind.TEXT})) == ("mood",)
    assert free_of(Labels(sinks=None, payload=("body",))) == ("body",)
    assert set(pins(TOOL, {**MAIL, "other": 1}, KEY)) == {"to", "other"}


# --- what stands on a card -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "choices"),
    [
        (row_of(tool=WRITE), "once arguments pattern session edit deny bar"),
        (row_of(), "once arguments pattern edit deny bar"),  # tier high: not for the whole session
        (row_of(shown=Shown(redacted=True)), "once arguments pattern deny bar"),
        (row_of(tool=WRITE, shown=Shown(named=False)), "once arguments pattern edit deny"),
        (row_of(shown=Shown(labelled=False)), "once edit deny bar"),
        (row_of(decision=replace(ASK, requirement=Requirement(approvers=2))), "once edit deny bar"),
        (row_of(free=()), "once arguments edit deny bar"),  # nothing may vary
        (row_of(shown=Shown(vouchable=("x@y.example",))), "once arguments pattern vouch edit deny bar"),
        (row_of(shown=Shown(vouchable=("x@y.example",), named=False)), "once arguments pattern edit deny"),
        (
            row_of(tool=tool_of(Effect.MONEY, **LABELS), shown=Shown(vouchable=("x",))),
            "once arguments pattern edit deny bar",
        ),
    ],
)
def test_a_card_offers_what_may_be_given(row: Approval, choices: str) -> None:
    assert [choice.value for choice in offered(row)] == choices.split()


def test_a_grant_has_the_time_and_uses_that_were_chosen_or_the_usual_ones() -> None:
    plain = granted(Choice.ARGUMENTS)
    assert (plain.expires_at, plain.uses, plain.owner, plain.approval) == (NOW + USUAL, USUAL_USES, "os:ada", "a_1")
    chosen = Chosen(Choice.SESSION, "for the move", NOW + timedelta(minutes=5), 3)
    given_ = give(row_of(), chosen, ADA, "g_2", NOW)
    assert (given_.expires_at, given_.uses, given_.note) == (NOW + timedelta(minutes=5), 3, "for the move")
    assert USUAL_USES <= MOST_USES


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"ended": "revoked by ada"}, False),
        ({"expires_at": NOW}, False),
        ({"used": USUAL_USES - 1}, True),
        ({"used": USUAL_USES}, False),
    ],
)
def test_a_grant_stands_until_it_is_ended_expired_or_used_up(change: dict[str, Any], counts: bool) -> None:
    grant = granted(Choice.ARGUMENTS, **change)
    assert stands(grant, NOW) is counts
    assert covered(grant) is counts


# --- what a grant covers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "arguments", "fits"),
    [
        (Choice.ARGUMENTS, MAIL, True),
        (Choice.ARGUMENTS, {**MAIL, "body": "other"}, False),
        (Choice.PATTERN, {**MAIL, "body": "other"}, True),
        (Choice.PATTERN, {"to": "bob@corp.example"}, True),
        (Choice.PATTERN, {**MAIL, "mood": "good"}, True),
        (Choice.PATTERN, {**MAIL, "to": "eve@evil.example"}, False),
        (Choice.PATTERN, {**MAIL, "bcc": "eve@evil.example"}, False),
        (Choice.PATTERN, {"body": "hello"}, False),
    ],
)
def test_a_grant_fits_its_arguments(scope: Choice, arguments: dict[str, Any], fits: bool) -> None:
    grant, call = granted(scope), a_call(**arguments)
    assert covered(grant, call) is fits
    assert covers_row(grant, row_of(call)) is fits


@pytest.mark.parametrize("scope", [Choice.ONCE, Choice.VOUCH, Choice.DENY])
def test_only_three_scopes_cover_calls(scope: Choice) -> None:
    assert not covered(granted(scope))
    assert not covers_row(granted(scope), row_of())


def test_a_grant_for_the_session_covers_its_tool_whatever_the_arguments_and_never_of_tier_high() -> None:
    grant = granted(Choice.SESSION, row_of(tool=WRITE))
    other = a_call(to="eve@evil.example")
    assert covered(grant, other, WRITE)
    assert covers_row(grant, row_of(other, WRITE))
    elsewhere = replace(other, context=Context("s_2"))
    assert not covered(grant, elsewhere, WRITE)
    assert not covers_row(grant, row_of(elsewhere, WRITE))
    assert not covered(granted(Choice.SESSION), other)
    assert not covers_row(granted(Choice.SESSION), row_of(other))


CHANGED = [
    {"call": replace(a_call(), principal=Principal("os:eve", "os-user"))},
    {"call": replace(a_call(), client=replace(a_call().client, name="cursor"))},
    {"call": replace(a_call(), exposed="other")},
    {"tool": replace(TOOL, digest="another definition")},
    {"tool": replace(TOOL, ref=replace(TOOL.ref, name="other"))},
    {"tool": replace(TOOL, tier=Tier.WRITE)},
    {"tool": replace(TOOL, effect=Effect.MONEY)},
    {"tool": replace(TOOL, surface=Surface.PROMPTS)},
    {"tool": replace(TOOL, labels=replace(TOOL.labels, record="full"))},
    {"decision": replace(ASK, reason=Reason.UNPROVEN)},
    {"decision": replace(ASK, rules=("mail.other",))},
    {"decision": replace(ASK, rules=("mail.ask", "mail.other"))},
    {"decision": replace(ASK, requirement=Requirement(Proof.SIGNED))},
    {"decision": replace(ASK, requirement=Requirement(approvers=2))},
    {"decision": replace(ASK, requirement=Requirement(by=frozenset({"role:boss"})))},
    {"decision": replace(ASK, requirement=None)},
    {"decision": replace(ASK, obligations=frozenset({*ASK.obligations, Obligation(ObligationKind.BLOCK_SECRETS)}))},
]


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: "-".join(change))
@pytest.mark.parametrize("scope", SCOPES)
def test_a_grant_covers_nothing_that_is_not_as_it_was(scope: Choice, change: dict[str, Any]) -> None:
    grant = granted(scope)
    assert covered(grant) is (scope is not Choice.SESSION)
    assert not covered(grant, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"principal": "os:eve"},
        {"client": "cursor"},
        {"exposed": "other"},
        {"upstream": "files"},
        {"definition": "another"},
        {"labels": "another"},
        {"tier": Tier.WRITE},
        {"effect": Effect.MONEY},
        {"reason": Reason.UNPROVEN},
        {"rules": ("mail.other",)},
        {"requirement": Requirement(Proof.SIGNED)},
        {"requirement": Requirement(approvers=2)},
        {"requirement": Requirement(by=frozenset({"role:boss"}))},
        {"obligations": ("redact", "block-secrets")},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_grant_settles_no_row_that_is_not_like_its_own(change: dict[str, Any]) -> None:
    grant = granted(Choice.ARGUMENTS)
    assert covers_row(grant, row_of())
    assert not covers_row(grant, row_of(**change))
    assert not covers_row(grant, replace(row_of(), tool="other"))


def test_the_role_of_who_gave_it_counts_as_on_the_card() -> None:
    asked = replace(ASK, requirement=Requirement(by=frozenset({"role:admin"})))
    grant = granted(Choice.ARGUMENTS, row_of(decision=asked))
    assert covered(grant, decision=asked)
    assert not covered(replace(grant, roles=frozenset()), decision=asked)


@given(st.sampled_from(SCOPES), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
def test_a_grant_never_covers_other_sinks(scope: Choice, arguments: dict[str, str]) -> None:
    call = a_call(**{**arguments, "to": "bob@corp.example"})
    if covered(granted(scope), call):
        assert set(call.arguments) <= {"to", "body", "mood"}


# --- vouching --------------------------------------------------------------------------------------------------------

UNPROVEN = replace(ASK, reason=Reason.UNPROVEN)


def test_only_values_that_nothing_proves_and_that_are_of_their_kind_can_be_vouched_for() -> None:
    arguments = {"to": ["bob@corp.example", "no address", "bob@corp.example"], "code": "abc", "body": "long enough"}
    missing = trace(TOOL, arguments, Origins())
    assert vouchable(replace(UNPROVEN, missing=missing)) == ("bob@corp.example",)
    assert vouchable(replace(ASK, missing=missing)) == ()


def a_vouch(value: str = "bob@corp.example", **more: Any) -> Grant:
    return granted(Choice.VOUCH, row_of(decision=UNPROVEN), value=value, **more)


def asked_with(*grants: Grant, call: Call | None = None, tool: Tool = TOOL) -> tuple[Grant, ...]:
    call = call or a_call()
    said, wanted = facts(tool, call), [one.value for one in trace(tool, call.arguments, Origins())]
    return vouched(call, replace(said, standing=replace(said.standing, grants=grants)), tool, Requirement(), wanted)


def test_a_call_is_vouched_for_if_every_value_is() -> None:
    both = a_call(to=["bob@corp.example", "cy@corp.example"])
    one, other = a_vouch(), a_vouch("cy@corp.example")
    assert asked_with(one) == (one,)
    assert asked_with(one, call=both) == ()
    assert asked_with(one, other, call=both) == (one, other)
    assert asked_with(one, call=a_call(body="nobody is addressed")) == ()
    assert asked_with() == ()


@pytest.mark.parametrize(
    "grant",
    [
        a_vouch(session="s_2"),
        a_vouch(principal="os:eve"),
        a_vouch(client="cursor"),
        a_vouch(effect=Effect.WRITE),
        a_vouch(ended="revoked"),
        a_vouch(expires_at=NOW),
        granted(Choice.PATTERN, value="bob@corp.example"),
    ],
)
def test_a_vouch_is_of_its_session_and_effect(grant: Grant) -> None:
    assert asked_with(grant) == ()


def test_a_vouch_counts_for_another_tool_of_the_same_effect() -> None:
    forward = replace(TOOL, ref=replace(TOOL.ref, name="forward"))
    assert asked_with(a_vouch(), tool=forward) == (a_vouch(),)


# --- in the decision -------------------------------------------------------------------------------------------------

RULE = "[[rule]]\nid = 'mail.ask'\ntools = 'mail/*'\ndecide = '{}'\n"


def decided(text: str, *grants: Grant, tool: Tool = TOOL, **more: Any) -> Decision:
    call = a_call()
    said = facts(tool, call)
    return decide(call, replace(said, standing=replace(said.standing, grants=grants, **more)), policy_of(text))


def test_a_grant_turns_an_ask_into_an_allow_and_nothing_else_of_it_changes() -> None:
    before, after = decided(RULE.format("ask")), decided(RULE.format("ask"), granted(Choice.PATTERN))
    assert (before.verdict, after.verdict, after.reason) == (Verdict.ASK, Verdict.ALLOW, Reason.GRANTED)
    assert (after.obligations, after.rules, after.uses) == (before.obligations, before.rules, ("g_1",))
    assert after.authorised["granted_by"] == "os:ada"
    assert decided(RULE.format("ask"), granted(Choice.PATTERN, owner="", uses=0)) == before


@pytest.mark.parametrize("word", ["block", "allow"])
def test_a_grant_never_lifts_a_block_and_is_not_used_for_an_allow(word: str) -> None:
    decision = decided(RULE.format(word), granted(Choice.PATTERN))
    assert decision == decided(RULE.format(word))
    assert decision.uses == ()


def test_what_a_person_vouched_for_is_proven() -> None:
    text = RULE.format("ask-unless-proven")
    assert decided(text).reason is Reason.UNPROVEN
    decision = decided(text, a_vouch())
    assert (decision.verdict, decision.reason, decision.uses) == (Verdict.ALLOW, Reason.VOUCHED, ("g_1",))
    assert (decision.authorised["vouched_by"], decision.authorised["grant"]) == ("os:ada", "g_1")


def test_a_vouch_answers_for_no_rule_of_another_file() -> None:
    said = facts()
    vouching = replace(said, standing=replace(said.standing, grants=(a_vouch(),)))
    both = policy_of(RULE.format("ask-unless-proven"), RULE.format("ask").replace("mail.ask", "mail.other"))
    decision = decide(a_call(), vouching, both)
    assert (decision.verdict, decision.rules, decision.uses) == (Verdict.ASK, ("mail.other",), ())


def test_a_grant_lifts_no_ask_of_a_rule_that_was_not_on_its_card() -> None:
    """The other file's rule asks less strictly, so that it alone would not have decided."""
    asks, proves = RULE.format("ask"), RULE.format("ask-unless-proven").replace("mail.ask", "mail.other")
    said, call, alone, both = facts(), a_call(), policy_of(asks), policy_of(asks, proves)
    grant = granted(Choice.PATTERN, row_of(decision=decide(call, said, alone)))
    granting = replace(said, standing=replace(said.standing, grants=(grant,)))
    assert decide(call, granting, alone).reason is Reason.GRANTED
    assert decide(call, granting, both).verdict is Verdict.ASK


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"frozen": "by os:ada"}, Reason.FROZEN),
        ({"barred": "by os:ada"}, Reason.TOOL_BARRED),
        ({"frozen": "by os:ada", "barred": "by os:ada"}, Reason.FROZEN),
    ],
)
def test_what_is_held_is_blocked_whatever_was_granted_or_allowed(said: dict[str, Any], reason: Reason) -> None:
    for word in ("ask", "allow"):
        decision = decided(RULE.format(word), granted(Choice.PATTERN), **said)
        assert (decision.verdict, decision.reason, decision.detail) == (Verdict.BLOCK, reason, "by os:ada")


def test_what_is_frozen_is_refused_before_it_is_known_what_it_is() -> None:
    said = facts_of(None)
    frozen = replace(said, standing=replace(said.standing, frozen="by os:ada"))
    assert decide(a_call(), frozen, policy_of("")).reason is Reason.FROZEN


# --- as commands print them ------------------------------------------------------------------------------------------


def test_a_grant_and_a_freeze_are_told_without_digests_of_arguments() -> None:
    told = grant_item(granted(Choice.PATTERN))
    assert (told["scope"], told["pinned"], told["free"], told["proof"]) == (
        "pattern",
        ["to"],
        ["body", "mood"],
        "local",
    )
    assert not set(granted(Choice.PATTERN).pins.values()) & {str(value) for value in told.values()}
    held = freeze_item(Freeze("l_1", "mail", "", "", "os:ada", NOW, "lunch"))
    assert (held["upstream"], held["by"], held["note"]) == ("mail", "os:ada", "lunch")


@pytest.mark.parametrize(
    ("freeze", "holds"),
    [
        (Freeze("l_1", "", "", "", "os:ada", NOW), True),
        (Freeze("l_1", "mail", "", "", "os:ada", NOW), True),
        (Freeze("l_1", "", "s_1", "", "os:ada", NOW), True),
        (Freeze("l_1", "files", "", "", "os:ada", NOW), False),
        (Freeze("l_1", "", "s_2", "", "os:ada", NOW), False),
        (Freeze("l_1", "mail", "s_1", "send", "os:ada", NOW), False),  # that bars a tool
    ],
)
def test_a_freeze_holds_everything_an_upstream_or_a_session(freeze: Freeze, holds: bool) -> None:
    assert freeze.holds("mail", "s_1") is holds


# --- attacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["proof = 'signed'", "by = ['role:boss']", "approvers = 2"])
def test_a_vouch_is_worth_no_more_than_the_proof_the_role_and_the_number_that_it_was_given_with(asked: str) -> None:
    """It may have been given on the card of another tool, for which less is asked."""
    text = RULE.format("ask-unless-proven")
    assert decided(text, a_vouch()).verdict is Verdict.ALLOW
    decision = decided(f"{text}approve = {{ {asked} }}\n", a_vouch())
    assert (decision.verdict, decision.reason, decision.uses) == (Verdict.ASK, Reason.UNPROVEN, ())


def test_a_vouch_of_somebody_who_may_approve_it_counts() -> None:
    text = RULE.format("ask-unless-proven") + "approve = { by = ['role:admin'], proof = 'client' }\n"
    assert decided(text, a_vouch()).reason is Reason.VOUCHED
    assert decided(text, a_vouch(roles=frozenset())).reason is Reason.UNPROVEN
    assert decided(text, a_vouch(proof=Proof.CLIENT)).reason is Reason.UNPROVEN  # of tier high, whatever the rule says


def test_a_vouch_allows_nothing_in_a_file_whose_review_is_overdue() -> None:
    text = RULE.format("ask-unless-proven")
    for day, reason in (("2026-11-22", Reason.VOUCHED), ("2026-11-21", Reason.REVIEW_OVERDUE)):
        assert decided(f"review_by = {day}\n{text}", a_vouch()).reason is reason


@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "prompts/get", "completion/complete"])
def test_grants_and_edits_are_of_tools_alone(method: str) -> None:
    """The row of a subscription has the very columns of that of a read."""
    row = row_of(method=method)
    assert not covers_row(granted(Choice.ARGUMENTS), row)
    assert not covers_row(granted(Choice.ARGUMENTS, row), row)
    assert offered(row) == (Choice.ONCE, Choice.DENY, Choice.BAR)
    assert offered(replace(row, shown=Shown(named=False))) == (Choice.ONCE, Choice.DENY)


def test_a_clock_that_goes_back_brings_no_grant_back() -> None:
    grant = granted(Choice.ARGUMENTS)
    assert stands(grant, NOW)
    assert not stands(grant, NOW - timedelta(days=1))
    assert not stands(grant, NOW + USUAL)


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        ({"n": 1}, {"n": 1.0}),
        ({"n": 1}, {"n": "1"}),
        ({"n": True}, {"n": 1}),
        ({"n": None}, {}),
        ({"n": 0.0}, {"n": -0.0}),
        ({"n": "\u00e9"}, {"n": "e\u0301"}),
        ({"n": ["a", "b"]}, {"n": ["b", "a"]}),
        ({"n": {}}, {"n": []}),
    ],
    ids=str,
)
def test_arguments_that_only_look_alike_are_others(asked: dict[str, Any], other: dict[str, Any]) -> None:
    given = a_call(**MAIL, **asked)
    for scope in (Choice.ARGUMENTS, Choice.PATTERN):
        grant = granted(scope, row_of(given))
        assert covered(grant, given)
        assert not covered(grant, a_call(**MAIL, **other))
        assert not covers_row(grant, row_of(a_call(**MAIL, **other)))


def test_the_order_of_arguments_is_no_difference() -> None:
    assert covered(granted(Choice.ARGUMENTS), a_call(body=MAIL["body"], to=MAIL["to"]))
