"""Laws of policies, whatever they say: what is added only tightens, order plays no part, and an error blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.decide import decide
from gateway.core.model import Call, Decision, Effect, Facts, Reason, Requirement, SinkKind, Tool, Verdict
from gateway.core.policy import Policy, parse
from gateway.core.problems import Severity
from tests.core.cases import HEAD, KNOWN, call_of, facts_of, tool_of

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
PATTERNS = ("mail/send", "mail/*", "*/*", "files/*", "mail/s??d")
CONDITIONS = (
    "",
    "args.n > 3",
    "args.missing == 1",
    "has(args.n) && args.n > 3",
    'has(args.to) && args.to == "a@x"',
    "session.tainted || session.calls_10m > 5",
    'principal.roles.exists(r, r == "admin")',
    "flow.unproven.size() > 0",
    'tool.tier == "high" && client.registered',
    "size(sinks) > 1",
    "args.n",
)
LIMITS = (
    "",
    '[[budget]]\nid = "b"\ntools = "*/*"\nper = "day"\ncalls = 2\n',
    '[[budget]]\nid = "b"\ntools = "mail/*"\nper = "session"\nsum = "args.n"\nlimit = 4\nover = "block"\n',
    "[loop]\nsame_call = 2\n",
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.fixed_dictionaries(
    {}, optional={"n": st.integers(0, 9), "to": st.sampled_from(["a@x", "b@x"]), "x": JSON}
)
TOOLS = st.sampled_from(
    [
        tool_of(effect, sinks={"to": SinkKind.EMAIL})
        for effect in (Effect.READ, Effect.WRITE, Effect.EGRESS, Effect.DESTRUCTIVE)
    ]
)


@dataclass(frozen=True)
class Ruled:
    """One rule, as words; its id comes with its place."""

    tools: str
    decide: str
    when: str
    more: str = ""

    def text(self, id: str) -> str:
        when = f"when = '{self.when}'\n" if self.when else ""
        more = self.more if self.decide in ("ask", "ask-unless-proven") else ""
        return f'[[rule]]\nid = "{id}"\ntools = "{self.tools}"\ndecide = "{self.decide}"\n{when}{more}'


class Written(msgspec.Struct, frozen=True):
    """One file: its rules, a limit, and whether it only observes."""

    rules: tuple[Ruled, ...]
    limits: str = ""
    top: str = ""

    def text(self, name: str) -> str:
        """Its TOML; ids are of the file's own."""
        rules = "".join(rule.text(f"{name}.{place}") for place, rule in enumerate(self.rules))
        return HEAD + self.top + rules + self.limits.replace('id = "b"', f'id = "{name}.b"')


DECISIONS = ("allow", "ask", "ask-unless-proven", "block")
APPROVES = ("", 'approve = { proof = "signed" }\n', "approve = { approvers = 2 }\n", 'approve = { by = ["alice"] }\n')


def rules(decisions: Sequence[str] = DECISIONS) -> st.SearchStrategy[Ruled]:
    """Any rule of these decisions."""
    return st.builds(
        Ruled,
        st.sampled_from(PATTERNS),
        st.sampled_from(decisions),
        st.sampled_from(CONDITIONS),
        st.sampled_from(APPROVES),
    )


def files(decisions: Sequence[str] = DECISIONS) -> st.SearchStrategy[Written]:
    """Any file whose rules are of these decisions."""
    top = st.sampled_from(["", "", "observe_until = 2026-11-25\n", "review_by = 2026-11-01\n"])
    return st.builds(Written, st.lists(rules(decisions), max_size=4).map(tuple), st.sampled_from(LIMITS), top)


POLICIES = st.lists(files(), max_size=3).map(tuple)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Call, Facts]:
    """Any call, and what is known when it comes."""
    tool: Tool = draw(TOOLS)
    call = call_of(draw(ARGUMENTS))
    facts = facts_of(
        tool,
        call,
        tainted=draw(st.booleans()),
        calls_10m=draw(st.integers(0, 9)),
        repeated=draw(st.integers(0, 3)),
        spent={f"{name}.b": draw(st.integers(0, 5)) * 1_000_000 for name in "abcd"},
    )
    return call, facts


def policy_of(texts: Mapping[str, str]) -> Policy:
    """A policy of texts by name; dead rules are none of these laws' business."""
    policy, problems = parse(texts, KNOWN)
    wrong = [str(one) for one in problems if one.severity is Severity.ERROR and "never decides" not in one.message]
    assume(not [one for one in wrong if "would pass" in one])
    assert not wrong
    return policy


def named(written: Sequence[Written], names: str = "abcd") -> dict[str, str]:
    """The texts of files that keep their ids whatever they are called."""
    return {f"{name}.toml": file.text(own) for name, own, file in zip(names, "abcd", written, strict=False)}


def at_least(after: Decision, before: Decision) -> bool:
    """Whether a decision lets no more through than another one did."""
    if after.verdict is not before.verdict:
        return after.verdict > before.verdict
    if after.verdict is not Verdict.ASK:
        return True
    asked = after.requirement or Requirement()
    return (before.requirement or Requirement()).within(asked)


