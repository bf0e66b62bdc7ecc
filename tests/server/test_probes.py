"""`/healthz`, `/readyz` and `/metrics` at the door: who gets what, and that who is nobody learns no name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from gateway.core.model import Principal
from gateway.server.auth import UNKNOWN_TOKEN, Denied
from gateway.server.http import Door, DoorSettings
from gateway.server.names import names_of
from gateway.server.peer import Peer
from gateway.server.probes import ALIVE, METRICS, READY, Readiness, Unready

HOST = "127.0.0.1:8765"
SETTINGS = DoorSettings(names_of("127.0.0.1", 8765), frozenset({"ledger"}), watchers=frozenset({"prometheus"}))
NUMBERS = b"wardgate_ready 1.0\n"
WAIT = 10
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class Probes:
    """A gateway that is as it is told to be."""

    def __init__(self, *reasons: Unready) -> None:
        self.found = Readiness(reasons, {"ready": 2, "failed": 1})

    async def readiness(self) -> Readiness:
        return self.found

    async def metrics(self) -> tuple[bytes, str]:
        return NUMBERS, "text/plain; version=0.0.4"


async def admit(token: str, only: str) -> Peer | Denied:
    """A token is the name of its client."""
    return UNKNOWN_TOKEN if token == "wrong" else Peer(Principal(f"client:{token}", "token"), token, "s", "http")


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """What is behind the door: it answers to all."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"through"})


@asynccontextmanager
async def visitor(
    *reasons: Unready, settings: DoorSettings = SETTINGS
) -> AsyncIterator[tuple[httpx2.AsyncClient, Door]]:
    door = Door(behind, admit, settings, behind, Probes(*reasons))
    with anyio.fail_after(WAIT):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(door), base_url=f"http://{HOST}") as http:
            yield http, door


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_who_watches_learns_without_a_token_that_it_lives_and_is_ready() -> None:
    async with visitor() as (http, _):
        alive, ready = await http.get(ALIVE), await http.get(READY)
        assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
        assert ready.status_code == 200
        assert ready.json() == {"status": "ready", "reasons": [], "upstreams": {"ready": 2, "failed": 1}}
        assert ready.headers["cache-control"] == "no-store"
        assert ready.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("reason", list(Unready))
async def test_who_is_not_ready_says_why_in_a_word_and_lives_all_the_same(reason: Unready) -> None:
    async with visitor(reason) as (http, _):
        ready = await http.get(READY)
        assert (ready.status_code, ready.json()["reasons"]) == (503, [reason.value])
        assert (await http.get(ALIVE)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer("wrong"), 401),
        (bearer("tester"), 403),
        (bearer("unknown"), 403),
        (bearer("prometheus"), 200),
    ],
    ids=["nobody", "a wrong token", "another client", "an unregistered client", "who watches"],
)
async def test_numbers_are_for_clients_that_may_have_them(headers: dict[str, str], status: int) -> None:
    async with visitor() as (http, _):
        answer = await http.get(METRICS, headers=headers)
        assert answer.status_code == status
        assert (answer.content == NUMBERS) == (status == 200)
        if status == 200:
            assert answer.headers["content-type"] == "text/plain; version=0.0.4"
        if status == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_who_may_have_numbers_may_call_nothing() -> None:
    async with visitor() as (http, _):
        for path in ("/mcp", "/mcp/ledger"):
            refused = await http.post(path, json=PING, headers=bearer("prometheus"))
            assert refused.status_code == 403
        assert (await http.post("/mcp", json=PING, headers=bearer("tester"))).text == "through"


@pytest.mark.parametrize("path", [ALIVE, READY, METRICS])
async def test_another_host_or_origin_is_refused_here_too(path: str) -> None:
    async with visitor() as (http, _):
        for headers in ({"host": "evil.example:8765"}, {"origin": "http://evil.example"}):
            assert (await http.get(path, headers={**bearer("prometheus"), **headers})).status_code == 403


@pytest.mark.parametrize("path", [ALIVE, READY, METRICS])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_sent_there(path: str, method: str) -> None:
    async with visitor() as (http, _):
        refused = await http.request(method, path, headers=bearer("prometheus"))
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_a_crowd_hides_not_that_it_lives() -> None:
    async with visitor(settings=replace(SETTINGS, connections=0)) as (http, _):
        assert (await http.post("/mcp", json={}, headers=bearer("tester"))).status_code == 503
        assert (await http.get(METRICS, headers=bearer("prometheus"))).status_code == 503
        assert (await http.get(ALIVE)).status_code == 200
        assert (await http.get(READY)).status_code == 200


async def test_paths_beside_them_are_the_consoles() -> None:
    async with visitor(Unready.DRAINING) as (http, _):
        for path in ("/readyz/", "/metrics/x", "/"):
            assert (await http.get(path)).text == "through"
