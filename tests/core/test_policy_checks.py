"""What is found at load: rules and budgets that can never act, and what doesn't fit the tools that are offered."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest

from gateway.core.against import against
from gateway.core.policy import parse
from gateway.core.policy.unread import half_read_of
from gateway.core.problems import Severity
from tests.core.cases import HEAD, KNOWN, labelled, policy_of, problems_of

BLOCK = '[[rule]]\nid = "block"\ntools = "mail/*"\ndecide = "block"\n'
BUDGET = '[[budget]]\nid = "b"\ntools = "mail/send"\nper = "day"\ncalls = 5\n'
SUM = '[[budget]]\nid = "s"\ntools = "mail/send"\nper = "day"\nsum = "args.amount"\nlimit = 5\n'


def warned(text: str) -> list[tuple[str, str, str]]:
    """The warnings of a policy of one file: table, key, and what they are about."""
    policy_of(text)  # nothing in it is an error
    problems = parse({"p.toml": HEAD + text}, KNOWN)[1]
    return [(problem.table, problem.key, problem.found) for problem in problems if problem.severity is Severity.WARNING]


@pytest.mark.parametrize(
    "text",
    [
        BUDGET.replace("calls = 5", ""),
        BUDGET + 'sum = "args.n"\nlimit = 3\n',
        BUDGET + "limit = 3\n",
        SUM.replace("limit = 5", ""),
        SUM.replace("= 5", "= 0"),
        SUM.replace("= 5", "= nan"),
        SUM.replace("= 5", "= true"),
        SUM.replace("= 5", '= "5"'),
        SUM.replace("= 5", "= 1000000000001"),
        SUM.replace("args.amount", "amount"),
        SUM.replace("args.amount", "args.a.b"),
        BUDGET.replace('per = "day"', 'per = "week"'),
        BUDGET.replace('per = "day"\n', ""),
        BUDGET + 'over = "allow"\n',
        BUDGET + BUDGET,
        "[loop]\n",
        '[loop]\nover = "block"\n',
        "[loop]\nsame_call = 1\n",
        '[[rule]]\nid = "r"\nmethods = "sampling/createMessage"\ndecide = "allow"\nrate = "1/hour"\n',
    ],
)
def test_a_limit_that_can_not_be_meant_is_an_error(text: str) -> None:
    assert problems_of(text)


def test_a_limit_is_read_and_nothing_is_wrong_with_it() -> None:
    assert problems_of(BUDGET + SUM + "[loop]\nsame_call = 5\nsame_refusal = 3\n") == []
    budgets = policy_of(BUDGET + SUM).files[0].budgets
    assert [budget.most for budget in budgets] == [5_000_000, 5_000_000]


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        (BLOCK + BUDGET, ["b"]),
        (BLOCK.replace('decide = "block"', 'decide = "block"\nclients = "cursor"') + BUDGET, []),
        (BLOCK.replace('decide = "block"', 'decide = "block"\nwhen = "args.x == 1"') + BUDGET, []),
        (BLOCK.replace("mail/*", "mail/read") + BUDGET, []),
        (BUDGET + BUDGET.replace('"b"', '"c"'), ["c"]),
        (BUDGET + BUDGET.replace('"b"', '"c"').replace("5", "9"), ["c"]),
        (BUDGET + BUDGET.replace('"b"', '"c"').replace("5", "9") + 'over = "block"\n', []),
        (BUDGET + 'over = "block"\n' + BUDGET.replace('"b"', '"c"').replace("mail/send", "mail/*"), []),
        (BUDGET + BUDGET.replace('"b"', '"c"').replace("day", "session"), []),
        (BUDGET + BUDGET.replace('"b"', '"c"').replace("mail/send", "*/*").replace("5", "3"), ["b"]),
        (BUDGET + SUM, []),
    ],
)
def test_a_budget_that_can_never_act_is_told(text: str, idle: Sequence[str]) -> None:
    assert [found for table, _, found in warned(text) if table == "budget"] == idle


def test_a_rule_is_dead_where_several_before_it_decide_all_of_it() -> None:
    rule = '[[rule]]\nid = "%s"\ntools = %s\ndecide = "ask"\n'
    both = rule % ("one", '"mail/a*"') + rule % ("two", '"mail/b*"')
    (found,) = problems_of(both + rule % ("dead", '["mail/ab", "mail/b?"]'))
    assert "`one`" in found
    assert "`two`" in found
    assert problems_of(both + rule % ("lives", '["mail/ab", "mail/c"]')) == []


# Seen from the tools that an upstream offers.

SEND = {"inputSchema": {"type": "object", "properties": {"to": {"type": "string"}, "amount": {"type": "number"}}}}
LABEL = '[[tool]]\nmatch = "mail/*"\neffect = "egress"\nsinks = { to = "email" }\n'


def seen(text: str, tools: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Table, key and what is found, of a policy of one file and the tools of `mail`."""
    problems = list(against(policy_of(text), "mail", tools))
    assert all(problem.severity is Severity.WARNING for problem in problems)
    return [(problem.table, problem.key, problem.found) for problem in problems]


