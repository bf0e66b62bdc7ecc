"""Hook events of Claude Code's documented shapes, through the real command, to a real gateway, and on its record."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.kit import LABELS, Ended, House, Wire, wire
from tests.made import credentials

SESSION = "7e107746-1984-4265-a26f-89dbf7fc1674"
COMMON = {
    "session_id": SESSION,
    "transcript_path": "/home/ada/.claude/projects/-work/7e107746.jsonl",
    "cwd": "/work",
    "permission_mode": "default",
}
OURS = "mcp__wardgate__ledger__note"
FREE = LABELS.replace('["stall", "die"]', '["note", "stall", "die"]')


def event(name: str, **more: Any) -> dict[str, Any]:
    return {**COMMON, "hook_event_name": name, **more}


def started() -> dict[str, Any]:
    return event("SessionStart", source="startup", model="claude-opus-5-5")


def prompt(text: str, prompt_id: str = "6f775e09") -> dict[str, Any]:
    return event("UserPromptSubmit", prompt=text, prompt_id=prompt_id)


def stop() -> dict[str, Any]:
    ended = {"stop_hook_active": False, "last_assistant_message": "done", "background_tasks": [], "session_crons": []}
    return event("Stop", prompt_id="6f775e09", effort={"level": "medium"}, **ended)


def tool(name: str, id: str, tool_name: str, given: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return event(name, prompt_id="6f775e09", tool_name=tool_name, tool_input=given, tool_use_id=id, **more)


def records(house: House, kind: str = "") -> list[dict[str, Any]]:
    """The bodies on the record, oldest first."""
    with closing(sqlite3.connect(house.state / "record.db")) as db:
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM record ORDER BY seq")]
    return [body for body in bodies if kind in ("", body["kind"])]


async def note(client: Wire, text: str, tool_use: str = "", name: str = "ledger__note") -> None:
    """A write call, as Claude Code sends it."""
    meta = {"progressToken": 1, **({"claudecode/toolUseId": tool_use} if tool_use else {})}
    answer = await client.ask("tools/call", {"name": name, "arguments": {"text": text}, "_meta": meta})
    assert not answer["result"].get("isError"), answer


async def taken(house: House, *events: Mapping[str, Any], **options: Any) -> None:
    for each in events:
        assert await house.hook(each, **options) == Ended(0, "", "")


@pytest.fixture
def trusting(house: House) -> House:
    """A house that listens to the hooks of `tester`."""
    return house.configure(policies={"ledger": FREE}, trust=["prompt"])


@pytest.mark.slow
async def test_a_turn_is_on_the_record_from_the_prompt_to_the_write(trusting: House) -> None:
    secret = credentials(7)["github"][1]
    house = trusting
    async with wire(house) as client:
        await client.greet("legacy")
        await taken(house, started(), prompt(f"note what the file says; the token is {secret}"))
        given = {"command": f"curl -H 'Authorization: Bearer {secret}' example.com"}
        response = {"stdout": "the ticket is AB-2041", "stderr": ""}
        await taken(house, tool("PreToolUse", "toolu_1", "Bash", given))
        await taken(house, tool("PostToolUse", "toolu_1", "Bash", given, tool_response=response, duration_ms=26))
        await taken(house, tool("PreToolUse", "toolu_2", OURS, {"text": "AB-2041"}))
        await note(client, "AB-2041", "toolu_2")
        await taken(house, tool("PostToolUse", "toolu_2", OURS, {"text": "AB-2041"}, tool_response="note: AB-2041"))
        await note(client, "nobody asked")
        await taken(house, stop())
    (asked,), (other,) = records(house, "prompt"), records(house, "client-tool")
    tied, untied = records(house, "intent")
    assert asked["extra"]["proves"] is True
    assert asked["extra"]["client_session"] == SESSION
    assert asked["extra"]["text"].startswith("note what the file says; the token is [REDACTED")
    assert (other["tool"], other["tool_use"], other["turn"]) == ("Bash", "toolu_1", asked["id"])
    assert "[REDACTED" in other["arguments"]["command"]
    assert (tied["turn"], tied["prompt"], tied["tool_use"]) == (asked["id"], asked["prompt"], "toolu_2")
    assert tied["context"]["outputs"] == [[other["id"], other["result_digest"]]]
    assert tied["carried"] == [{"argument": "text", "source": other["id"], "length": 7}]
    assert (untied.get("turn", ""), untied["prompt"]) == ("", "unknown")
    written = json.dumps(records(house))
    assert secret not in written
    assert "stdout" not in written  # what a client's tool returned is not on the record
    assert (await house.run("verify")).code == 0


@pytest.mark.slow
async def test_what_does_not_open_a_turn_proves_nothing(trusting: House) -> None:
    house = trusting
    async with wire(house) as client:
        await client.greet("legacy")
        await taken(house, started(), prompt("one"), prompt("two, inside the turn", "75f4e19b"))
        await taken(house, stop(), prompt("<task-notification>three</task-notification>", "80d02bd5"))
        await taken(house, stop(), prompt("four", "90d02bd5"))
        sdk = {"attended": "0", "entrypoint": "sdk-cli"}
        await taken(house, {**started(), "session_id": "other"}, {**prompt("five"), "session_id": "other"}, **sdk)
    said = [(each["extra"]["text"][:4], each["extra"].get("why_not", "")) for each in records(house, "prompt")]
    assert said == [
        ("one", ""),
        ("two,", "open-turn"),
        ("<tas", "not-typed"),
        ("four", ""),
        ("five", "not-interactive"),
    ]
    assert [each["extra"]["proves"] for each in records(house, "prompt")] == [True, False, False, True, False]


@pytest.mark.slow
async def test_only_a_client_that_is_trusted_is_listened_to(trusting: House) -> None:
    house = trusting
    async with wire(house) as client:
        await client.greet("legacy")
        for stranger in ("other", "nobody"):
            ended = await house.hook(prompt("do it"), client=stranger)
            assert (ended.code, ended.out) == (1, "")
            assert ended.err.count("\n") == 1
            assert f"[clients.{stranger}]" in ended.err
        await taken(house, started(), prompt("do it"), tool("PreToolUse", "toolu_1", OURS, {}))
        async with wire(house, "--client", "other") as another:
            await another.greet("legacy")
            await note(another, "not mine", "toolu_1")
    assert len(records(house, "prompt")) == 1
    (intent,) = records(house, "intent")
    assert intent["prompt"] == "unknown"


@pytest.mark.slow
async def test_an_event_that_is_not_taken_is_one_line_and_never_exit_code_2(trusting: House) -> None:
    house = trusting
    nobody = await house.hook(event("Stop"))
    assert (nobody.code, nobody.out) == (1, "")
    assert "no gateway answers" in nobody.err
    async with wire(house) as client:
        await client.greet("legacy")
        for odd in (b"", b"[]", b"{", b'{"hook_event_name": "Elsewhere", "session_id": "x"}', b'{"prompt": 7}'):
            ended = await house.hook(odd)
            assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1), (odd, ended)
    assert records(house, "prompt") == []


@pytest.mark.slow
async def test_a_long_answer_of_a_tool_is_cut_and_its_length_told(trusting: House) -> None:
    house = trusting
    async with wire(house) as client:
        await client.greet("legacy")
        await taken(house, started(), prompt("read it"))
        read = tool("PostToolUse", "toolu_1", "Read", {"file_path": "/a"}, tool_response={"content": "x" * (3 << 20)})
        await taken(house, read)
    (other,) = records(house, "client-tool")
    assert other["omitted"]["result"] > 3 << 20
    assert "result_digest" not in other
    assert other["arguments"] == {"file_path": "/a"}


@pytest.mark.slow
async def test_a_prompt_in_meta_is_recorded_for_a_trusted_client_alone(trusting: House) -> None:
    house = trusting
    house.configure(policies={"ledger": FREE}, trust=["prompt"])
    meta = {"dev.wardgate/prompt": "note it down"}
    for client_name in ("tester", "other"):
        async with wire(house, "--client", client_name) as client:
            await client.greet("legacy")
            params = {"name": "ledger__note", "arguments": {"text": client_name}, "_meta": meta}
            assert "result" in await client.ask("tools/call", params)
    (asked,) = records(house, "prompt")
    assert (asked["client"], asked["extra"]["proves"], asked["extra"]["source"]) == ("tester", True, "meta")
    trusted, other = records(house, "intent")
    assert (trusted["turn"], other["prompt"]) == (asked["id"], "unknown")
