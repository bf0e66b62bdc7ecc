"""What the record says of a call: the grounds of a decision as they were, and names without secrets."""

from dataclasses import replace
from datetime import timedelta

from gateway.core.account import Trail, told_facts
from gateway.core.capture import Capture
from gateway.core.model import Call, Facts
from tests.fakes import KEY, NOON, a_call, a_tool


def a_trail(call: Call, facts: Facts | None = None) -> Trail:
    return Trail(call, lambda: 0.0, Capture(KEY), facts=facts)


def test_facts_are_told_as_they_were_and_empty_ones_left_out() -> None:
    plain = told_facts(Facts(now=NOON, tool=a_tool()))
    assert plain.keys() == {"upstream", "tainted", "private", "calls_10m", "consequential", "nodes"}
    full = told_facts(Facts(now=NOON, tool=a_tool(), used={"files.rated": 3}, protected="policies"))
    assert {name: full[name] for name in full.keys() - plain.keys()} == {
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
