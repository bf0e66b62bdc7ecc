"""The door of streamable HTTP: what is refused before anything behind it hears of a request, and how."""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from gateway.config import Auth
from gateway.core.model import Principal
from gateway.server.auth import UNKNOWN_TOKEN, Denied
from gateway.server.face import PEER_SCOPE
from gateway.server.http import Door, DoorSettings, is_new
from gateway.server.listener import Patient, uvicorn_config
from gateway.server.names import names_of
from gateway.server.peer import Peer
from gateway.transport.wire import decode

HOST = "127.0.0.1:8765"
AUTH = Auth("https://login.example.com", "https://wardgate.example.com/mcp")
JSON = {"content-type": "application/json"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}
WAIT = 10
OPEN = DoorSettings(names_of("127.0.0.1", 8765), frozenset({"ledger", "files"}), max_body=1000)


class Behind:
    """What is behind the door: remembers what came through."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.peers: list[Peer] = []
        self.owners: list[str] = []
        self.hold: anyio.Event | None = None
        self.entered = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        self.peers.append(scope[PEER_SCOPE])
        self.owners.append(scope["user"].access_token.client_id)
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"through"})


async def admit(token: str, only: str) -> Peer | Denied:
    """A token is the name of its principal."""
    if token.startswith("bad"):
        return UNKNOWN_TOKEN
    if token == "later":
        return Denied(503, "temporarily_unavailable", "not now")
    return Peer(Principal(f"client:{token}", "token"), "unknown", f"client:{token}/unknown", "http", only=only)


@asynccontextmanager
async def visitor(settings: DoorSettings = OPEN) -> AsyncIterator[tuple[httpx2.AsyncClient, Door, Behind]]:
    behind = Behind()
    door = Door(behind, admit, settings)
    wire = httpx2.ASGITransport(door)
    headers = {**JSON, "authorization": "Bearer alice", "host": HOST}
    with anyio.fail_after(WAIT):
        async with httpx2.AsyncClient(transport=wire, base_url=f"http://{HOST}", headers=headers) as http:
            yield http, door, behind


def message(answer: httpx2.Response) -> str:
    """The words of a refusal, which must be a JSON-RPC error that an SDK's client shows."""
    said = answer.json()
    assert said["jsonrpc"] == "2.0"
    assert said["id"] is None
    assert isinstance(said["error"]["code"], int)
    return str(said["error"]["message"])


async def test_who_may_enter_reaches_what_is_behind() -> None:
    async with visitor() as (http, _, behind):
        answer = await http.post("/mcp", content=json.dumps(CALL))
        assert (answer.status_code, answer.text) == (200, "through")
        assert [json.loads(body) for body in behind.bodies] == [CALL]
        assert behind.peers[0].principal.id == "client:alice"


async def test_whether_who_entered_would_still_be_let_in_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with visitor() as (http, door, behind):
        await http.post("/mcp", content=json.dumps(CALL))
        (peer,) = behind.peers
        assert await peer.stands()
        for later in ("bad token", "somebody else"):

            async def instead(token: str, only: str, found: str = later) -> Peer | Denied:
                return await admit(found, only)

            monkeypatch.setattr(door, "_admit", instead)
            assert not await peer.stands()


@pytest.mark.parametrize(
    "host",
    [
        "wardgate.example.com",
        "127.0.0.1",
        "127.0.0.2:8765",
        "127.0.0.1:8765.evil.example",
        "evil.example:8765",
        "0.0.0.0:8765",
        "",
    ],
)
async def test_another_host_is_refused(host: str) -> None:
    async with visitor() as (http, _, behind):
        answer = await http.post("/mcp", json=CALL, headers={"host": host})
        assert answer.status_code == 403
        assert "Host" in message(answer)
        assert behind.bodies == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 200), ("http://localhost:9000", 200), ("http://127.0.0.1:9000", 403), ("http://localhost:9001", 403)],
)
async def test_a_forwarder_on_loopback_may_have_a_port_of_its_own(origin: str | None, status: int) -> None:
    async with visitor() as (http, _, _):
        headers = {"host": "localhost:9000", **({"origin": origin} if origin else {})}
        assert (await http.post("/mcp", json=CALL, headers=headers)).status_code == status


