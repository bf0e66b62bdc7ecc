"""Files as the clients write them and as people edit them: with comments where they are allowed, and keys of their own.

Each takes the servers that are to stand in it, name -> {command, args, env}.
"""

import json
from collections.abc import Mapping
from textwrap import indent
from typing import Any

Servers = Mapping[str, Mapping[str, Any]]


def _members(servers: Servers, depth: int, **more: Any) -> str:
    """The members of a table of servers, as a text."""
    parts = [f"{json.dumps(name)}: {json.dumps({**more, **said}, indent=2)}" for name, said in servers.items()]
    return indent(",\n".join(parts), "  " * depth)


def claude_desktop(servers: Servers) -> str:
    return f'{{\n  "globalShortcut": "",\n  "mcpServers": {{\n{_members(servers, 2)}\n  }}\n}}'


def claude_code(servers: Servers) -> str:
    return (
        '{\n  "numStartups": 41,\n  "tipsHistory": {\n    "new-user-warmup": 1\n  },\n  "mcpServers": {\n'
        f"{_members(servers, 2, type='stdio')}\n  }},\n"
        '  "projects": {\n    "/elsewhere": {\n      "allowedTools": [],\n      "mcpServers": {}\n    }\n  }\n}\n'
    )


def mcp_json(servers: Servers) -> str:
    return f'{{\n\t"mcpServers": {{\n{_members(servers, 2)}\n\t}}\n}}\n'


def vscode(servers: Servers) -> str:
    return (
        "// Servers of this machine.\n{\n\t/* asked once */\n"
        '\t"inputs": [{ "type": "promptString", "id": "key", "password": true },],\n'
        f'\t"servers": {{\n\t\t// the ones that matter\n{_members(servers, 2, type="stdio")}, // last\n\t}},\n}}\n'
    )


def cursor(servers: Servers) -> str:
    return json.dumps({"mcpServers": servers})


def windsurf(servers: Servers) -> str:
    return json.dumps({"mcpServers": {name: {**said, "disabledTools": []} for name, said in servers.items()}}, indent=4)


def gemini(servers: Servers) -> str:
    return (
        '{\n  // how it looks\n  "ui": { "theme": "GitHub" },\n  "security": { "auth": { "selectedType": "x" } },\n'
        f'  "mcpServers": {{\n{_members(servers, 2, trust=False)}\n  }}\n}}\n'
    )


def codex(servers: Servers) -> str:
    parts = ['# mine\nmodel = "gpt-5"   # the usual one\n\n[projects."/elsewhere"]\ntrust_level = "trusted"\n']
    for name, said in servers.items():
        parts.append(f"[mcp_servers.{json.dumps(name)}]  # {name}")
        parts.append(f"command = {json.dumps(said['command'])}\nargs = {json.dumps(said['args'])}")
        parts.append("startup_timeout_sec = 20\n")
        if said.get("env"):
            parts.append(f"[mcp_servers.{json.dumps(name)}.env]")
            parts += [f"{key} = {json.dumps(value)}" for key, value in said["env"].items()]
            parts.append("")
    return "\n".join([*parts, "# the end\n[tui]\nnotifications = true\n"])


# client -> (scope, path from the home folder or the project, text)
SAMPLES = {
    "claude-desktop": ("user", ".config/Claude/claude_desktop_config.json", claude_desktop),
    "claude-code": ("user", ".claude.json", claude_code),
    "claude-code, project": ("project", ".mcp.json", mcp_json),
    "vscode": ("user", ".config/Code/User/mcp.json", vscode),
    "vscode, project": ("project", ".vscode/mcp.json", vscode),
    "cursor": ("user", ".cursor/mcp.json", cursor),
    "cursor, project": ("project", ".cursor/mcp.json", cursor),
    "windsurf": ("user", ".codeium/windsurf/mcp_config.json", windsurf),
    "gemini": ("user", ".gemini/settings.json", gemini),
    "gemini, project": ("project", ".gemini/settings.json", gemini),
    "codex": ("user", ".codex/config.toml", codex),
    "codex, project": ("project", ".codex/config.toml", codex),
    "mcp-json": ("project", ".mcp.json", mcp_json),
}
