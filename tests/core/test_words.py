"""The words for the model are those of `approvals.md`, and there are words for every reason."""

from datetime import timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core import words
from gateway.core.model import ApprovalState, Decision, Obligation, ObligationKind, Outcome, Reason, Verdict
from tests.fakes import NOON, a_call, a_row, a_tool, an_ask

ROW = a_row("a_7F3K000000", a_call(), a_tool(), an_ask(), {}, NOON)


def test_refused() -> None:
    assert words.refused("d_7F3K") == (
        "NOT EXECUTED - refused by policy (decision d_7F3K). The call was well formed; sending it again gives the same "
        "answer. Do not attempt the same effect through another tool or a changed wording. Continue without it and "
        "tell the user it was refused."
    )


def test_a_reviewers_reason_is_read_by_the_model_on_one_line() -> None:
    assert " The reviewer's reason: not on. Do not " in words.refused("d_7F3K", " not\non. ")


def test_pending() -> None:
    expires = (NOON + timedelta(hours=3, minutes=42)).astimezone(timezone(timedelta(hours=5)))
    assert words.pending("a_7F3K", expires) == (
        "NOT EXECUTED YET - waiting for a person (approval a_7F3K, expires 15:42 UTC). Nothing has changed. Tell the "
        "user; when they say it is approved, send exactly the same call once."
    )


def test_nobody_answered() -> None:
    expected = "NOT EXECUTED - nobody answered within 10 min. This is not a refusal. Ask the user."
    assert words.nobody(10) == expected
    assert words.refusal("d_1", Outcome.DENIED, Reason.APPROVAL_EXPIRED, ROW) == expected


def test_unknown() -> None:
    assert words.unknown() == (
        "OUTCOME UNKNOWN - the upstream was lost after the call was sent. It may have happened. "
        "Check before repeating it."
    )


@pytest.mark.parametrize("outcome", [Outcome.BLOCKED, Outcome.DENIED], ids=lambda outcome: outcome.value)
@pytest.mark.parametrize("approval", [None, ROW], ids=["alone", "approval"])
@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_what_was_not_executed_says_so_first(reason: Reason, outcome: Outcome, approval: object) -> None:
    said = words.refusal("d_1", outcome, reason, approval)  # type: ignore[arg-type]  # a row or nothing
    assert said.startswith("NOT EXECUTED")
    assert "\n" not in said


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_an_unknown_outcome_is_never_called_a_refusal(reason: Reason) -> None:
    lost = (Reason.UPSTREAM_LOST, Reason.UPSTREAM_TIMEOUT, Reason.GATEWAY_STOPPED, Reason.CANCELLED)
    expected = words.unknown() if reason in lost else words.given_up("d_1")
    assert words.refusal("d_1", Outcome.UNKNOWN, reason) == expected
    assert expected.startswith("OUTCOME UNKNOWN")
    assert "refus" not in expected


@pytest.mark.parametrize(
    "reason",
    [
        Reason.BUSY,
        Reason.RECORD_FAILED,
        Reason.UPSTREAM_DOWN,
        Reason.INTERNAL,
        Reason.APPROVAL_VOID,
        Reason.UNKNOWN_TOOL,
    ],
)
def test_what_broke_is_not_called_a_refusal_by_policy(reason: Reason) -> None:
    assert "refused by policy" not in words.refusal("d_1", Outcome.BLOCKED, reason)


def test_invalid_arguments_are_not_called_well_formed() -> None:
    assert "well formed" not in words.refusal("d_1", Outcome.BLOCKED, Reason.INVALID_ARGUMENTS)


def test_a_denial_carries_the_reviewers_reason() -> None:
    denied = replace(ROW, state=ApprovalState.DENIED, note="wrong folder")
    assert words.refusal("d_1", Outcome.DENIED, Reason.APPROVAL_DENIED, denied) == words.refused("d_1", "wrong folder")
    assert "The reviewer's reason: wrong folder. Do not" in words.refused("d_1", "wrong folder")