@pytest.mark.parametrize(
    "origin",
    [
        "https://127.0.0.1:8765",
        "http://127.0.0.1",
        "http://127.0.0.1:8766",
        "null",
        "http://evil.example",
        "http://127.0.0.1:8765/",
        "",
    ],
)
async def test_another_origin_is_refused_and_nothing_is_allowed_to_it(origin: str) -> None:
    async with visitor() as (http, _, behind):
        for method in ("POST", "OPTIONS", "GET"):
            answer = await http.request(method, "/mcp", json=CALL, headers={"origin": origin})
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert behind.bodies == []


async def test_our_own_origin_may_call_and_gets_no_cors_either() -> None:
    async with visitor() as (http, _, _behind):
        answer = await http.post("/mcp", json=CALL, headers={"origin": f"http://{HOST}"})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/mcp", "/nowhere", "/.well-known/oauth-protected-resource"])
@pytest.mark.parametrize("token", ["alice", "bad", "later"])
async def test_every_answer_forbids_sniffing_and_framing(path: str, token: str) -> None:
    async with visitor(replace(OPEN, auth=AUTH)) as (http, _, _behind):
        answer = await http.post(path, json=CALL, headers={"authorization": f"Bearer {token}"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


class TestTokens:
    """401, 403 and 400, as RFC 6750 and RFC 9728 have them."""

    @pytest.mark.parametrize(
        "sent", [{}, {"authorization": "Basic x"}, {"authorization": "Bearer"}, {"authorization": ""}]
    )
    async def test_no_token_is_asked_for_one_without_an_error(self, sent: Mapping[str, str]) -> None:
        async with visitor() as (http, _, behind):
            del http.headers["authorization"]
            answer = await http.post("/mcp", json=CALL, headers=sent)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="wardgate"'
            assert "wardgate client add" in message(answer)
            assert behind.bodies == []

    async def test_a_bad_token_is_told_why(self) -> None:
        async with visitor() as (http, _, behind):
            answer = await http.post("/mcp", json=CALL, headers={"authorization": "bearer bad"})
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert "resource_metadata" not in answer.headers["www-authenticate"]
            assert behind.bodies == []

    async def test_two_tokens_are_one_too_many(self) -> None:
        async with visitor() as (http, _, behind):
            both = [("authorization", "Bearer alice"), ("authorization", "Bearer bob"), *JSON.items()]
            del http.headers["authorization"]
            answer = await http.post("/mcp", json=CALL, headers=both)
            assert answer.status_code == 400
            assert 'error="invalid_request"' in answer.headers["www-authenticate"]
            assert behind.bodies == []

    async def test_a_token_in_the_address_is_none(self) -> None:
        async with visitor() as (http, _, _behind):
            del http.headers["authorization"]
            assert (await http.post("/mcp?access_token=alice", json=CALL)).status_code == 401

    async def test_a_check_that_can_not_be_made_lets_nobody_in(self) -> None:
        async with visitor() as (http, _, behind):
            answer = await http.post("/mcp", json=CALL, headers={"authorization": "Bearer later"})
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert behind.bodies == []

    async def test_a_session_is_told_apart_by_principal_and_endpoint(self) -> None:
        async with visitor() as (http, _, behind):
            for path, token in (("/mcp", "alice"), ("/mcp/ledger", "alice"), ("/mcp", "bob")):
                await http.post(path, json=CALL, headers={"authorization": f"Bearer {token}"})
        assert len(set(behind.owners)) == 3


class TestMetadata:
    """What a client without a token learns (RFC 9728)."""

    PLACE = "/.well-known/oauth-protected-resource"

    @pytest.mark.parametrize(("path", "only"), [("", ""), ("/mcp", ""), ("/mcp/ledger", "/ledger")])
    async def test_it_is_told_for_each_endpoint_without_a_token(self, path: str, only: str) -> None:
        async with visitor(replace(OPEN, auth=AUTH, names=names_of("127.0.0.1", 8765, AUTH.audience))) as (http, _, _b):
            del http.headers["authorization"]
            answer = await http.get(f"{self.PLACE}{path}")
            assert answer.status_code == 200
            told = answer.json()
            assert told["resource"] == AUTH.audience + only
            assert told["authorization_servers"] == [AUTH.issuer]
            assert told["bearer_methods_supported"] == ["header"]

    @pytest.mark.parametrize("path", ["/mcp/nobody", "/mcp/", "/mcp/ledger/", "/mcpx", "/x"])
    async def test_nothing_else_has_any(self, path: str) -> None:
        async with visitor(replace(OPEN, auth=AUTH)) as (http, _, _b):
            assert (await http.get(f"{self.PLACE}{path}")).status_code == 404

    async def test_without_an_issuer_there_is_none(self) -> None:
        async with visitor() as (http, _, _b):
            assert (await http.get(self.PLACE)).status_code == 404
            assert (await http.get("/.well-known/oauth-authorization-server")).status_code == 404

    async def test_a_foreign_host_is_told_nothing(self) -> None:
        async with visitor(replace(OPEN, auth=AUTH)) as (http, _, _b):
            assert (await http.get(self.PLACE, headers={"host": "evil.example"})).status_code == 403

    @pytest.mark.parametrize(
        ("audience", "host", "where"),
        [
            ("https://wardgate.example.com/mcp", "wardgate.example.com", "https://wardgate.example.com{}/mcp/ledger"),
            ("https://example.com/gate/mcp", "example.com", "https://example.com{}/gate/mcp/ledger"),
            ("https://wardgate.example.com/mcp", HOST, "http://127.0.0.1:8765{}/mcp/ledger"),
            ("urn:wardgate", HOST, "http://127.0.0.1:8765{}/mcp/ledger"),
        ],
    )
    async def test_a_challenge_names_it_where_it_can_be_read(self, audience: str, host: str, where: str) -> None:
        settings = replace(OPEN, auth=Auth(AUTH.issuer, audience), names=names_of("127.0.0.1", 8765, audience))
        async with visitor(settings) as (http, _, _b):
            refused = await http.post("/mcp/ledger", json=CALL, headers={"authorization": "Bearer bad", "host": host})
            named = where.format(self.PLACE)
            assert f'resource_metadata="{named}"' in refused.headers["www-authenticate"]
            told = await http.get(httpx2.URL(named).path, headers={"host": host})
            assert told.status_code == 200


class TestNames:
    """Under which names a server may be called."""

    def test_loopback_has_its_three_names(self) -> None:
        names = names_of("127.0.0.1", 8765)
        assert names.hosts == {"127.0.0.1:8765", "localhost:8765", "[::1]:8765"}
        assert names.origins == {f"http://{host}" for host in names.hosts}

    def test_another_address_has_its_own_and_the_audiences(self) -> None:
        names = names_of("192.0.2.7", 8765, "https://Wardgate.example.com/mcp")
        assert names.hosts == {"192.0.2.7:8765", "wardgate.example.com"}
        assert names.origins == {"http://192.0.2.7:8765", "https://wardgate.example.com"}

    def test_every_address_has_only_loopbacks_and_the_audiences(self) -> None:
        assert names_of("0.0.0.0", 80, "https://w.example.com/mcp").hosts == {
            *("127.0.0.1:80", "localhost:80", "[::1]:80", "127.0.0.1", "localhost", "[::1]", "w.example.com")
        }
        assert "[2001:db8::1]:8765" in names_of("2001:db8::1", 8765).hosts


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/mcp/",
        "/mcp//",
        "/mcp/nobody",
        "/mcp/ledger/",
        "/mcp/ledger/x",
        "/MCP",
        "/mcp/Ledger",
        "//mcp",
        "/mcp%2Fnobody",
        "/mcp/ledger%00",
    ],
)
async def test_other_paths_are_nothing(path: str) -> None:
    async with visitor() as (http, _, behind):
        assert (await http.post(path, json=CALL)).status_code == 404
        assert behind.bodies == []


