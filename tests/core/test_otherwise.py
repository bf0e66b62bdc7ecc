"""What would have changed the answer, by reason and by the state of an approval, and the sentence of every reason."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.core.model import Kind, Reason, Record
from gateway.core.otherwise import changed_by, expiry, named_rules, state_of
from gateway.core.reasons import SENTENCES, known, sentence
from gateway.core.record import stamp
from tests.fakes import NOON, a_record

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
LATER = NOON + timedelta(minutes=10)
RULES = {"rules": ("a.b",), "places": ("policies/a.toml:3",)}


def extra_of(state: str, **more: object) -> dict[str, object]:
    """What a record of an approval has of its own."""
    return {
        "state": state,
        "proof_required": "local",
        "approvers_required": 1,
        "expires_at": stamp(LATER),
        "decided_by": "os:bob" if state in ("approved", "denied") else "",
        **more,
    }


def asked(state: str = "waiting", reason: str = "tier-default", effect: str = "write", **more: object) -> Record:
    """The record of an approval."""
    extra = extra_of(state, **more)
    rules = () if reason == "tier-default" else ("a.b",)
    return a_record(
        1, Kind.APPROVAL, id="a_1", approval="a_1", verdict="", reason=reason, rules=rules, effect=effect, extra=extra
    )


def test_the_sentence_of_every_reason_is_the_one_of_the_reference() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| .*? \|$", REFERENCE.read_text(encoding="utf-8"), re.M)
    told = {reason: said for reason, said in rows if known(reason)}
    assert {reason.value: said for reason, said in SENTENCES.items()} == told
    assert set(SENTENCES) == set(Reason)


def test_a_reason_of_another_version_has_no_sentence() -> None:
    assert (known("of-tomorrow"), sentence("of-tomorrow"), sentence("rule")) == (None, "", "a rule matched and decided")


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)
def test_something_is_told_for_every_reason(reason: Reason) -> None:
    (told,) = changed_by(a_record(1, Kind.OUTCOME, reason=reason.value, detail="{tool} 5%", **RULES), None, NOON)
    assert told
    assert "{" not in told.replace("{tool} 5%", "")  # what a record holds is put in, never filled in itself


@pytest.mark.parametrize("reason", [Reason.SELF_PROTECTION, Reason.EXACT_SECRET, Reason.INTERNAL], ids=str)
def test_where_nothing_would_have_changed_it_that_is_said(reason: Reason) -> None:
    (told,) = changed_by(a_record(1, Kind.OUTCOME, reason=reason.value, verdict="block"), None, NOON)
    assert told.startswith("nothing")


def test_of_a_reason_of_another_version_nothing_is_made_up() -> None:
    assert changed_by(a_record(1, Kind.OUTCOME, reason="of-tomorrow"), None, NOON) == ()


@pytest.mark.parametrize(
    ("rules", "words"), [(("a.b",), "it doesn't match"), (("a.b", "c.d"), "none of them matches")], ids=["one", "two"]
)
def test_a_block_by_rule_names_the_rules_and_their_places(rules: tuple[str, ...], words: str) -> None:
    places = tuple(f"policies/{rule}.toml:3" for rule in rules)
    blocked = a_record(1, Kind.OUTCOME, verdict="block", rules=rules, places=places)
    (told,) = changed_by(blocked, None, NOON)
    assert words in told
    for rule, place in zip(rules, places, strict=True):
        assert f"`{rule}` at {place}" in told


@pytest.mark.parametrize(("tier", "default"), [("read", "allows"), ("write", "asks"), ("high", "asks")])
def test_an_allow_by_rule_tells_what_its_tier_would_have_done(tier: str, default: str) -> None:
    (told,) = changed_by(a_record(1, tier=tier, **RULES), None, NOON)
    assert "`a.b` at policies/a.toml:3" in told
    assert told.endswith(f"`{tier}`, which {default}")


def test_rules_without_places_are_named_alone() -> None:
    assert named_rules(a_record(1, rules=("a.b", "c.d"), places=("x.toml:1",))) == "`a.b` at x.toml:1 and `c.d`"
    assert named_rules(a_record(1)) == "a rule"


@pytest.mark.parametrize(
    ("state", "at", "expected"),
    [
        ("waiting", NOON, "waiting"),
        ("waiting", LATER, "expired"),
        ("approved", LATER, "expired"),
        ("denied", LATER, "denied"),
        ("withdrawn", LATER, "withdrawn"),
    ],
)
def test_an_open_approval_has_expired_once_its_time_is_over(state: str, at: datetime, expected: str) -> None:
    assert state_of(asked(state), at) == expected


@pytest.mark.parametrize("written", ["", "tomorrow"])
def test_an_approval_whose_end_is_not_told_stays_as_it_is_recorded(written: str) -> None:
    row = asked(expires_at=written)
    assert expiry(row) is None
    assert state_of(row, LATER) == "waiting"
    assert changed_by(row, row, NOON)[0].endswith("until ?")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("waiting", "a yes with proof `local` or stronger, until 2026-11-22 12:10:00 UTC"),
        ("approved", "a no of os:bob, or no answer until 2026-11-22 12:10:00 UTC"),
        ("denied", "another answer of os:bob"),
        ("expired", "a yes with proof `local` or stronger, before 2026-11-22 12:10:00 UTC"),
        ("withdrawn", "a new approval: this one was withdrawn"),
    ],
)
def test_a_call_that_is_only_asked_about_needs_an_answer_or_no_question(state: str, expected: str) -> None:
    row = asked(state)
    first, second = changed_by(row, row, NOON)
    assert first == expected
    assert "a rule that allows `files/write_file`" in second


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("approval-denied", "another answer of os:bob"),
        ("approval-expired", "a yes with proof `local` or stronger, before 2026-11-22 12:10:00 UTC"),
        ("approved", "a no of os:bob, or no answer until 2026-11-22 12:10:00 UTC"),
    ],
)
def test_a_call_that_has_ended_tells_of_the_answer_that_it_got(reason: str, expected: str) -> None:
    row = asked("expired" if "expired" in reason else "approved")
    ended = a_record(1, Kind.OUTCOME, reason=reason, approval="a_1")
    assert changed_by(ended, row, LATER)[0] == expected


def test_more_than_one_person_is_counted() -> None:
    row = asked(approvers_required=2, votes=[{"by": "os:bob", "proof": "local", "approve": True}])
    assert "of 2 people (1 said it)" in changed_by(row, row, NOON)[0]


@pytest.mark.parametrize("reason", ["rule", "unproven", "rate-exceeded", "review-overdue"])
def test_the_rule_that_asked_is_named_with_the_place_that_the_call_knows(reason: str) -> None:
    row = asked("denied", reason)
    ended = a_record(1, Kind.OUTCOME, reason="approval-denied", approval="a_1", **RULES)
    _, why = changed_by(ended, row, NOON)
    assert "`a.b` at policies/a.toml:3" in why
    _, alone = changed_by(row, row, NOON)
    assert "`a.b`" in alone
    assert "a.toml" not in alone


def test_an_effect_that_nobody_may_have_labelled_points_to_the_label() -> None:
    row = asked(effect="destructive")
    assert "`[[tool]]`" in changed_by(row, row, NOON)[2]
    ruled = asked(reason="rule", effect="destructive")
    assert len(changed_by(ruled, ruled, NOON)) == 2


def test_an_ask_for_a_reason_of_another_version_tells_of_the_answer_alone() -> None:
    row = asked(reason="of-tomorrow")
    assert len(changed_by(row, row, NOON)) == 1
