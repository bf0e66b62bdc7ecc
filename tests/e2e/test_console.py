"""`wardgate console`, whichever way the gateway was started: its link opens the console, and nothing else does."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from mcp.client.client import Client

from tests.e2e.kit import PATIENCE, House, asked, listens, wire

pytestmark = pytest.mark.slow

SHORT = 'hold = "100ms"'
PAGES = ("head", "", "grants", "decisions", "figures", "sessions", "upstreams", "leaks", "policy", "you")


@asynccontextmanager
async def signed_in(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that came by the link of the command."""
    ended = await house.run("console")
    assert ended.code == 0, ended
    link = urlsplit(ended.out.strip())
    here = f"{link.scheme}://{link.netloc}"
    assert (link.scheme, link.hostname, link.path, link.query) == ("http", "localhost", "/", "")
    secret = link.fragment.removeprefix("key=")
    async with httpx2.AsyncClient(base_url=here, headers={"origin": here}) as http:
        answer = await http.post("/do/sign-in", json={"link": secret})
        assert answer.status_code == 200, answer.text
        http.headers["x-wardgate-key"] = answer.json()["key"]
        again = await http.post("/do/sign-in", json={"link": secret})
        assert again.status_code == 403
        yield http


async def denies(house: House, http: httpx2.AsyncClient, held: str) -> None:
    """The call that waits is on the console, and is denied there."""
    assert held in (await http.get("/data/")).text
    (row,) = await house.items("approvals")
    body = {"choice": "deny", "note": "not today", "digest": row["arguments_digest"]}
    told = await http.post(f"/do/approvals/{held}", json=body)
    assert (told.status_code, told.json()["state"]) == (200, "denied")


async def is_answered(house: House, http: httpx2.AsyncClient, client: Client) -> None:
    """A call of this client is denied on the console, and the client hears why."""
    await denies(house, http, asked(await client.call_tool("ledger__note", {"text": "one"})))
    denied = await client.call_tool("ledger__note", {"text": "one"})
    assert "not today" in str(denied.content)


async def test_the_console_is_there_where_the_gateway_was_started_on_demand(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client, signed_in(house) as http:
        await is_answered(house, http, client)
    assert house.forwarded == []


async def test_a_standalone_gateway_listens_only_once_its_console_is_asked_for(house: House) -> None:
    house.configure(limits=SHORT)
    note = {"name": "ledger__note", "arguments": {"text": "one"}}
    async with wire(house, "--standalone") as pipes:
        await pipes.greet("legacy")
        held = (await pipes.ask("tools/call", note))["result"]["_meta"]["dev.wardgate/approval"]["id"]
        assert _listening(pipes.process.pid) == []
        async with signed_in(house) as http:
            here = http.base_url
            await denies(house, http, held)
            assert (await http.post("/mcp", json={})).status_code == 401, "no client comes in this way"
        assert "not today" in str((await pipes.ask("tools/call", note))["result"]["content"])
        (port,) = _listening(pipes.process.pid)
        assert (here.host, here.port) == ("localhost", port)
        async with signed_in(house) as second:
            assert second.base_url == here
    assert not listens(port)
    assert house.forwarded == []


async def opens_every_page(http: httpx2.AsyncClient) -> None:
    """Every page of a fresh gateway can be opened."""
    for page in PAGES:
        answer = await http.get(f"/data/{page}")
        assert answer.status_code == 200, (page, answer.text)


async def knows_no_token(http: httpx2.AsyncClient, token: str) -> None:
    """Clients' tokens and the console know nothing of each other."""
    assert (await http.post("/mcp", json={})).status_code == 401
    key = http.headers.pop("x-wardgate-key")
    for path in ("/data/", "/events"):
        answer = await http.get(path, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401
    assert (await http.get("/mcp/none")).status_code == 401
    assert (await http.get("/nowhere")).status_code == 404
    http.headers["x-wardgate-key"] = key


async def holds_nothing_back(gateway: anyio.abc.Process, http: httpx2.AsyncClient) -> None:
    """An open stream holds no gateway back from its end."""
    async with http.stream("GET", "/events") as events:
        lines = events.aiter_lines()
        assert await anext(lines) == "event: hello"
        gateway.terminate()
        with anyio.fail_after(PATIENCE):
            await gateway.wait()
        assert [line async for line in lines if line.startswith("event")] == []
        assert gateway.returncode == 0


async def test_the_console_of_a_gateway_that_serves_opens_by_its_link_alone_and_ends_with_it(house: House) -> None:
    house.configure(limits=SHORT)
    none = await house.run("console")
    assert (none.code, none.out) == (3, ""), "without a gateway there is no link"
    async with house.serving() as gateway, signed_in(house) as http:
        token = await house.token()
        await opens_every_page(http)
        await knows_no_token(http, token)
        async with house.http_client("legacy", token) as client:
            await is_answered(house, http, client)
        await holds_nothing_back(gateway, http)
    assert house.forwarded == []


def test_nothing_of_the_console_is_imported_before_somebody_opens_it() -> None:
    late = ("jinja2", "markupsafe", "gateway.console.app", "gateway.console.pages", "gateway.app.console", "webauthn")
    code = f"import sys, gateway.app.run, gateway.app.web; print([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def _listening(pid: int) -> list[int]:
    """The TCP ports that a process listens on."""
    table = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii")
    rows = [line.split() for line in table.splitlines()[1:]]
    ports = {row[9]: int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A"}
    links = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            links.add(os.readlink(entry))
    return sorted(port for inode, port in ports.items() if f"socket:[{inode}]" in links)
