"""Figures of approvals, and what would spare people the questions of a rule that they wave through."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.approval import Chosen, Voter, draft
from gateway.core.canon import canonical, keyed_digest
from gateway.core.decide import decide
from gateway.core.figures import WAVED_ASKED, figures, questions, tally_item
from gateway.core.grants import bound, give
from gateway.core.kept import COLUMNS, approval_of, card_bytes
from gateway.core.model import (
    AGAIN,
    Approval,
    ApprovalState,
    Choice,
    Decision,
    Effect,
    Facts,
    Labels,
    Proof,
    Reason,
    Requirement,
    Shown,
    SinkKind,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.policy import parse
from gateway.core.record import stamp
from gateway.core.spare import Proposal, literal, proposal_item, proposals
from tests.fakes import KEY, NOON, a_call, a_tool

YES, NO = ApprovalState.USED, ApprovalState.DENIED
TOOL = replace(a_tool(), labels=Labels(Effect.WRITE, {"path": SinkKind.PATH, "to": SinkKind.EMAIL}, payload=("text",)))
ASKS = Decision(Verdict.ASK, Reason.RULE, ("files.otherwise",), requirement=Requirement())


def asked(
    number: int = 0,
    state: ApprovalState = YES,
    after: float | None = 1.0,
    tool: Tool = TOOL,
    decision: Decision = ASKS,
    shown: Shown | None = None,
    **more: Any,
) -> Approval:
    """A question at minute `number`, that was decided `after` so many seconds (None: nobody did)."""
    arguments = more.pop("arguments", {"path": "a.txt", "to": "a@x.example", "text": f"text {number}"})
    at = NOON + timedelta(minutes=number)
    call = a_call(number, **arguments)
    row = draft(call, tool, decision, arguments, at, shown or Shown(), bound(tool, arguments, KEY, tainted=True))
    decided = {"decided_by": "os:bob", "decided_at": at + timedelta(seconds=after or 0), "proof": Proof.LOCAL}
    return replace(row, id=f"a_{number:010d}", state=state, **{**(decided if after is not None else {}), **more})


def many(count: int = WAVED_ASKED, begin: int = 0, **more: Any) -> list[Approval]:
    return [asked(begin + number, **more) for number in range(count)]


def of(rows: list[Approval], rule: str = "files.otherwise") -> dict[str, Proposal]:
    """What is proposed for a rule, by kind."""
    return {made.kind: made for made in proposals(rule, questions(rows))}


# --- figures --------------------------------------------------------------------------------------------------------


def test_no_question_has_no_shares() -> None:
    found = figures([])
    assert (found.whole.asked, found.per_hour, found.busiest_hour, found.rules, found.people) == (0, 0.0, 0, (), ())
    assert (found.whole.share_approved, found.whole.share_too_fast, found.whole.median_seconds) == (None, None, None)


def test_each_question_is_counted_by_what_became_of_it() -> None:
    rows = [
        asked(0, YES, 1.0),
        asked(1, ApprovalState.APPROVED, 3.0),
        asked(2, NO, 8.0),
        asked(3, ApprovalState.EXPIRED, None),
        asked(4, ApprovalState.EXPIRED, 4.0),  # approved, and nobody came for it
        asked(5, ApprovalState.WAITING, None),
    ]
    whole = figures(rows).whole
    assert (whole.asked, whole.approved, whole.denied, whole.expired, whole.edited) == (6, 3, 1, 1, 0)
    assert (whole.share_approved, whole.share_too_fast, whole.median_seconds) == (0.75, 1 / 3, 3.5)


def test_an_edit_is_one_question_from_the_first_card_to_the_decision() -> None:
    first = asked(0, ApprovalState.WITHDRAWN, None, followed_by="a_0000000001")
    second = asked(1, YES, 5.0, follows=first.id)
    (one,) = questions([second, first])
    assert (one.edited, one.approved, one.seconds) == (True, True, 65.0)
    assert figures([first, second]).whole.edited == 1


def test_a_question_that_was_decided_anew_is_none() -> None:
    assert questions([asked(0, ApprovalState.WITHDRAWN, None, followed_by=AGAIN)]) == ()


def test_a_clock_that_went_back_makes_no_negative_time() -> None:
    assert figures([asked(0, YES, -3.0)]).whole.median_seconds == 0.0


def test_prompts_per_hour_count_the_hours_in_which_there_were_any() -> None:
    found = figures([*many(3), asked(600)])
    assert (found.per_hour, found.busiest_hour) == (2.0, 3)


def test_rules_and_people_are_told_apart_and_the_most_asked_stand_first() -> None:
    default = replace(ASKS, reason=Reason.TIER_DEFAULT, rules=())
    rows = [
        *many(3),
        asked(10, decision=default),
        asked(11, decision=default, shown=Shown(labelled=False), decided_by="os:ada, os:bob"),
    ]
    found = figures(rows)
    names = ["files.otherwise", "(no rule: effect write)", "(no rule: nobody labelled the tool)"]
    assert [tally.name for tally in found.rules] == names
    assert [(tally.name, tally.asked) for tally in found.people] == [("os:bob", 5), ("os:ada", 1)]


@pytest.mark.parametrize(
    ("rows", "waved"),
    [
        (many(), True),
        (many(WAVED_ASKED - 1), False),
        (many(after=5.0), False),
        ([*many(19), asked(30, NO)], True),
        ([*many(18), asked(30, NO), asked(31, NO)], False),
        (many(state=ApprovalState.EXPIRED, after=None), False),
    ],
    ids=["all-at-once", "too-few", "thought-about", "one-of-20-denied", "two-of-20-denied", "nobody-decided"],
)
def test_a_rule_is_waved_through_by_number_share_and_time(rows: list[Approval], waved: bool) -> None:
    (rule,) = figures(rows).rules
    assert rule.waved_through is waved


def test_an_item_is_what_json_prints() -> None:
    item = tally_item("rule", figures([asked(0), asked(1), asked(2, NO)]).rules[0])
    assert item == {
        "of": "rule",
        "name": "files.otherwise",
        "asked": 3,
        "approved": 2,
        "denied": 1,
        "expired": 0,
        "edited": 0,
        "share_approved": 0.667,
        "share_under_2s": 1.0,
        "median_seconds": 1.0,
        "waved_through": False,
    }
    assert tally_item("all", figures([]).whole)["median_seconds"] is None


# --- what would spare them ------------------------------------------------------------------------------------------


def test_a_rule_is_proposed_for_the_values_that_were_approved_again_and_again() -> None:
    rows = [*many(5), *many(3, 10, arguments={"path": "b.txt", "text": "x"}), asked(20, arguments={"path": "once"})]
    made = of(rows)["rule"]
    assert (made.covers, made.of) == (8, 9)
    both = (
        '(has(args.path) && args.path == "a.txt" && has(args.to) && args.to == "a@x.example")'
        ' || (has(args.path) && args.path == "b.txt" && !has(args.to))'
    )
    policy = accepted(made)
    assert policy.rules[0].when is not None
    assert policy.rules[0].when.text == both
    assert decided(policy, {"path": "a.txt", "to": "a@x.example", "text": "anything"}) is Verdict.ALLOW
    assert decided(policy, {"path": "b.txt"}) is Verdict.ALLOW
    assert decided(policy, {"path": "b.txt", "to": "eve@x.example"}) is Verdict.ASK
    assert decided(policy, {"path": "a.txt", "to": ["a@x.example"]}) is Verdict.ASK
    assert decided(policy, {"to": "a@x.example"}) is Verdict.ASK


def accepted(made: Proposal) -> Any:
    """The file of the upstream with the proposed rule before the one that asks: it has no problem."""
    text = (
        'upstream = "files"\nowner = "o@example.com"\n[[tool]]\nmatch = "write_file"\neffect = "write"\n'
        'sinks = { path = "path", to = "email" }\npayload = "text"\n'
        f'{made.text}\n[[rule]]\nid = "files.otherwise"\ntools = "*"\ndecide = "ask"\n'
    ).replace('payload = "text"', 'payload = ["text"]')
    policy, problems = parse({"files.toml": text})
    assert [str(problem) for problem in problems if problem.severity.value == "error"] == []
    return policy.files[0]


def decided(file: Any, arguments: dict[str, Any]) -> Verdict:
    policy, _ = parse({})
    call = a_call(1, **arguments)
    facts = Facts(now=NOON, tool=TOOL, nodes=len(arguments))
    return decide(call, facts, replace(policy, files=(file,))).verdict


def test_what_a_person_denied_or_edited_is_never_proposed() -> None:
    edited = asked(40, ApprovalState.WITHDRAWN, None, followed_by="a_0000000041")
    after = asked(41, arguments={"path": "c.txt"}, follows=edited.id)
    assert of([*many(5), asked(30, NO)]) == {}
    assert "rule" not in of([*many(5), edited, after])
    assert "grant" not in of([*many(5), edited, after])


@pytest.mark.parametrize(
    "change",
    [
        {"decision": replace(ASKS, requirement=Requirement(approvers=2))},
        {"decision": replace(ASKS, requirement=Requirement(by=frozenset({"role:admin"})))},
        {"decision": replace(ASKS, requirement=Requirement(proof=Proof.SIGNED))},
        {"tool": replace(TOOL, effect=Effect.MONEY, tier=Tier.HIGH)},
        {"shown": Shown(labelled=False)},
        {"shown": Shown(redacted=True)},
        {"arguments": {"path": "a\u202eb"}},
        {"arguments": {"pa-th": "a"}},
        {"arguments": {"in": "a"}},
        {"tool": replace(TOOL, ref=replace(TOOL.ref, name="write file"))},
    ],
    ids=["two", "named", "signed", "money", "unlabelled", "redacted", "hidden", "name", "word", "tool"],
)
def test_no_rule_is_proposed_for_what_is_to_be_decided_one_by_one(change: dict[str, Any]) -> None:
    rows = many(5, **change)
    assert "rule" not in of(rows, figures(rows).rules[0].name)


def test_a_tool_without_anything_pinned_gets_a_rule_with_a_rate_alone() -> None:
    free = replace(TOOL, labels=Labels(Effect.WRITE, {}, inert=("text",)))
    made = of(many(4, tool=free, arguments={"text": "x"}))["rule"]
    assert "when" not in made.text
    assert 'rate = "4/hour"' in made.text


def test_a_grant_is_played_through_in_order_and_counts_what_came_after_it() -> None:
    rows = [*many(5), asked(30, ApprovalState.EXPIRED, None), asked(481, arguments={"path": "b.txt"}), *many(3, 600)]
    made = of(rows)["grant"]
    assert (made.covers, made.of) == (6, 10)  # the first of each eight hours is asked
    assert "pattern (the same: path, to; free: text)" in made.text
    assert made.text.endswith("for 8 h")
    assert proposal_item(made)["kind"] == "grant"


def test_a_grant_of_exact_arguments_is_proposed_where_nothing_is_free() -> None:
    made = of(many(3, arguments={"path": "a.txt"}, tool=replace(TOOL, labels=Labels(Effect.WRITE, {}))))
    assert "these exact arguments" in made["grant"].text


def test_a_pattern_without_anything_pinned_says_so() -> None:
    free = replace(TOOL, labels=Labels(Effect.WRITE, {}, inert=("text", "more")))
    assert "the same: no argument" in of(many(3, tool=free, arguments={"text": "x"}))["grant"].text


def test_nothing_is_proposed_for_a_rule_that_nobody_approved() -> None:
    assert proposals("files.otherwise", questions(many(3, state=NO))) == ()
    assert proposals("another", questions(many(3))) == ()


def test_calls_that_have_nothing_in_common_lead_to_nothing() -> None:
    rows = [asked(number, arguments={"path": f"{number}.txt"}) for number in range(4)]
    assert of(rows) == {}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (1 << 63, None),
        (1.5, "1.5"),
        (float("nan"), None),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("x" * 201, None),
        ("a\nb", None),
        (["a", 1], '["a", 1]'),
        ([], None),
        (["a", "\u200b"], None),
        ({"a": 1}, None),
        (None, None),
    ],
)
def test_a_value_is_written_exactly_or_not_at_all(value: Any, written: str | None) -> None:
    assert literal(value) == written


def test_an_approval_is_read_back_as_it_was_kept() -> None:
    row = asked(1, note="fine", told=True, shown=Shown(known_by="os-user", preview={"tool": "look"}))
    open_row = asked(2, ApprovalState.WAITING, None)
    for kept in (row, open_row):
        cells = {
            **{name: getattr(kept, name) for name in COLUMNS if name != "card"},
            "state": kept.state.value,
            "card": card_bytes(kept),
            "proof": kept.proof.word if kept.proof else "",
            "created_at": stamp(kept.created_at),
            "expires_at": stamp(kept.expires_at),
            "decided_at": stamp(kept.decided_at) if kept.decided_at else "",
        }
        assert approval_of([cells[name] for name in COLUMNS]) == kept


def test_a_grant_of_a_proposal_is_one_that_could_be_given() -> None:
    grant = give(asked(), Chosen(Choice.PATTERN), Voter("os:bob", Proof.LOCAL), "g_1", NOON)
    digest = keyed_digest(KEY, canonical("a.txt"))
    assert grant.pins["path"] == digest