async def test_an_upstreams_endpoint_shows_that_one_only() -> None:
    async with visitor() as (http, _, behind):
        for path in ("/mcp", "/mcp/ledger", "/mcp/files"):
            assert (await http.post(path, json=CALL)).status_code == 200
        assert [peer.only for peer in behind.peers] == ["", "ledger", "files"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "post"])
async def test_other_methods_are_refused(method: str) -> None:
    async with visitor() as (http, _, behind):
        answer = await http.request(method, "/mcp", json=CALL)
        if method != "post":  # clients write methods in capitals by themselves
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST, GET, DELETE"
            assert behind.bodies == []


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonp",
        "",
        "text/plain; x=application/json",
        "application/json; charset=utf-16",
    ],
)
async def test_what_a_page_could_send_without_asking_is_refused(kind: str) -> None:
    async with visitor() as (http, _, behind):
        answer = await http.post("/mcp", content=json.dumps(CALL), headers={"content-type": kind})
        assert answer.status_code == 415
        assert behind.bodies == []


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_json_however_it_is_written(kind: str) -> None:
    async with visitor() as (http, _, _behind):
        answer = await http.post("/mcp", content=json.dumps(CALL), headers={"content-type": kind})
        assert answer.status_code == 200


async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    async with visitor() as (http, _, behind):
        body = json.dumps(CALL).encode()
        assert (await http.post("/mcp", content=body.ljust(1000))).status_code == 200
        answer = await http.post("/mcp", content=body.ljust(1001))
        assert answer.status_code == 413
        assert "1000" in message(answer)
        assert len(behind.bodies) == 1


