"""What in a client's settings answers in its user's place: each kind of setting, and what only looks like one."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.core.autopilot import SOURCES
from gateway.core.clients import CLIENTS

NAMES = ("wardgate",)


def answers(client: str, said: Mapping[str, Any], file: str = "", names: tuple[str, ...] = NAMES) -> dict[str, bool]:
    """The keys of a client's settings that answer, and whether they surely do."""
    source = next(one for one in SOURCES if one.client == client and file in one.place.path)
    found = list(source.look(said, names))
    assert all(each.found and each.do for each in found)
    return {each.key: each.surely for each in found}


def allow(*rules: Any) -> Mapping[str, Any]:
    """Settings with some rules that allow."""
    return {"permissions": {"allow": list(rules)}}


def hook(event: str, command: str | None = "answer", **more: Any) -> Mapping[str, Any]:
    """Settings with one hook."""
    one = {"type": "command", "command": command} if command is not None else {"type": "prompt"}
    return {"hooks": {event: [{"hooks": [one], **more}]}}


@pytest.mark.parametrize("rule", ["mcp__wardgate", "mcp__wardgate__*", "mcp__wardgate__files__write"])
def test_a_rule_that_allows_its_tools_answers(rule: str) -> None:
    assert answers("claude-code", allow(rule)) == {"permissions.allow": True}


@pytest.mark.parametrize("rule", ["Bash", "mcp__other", "mcp__wardgatex", "mcp__*", 7, None])
def test_a_rule_for_something_else_does_not(rule: object) -> None:
    assert answers("claude-code", allow(rule)) == {}


def test_a_name_is_spelled_as_the_client_spells_it() -> None:
    assert answers("claude-code", allow("mcp__my_gate__x"), names=("my gate",)) == {"permissions.allow": True}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("bypassPermissions", {"permissions.defaultMode": True}),
        ("auto", {"permissions.defaultMode": True}),
        ("acceptEdits", {"permissions.defaultMode": False}),
        ("default", {}),
        ("dontAsk", {}),
        (["auto"], {}),
    ],
)
def test_a_mode_that_asks_nobody_answers(mode: object, expected: dict[str, bool]) -> None:
    assert answers("claude-code", {"permissions": {"defaultMode": mode}}) == expected


def test_servers_of_every_project_that_start_unasked_are_told() -> None:
    assert answers("claude-code", {"enableAllProjectMcpServers": True}) == {"enableAllProjectMcpServers": True}
    assert answers("claude-code", {"enableAllProjectMcpServers": False}) == {}


@pytest.mark.parametrize(
    ("event", "surely"),
    [("Elicitation", True), ("ElicitationResult", True), ("PermissionRequest", True), ("PreToolUse", False)],
)
def test_a_hook_that_may_decide_answers(event: str, surely: bool) -> None:
    assert answers("claude-code", hook(event)) == {f"hooks.{event}": surely}
    assert answers("claude-code", hook(event, None)) == {f"hooks.{event}": surely}
    assert answers("claude-code", {**hook(event), "disableAllHooks": True}) == {}


@pytest.mark.parametrize("matcher", ["", "*", ".*", "wardgate", "mcp__wardgate__files__write|Bash", "mcp__w.*", 3])
def test_a_matcher_that_may_mean_wardgate_counts(matcher: object) -> None:
    assert answers("claude-code", hook("Elicitation", matcher=matcher)) == {"hooks.Elicitation": True}


@pytest.mark.parametrize("matcher", ["Bash", "Bash|Edit", "Write, Edit", "other"])
def test_a_matcher_of_plain_words_that_are_others_does_not(matcher: str) -> None:
    assert answers("claude-code", hook("Elicitation", matcher=matcher)) == {}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("wardgate hook claude-code", {}),
        ("/opt/bin/wardgate hook claude-code --client x --config ~/w", {}),
        ("answer; wardgate hook claude-code", {"hooks.PreToolUse": False}),
        ("wardgate hook claude-code; answer", {"hooks.PreToolUse": False}),
        ("wardgate hook claude-code --config $(answer)", {"hooks.PreToolUse": False}),
        ("wardgate hook claude-code\nanswer", {"hooks.PreToolUse": False}),
    ],
)
def test_our_own_hook_answers_nothing_and_nobody_hides_behind_it(command: str, expected: dict[str, bool]) -> None:
    assert answers("claude-code", hook("PreToolUse", command)) == expected


def found(client: str, said: Mapping[str, Any], file: str = "") -> list[str]:
    """What is told of a client's settings."""
    source = next(one for one in SOURCES if one.client == client and file in one.place.path)
    return [each.found for each in source.look(said, NAMES)]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("curl -H 'x: word' https://me:word@h/", "`curl`"),
        ("/opt/a b/word", "`a`"),
        ("'/opt/a b/run' word", "a hook"),
        ("TOKEN='a/word b' curl", "a hook"),
        ("TOKEN=word curl", "a hook"),
        ("https://me:word@h/run?x=word", "a hook"),
        ("run\n word", "`run`"),
        ("x" * 41, "a hook"),
        ("\u202eword", "a hook"),
        ("", "a hook"),
        (["word"], "a hook"),
    ],
)
def test_of_a_hooks_command_nothing_is_told_but_its_program(command: Any, told: str) -> None:
    assert found("claude-code", hook("Elicitation", command)) == [
        f"{told} may answer what Wardgate asks through this client"
    ]


