"""An MCP server with a shelf of files: `show` one, `put` one. Standard library only, legacy era, stdio.

shelf.py FOLDER
"""

import json
import sys
from pathlib import Path

TEXT = {"type": "string"}
TOOLS = [
    {"name": "show", "inputSchema": {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}},
    {
        "name": "put",
        "inputSchema": {"type": "object", "properties": {"name": TEXT, "text": TEXT}, "required": ["name", "text"]},
    },
]
SHELF = Path(sys.argv[1])


def call(name, arguments):
    file = SHELF / arguments["name"]
    if name == "show":
        return file.read_text(encoding="utf-8") if file.exists() else "nothing"
    file.write_text(arguments["text"], encoding="utf-8")
    return "put"


def result(method, params):
    match method:
        case "initialize":
            about = {"serverInfo": {"name": "shelf", "version": "1"}, "capabilities": {"tools": {}}}
            return {"protocolVersion": "2025-11-25", **about}
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call":
            return {"content": [{"type": "text", "text": call(params["name"], params["arguments"])}]}
        case "ping":
            return {}
    return None


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        found = result(message["method"], message.get("params") or {})
        answer = {"result": found} if found is not None else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)


if __name__ == "__main__":
    main()
