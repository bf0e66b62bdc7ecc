"""The doors of streamable HTTP, spoken to by hand: who gets in, and what a session is to somebody else."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import httpx2
import pytest

from tests.e2e.kit import DEADLINE, House

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CALLING = {"Mcp-Method": "tools/call", "Mcp-Name": "ledger__note", "MCP-Protocol-Version": "2026-07-28"}
LINE = 512 << 10  # bytes, as configured; what nests too deep is shorter
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def bearer(token: str, **more: str) -> dict[str, str]:
    """The header that names a client."""
    return {"Authorization": f"Bearer {token}", **more}


async def post(http: httpx2.AsyncClient, house: House, body: Any, headers: Mapping[str, str]) -> httpx2.Response:
    """Send one message."""
    return await http.post(house.url, content=json.dumps(body), headers=dict(headers))


async def opens_to_a_valid_token_alone(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """Only a valid token opens the door."""
    for headers in (
        {},
        bearer("wrong"),
        {"Authorization": "Bearer"},
        bearer(token[:-1]),
        {"Authorization": f"Basic {token}"},
    ):
        refused = await post(http, house, INITIALIZE, headers)
        assert refused.status_code == 401, headers
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert "mcp-session-id" not in refused.headers
    for method in ("GET", "DELETE", "PUT", "OPTIONS"):
        assert (await http.request(method, house.url)).status_code == 401
    assert (await post(http, house, INITIALIZE, bearer(token))).status_code == 200


async def refuses_a_revoked_token(http: httpx2.AsyncClient, house: House, token: str) -> str:
    """A revoked token is refused at once, and what waits for a person by it is not sent; returns the one that takes its
    place.
    """
    opened = await post(http, house, INITIALIZE, bearer(token))
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    said: list[str] = []

    async def held() -> None:
        note = {"name": "ledger__note", "arguments": {"text": "held"}, "_meta": MODERN}
        body = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": note}
        said.append((await post(http, house, body, bearer(token, **CALLING))).text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(held)
        row = await house.waiting()
        assert (await house.run("client", "revoke", "tester")).code == 0
        for headers in (bearer(token), bearer(token, **session)):
            assert (await post(http, house, LIST, headers)).status_code == 401
        assert (await house.run("approve", row, "--yes")).code == 0
    assert "NOT EXECUTED" in said[0]
    fresh = await house.token()
    assert fresh != token
    assert (await post(http, house, INITIALIZE, bearer(fresh))).status_code == 200
    return fresh


async def refuses_what_is_foreign(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """A foreign host or origin is refused even with a token."""
    own = f"127.0.0.1:{house.port}"
    foreign = [
        {"Host": "wardgate.example.com"},
        {"Host": f"attacker.example:{house.port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": f"https://{own}"},
        {"Origin": "http://127.0.0.1:1"},
    ]
    for headers in foreign:
        refused = await post(http, house, INITIALIZE, bearer(token, **headers))
        assert refused.status_code == 403, headers
    ours = [{"Origin": f"http://{own}"}, {"Host": f"localhost:{house.port}"}]
    for headers in ours:
        assert (await post(http, house, INITIALIZE, bearer(token, **headers))).status_code == 200, headers


async def refuses_what_is_too_long(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """A body over the limit is refused, and the next one is served."""
    large = {**INITIALIZE, "params": {**INITIALIZE["params"], "_meta": {"x": "x" * LINE}}}  # type: ignore[dict-item]  # one level of a literal
    refused = await post(http, house, large, bearer(token))
    assert refused.status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 * LINE >> 12):
            yield b" " * (4 << 10)

    chunked = await http.post(house.url, content=endless(), headers=bearer(token))
    assert chunked.status_code == 413
    assert (await post(http, house, INITIALIZE, bearer(token))).status_code == 200


async def keeps_a_session_to_its_token(http: httpx2.AsyncClient, house: House, mine: str, theirs: str) -> None:
    """A session belongs to the token that opened it."""
    opened = await post(http, house, INITIALIZE, bearer(mine))
    session = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await post(http, house, ready, bearer(mine, **session))).status_code == 202
    assert (await post(http, house, LIST, bearer(theirs, **session))).status_code == 404
    assert (await http.request("DELETE", house.url, headers=bearer(theirs, **session))).status_code == 404
    assert (await post(http, house, LIST, bearer(mine, **session))).status_code == 200
    assert (await http.request("DELETE", house.url, headers=bearer(mine, **session))).status_code == 200
    assert (await post(http, house, LIST, bearer(mine, **session))).status_code == 404


async def gives_a_clear_status(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """Other methods, paths and types get a clear status."""
    assert (await http.get(house.url, headers=bearer(token))).status_code in (400, 405)
    assert (await http.request("PUT", house.url, headers=bearer(token))).status_code == 405
    assert (await http.get(house.url.replace("/mcp", "/other"), headers=bearer(token))).status_code == 404
    malformed = await http.post(house.url, content=b"{not json", headers=bearer(token))
    assert malformed.status_code == 400
    assert malformed.json()["error"]["code"] == -32700
    plain = await http.post(house.url, content=b"{}", headers=bearer(token, **{"Content-Type": "text/plain"}))
    assert plain.status_code == 415
    assert (await post(http, house, INITIALIZE, bearer(token))).status_code == 200


def modern(method: str, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A modern request, and the headers that go with it."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": MODERN}}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    return body, {**headers, "Mcp-Name": params["name"]} if "name" in params else headers


async def refuses_what_contradicts_itself(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """A modern body that its headers contradict is refused."""
    body, headers = modern("tools/call", name="ledger__note", arguments={"text": "one"})
    lies: list[dict[str, str]] = [
        {"Mcp-Name": "ledger__look"},
        {"Mcp-Method": "tools/list"},
        {"MCP-Protocol-Version": "2025-11-25"},
        {"MCP-Protocol-Version": "1999-01-01"},
    ]
    for lie in lies:
        refused = await post(http, house, body, bearer(token, **{**headers, **lie}))
        assert refused.status_code in (400, 404), lie
        assert "error" in refused.json(), lie
    look, right = modern("tools/call", name="ledger__look", arguments={"text": "two"})
    assert (await post(http, house, look, bearer(token, **right))).status_code == 200


async def bears_any_body(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """What is in the body is refused or answered, and never breaks the server."""
    bodies = [
        b"",
        b"[]",
        b"null",
        b"7",
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b'{"jsonrpc":"2.0"}',
        b"\0",
    ]
    bodies += [json.dumps([LIST, LIST]).encode(), b'{"jsonrpc":"2.0","id":{},"method":"ping"}']
    for era in ({}, {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}):
        for body in bodies:
            refused = await http.post(house.url, content=body, headers=bearer(token, **era))
            assert 400 <= refused.status_code < 500, (era, body[:20])
    assert (await post(http, house, INITIALIZE, bearer(token))).status_code == 200


NOT_STRICT = ("NaN", "-Infinity", "1e400", "-1e400", r'"\ud800"', r'{"\ud800":1}', "[" * 300 + "]" * 300)


async def takes_strict_json_alone(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """What stdio would not take is refused in both eras, wherever it stands: what was checked is what is sent."""
    opened = await post(http, house, INITIALIZE, bearer(token))
    session = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    good, right = modern("tools/call", name="ledger__note", arguments={"text": "PUT"})
    parts: tuple[dict[str, Any], ...] = (
        {},
        {"arguments": {"text": "x"}, "_meta": {**MODERN, "vendor/x": "PUT"}},
        {"arguments": {"text": "x"}, "requestState": "r_x", "inputResponses": {"k": {"content": {"x": "PUT"}}}},
    )
    for put in parts:
        body = json.dumps({**good, "params": {**good["params"], **put}})
        for headers in (bearer(token, **right), bearer(token, **session)):
            for odd in NOT_STRICT:
                refused = await http.post(house.url, content=body.replace('"PUT"', odd), headers=headers)
                assert refused.status_code == 400, odd
                assert (refused.json()["error"]["code"], refused.json()["id"]) == (-32700, 1), odd


async def shows_an_upstream_alone(http: httpx2.AsyncClient, house: House, token: str) -> None:
    """An endpoint of one upstream shows it alone, and its session is of no use elsewhere."""
    body, headers = modern("tools/list")
    for path, prefixes in (("", {"ledger", "second"}), ("/ledger", {"ledger"}), ("/second", {"second"})):
        listed = await http.post(house.url + path, json=body, headers=bearer(token, **headers))
        names = [tool["name"] for tool in listed.json()["result"]["tools"]]
        assert {name.split("__")[0] for name in names} == prefixes, path
    foreign, right = modern("tools/call", name="second__look", arguments={"text": "one"})
    refused = await http.post(f"{house.url}/ledger", json=foreign, headers=bearer(token, **right))
    assert "error" in refused.json()
    opened = await http.post(f"{house.url}/ledger", json=INITIALIZE, headers=bearer(token))
    session = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    assert (await post(http, house, LIST, bearer(token, **session))).status_code == 404
    for unknown in ("/nobody", "/", "/ledger/x", "/Ledger"):
        answer = await http.post(house.url + unknown, json=INITIALIZE, headers=bearer(token))
        assert answer.status_code == 404, unknown


CLAIMS = (
    opens_to_a_valid_token_alone,
    refuses_what_is_foreign,
    refuses_what_is_too_long,
    gives_a_clear_status,
    refuses_what_contradicts_itself,
    bears_any_body,
    takes_strict_json_alone,
    shows_an_upstream_alone,
)


@pytest.mark.slow
async def test_the_door_opens_to_a_valid_token_and_bears_whatever_is_sent(house: House) -> None:
    second = house.ledger().replace("[upstreams.ledger]", "[upstreams.second]")
    house.configure(house.ledger(), second, limits='line = "512KiB"')
    async with house.serving(), httpx2.AsyncClient(headers=ACCEPT) as http:
        token, other = await house.token(), await house.token("other")
        with anyio.fail_after(DEADLINE):
            for claim in CLAIMS:
                await claim(http, house, token)
            await keeps_a_session_to_its_token(http, house, token, other)
            tokens = (token, other, await refuses_a_revoked_token(http, house, token))
    assert house.forwarded == ["look two"]
    for path in house.state.rglob("*"):
        assert not path.is_file() or all(secret.encode() not in path.read_bytes() for secret in tokens)