def test_what_was_withdrawn_is_not_called_a_refusal_by_a_person() -> None:
    withdrawn = replace(ROW, state=ApprovalState.WITHDRAWN)
    assert words.refusal("d_1", Outcome.DENIED, Reason.APPROVAL_DENIED, withdrawn) == words.lapsed("d_1")


def test_a_barred_tool_carries_the_note_of_the_bar() -> None:
    said = words.refusal("d_1", Outcome.BLOCKED, Reason.TOOL_BARRED, ROW, "not\ntoday.")
    assert said == words.refused("d_1", "not today")
    assert "sending it again gives the same answer" in said


def test_the_note_of_a_yes_is_for_the_record_and_not_for_the_model() -> None:
    approved = replace(ROW, state=ApprovalState.APPROVED, note="fine by me")
    assert words.refusal("d_1", Outcome.BLOCKED, Reason.RULE, approved) == words.refused("d_1")


@pytest.mark.parametrize("state", ApprovalState, ids=lambda state: state.value)
def test_only_an_approval_that_expired_ends_as_expired(state: ApprovalState) -> None:
    expired = state is ApprovalState.EXPIRED
    assert words.ending(state) is (Reason.APPROVAL_EXPIRED if expired else Reason.APPROVAL_DENIED)


def test_a_withheld_result_says_that_the_call_ran() -> None:
    assert words.withheld("d_1").startswith("RESULT WITHHELD - the call was executed")


def decision(*duties: Obligation) -> Decision:
    return Decision(Verdict.ALLOW, Reason.RULE, obligations=frozenset(duties))


SET = Obligation(ObligationKind.SET, "priority", "low")
DROP = Obligation(ObligationKind.DROP, "bcc")
REDACT = Obligation(ObligationKind.REDACT)


@pytest.mark.parametrize(
    ("duties", "said"),
    [
        ((SET,), "[Wardgate: policy set `priority` before the call was sent.]"),
        ((DROP, REDACT), "[Wardgate: policy dropped `bcc` before the call was sent.]"),
        ((DROP, SET), "[Wardgate: policy set `priority` and dropped `bcc` before the call was sent.]"),
    ],
    ids=["set", "drop", "both"],
)
def test_the_model_is_told_what_policy_changed(duties: tuple[Obligation, ...], said: str) -> None:
    fine = {"type": "text", "text": "fine"}
    told = words.tell({"content": [fine], "structuredContent": {"ok": True}}, decision(*duties))
    assert told == {"content": [fine, {"type": "text", "text": said}], "structuredContent": {"ok": True}}


@pytest.mark.parametrize("made", [None, decision(), decision(REDACT)], ids=["none", "no-duty", "other-duty"])
def test_a_result_of_an_unchanged_call_is_left_alone(made: Decision | None) -> None:
    value: dict[str, object] = {"content": []}
    assert words.tell(value, made) is value


def test_a_result_without_content_gets_some() -> None:
    assert len(words.tell({}, decision(SET))["content"]) == 1


@pytest.mark.parametrize("content", [[{"type": "text", "text": "x"}], None], ids=["blocks", "none"])
def test_a_result_without_a_valid_form_is_an_error_that_keeps_its_other_blocks(content: Any) -> None:
    told = words.misfit({"content": content, "structuredContent": {"k": "v"}, "isError": False, "_meta": {"a": 1}})
    assert (told["isError"], told["_meta"], "structuredContent" in told) == (True, {"a": 1}, False)
    *before, said = told["content"]
    assert before == (content or [])
    assert "RESULT INCOMPLETE" in said["text"]
    assert "executed" in said["text"]


@pytest.mark.parametrize(
    ("reason", "said"), [(Reason.BUDGET_EXCEEDED, "exceed a budget"), (Reason.LOOP, "again and again")]
)
def test_a_limit_is_told_as_one_and_invites_no_other_try(reason: Reason, said: str) -> None:
    text = words.refusal("d_1", Outcome.BLOCKED, reason)
    assert said in text
    assert "d_1" in text
