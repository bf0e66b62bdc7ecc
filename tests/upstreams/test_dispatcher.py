"""Our way of sending a request next to the SDK's: the same messages, the same outcomes."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from gateway.core.model import Question
from gateway.transport.ends import Closing, ReadEnd
from gateway.upstreams.dispatcher import UpstreamDispatcher
from gateway.upstreams.exchange import Asking, Exchange
from tests.upstreams.fleet import Heard

Send = Callable[[UpstreamDispatcher, dict[str, Any], Heard | None], Awaitable[dict[str, Any] | None]]


class Wire(ReadEnd):
    """Both directions of a connection, in memory."""

    def __init__(self) -> None:
        self.sent: list[JSONRPCMessage] = []
        self.put, self._get = anyio.create_memory_object_stream[SessionMessage](10)
        self.written = anyio.Event()

    async def receive(self) -> SessionMessage | Exception:
        return await self._get.receive()

    async def send(self, item: SessionMessage, /) -> None:
        """Take what is written."""
        self.sent.append(item.message)
        self.written.set()

    async def aclose(self) -> None:
        self.put.close()
        self._get.close()

    def say(self, message: JSONRPCMessage) -> None:
        """Say something as the upstream."""
        self.put.send_nowait(SessionMessage(message))


class WriteEnd(Closing):
    """The end that is written to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message."""
        await self._wire.send(item)

    async def aclose(self) -> None:
        """Nothing to close."""


async def ours(dispatcher: UpstreamDispatcher, params: dict[str, Any], ears: Heard | None) -> dict[str, Any] | None:
    """Send a request our way."""
    exchange = Exchange(7, "tools/call", ears)
    if exchange.on_progress is not None:
        params = {**params, "_meta": {"progressToken": 7}}
    message = JSONRPCRequest.model_construct(jsonrpc="2.0", id=7, method="tools/call", params=params)
    return await dispatcher.converse(exchange, message)


async def theirs(dispatcher: UpstreamDispatcher, params: dict[str, Any], ears: Heard | None) -> dict[str, Any] | None:
    """Send a request the SDK's way."""
    if ears is None:
        return await dispatcher.send_raw_request("tools/call", params, {"request_id": 7})
    return await dispatcher.send_raw_request("tools/call", params, {"request_id": 7, "on_progress": ears.progress})


WAYS = pytest.mark.parametrize("send", [ours, theirs])


async def run(wire: Wire, work: Callable[[UpstreamDispatcher], Awaitable[None]]) -> None:
    """Do something with a running dispatcher."""
    dispatcher = UpstreamDispatcher(wire, WriteEnd(wire), 1.0, anyio.Event())

    async def nothing(*_args: Any) -> dict[str, Any]:
        return {}

    async def deaf(*_args: Any) -> None:
        return None

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(dispatcher.run, nothing, deaf)
            await work(dispatcher)
            tasks.cancel_scope.cancel()


def answering(wire: Wire, send: Send, *messages: JSONRPCMessage, ears: Heard | None = None) -> Any:
    """Send a request, let the upstream say this, and return the outcome."""
    outcome: list[Any] = []

    async def work(dispatcher: UpstreamDispatcher) -> None:
        async def ask() -> None:
            try:
                outcome.append(await send(dispatcher, {"name": "t"}, ears))
            except MCPError as problem:
                outcome.append((problem.error.code, problem.error.message, problem.error.data))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await wire.written.wait()
            for message in messages:
                wire.say(message)
            if not messages:
                wire.put.close()

    return run(wire, work), outcome


@WAYS
async def test_a_result_is_returned_and_the_request_is_the_same(send: Send) -> None:
    wire = Wire()
    work, outcome = answering(wire, send, JSONRPCResponse(jsonrpc="2.0", id=7, result={"content": []}))
    await work
    assert outcome == [{"content": []}]
    shown = [message.model_dump(by_alias=True, exclude_unset=True) for message in wire.sent]
    assert shown == [{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "t"}}]


@WAYS
async def test_an_error_is_raised(send: Send) -> None:
    wire = Wire()
    error = JSONRPCError(jsonrpc="2.0", id=7, error=ErrorData(code=-1, message="no", data={"why": 1}))
    work, outcome = answering(wire, send, error)
    await work
    assert outcome == [(-1, "no", {"why": 1})]


@WAYS
async def test_the_end_of_the_connection_is_an_error(send: Send) -> None:
    wire = Wire()
    work, outcome = answering(wire, send)
    await work
    assert outcome[0][0] == CONNECTION_CLOSED


@WAYS
async def test_progress_is_told_and_only_for_this_request(send: Send) -> None:
    wire, heard = Wire(), Heard()

    def progress(token: Any) -> JSONRPCNotification:
        params = {"progressToken": token, "progress": 1, "total": 2, "message": "m"}
        return JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params=params)

    done = JSONRPCResponse(jsonrpc="2.0", id=7, result={})
    work, _ = answering(wire, send, progress(8), progress(7), done, ears=heard)
    await work
    assert heard.steps == [(1.0, 2.0, "m")]
    assert wire.sent[0].model_dump()["params"]["_meta"] == {"progressToken": 7}


@WAYS
async def test_a_cancelled_request_is_cancelled_at_the_upstream(send: Send) -> None:
    wire = Wire()

    async def work(dispatcher: UpstreamDispatcher) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, dispatcher, {"name": "t"}, None)
            await wire.written.wait()
            tasks.cancel_scope.cancel()

    await run(wire, work)
    assert [message.model_dump().get("method") for message in wire.sent] == ["tools/call", "notifications/cancelled"]
    assert wire.sent[1].model_dump()["params"] == {"requestId": 7, "reason": "caller cancelled"}


@WAYS
async def test_nothing_is_sent_after_the_end_or_before_the_start(send: Send) -> None:
    wire = Wire()
    dispatcher = UpstreamDispatcher(wire, WriteEnd(wire), 1.0, anyio.Event())
    with pytest.raises(RuntimeError):
        await send(dispatcher, {"name": "t"}, None)
    ended: list[UpstreamDispatcher] = []

    async def work(running: UpstreamDispatcher) -> None:
        ended.append(running)

    await run(wire, work)
    with pytest.raises(MCPError):
        await send(ended[0], {"name": "t"}, None)
    assert wire.sent == []


async def test_an_exchange_that_is_asked_stays_open_and_goes_on() -> None:
    wire, rounds = Wire(), []
    exchange = Exchange(7, "tools/call", Heard())
    message = JSONRPCRequest.model_construct(jsonrpc="2.0", id=7, method="tools/call", params={})

    async def work(dispatcher: UpstreamDispatcher) -> None:
        asking = Asking(Question("k", "roots/list", {}))
        exchange.ask(asking)
        rounds.append(await dispatcher.converse(exchange, message))
        assert list(dispatcher.open_calls()) == [exchange]
        del exchange.questions["k"]
        wire.say(JSONRPCResponse(jsonrpc="2.0", id=7, result={"done": True}))
        rounds.append(await dispatcher.converse(exchange, None))
        assert list(dispatcher.open_calls()) == []

    await run(wire, work)
    assert rounds == [None, {"done": True}]
    assert len(wire.sent) == 1
