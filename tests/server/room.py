"""A face with a fake enforcer behind it, and clients before it: the SDK's of both eras, and one that shows the wire.

Nothing here decides anything: what a call gets is what the test says.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from mcp.client.client import Client
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from msgspec.structs import replace

from gateway.config import Limits
from gateway.core.canon import digest
from gateway.core.model import (
    Answer,
    Call,
    Done,
    Effect,
    Labels,
    Principal,
    Reason,
    Refused,
    Surface,
    Tier,
    Tool,
    ToolRef,
    Verdict,
)
from gateway.ports import Caller
from gateway.server.face import Face, FaceSettings
from gateway.server.peer import Peer
from gateway.transport.ends import Closing
from gateway.transport.wire import MalformedError, decode, encode
from tests.fakes import DEADLINE, KEY, FakeClock

MODERN, LEGACY = "2026-07-28", "2025-11-25"
PEER = Peer(Principal("os:ada", "os-user"), "claude-code", "s_1", "stdio", workspace="/work")
INFO = {"name": "probe", "version": "1"}
ALL = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
TEXT = {"content": [{"type": "text", "text": "fine"}]}
RESULTS: Mapping[str, Mapping[str, Any]] = {
    "tools/call": TEXT,
    "prompts/get": {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}]},
    "resources/read": {"contents": [{"uri": "memo://a", "text": "hi"}]},
    "resources/subscribe": {},
    "resources/unsubscribe": {},
    "completion/complete": {"completion": {"values": ["a"], "hasMore": False}},
}
PARAMS: Mapping[str, Mapping[str, Any]] = {
    "tools/call": {"name": "up__echo", "arguments": {"a": 1}},
    "prompts/get": {"name": "up__greet", "arguments": {"who": "Bob"}},
    "resources/read": {"uri": "memo://a"},
    "resources/subscribe": {"uri": "memo://a"},
    "resources/unsubscribe": {"uri": "memo://a"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "up__greet"},
        "argument": {"name": "who", "value": "B"},
    },
}

Handle = Callable[[Call, Caller], Awaitable[Answer]]


class FakeEnforcer:
    """Notes each call, and answers as it was told to; else with a fitting result."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.turned_away: list[tuple[Call, Reason]] = []
        self.answer: Handle = self.fine

    async def fine(self, call: Call, caller: Caller) -> Answer:
        return Done(RESULTS[call.method])

    async def handle(self, call: Call, caller: Caller) -> Answer:
        self.calls.append(call)
        return await self.answer(call, caller)

    async def turn_away(self, call: Call, reason: Reason) -> Refused:
        self.turned_away.append((call, reason))
        return Refused(call.id, Verdict.BLOCK, reason, "NOT EXECUTED - the gateway is busy.")

    def always(self, answer: Answer) -> None:
        """Give every call this answer."""

        async def handle(call: Call, caller: Caller) -> Answer:
            return answer

        self.answer = handle


def a_thing(kind: str, name: str, upstream: str = "up", **more: Any) -> Tool:
    """Something that an upstream offers."""
    shapes = {
        "tools": ({"name": name, "inputSchema": {"type": "object"}}, Surface.TOOLS, f"{upstream}__{name}"),
        "prompts": ({"name": name}, Surface.PROMPTS, f"{upstream}__{name}"),
        "resources": ({"uri": name, "name": name}, Surface.RESOURCES, name),
        "templates": ({"uriTemplate": name, "name": name}, Surface.RESOURCES, name),
    }
    definition, surface, exposed = shapes[kind]
    definition = {**definition, **more}
    return Tool(
        ToolRef(upstream, name),
        exposed,
        definition,
        digest(definition),
        Effect.READ,
        Tier.READ,
        Labels(Effect.READ),
        surface=surface,
    )


