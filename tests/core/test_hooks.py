"""Hook events of the documented shapes, and what is refused."""

from typing import Any

import pytest

from gateway.core.hooks import LONGEST_ID, Happened, read_event
from gateway.errors import CallerError

COMMON = {"session_id": "7e10", "prompt_id": "6f77", "permission_mode": "default"}


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"event": {"hook_event_name": name, **COMMON, **more}}


def test_a_prompt_is_read() -> None:
    read = read_event({**event("UserPromptSubmit", prompt="do it"), "interactive": True})
    assert (read.happened, read.session, read.prompt_id, read.prompt) == (Happened.PROMPT, "7e10", "6f77", "do it")
    assert read.interactive
    assert read.typed


def test_a_tool_is_read() -> None:
    told = {"tool_name": "Read", "tool_use_id": "toolu_1", "tool_input": {"file_path": "/a"}, "tool_response": ["x"]}
    read = read_event(event("PostToolUse", **told))
    assert (read.tool, read.tool_use, read.input, read.response) == ("Read", "toolu_1", {"file_path": "/a"}, ["x"])
    failed = read_event(event("PostToolUseFailure", **{**told, "error": "no such file"}))
    assert failed.response == "no such file"


@pytest.mark.parametrize("said", [None, False, "true", 1, {}])
def test_what_does_not_say_that_a_person_attends_is_not_interactive(said: object) -> None:
    assert not read_event({**event("UserPromptSubmit", prompt="x"), "interactive": said}).interactive


@pytest.mark.parametrize(
    ("told", "busy"),
    [
        ({}, None),
        ({"background_tasks": [], "session_crons": []}, False),
        ({"background_tasks": [{"id": 1}], "session_crons": []}, True),
        ({"background_tasks": 0, "session_crons": 2}, True),
    ],
)
def test_a_stop_says_whether_work_goes_on(told: dict[str, Any], busy: bool | None) -> None:
    assert read_event(event("Stop", **told)).busy is busy


@pytest.mark.parametrize(
    "prompt",
    ["<task-notification>\n<task-id>1", " \n<teammate-message from='x'>", "[SYSTEM NOTIFICATION - NOT USER INPUT]"],
)
def test_a_prompt_that_looks_like_the_clients_own_is_not_typed(prompt: str) -> None:
    assert not read_event(event("UserPromptSubmit", prompt=prompt)).typed


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"event": []},
        {"event": {}},
        event("Elsewhere"),
        event("UserPromptSubmit"),
        event("UserPromptSubmit", prompt=7),
        event("PreToolUse", tool_name="Read"),
        event("PreToolUse", tool_name="Read", tool_use_id=""),
        event("PreToolUse", tool_name="Re\nad", tool_use_id="t"),
        event("Stop", session_id=None),
        event("Stop", session_id="x" * (LONGEST_ID + 1)),
        event("Stop", prompt_id=7),
    ],
)
def test_what_is_not_understood_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        read_event(request_)


def test_what_was_cut_is_told_by_its_length() -> None:
    told = event("PostToolUse", tool_name="Read", tool_use_id="t", tool_input={}, tool_response=None)
    assert read_event({**told, "cut": {"tool_response": 9_000_000}}).cut == {"tool_response": 9_000_000}
    assert read_event({**told, "cut": {"tool_response": "much"}}).cut is None
