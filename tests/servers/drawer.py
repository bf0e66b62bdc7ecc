"""An MCP server that reads and writes files of one folder. Standard library only, legacy era, stdio.

    drawer.py FOLDER

`read` takes `path`, and `offset` and `length` in characters; `write` takes `path` and `text`; `keys` tells its variable
`KEY`.
"""

import json
import os
import sys
from pathlib import Path

VERSION = "2025-11-25"
PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [{"name": name, "inputSchema": PATH} for name in ("read", "write")]
TOOLS.append({"name": "keys", "inputSchema": {"type": "object"}})
FOLDER = Path(sys.argv[1])


def put(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(name, arguments):
    """Do what the tool says, and return the text of its result."""
    if name == "keys":
        return f"the key is {os.environ.get('KEY', '')}"
    file = FOLDER / arguments["path"]
    if name == "write":
        file.write_text(arguments["text"], encoding="utf-8")
        return "written"
    text, offset = file.read_text(encoding="utf-8"), arguments.get("offset", 0)
    return text[offset : offset + arguments.get("length", len(text))]


def answer(message):
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if id is None or method is None:
        return
    if method == "initialize":
        info = {"name": "drawer", "version": "1"}
        put(id=id, result={"protocolVersion": VERSION, "capabilities": {"tools": {}}, "serverInfo": info})
    elif method == "tools/list":
        put(id=id, result={"tools": TOOLS})
    elif method == "tools/call":
        put(id=id, result={"content": [{"type": "text", "text": call(params["name"], params.get("arguments") or {})}]})
    elif method == "ping":
        put(id=id, result={})
    else:
        put(id=id, error={"code": -32601, "message": "no such method"})


def main():
    for line in sys.stdin:
        answer(json.loads(line))


if __name__ == "__main__":
    main()
