"""No secret is at rest: a different one is planted on every surface, and then every file of the state folder is read.

Promise R5. Each secret is looked for in every form of `planted.forms`, in the bytes of every file, journals included,
and in every value of every table.
"""

import base64
import json
import sqlite3
from bisect import bisect
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference

from tests.e2e.kit import ERAS, House, Wire, until, wire
from tests.e2e.planted import RESULTS, Planted, answering, fake_token, forms, found, leaking, records

# Deprecated in the modern era, and still what legacy clients do.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


def test_a_secret_is_found_in_every_form(tmp_path: Path) -> None:
    secret = fake_token()
    for number, form in enumerate(forms(secret)):
        place = tmp_path / f"{number}"
        place.mkdir()
        with closing(sqlite3.connect(place / "record.db")) as db:
            db.execute("CREATE TABLE t (x)")
            assert found(place, {"here": secret}) == {}
            db.execute("INSERT INTO t VALUES (?)", (b"x" * 5_000 + form + b"y" * 5_000,))
            db.commit()
        assert "here" in found(place, {"here": secret}), form


@pytest.mark.slow
async def test_nothing_that_upstreams_clients_hooks_and_people_say_is_at_rest(house: House) -> None:
    planted, said, begun = Planted(), [Planted() for _ in range(3)], []
    leaking(house, planted)
    async with house.serving():
        for step in (
            *(partial(an_upstream_says_them, house, era, planted) for era in ERAS),
            *(partial(a_client_says_them, house, era, said[number]) for number, era in enumerate(ERAS)),
            partial(hooks_and_people_say_them, house, said[-1]),
            partial(they_come_over_http, house, planted),
        ):
            begun.append(datetime.now(UTC))
            await step()
        planted |= {f"{number}-{surface}": one for number, each in enumerate(said) for surface, one in each.items()}
        assert found(house.state, planted) == {}
    assert found(house.state, planted) == {}
    assert (await house.run("verify")).code == 0
    _, *upstreams, legacy, modern, hooks, _ = parts(records(house), begun)
    for new in upstreams:
        the_record_tells_of_an_upstream(new)
    for new in (legacy, modern):
        the_record_tells_of_a_client(new)
    the_record_tells_of_hooks_and_people(hooks)


def parts(bodies: Sequence[dict[str, Any]], begun: Sequence[datetime]) -> list[list[dict[str, Any]]]:
    """The bodies of the record before the first of these moments, and from each of them to the next."""
    split: list[list[dict[str, Any]]] = [[] for _ in (None, *begun)]
    for body in bodies:
        split[bisect(begun, datetime.fromisoformat(body["at"]))].append(body)
    return split