async def test_one_request_more_than_may_be_open_is_busy_and_the_next_is_served() -> None:
    async with visitor(replace(OPEN, connections=1)) as (http, _, behind):
        behind.hold = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(http.post, "/mcp", json=CALL))
            await behind.entered.wait()
            answer = await http.post("/mcp", json=CALL)
            assert answer.status_code == 503
            assert "busy" in message(answer)
            assert len(behind.bodies) == 1
            behind.hold.set()
        assert (await http.post("/mcp", json=CALL)).status_code == 200


async def test_a_draining_gateway_refuses_what_is_new_and_hears_answers_to_what_runs() -> None:
    async with visitor() as (http, door, behind):
        door.draining = True
        assert (await http.post("/mcp", json=CALL)).status_code == 503
        assert (await http.get("/mcp")).status_code == 503
        assert behind.bodies == []
        for going_on in ({"jsonrpc": "2.0", "id": 1, "result": {}}, {"jsonrpc": "2.0", "method": "notifications/x"}):
            assert (await http.post("/mcp", json=going_on)).status_code == 200


@pytest.mark.parametrize(
    ("body", "new"),
    [
        (b"[]", True),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', False),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}', False),
        (b'{"jsonrpc":"2.0","method":"x"}', False),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', False),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}', True),
    ],
    ids=["batch", "answer", "error", "notice", "list", "call"],
)
def test_only_answers_notices_and_lists_are_nothing_new(body: bytes, new: bool) -> None:
    assert is_new(decode(body)) is new


ODD = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%s}'
PARAMS = ODD % '{"arguments":{"x":%s}}'


