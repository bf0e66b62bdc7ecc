"""What in a client's settings answers in its user's place: rules that allow, modes that ask nobody, hooks that decide.

No I/O here: the values of a file are handed in, and nothing in it is run, not even a pattern. What a client keeps in a
database of its own (answers that it was told to remember, switches in its window) can't be seen. Facts are from the
clients' documents: code.claude.com/docs (settings, permissions, permission-modes, hooks), code.visualstudio.com/docs
(agents/run/approvals), cursor.com/docs (reference/permissions, cli), geminicli.com/docs (configuration, mcp-server) and
developers.openai.com/codex (config-reference).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gateway.core.clients import Format, Place

Table = Mapping[str, Any]


class Answering(Struct, frozen=True):
    """One setting that answers. `surely` is false for what may do so, or does it for other tools alone."""

    key: str
    found: str
    do: str
    surely: bool = True


class Source(Struct, frozen=True):
    """One file of a client's settings. `look` gets its values, and the names under which the client knows Wardgate."""

    client: str
    place: Place
    format: Format
    look: Callable[[Table, Sequence[str]], Iterator[Answering]]


_MODES = {
    "bypassPermissions": ("every tool is called unasked", True),
    "auto": ("a model answers in your place", True),
    "acceptEdits": ("edits of files go unasked, round the gateway", False),
}
_HOOKS = {
    "Elicitation": ("may answer what Wardgate asks through this client", True),
    "ElicitationResult": ("may change what you answer to Wardgate", True),
    "PermissionRequest": ("may allow its tools in your place", True),
    "PreToolUse": ("may allow its tools in your place", False),
}
_OWN_HOOK = re.compile(r"(?:\S*/)?wardgate hook [\w-]+(?: --(?:client|config) [\w./~-]+)*")
_WORDS = re.compile(r"[\w|, -]*")
# What may be told of a file: names alone, since a command or a rule may hold a secret.
_NAME = re.compile(r"[\w.*:-]{1,100}", re.ASCII)
_PROGRAM = re.compile(r"(?:[\w.~/+-]*/)?([\w.+-]{1,40})", re.ASCII)


def _claude_code(said: Table, names: Sequence[str]) -> Iterator[Answering]:
    permissions = _table(said, "permissions")
    spelled = [re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in names]
    for rule in _texts(permissions, "allow"):
        if any(rule == f"mcp__{name}" or rule.startswith(f"mcp__{name}__") for name in spelled):
            yield Answering("permissions.allow", f"{_rule(rule)} lets its tools be called unasked", "take it out")
    mode = permissions.get("defaultMode")
    if isinstance(mode, str) and mode in _MODES:
        found, surely = _MODES[mode]
        yield Answering("permissions.defaultMode", f"`{mode}`: {found}", "set it to `default`", surely)
    if said.get("enableAllProjectMcpServers") is True:
        found = "servers of every project's `.mcp.json` are started unasked, beside the gateway"
        yield Answering("enableAllProjectMcpServers", found, "set it to `false`")
    if said.get("disableAllHooks") is not True:
        yield from _claude_hooks(_table(said, "hooks"), [*names, *(f"mcp__{name}" for name in spelled)])


def _claude_hooks(hooks: Table, names: Sequence[str]) -> Iterator[Answering]:
    for event, (found, surely) in _HOOKS.items():
        for group in _list(hooks, event):
            if not isinstance(group, Mapping) or not _matches(group.get("matcher"), names):
                continue
            for hook in _list(group, "hooks"):
                command = hook.get("command", hook.get("type", "")) if isinstance(hook, Mapping) else ""
                if not isinstance(command, str) or not _OWN_HOOK.fullmatch(command):
                    do = "take it out, or give it a matcher that leaves Wardgate alone"
                    yield Answering(f"hooks.{event}", f"{_program(command)} {found}", do, surely)


def _matches(matcher: object, names: Sequence[str]) -> bool:
    """Whether a matcher may mean Wardgate: plain words are compared, and no pattern is run that a stranger wrote."""
    if not isinstance(matcher, str) or not _WORDS.fullmatch(matcher):
        return True
    words = re.split(r"[|, ]+", matcher)
    return matcher == "" or any(word.startswith(name) for word in words for name in names)


def _vscode(said: Table, names: Sequence[str]) -> Iterator[Answering]:
    for key in ("chat.tools.global.autoApprove", "chat.tools.autoApprove"):
        if said.get(key) is True:
            yield Answering(key, "every tool is called unasked, in all projects", "set it to `false`")
    level = said.get("chat.permissions.default")
    means = {
        "autoApprove": "every tool is called unasked",
        "autopilot": "every tool is called unasked, and questions are answered in your place",
        "assisted": "a model answers in your place",
    }
    if isinstance(level, str) and level in means:
        yield Answering("chat.permissions.default", f"`{level}`: {means[level]}", "set it to `default`")


def _cursor(said: Table, names: Sequence[str]) -> Iterator[Answering]:
    for rule in _texts(said, "mcpAllowlist"):
        if _cursor_covers(rule, names):
            yield Answering("mcpAllowlist", f"{_rule(rule)} lets its tools be called unasked", "take it out")


def _cursor_cli(said: Table, names: Sequence[str]) -> Iterator[Answering]:
    for rule in _texts(_table(said, "permissions"), "allow"):
        if rule.startswith("Mcp(") and _cursor_covers(rule[4:-1], names):
            yield Answering("permissions.allow", f"{_rule(rule[4:-1])} lets its tools be called unasked", "take it out")


