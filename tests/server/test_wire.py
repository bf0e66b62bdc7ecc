"""Wire -> call, and answer -> wire, in both eras."""

from datetime import UTC, datetime
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import PROTOCOL_VERSION_META_KEY, SERVER_INFO_META_KEY

from gateway.core.model import Call, Done, Failure, Held, Principal, Reason, Refused, Verdict, Vote
from gateway.server.caller import QUESTION, budget_for, can_fill_forms, vote_of
from gateway.server.peer import Peer
from gateway.server.wire import APPROVAL_KEY, DECISION_KEY, claimed_name, envelope, read_call, write_answer
from tests.core.test_card import approval

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PEER = Peer(Principal("os:ada", "os-user"), "claude-code", "s_1", "stdio")
INFO = {"name": "wardgate", "version": "0"}


def read(params: dict[str, Any], era: str = "modern", peer: Peer = PEER) -> Call:
    return read_call(
        params,
        peer,
        claimed="x 1",
        era=era,
        session_meta="dev.wardgate/session",
        key=b"k",
        new_id=lambda: "d_1",
        now=NOW,
    )


@pytest.mark.parametrize(
    "params",
    [{}, {"name": 3}, {"name": ""}, {"name": "t", "arguments": [1]}, {"name": "t", "arguments": {"a": "\ud800"}}],
    ids=["no name", "name is no text", "empty name", "arguments are a list", "lone surrogate"],
)
def test_params_that_can_not_be_a_call_are_invalid(params: dict[str, Any]) -> None:
    with pytest.raises(MCPError) as caught:
        read(params)
    assert caught.value.error.code == -32602


def test_absent_arguments_are_an_empty_object() -> None:
    call = read({"name": "t"})
    assert (call.arguments, call.canonical) == ({}, b"{}")


def test_equal_arguments_in_another_order_have_one_digest() -> None:
    assert (
        read({"name": "t", "arguments": {"a": 1, "b": 2}}).digest
        == read({"name": "t", "arguments": {"b": 2, "a": 1}}).digest
    )


def test_per_hop_meta_is_stripped_and_the_rest_passes() -> None:
    meta = {PROTOCOL_VERSION_META_KEY: "x", "progressToken": 1, "traceparent": "00-1", "vendor/key": {"n": 1}}
    call = read({"name": "t", "_meta": meta})
    assert call.context.meta == {"traceparent": "00-1", "vendor/key": {"n": 1}}
    assert call.context.trace == "00-1"


def test_only_a_trusted_client_names_its_session() -> None:
    params = {"name": "t", "_meta": {"dev.wardgate/session": "mine"}}
    assert read(params).context.session == "s_1"
    trusted = Peer(PEER.principal, PEER.client, PEER.session, "stdio", trust_session=True)
    assert read(params, peer=trusted).context.session == "os:ada/claude-code/mine"


@pytest.mark.parametrize("named", ["", "x" * 200, 3, "a\nb"], ids=["empty", "too long", "no text", "line break"])
def test_a_session_name_that_is_none_is_ignored(named: object) -> None:
    trusted = Peer(PEER.principal, PEER.client, PEER.session, "stdio", trust_session=True)
    assert read({"name": "t", "_meta": {"dev.wardgate/session": named}}, peer=trusted).context.session == "s_1"


def test_a_second_round_carries_its_handle_and_vote() -> None:
    answers = {QUESTION: {"action": "accept", "content": {"approve": True}}}
    call = read({"name": "t", "requestState": "h", "inputResponses": answers})
    assert call.resume is not None
    assert (call.resume.handle, call.resume.vote) == ("h", Vote.APPROVE)
    silent = read({"name": "t", "requestState": "h"})
    assert silent.resume is not None
    assert silent.resume.vote is None


def test_a_legacy_call_has_no_second_round() -> None:
    assert read({"name": "t", "requestState": "h"}, era="legacy").resume is None


def test_a_request_state_that_is_no_text_is_invalid() -> None:
    with pytest.raises(MCPError):
        read({"name": "t", "requestState": 7})


