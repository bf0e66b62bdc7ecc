"""Hook events of Claude Code's documented shapes, through the real command, to a real gateway, and on its record."""

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
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


@dataclass
class Story:
    """One session of Claude Code's; what it puts on the record, with pipes of its own, is everything since it began."""

    house: House
    session: str
    before: int

    async def told(self, *events: Mapping[str, Any], **options: Any) -> None:
        """Play hook events of this session; all are taken without a word."""
        for each in events:
            assert await self.house.hook({**each, "session_id": self.session}, **options) == Ended(0, "", "")

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """What the record got since the session began, oldest first."""
        return [body for body in records(self.house)[self.before :] if kind in ("", body["kind"])]


@asynccontextmanager
async def telling(house: House, session: str) -> AsyncIterator[tuple[Story, Wire]]:
    """A session whose hooks tell, and its pipes."""
    async with wire(house) as client:
        await client.greet("legacy")
        yield Story(house, session, len(records(house))), client


async def note(client: Wire, text: str, tool_use: str = "", name: str = "ledger__note") -> None:
    """A write call, as Claude Code sends it."""
    meta = {"progressToken": 1, **({"claudecode/toolUseId": tool_use} if tool_use else {})}
    answer = await client.ask("tools/call", {"name": name, "arguments": {"text": text}, "_meta": meta})
    assert not answer["result"].get("isError"), answer


async def is_on_the_record(house: House) -> None:
    """A turn is on the record from the prompt to the write."""
    secret = credentials(7)["github"][1]
    async with telling(house, SESSION) as (story, client):
        await story.told(started(), prompt(f"note what the file says; the token is {secret}"))
        given = {"command": f"curl -H 'Authorization: Bearer {secret}' example.com"}
        response = {"stdout": "the ticket is AB-2041", "stderr": ""}
        await story.told(tool("PreToolUse", "toolu_1", "Bash", given))
        await story.told(tool("PostToolUse", "toolu_1", "Bash", given, tool_response=response, duration_ms=26))
        await story.told(tool("PreToolUse", "toolu_2", OURS, {"text": "AB-2041"}))
        await note(client, "AB-2041", "toolu_2")
        await story.told(tool("PostToolUse", "toolu_2", OURS, {"text": "AB-2041"}, tool_response="note: AB-2041"))
        await note(client, "nobody asked")
        await story.told(stop())
    (asked,), (other,) = story.records("prompt"), story.records("client-tool")
    tied, untied = story.records("intent")
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


async def proves_nothing(house: House) -> None:
    """What doesn't open a turn proves nothing."""
    async with telling(house, "turns") as (story, _):
        await story.told(started(), prompt("one"), prompt("two, inside the turn", "75f4e19b"))
        await story.told(stop(), prompt("<task-notification>three</task-notification>", "80d02bd5"))
        await story.told(stop(), prompt("four", "90d02bd5"))
        sdk = Story(house, "other", story.before)
        await sdk.told(started(), prompt("five"), attended="0", entrypoint="sdk-cli")
    told = [each["extra"] for each in story.records("prompt")]
    assert [(each["text"][:4], each.get("why_not", ""), each["proves"]) for each in told] == [
        ("one", "", True),
        ("two,", "open-turn", False),
        ("<tas", "not-typed", False),
        ("four", "", True),
        ("five", "not-interactive", False),
    ]


async def listens_to_trusted_clients_alone(house: House) -> None:
    """Only a client that is trusted is listened to."""
    async with telling(house, "trusted") as (story, _):
        for stranger in ("other", "nobody"):
            ended = await house.hook(prompt("do it"), client=stranger)
            assert (ended.code, ended.out) == (1, "")
            assert ended.err.count("\n") == 1
            assert f"[clients.{stranger}]" in ended.err
        await story.told(started(), prompt("do it"), tool("PreToolUse", "toolu_3", OURS, {}))
        async with wire(house, "--client", "other") as another:
            await another.greet("legacy")
            await note(another, "not mine", "toolu_3")
    assert len(story.records("prompt")) == 1
    (intent,) = story.records("intent")
    assert intent["prompt"] == "unknown"


async def is_one_line(house: House) -> None:
    """An event that is not taken is one line, and never exit code 2."""
    async with telling(house, "odd") as (story, _):
        for odd in (b"", b"[]", b"{", b'{"hook_event_name": "Elsewhere", "session_id": "x"}', b'{"prompt": 7}'):
            ended = await house.hook(odd)
            assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1), (odd, ended)
    assert story.records("prompt") == []


async def is_cut(house: House) -> None:
    """A long answer of a tool is cut, and its length told."""
    async with telling(house, "long") as (story, _):
        read = tool("PostToolUse", "toolu_4", "Read", {"file_path": "/a"}, tool_response={"content": "x" * (3 << 20)})
        await story.told(started(), prompt("read it"), read)
    (other,) = story.records("client-tool")
    assert other["omitted"]["result"] > 3 << 20
    assert "result_digest" not in other
    assert other["arguments"] == {"file_path": "/a"}


async def is_recorded_from_meta(house: House) -> None:
    """A prompt in `_meta` is recorded for a trusted client alone."""
    before = len(records(house))
    for client_name in ("tester", "other"):
        async with wire(house, "--client", client_name) as client:
            await client.greet("legacy")
            params = {"name": "ledger__note", "arguments": {"text": client_name}}
            meta = {"dev.wardgate/prompt": "note it down"}
            assert "result" in await client.ask("tools/call", {**params, "_meta": meta})
    story = Story(house, "", before)
    (asked,) = story.records("prompt")
    assert (asked["client"], asked["extra"]["proves"], asked["extra"]["source"]) == ("tester", True, "meta")
    trusted, other = story.records("intent")
    assert (trusted["turn"], other["prompt"]) == (asked["id"], "unknown")


@pytest.mark.slow
async def test_what_the_hooks_of_a_trusted_client_tell_is_on_the_record_and_nothing_else_is(house: House) -> None:
    house.configure(policies={"ledger": FREE}, trust=["prompt"])
    nobody = await house.hook(event("Stop"))
    assert (nobody.code, nobody.out) == (1, "")
    assert "no gateway answers" in nobody.err
    async with house.serving():
        await is_on_the_record(house)
        await proves_nothing(house)
        await listens_to_trusted_clients_alone(house)
        await is_one_line(house)
        await is_cut(house)
        await is_recorded_from_meta(house)
    assert (await house.run("verify")).code == 0