def _cursor_covers(rule: str, names: Sequence[str]) -> bool:
    server = rule.partition(":")[0]
    return "*" in server or server in names


def _gemini(said: Table, names: Sequence[str]) -> Iterator[Answering]:
    for name in names:
        if _table(_table(said, "mcpServers"), name).get("trust") is True:
            yield Answering(f"mcpServers.{name}.trust", "its tools are called unasked", "set it to `false`")
    for rule in _texts(_table(said, "tools"), "allowed"):
        if any(rule.startswith((f"mcp_{name}_", f"{name}__")) for name in names):
            yield Answering("tools.allowed", f"{_rule(rule)} is called unasked", "take it out")
    mode = _table(said, "general").get("defaultApprovalMode")
    if mode == "yolo":
        yield Answering("general.defaultApprovalMode", "`yolo`: every tool is called unasked", "set it to `default`")
    if mode == "auto_edit":
        found = "`auto_edit`: edits of files go unasked, round the gateway"
        yield Answering("general.defaultApprovalMode", found, "set it to `default`", surely=False)


def _codex(said: Table, names: Sequence[str]) -> Iterator[Answering]:
    profiles = {f"profiles.{name}.": part for name, part in _table(said, "profiles").items()}
    for prefix, part in {"": said, **profiles}.items():
        if not isinstance(part, Mapping):
            continue
        if part.get("approval_policy") == "never":
            found = "`never`: nobody is asked through this client"
            yield Answering(f"{prefix}approval_policy", found, 'set it to `"on-request"`')
        reviewer = part.get("approvals_reviewer")
        if isinstance(reviewer, str) and reviewer != "user":
            found = f"{_named(reviewer, 'another one')}: a model answers in your place"
            yield Answering(f"{prefix}approvals_reviewer", found, 'set it to `"user"`')
    for name in names:
        server, key = _table(_table(said, "mcp_servers"), name), f"mcp_servers.{name}"
        if server.get("default_tools_approval_mode") == "approve":
            found = "`approve`: its tools are called unasked"
            yield Answering(f"{key}.default_tools_approval_mode", found, 'set it to `"prompt"`')
        for tool, about in _table(server, "tools").items():
            if isinstance(about, Mapping) and about.get("approval_mode") == "approve":
                yield Answering(f"{key}.tools.{tool}.approval_mode", "`approve`: it is called unasked", "take it out")


def _named(text: str, otherwise: str) -> str:
    """A text in backticks if it is a name, other words in its place if it isn't."""
    return f"`{text}`" if _NAME.fullmatch(text) else otherwise


def _rule(text: str) -> str:
    return _named(text, "a rule")


def _program(command: object) -> str:
    """What a command runs: its first word, by the last part of its path; what is no plain one may hold a secret."""
    first = next(iter(command.split()), "") if isinstance(command, str) else ""
    found = _PROGRAM.fullmatch(first)
    return f"`{found[1]}`" if found else "a hook"


def _table(said: Table, key: str) -> Table:
    value = said.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(said: Table, key: str) -> Sequence[Any]:
    value = said.get(key)
    return value if isinstance(value, list) else ()


def _texts(said: Table, key: str) -> Iterator[str]:
    return (each for each in _list(said, key) if isinstance(each, str))


_CLAUDE = Place("user", "{home}/.claude/settings.json", moved="CLAUDE_CONFIG_DIR", name="settings.json")
_MANAGED = (("linux", "/etc/claude-code"), ("darwin", "/Library/Application Support/ClaudeCode"))

SOURCES = (
    Source("claude-code", _CLAUDE, Format.JSON, _claude_code),
    Source("claude-code", Place("project", "{project}/.claude/settings.json"), Format.JSON, _claude_code),
    Source("claude-code", Place("local", "{project}/.claude/settings.local.json"), Format.JSON, _claude_code),
    *(
        Source("claude-code", Place("managed", f"{folder}/managed-settings.json", (on,)), Format.JSON, _claude_code)
        for on, folder in _MANAGED
    ),
    Source("vscode", Place("user", "{config}/Code/User/settings.json"), Format.JSONC, _vscode),
    Source("vscode", Place("project", "{project}/.vscode/settings.json"), Format.JSONC, _vscode),
    Source("cursor", Place("user", "{home}/.cursor/permissions.json"), Format.JSONC, _cursor),
    Source("cursor", Place("project", "{project}/.cursor/permissions.json"), Format.JSONC, _cursor),
    Source("cursor", Place("user", "{home}/.cursor/cli-config.json"), Format.JSONC, _cursor_cli),
    Source("cursor", Place("project", "{project}/.cursor/cli.json"), Format.JSONC, _cursor_cli),
    Source("gemini", Place("user", "{home}/.gemini/settings.json"), Format.JSONC, _gemini),
    Source("gemini", Place("project", "{project}/.gemini/settings.json"), Format.JSONC, _gemini),
    Source(
        "codex", Place("user", "{home}/.codex/config.toml", moved="CODEX_HOME", name="config.toml"), Format.TOML, _codex
    ),
    Source("codex", Place("project", "{project}/.codex/config.toml"), Format.TOML, _codex),
)
"""Every file that is looked at; a client without one here has no such settings in a file."""