@pytest.mark.parametrize(
    ("answer", "vote"),
    [
        ({"action": "accept", "content": {"approve": True}}, Vote.APPROVE),
        ({"action": "accept", "content": {"approve": False}}, Vote.DENY),
        ({"action": "accept", "content": {"approve": "yes"}}, Vote.CANCEL),
        ({"action": "accept", "content": {}}, Vote.CANCEL),
        ({"action": "accept"}, Vote.CANCEL),
        ({"action": "decline"}, Vote.DENY),
        ({"action": "cancel"}, Vote.CANCEL),
        ("yes", Vote.CANCEL),
    ],
    ids=["yes", "no", "no boolean", "empty form", "no form", "declined", "cancelled", "no object"],
)
def test_only_a_ticked_form_approves(answer: object, vote: Vote) -> None:
    assert vote_of(answer) is vote


def test_a_refusal_is_a_result_that_a_model_reads() -> None:
    refused = Refused("d_1", Verdict.BLOCK, Reason.RULE, "NOT EXECUTED", approval())
    result = write_answer(refused, modern=True, server_info=INFO)
    assert result["isError"] is True
    assert result["resultType"] == "complete"
    assert result["_meta"][DECISION_KEY] == {"id": "d_1", "verdict": "block", "reason": "rule"}
    assert result["_meta"][APPROVAL_KEY]["id"] == "a_0000000001"


def test_an_upstream_error_stays_an_error() -> None:
    with pytest.raises(MCPError) as caught:
        write_answer(Done(None, Failure(-32001, "m", {"d": 1})), modern=False, server_info=INFO)
    assert (caught.value.error.code, caught.value.error.data) == (-32001, {"d": 1})


def test_a_held_call_asks_the_modern_client_by_a_handle() -> None:
    asked = write_answer(Held(approval(), "handle", ask=True), modern=True, server_info=INFO)
    assert asked["resultType"] == "input_required"
    assert asked["requestState"] == "handle"
    assert asked["inputRequests"][QUESTION]["method"] == "elicitation/create"
    silent = write_answer(Held(approval(), "handle"), modern=True, server_info=INFO)
    assert "inputRequests" not in silent


def test_a_pending_call_says_so_and_carries_its_approval() -> None:
    result = write_answer(Held(approval()), modern=False, server_info=INFO)
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
    result = write_answer(Done(value), modern=True, server_info=INFO)
    assert result["vendor"] == {"x": None}
    assert result["_meta"] == {"v/y": 2, SERVER_INFO_META_KEY: INFO}


def test_a_legacy_result_loses_what_its_era_does_not_know() -> None:
    result = envelope({"resultType": "complete", "ttlMs": 1, "structuredContent": [1]}, modern=False, server_info=INFO)
    assert result == {}


class _Info:
    name, version = "claude\x00-code", "2.1"


def test_a_claimed_name_is_printable_and_bounded() -> None:
    assert claimed_name(_Info()) == "claude-code 2.1"
    assert claimed_name(None) == ""


def test_budgets_know_clients_and_progress_tokens() -> None:
    assert budget_for("claude-code 2.1", True, None) > budget_for("claude-code 2.1", False, None)
    assert budget_for("other", False, None) == 25.0
    assert budget_for("other", False, 1.5) == 1.5


class _Modes:
    def __init__(self, form: object, url: object) -> None:
        self.form, self.url = form, url


class _Capabilities:
    def __init__(self, elicitation: object) -> None:
        self.elicitation = elicitation


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        (None, False),
        (_Capabilities(None), False),
        (_Capabilities(_Modes(None, None)), True),
        (_Capabilities(_Modes({}, {})), True),
        (_Capabilities(_Modes(None, {})), False),
    ],
    ids=["none", "no elicitation", "empty means form", "both", "url only"],
)
def test_forms_need_the_form_mode(capabilities: object, can: bool) -> None:
    assert can_fill_forms(capabilities) is can
