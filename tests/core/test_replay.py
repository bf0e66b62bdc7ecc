"""Deciding again on what a record holds: what it tells, what it doesn't, and that the rest is never guessed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.grounds import LARGE, SHAPE, asked_facts, told_facts
from gateway.core.model import Effect, Finding, Kind, Record, SinkKind, Surface, ToolRef, Traced, Verdict
from gateway.core.replay import Past, Replayed, Replaying, Said, Untold, said_then, tool_then
from gateway.core.risk import classify, labels_for, surface_labels
from gateway.core.simulate import Again, Change, Report, Simulation, report_items, untold_words
from tests.core.cases import NOW, call_of, facts_of, policy_of, tool_of

POLICY = """\
upstream = "mail"
[[tool]]
match = "get"
effect = "read"
[[tool]]
match = "note"
effect = "write"
sinks = { path = "path" }
[[rule]]
id = "mail.note"
tools = "note"
decide = "allow"
[[rule]]
id = "mail.large"
tools = "get"
when = "session.calls_10m > 100"
decide = "block"
"""
FACTS: Mapping[str, Any] = {
    "shape": SHAPE,
    "upstream": "ready",
    "tainted": True,
    "private": True,
    "calls_10m": 0,
    "consequential": 0,
    "nodes": 1,
}


def record(number: int = 1, tool: str = "note", **more: Any) -> Record:
    """The record that holds the facts of a call."""
    given: dict[str, Any] = {
        "kind": Kind.INTENT,
        "principal": "os:ann",
        "client": "cursor",
        "upstream": "mail",
        "tool": tool,
        "verdict": "allow",
        "reason": "rule",
        "rules": ("mail.note",),
        "arguments": {"path": "/tmp/a"},
        "facts": FACTS,
    }
    return Record(id=f"d_{number}", at=NOW + timedelta(seconds=number), **{**given, **more})


def again(one: Record, policy: str = POLICY, asked: Record | None = None) -> Replayed | Untold:
    return Replaying(policy_of(policy), {}).again(Past(1, one, asked))


def verdict(one: Record, policy: str = POLICY) -> Verdict:
    made = again(one, policy)
    assert isinstance(made, Replayed)
    return made.decision.verdict


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (record(facts={}), Untold.NO_FACTS),
        (record(facts={**FACTS, "shape": 1}), Untold.NO_FACTS),
        (record(tool="[REDACTED:name:0123]"), Untold.NAME_REDACTED),
        (record(facts={**FACTS, "grants": ["g_1"]}), Untold.GRANT_FORGOTTEN),
        (record(tool="get", arguments=None, facts={**FACTS, "long": True}), Untold.ARGUMENTS_NOT_KEPT),
    ],
    ids=["no facts", "an earlier version", "a name with a secret", "a grant", "numbers that may be too long"],
)
def test_what_is_not_told_is_not_guessed(one: Record, why: Untold) -> None:
    assert again(one) is why
    assert why.words


def test_arguments_that_nothing_reads_need_not_be_kept() -> None:
    assert verdict(record(arguments=None)) is Verdict.ALLOW
    assert verdict(record(tool="get", arguments=None)) is Verdict.ALLOW
    found = (Finding("token", "arguments.path", "0" * 16),)
    assert verdict(record(findings=found)) is Verdict.ALLOW


def test_arguments_that_are_too_large_are_so_without_being_kept() -> None:
    large = record(tool="get", arguments=None, omitted={"arguments": 2 * 1024 * 1024})
    made = again(large)
    assert isinstance(made, Replayed)
    assert made.decision.reason.value == "arguments-too-large"
    told = again(record(tool="get", arguments=None, facts={**FACTS, "bytes": 2 * 1024 * 1024}))
    assert isinstance(told, Replayed)
    assert told.decision.reason.value == "arguments-too-large"


def test_a_call_that_waited_was_decided_when_its_question_was_put() -> None:
    policy = (
        POLICY + '[[rule]]\nid = "mail.late"\ntools = "get"\n'
        'when = \'now > timestamp("2026-11-22T13:00:00Z")\'\ndecide = "block"\n'
    )
    asked = record(1, kind=Kind.APPROVAL, approval="a_1")
    late = record(8000, "get", kind=Kind.OUTCOME, verdict="ask", approval="a_1")
    early, later = again(late, policy, asked), again(replace_verdict(late), policy, asked)
    assert isinstance(early, Replayed)
    assert isinstance(later, Replayed)
    assert (early.decision.verdict, later.decision.verdict) == (Verdict.ALLOW, Verdict.BLOCK)


def replace_verdict(one: Record) -> Record:
    """The record of a call that was allowed."""
    return record(8000, "get", kind=Kind.INTENT, approval=one.approval)


def test_what_was_decided_then_is_told_before_any_answer() -> None:
    asked = record(kind=Kind.APPROVAL, reason="unproven")
    approved = record(reason="approved")
    assert said_then(Past(1, approved, asked)) == Said(Verdict.ASK, "unproven", ("mail.note",))
    assert said_then(Past(1, approved)) == Said(Verdict.ASK, "", ("mail.note",))
    edited = record(reason="approved", extra={"origin": "person"})
    assert said_then(Past(1, edited, asked)).reason == ""
    void = record(reason="approval-void", verdict="block")
    assert said_then(Past(1, void, asked)).verdict is Verdict.ASK
    denied = record(reason="approval-denied", verdict="ask", facts={**FACTS, "decided": "rule"})
    assert said_then(Past(1, denied, asked)) == Said(Verdict.ASK, "rule", ("mail.note",))
    assert said_then(Past(1, record())) == Said(Verdict.ALLOW, "rule", ("mail.note",))


def test_a_tool_is_labelled_by_the_policy_that_is_tried_and_raised_by_what_its_upstream_said() -> None:
    policy = policy_of(POLICY)
    assert tool_then(record(upstream=""), policy) is None
    plain = tool_then(record(tool="get", definition="d1", acts_as="human ann"), policy)
    assert plain is not None
    assert (plain.effect, plain.digest, plain.acts_as) == (Effect.READ, "d1", "human ann")
    for hint, effect in (("writes", Effect.WRITE), ("destructive", Effect.DESTRUCTIVE)):
        raised = tool_then(record(tool="get", facts={**FACTS, "hints": [hint]}), policy)
        assert raised is not None
        assert raised.effect is effect


@pytest.mark.parametrize(
    ("method", "surface"),
    [
        ("resources/read", Surface.RESOURCES),
        ("resources/subscribe", Surface.RESOURCES),
        ("prompts/get", Surface.PROMPTS),
        ("completion/complete", Surface.METHODS),
    ],
)
def test_what_is_no_tool_is_what_it_was(method: str, surface: Surface) -> None:
    policy = policy_of(POLICY)
    name = "completion/complete" if surface is Surface.METHODS else "x://y"
    for listed in (True, False):
        labels = surface_labels(policy, ToolRef("mail", name), surface, listed=listed)
        facts = {**FACTS, **({"fetches": True} if labels.fetches else {})}
        found = tool_then(record(tool=name, method=method, facts=facts), policy)
        assert found is not None
        assert (found.surface, found.labels) == (surface, labels)


def test_what_is_remembered_of_tools_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.core.replay.MOST_TOOLS", 1)
    replaying = Replaying(policy_of(POLICY), {})
    for tool in ("note", "get", "note"):
        made = replaying.again(Past(1, record(tool=tool)))
        assert isinstance(made, Replayed)
        assert made.tool is not None
        assert made.tool.ref.name == tool


def test_a_touched_key_makes_no_other_decision_than_there_was() -> None:
    policy = (
        'upstream = "mail"\n[[tool]]\nmatch = "pay"\neffect = "money"\nsinks = { to = "account" }\n'
        '[[rule]]\nid = "pay"\ntools = "pay"\ndecide = "ask-unless-proven"\n'
    )
    facts = {**FACTS, "values": [["to", "prompt", "account"]]}
    levels = {}
    for level in (0, 1, 2):
        made = again(record(tool="pay", arguments={"to": "DE021203"}, facts=facts, isolation=level), policy)
        assert isinstance(made, Replayed)
        levels[level] = made.decision.verdict
    assert levels == {0: Verdict.ASK, 1: Verdict.ASK, 2: Verdict.ALLOW}


def test_facts_say_what_the_rest_of_a_record_does_not() -> None:
    call = call_of({"n": 2**70, "text": "x" * LARGE})
    said = told_facts(facts_of(tool_of()), call)
    assert (said["long"], said["bytes"]) == (True, len(canonical(call.arguments)))
    plain = told_facts(facts_of(tool_of()), call_of())
    assert not {"long", "bytes", "roles", "hints", "unnamed", "fetches"} & plain.keys()
    assert told_facts(facts_of(None))["shape"] == SHAPE
    seat = replace(call, context=replace(call.context, seat=call.context.session))
    raised = told_facts(facts_of(tool_of(), raised="new-tool", begun=True), seat)
    assert (raised["unnamed"], raised["raised"], raised["begun"]) == (True, "new-tool", True)
    assert told_facts(facts_of(tool_of(fetches=True), held="new"))["fetches"]
    traced = facts_of(tool_of(), values=(Traced("to", "to.a key", SinkKind.TEXT, "x"),))
    assert told_facts(traced)["values"] == [["to.a key", "", "text"]]
    assert "values" not in told_facts(traced, redacted=True)
    assert asked_facts(None, call, redacted=True) == {}
    asked = asked_facts(facts_of(tool_of()), call, redacted=True)
    assert (asked["isolation"], asked["redacted"]) == (0, True)
    policy = policy_of(POLICY)
    ref = ToolRef("mail", "get")
    for hints, told in (
        ({"readOnlyHint": False, "destructiveHint": True}, ["destructive", "writes"]),
        ({"readOnlyHint": False}, ["writes"]),
        ({"readOnlyHint": True, "destructiveHint": True}, None),
    ):
        tool = classify({"annotations": hints}, ref, "get", "d", labels_for(policy, ref), None)
        assert told_facts(facts_of(tool)).get("hints") == told


def simulated(*records: Record, policy: str = POLICY, since: float | None = None) -> Report:
    begun = None if since is None else NOW + timedelta(seconds=since)
    simulation = Simulation(policy_of(policy), {}, begun)
    for seq, one in enumerate(records, 1):
        simulation.take(seq, one)
    return simulation.report()


def test_a_call_counts_once_however_many_records_it_has() -> None:
    records = [
        record(1),
        record(1, kind=Kind.OUTCOME, facts={}),
        record(2),
        record(2, kind=Kind.OUTCOME),  # its intent was written, and it broke off
        record(3, kind=Kind.OUTCOME, verdict="block", reason="rule"),
        record(4, kind=Kind.OUTCOME, verdict="", facts={}),
        record(5, kind=Kind.OUTCOME, facts={}),
        record(6, kind=Kind.PROMPT),
    ]
    report = simulated(*records)
    assert (report.calls, report.same, dict(report.untold)) == (4, 2, {"no-facts": 1})
    assert untold_words(report.untold) == ["1: the record holds no facts of it"]


def test_a_question_that_no_call_came_back_for_counts_as_one_and_another_ones_does_not() -> None:
    def asked(number: int, **more: Any) -> Record:
        given = {"kind": Kind.APPROVAL, "approval": f"a_{number}", "extra": {"state": "waiting"}, **more}
        return record(number, **given)

    records = [
        asked(1),
        asked(2),
        asked(3, method="release"),
        asked(4, extra={"state": "withdrawn", "followed_by": "again"}),
        asked(6),
        asked(5, extra={"state": "waiting", "follows": "a_6"}),
        record(9, approval="a_2", reason="approved"),
        record(10, kind=Kind.QUESTION, facts={}),
    ]
    report = simulated(*records)
    assert (report.waited, report.questions, report.calls) == (2, 1, 3)  # of a_1, a_5, and the call of a_2
    assert (report.prompts_then, report.prompts_now) == (3, 0)
    assert simulated(*records, since=5).waited == 1
    assert simulated(asked(1, facts={})).untold == {"no-facts": 1}
    hidden = asked(1, facts={**FACTS, "redacted": True, "isolation": 0})
    reads = POLICY.replace('id = "mail.note"', 'id = "mail.note"\nwhen = "size(args.path) > 0"')
    assert simulated(hidden, policy=reads).untold == {"arguments-redacted": 1}


def test_the_smallest_example_stands_for_all_of_its_kind() -> None:
    stricter = POLICY.replace(
        'id = "mail.note"\ntools = "note"\ndecide = "allow"', 'id = "mail.note"\ntools = "note"\ndecide = "block"'
    )
    records = [
        record(1, arguments={"path": "/tmp/long/name"}),
        record(2, arguments={"path": "/a"}),
        record(3, arguments={"path": "/b"}),
        record(4, arguments=None),
        record(5, arguments=None, omitted={"arguments": 1 << 20}),
    ]
    report = simulated(*records, policy=stricter)
    (group,) = report.groups
    assert (group.change, group.count, group.example.past.record.id) == (Change.BLOCKED, 5, "d_2")
    (whole, change) = report_items(report)
    assert (whole["newly-blocked"], whole["newly-asked"], whole["days"]) == (5, 0, 1.0)
    assert change["example"]["arguments"] == {"path": "/a"}
    assert (change["rules"], change["rule_at"], change["count"]) == (["mail.note"], "policies/p0.toml:10", 5)


def test_an_example_whose_arguments_are_long_or_not_kept_is_told_without_them() -> None:
    stricter = POLICY.replace('decide = "allow"', 'decide = "ask"')
    for one in (record(arguments=None), record(arguments={"path": "x" * 3000})):
        report = simulated(one, policy=stricter)
        assert report_items(report)[1]["example"]["arguments"] is None


def test_the_same_verdict_by_other_rules_is_counted_and_is_no_change() -> None:
    report = simulated(record(rules=("mail.before",)))
    assert (report.otherwise, report.groups) == (1, ())


def test_a_week_follows_from_the_time_between_first_and_last_call() -> None:
    stricter = POLICY.replace('decide = "allow"', 'decide = "ask"')
    report = simulated(record(0), record(14 * 86_400), policy=stricter)
    assert report.prompts_a_week == pytest.approx(1.0)
    assert simulated(record(0), policy=stricter).prompts_a_week == pytest.approx(7.0)
    assert simulated().prompts_a_week == 0


def test_an_unknown_tool_takes_nothing_of_any_limit() -> None:
    gone = record(1, upstream="", tool="nothing", kind=Kind.OUTCOME, verdict="block", reason="unknown-tool", rules=())
    assert simulated(gone).same == 1


def test_a_call_that_can_not_be_told_counts_for_rates_as_it_did() -> None:
    rated = POLICY.replace('decide = "allow"', 'decide = "allow"\nrate = "1/hour"', 1)
    report = simulated(record(1, facts={**FACTS, "shape": 1}), record(2), policy=rated)
    (group,) = report.groups
    assert (group.change, group.reason) == (Change.ASKED, "rate-exceeded")


def test_what_came_before_the_time_asked_for_is_in_no_figure() -> None:
    simulation = Simulation(policy_of(POLICY), {}, NOW + timedelta(seconds=2))
    made = [simulation.take(seq, record(seq)) for seq in (1, 2, 3)]
    assert all(isinstance(one, Again) for one in made)
    assert simulation.report().calls == 2