class FakeCatalogue:
    """What is offered; `put` changes it."""

    def __init__(self) -> None:
        self.revision = 0
        self.offered: dict[str, list[Tool]] = {
            "tools": [a_thing("tools", "echo")],
            "resources": [a_thing("resources", "memo://a")],
            "templates": [a_thing("templates", "memo://{x}")],
            "prompts": [a_thing("prompts", "greet")],
        }
        self.asked = 0
        self.near: str | None = None
        self.recalled = frozenset[str]()
        self.awaited = frozenset[str]()

    def put(self, kind: str, things: Sequence[Tool]) -> None:
        self.offered[kind] = list(things)
        self.revision += 1

    def offers(self, kind: str, only: str, client: str) -> Sequence[Tool]:
        self.asked += 1
        return [tool for tool in self.offered[kind] if not only or tool.ref.upstream == only]

    def find(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        return next((tool for tool in self.offered["tools"] if tool.exposed_as == exposed), None)

    def expected(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        found = self.find(exposed)
        return found if found is not None and found.ref.upstream in self.recalled else None

    def awaits(self, exposed: str, only: str = "") -> str | None:
        return next((one for one in self.awaited if exposed.startswith(f"{one}__")), None)

    def nearest(self, exposed: str, method: str = "tools/call") -> str | None:
        return self.near


class Encoded(Closing):
    """A write stream on which messages are what a line of JSON makes of them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def send(self, item: SessionMessage, /) -> None:
        message = decode(encode(item.message))
        assert not isinstance(message, MalformedError)
        await self._inner.send(SessionMessage(message))

    async def aclose(self) -> None:
        await self._inner.aclose()


class Room:
    """A face and everything fake around it."""

    def __init__(self, limits: Limits | None = None, about: str = "", hidden: int = 0, settled: bool = True) -> None:
        self.enforcer, self.catalogue, self.clock = FakeEnforcer(), FakeCatalogue(), FakeClock()
        self.left: list[str] = []
        self.settled = anyio.Event()
        if settled:
            self.settled.set()
        self._numbers = 0
        self.face = Face(
            self.enforcer,  # type: ignore[arg-type]  # a fake
            self.catalogue.offers,
            self.catalogue,
            FaceSettings(KEY, "dev.wardgate/session", limits=limits or Limits(), instructed=bool(about)),
            self.clock,
            self._number,
            self.settled.wait,
            lambda only: f"{about} {only}".strip(),
            lambda only: hidden,
        )
        self.face.on_left = self.left.append

    def _number(self) -> str:
        self._numbers += 1
        return f"d_{self._numbers:010d}"

    @asynccontextmanager
    async def streams(self, peer: Peer = PEER) -> AsyncIterator[Any]:
        """A connection to the face: the client's end of it."""
        with anyio.fail_after(DEADLINE):
            async with create_client_server_memory_streams() as (client, server), anyio.create_task_group() as tasks:
                tasks.start_soon(self.face.serve, server[0], Encoded(server[1]), peer)
                yield client
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def client(self, era: str, peer: Peer = PEER, **more: Any) -> AsyncIterator[Client]:
        """The SDK's client, connected; `era` is modern or legacy."""
        mode = "auto" if era == "modern" else "legacy"
        async with Client(self.streams(peer), mode=mode, cache=None, **more) as client:
            yield client

    @asynccontextmanager
    async def wire(
        self, era: str, capabilities: Mapping[str, Any] = ALL, peer: Peer = PEER, meta: Mapping[str, Any] | None = None
    ) -> "AsyncIterator[Wire]":
        """A client that shows every message as it is."""
        async with self.streams(peer) as (read, write):
            wire = Wire(read, write, era, capabilities, meta or {})
            if era == "legacy":
                opening = {"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": INFO}
                wire.opened = await wire.ask("initialize", opening)
                await wire.tell("notifications/initialized")
                await wire.ask("ping")  # what was sent before has been taken
            yield wire


class Wire:
    """One connection, message by message; `told` are the notifications and requests that came in between."""

    def __init__(
        self, read: Any, write: Any, era: str, capabilities: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> None:
        self._read, self._write, self.era, self._numbers = read, write, era, 0
        self._capabilities, self._meta = capabilities, meta
        self.told: list[tuple[str, Any]] = []
        self.asked: list[Any] = []  # ids of the server's requests
        self.opened: dict[str, Any] = {}
        self.replies: dict[str, Mapping[str, Any]] = {}  # what requests of the server's are answered with

    async def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request, and wait for nothing."""
        self._numbers += 1
        given = dict(params or {})
        if self.era == "modern":
            own = {PROTOCOL_VERSION_META_KEY: MODERN, CLIENT_INFO_META_KEY: INFO}
            own[CLIENT_CAPABILITIES_META_KEY] = self._capabilities
            given["_meta"] = {**own, **self._meta, **given.get("_meta", {})}
        elif self._meta:
            given["_meta"] = {**self._meta, **given.get("_meta", {})}
        request = JSONRPCRequest(jsonrpc="2.0", id=self._numbers, method=method, params=given)
        await self._write.send(SessionMessage(request))
        return self._numbers

    async def ask(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return its result, or its error under `error`."""
        return await self.answer(await self.send(method, params))

    async def answer(self, number: int) -> dict[str, Any]:
        """The answer to a request; what comes before it is in `told`."""
        while True:
            message = await self.next()
            if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id == number:
                if isinstance(message, JSONRPCError):
                    return {"error": message.error.model_dump(exclude_unset=True)}
                return message.result

    async def next(self) -> Any:
        """The next message; a request of the server's is answered as `replies` say."""
        message = (await self._read.receive()).message
        if isinstance(message, JSONRPCNotification):
            self.told.append((message.method, message.params))
        elif isinstance(message, JSONRPCRequest):
            self.told.append((message.method, message.params))
            self.asked.append(message.id)
            await self.reply(message.id, self.replies[message.method])
        return message

    async def reply(self, id: int | str, result: Mapping[str, Any]) -> None:
        """Answer a request of the server's, if there is one under this id."""
        await self._write.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=id, result=dict(result))))

    async def tell(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification."""
        note = JSONRPCNotification(jsonrpc="2.0", method=method, params=dict(params) if params else None)
        await self._write.send(SessionMessage(note))

    async def settle(self) -> None:
        """Wait until everything that was on its way has come."""
        await self.ask("ping" if self.era == "legacy" else "server/discover")


def only(upstream: str) -> Peer:
    """A client on the endpoint of one upstream."""
    return replace(PEER, only=upstream)
