"""What a client hears of the calls that a gateway left when it died."""

from typing import Any

import pytest
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, ErrorData, JSONRPCError, JSONRPCRequest, JSONRPCResponse

from gateway.server.pipes import _answer_left
from gateway.transport.journal import InFlight
from gateway.transport.resume import Opening


class Written:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, item: SessionMessage) -> None:
        self.messages.append(item.message)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("resources/read", -32010),
        ("prompts/get", -32010),
        ("tools/list", CONNECTION_CLOSED),
        ("ping", CONNECTION_CLOSED),
    ],
)
async def test_what_may_have_happened_is_told_apart_from_what_can_be_sent_again(method: str, code: int) -> None:
    writer = Written()
    await _answer_left((InFlight(7, method),), writer, modern=True)  # type: ignore[arg-type]  # a fake
    (message,) = writer.messages
    assert isinstance(message, JSONRPCError)
    assert (message.id, message.error.code) == (7, code)
    assert ("OUTCOME UNKNOWN" in message.error.message) == (code == -32010)


async def test_a_tool_that_was_called_is_answered_as_outcome_unknown() -> None:
    writer = Written()
    await _answer_left((InFlight("x", "tools/call"),), writer, modern=False)  # type: ignore[arg-type]  # a fake
    (message,) = writer.messages
    assert isinstance(message, JSONRPCResponse)
    assert message.result["isError"] is True
    assert message.result["_meta"]["dev.wardgate/decision"]["reason"] == "gateway-stopped"
    assert "resultType" not in message.result


def test_a_handshake_is_kept_once_it_is_answered_well() -> None:
    kept: list[Any] = []
    opening = Opening(kept.append)

    def initialize(id: int, version: str) -> None:
        opening.ask(JSONRPCRequest(jsonrpc="2.0", id=id, method="initialize", params={"protocolVersion": version}))

    initialize(1, "a")
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=7, result={}))
    assert kept == []
    opening.answer(JSONRPCError(jsonrpc="2.0", id=1, error=ErrorData(code=-32022, message="not this one")))
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=1, result={}))
    assert kept == [], "a connection whose handshake was refused is none of the legacy era"
    initialize(2, "b")
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=2, result={}))
    opening.answer(JSONRPCResponse(jsonrpc="2.0", id=2, result={}))
    assert kept == [{"protocolVersion": "b"}]
