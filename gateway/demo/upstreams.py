"""Two small MCP servers with real effects in one folder: files and mail. Run as `python -m gateway.demo.upstreams
KIND FOLDER`.

Standard library only; they know nothing of the gateway and check nothing themselves.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

VERSION = "2025-11-25"


class DemoTool(Struct, frozen=True):
    """One tool: what it says of itself, its arguments (all text), and what it does."""

    about: str
    arguments: tuple[str, ...]
    act: Callable[[Path, Mapping[str, str]], str]


def _read_file(folder: Path, given: Mapping[str, str]) -> str:
    return (folder / given["path"]).read_text(encoding="utf-8")


def _write_file(folder: Path, given: Mapping[str, str]) -> str:
    (folder / given["path"]).write_text(given["text"], encoding="utf-8")
    return f"wrote {given['path']}"


def _delete_file(folder: Path, given: Mapping[str, str]) -> str:
    (folder / given["path"]).unlink()
    return f"deleted {given['path']}"


def _read_mail(folder: Path, given: Mapping[str, str]) -> str:
    return (folder / "inbox" / f"{given['id']}.txt").read_text(encoding="utf-8")


def _send_mail(folder: Path, given: Mapping[str, str]) -> str:
    sent = folder / "outbox"
    sent.mkdir(exist_ok=True)
    name = f"{len(list(sent.iterdir())) + 1}.txt"
    (sent / name).write_text(f"To: {given['to']}\n\n{given['body']}", encoding="utf-8")
    return f"sent to {given['to']}"


KINDS: dict[str, dict[str, DemoTool]] = {
    "files": {
        "read_file": DemoTool("Read a file.", ("path",), _read_file),
        "write_file": DemoTool("Write a file.", ("path", "text"), _write_file),
        "delete_file": DemoTool("Delete a file.", ("path",), _delete_file),
    },
    "mail": {
        "read_mail": DemoTool("Read a message of the inbox.", ("id",), _read_mail),
        "send_mail": DemoTool("Send a message.", ("to", "body"), _send_mail),
    },
}


def serve(kind: str, folder: Path) -> None:
    """Answer requests from standard input until it closes."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        answer = {"jsonrpc": "2.0", "id": message["id"], **_answer(KINDS[kind], folder, message)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(tools: Mapping[str, DemoTool], folder: Path, message: Mapping[str, Any]) -> dict[str, Any]:
    params = message.get("params") or {}
    match message["method"]:
        case "initialize":
            info = {"name": "wardgate-demo", "version": "1"}
            return {"result": {"protocolVersion": VERSION, "capabilities": {"tools": {}}, "serverInfo": info}}
        case "ping":
            return {"result": {}}
        case "tools/list":
            return {"result": {"tools": [_definition(name, tool) for name, tool in tools.items()]}}
        case "tools/call" if params.get("name") in tools:
            return {"result": _call(tools[params["name"]], folder, params.get("arguments") or {})}
        case _:
            return {"error": {"code": -32601, "message": "method not found"}}


def _definition(name: str, tool: DemoTool) -> dict[str, Any]:
    properties = {argument: {"type": "string"} for argument in tool.arguments}
    schema = {"type": "object", "properties": properties, "required": list(tool.arguments)}
    return {"name": name, "description": tool.about, "inputSchema": schema}


def _call(tool: DemoTool, folder: Path, given: Mapping[str, str]) -> dict[str, Any]:
    try:
        text, failed = tool.act(folder, given), False
    except (OSError, KeyError) as problem:
        text, failed = f"{type(problem).__name__}: {problem}", True
    return {"content": [{"type": "text", "text": text}], "isError": failed}


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
