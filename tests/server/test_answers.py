"""Answer -> wire, in both eras: every shape, one by one."""

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import SERVER_INFO_META_KEY
from msgspec.structs import replace

from gateway.core.model import Asking, Call, Context, Done, Failure, Held, Question, Reason, Refused, Verdict
from gateway.server.answers import APPROVAL_KEY, DECISION_KEY, envelope, write_answer
from gateway.server.caller import QUESTION
from tests.core.test_card import approval
from tests.fakes import a_call

INFO = {"name": "wardgate", "version": "0"}
QUESTIONS = (
    Question("q1", "elicitation/create", {"mode": "form", "message": "m", "requestedSchema": {}}),
    Question("q2", "roots/list", {}),
)


def call(era: str = "modern", method: str = "tools/call") -> Call:
    return replace(a_call(), method=method, context=Context("s1", era=era))


def test_a_refusal_is_a_result_that_a_model_reads() -> None:
    refused = Refused("d_1", Verdict.BLOCK, Reason.RULE, "NOT EXECUTED", approval())
    result = write_answer(refused, call(), INFO)
    assert result["isError"] is True
    assert result["resultType"] == "complete"
    assert result["_meta"][DECISION_KEY] == {"id": "d_1", "verdict": "block", "reason": "rule"}
    assert result["_meta"][APPROVAL_KEY]["id"] == "a_0000000001"


def test_an_upstream_error_stays_an_error() -> None:
    with pytest.raises(MCPError) as caught:
        write_answer(Done(None, Failure(-32001, "m", {"d": 1})), call("legacy"), INFO)
    assert (caught.value.error.code, caught.value.error.data) == (-32001, {"d": 1})


def test_a_held_call_asks_the_modern_client_by_a_handle() -> None:
    asked = write_answer(Held(approval(), "handle", ask=True), call(), INFO)
    assert asked["resultType"] == "input_required"
    assert asked["requestState"] == "handle"
    assert asked["inputRequests"][QUESTION]["method"] == "elicitation/create"
    silent = write_answer(Held(approval(), "handle"), call(), INFO)
    assert "inputRequests" not in silent


def test_a_pending_call_says_so_and_carries_its_approval() -> None:
    result = write_answer(Held(approval()), call("legacy"), INFO)
    assert result["isError"] is True
    assert "a_0000000001" in result["content"][0]["text"]
    assert result["_meta"][DECISION_KEY]["verdict"] == "ask"
    assert result["_meta"][APPROVAL_KEY]["expires_at"].startswith("2026-11-22T15:40")


def test_vendor_fields_pass_and_claude_keys_do_not() -> None:
    value = {
        "content": [],
        "vendor": {"x": None},
        "_meta": {"anthropic/x": 1, "v/y": 2, SERVER_INFO_META_KEY: {"name": "liar"}},
    }
    result = write_answer(Done(value), call(), INFO)
    assert result["vendor"] == {"x": None}
    assert result["_meta"] == {"v/y": 2, SERVER_INFO_META_KEY: INFO}


def test_a_legacy_result_loses_what_its_era_does_not_know() -> None:
    result = envelope({"resultType": "complete", "ttlMs": 1, "structuredContent": [1]}, modern=False, server_info=INFO)
    assert result == {}


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
def test_an_upstreams_questions_go_out_under_their_own_keys(method: str) -> None:
    asked = write_answer(Asking("d_1", "handle", QUESTIONS), call(method=method), INFO)
    assert asked == {
        "resultType": "input_required",
        "requestState": "handle",
        "inputRequests": {
            "q1": {"method": "elicitation/create", "params": dict(QUESTIONS[0].params)},
            "q2": {"method": "roots/list"},
        },
        "_meta": {SERVER_INFO_META_KEY: INFO},
    }
    assert "inputRequests" not in write_answer(Asking("d_1", "handle", ()), call(method=method), INFO)


@pytest.mark.parametrize(
    ("era", "method"),
    [
        ("legacy", "tools/call"),
        ("legacy", "prompts/get"),
        ("modern", "completion/complete"),
        ("modern", "resources/subscribe"),
    ],
)
@pytest.mark.parametrize("answer", [Asking("d_1", "h", ()), Held(approval(), "h")], ids=["asking", "held"])
def test_nobody_is_asked_to_come_back_who_can_not(era: str, method: str, answer: Any) -> None:
    with pytest.raises(MCPError) as caught:
        write_answer(answer, call(era, method), INFO)
    assert caught.value.error.code == -32603


@pytest.mark.parametrize(
    ("given", "ttl"), [({}, 0), ({"ttlMs": 7}, 7), ({"ttlMs": -1}, 0), ({"ttlMs": "x"}, 0), ({"ttlMs": True}, 0)]
)
def test_what_is_read_is_private(given: dict[str, Any], ttl: int) -> None:
    value = {"contents": [], "cacheScope": "public", **given}
    result = write_answer(Done(value), call(method="resources/read"), INFO)
    assert (result["ttlMs"], result["cacheScope"]) == (ttl, "private")
    assert write_answer(Done(value), call("legacy", "resources/read"), INFO) == {"contents": []}


def test_a_client_that_could_declare_nothing_more_hears_words() -> None:
    refused = Refused("d_1", Verdict.BLOCK, Reason.CLIENT_UNABLE, "NOT COMPLETED")
    assert write_answer(refused, call("legacy"), INFO)["isError"] is True


def test_a_name_that_nothing_offers_is_told_back_in_part() -> None:
    refused = Refused("d_1", Verdict.BLOCK, Reason.UNKNOWN_TOOL, "words")
    with pytest.raises(MCPError) as caught:
        write_answer(refused, replace(call(), exposed="x\u202e" * 1000), INFO)
    assert len(caught.value.error.message) < 1500
    assert "\u202e" not in caught.value.error.message
