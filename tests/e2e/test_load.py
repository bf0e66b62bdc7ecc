"""Load: 500 calls at once, two principals that keep apart under it, and a soak that leaves no memory behind.

Knows nothing of the gateway's inside: each answer is counted, and the ledger tells what was really forwarded.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
import pytest

from tests.e2e.kit import ERAS, House, Wire, until, wire
from tests.processes import resident

CALLS = 500
SOAK, WARM, STEP, WIDTH = 20_000, 6_000, 1_000, 16
SPAN = 2  # steps that are looked at together
DRIFT = 40.0  # kB that the gateway may grow by in 1,000 calls: 88 bytes kept by every call were seen as 58 to 88
ROOM = 16 << 10  # kB that may be taken once, for what waits while the disk pauses
PATIENCE = 60.0  # seconds that a storm of calls may take
PREFIX = "io.modelcontextprotocol"
MODERN = {
    f"{PREFIX}/protocolVersion": "2026-07-28",
    f"{PREFIX}/clientInfo": {"name": "load", "version": "1"},
    f"{PREFIX}/clientCapabilities": {"elicitation": {"form": {}}},
}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}

pytestmark = pytest.mark.slow


def request(id: int | str, mark: str, meta: Mapping[str, Any], tool: str = "look", **more: Any) -> dict[str, Any]:
    """A call that its answer and the ledger can be told by."""
    params = {"name": f"ledger__{tool}", "arguments": {"text": mark}, "_meta": dict(meta), **more}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}


def said(answer: Mapping[str, Any]) -> str:
    """What an answer holds: the text of a result, `busy`, or the answer itself where it is neither."""
    result = answer.get("result", {})
    if result.get("isError"):
        return str(result.get("_meta", {}).get("dev.wardgate/decision", {}).get("reason", result))
    return str(result["content"][0]["text"]) if result.get("content") else json.dumps(answer)


@dataclass
class Storm:
    """What came of many calls at once: what was said to each, and how often each was answered."""

    answers: dict[str, str]
    times: Counter[str]

    @classmethod
    def empty(cls) -> "Storm":
        """A storm before its first answer."""
        return cls({}, Counter())

    def note(self, mark: str, answer: Mapping[str, Any]) -> None:
        """Keep one answer."""
        self.times[mark] += 1
        self.answers[mark] = said(answer)

    def check(self, marks: Iterable[str], what: str) -> set[str]:
        """Every call got one answer, its own or an honest `busy`; gives the ones that were served."""
        wanted = set(marks)
        assert set(self.answers) == wanted, what
        assert set(self.times.values()) == {1}, what
        served = {mark for mark, text in self.answers.items() if text == f"look: {mark}"}
        odd = {mark: text for mark, text in self.answers.items() if mark not in served and text != "busy"}
        assert odd == {}, what
        return served


async def pour(pipes: Wire, meta: Mapping[str, Any], marks: Sequence[str], storm: Storm) -> None:
    """Write all calls on a client's pipes without waiting for any; the id of each is its mark."""

    async def write() -> None:
        for mark in marks:
            await pipes.put(request(mark, mark, meta))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for _ in marks:
            answer = await pipes.take(PATIENCE)
            storm.note(str(answer["id"]), answer)
    assert "result" in await pipes.ask("ping" if not meta else "server/discover", {"_meta": dict(meta)}, "last")


class Door:
    """One principal before the gateway's HTTP."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client, self._url = client, url

    async def send(self, message: Mapping[str, Any], **headers: str) -> httpx2.Response:
        """Send one message as it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.post(self._url, json=message, headers=named)

    async def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send one modern call, and return its answer."""
        answered = await self.send(message, Mcp_Method=message["method"], Mcp_Name=message["params"]["name"])
        text = answered.text
        if answered.headers["content-type"].startswith("text/event-stream"):
            (text,) = (line[6:] for line in text.splitlines() if line.startswith("data: ") and '"id":1' in line)
        return dict(json.loads(text))


@asynccontextmanager
async def http(house: House, token: str) -> AsyncIterator["Door"]:
    """An HTTP client that may have as many connections as it likes."""
    limits = httpx2.Limits(max_connections=None)
    headers = {**ACCEPT, "Authorization": f"Bearer {token}", "MCP-Protocol-Version": "2026-07-28"}
    async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=PATIENCE) as client:
        yield Door(client, house.url)


async def pour_http(client: Door, marks: Sequence[str], storm: Storm) -> None:
    """Send all calls over HTTP at once, all with one id: a stateless request stands alone."""

    async def one(mark: str) -> None:
        storm.note(mark, await client.ask(request(1, mark, MODERN)))

    async with anyio.create_task_group() as tasks:
        for mark in marks:
            tasks.start_soon(one, mark)


def marks_of(who: str, count: int = CALLS) -> list[str]:
    """The marks of one client's calls."""
    return [f"{who}-{number}" for number in range(count)]


async def bystand(pipes: Wire, meta: Mapping[str, Any], calls: int = 20) -> None:
    """Another client, that calls one by one meanwhile: each call is served."""
    for number in range(calls):
        mark = f"bystander-{number}"
        answer = await pipes.ask("tools/call", request(1, mark, meta)["params"], mark)
        assert said(answer) == f"look: {mark}"


