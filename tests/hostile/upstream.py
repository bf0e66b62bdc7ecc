"""An MCP server that misbehaves as told; standard library only.

    upstream.py [FAULT...]

Faults of its start and list are arguments (see `main`); faults of a call are tools: call `garbage` and get garbage.
It speaks the modern era, or with `legacy` the older one. `ok` is a tool that works.
"""

import json
import os
import subprocess
import sys
import threading
import time

FAULTS = set(sys.argv[1:])
OUT = sys.stdout.buffer
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
CALLS = [
    "never",
    "unknown_id",
    "string_id",
    "float_id",
    "neither",
    "null_result",
    "list_result",
    "both_null",
    "line_60mb",
    "endless",
    "bad_utf8",
    "nul",
    "surrogate",
    "duplicate_keys",
    "nan",
    "huge_number",
    "deep",
    "null_block",
    "no_content",
    "bad_kind",
    "twice",
    "late",
    "progress_flood",
    "unknown_progress",
    "stderr_flood",
    "garbage",
    "exit",
    "close_stdout",
    "stop_reading",
    "ask_client",
    "error_object",
    "error_text",
    "orphan",
    "guess",
]


def put(data):
    OUT.write(data if data.endswith(b"\n") else data + b"\n")
    OUT.flush()


def send(message):
    put(json.dumps(message).encode())


def text(id, value="fine"):
    return {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": value}]}}


def raw(id, result):
    return b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (id, result)


def call(name, id, meta):
    block = b'{"content":[{"type":"text","text":"%s"}]}'
    simple = {
        "ok": text(id),
        "unknown_id": text(999_999),
        "string_id": text(str(id)),
        "float_id": text(id + 0.5),
        "neither": {"jsonrpc": "2.0", "id": id},
        "null_result": {"jsonrpc": "2.0", "id": id, "result": None},
        "list_result": {"jsonrpc": "2.0", "id": id, "result": [1]},
        "both_null": {"jsonrpc": "2.0", "id": id, "result": None, "error": None},
        "null_block": {"jsonrpc": "2.0", "id": id, "result": {"content": [None]}},
        "no_content": {"jsonrpc": "2.0", "id": id, "result": {"hello": 1}},
        "bad_kind": {"jsonrpc": "2.0", "id": id, "result": {"resultType": "task", "content": []}},
        "error_object": {"jsonrpc": "2.0", "id": id, "error": {"code": -32050, "message": "no", "data": {"why": 1}}},
        "error_text": {"jsonrpc": "2.0", "id": id, "error": "no"},
    }
    lines = {
        "bad_utf8": raw(id, block % b"\xff\xfe"),
        "nul": raw(id, block % b"\0"),
        "surrogate": raw(id, block % b"\\ud800"),
        "duplicate_keys": b'{"jsonrpc":"2.0","id":1,"id":%d,"result":{},"result":%s}' % (id, block % b"last"),
        "nan": raw(id, b'{"content":[],"x":NaN}'),
        "huge_number": raw(id, b'{"content":[],"x":1e400}'),
        "deep": raw(id, b'{"content":[],"x":' + DEEP + b"}"),
        "garbage": b"Traceback (most recent call last):",
    }
    if name in simple:
        send(simple[name])
    elif name in lines:
        put(lines[name])
    elif name != "never":
        globals()[f"fault_{name}"](id, meta)


def fault_line_60mb(id, meta):
    put(raw(id, b'{"content":[{"type":"text","text":"' + b"x" * 60_000_000 + b'"}]}'))


def fault_endless(id, meta):
    while True:
        OUT.write(b"x" * 1_000_000)


def fault_twice(id, meta):
    send(text(id, "first"))
    send(text(id, "second"))


def fault_late(id, meta):
    threading.Timer(1.5, send, [text(id, "late")]).start()


def fault_progress_flood(id, meta):
    for step in range(20_000):
        note = {"progressToken": meta.get("progressToken"), "progress": step, "message": "x"}
        send({"jsonrpc": "2.0", "method": "notifications/progress", "params": note})
    send(text(id))


def fault_unknown_progress(id, meta):
    for token in (None, True, "no", 12345, {}):
        send(
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": "x"}}
        )
    send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": 7}})
    send({"jsonrpc": "2.0", "method": "notifications/unheard_of", "params": [1]})
    send(text(id))


def fault_stderr_flood(id, meta):
    for _ in range(3_000):
        os.write(2, b"\x1b[2J\x1b]0;title\x07 noise \xff\n" * 40)
    send(text(id))


def fault_exit(id, meta):
    os._exit(1)


def fault_close_stdout(id, meta):
    os.close(1)
    time.sleep(60)


def fault_stop_reading(id, meta):
    time.sleep(3_600)


def fault_ask_client(id, meta):
    for method in ("sampling/createMessage", "elicitation/create", "roots/list", "tools/call"):
        send({"jsonrpc": "2.0", "id": f"q-{method}", "method": method, "params": {"message": "?"}})
    for n in range(3_000):
        send({"jsonrpc": "2.0", "id": n, "method": "ping"})
    send(text(id))


def fault_orphan(id, meta):
    subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL)
    os._exit(0)


