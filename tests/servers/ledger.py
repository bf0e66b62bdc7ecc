"""An MCP server that keeps a ledger: every call that reaches it is a line in a file. Standard library only, legacy
era, stdio.

    ledger.py LEDGER [--hang]

A test reads the ledger to see what was really forwarded. `--hang`: reads nothing and says nothing, as a start that
never ends.
"""

import json
import os
import sys
import threading
from pathlib import Path

VERSION = "2025-11-25"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
REVEALED = {"type": "object", "properties": {"found": {"type": "string", "maxLength": 400}}, "required": ["found"]}
TOOLS = [
    {"name": "look", "inputSchema": TEXT},
    {"name": "note", "inputSchema": TEXT},
    {"name": "wipe", "inputSchema": TEXT},
    {"name": "stall", "inputSchema": TEXT},
    {"name": "die", "inputSchema": TEXT},
    {"name": "fail", "inputSchema": TEXT},
    {"name": "grow", "inputSchema": TEXT},
    {"name": "flood", "inputSchema": {"type": "object", "properties": {"mib": {"type": "integer"}}}},
    {"name": "reveal", "inputSchema": TEXT, "outputSchema": REVEALED},
]
LEDGER = Path(sys.argv[1])
STALLED = {}


def put(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def note(line):
    with LEDGER.open("a", encoding="utf-8") as ledger:
        ledger.write(line + "\n")


def said(text, **more):
    return {"content": [{"type": "text", "text": text}], **more}


def call(id, name, arguments):
    """Do what the tool says; None: it answers nothing."""
    text = arguments.get("text", "")
    note(f"{name} {text}".strip())
    match name:
        case "stall":
            STALLED[id] = text
            return None
        case "die":
            os._exit(3)
        case "fail":
            return said("it failed", isError=True)
        case "grow":
            TOOLS.append({"name": text, "inputSchema": TEXT})
            put(method="notifications/tools/list_changed")
            return said("grown")
        case "flood":
            return said("x" * (arguments["mib"] << 20))
        case "reveal":
            found = os.environ.get(text, "")
            return said(f"{text} is {found}", structuredContent={"found": found})
        case _:
            return said(f"{name}: {text}")


def answer(message):
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "notifications/cancelled" and params.get("requestId") in STALLED:
        note(f"cancelled {STALLED.pop(params['requestId'])}")
    if id is None or method is None:
        return
    if method == "initialize":
        info = {"name": "ledger", "version": "1"}
        put(
            id=id,
            result={"protocolVersion": VERSION, "capabilities": {"tools": {"listChanged": True}}, "serverInfo": info},
        )
    elif method == "tools/list":
        put(id=id, result={"tools": TOOLS})
    elif method == "tools/call":
        result = call(id, params["name"], params.get("arguments") or {})
        if result is not None:
            put(id=id, result=result)
    elif method == "ping":
        put(id=id, result={})
    else:
        put(id=id, error={"code": -32601, "message": "no such method"})


def main():
    if "--hang" in sys.argv:
        threading.Event().wait()
    for line in sys.stdin:
        answer(json.loads(line))


if __name__ == "__main__":
    main()