@asynccontextmanager
async def storming(house: House, what: str, *names: str) -> AsyncIterator[Iterator[tuple[list[str], Storm]]]:
    """The marks and the storm of each client, that share `CALLS`; after it, what was answered with a result was
    forwarded once, and nothing else was.
    """
    before = len(house.forwarded)
    storms = {name: (marks_of(f"{what} {name}", CALLS // len(names)), Storm.empty()) for name in names}
    yield iter(storms.values())
    served: set[str] = set().union(*(storm.check(marks, what) for marks, storm in storms.values()))
    reached = [line.removeprefix("look ") for line in house.forwarded[before:] if "bystander" not in line]
    assert len(reached) == len(set(reached)), what
    assert set(reached) == served, what


async def test_500_calls_at_once_on_stdio_are_each_answered_once(house: House) -> None:
    async with wire(house) as other, AsyncExitStack() as stack:
        others, greeted = await other.greet("legacy"), []
        for at in range(10):
            pipes = await stack.enter_async_context(wire(house))
            greeted.append((pipes, await pipes.greet(ERAS[at % 2])))
        for era, (pipes, meta) in zip(ERAS, greeted, strict=False):
            async with storming(house, f"one {era}", "tester") as storms, anyio.create_task_group() as tasks:
                tasks.start_soon(pour, pipes, meta, *next(storms))
                tasks.start_soon(bystand, other, others)
        async with storming(house, "ten", *map(str, range(10))) as storms, anyio.create_task_group() as tasks:
            for (pipes, meta), (marks, storm) in zip(greeted, storms, strict=True):
                tasks.start_soon(pour, pipes, meta, marks, storm)


async def test_500_calls_at_once_over_http_are_each_answered_once_and_two_principals_keep_apart(house: House) -> None:
    async with house.serving(), wire(house) as other, AsyncExitStack() as stack:
        others = await other.greet("legacy")
        mine, theirs = [
            await stack.enter_async_context(http(house, await house.token(name))) for name in ("tester", "other")
        ]
        for what, doors in (("one", {"tester": mine}), ("two", {"tester": mine, "other": theirs})):
            async with storming(house, what, *doors) as storms, anyio.create_task_group() as tasks:
                for door, (marks, storm) in zip(doors.values(), storms, strict=True):
                    tasks.start_soon(pour_http, door, marks, storm)
                tasks.start_soon(bystand, other, others)
        await keep_apart(house, mine, theirs)


async def keep_apart(house: House, mine: Door, theirs: Door) -> None:
    """Under load on both, with equal ids, neither principal gets anywhere with the other's session or handle."""
    held = await mine.ask(request(1, "kept", MODERN, "note"))
    handle = held["result"]["requestState"]
    session = await _open(mine)
    answers = {"dev.wardgate/approval": {"action": "accept", "content": {"approve": True}}}
    again = request(1, "kept", MODERN, "note", requestState=handle, inputResponses=answers)
    marks = {name: marks_of(f"apart {name}", 100) for name in ("tester", "other")}
    storms = {name: Storm.empty() for name in marks}

    async def steal() -> None:
        for _ in range(20):
            assert said(await theirs.ask(again)) != "note: kept"
            listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            refused = await theirs.send(listed, mcp_session_id=session, mcp_protocol_version="2025-11-25")
            assert refused.status_code == 404

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pour_http, mine, marks["tester"], storms["tester"])
        tasks.start_soon(pour_http, theirs, marks["other"], storms["other"])
        tasks.start_soon(steal)
    assert "note kept" not in house.forwarded
    for name, storm in storms.items():
        storm.check(marks[name], f"apart {name}")
    rows = await house.items("log", "--kind", "outcome", "--tool", "look", "--limit", "200")
    assert {row["principal"] for row in rows} == {"client:tester", "client:other"}
    (row,) = await house.items("approvals")
    assert row["principal"] == "client:tester"


async def _open(client: Door) -> str:
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    opened = await client.send(hello, mcp_protocol_version="2025-11-25")
    return str(opened.headers["mcp-session-id"])


def drift(sizes: Sequence[int]) -> float:
    """What a step adds in those two of the run that add least: a leak adds with every call. What is taken once
    (the records of reads that wait while the disk pauses), or fills up to a bound, adds in few of them.
    """
    return min((last - first) / SPAN for first, last in zip(sizes, sizes[SPAN:], strict=False))


@pytest.mark.timeout(240)
async def test_a_soak_of_20000_calls_leaves_no_memory_behind(house: House) -> None:
    sizes: list[int] = []
    async with wire(house) as pipes:
        meta = await pipes.greet("legacy")
        pid = int(await until(house.gateway))
        sent = 0
        for done in range(SOAK):
            while sent < SOAK and sent < done + WIDTH:
                await pipes.put(request(sent, f"{sent}", meta))
                sent += 1
            answer = await pipes.take()
            assert said(answer) == f"look: {answer['id']}"
            if done >= WARM and done % STEP == 0:
                sizes.append(resident(pid))
    assert len(house.forwarded) == SOAK
    assert drift(sizes) < DRIFT, str(sizes)
    assert sizes[-1] - sizes[0] < ROOM, str(sizes)
