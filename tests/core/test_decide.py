"""The decision: tables for what is decided, laws for how decisions combine."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import decide as module
from gateway.core.decide import decide
from gateway.core.model import (
    ApprovalState,
    Decision,
    Effect,
    Finding,
    Obligation,
    ObligationKind,
    OutputLabel,
    Proof,
    Reason,
    Requirement,
    SecretAction,
    Shown,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.policy import Policy, parse
from tests.core.cases import HEAD, NOW, approval_of, call_of, facts_of, labelled, policy_of, tool_of

OWN = Finding("gateway-secret", "text", "0" * 16, exact=True)
REDACT = Obligation(ObligationKind.REDACT)
STRICTNESS = ("allow", "ask-unless-proven", "ask", "block")


def rule(identity: str, decides: str, more: str = "", tools: str = "mail/*") -> str:
    return f"[[rule]]\nid = '{identity}'\ntools = '{tools}'\ndecide = '{decides}'\n{more}\n"


def decided(
    policy: Policy,
    tool: Tool | None = None,
    arguments: Mapping[str, Any] | None = None,
    client: str = "claude-code",
    **facts: Any,
) -> Decision:
    call = call_of(arguments, client)
    return decide(call, replace(facts_of(tool or tool_of(), call), **facts), policy)


@pytest.mark.parametrize(
    ("effect", "verdict", "proof"),
    [
        ("read", Verdict.ALLOW, None),
        ("write", Verdict.ASK, Proof.CLIENT),
        ("egress", Verdict.ASK, Proof.LOCAL),
        ("destructive", Verdict.ASK, Proof.LOCAL),
    ],
)
def test_where_no_rule_speaks_the_tier_decides(effect: str, verdict: Verdict, proof: Proof | None) -> None:
    decision = decided(policy_of(rule("other", "block", tools="files/*")), tool_of(Effect(effect)))
    assert (decision.verdict, decision.reason, decision.rules) == (verdict, Reason.TIER_DEFAULT, ())
    assert (decision.requirement.proof if decision.requirement else None) is proof
    assert decision.obligations == {REDACT}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"protected": "/etc/wardgate"}, Reason.SELF_PROTECTION),
        ({"protected": "/etc/wardgate", "upstream_state": "failed"}, Reason.SELF_PROTECTION),
        ({"secrets": (OWN,), "protected": "/etc/wardgate"}, Reason.SELF_PROTECTION),
        ({"secrets": (OWN,)}, Reason.EXACT_SECRET),
        ({"secrets": (OWN,), "upstream_state": "failed"}, Reason.EXACT_SECRET),
        ({"markers": True, "upstream_state": "failed"}, Reason.UPSTREAM_DOWN),
        ({"markers": True}, Reason.REDACTED_VALUE),
        ({"upstream_state": "failed"}, Reason.UPSTREAM_DOWN),
        ({"upstream_state": "starting"}, Reason.UPSTREAM_DOWN),
        ({"held": "changed", "upstream_state": "starting", "markers": True}, Reason.TOOL_CHANGED),
        ({"held": "changed", "secrets": (OWN,)}, Reason.EXACT_SECRET),
    ],
)
def test_a_fact_blocks_before_any_rule(facts: dict[str, Any], reason: Reason) -> None:
    approval = approval_of(tool_of(), Requirement(Proof.SIGNED))
    for approved in (None, approval):
        decision = decided(policy_of(rule("all", "allow", tools="*/*")), **facts, approval=approved)
        assert (decision.verdict, decision.reason) == (Verdict.BLOCK, reason)


def test_a_placeholder_may_stand_in_a_read_and_in_nothing_above() -> None:
    for effect in Effect:
        decision = decided(policy_of(rule("all", "allow", tools="*/*")), tool_of(effect), markers=True)
        assert (decision.reason is Reason.REDACTED_VALUE) is (effect is not Effect.READ)


CARRIED = ("github-pat in arguments.text",)
FREE = rule("free", "allow")


def test_a_secret_that_would_leave_is_asked_about_whatever_allows_the_call() -> None:
    decision = decided(policy_of(FREE), tool_of(Effect.EGRESS), carries=CARRIED)
    assert (decision.verdict, decision.reason, decision.rules) == (Verdict.ASK, Reason.SECRET_FOUND, ("free",))
    assert decision.requirement == Requirement(Proof.LOCAL)
    assert (decision.authorised, decision.uses) == ({}, ())
    assert decision.detail == f"it would send out {CARRIED[0]}"
    assert decided(policy_of(FREE), tool_of(Effect.EGRESS)).verdict is Verdict.ALLOW


@pytest.mark.parametrize(("decides", "verdict"), [("ask", Verdict.ASK), ("block", Verdict.BLOCK)])
def test_what_is_stricter_already_only_says_what_would_leave(decides: str, verdict: Verdict) -> None:
    policy = policy_of(rule("strict", decides))
    decision = decided(policy, tool_of(Effect.EGRESS), carries=CARRIED)
    assert decision == replace(decided(policy, tool_of(Effect.EGRESS)), detail=decision.detail)
    assert (decision.verdict, decision.reason) == (verdict, Reason.RULE)
    assert CARRIED[0] in decision.detail


def test_an_approval_of_a_call_that_carries_a_secret_holds() -> None:
    tool = tool_of(Effect.EGRESS)
    approved = approval_of(tool, Requirement(Proof.LOCAL))
    decision = decided(policy_of(FREE), tool, carries=CARRIED, approval=approved)
    assert (decision.verdict, decision.reason) == (Verdict.ALLOW, Reason.APPROVED)
    weak = approval_of(tool, Requirement(Proof.CLIENT))
    assert decided(policy_of(FREE), tool, carries=CARRIED, approval=weak).reason is Reason.APPROVAL_VOID


def test_a_tool_that_nobody_offers_is_blocked() -> None:
    decision = decide(call_of(), facts_of(None), policy_of(rule("all", "allow", tools="*/*")))
    assert (decision.verdict, decision.reason, decision.detail) == (Verdict.BLOCK, Reason.UNKNOWN_TOOL, "mail__send")


@pytest.mark.parametrize(
    ("text", "verdict", "reason", "rules"),
    [
        pytest.param(rule("a", "allow"), Verdict.ALLOW, Reason.RULE, ("a",), id="allow"),
        pytest.param(rule("a", "ask"), Verdict.ASK, Reason.RULE, ("a",), id="ask"),
        pytest.param(rule("a", "ask-unless-proven"), Verdict.ASK, Reason.UNPROVEN, ("a",), id="unproven"),
        pytest.param(rule("a", "block"), Verdict.BLOCK, Reason.RULE, ("a",), id="block"),
        pytest.param(
            rule("a", "allow", "when = 'args.n > 1'") + rule("b", "ask"), Verdict.ALLOW, Reason.RULE, ("a",), id="first"
        ),
        pytest.param(
            rule("a", "allow", "when = 'args.n > 9'") + rule("b", "ask"), Verdict.ASK, Reason.RULE, ("b",), id="next"
        ),
        pytest.param(
            rule("a", "allow", "when = 'args.n > 9'"), Verdict.ASK, Reason.TIER_DEFAULT, (), id="no rule holds"
        ),
        pytest.param(
            rule("a", "allow", "when = 'args.n > 1'") + rule("b", "block", "when = 'args.n == 5'"),
            Verdict.BLOCK, Reason.RULE, ("b",), id="a block wins wherever it stands",
        ),
        pytest.param(
            rule("a", "allow", "when = 'args.x > 1'") + rule("b", "ask"),
            Verdict.BLOCK, Reason.RULE_ERROR, ("a",), id="an error blocks",
        ),
        pytest.param(
            rule("a", "ask", "when = 'args.n'"), Verdict.BLOCK, Reason.RULE_ERROR, ("a",), id="no boolean blocks"
        ),
        pytest.param(
            rule("a", "allow", "when = 'args.n > 1'") + rule("b", "ask", "when = 'args.x > 1'"),
            Verdict.ALLOW, Reason.RULE, ("a",), id="what comes after is not run",
        ),
    ],
)  # fmt: skip
def test_in_a_file_a_block_wins_and_else_the_first_rule(
    text: str, verdict: Verdict, reason: Reason, rules: tuple[str, ...]
) -> None:
    decision = decided(policy_of(text), arguments={"n": 5})
    assert (decision.verdict, decision.reason, decision.rules) == (verdict, reason, rules)
    assert len(decision.places) == len(rules)
    assert decision.policy_revision


@pytest.mark.parametrize("one", STRICTNESS)
@pytest.mark.parametrize("other", STRICTNESS)
def test_across_files_the_strictest_wins(one: str, other: str) -> None:
    decision = decided(policy_of(rule("a", one), rule("b", other)), arguments={"n": 5})
    strictest = max(one, other, key=STRICTNESS.index)
    verdicts = {"allow": Verdict.ALLOW, "ask": Verdict.ASK, "ask-unless-proven": Verdict.ASK, "block": Verdict.BLOCK}
    assert decision.verdict is verdicts[strictest]
    found = sorted((-STRICTNESS.index(word), name) for name, word in (("a", one), ("b", other)))
    alike = {word for word in STRICTNESS if verdicts[word] is decision.verdict}
    assert decision.rules == tuple(name for place, name in found if STRICTNESS[-place] in alike)


def test_requirements_of_all_files_that_ask_are_combined() -> None:
    one = rule(
        "a", "ask", "approve = { by = ['alice', 'role:admin'], approvers = 2, timeout = '5m', proof = 'client' }"
    )
    two = rule("b", "ask-unless-proven", "approve = { by = 'alice', proof = 'signed' }")
    three = rule("c", "allow", "approve = { approvers = 9 }")
    decision = decided(policy_of(one, two, three), arguments={"n": 5})
    assert decision.requirement == Requirement(Proof.SIGNED, frozenset({"alice"}), 2, timedelta(minutes=5))
    assert decision.reason is Reason.RULE


@pytest.mark.parametrize(
    ("effect", "approve", "proof"),
    [
        ("write", "", Proof.CLIENT),
        ("write", "approve = { approvers = 1 }", Proof.CLIENT),
        ("write", "approve = { proof = 'local' }", Proof.LOCAL),
        ("read", "", Proof.CLIENT),
        ("egress", "", Proof.LOCAL),
        ("egress", "approve = { approvers = 1 }", Proof.LOCAL),
        ("egress", "approve = { proof = 'client' }", Proof.LOCAL),
        ("egress", "approve = { proof = 'signed' }", Proof.SIGNED),
    ],
)
def test_tier_high_is_never_the_clients_to_approve(effect: str, approve: str, proof: Proof) -> None:
    decision = decided(policy_of(rule("a", "ask", approve)), tool_of(Effect(effect)))
    assert decision.requirement is not None
    assert decision.requirement.proof is proof


@pytest.mark.parametrize(
    ("more", "client", "verdict"),
    [
        pytest.param("'allow'\nclients = 'claude-code'", "claude-code", Verdict.ALLOW, id="named"),
        pytest.param("'allow'\nclients = 'cl*'", "claude-code", Verdict.ALLOW, id="by pattern"),
        pytest.param("'allow'\nclients = 'cursor'", "claude-code", Verdict.ASK, id="another"),
        pytest.param("'allow'\nclients = '*'", "unknown", Verdict.ASK, id="unknown is allowed nothing by name"),
        pytest.param("'allow'\nclients = ['cursor', 'unknown']", "unknown", Verdict.ASK, id="not even as unknown"),
        pytest.param("'allow'", "unknown", Verdict.ALLOW, id="what holds for everybody"),
        pytest.param("'block'\nclients = '*'", "unknown", Verdict.BLOCK, id="unknown is blocked"),
        pytest.param("'block'\nclients = 'unknown'", "unknown", Verdict.BLOCK, id="unknown is blocked by name"),
        pytest.param("'block'\nclients = 'cursor'", "unknown", Verdict.ASK, id="others are blocked"),
    ],
)
def test_an_unknown_client_can_only_be_tightened(more: str, client: str, verdict: Verdict) -> None:
    policy = policy_of(f"[[rule]]\nid = 'a'\ntools = 'mail/*'\ndecide = {more}")
    assert decided(policy, client=client).verdict is verdict


@pytest.mark.parametrize(
    ("clients", "client", "effect", "verdict"),
    [
        pytest.param("clients = '*'", "unknown", Effect.WRITE, Verdict.ASK, id="a pattern names nobody unknown"),
        pytest.param("clients = ['cursor', 'un*']", "unknown", Effect.EGRESS, Verdict.ASK, id="no pattern does"),
        pytest.param("clients = '*'", "claude-code", Effect.WRITE, Verdict.ALLOW, id="who is registered"),
        pytest.param("clients = ['cursor', 'unknown']", "unknown", Effect.WRITE, Verdict.ALLOW, id="by its name"),
        pytest.param("", "unknown", Effect.WRITE, Verdict.ALLOW, id="what holds for everybody"),
        pytest.param("clients = '*'", "unknown", Effect.READ, Verdict.ALLOW, id="reads pass without a rule, too"),
    ],
)
def test_an_unknown_client_proves_nothing_to_a_rule_of_others(
    clients: str, client: str, effect: Effect, verdict: Verdict
) -> None:
    policy = policy_of(rule("a", "ask-unless-proven", f"{clients}\napprove = {{ approvers = 2 }}"))
    decision = decided(policy, tool_of(effect), client=client, tainted=False)
    assert (decision.verdict, decision.rules) == (verdict, ("a",))
    assert decision.requirement is None or decision.requirement.approvers == 2


@pytest.mark.parametrize(
    ("used", "verdict", "reason"),
    [
        ({}, Verdict.ALLOW, Reason.RULE),
        ({"a": 2}, Verdict.ALLOW, Reason.RULE),
        ({"b": 9}, Verdict.ALLOW, Reason.RULE),
        ({"a": 3}, Verdict.ASK, Reason.RATE_EXCEEDED),
        ({"a": 9}, Verdict.ASK, Reason.RATE_EXCEEDED),
    ],
)
def test_what_is_over_its_rate_is_asked(used: dict[str, int], verdict: Verdict, reason: Reason) -> None:
    policy = policy_of(rule("a", "allow", "rate = '3/minute'\napprove = { approvers = 2 }"))
    decision = decided(policy, used=used)
    assert (decision.verdict, decision.reason) == (verdict, reason)
    assert (decision.requirement.approvers if decision.requirement else 2) == 2


@pytest.mark.parametrize(
    ("effect", "day", "verdict", "reason"),
    [
        ("write", 1, Verdict.ALLOW, Reason.RULE),
        ("write", 2, Verdict.ASK, Reason.REVIEW_OVERDUE),
        ("read", 2, Verdict.ALLOW, Reason.RULE),
        ("egress", 2, Verdict.ASK, Reason.REVIEW_OVERDUE),
    ],
)
def test_after_its_review_is_due_a_file_allows_reads_only(
    effect: str, day: int, verdict: Verdict, reason: Reason
) -> None:
    policy = policy_of("review_by = 2027-02-01\n" + rule("a", "allow"))
    decision = decided(policy, tool_of(Effect(effect)), now=datetime(2027, 2, day, tzinfo=UTC))
    assert (decision.verdict, decision.reason) == (verdict, reason)


def test_of_equally_strict_reasons_the_heaviest_is_told() -> None:
    rated, broken = rule("a", "allow", "rate = '1/day'"), rule("b", "block", "when = 'args.x == 1'")
    assert decided(policy_of(rated, rule("c", "ask")), used={"a": 1}).reason is Reason.RULE
    assert decided(policy_of(broken, rule("c", "block"))).reason is Reason.RULE_ERROR


@pytest.mark.parametrize(
    ("secrets", "record", "duties"),
    [
        ("redact", "", {"redact"}),
        ("allow", "", set()),
        ("block", "full", {"block-secrets", "record-full"}),
        ("ask", "digest", {"redact", "record-digest"}),
    ],
)
def test_labels_make_obligations(secrets: str, record: str, duties: set[str]) -> None:
    tool = tool_of(output=OutputLabel(secrets=SecretAction(secrets)), record=record)
    assert {str(duty) for duty in decided(policy_of(rule("a", "allow")), tool).obligations} == duties


def test_obligations_of_all_files_are_united() -> None:
    policy = policy_of(rule("a", "allow", "set = { priority = 'low' }"), rule("b", "ask", "drop = ['bcc']"))
    duties = {str(duty) for duty in decided(policy).obligations}
    assert duties == {"redact", "set priority='low'", "drop bcc"}


@pytest.mark.parametrize(
    ("other", "met"),
    [("set = { n = 1 }", True), ("set = { n = 2 }", False), ("set = { n = true }", False), ("drop = ['n']", False)],
)
def test_changes_that_contradict_each_other_block(other: str, met: bool) -> None:
    for first, second in (("a", "b"), ("b", "a")):
        policy = policy_of(rule(first, "allow", "set = { n = 1 }"), rule(second, "allow", other))
        decision = decided(policy)
        assert (decision.reason is Reason.OBLIGATION_UNMET) is not met
        assert decision.verdict is (Verdict.ALLOW if met else Verdict.BLOCK)
    strict = policy_of(rule("a", "allow", "set = { n = 1 }"), rule("b", "allow", other), rule("c", "block"))
    assert decided(strict).reason is Reason.RULE


@pytest.mark.parametrize(
    ("when", "arguments", "reason"),
    [
        ("size(sinks) > 0", {"n": 2**63}, Reason.ARGUMENTS_TOO_LARGE),
        ("size(sinks) > 0", {"n": [0] * 2000}, Reason.ARGUMENTS_TOO_LARGE),
        ("args.n.all(x, args.n.exists(y, x == y))", {"n": [0] * 600}, Reason.ARGUMENTS_TOO_LARGE),
        ("args.n.all(x, x == 0)", {"n": [0] * 600}, Reason.RULE),
    ],
)
def test_arguments_over_the_limits_block_where_a_condition_applies(
    when: str, arguments: dict[str, Any], reason: Reason
) -> None:
    policy = policy_of(rule("a", "allow", f"when = '{when}'"))
    assert decided(policy, arguments=arguments).reason is reason
    assert decided(policy_of(rule("a", "allow")), arguments=arguments).reason is Reason.RULE


def test_an_error_tells_the_rule_and_no_value() -> None:
    decision = decided(policy_of(rule("a", "ask", "when = 'args.x > 1'")), arguments={"x": "hidden"})
    assert "`a`" in decision.detail
    assert "hidden" not in decision.detail


ASK_LOCAL = Requirement(Proof.LOCAL, frozenset({"alice"}), 1)


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        pytest.param({}, Verdict.ALLOW, Reason.APPROVED, id="as it was approved"),
        pytest.param(
            {"requirement": Requirement(Proof.CLIENT, frozenset({"alice"}))}, Verdict.BLOCK, None, id="less proof"
        ),
        pytest.param({"requirement": Requirement(Proof.LOCAL)}, Verdict.BLOCK, None, id="by anybody"),
        pytest.param(
            {"requirement": replace(ASK_LOCAL, approvers=2)}, Verdict.ALLOW, Reason.APPROVED, id="more people"
        ),
        pytest.param({"definition": "d2"}, Verdict.BLOCK, None, id="another definition"),
        pytest.param({"obligations": ()}, Verdict.BLOCK, None, id="fewer obligations"),
        pytest.param({"obligations": ("redact", "drop x")}, Verdict.ALLOW, Reason.APPROVED, id="more obligations"),
        pytest.param({"state": ApprovalState.USED}, Verdict.BLOCK, None, id="used"),
        pytest.param({"state": ApprovalState.WAITING}, Verdict.BLOCK, None, id="not answered"),
        pytest.param({"expires_at": NOW}, Verdict.BLOCK, None, id="expired"),
        pytest.param({"arguments_digest": "other"}, Verdict.BLOCK, None, id="other arguments"),
        pytest.param({"tool": "other"}, Verdict.BLOCK, None, id="another tool"),
        pytest.param({"tier": Tier.READ, "effect": Effect.READ}, Verdict.BLOCK, None, id="a lower tier"),
        pytest.param({"tier": Tier.HIGH, "effect": Effect.MONEY}, Verdict.ALLOW, Reason.APPROVED, id="a higher tier"),
    ],
)
def test_an_approval_holds_unless_more_is_asked(
    change: dict[str, Any], verdict: Verdict, reason: Reason | None
) -> None:
    tool = tool_of()
    policy = policy_of(rule("a", "ask", "approve = { by = 'alice', proof = 'local' }"))
    decision = decided(policy, tool, approval=approval_of(tool, ASK_LOCAL, **change))
    assert (decision.verdict, decision.reason) == (verdict, reason or Reason.APPROVAL_VOID)
    assert decision.phase == "execute"
    assert decision.obligations == {REDACT}


def test_within_tier_high_another_effect_voids_an_approval() -> None:
    tool = tool_of(Effect.MONEY)
    for effect, verdict in ((Effect.MONEY, Verdict.ALLOW), (Effect.EGRESS, Verdict.BLOCK)):
        approval = approval_of(tool, effect=effect)
        assert decided(policy_of(""), tool, approval=approval).verdict is verdict


@pytest.mark.parametrize(
    ("on_the_card", "verdict"),
    [
        pytest.param({}, Verdict.BLOCK, id="it was good on the card"),
        pytest.param({"shown": Shown(unproven=True)}, Verdict.ALLOW, id="the card said so"),
        pytest.param({"reason": Reason.UNPROVEN}, Verdict.ALLOW, id="it was why it asked"),
    ],
)
def test_an_approval_is_void_where_a_sinks_origin_got_worse_than_on_the_card(
    on_the_card: dict[str, Any], verdict: Verdict
) -> None:
    """Where another rule asks too, a lost vouch is no reason of its own, and counts all the same."""
    tool = tool_of(Effect.MONEY)
    policy = policy_of(rule("a", "ask"), rule("b", "ask-unless-proven"))
    assert decided(policy, tool).unproven
    again = decided(policy, tool, approval=approval_of(tool, **on_the_card))
    assert again.verdict is verdict
    if verdict is Verdict.BLOCK:
        assert again.reason is Reason.APPROVAL_VOID
        assert "origin" in again.detail


def test_every_rule_that_asks_is_named_the_strictest_first() -> None:
    files = (("c", "ask"), ("b", "ask"), ("a", "ask-unless-proven"), ("d", "allow"))
    decision = decided(policy_of(*(rule(*each) for each in files)), arguments={"n": 5})
    assert (decision.verdict, decision.reason, decision.rules) == (Verdict.ASK, Reason.RULE, ("b", "c", "a"))


def test_what_is_allowed_by_now_needs_no_approval_but_the_same_call() -> None:
    tool, policy = tool_of(), policy_of(rule("a", "allow"))
    assert decided(policy, tool, approval=approval_of(tool)).reason is Reason.RULE
    assert decided(policy, tool, approval=approval_of(tool, definition="d2")).reason is Reason.APPROVAL_VOID


def test_plans_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PLANS", 2)
    policy = policy_of(rule("a", "allow"))
    for name in ("x", "y", "x", "z"):
        assert decided(policy, tool_of(name=name)).verdict is Verdict.ALLOW
    assert len(policy.plans) == 1


def test_a_tool_that_is_raised_is_decided_anew() -> None:
    policy = policy_of("[[tool]]\nmatch = 'mail/*'\neffect = 'read'\n")
    assert decided(policy, labelled(policy, "get")).verdict is Verdict.ALLOW
    assert decided(policy, labelled(policy, "get", annotations={"readOnlyHint": False})).verdict is Verdict.ASK


# Laws.

CONDITIONS = st.sampled_from(
    ["", "when = 'args.n > 1'", "when = 'args.n > 9'", "when = 'args.x'", "when = 'session.tainted'"]
)
APPROVES = st.sampled_from(["", "approve = { by = 'alice' }", "approve = { approvers = 2, proof = 'signed' }"])
CHANGES = st.sampled_from(["", "drop = ['x']", "set = { y = 1 }"])
CLIENTS = st.sampled_from(["", "clients = '*'", "clients = 'claude-code'", "clients = 'cursor'"])
TOOLS = st.sampled_from([tool_of(effect) for effect in (Effect.READ, Effect.WRITE, Effect.EGRESS)])


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, str]:
    """What a rule decides, and the rest of it."""
    word = draw(st.sampled_from(STRICTNESS))
    more = [draw(CONDITIONS), draw(CLIENTS)]
    if word != "block":
        more += [draw(APPROVES), draw(CHANGES)]
    if word == "allow":
        more.append(draw(st.sampled_from(["", "rate = '1/hour'"])))
    return word, "\n".join(more)


FILES = st.lists(st.lists(rules(), max_size=3), max_size=3)


def built(files: list[list[tuple[str, str]]], start: int = 0) -> dict[str, str]:
    """Policy texts by name; dead rules in them matter to `check` alone."""
    return {
        f"p{start + place}.toml": HEAD + "".join(rule(f"r{start + place}.{n}", *parts) for n, parts in enumerate(file))
        for place, file in enumerate(files)
    }


def parsed(texts: Mapping[str, str]) -> Policy:
    return parse(texts)[0]


def outcome(policy: Policy, tool: Tool, client: str = "claude-code", **facts: Any) -> Decision:
    return decided(policy, tool, {"n": 5}, client, used={"r0.0": 1}, **facts)


@settings(deadline=None)  # the first condition loads the engine
@given(FILES, TOOLS, st.randoms())
def test_the_order_of_files_is_irrelevant(files: list[list[tuple[str, str]]], tool: Tool, chance: Any) -> None:
    texts = built(files)
    names = list(texts)
    chance.shuffle(names)
    first, second = (outcome(parsed(given), tool) for given in (texts, {name: texts[name] for name in names}))
    assert first == second


@settings(deadline=None)  # the first condition loads the engine
@given(FILES, FILES, TOOLS, st.sampled_from(["claude-code", "unknown"]))
def test_a_block_is_never_lifted(
    files: list[list[tuple[str, str]]], more: list[list[tuple[str, str]]], tool: Tool, client: str
) -> None:
    before = outcome(parsed(built(files)), tool, client)
    if before.verdict is not Verdict.BLOCK:
        return
    allow = "".join(rule(f"extra.{name}", "allow") for name in "ab")
    widened = {name: text + allow.replace("extra", name) for name, text in built(files).items()}
    assert outcome(parsed(widened), tool, client).verdict is Verdict.BLOCK
    assert outcome(parsed({**built(files), **built(more, 10)}), tool, client).verdict is Verdict.BLOCK
    approval = approval_of(tool, Requirement(Proof.SIGNED, approvers=9), obligations=("redact", "drop x", "set y=1"))
    assert outcome(parsed(built(files)), tool, client, approval=approval).verdict is Verdict.BLOCK


@settings(deadline=None)  # the first condition loads the engine
@given(FILES, FILES, TOOLS)
def test_adding_a_file_never_loosens_what_a_rule_decided(
    files: list[list[tuple[str, str]]], more: list[list[tuple[str, str]]], tool: Tool
) -> None:
    before = outcome(parsed(built(files)), tool)
    after = outcome(parsed({**built(files), **built(more, 10)}), tool)
    if before.reason is Reason.TIER_DEFAULT:
        return  # a default is what holds until a rule speaks
    assert after.verdict >= before.verdict
    if after.verdict is Verdict.ASK and before.requirement:
        assert after.requirement is not None
        assert before.requirement.within(after.requirement)
    if after.verdict is not Verdict.BLOCK:
        assert before.obligations <= after.obligations


@settings(deadline=None)  # the first condition loads the engine
@given(FILES, TOOLS)
def test_an_approval_keeps_every_obligation(files: list[list[tuple[str, str]]], tool: Tool) -> None:
    policy = parsed(built(files))
    asked = outcome(policy, tool)
    if asked.requirement is None:
        return
    obligations = tuple(str(duty) for duty in asked.obligations)
    approval = approval_of(tool, asked.requirement, obligations=obligations, shown=Shown(unproven=asked.unproven))
    ran = outcome(policy, tool, approval=approval)
    assert (ran.verdict, ran.reason) == (Verdict.ALLOW, Reason.APPROVED)
    assert (ran.obligations, ran.rules) == (asked.obligations, asked.rules)


def test_a_thousand_rules_cost_a_decision_no_more_than_ten() -> None:
    few, many = (
        policy_of("".join(rule(f"r{n}", "ask", tools=f"mail/t{n}") for n in range(count))) for count in (10, 1000)
    )
    for policy in (few, many):
        assert decided(policy, tool_of(name="t5")).rules == ("r5",)
        ((plan,)) = policy.plans.values()
        assert [len(file.others) for file in plan.files] == [1]
        assert plan.settled is not None
