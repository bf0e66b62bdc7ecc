"""A raised session: what would pass above tier read is asked about, nothing is blocked, and no old grant lifts it."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.core.card import why
from gateway.core.decide import decide
from gateway.core.model import (
    Decision,
    Effect,
    Facts,
    Labels,
    Proof,
    Reason,
    Requirement,
    Surface,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.policy import Policy, parse
from gateway.core.raised import heightened
from tests.fakes import NOON, a_call, a_row, a_tool

ALLOW = Decision(Verdict.ALLOW, Reason.RULE, ("files.free",), authorised={"rule_owner": "a"}, uses=("g_1",))
DENY = Decision(Verdict.BLOCK, Reason.RULE, ("files.never",))
ASK = Decision(
    Verdict.ASK, Reason.RULE, ("files.asks",), requirement=Requirement(Proof.SIGNED, approvers=2), detail="x"
)


def facts(raised: str = "new-sink", **more: Any) -> Facts:
    return Facts(NOON, a_tool(), raised=raised, **more)


def policy() -> Policy:
    found, problems = parse({"a.toml": 'owner = "a"\n[[rule]]\nid = "free"\ntools = "files/*"\ndecide = "allow"'})
    assert problems == ()
    return found


@pytest.mark.parametrize(("tier", "proof"), [(Tier.WRITE, Proof.CLIENT), (Tier.HIGH, Proof.LOCAL)])
def test_what_would_pass_above_tier_read_is_asked_about(tier: Tier, proof: Proof) -> None:
    found = heightened(ALLOW, facts(), a_tool(tier=tier))
    assert (found.verdict, found.reason, found.rules) == (Verdict.ASK, Reason.SESSION_RAISED, ("files.free",))
    assert found.requirement == Requirement(proof)
    assert (found.authorised, found.uses, found.detail) == ({}, (), "signal `new-sink` raised the session")


def test_an_ask_stays_as_strict_as_it_was_and_tells_both() -> None:
    found = heightened(ASK, facts(), a_tool(tier=Tier.HIGH))
    assert (found.verdict, found.reason) == (Verdict.ASK, Reason.SESSION_RAISED)
    assert found.requirement == Requirement(Proof.SIGNED, approvers=2)
    assert found.detail == "x; signal `new-sink` raised the session"


def test_a_block_stays_one_and_nothing_is_blocked_by_it() -> None:
    assert heightened(DENY, facts(), a_tool()) is DENY
    for decision in (ALLOW, ASK):
        assert heightened(decision, facts(), a_tool()).verdict is Verdict.ASK


@pytest.mark.parametrize(
    ("given", "tool"),
    [
        (facts(""), a_tool()),
        (facts(), a_tool(tier=Tier.READ, effect=Effect.READ)),
        (facts(begun=True), a_tool()),
        (facts(), replace(a_tool(tier=Tier.HIGH), surface=Surface.METHODS)),
    ],
    ids=["not raised", "a read", "a call that has begun", "a question of an upstream"],
)
def test_all_else_is_as_it_was(given: Facts, tool: Tool) -> None:
    assert heightened(ALLOW, given, tool) is ALLOW


def test_it_counts_in_a_decision() -> None:
    tool = replace(a_tool(), labels=Labels(Effect.WRITE, inert=("path",)))
    quiet = decide(a_call(), replace(facts(""), tool=tool), policy())
    loud = decide(a_call(), replace(facts(), tool=tool), policy())
    assert (quiet.verdict, quiet.reason) == (Verdict.ALLOW, Reason.RULE)
    assert (loud.verdict, loud.reason, loud.rules) == (Verdict.ASK, Reason.SESSION_RAISED, ("free",))


@pytest.mark.parametrize("reason", [Reason.BUDGET_EXCEEDED, Reason.LOOP])
def test_what_asks_for_a_limit_keeps_its_reason_so_that_no_wide_grant_lifts_it(reason: Reason) -> None:
    limited = replace(ASK, reason=reason)
    assert heightened(limited, facts(), a_tool()) is limited


def test_a_card_names_the_rule_and_the_signal() -> None:
    tool, decision = a_tool(), heightened(replace(ALLOW, detail="a; b"), facts(), a_tool())
    row = a_row("a_1", a_call(), tool, decision)
    shown = replace(row, shown=replace(row.shown, detail=decision.detail))
    assert why(shown) == "rule files.free (session-raised); signal `new-sink` raised the session"
