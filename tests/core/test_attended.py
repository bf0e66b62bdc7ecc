"""Which tools a person is asked about: as `decide` would, whatever the conditions turn out to be."""

from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.attended import attended
from gateway.core.decide import decide
from gateway.core.model import Effect, Reason, Tool, Verdict
from gateway.core.policy import Policy, parse
from tests.core.attacked import rule
from tests.core.cases import HEAD, KNOWN, NOW, call_of, facts_of, tool_of

LATE, SOON = "review_by = 2026-11-21\n", "review_by = 2026-11-23\n"
OBSERVING, OBSERVED = "observe_until = 2026-11-23\n", "observe_until = 2026-11-21\n"
READ, WRITE, HIGH = tool_of(Effect.READ), tool_of(Effect.WRITE), tool_of(Effect.EGRESS)
ASKING = (Reason.RULE, Reason.TIER_DEFAULT, Reason.REVIEW_OVERDUE)


def policy_of(*files: str) -> Policy:
    """A policy of these files; a rule that never counts may stand in it."""
    return parse({f"p{number}.toml": HEAD + text for number, text in enumerate(files)}, KNOWN)[0]


@pytest.mark.parametrize(
    ("files", "read", "write", "high"),
    [
        pytest.param([], False, True, True, id="no rule: by tier"),
        pytest.param([rule('"*/*"', "ask")], True, True, True, id="asked about"),
        pytest.param([rule('"*/*"', "ask", "args.a")], True, True, True, id="asked about, perhaps"),
        pytest.param([rule('"*/*"', "allow")], False, False, False, id="allowed"),
        pytest.param([rule('"*/*"', "allow", "args.a")], False, True, True, id="allowed, perhaps"),
        pytest.param([rule('"*/*"', "ask-unless-proven")], False, False, False, id="proven, perhaps"),
        pytest.param([rule('"*/*"', "allow") + rule('"*/*"', "ask", id="s")], False, False, False, id="never reached"),
        pytest.param([rule('"*/*"', "allow"), rule('"*/*"', "ask", id="s")], True, True, True, id="in another file"),
        pytest.param([rule('"*/*"', "ask") + rule('"*/*"', "block", id="s")], False, False, False, id="blocked"),
        pytest.param([rule('"*/*"', "block", "args.a")], False, True, True, id="blocked, perhaps"),
        pytest.param([rule('"mail/other"', "ask")], False, True, True, id="of another tool"),
        pytest.param([rule('"*/*"', "ask", more='clients = ["cursor"]')], False, True, True, id="of another client"),
        pytest.param([rule('"*/*"', "allow", more='clients = ["cursor"]')], False, True, True, id="for another client"),
        pytest.param([rule('"*/*"', "allow", more='rate = "1/hour"')], False, False, False, id="at a rate"),
        pytest.param(['upstream = "mail"\n' + rule('"*"', "ask")], True, True, True, id="by its upstream's file"),
        pytest.param(['upstream = "files"\n' + rule('"*"', "ask")], False, True, True, id="by another's file"),
        pytest.param([LATE + rule('"*/*"', "allow")], False, True, True, id="to be reviewed"),
        pytest.param([SOON + rule('"*/*"', "allow")], False, False, False, id="to be reviewed later"),
        pytest.param([OBSERVING + rule('"*/*"', "ask")], True, False, True, id="only observed"),
        pytest.param([OBSERVED + rule('"*/*"', "ask")], True, True, True, id="observed before"),
    ],
)
def test_a_tool_is_attended_where_a_rule_or_its_tier_asks(
    files: list[str], read: bool, write: bool, high: bool
) -> None:
    policy = policy_of(*files)
    assert [attended(policy, tool, "claude-code", NOW.date()) for tool in (READ, WRITE, HIGH)] == [read, write, high]


def test_an_unknown_client_is_asked_where_others_prove() -> None:
    policy = policy_of(rule('"*/*"', "ask-unless-proven", more='clients = "*"'))
    assert [attended(policy, tool, "unknown", NOW.date()) for tool in (READ, WRITE)] == [False, True]
    assert not attended(policy, WRITE, "claude-code", NOW.date())


class Drawn(NamedTuple):
    """One rule, and the argument that its condition looks at; empty for one that always holds."""

    decides: str
    looks_at: str

    def text(self, number: int) -> str:
        return rule('"*/*"', self.decides, f"args.{self.looks_at}" if self.looks_at else "", id=f"r{number}")


def asks(policy: Policy, tool: Tool) -> bool:
    """Whether `decide` asks by rule or tier for any values of the arguments."""
    for values in product((False, True), repeat=4):
        call = call_of(dict(zip("abcd", values, strict=True)))
        decision = decide(call, facts_of(tool, call), policy)
        if decision.verdict is Verdict.ASK and decision.reason in ASKING:
            return True
    return False


WORDS = st.sampled_from(["allow", "ask", "ask-unless-proven", "block"])
HEADS = st.sampled_from(["", LATE, OBSERVING])


@settings(deadline=None)
@given(
    st.lists(WORDS, min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.integers(0, 4),
    st.tuples(HEADS, HEADS),
    st.sampled_from([READ, WRITE, HIGH]),
)
def test_a_tool_is_attended_exactly_where_some_call_is_asked_about(
    words: list[str], conditions: list[bool], cut: int, heads: tuple[str, str], tool: Tool
) -> None:
    rules = [Drawn(word, name if some else "") for word, some, name in zip(words, conditions, "abcd", strict=True)]
    texts = [each.text(number) for number, each in enumerate(rules)]
    policy = policy_of(heads[0] + "".join(texts[:cut]), heads[1] + "".join(texts[cut:]))
    assert attended(policy, tool, "claude-code", NOW.date()) == asks(policy, tool)