def of(new: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The bodies of one kind."""
    return [body for body in new if body["kind"] == kind]


async def an_upstream_says_them(house: House, era: str, planted: Planted) -> None:
    crashes = len(crashed(house))
    async with house.client("shim", era, **answering(planted)) as client:
        if era == "legacy":
            await client.set_logging_level("debug")
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert "leaky__text" in listed
        for name in (*RESULTS, "progress", "notice", "elicit", "sample", "crash"):
            await outcome(client, f"leaky__{name}")
        await until(lambda: len(crashed(house)) > crashes)
        await outcome(client, "leaky__text")  # where it is down, the refusal says why
        await offered(client)


def crashed(house: House) -> list[dict[str, Any]]:
    """The crashes that are on the record."""
    return [body for body in records(house, "outcome") if body.get("tool") == "crash"]


def the_record_tells_of_an_upstream(new: Sequence[dict[str, Any]]) -> None:
    """What was planted really came by: it is on the record, redacted, also where it was allowed to pass."""
    outcomes = of(new, "outcome")
    recorded = {body["tool"]: json.dumps(body["result"]) for body in outcomes if "result" in body}
    assert set(RESULTS) <= recorded.keys()
    assert {name for name in RESULTS if "[REDACTED:" not in recorded[name]} == {"image", "blob"}
    assert {body["tool"] for body in outcomes if "findings" in body} >= {*RESULTS} - {"image"}
    ended = {name: [(b["outcome"], b["reason"]) for b in outcomes if b.get("tool") == name] for name in RESULTS}
    assert ended["allowed"] == [("ok", "rule")]
    for name in ("asked", "blocked"):
        assert ended[name] == [("ok", "secret-found")]
    asked = {body["extra"]["method"] for body in of(new, "question")}
    assert asked == {"elicitation/create", "sampling/createMessage"}


async def outcome(client: Client, tool: str, arguments: Mapping[str, Any] | None = None, **meta: Any) -> None:
    """Call a tool, whatever comes of it."""
    with suppress(MCPError):
        await client.call_tool(tool, dict(arguments or {}), meta={"progressToken": 7, **meta})


async def offered(client: Client) -> None:
    """Ask for everything that is no tool."""
    await client.list_resources()
    await client.list_resource_templates()
    await client.list_prompts()
    for uri in ("leak://text", "leak://t/7"):
        with suppress(MCPError):
            await client.read_resource(uri)
    with suppress(MCPError):
        await client.get_prompt("leaky__hello")
    with suppress(MCPError):
        reference = PromptReference(type="ref/prompt", name="leaky__hello")
        await client.complete(reference, {"name": "who", "value": "A"})


async def a_client_says_them(house: House, era: str, p: Planted) -> None:
    async with wire(house) as pipes:
        meta = await greet(pipes, era, p)
        number = 0

        async def ask(method: str, params: Mapping[str, Any], **more: Any) -> dict[str, Any]:
            nonlocal number
            number += 1
            given = {**params, "_meta": {**meta, **more}}
            await pipes.put({"jsonrpc": "2.0", "id": number, "method": method, "params": given})
            return await pipes.take()

        arguments = {
            "value": f"use {p['argument']}",
            p["argument-key"]: 1,
            "deep": [{"list": [p["argument-deep"]]}],
            "encoded": base64.b64encode(f"key {p['argument-base64']} end".encode()).decode(),
            "url": f"https://bob:{p['argument-url']}@git.corp.internal/x.git",
            "escaped": json.dumps({"inner": json.dumps({"token": p["argument-escaped"]})}),
        }
        for tool in ("echo", "write", "text"):
            await ask("tools/call", {"name": f"leaky__{tool}", "arguments": arguments})
        protected = {"path": str(house.state / p["protected-path"])}
        await ask("tools/call", {"name": "leaky__echo", "arguments": protected})
        await ask("resources/read", {"uri": f"leak://held/{p['held-uri']}"})
        odd = {
            "dev.wardgate/session": f"work {p['session']}",
            "dev.wardgate/prompt": f"do it with {p['meta-prompt']}",
            "traceparent": f"00-{p['trace']}-01",
            "tracestate": f"vendor={p['tracestate']}",
            "claudecode/toolUseId": p["tool-use"],
            "vendor/anything": {p["meta-key"]: p["meta"]},
            "progressToken": p["progress-token"],
        }
        await ask("tools/call", {"name": "leaky__echo", "arguments": {}}, **odd)
        await ask("tools/call", {"name": f"leaky__{p['unknown-tool']}", "arguments": {}})
        await ask("tools/call", {"name": p["bare-tool"], "arguments": {}})
        await ask("tools/call", {"name": f"leaky__{p['tool-name']}", "arguments": {}})
        await ask("resources/read", {"uri": f"leak://t/{p['resource-uri']}"})
        await ask("resources/read", {"uri": f"other://bob:{p['unknown-uri']}@x.example/"})
        await ask("prompts/get", {"name": "leaky__hello", "arguments": {"who": p["prompt-argument"]}})
        await ask("prompts/get", {"name": p["unknown-prompt"]})
        by = {"type": "ref/prompt", "name": "leaky__hello"}
        await ask("completion/complete", {"ref": by, "argument": {"name": "who", "value": p["completion-value"]}})
        ref = {"type": "ref/resource", "uri": f"leak://t/{p['completion-uri']}"}
        await ask("completion/complete", {"ref": ref, "argument": {"name": "id", "value": "1"}})
        await ask(f"unknown/{p['method']}", {})
        await pipes.put({"jsonrpc": "2.0", "id": p["request-id"], "method": "tools/list", "params": {"_meta": meta}})
        await pipes.take()
        gone = {"requestId": p["cancelled-id"], "reason": p["cancel-reason"]}
        await pipes.put({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": gone})
        await pipes.put(f'{{"no json": {p["garbage"]}'.encode())
        await ask("tools/call", {"name": "leaky__text", "arguments": {}})


def the_record_tells_of_a_client(new: Sequence[dict[str, Any]]) -> None:
    (session,) = {body["session"] for body in of(new, "intent") if "REDACTED" in body["session"]}
    assert session.partition("[REDACTED:name:")[0].endswith("/tester/")
    outcomes = of(new, "outcome")
    assert len([body for body in outcomes if "REDACTED" in body.get("tool", "")]) == 8
    reasons = {body["reason"] for body in outcomes}
    assert {"self-protection", "unknown-tool", "unknown-resource", "unknown-prompt"} <= reasons


async def greet(pipes: Wire, era: str, planted: Planted) -> Mapping[str, Any]:
    """Open the conversation as a client that carries secrets in its own name; the `_meta` that each request needs."""
    about = {"name": f"agent {planted['client-name']}", "version": planted["client-version"]}
    declared = {"experimental": {planted["capability"]: {}}}
    if era == "legacy":
        hello = {"protocolVersion": "2025-11-25", "capabilities": declared, "clientInfo": about}
        assert "result" in await pipes.ask("initialize", hello, "hello")
        await pipes.put({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return {}
    prefix = "io.modelcontextprotocol"
    modern = {"protocolVersion": "2026-07-28", "clientInfo": about, "clientCapabilities": declared}
    meta = {f"{prefix}/{name}": value for name, value in modern.items()}
    assert "result" in await pipes.ask("server/discover", {"_meta": meta}, "hello")
    return meta


async def hooks_and_people_say_them(house: House, p: Planted) -> None:
    common = {"session_id": f"s-{p['hook-session']}", "transcript_path": f"/x/{p['hook-transcript']}", "cwd": p["cwd"]}
    ids = {"prompt_id": p["hook-prompt-id"]}
    tool = {**ids, "tool_use_id": p["hook-tool-use"], "agent_id": p["hook-agent"]}
    given = {"command": f"curl -H 'X: {p['hook-input']}'", p["hook-input-key"]: "x"}
    events: list[Mapping[str, Any]] = [
        {"hook_event_name": "SessionStart", "source": "startup", "model": p["hook-model"]},
        {"hook_event_name": "UserPromptSubmit", "prompt": f"do it with {p['hook-prompt']}", **ids},
        {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": given, **tool},
        {
            "hook_event_name": "PostToolUse",
            "tool_name": f"mcp__{p['hook-tool']}__x",
            "tool_input": given,
            "tool_response": {"stdout": f"it said {p['hook-response']}"},
            **tool,
        },
        {
            "hook_event_name": "PostToolUseFailure",
            "tool_name": "Bash",
            "tool_input": {"command": "x"},
            "tool_use_id": "other",
            "error": f"it said {p['hook-error']}",
        },
        {"hook_event_name": "Stop", "last_assistant_message": p["hook-stop"]},
        {"hook_event_name": f"Odd{p['hook-event']}"},
    ]
    async with wire(house) as pipes:
        await pipes.greet("legacy")
        for event in events:
            await house.hook({**common, **event})
        held: list[str] = []
        for number, word in enumerate(("deny", "approve")):
            arguments = {"text": f"{word} {p['held']}"}
            answer = await pipes.ask("tools/call", {"name": "leaky__write", "arguments": arguments}, number)
            held.append(str(answer["result"]["_meta"]["dev.wardgate/approval"]["id"]))
        assert found(house.state, p) == {}
        denied = await house.run("deny", held[0], "--reason", f"never send {p['deny-reason']}")
        assert denied.code == 0, denied
        assert (await house.run("approve", held[1])).code == 0
        for word in ("deny", "approve"):
            arguments = {"text": f"{word} {p['held']}"}
            await pipes.ask("tools/call", {"name": "leaky__write", "arguments": arguments}, word)
        await house.run("approve", p["unknown-approval"])
        await house.run("explain", p["unknown-id"])
        await house.run("log", "--text", p["searched"])


def the_record_tells_of_hooks_and_people(new: Sequence[dict[str, Any]]) -> None:
    first, second = of(new, "client-tool")
    assert (first["tool"].startswith("[REDACTED:name:"), second["tool"]) == (True, "Bash")
    assert first["session"] == second["session"]
    (asked,) = of(new, "prompt")
    assert "[REDACTED:" in asked["extra"]["text"]
    assert first["turn"] == asked["id"]  # names that are told by digests still tie what belongs together
    assert any("[REDACTED:" in body.get("detail", "") for body in of(new, "approval"))


async def they_come_over_http(house: House, p: Planted) -> None:
    token = await house.token()
    lines = [
        f"POST /mcp?key={p['query']} HTTP/1.1",
        f"POST /{p['path']} HTTP/1.1",
        f"GET /mcp/{p['upstream-path']} HTTP/1.1",
    ]
    odd = {
        "Authorization": f"Bearer {p['bearer']}",
        "Mcp-Session-Id": p["session-id"],
        "traceparent": p["header-trace"],
        "Cookie": f"a={p['cookie']}",
        "User-Agent": p["user-agent"],
        "X-Api-Key": p["api-key"],
        "Origin": f"http://{p['origin']}.example",
    }
    for line in lines:
        for more in ({}, {"Authorization": f"Bearer {token}"}):
            await send(house.port, line, {**odd, **more})
    with suppress(MCPError):
        async with house.http_client("modern", token) as client:
            await outcome(client, "leaky__text")
    assert (await house.run("client", "revoke", "tester")).code == 0
    p["token"] = token
    p["token-secret"] = token.partition("_")[2]


async def send(port: int, line: str, headers: Mapping[str, str]) -> None:
    """One request, as it is, and its whole answer."""
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    named = {"Host": f"127.0.0.1:{port}", **headers, "Content-Type": "application/json", "Connection": "close"}
    named |= {"Accept": "application/json, text/event-stream", "Content-Length": str(len(body))}
    head = "\r\n".join([line, *(f"{name}: {value}" for name, value in named.items())])
    with anyio.fail_after(20):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(head.encode() + b"\r\n\r\n" + body)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()