def fault_guess(id, meta):
    for other in range(id + 1, id + 50):
        send(text(other, "guessed"))
    send(text(id, "mine"))


def tools():
    names = ["ok", *CALLS]
    many = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    if "strange_names" in FAULTS:
        for name in ("a\u200bb", "a\nb", "", "x" * 300, "\u0430dmin", None, "twin", "twin"):
            many.append({"name": name, "inputSchema": {"type": "object"}})
        sys.setrecursionlimit(4_000)
        deep = {"type": "object"}
        for _ in range(500):  # two levels each: far too deep for a definition, and the others are still offered
            deep = {"type": "object", "properties": {"x": deep}}
        many.append({"name": "deep_schema", "inputSchema": deep})
        many.append({"name": "no_schema"})
        many.append({"name": "novel", "description": "x" * 5_000_000, "inputSchema": {"type": "object"}})
        many.append("not even an object")
    if "many_tools" in FAULTS:
        many += [{"name": f"t{k}", "inputSchema": {"type": "object"}} for k in range(10_000)]
    return many


def listing(cursor):
    if "cycle" in FAULTS:
        return {"tools": [], "nextCursor": "again"}
    if "endless_pages" in FAULTS:
        return {"tools": [], "nextCursor": str(int(cursor or 0) + 1)}
    if "bad_list" in FAULTS:
        return {"tools": "none"}
    if "empty_cursor" in FAULTS:
        return {"tools": tools()[:1], "nextCursor": ""} if cursor is None else {"tools": tools()[1:]}
    return {"tools": tools()}


def answer(request):
    method, id, params = request.get("method"), request.get("id"), request.get("params") or {}
    modern = VERSION_KEY in params.get("_meta", {})
    capabilities = {"tools": {}}
    if id is None or method is None:
        return
    if method == "tools/call":
        call(params["name"], id, params.get("_meta", {}))
    elif method == "tools/list":
        send({"jsonrpc": "2.0", "id": id, "result": listing(params.get("cursor"))})
    elif method == "ping":
        send({"jsonrpc": "2.0", "id": id, "result": {}})
    elif method == "initialize" and "modern" not in FAULTS:
        info = {"name": "hostile", "version": "0"}
        result = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
        send({"jsonrpc": "2.0", "id": id, "result": result})
    elif method == "server/discover" and modern and "legacy" not in FAULTS:
        result = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, "resultType": "complete"}
        send({"jsonrpc": "2.0", "id": id, "result": {**result, "ttlMs": 0, "cacheScope": "private"}})
    else:
        if "dies_when_surprised" in FAULTS:
            os._exit(2)
        send({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}})


def main():
    if "dies" in FAULTS:
        sys.exit("cannot start: \x1b[31mno config\u202e")
    if "hangs" in FAULTS:
        time.sleep(3_600)
    if "other_protocol" in FAULTS:
        put(b"220 mail.example.com ESMTP")
    if "banner" in FAULTS:
        put(b"  hello  \n\n[info] listening on stdio")
    if "asks_first" in FAULTS:
        send({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    for line in sys.stdin.buffer:
        answer(json.loads(line))


if __name__ == "__main__":
    main()
