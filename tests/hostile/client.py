"""A hostile client: it writes what it likes on a client's pipes or on a socket, and keeps all that comes back.

Whatever comes back on stdout has to be JSON-RPC. Knows nothing of the gateway's inside.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process, SocketStream

from tests.e2e.kit import PATIENCE, House, stop, until

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ConnectionError)
PREFIX = "io.modelcontextprotocol"
MODERN: Mapping[str, Any] = {
    f"{PREFIX}/protocolVersion": "2026-07-28",
    f"{PREFIX}/clientInfo": {"name": "hostile", "version": "1"},
    f"{PREFIX}/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hostile", "version": "1"}}


def line(method: str, id: Any = None, **params: Any) -> bytes:
    """One message as a line; a notice where there is no id."""
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(message if id is None else {**message, "id": id}).encode() + b"\n"


def call(id: Any, text: str = "good", tool: str = "look", meta: Mapping[str, Any] | None = None) -> bytes:
    """One call of the ledger, as a line."""
    return line("tools/call", id, name=f"ledger__{tool}", arguments={"text": text}, _meta=dict(meta or {}))


class Pest:
    """A client that keeps everything it was told, and reads only while it is let to."""

    def __init__(self, process: Process, meta: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.meta = process, meta
        self.stdin: ByteSendStream = process.stdin
        self._stdout: ByteReceiveStream = process.stdout
        self.told: list[dict[str, Any]] = []
        self._came = anyio.Event()
        self._asked = 0

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        with anyio.fail_after(PATIENCE):
            await self.stdin.send(data)

    async def read(self) -> None:
        """Keep what comes until the end; a line that is no JSON-RPC fails the test."""
        rest = b""
        with suppress(*GONE):
            while True:
                *lines, rest = (rest + await self._stdout.receive()).split(b"\n")
                for each in lines:
                    message = json.loads(each)
                    assert isinstance(message, dict), each
                    assert message.get("jsonrpc") == "2.0", each
                    self.told.append(message)
                self._came.set()
                self._came = anyio.Event()

    def answers(self, id: Any) -> list[dict[str, Any]]:
        """What was answered under an id, whose type counts."""
        return [each for each in self.told if "id" in each and "method" not in each and same(each["id"], id)]

    async def answered(self, id: Any, times: int = 1) -> list[dict[str, Any]]:
        """Wait until an id was answered so often, and return the answers."""
        with anyio.fail_after(PATIENCE):
            while len(self.answers(id)) < times:
                await self._came.wait()
        return self.answers(id)

    async def served(self) -> None:
        """One more call, in good faith: it is served."""
        self._asked += 1
        id = f"served-{self._asked}"
        await self.write(call(id, id, meta=self.meta))
        (answer,) = await self.answered(id)
        assert answer["result"]["content"][0]["text"] == f"look: {id}", answer


def same(one: Any, other: Any) -> bool:
    """Whether two ids are the same, type included: 1 is neither true nor 1.0."""
    return type(one) is type(other) and bool(one == other)


@asynccontextmanager
async def pest(house: House, era: str = "", *options: str, reads: bool = True) -> AsyncIterator[Pest]:
    """A hostile client on the pipes of `wardgate stdio`; with an era it is greeted first."""
    with house.log() as log:
        process = await anyio.open_process(house.stdio(*options), stderr=log, env=house.environment)
        client = Pest(process, MODERN if era == "modern" else {})
        try:
            async with anyio.create_task_group() as tasks:
                if reads:
                    tasks.start_soon(client.read)
                if era == "legacy":
                    await client.write(line("initialize", "hello", **HELLO))
                elif era == "modern":
                    await client.write(line("server/discover", "hello", _meta=dict(MODERN)))
                if era and reads:
                    assert "result" in (await client.answered("hello"))[0]
                if era == "legacy":
                    await client.write(line("notifications/initialized"))
                yield client
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await stop(process)


class Reply(NamedTuple):
    """What came back over HTTP; status 0: the connection was closed without a word."""

    status: int
    head: str
    body: bytes

    def json(self) -> Any:
        """The body's JSON, or that of its only event."""
        for each in self.body.splitlines():
            if each.startswith(b"data: {"):
                return json.loads(each[6:])
        return json.loads(self.body)


def post(house: House, body: bytes, *headers: str, path: str = "/mcp") -> bytes:
    """A POST as bytes; a header that is given replaces the usual one."""
    usual = {
        "Host": f"127.0.0.1:{house.port}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    given = {each.partition(":")[0] for each in headers}
    lines = [*(f"{name}: {value}" for name, value in usual.items() if name not in given), *headers]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


@asynccontextmanager
async def connection(house: House) -> AsyncIterator[SocketStream]:
    """A connection to the gateway's port, closed without ceremony."""
    stream = await anyio.connect_tcp("127.0.0.1", house.port)
    try:
        yield stream
    finally:
        await anyio.aclose_forcefully(stream)


async def exchange(house: House, data: bytes) -> Reply:
    """Write bytes to the gateway's port and read until it closes."""
    found = b""
    with anyio.fail_after(PATIENCE):
        async with connection(house) as stream:
            with suppress(*GONE):
                await stream.send(data)
                while True:
                    found += await stream.receive()
    head, _, body = found.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head.startswith(b"HTTP/1.") else 0
    if b"transfer-encoding: chunked" in head.lower():
        body = b"\n".join(part for part in body.split(b"\r\n"))
    return Reply(status, head.decode("latin-1"), body)


async def gateway_of(house: House) -> int:
    """The process id of the gateway that serves."""
    return int(await until(house.gateway))
