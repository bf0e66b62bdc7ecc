"""The law: of what only tightens, no call gets more through than before, and no approval has less to bring."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.decide import decide
from gateway.core.loosening import only_tightens
from gateway.core.model import Call, Decision, Obligation, ObligationKind, Requirement, Verdict
from gateway.core.model.decisions import NOBODY
from gateway.core.policy import Policy, parse
from gateway.core.problems import Severity
from tests.core.cases import KNOWN, NOW, call_of, facts_of, labelled, policy_of


class Draft(msgspec.Struct, frozen=True):
    """A policy as parts, that can be changed part by part."""

    lists: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()  # tool, effect and more
    rules: tuple[tuple[tuple[str, str], ...], ...] = ()  # file, id, tools, decide, when, clients, approve, rate, more
    review: str = ""

    def policy(self) -> Policy | None:
        """The policy, if it may be used."""
        values = ", ".join(f'"{value}"' for value in self.lists)
        head = f'owner = "o"\nupstream = "mail"\n{self.review}[lists]\nL = [{values}]\n'
        labels = "".join(f'[[tool]]\nmatch = "{tool}"\neffect = {said}\n' for tool, said in self.labels)
        texts = {"a.toml": head + labels, "b.toml": 'owner = "o"\nupstream = "mail"\n'}
        for made in self.rules:
            parts = dict(made)
            texts[parts.pop("file")] += "[[rule]]\n" + "".join(
                f"{key} = {value}\n" for key, value in parts.items() if value
            )
        policy, problems = parse(texts, KNOWN)
        return None if any(problem.severity is Severity.ERROR for problem in problems) else policy


CHOICES: Mapping[str, Sequence[str]] = {
    "tools": ['"send"', '"look"', '"*"', '["send", "look"]'],
    "decide": ['"allow"', '"ask"', '"block"', '"ask-unless-proven"'],
    "when": [
        "",
        "",
        "'args.n > 1'",
        "'size(sinks) > 0 && sinks.all(s, listed(s, \"L\"))'",
        "'sinks.exists(s, listed(s, \"L\"))'",
        "'sinks.exists(s, !listed(s, \"L\"))'",
        "'tool.tier == \"read\"'",
        "'!session.tainted'",
        "'listed(args.to, \"L\")'",
    ],
    "clients": ["", "", '"cursor"', '["*"]', '["cursor", "claude-code"]'],
    "approve": [
        *("", "", '{ by = "alice" }', "{ approvers = 2 }"),
        *('{ proof = "signed", timeout = "1m" }', '{ by = ["alice", "role:admin"] }'),
    ],
    "rate": ["", "", '"1/hour"', '"3/hour"', '"3/day"'],
    "set": ["", "", "", "{ x = 1 }"],
}
VALUES = ["a@x.example", "b@x.example", "*@y.example"]
EFFECTS = [
    '"read"',
    '"write"',
    '"egress"',
    '"destructive"',
    '"egress"\nsinks = { to = "email" }',
    '"write"\ninert = ["n"]',
]
OBSERVED = "observe_until = 2026-11-25\n"
REVIEWS = ["", "review_by = 2026-11-01\n", "review_by = 2026-12-24\n", OBSERVED, f"review_by = 2026-11-01\n{OBSERVED}"]


RULES = {"file": ["a.toml", "b.toml"], **CHOICES}
COMBINATIONS = math.prod(map(len, RULES.values()))


def picked(number: int, choices: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """One of the combinations: to draw a number takes a fraction of the time that a draw for each choice does."""
    found = {}
    for name, values in choices.items():
        number, place = divmod(number, len(values))
        found[name] = values[place]
    return found


@st.composite
def rules(draw: st.DrawFn, name: int | None = None) -> tuple[tuple[str, str], ...]:
    parts = picked(draw(st.integers(0, COMBINATIONS - 1)), RULES)
    if parts["decide"] == '"block"':
        parts |= {"approve": "", "set": ""}
    if parts["decide"] != '"allow"':
        parts["rate"] = ""
    file = parts.pop("file")
    return (("file", file), ("id", f'"r{draw(st.integers(0, 99)) if name is None else name}"'), *parts.items())


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    made = [draw(rules(number)) for number in range(draw(st.integers(0, 4)))]
    labels = [(tool, draw(st.sampled_from(EFFECTS))) for tool in ("send", "look") if draw(st.booleans())]
    lists = draw(st.lists(st.sampled_from(VALUES), unique=True))
    return Draft(tuple(lists), tuple(labels), tuple(made), draw(st.sampled_from(REVIEWS)))


@st.composite
def changed(draw: st.DrawFn, before: Draft) -> Draft:
    """A policy that differs in a few parts."""
    after = before
    for _ in range(draw(st.integers(1, 3))):
        what = draw(st.sampled_from(["new", "new", "gone", "part", "part", "part", "order", "list", "label", "review"]))
        if what == "new":
            place = draw(st.integers(0, len(after.rules)))
            after = replace(after, rules=(*after.rules[:place], draw(rules()), *after.rules[place:]))
        elif what == "list":
            after = replace(after, lists=tuple(draw(st.lists(st.sampled_from(VALUES), unique=True))))
        elif what == "review":
            after = replace(after, review=draw(st.sampled_from(REVIEWS)))
        elif what == "label" and after.labels:
            place = draw(st.integers(0, len(after.labels) - 1))
            label = (after.labels[place][0], draw(st.sampled_from(EFFECTS)))
            after = replace(after, labels=(*after.labels[:place], label, *after.labels[place + 1 :]))
        elif what == "order":
            after = replace(after, rules=tuple(draw(st.permutations(after.rules))))
        elif after.rules:
            place = draw(st.integers(0, len(after.rules) - 1))
            one = dict(after.rules[place])
            key = draw(st.sampled_from(list(CHOICES)))
            one[key] = draw(st.sampled_from(CHOICES[key]))
            middle = () if what == "gone" else (tuple(one.items()),)
            after = replace(after, rules=(*after.rules[:place], *middle, *after.rules[place + 1 :]))
    return after


ABSENT = object()
COUNTED = ("r0", "r1", "r2", "r3")  # rules with a rate, and how often each was used
SITUATIONS: Mapping[str, Sequence[Any]] = {
    "to": [ABSENT, "a@x.example", "b@x.example", "c@y.example", "none", 7],
    "n": [ABSENT, 1, 2, "two", None],
    "name": ["send", "look"],
    "client": ["claude-code", "cursor", "unknown"],
    "hints": [None, {"destructiveHint": True}, {"readOnlyHint": False}],
    "tainted": [False, True],
    **dict.fromkeys(COUNTED, range(5)),
}
TRIED = 6  # situations for each pair of policies


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_what_only_tightens_lets_no_call_more_through(data: st.DataObject) -> None:
    draft = data.draw(drafts())
    before = draft.policy()
    assume(before is not None)
    after = data.draw(changed(draft)).policy()
    assume(after is not None)
    assert before is not None
    assert after is not None
    if not only_tightens(before, after):
        before, after = after, before  # a change that loosens is one that tightens, undone
        assume(only_tightens(before, after))
    for number in data.draw(
        st.lists(st.integers(0, math.prod(map(len, SITUATIONS.values())) - 1), min_size=TRIED, max_size=TRIED)
    ):
        made = picked(number, SITUATIONS)
        arguments = {key: made[key] for key in ("to", "n") if made[key] is not ABSENT}
        more = {"tainted": made["tainted"], "used": {rule: made[rule] for rule in COUNTED}}
        call = call_of(arguments, made["client"])
        was, now = (judged(policy, made["name"], made["hints"], call, more) for policy in (before, after))
        assert not looser(was, now), (was, now)


def judged(policy: Policy, name: str, hints: Mapping[str, Any] | None, call: Call, more: Mapping[str, Any]) -> Decision:
    """What a policy decides, with its own labels of the tool."""
    return decide(call, facts_of(labelled(policy, name, annotations=hints), call, **more), policy)


def looser(was: Decision, now: Decision) -> bool:
    """Whether a decision lets more through than another one, or leaves a duty out."""
    if now.verdict is Verdict.BLOCK:
        return False
    if now.verdict < was.verdict or not duties(was) <= duties(now):
        return True
    if was.requirement is None or now.requirement is None:
        return False
    return not (was.requirement.within(now.requirement) or NOBODY in now.requirement.by) or longer(
        was.requirement, now.requirement
    )


def longer(was: Requirement, now: Requirement) -> bool:
    return now.timeout > was.timeout


def duties(decision: Decision) -> frozenset[Obligation]:
    """The duties, where withholding an output with a secret takes the place of redacting it."""
    found = decision.obligations
    if Obligation(ObligationKind.BLOCK_SECRETS) in found:
        found |= {Obligation(ObligationKind.REDACT)}
    return found


def test_the_looseness_of_decisions_is_seen() -> None:
    asked = Decision(
        Verdict.ASK, reason=decide(call_of(), facts_of(None), policy_of("")).reason, requirement=Requirement()
    )
    assert looser(asked, replace(asked, verdict=Verdict.ALLOW, requirement=None))
    assert looser(asked, replace(asked, requirement=Requirement(timeout=timedelta(hours=1))))
    assert looser(replace(asked, requirement=Requirement(approvers=2)), asked)
    assert not looser(asked, asked)
    assert NOW.tzinfo is not None