@FEW
@given(POLICIES, rules(("block",)), st.data(), situations())
def test_another_block_rule_never_loosens(
    written: tuple[Written, ...], block: Ruled, data: st.DataObject, situation: tuple[Call, Facts]
) -> None:
    assume(written)
    call, facts = situation
    place = data.draw(st.integers(0, len(written) - 1))
    file = written[place]
    at = data.draw(st.integers(0, len(file.rules)))
    more = replace(file, rules=(*file.rules[:at], block, *file.rules[at:]))
    before = decide(call, facts, policy_of(named(written)))
    after = decide(call, facts, policy_of(named((*written[:place], more, *written[place + 1 :]))))
    assert at_least(after, before), (before, after)


@FEW
@given(POLICIES, files(), situations())
def test_another_file_only_tightens_what_the_others_say(
    written: tuple[Written, ...], more: Written, situation: tuple[Call, Facts]
) -> None:
    call, facts = situation
    bare = [replace(file, limits="") for file in written]
    assume(decide(call, facts, policy_of(named(bare))).rules)  # else it may say what the tier's default did
    before = decide(call, facts, policy_of(named(written)))
    assert at_least(decide(call, facts, policy_of(named((*written, more)))), before)


@FEW
@given(POLICIES, files(("ask", "block")), situations())
def test_a_file_that_allows_nothing_only_tightens(
    written: tuple[Written, ...], more: Written, situation: tuple[Call, Facts]
) -> None:
    call, facts = situation
    before = decide(call, facts, policy_of(named(written)))
    strict = replace(more, top="")
    assert at_least(decide(call, facts, policy_of(named((*written, strict)))), before)


@FEW
@given(POLICIES, st.sampled_from(LIMITS[1:]), situations())
def test_a_budget_and_a_loop_only_tighten(
    written: tuple[Written, ...], limits: str, situation: tuple[Call, Facts]
) -> None:
    call, facts = situation
    before = decide(call, facts, policy_of(named(written)))
    after = decide(call, facts, policy_of(named((*written, Written((), limits)))))
    assert at_least(after, before)


@FEW
@given(POLICIES, st.permutations("abcd"), situations())
def test_the_order_of_files_plays_no_part(
    written: tuple[Written, ...], names: Sequence[str], situation: tuple[Call, Facts]
) -> None:
    call, facts = situation
    one = decide(call, facts, policy_of(named(written)))
    other = decide(call, facts, policy_of(named(written, "".join(names))))
    assert replace(one, places=(), policy_revision="", detail="") == replace(
        other, places=(), policy_revision="", detail=""
    )
    assert sorted(one.spends, key=str) == sorted(other.spends, key=str)


@st.composite
def conditions(draw: st.DrawFn) -> str:
    """Any condition over the arguments: some can't be evaluated on some calls."""
    parts = st.sampled_from(
        [
            "args.x == 1",
            "args.n > 2",
            "has(args.x)",
            "args.x > 2.5",
            "size(args.x) > 1",
            'args.x == "a"',
            "args.x.a",
            "args.x[0] == 1",
            "args.x.all(e, e > 0)",
            '"a" in args.x',
            "args.n / args.x > 1",
            "args.n + 9223372036854775807 > 0",
            'listed(args.x, "known")',
            "args.x.startsWith('a')",
            "int(args.x) > 1",
            "args.x",
        ]
    )
    text = draw(parts)
    for _ in range(draw(st.integers(0, 2))):
        text = f"({text}) {draw(st.sampled_from(['&&', '||', '==']))} ({draw(parts)})"
    return f"!({text})" if draw(st.booleans()) else text


@settings(FEW, max_examples=200)
@given(conditions(), st.fixed_dictionaries({}, optional={"x": JSON, "n": JSON}))
def test_a_condition_that_errs_blocks_and_any_other_says_yes_or_no(text: str, arguments: Mapping[str, Any]) -> None:
    call, tool = call_of(arguments), tool_of(Effect.READ)
    facts = facts_of(tool, call)
    body = '[lists]\nknown = ["a"]\n[[rule]]\nid = "r"\ntools = "*/*"\nwhen = \'\'\'' + text + "'''\ndecide = \"%s\"\n"
    allows, problems = parse({"p.toml": HEAD + body % "ask"}, KNOWN)
    assume(not problems)
    asked, blocked = (
        decide(call, facts, policy) for policy in (allows, parse({"p.toml": HEAD + body % "block"}, KNOWN)[0])
    )
    wrong = (Reason.RULE_ERROR, Reason.ARGUMENTS_TOO_LARGE)
    if asked.reason in wrong or blocked.reason in wrong:
        assert asked.verdict is blocked.verdict is Verdict.BLOCK
        assert asked.reason is blocked.reason
        return
    assert (asked.verdict is Verdict.ASK) is (blocked.verdict is Verdict.BLOCK)
    assert {asked.reason, blocked.reason} in ({Reason.RULE}, {Reason.TIER_DEFAULT})
