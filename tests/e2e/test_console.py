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


@pytest.mark.parametrize("door", ["shim", "standalone", "http"])
async def test_the_console_is_there_whichever_way_the_gateway_was_started(door: str, house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client(door, "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        async with signed_in(house) as http:
            assert held in (await http.get("/data/")).text
            (row,) = await house.items("approvals")
            body = {"choice": "deny", "note": "not today", "digest": row["arguments_digest"]}
            told = await http.post(f"/do/approvals/{held}", json=body)
            assert (told.status_code, told.json()["state"]) == (200, "denied")
        denied = await client.call_tool("ledger__note", {"text": "one"})
        assert "not today" in str(denied.content)
    assert house.forwarded == []


async def test_a_standalone_gateway_listens_only_once_its_console_is_asked_for(house: House) -> None:
    async with wire(house, "--standalone") as pipes:
        await pipes.greet("legacy")
        assert _listening(pipes.process.pid) == []
        async with signed_in(house) as http:
            here = http.base_url
            assert (await http.get("/data/")).status_code == 200
            assert (await http.post("/mcp", json={})).status_code == 401, "no client comes in this way"
        (port,) = _listening(pipes.process.pid)
        assert (here.host, here.port) == ("localhost", port)
        async with signed_in(house) as second:
            assert second.base_url == here
    assert not listens(port)


async def test_clients_tokens_and_the_console_know_nothing_of_each_other(house: House) -> None:
    async with house.serving():
        token = await house.token()
        async with signed_in(house) as http:
            assert (await http.post("/mcp", json={})).status_code == 401
            del http.headers["x-wardgate-key"]
            for path in ("/data/", "/events"):
                answer = await http.get(path, headers={"authorization": f"Bearer {token}"})
                assert answer.status_code == 401
            assert (await http.get("/mcp/none")).status_code == 401
            assert (await http.get("/nowhere")).status_code == 404


async def test_every_page_of_a_fresh_gateway_can_be_opened(house: House) -> None:
    async with house.serving(), signed_in(house) as http:
        for page in PAGES:
            answer = await http.get(f"/data/{page}")
            assert answer.status_code == 200, (page, answer.text)


async def test_an_open_stream_holds_no_gateway_back_from_its_end(house: House) -> None:
    async with house.serving() as gateway, signed_in(house) as http, http.stream("GET", "/events") as events:
        lines = events.aiter_lines()
        assert await anext(lines) == "event: hello"
        gateway.terminate()
        with anyio.fail_after(PATIENCE):
            await gateway.wait()
        assert [line async for line in lines if line.startswith("event")] == []
        assert gateway.returncode == 0


async def test_without_a_gateway_there_is_no_link(house: House) -> None:
    ended = await house.run("console")
    assert (ended.code, ended.out) == (3, "")


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