@pytest.mark.parametrize(
    ("body", "code", "id"),
    [
        (PARAMS % "NaN", -32700, 7),
        (PARAMS % "-Infinity", -32700, 7),
        (PARAMS % "1e400", -32700, 7),
        (PARAMS % "-1e400", -32700, 7),
        (PARAMS % '"\\ud800"', -32700, 7),
        (PARAMS % '{"\\udfff":1}', -32700, 7),
        (ODD % '{"_meta":{"vendor/x":"\\ud800"}}', -32700, 7),
        (ODD % '{"inputResponses":{"k":{"content":{"x":NaN}}}}', -32700, 7),
        (ODD % '{"a":1e400,"a":1}', -32700, 7),
        (PARAMS % ("[" * 300 + "]" * 300), -32700, 7),
        ('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":NaN}}', -32700, None),
        ("", -32700, None),
        ("{not json", -32700, None),
        ("\ufeff{}", -32700, None),
        ("7", -32600, None),
        (ODD.replace("2.0", "1.0") % "{}", -32600, 7),
        (ODD % "[1]", -32600, 7),
        ((ODD % "{}").replace(":7", ":null"), -32600, None),
    ],
    ids=[
        *("nan", "minus infinity", "1e400", "-1e400", "lone surrogate", "lone surrogate in a key", "in _meta"),
        *("in an answer", "in the first of two", "deep", "notice", "empty", "broken", "byte order mark", "number"),
        *("version", "params", "null id"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"mcp-protocol-version": "2026-07-28"}], ids=["legacy", "modern"])
async def test_a_body_is_read_as_strictly_as_a_line_and_what_is_refused_reaches_nobody(
    headers: dict[str, str], body: str, code: int, id: int | None
) -> None:
    async with visitor() as (http, _, behind):
        answer = await http.post("/mcp", content=body.encode(), headers=headers)
        assert answer.status_code == 400
        assert (answer.json()["error"]["code"], answer.json()["id"]) == (code, id)
        assert behind.bodies == []


@pytest.mark.parametrize(
    "body",
    [json.dumps(CALL), json.dumps([CALL, CALL]), " \n[]", ODD % '{"a": 1,"a" :2, "n": 18446744073709551617}'],
    ids=["call", "batch", "empty batch", "spaces and a key twice"],
)
async def test_a_good_body_and_a_batch_are_passed_on_as_they_came(body: str) -> None:
    async with visitor() as (http, _, behind):
        assert (await http.post("/mcp", content=body.encode())).status_code == 200
        assert behind.bodies == [body.encode()]


@pytest.mark.parametrize("broken", ['"result":{"x":NaN}', '"result":null', '"error":{"code":1.5}'])
async def test_a_broken_answer_fails_the_question_that_it_is_for(broken: str) -> None:
    async with visitor() as (http, _, behind):
        assert (await http.post("/mcp", content=f'{{"jsonrpc":"2.0","id":7,{broken}}}')).status_code == 200
        (passed,) = map(json.loads, behind.bodies)
        assert (passed["id"], passed["error"]["code"]) == (7, -32603)


