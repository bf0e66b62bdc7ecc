"""Budgets, loops and observation: what is counted, what follows at the limit, and that none of it loosens anything."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.decide import counted, decide
from gateway.core.grants import offered
from gateway.core.limits import IDLE, MOST, UNLIMITED, amount, scope
from gateway.core.model import (
    Call,
    Choice,
    Client,
    Context,
    Decide,
    Decision,
    Effect,
    Facts,
    Place,
    Proof,
    Reason,
    Standing,
    Surface,
    Verdict,
)
from gateway.core.policy import Budget, Policy
from tests.core.cases import NOW, approval_of, call_of, facts_of, policy_of, tool_of
from tests.core.test_grants import granted, row_of

UNIT = 1_000_000
ALLOW = '[[rule]]\nid = "r"\ntools = "*/*"\ndecide = "allow"\n'
ASK = ALLOW.replace('"r"', '"asks"').replace('"allow"', '"ask"')
DAILY = '[[budget]]\nid = "daily"\ntools = "mail/*"\nper = "day"\ncalls = 3\n'
SUM = '[[budget]]\nid = "sum"\ntools = "mail/*"\nper = "principal"\nsum = "args.n"\nlimit = 10.5\n'
LOOP = "[loop]\nsame_call = 2\nsame_refusal = 3\n"
SEND = tool_of(Effect.EGRESS)
BUDGET = Budget("b", ("mail/*",), "day", Decide.ASK, Place("p.toml", 1))


def decided(policy: Policy, call: Call | None = None, tool: Any = SEND, **facts: Any) -> Decision:
    """The decision on a call of `mail/send`."""
    made = call or call_of()
    return decide(made, facts_of(tool, made, **{"tainted": False, **facts}), policy)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (3, 3 * UNIT),
        (0, 0),
        (0.1, 100_000),
        (1e-9, 1),
        (2.0000001, 2_000_001),
        (["a", "b"], 2 * UNIT),
        ([], 0),
        ({"a": 1}, UNIT),
        (MOST // UNIT, MOST // UNIT * UNIT),
    ],
)
def test_an_amount_is_counted_in_millionths_and_rounded_up(value: object, units: int) -> None:
    assert amount(replace(BUDGET, sum="args.n", limit=1.0), {"n": value}) == units


@pytest.mark.parametrize(
    "value",
    ["3", "", None, True, -1, -0.5, 1e308, 10**400, float("nan"), float("inf")],
    ids=lambda value: repr(value)[:9],
)
def test_what_is_no_number_that_can_be_counted_blocks(value: object) -> None:
    budget = replace(BUDGET, sum="args.n", limit=1.0)
    assert isinstance(amount(budget, {"n": value}), str)
    assert isinstance(amount(budget, {}), str)


def test_a_call_without_its_number_is_blocked_whatever_the_budget_would_ask() -> None:
    told = decided(policy_of(ALLOW + SUM), call_of({"n": "all"}))
    assert (told.verdict, told.reason, told.rules) == (Verdict.BLOCK, Reason.BUDGET_EXCEEDED, ("sum",))
    assert (told.spends, told.obligations, told.requirement) == ((), frozenset(), None)
    assert "`n`" in told.detail


@pytest.mark.parametrize(
    ("used", "verdict"),
    [(0, Verdict.ALLOW), (2 * UNIT, Verdict.ALLOW), (2 * UNIT + 1, Verdict.ASK), (3 * UNIT, Verdict.ASK)],
)
def test_a_budget_lasts_until_its_last_unit(used: int, verdict: Verdict) -> None:
    told = decided(policy_of(ALLOW + DAILY), spent={"daily": used})
    assert told.verdict is verdict
    (spend,) = told.spends
    exceeded = verdict is Verdict.ASK
    assert (spend.budget, spend.scope, spend.amount) == ("daily", "day\n2026-11-22", UNIT)
    assert spend.most == (UNLIMITED if exceeded else 3 * UNIT)
    assert told.reason is (Reason.BUDGET_EXCEEDED if exceeded else Reason.RULE)
    assert bool(told.authorised) is not exceeded


def test_a_budget_that_is_over_asks_with_the_proof_of_the_tier_or_blocks() -> None:
    told = decided(policy_of(ALLOW + DAILY), spent={"daily": 3 * UNIT})
    assert told.requirement is not None
    assert told.requirement.proof is Proof.LOCAL
    assert (told.rules, told.places) == (("daily",), ("policies/p0.toml:6",))
    blocked = decided(policy_of(ALLOW + DAILY + 'over = "block"\n'), spent={"daily": 3 * UNIT})
    assert (blocked.verdict, blocked.reason, blocked.requirement) == (Verdict.BLOCK, Reason.BUDGET_EXCEEDED, None)


def test_the_strictest_of_several_budgets_counts_and_what_is_free_takes_nothing() -> None:
    policy = policy_of(ALLOW + DAILY + SUM + 'over = "block"\n')
    assert [one.budget for one in decided(policy, call_of({"n": 10.5})).spends] == ["daily", "sum"]
    assert [one.budget for one in decided(policy, call_of({"n": 0}), spent={"sum": 99 * UNIT}).spends] == ["daily"]
    both = decided(policy, call_of({"n": 11}), spent={"daily": 9 * UNIT})
    assert (both.verdict, both.rules) == (Verdict.BLOCK, ("sum",))


def test_an_ask_keeps_its_rules_and_gets_the_budgets_reason() -> None:
    told = decided(policy_of(ASK + DAILY), spent={"daily": 3 * UNIT})
    assert (told.verdict, told.reason, told.rules) == (Verdict.ASK, Reason.BUDGET_EXCEEDED, ("asks", "daily"))
    assert len(told.places) == 2


def test_nothing_is_counted_of_a_blocked_call_of_other_tools_and_of_what_is_no_tool() -> None:
    blocks = ALLOW.replace('"allow"', '"block"')
    told = decided(policy_of(blocks + DAILY + LOOP), spent={"daily": 9 * UNIT}, repeated=9)
    assert (told.reason, told.rules, told.spends) == (Reason.RULE, ("r",), ())
    policy = policy_of(DAILY + LOOP, upstreamed='upstream = "files"\n' + LOOP)
    assert not counted(call_of(), tool_of(upstream="other"), policy).budgets
    resource = replace(SEND, surface=Surface.RESOURCES)
    assert (counted(call_of(), resource, policy).budgets, len(counted(call_of(), resource, policy).loops)) == ((), 1)
    assert len(counted(call_of(), tool_of(upstream="files"), policy).loops) == 2
    assert not counted(call_of(), replace(SEND, surface=Surface.METHODS), policy)


def test_a_later_round_of_a_call_takes_nothing_and_is_not_asked_about() -> None:
    told = decided(policy_of(ALLOW + DAILY + LOOP), spent={"daily": 9 * UNIT}, repeated=9, begun=True)
    assert (told.verdict, told.spends) == (Verdict.ALLOW, ())


def test_an_approval_lets_a_call_go_beyond_a_budget_and_it_is_counted() -> None:
    told = decided(policy_of(ALLOW + DAILY), spent={"daily": 3 * UNIT}, approval=approval_of(SEND))
    assert (told.verdict, told.reason) == (Verdict.ALLOW, Reason.APPROVED)
    assert [(one.amount, one.most) for one in told.spends] == [(UNIT, UNLIMITED)]
    blocked = decided(
        policy_of(ALLOW + DAILY + 'over = "block"\n'), spent={"daily": 3 * UNIT}, approval=approval_of(SEND)
    )
    assert blocked.verdict is Verdict.BLOCK


def test_only_a_grant_that_was_given_for_the_budget_lifts_it() -> None:
    policy = policy_of(ASK + DAILY)
    card = row_of(call_of(), SEND, decided(policy))
    given = granted(Choice.ARGUMENTS, card)
    for_budget = replace(given, reason=Reason.BUDGET_EXCEEDED, rules=("asks", "daily"))
    within = decided(policy, standing=Standing(grants=(given,)))
    assert (within.verdict, within.spends[0].most) == (Verdict.ALLOW, 3 * UNIT)
    over = {"spent": {"daily": 3 * UNIT}}
    assert decided(policy, standing=Standing(grants=(given,)), **over).verdict is Verdict.ASK
    lifted = decided(policy, standing=Standing(grants=(for_budget,)), **over)
    assert (lifted.verdict, lifted.uses, lifted.spends[0].most) == (Verdict.ALLOW, (for_budget.id,), UNLIMITED)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"repeated": 1, "refused": 2}, Verdict.ALLOW),
        ({"repeated": 2}, Verdict.ASK),
        ({"refused": 3}, Verdict.ASK),
        ({"repeated": 2, "refused": 3}, Verdict.ASK),
    ],
)
def test_the_same_call_again_and_again_is_asked_about(facts: Mapping[str, int], verdict: Verdict) -> None:
    told = decided(policy_of(ALLOW + LOOP), **facts)
    assert told.verdict is verdict
    assert (told.reason, told.rules) == (
        (Reason.LOOP, ("[loop]",)) if verdict is Verdict.ASK else (Reason.RULE, ("r",))
    )


def test_the_strictest_loop_of_several_files_counts() -> None:
    policy = policy_of(ALLOW + LOOP, '[loop]\nsame_call = 4\nover = "block"\n', "[loop]\nsame_refusal = 2\n")
    verdicts = [decided(policy, repeated=count).verdict for count in (1, 2, 3, 4)]
    assert verdicts == [Verdict.ALLOW, Verdict.ASK, Verdict.ASK, Verdict.BLOCK]
    assert decided(policy, refused=2).verdict is Verdict.ASK


def test_a_call_is_asked_about_for_its_budget_first_and_for_its_loop_too() -> None:
    told = decided(policy_of(ALLOW + DAILY + LOOP), spent={"daily": 3 * UNIT}, repeated=2)
    assert (told.reason, told.rules) == (Reason.BUDGET_EXCEEDED, ("daily", "[loop]"))


def test_whose_it_is() -> None:
    call = replace(call_of(), context=Context("s_1", seat="s_2"))
    unnamed = replace(call, context=Context("s_1", seat="s_1"))
    assert scope(replace(BUDGET, per="day"), call, NOW) == ("day\n2026-11-22", None)
    assert scope(replace(BUDGET, per="principal"), call, NOW) == ("principal\n2026-11-22\nos:alice", None)
    assert scope(replace(BUDGET, per="principal"), call, NOW + timedelta(hours=12))[0].startswith(
        "principal\n2026-11-23"
    )
    session = replace(BUDGET, per="session")
    assert scope(session, call, NOW) == ("session\n8 os:alice\n11 claude-code\n3 s_1", None)
    assert scope(session, unnamed, NOW) == ("session\n8 os:alice\n11 claude-code\n3 s_1", NOW - IDLE)
    other = replace(call, client=Client("cursor"))
    assert scope(session, other, NOW)[0] != scope(session, call, NOW)[0]


@pytest.mark.parametrize("reason", [Reason.BUDGET_EXCEEDED, Reason.LOOP])
def test_on_the_card_of_a_limit_only_exactly_this_call_can_be_granted(reason: Reason) -> None:
    write = tool_of(Effect.WRITE, payload=("body",))
    ask = decided(policy_of(ASK), tool=write)
    row = replace(row_of(call_of(), write, ask), free=("body",))
    assert {Choice.PATTERN, Choice.SESSION} <= set(offered(row))
    limited = offered(replace(row, reason=reason))
    assert Choice.ARGUMENTS in limited
    assert not {Choice.PATTERN, Choice.SESSION, Choice.VOUCH} & set(limited)


# Observation.

WRITE = tool_of(Effect.WRITE)
UNTIL = "observe_until = 2026-11-22\n"
ASKS = '[[rule]]\nid = "asks"\ntools = "mail/*"\ndecide = "ask"\n'


def test_what_would_be_asked_passes_while_its_file_observes_and_is_told() -> None:
    by = 'approve = { by = ["alice"], proof = "local", approvers = 2 }\n'
    told = decided(policy_of(UNTIL + ASKS + by), tool=WRITE)
    assert (told.verdict, told.reason, told.rules) == (Verdict.ALLOW, Reason.OBSERVED, ("asks",))
    assert told.authorised["owner"] == "it@corp.example"
    for word in ("2026-11-22", "`asks`", "2 of alice", "local", "rule"):
        assert word in told.detail


@pytest.mark.parametrize("decide_as", ["ask", "ask-unless-proven"])
def test_after_the_day_it_asks(decide_as: str) -> None:
    policy = policy_of(UNTIL + ASKS.replace('"ask"', f'"{decide_as}"'))
    call = call_of({"to": "eve"})
    facts = Facts(now=NOW, tool=WRITE, nodes=1)
    assert decide(call, facts, policy).verdict is Verdict.ALLOW
    assert decide(call, replace(facts, now=NOW + timedelta(days=1)), policy).verdict is Verdict.ASK


@pytest.mark.parametrize("effect", [effect for effect in Effect if effect not in (Effect.READ, Effect.WRITE)])
def test_nothing_of_tier_high_is_only_observed(effect: Effect) -> None:
    assert decided(policy_of(UNTIL + ASKS), tool=tool_of(effect)).verdict is Verdict.ASK


def test_a_read_that_a_rule_asks_about_is_asked_about() -> None:
    assert decided(policy_of(UNTIL + ASKS), tool=tool_of(Effect.READ)).verdict is Verdict.ASK


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((UNTIL + ASKS.replace('"ask"', '"block"'),), Reason.RULE),
        ((UNTIL + ASKS, ASKS.replace('"asks"', '"other"')), Reason.RULE),
        ((UNTIL + '[[rule]]\nid = "r"\ntools = "mail/*"\nwhen = "args.x == 1"\ndecide = "ask"\n',), Reason.RULE_ERROR),
        (("review_by = 2026-11-01\n" + UNTIL + ALLOW,), Reason.REVIEW_OVERDUE),
        ((UNTIL,), Reason.TIER_DEFAULT),
        ((UNTIL + ASKS + DAILY,), Reason.BUDGET_EXCEEDED),
        ((UNTIL + ASKS + LOOP,), Reason.LOOP),
    ],
    ids=["block", "ask of another file", "error", "overdue review", "default of the tier", "budget", "loop"],
)
def test_observation_lifts_nothing_else(files: tuple[str, ...], reason: Reason) -> None:
    told = decided(policy_of(*files), tool=WRITE, spent={"daily": 3 * UNIT}, repeated=2)
    assert told.verdict is not Verdict.ALLOW
    assert told.reason is reason


def test_an_allow_that_is_observed_beside_one_by_rule_says_so() -> None:
    told = decided(policy_of(UNTIL + ASKS, ALLOW), tool=WRITE)
    assert (told.verdict, told.reason, told.rules) == (Verdict.ALLOW, Reason.OBSERVED, ("asks", "r"))


def test_a_rate_that_is_used_up_is_observed_too() -> None:
    told = decided(policy_of(UNTIL + ALLOW + 'rate = "1/hour"\n'), tool=WRITE, used={"r": 1})
    assert told.reason is Reason.OBSERVED


def test_a_policy_knows_whether_it_has_loops() -> None:
    assert policy_of(LOOP).loops()
    assert not policy_of(DAILY).loops()
    assert policy_of(UNTIL).files[0].observe_until == date(2026, 11, 22)
