"""What comes in over HTTP counts as it would on stdio: the SDK's reader lets numbers in that no JSON carries."""

import math

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from gateway.transport.wire import INVALID_ANSWER, MalformedError
from gateway.upstreams.intake import AdmittingStream, Intake

RPC = "2.0"


async def passed(message: JSONRPCMessage) -> SessionMessage | Exception:
    """The message as it comes out of the stream."""
    send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    async with send, receive:
        await send.send(SessionMessage(message))
        return await AdmittingStream(receive, Intake(lambda _method, _params: None)).receive()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
async def test_an_answer_with_a_number_that_is_none_is_an_error_for_its_call(number: float) -> None:
    for message in (
        JSONRPCResponse(jsonrpc=RPC, id=7, result={"content": [], "structuredContent": {"x": [number]}}),
        JSONRPCError(jsonrpc=RPC, id=7, error=ErrorData(code=1, message="m", data={"x": number})),
    ):
        out = await passed(message)
        assert isinstance(out, SessionMessage)
        assert isinstance(out.message, JSONRPCError)
        assert (out.message.id, out.message.error.message) == (7, INVALID_ANSWER)


@pytest.mark.parametrize(
    "message",
    [
        JSONRPCRequest(jsonrpc=RPC, id=1, method="elicitation/create", params={"x": math.inf}),
        JSONRPCNotification(jsonrpc=RPC, method="notifications/progress", params={"progress": math.nan}),
    ],
    ids=["question", "notice"],
)
async def test_a_question_or_notice_with_a_number_that_is_none_is_no_message(message: JSONRPCMessage) -> None:
    assert isinstance(await passed(message), MalformedError)


async def test_what_is_sound_passes_as_it_is() -> None:
    message = JSONRPCResponse(jsonrpc=RPC, id=7, result={"content": [], "structuredContent": {"x": [1.5, None, 2**70]}})
    out = await passed(message)
    assert isinstance(out, SessionMessage)
    assert out.message is message
