"""What the record says of a call: the grounds of a decision as they were, and names without secrets."""

from datetime import timedelta

from msgspec.structs import replace

from gateway.core.account import HEARD, Trail
from gateway.core.capture import Capture
from gateway.core.grounds import answered, told_facts
from gateway.core.model import (
    Act,
    ApprovalState,
    Call,
    Choice,
    Facts,
    Finding,
    Outcome,
    Proof,
    Reason,
    Release,
    Screened,
    Standing,
)
from tests.core.test_card import approval
from tests.core.test_grants import granted
from tests.fakes import KEY, NOON, a_call, a_tool


def a_trail(call: Call, facts: Facts | None = None) -> Trail:
    return Trail(call, lambda: 0.0, Capture(KEY), facts=facts)


def test_facts_are_told_as_they_were_and_empty_ones_left_out() -> None:
    plain = told_facts(Facts(now=NOON, tool=a_tool()))
    assert plain.keys() == {"shape", "upstream", "tainted", "private", "calls_10m", "consequential", "nodes"}
    own = Finding("gateway-secret", "text", "0" * 16, exact=True)
    facts = Facts(now=NOON, tool=a_tool(), used={"files.rated": 3}, protected="policies", secrets=(own,), markers=True)
    full = told_facts(replace(facts, carries=("tok in arguments.path",)))
    assert {name: full[name] for name in full.keys() - plain.keys()} == {
        "secrets": ["gateway-secret"],
        "markers": True,
        "carries": ["tok in arguments.path"],
        "used": {"files.rated": 3},
        "protected": "policies",
    }


def test_what_is_called_by_a_name_that_holds_a_secret_is_told_by_its_alias() -> None:
    call = replace(a_call(), exposed="leak://t/secret", alias="[REDACTED:name:0]")
    for facts in (None, Facts(now=NOON, tool=a_tool("leak://t/secret"))):
        record = a_trail(call, facts).intent(NOON + timedelta(seconds=1))
        assert record.tool == "[REDACTED:name:0]"
    assert a_trail(a_call()).intent(NOON).tool == a_call().exposed
    assert a_trail(a_call(), Facts(now=NOON, tool=a_tool("write_file"))).intent(NOON).tool == "write_file"


def test_the_request_is_told_where_it_is_no_call_of_a_tool() -> None:
    assert a_trail(a_call()).intent(NOON).method == ""
    assert a_trail(replace(a_call(), method="resources/read")).intent(NOON).method == "resources/read"


def test_of_a_secret_in_arguments_it_is_told_whether_it_went_out() -> None:
    found = Finding("tok", "path", "0" * 16)
    trail = a_trail(a_call(), Facts(now=NOON, tool=a_tool()))
    trail.arguments, trail.findings = {"path": "[REDACTED:tok:1]"}, (found,)
    assert [(one.place, one.act) for one in trail.intent(NOON).findings] == [("arguments.path", Act.FLAGGED)]
    refused = trail.outcome(NOON, Outcome.BLOCKED, Reason.RULE)
    assert [one.act for one in refused.findings] == [Act.BLOCKED]
    trail.hasty = True
    assert trail.intent(NOON).findings == ()
    assert [one.act for one in trail.caught_up(trail.intent(NOON)).findings] == [Act.FLAGGED]
    assert [one.act for one in trail.caught_up(refused).findings][:1] == [Act.BLOCKED]


def test_what_was_not_scanned_is_told() -> None:
    trail = a_trail(a_call(), Facts(now=NOON, tool=a_tool()))
    held = Screened(Release.WITHHELD, None, (), Reason.SCANNER_FAILED, unscanned="limit")
    assert trail.outcome(NOON, Outcome.OK, held.reason, held).extra == {"unscanned": "limit"}


def test_nothing_is_used_up_without_an_answer() -> None:
    trail = a_trail(a_call())
    trail.overtaken()
    assert (trail.release, trail.releases) == (None, ())


def test_what_was_found_beside_arguments_and_result_stands_in_the_outcome_and_is_bounded() -> None:
    trail = a_trail(a_call(), Facts(now=NOON, tool=a_tool()))
    trail.hear("progress", [Finding("tok", "", "0" * 16)])
    trail.hear("log", [Finding("tok", f"data[{number}]", "0" * 16) for number in range(HEARD + 5)])
    told = [one.place for one in trail.outcome(NOON, Outcome.OK).findings]
    assert told[:2] == ["progress", "log.data[0]"]
    assert len(told) == HEARD


def test_what_a_person_said_of_an_output_is_told_with_who_said_it() -> None:
    row = approval(state=ApprovalState.EXPIRED)
    assert answered(row) == {"approval": row.id, "state": "expired"}
    row = replace(row, state=ApprovalState.APPROVED, decided_by="os:bob")
    assert answered(row) == {"approval": row.id, "state": "approved", "by": "os:bob", "proof": ""}
    assert answered(replace(row, proof=Proof.SIGNED))["proof"] == "signed"


def test_what_people_said_before_stands_among_the_facts() -> None:
    given = granted(Choice.ARGUMENTS)
    facts = Facts(
        now=NOON, tool=a_tool(), standing=Standing(frozen="by os:ada", grants=(given,)), carries=("tok in path",)
    )
    told = told_facts(facts)
    assert (told["frozen"], told["carries"], told["grants"]) == ("by os:ada", ["tok in path"], [given.id])