@pytest.mark.parametrize(
    ("client", "file", "said"),
    [
        ("claude-code", "", allow("mcp__wardgate__x(--password word)")),
        ("cursor", "", {"mcpAllowlist": ["wardgate:x word"]}),
        ("cursor", "cli-config", allow("Mcp(*:https://me:word@h/)")),
        ("gemini", "", {"tools": {"allowed": ["wardgate__x(word)"]}}),
        ("codex", "", {"approvals_reviewer": "word of mine"}),
    ],
)
def test_a_text_that_is_more_than_a_name_is_not_told(client: str, file: str, said: Mapping[str, Any]) -> None:
    (one,) = found(client, said, file)
    assert "word" not in one


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"permissions": [], "hooks": 3},
        {"permissions": {"allow": "mcp__wardgate"}},
        {"hooks": {"Elicitation": {"hooks": []}}},
        {"hooks": {"Elicitation": ["x", {"hooks": 3}]}},
        {"hooks": {"PostToolUse": [{"hooks": [{"command": "x"}]}]}},
    ],
)
def test_nonsense_answers_nothing(said: Mapping[str, Any]) -> None:
    assert answers("claude-code", said) == {}


def test_a_hook_that_is_no_table_may_answer_all_the_same() -> None:
    assert answers("claude-code", {"hooks": {"Elicitation": [{"hooks": ["x"]}]}}) == {"hooks.Elicitation": True}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"chat.tools.global.autoApprove": True}, {"chat.tools.global.autoApprove": True}),
        ({"chat.tools.autoApprove": True}, {"chat.tools.autoApprove": True}),
        ({"chat.permissions.default": "autoApprove"}, {"chat.permissions.default": True}),
        ({"chat.permissions.default": "autopilot"}, {"chat.permissions.default": True}),
        ({"chat.permissions.default": "assisted"}, {"chat.permissions.default": True}),
        ({"chat.permissions.default": "default", "chat.tools.global.autoApprove": False}, {}),
        ({"chat.permissions.default": []}, {}),
    ],
)
def test_vs_code(said: Mapping[str, Any], expected: dict[str, bool]) -> None:
    assert answers("vscode", said) == expected


@pytest.mark.parametrize(
    ("rule", "covers"),
    [("wardgate:files__write", True), ("wardgate:*", True), ("*:*", True), ("other:*", False)],
)
def test_cursor(rule: str, covers: bool) -> None:
    assert answers("cursor", {"mcpAllowlist": [rule]}) == ({"mcpAllowlist": True} if covers else {})
    expected = {"permissions.allow": True} if covers else {}
    assert answers("cursor", allow(f"Mcp({rule})", "Shell(ls)"), "cli-config") == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"mcpServers": {"wardgate": {"trust": True}}}, {"mcpServers.wardgate.trust": True}),
        ({"mcpServers": {"wardgate": {"trust": False}, "other": {"trust": True}}}, {}),
        ({"tools": {"allowed": ["mcp_wardgate_files__write", "run_shell"]}}, {"tools.allowed": True}),
        ({"general": {"defaultApprovalMode": "yolo"}}, {"general.defaultApprovalMode": True}),
        ({"general": {"defaultApprovalMode": "auto_edit"}}, {"general.defaultApprovalMode": False}),
        ({"general": {"defaultApprovalMode": "default"}}, {}),
    ],
)
def test_gemini(said: Mapping[str, Any], expected: dict[str, bool]) -> None:
    assert answers("gemini", said) == expected


SERVER = "mcp_servers.wardgate"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"approval_policy": "never"}, {"approval_policy": True}),
        ({"approval_policy": "on-request", "approvals_reviewer": "user"}, {}),
        ({"approvals_reviewer": "auto_review"}, {"approvals_reviewer": True}),
        ({"profiles": {"fast": {"approval_policy": "never"}, "odd": 3}}, {"profiles.fast.approval_policy": True}),
        (
            {"mcp_servers": {"wardgate": {"default_tools_approval_mode": "approve"}}},
            {f"{SERVER}.default_tools_approval_mode": True},
        ),
        (
            {"mcp_servers": {"wardgate": {"tools": {"a": {"approval_mode": "approve"}, "b": {}, "c": 1}}}},
            {f"{SERVER}.tools.a.approval_mode": True},
        ),
        ({"mcp_servers": {"other": {"default_tools_approval_mode": "approve"}}}, {}),
    ],
)
def test_codex(said: Mapping[str, Any], expected: dict[str, bool]) -> None:
    assert answers("codex", said) == expected


def test_every_file_is_one_of_a_client_that_there_is() -> None:
    assert {source.client for source in SOURCES} <= set(CLIENTS)
    assert len({source.place.path for source in SOURCES}) == len(SOURCES)