class Raw:
    """A connection on which bytes are written by hand."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def say(self, text: str) -> None:
        await self.stream.send(text.encode())

    async def trickle(self) -> None:
        """Say one byte after the other, until the server closes (and raise what that raises)."""
        while True:
            await self.say("x")
            with anyio.move_on_after(0.02):
                await self.stream.receive()

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        data = b""
        try:
            while True:
                data += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return data


class _Server(uvicorn.Server):
    """uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def listening(settings: DoorSettings = OPEN, most: int = 100) -> AsyncIterator[tuple[int, Behind]]:
    """A door on a real port, with short deadlines."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, behind = int(listener.getsockname()[1]), Behind()
        door = Door(behind, admit, replace(settings, names=names_of("127.0.0.1", port)))
        config = uvicorn_config(door, most)
        config.http.headers_deadline = 0.2  # type: ignore[union-attr]  # a class of ours
        server = _Server(config)
        with anyio.fail_after(WAIT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server._serve, [listener])
                await server.listens.wait()
                try:
                    yield port, behind
                finally:
                    server.should_exit = True


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        yield Raw(stream)


def head(port: int, length: int, *more: str) -> str:
    lines = ["POST /mcp HTTP/1.1", f"Host: 127.0.0.1:{port}", "Authorization: Bearer alice"]
    lines += ["Content-Type: application/json", f"Content-Length: {length}", *more, "", ""]
    return "\r\n".join(lines)


class TestConnections:
    """Real sockets: what never becomes a request ends in time, and costs nobody else anything."""

    @pytest.mark.parametrize("begun", ["", "POST /mcp HT", "POST /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: "])
    async def test_a_half_open_connection_is_closed(self, begun: str) -> None:
        async with listening() as (port, behind), raw(port) as connection:
            await connection.say(begun)
            assert await connection.rest() == b""
            assert behind.bodies == []

    async def test_headers_that_trickle_in_are_closed_all_the_same(self) -> None:
        async with listening() as (port, _), raw(port) as connection:
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await connection.trickle()

    async def test_a_connection_stays_for_the_next_request_and_no_half_of_one(self) -> None:
        async with listening() as (port, behind), raw(port) as connection:
            for _ in range(2):
                await connection.say(head(port, 2) + "[]")
                assert b"200 OK" in await connection.stream.receive()
            await connection.say("POST /mcp")
            await connection.rest()
            assert len(behind.bodies) == 2

    async def test_a_body_that_does_not_come_in_time_is_refused(self) -> None:
        async with listening(replace(OPEN, body_deadline=0.2)) as (port, behind), raw(port) as connection:
            await connection.say(head(port, 10) + "{")
            assert (await connection.rest()).startswith(b"HTTP/1.1 408")
            assert behind.bodies == []

    async def test_a_client_that_goes_away_in_its_body_is_nobody(self) -> None:
        async with listening() as (port, behind):
            async with raw(port) as connection:
                await connection.say(head(port, 10) + "{")
            async with raw(port) as connection:
                await connection.say(head(port, 2) + "[]")
                assert b"200 OK" in await connection.stream.receive()
            assert behind.bodies == [b"[]"]

    async def test_a_flood_of_headers_is_refused(self) -> None:
        async with listening() as (port, behind), raw(port) as connection:
            await connection.say(head(port, 2, *(f"X-{number}: {'x' * 90}" for number in range(500))) + "{}")
            assert b" 431 " in await connection.stream.receive()
            assert behind.bodies == []

    async def test_headers_without_end_are_refused(self) -> None:
        async with listening() as (port, behind), raw(port) as connection:
            await connection.say(f"POST /mcp HTTP/1.1\r\nX-Endless: {'x' * 40_000}")
            assert (await connection.rest()).startswith(b"HTTP/1.1 400")
            assert behind.bodies == []

    async def test_what_is_no_http_is_refused_with_the_headers_of_every_answer(self) -> None:
        async with listening() as (port, _), raw(port) as connection:
            await connection.say("\x16\x03\x01 hello\r\n\r\n")
            answer = await connection.rest()
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"nosniff" in answer

    async def test_two_lengths_or_two_hosts_are_refused(self) -> None:
        async with listening() as (port, behind):
            for more in ("Content-Length: 3", "Transfer-Encoding: chunked", f"Host: 127.0.0.1:{port}"):
                async with raw(port) as connection:
                    await connection.say(head(port, 2, more) + "{}")
                    assert b"200 OK" not in await connection.rest(), more
            assert behind.bodies == []

    async def test_one_connection_more_than_may_be_open_is_closed_at_once(self) -> None:
        async with listening(most=2) as (port, _), raw(port), raw(port), raw(port) as third:
            with anyio.fail_after(Patient.headers_deadline / 2):
                assert await third.rest() == b""

    async def test_a_web_socket_is_none(self) -> None:
        async with listening() as (port, behind), raw(port) as connection:
            asked = ["GET /mcp HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
            await connection.say("\r\n".join([*asked, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==", "", ""]))
            assert b" 401 " in await connection.stream.receive()
            assert behind.bodies == []
