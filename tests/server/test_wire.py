"""Wire -> call, in both eras: every shape, one by one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import PROTOCOL_VERSION_META_KEY

from gateway.core.model import Call, Principal, Vote
from gateway.server.caller import QUESTION
from gateway.server.peer import Peer
from gateway.server.wire import PER_HOP, PROMPT_LIMIT, TOOL_USE, Hop, Reader, claimed_name, deeper, modern_hop

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PEER = Peer(Principal("os:ada", "os-user"), "claude-code", "s_1", "stdio")


SESSION, PROMPT = "dev.wardgate/session", "dev.wardgate/prompt"
READER = Reader(b"k", SESSION, PROMPT, PER_HOP | {SESSION, PROMPT, TOOL_USE}, 8, lambda: "d_1", lambda: NOW)


def read(params: dict[str, Any], era: str = "modern", peer: Peer = PEER, method: str = "tools/call") -> Call:
    return READER.read(method, params, Hop(peer, "x 1", era == "modern", {}, ""))


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


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_only_a_trusted_client_hands_over_a_prompt(era: str) -> None:
    params = {"name": "t", "_meta": {PROMPT: "do it"}}
    assert read(params, era).context.prompt is None
    trusted = Peer(PEER.principal, PEER.client, PEER.session, "stdio", trust_prompt=True)
    call = read(params, era, trusted)
    assert (call.context.prompt, call.context.meta) == ("do it", {})
    assert read({"name": "t"}, era, trusted).context.prompt is None


@pytest.mark.parametrize("prompt", [7, ["x"], None, "x" * (PROMPT_LIMIT + 1)], ids=["number", "list", "null", "long"])
def test_a_prompt_that_is_none_is_ignored(prompt: object) -> None:
    trusted = Peer(PEER.principal, PEER.client, PEER.session, "stdio", trust_prompt=True)
    assert read({"name": "t", "_meta": {PROMPT: prompt}}, peer=trusted).context.prompt is None


def test_the_clients_own_id_of_a_call_is_kept_and_stays_here() -> None:
    call = read({"name": "t", "_meta": {TOOL_USE: "toolu_1"}})
    assert (call.context.tool_use, call.context.meta) == ("toolu_1", {})


@pytest.mark.parametrize("id", ["", "x" * 200, 3, "a\nb"], ids=["empty", "too long", "no text", "line break"])
def test_an_id_that_is_none_is_ignored(id: object) -> None:
    assert read({"name": "t", "_meta": {TOOL_USE: id}}).context.tool_use == ""


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


def test_a_claimed_name_is_printable_and_bounded() -> None:
    assert claimed_name({"name": "claude\x00-code", "version": "2.1"}) == "claude-code 2.1"
    assert claimed_name({"name": "n" * 500, "version": 3}) == "n" * 128


def test_no_client_is_called_as_the_gateways_own_previews_are() -> None:
    for name in ("wardgate-preview", "Wardgate-Preview", "wardgate\u200b-preview"):
        claimed = claimed_name({"name": name, "version": "1"})
        assert claimed.startswith("?")
        assert len(claimed_name({"name": name * 20})) <= 128
    assert claimed_name(None) == ""


def test_arguments_may_be_nested_as_deep_as_the_limit_and_no_deeper() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(levels - 1):
            value = [value]
        return {"a": value}

    assert read({"name": "t", "arguments": nested(8)}).arguments == nested(8)
    with pytest.raises(MCPError) as caught:
        read({"name": "t", "arguments": nested(9)})
    assert (caught.value.error.code, "8 levels" in caught.value.error.message) == (-32602, True)
    assert read({"name": "t", "arguments": {"a": "{[" * 50}}).arguments == {"a": "{[" * 50}
    assert read({"name": "t", "arguments": {"a": [{}] * 50}}).canonical.count(b"{") == 51


def test_arguments_too_deep_to_encode_are_told_apart_from_what_is_no_json() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    with pytest.raises(MCPError) as caught:
        read({"name": "t", "arguments": {"a": value}})
    assert "8 levels" in caught.value.error.message


@pytest.mark.parametrize("where", ["_meta", "inputResponses"])
def test_what_else_passes_on_is_no_deeper_either(where: str) -> None:
    deep = {"vendor/x": [[[[[[[[[1]]]]]]]]]}
    with pytest.raises(MCPError) as caught:
        read({"name": "t", "requestState": "h", where: deep})
    assert f"`{where}`" in caught.value.error.message


@pytest.mark.parametrize(
    ("value", "depth"), [(1, 0), ({}, 1), ([], 1), ({"a": 1}, 1), ({"a": {}}, 2), ([[], {"b": [1]}], 3)]
)
def test_depth_is_counted_in_objects_and_arrays(value: Any, depth: int) -> None:
    assert not deeper(value, depth)
    assert depth == 0 or deeper(value, depth - 1)


def test_the_answers_of_a_second_round_are_kept_by_their_keys() -> None:
    answers = {"q1": {"action": "accept", "content": {"n": None}}, "q2": {"roots": []}}
    for method, params in (
        ("tools/call", {"name": "t"}),
        ("prompts/get", {"name": "p"}),
        ("resources/read", {"uri": "u"}),
    ):
        resume = read({**params, "requestState": "h", "inputResponses": answers}, method=method).resume
        assert resume is not None
        assert (resume.handle, resume.vote, resume.answers) == ("h", None, answers)
    with pytest.raises(MCPError):
        read({"name": "t", "requestState": "h", "inputResponses": [1]})


def test_other_methods_have_no_second_round() -> None:
    completion = {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {}, "requestState": "h"}
    assert read(completion, method="completion/complete").resume is None


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prompts/get", {"name": ""}),
        ("prompts/get", {"name": "p", "arguments": []}),
        ("resources/read", {"uri": ""}),
        ("resources/subscribe", {}),
        ("completion/complete", {"ref": "p"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "uri": "u"}}),
        ("completion/complete", {"ref": {"type": "ref/resource", "name": "p"}}),
    ],
)
def test_what_names_nothing_is_no_call(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(MCPError) as caught:
        read(params, method=method)
    assert caught.value.error.code == -32602


def test_a_completion_is_of_its_prompt_or_template_and_keeps_what_the_client_sent() -> None:
    ref = {"type": "ref/resource", "uri": "memo://{x}", "vendor": 1}
    argument = {"name": "x", "value": "a"}
    call = read({"ref": ref, "argument": argument, "context": None, "_meta": {}}, method="completion/complete")
    assert (call.exposed, call.arguments) == ("memo://{x}", {"ref": ref, "argument": argument})


def test_a_modern_request_says_who_sent_it() -> None:
    meta = {
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "2"},
        "io.modelcontextprotocol/clientCapabilities": {"roots": {}, "vendor": None},
        "io.modelcontextprotocol/logLevel": "info",
    }
    hop = modern_hop({"_meta": meta}, PEER)
    assert (hop.claimed, hop.capabilities, hop.log_level) == ("x 2", {"roots": {}, "vendor": None}, "info")
    odd = modern_hop({"_meta": {"io.modelcontextprotocol/logLevel": ["info"]}}, PEER)
    assert (odd.claimed, odd.capabilities, odd.log_level) == ("", {}, "")
    assert modern_hop(None, PEER).capabilities == {}


def test_a_prompt_that_is_handed_over_goes_to_no_upstream() -> None:
    assert read({"name": "t", "_meta": {PROMPT: "secret plan", SESSION: "x"}}).context.meta == {}


def test_a_seat_is_of_principal_client_and_session() -> None:
    assert PEER.seat == "os:ada/claude-code/s_1"
    assert PEER.at("s_2").seat == "os:ada/claude-code/s_2"
    assert read({"name": "t"}).context.seat == PEER.seat
