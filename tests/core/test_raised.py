"""A raised session: what would pass above tier read is asked about, nothing is blocked, and no old grant lifts it."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

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
from gateway.core.raised import RaisedSessions, heightened
from gateway.core.session import IDLE, key_of
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


MINE, NAMED = key_of("os:ada", "desk", "s_1"), key_of("os:ada", "desk", "os:ada/desk/work")


def test_a_session_belongs_to_its_trusted_name_alone_or_to_all_that_principal_and_client_do() -> None:
    assert MINE == key_of("os:ada", "desk", "s_2") == key_of("os:ada", "desk", "os:ada/other/work")
    assert NAMED == ("os:ada", "desk", "os:ada/desk/work")


def test_the_first_signal_that_raised_a_session_is_kept() -> None:
    raised = RaisedSessions()
    raised.add(NAMED, "new-sink", NOON, NOON)
    raised.add(NAMED, "new-tool", NOON, NOON)
    assert (raised.by(NAMED), raised.by(MINE), raised.changes) == ("new-sink", "", 1)
    assert raised.called(NAMED, NOON + 9 * IDLE) == "new-sink"


def test_without_a_name_it_is_raised_until_nothing_was_called_for_so_long() -> None:
    raised = RaisedSessions()
    raised.add(MINE, "new-sink", NOON, NOON)
    assert raised.called(MINE, NOON + IDLE) == "new-sink"
    assert raised.called(MINE, NOON + 2 * IDLE) == "new-sink"
    assert raised.called(MINE, NOON + 3 * IDLE + timedelta(seconds=1)) == ""
    assert (raised.called(MINE, NOON), raised.by(MINE), raised.changes) == ("", "", 2)
    raised.add(MINE, "new-tool", NOON, NOON)
    assert raised.by(MINE) == "new-tool"


def test_what_raised_one_without_a_name_longer_ago_raises_it_no_more() -> None:
    raised, later = RaisedSessions(), NOON + IDLE + timedelta(seconds=1)
    raised.add(MINE, "new-sink", NOON, later)
    raised.add(NAMED, "new-sink", NOON, later)
    assert (raised.by(MINE), raised.by(NAMED)) == ("", "new-sink")


def test_so_many_are_known_and_those_that_were_raised_last_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.core.raised.REMEMBERED", 2)
    raised = RaisedSessions()
    for key in (MINE, NAMED, key_of("os:eve", "desk", "")):
        raised.add(key, "new-sink", NOON, NOON)
    assert raised.newest(9) == [(NAMED, "new-sink"), (("os:eve", "desk", ""), "new-sink")]
    assert raised.newest(1) == [(("os:eve", "desk", ""), "new-sink")]
    assert raised.called(MINE, NOON) == ""