def test_what_nobody_labelled_is_told_in_one_line() -> None:
    tools = dict.fromkeys(("a", "b", "c", "d", "send"), SEND)
    (only,) = against(policy_of(LABEL.replace("mail/*", "mail/send")), "mail", tools)
    assert "`a`, `b`, `c` and 1 more" in only.message
    assert [problem.found for problem in against(policy_of(), "mail", {"a": None})] == ["a"]
    assert seen(LABEL, tools) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[[rule]]\nid = "r"\ntools = "mail/delte_*"\ndecide = "block"\n', [("rule", "tools", "delte_*")]),
        ('[[rule]]\nid = "r"\ntools = "*/delte_*"\ndecide = "block"\n', []),  # another upstream may offer it
        ('[[rule]]\nid = "r"\nresources = "mail/delte_*"\ndecide = "block"\n', []),
        ('[[rule]]\nid = "r"\ntools = "files/*"\ndecide = "block"\n', []),
        (BUDGET.replace("send", "snd*"), [("budget", "tools", "snd*")]),
        (LABEL.replace("mail/*", "mail/x*"), [("", "tool", "send"), ("tool", "match", "x*")]),
        (LABEL.replace("to =", "too ="), [("tool", "sinks", "too")]),
        (LABEL + 'payload = ["body"]\ninert = ["amount"]\n', [("tool", "payload", "body")]),
        (LABEL + 'inert = ["mood"]\n', [("tool", "inert", "mood")]),
        (
            '[[rule]]\nid = "r"\ntools = "mail/send"\ndecide = "ask"\nset = { to = "a", too = "b" }\n',
            [("rule", "set", "too")],
        ),
        ('[[rule]]\nid = "r"\ntools = "mail/send"\ndecide = "ask"\ndrop = ["bcc"]\n', [("rule", "drop", "bcc")]),
        (SUM, []),
        (SUM.replace("args.amount", "args.amont"), [("budget", "sum", "args.amont")]),
        (SUM.replace("args.amount", "args.to"), [("budget", "sum", "args.to")]),
    ],
)
def test_what_does_not_fit_the_tools_is_told(text: str, found: Sequence[tuple[str, str, str]]) -> None:
    whole = text if "[[tool]]" in text else LABEL + text
    assert seen(whole, {"send": SEND}) == list(found)


def test_the_nearest_right_name_is_told() -> None:
    found = against(policy_of(LABEL.replace("to =", "too =") + SUM.replace("amount", "amont")), "mail", {"send": SEND})
    assert [problem.nearest for problem in found] == ["to", "args.amount"]


@pytest.mark.parametrize(
    "definition",
    [None, {}, {"inputSchema": 1}, {"inputSchema": {"additionalProperties": True}}, {"inputSchema": {"properties": 1}}],
)
def test_nothing_is_said_of_arguments_that_are_not_known(definition: object) -> None:
    assert (
        seen(LABEL + SUM + '[[rule]]\nid = "r"\ntools = "mail/*"\ndecide = "ask"\ndrop = ["x"]\n', {"send": definition})
        == []
    )


@pytest.mark.parametrize(
    ("kind", "counts"), [("array", True), (["string", "integer"], True), (None, True), ("string", False)]
)
def test_a_budget_sums_numbers_and_counts_things(kind: object, counts: bool) -> None:
    tools = {"send": {"inputSchema": {"properties": {"to": {}, "amount": {"type": kind} if kind else 1}}}}
    assert seen(LABEL + SUM, tools) == ([] if counts else [("budget", "sum", "args.amount")])


@pytest.mark.parametrize(
    ("labels", "more", "left"),
    [
        ("", "when = 'args.to == \"a\"'", "amount"),
        (LABEL, "when = 'args.to == \"a\"'", "amount"),
        ("", "when = 'size(args) == 1'", "amount"),
        (LABEL + 'inert = ["amount"]\n', "when = 'args.to == \"a\"'", ""),
        (LABEL.replace("egress", "read"), "when = 'args.to == \"a\"'", ""),
        (LABEL, "when = 'args.to == \"a\" && args.amount < 3'", ""),
        (LABEL, "when = 'sinks.all(s, s != \"a\")'", ""),
        (LABEL, "when = 'session.tainted'", ""),
        (LABEL, "", ""),
    ],
)
def test_what_lets_calls_pass_reads_what_nobody_declared(labels: str, more: str, left: str) -> None:
    for decide, finds in (("allow", True), ("ask-unless-proven", True), ("ask", False), ("block", False)):
        rule = f'[[rule]]\nid = "r"\ntools = "mail/se*"\ndecide = "{decide}"\n{more}\n'
        policy = policy_of(labels + rule)
        found = list(half_read_of(policy.files, labelled(policy, "send"), ["amount", "to"]))
        assert [f"`mail/send` and not `{left}`" in problem.message for problem in found] == [True] * (
            finds and left != ""
        )
        assert list(half_read_of(policy.files, labelled(policy, "other"), ["amount", "to"])) == []


def test_an_observation_may_last_seven_days() -> None:
    for day, wrong in ((29, False), (30, True)):
        problems = parse({"p.toml": HEAD + f"observe_until = 2026-11-{day}\n"}, today=date(2026, 11, 22))[1]
        assert bool(problems) is wrong
