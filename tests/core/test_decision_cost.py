"""What a decision costs does not grow with the policy: only with the rules that speak of the tool that is called."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from gateway.core.decide import counted, decide
from gateway.core.model import Call, Effect, Facts, Tool
from gateway.core.policy import Policy
from gateway.sessions import Sessions
from tests.core.cases import NOW, call_of, facts_of, policy_of, tool_of

SEND = tool_of(Effect.EGRESS)
CALL = call_of({"to": "bob@corp.example", "n": 3})
MINE = """\
[[rule]]
id = "mine.bulk"
tools = "mail/send"
when = "args.n > 10"
decide = "block"
[[rule]]
id = "mine.few"
tools = "mail/send"
when = "args.n > 1"
decide = "allow"
rate = "30/hour"
[[budget]]
id = "mine.daily"
tools = "mail/send"
per = "day"
calls = 30
[loop]
same_call = 9
"""


def policy_with(count: int) -> Policy:
    """A policy of so many rules, in several files; those that speak of `mail/send` are always the same."""
    others = "".join(
        f'[[rule]]\nid = "r{number}"\ntools = "mail/tool_{number}_*"\nwhen = "args.n > {number}"\ndecide = "allow"\n'
        f'rate = "9/hour"\n[[budget]]\nid = "b{number}"\ntools = "mail/tool_{number}_*"\nper = "session"\ncalls = 5\n'
        for number in range(count - 2)
    )
    return policy_of(others, MINE)


def work(run: Callable[[], Any]) -> int:
    """How many functions are called, of ours and of the engine, while something runs."""
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


def one_decision(policy: Policy, sessions: Sessions, call: Call = CALL, tool: Tool = SEND) -> None:
    """All that depends on the policy: what is counted, the decision, and counting it."""
    counts = sessions.counted(call, tool, counted(call, tool, policy), NOW)
    facts = facts_of(tool, call, tainted=False, **counts._asdict())
    decision = decide(call, facts, policy)
    assert decision.rules == ("mine.few",)
    sessions.saw(call, tool, decision)


def test_a_decision_among_a_thousand_rules_is_as_much_work_as_among_ten() -> None:
    costs: dict[int, int] = {}
    for count in (10, 1_000):
        policy, sessions = policy_with(count), Sessions()
        assert sum(len(file.rules) for file in policy.files) == count
        sessions.follow(policy)
        one_decision(policy, sessions)  # the first one works out what speaks of the tool
        costs[count] = work(lambda policy=policy, sessions=sessions: one_decision(policy, sessions))  # type: ignore[misc]  # bound now
    assert costs[1_000] <= 1.2 * costs[10]
    assert costs[10] > 20  # it did count something


def test_what_a_condition_is_run_for_is_only_what_speaks_of_the_tool() -> None:
    policy = policy_with(50)
    facts: Facts = facts_of(SEND, CALL, tainted=False)
    ran = [rule.id for file in policy.files for rule in file.rules if rule.speaks_of(SEND.ref)]
    assert ran == ["mine.bulk", "mine.few"]
    (plan,) = (decide(CALL, facts, policy), policy.plans)[1].values()
    assert [rule.id for file in plan.files for rule in (*file.blocks, *file.others)] == ran
    assert set(plan.limits.rates) == {"mine.few"}
    assert [budget.id for budget in plan.limits.budgets] == ["mine.daily"]
