"""Generated and mutated messages of both eras, as bytes, through transport, face and path of a call: none crashes it.

The broad guard of `Enforcer.handle` is left out here, so that what it would catch is seen. A law, not a list of cases.
"""

import json
import logging
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data

from gateway.config import Limits
from gateway.core.account import Trail
from gateway.core.capture import Capture
from gateway.core.model import Answer, ApprovalState, Call, Failure, Lost, Reason, Reply, Result, Tool, Unsent
from gateway.enforce import Enforcer
from gateway.inquire import Inquiry
from gateway.ports import Caller
from gateway.server.face import Face, FaceSettings
from gateway.transport.serve import fd_streams
from tests.house import KEY, FakeClock, Model, policy_of
from tests.server.room import ALL, INFO, LEGACY, MODERN, PARAMS, PEER, a_thing

POLICY = policy_of()
LINE = 64 << 10
PATIENCE = 10.0  # seconds that all answers to one conversation may take
META = {
    f"io.modelcontextprotocol/{name}": value
    for name, value in {"protocolVersion": MODERN, "clientInfo": INFO, "clientCapabilities": ALL}.items()
}
CALLS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    **{method: [params] for method, params in PARAMS.items()},
    "tools/call": [{"name": f"up__{name}", "arguments": {"a": [1, {"b": None}]}} for name in ("read", "write", "set")],
    **{f"{kind}/list": [{}, {"cursor": "x"}] for kind in ("tools", "prompts", "resources", "resources/templates")},
    "ping": [{}],
    "logging/setLevel": [{"level": "debug"}],
    "server/discover": [{}],
    "subscriptions/listen": [{"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["memo://a"]}}],
    "initialize": [{"protocolVersion": LEGACY, "capabilities": ALL, "clientInfo": INFO}],
    "tasks/get": [{"taskId": "t"}],
}
NOTICES: Mapping[str, Mapping[str, Any]] = {
    "notifications/initialized": {},
    "notifications/cancelled": {"requestId": 1},
    "notifications/progress": {"progressToken": 1, "progress": 0.5},
    "notifications/roots/list_changed": {},
}
REPLIES: Sequence[Reply] = [
    Result({"content": [{"type": "text", "text": "fine"}], "structuredContent": {"a": 1}, "_meta": {"x": 1}}),
    Failure(-32001, "no", {"why": "not"}),
    Lost(Reason.UPSTREAM_LOST, ""),
    Unsent(""),
]

SOME_IDS = (*range(10), "1", "a", "", -1, 2**53 + 1)
ids = st.sampled_from(SOME_IDS)
texts = st.one_of(st.text(max_size=8), st.sampled_from(["up__read", "tools/call", "\x00", "\u202e", "x" * 300]))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A message as a good client of either era sends it."""
    meta = draw(st.sampled_from([{}, META, {**META, "progressToken": 7, "traceparent": "00-1"}]))
    if draw(st.integers(0, 4)) == 0:
        method, params = draw(st.sampled_from(sorted(NOTICES.items(), key=str)))
        return {"jsonrpc": "2.0", "method": method, "params": {**params, **({"_meta": meta} if meta else {})}}
    method = draw(st.one_of(st.sampled_from(sorted(CALLS)), st.just("tools/call")))
    given_params = {**draw(st.sampled_from(CALLS[method])), **({"_meta": meta} if meta else {})}
    if draw(st.booleans()):
        resumed = {"requestState": "r_1", "inputResponses": {"q": {"action": "accept"}}}
        given_params |= draw(st.sampled_from([{}, {}, resumed]))
    return {"jsonrpc": "2.0", "id": draw(ids), "method": method, "params": given_params}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a value of JSON."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (*path, key)
        yield from places(inner, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A good message in which something is gone, something else, or something more."""
    message: dict[str, Any] = json.loads(json.dumps(draw(messages())))
    for _ in range(draw(st.integers(1, 2))):
        found = list(places(message))
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder: Any = message
        for key in way:
            holder = holder[key]
        match draw(st.integers(0, 2)):
            case 0:
                del holder[last]
            case 1:
                holder[last] = draw(values)
            case _:
                holder[last] = [holder[last]] * 2 if isinstance(holder, list) else {"": holder[last], **holder}
    return message


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good line with a few bytes that are others, missing or too many."""
    line = bytearray(json.dumps(draw(messages())).encode())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(line) - 1)))
        match draw(st.integers(0, 2)):
            case 0:
                line[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
            case 1:
                del line[at:]
            case _:
                line[at:at] = draw(
                    st.sampled_from([b"[" * 2_000, b"\\ud800", b"\x00", b'"id":1,', b"1e999", b" " * LINE])
                )
    return bytes(line).replace(b"\n", b" ")


def encoded(message: Mapping[str, Any]) -> bytes:
    """A message as one line."""
    return json.dumps(message).encode()


lines = st.one_of(
    messages().map(encoded),
    messages().map(encoded),
    mutated().map(encoded),
    mutated().map(encoded),
    broken(),
    values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40).map(lambda data: data.replace(b"\n", b" ")),
)
OPENINGS: Sequence[Sequence[bytes]] = [
    [],
    [encoded({"jsonrpc": "2.0", "id": "open", "method": "server/discover", "params": {"_meta": META}})],
    [
        encoded({"jsonrpc": "2.0", "id": "open", "method": "initialize", "params": CALLS["initialize"][0]}),
        encoded({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ],
]


@dataclass
class Crashes:
    """What would have been caught by a broad guard."""

    seen: list[BaseException | str] = field(default_factory=list)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Count what libraries catch and log."""
        noted = self.seen

        class Note(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                noted.append(record.exc_info[1] if record.exc_info and record.exc_info[1] else record.getMessage())

        handler, root = Note(logging.ERROR), logging.getLogger("mcp")
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    async def watch(self, ctx: Any, call_next: Any) -> Any:
        """The outermost middleware: an error that isn't meant for the wire is a crash."""
        try:
            return await call_next(ctx)
        except Exception as raised:
            if handler_exception_to_error_data(raised) is None:
                self.seen.append(raised)
            raise


class Unguarded(Enforcer):
    """The path of a call without the broad guard at its top."""

    async def handle(self, call: Call, caller: Caller) -> Answer:
        return await self._path(Trail(call, FakeClock().monotonic, Capture(KEY)), caller)


class Offered:
    """What the face sees of the catalogue of the house of fakes, and one thing of every other kind."""

    revision, recalled, awaited = 1, frozenset[str](), frozenset[str]()

    def __init__(self, model: Model) -> None:
        self._model = model
        self._offers = {
            "tools": list(model.catalogue.tools.values()),
            "resources": [a_thing("resources", "memo://a")],
            "templates": [a_thing("templates", "memo://{x}")],
            "prompts": [a_thing("prompts", "greet")],
        }
        model.catalogue.tools |= {tool.exposed_as: tool for things in self._offers.values() for tool in things}

    def awaits(self, exposed: str, only: str = "") -> str | None:
        return None

    def offers(self, kind: str, only: str, client: str) -> Sequence[Tool]:
        return self._offers[kind]

    def expected(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        return None

    def find(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        return self._model.catalogue.find(exposed)

    def nearest(self, exposed: str, method: str = "tools/call") -> str | None:
        return self._model.catalogue.nearest(exposed)


def face_of(crashes: Crashes, settle: ApprovalState | None, reply: Reply) -> Face:
    """A face before the house of fakes, with nothing that catches."""
    model = Model(POLICY)
    model.approvals.settle, model.upstreams.reply = settle, reply
    offered = Offered(model)
    face = Face(
        Unguarded(model.house, Inquiry(model.house, patience=0.05, most_rounds=3)),
        offered.offers,
        offered,
        FaceSettings(KEY, "dev.wardgate/session", hold=0.01, limits=Limits()),
        model.clock,
        lambda: "d_0000000001",
        anyio.lowlevel.checkpoint,
        lambda only: "",
    )
    face.server.middleware.insert(0, crashes.watch)
    return face


def key(id: Any) -> str:
    """An id with its type, as JSON tells them apart."""
    return json.dumps(id)


IDS = frozenset(key(id) for id in (*SOME_IDS, "open"))


@dataclass
class Owed:
    """How often each id is to be answered: at least, and at most."""

    least: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    @classmethod
    def by(cls, conversation: Sequence[bytes]) -> "Owed":
        """What JSON-RPC and MCP say, told without the gateway: requests once, whatever else at most once."""
        owed, cancelled = cls(), set()
        for line in conversation:
            try:
                message = msgspec.json.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                message = None
            if len(line) > LINE or not isinstance(
                message, dict
            ):  # answered under no id, or one that is to be seen in it
                owed.most.update(id for id in IDS if id.encode() in line)
                continue
            id, params = message.get("id"), message.get("params")
            request = message.get("jsonrpc") == "2.0" and isinstance(message.get("method"), str)
            good = isinstance(id, int | str) and not isinstance(id, bool) and isinstance(params, dict | None)
            owed.most[key(id)] += 1
            if request and good and message["method"] != "subscriptions/listen":  # that one is answered at its end
                owed.least[key(id)] += 1
            elif message.get("method") == "notifications/cancelled" and isinstance(params, dict):
                cancelled.add(str(params.get("requestId")))
        for id in [id for id in owed.least if str(json.loads(id)) in cancelled]:  # the SDK takes "1" for 1 here
            del owed.least[id]
        return owed


async def converse(face: Face, conversation: Sequence[bytes], least: Counter[str]) -> Counter[str]:
    """Write all lines at once, wait for what is owed, close, and count every answer by its id."""
    ours, theirs = socket.socketpair()
    answered: Counter[str] = Counter()
    done = anyio.Event()
    with anyio.fail_after(PATIENCE):
        client = await anyio.abc.SocketStream.from_socket(ours)

        async def read() -> None:
            rest = b""
            async for data in client:
                *whole, rest = (rest + data).split(b"\n")
                for each in whole:
                    message = json.loads(each)
                    assert message["jsonrpc"] == "2.0"
                    if "method" not in message:
                        assert ("result" in message) != ("error" in message)
                        answered[key(message["id"])] += 1
                if not least - answered:
                    done.set()
            done.set()

        async def serve() -> None:
            fd = theirs.detach()
            async with fd_streams(fd, fd, LINE) as (reader, writer):
                await face.serve(reader, writer, PEER)

        async with client, anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(serve)
            if not least:
                done.set()
            await client.send(b"".join(line + b"\n" for line in conversation))
            await done.wait()
            await client.send_eof()
    return answered


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    opening=st.sampled_from(OPENINGS),
    spoken=st.lists(lines, min_size=1, max_size=8),
    settle=st.sampled_from([ApprovalState.APPROVED, ApprovalState.DENIED, ApprovalState.EXPIRED, None]),
    reply=st.sampled_from(REPLIES),
)
def test_no_message_crashes_the_gateway_and_every_request_is_answered_once(
    opening: Sequence[bytes], spoken: Sequence[bytes], settle: ApprovalState | None, reply: Reply
) -> None:
    conversation = [*opening, *spoken]
    owed, crashes = Owed.by(conversation), Crashes()

    async def run() -> Counter[str]:
        return await converse(face_of(crashes, settle, reply), conversation, owed.least)

    with crashes.logged():
        answered = anyio.run(run)
    assert crashes.seen == []
    assert owed.least <= answered
    assert Counter({id: times for id, times in answered.items() if id in IDS}) <= owed.most
    assert sum(answered.values()) <= len(conversation)
