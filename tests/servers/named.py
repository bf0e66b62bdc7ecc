"""A small MCP server whose tools are called as its arguments say; standard library only, legacy era.

    named.py TOOL... [--started FILE] [--needs VARIABLE] [--hang] [--strict] [--http PATH] [--refuse KIND]
        [--more WORD...]

`--started` adds a line with its process id, variables and words of `--more` (digests of their values) to a file,
`--needs` ends at once where a variable is not set, `--hang` says nothing ever, `--strict` ends at a method that it
doesn't know. `--http` prints its port and serves POSTs to that path alone, or with `--refuse` answers each with status
401 and an empty body of that kind. A call answers with the tool's name.
"""

import argparse
import hashlib
import http.server
import json
import os
import sys

ANSWERS = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "named", "version": "1"},
    },
    "ping": {},
}


def mark(value):
    return hashlib.sha256(os.fsencode(value)).hexdigest()


def answer(message, names):
    method = message["method"]
    if method in ANSWERS:
        return {"result": ANSWERS[method]}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"path": {"type": "string"}}}
        tools = [{"name": name, "description": f"The tool {name}.", "inputSchema": schema} for name in names]
        return {"result": {"tools": tools}}
    if method.startswith("notifications/"):
        return {}
    if method == "tools/call":
        return {"result": {"content": [{"type": "text", "text": f"did {message['params']['name']}"}]}}
    return {"error": {"code": -32601, "message": "no such method"}}


def serve(path, names, refuse):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = b"{}" if refuse else b""
            if "id" in message and not refuse:
                body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message, names)}).encode()
            self.send_response(401 if refuse else 404 if self.path != path else 200 if body else 202)
            self.send_header("content-type", refuse or "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("tools", nargs="+")
    options.add_argument("--started")
    options.add_argument("--needs")
    options.add_argument("--hang", action="store_true")
    options.add_argument("--strict", action="store_true")
    options.add_argument("--http")
    options.add_argument("--refuse")
    options.add_argument("--more", nargs=argparse.REMAINDER, default=[])
    given = options.parse_args()
    if given.started:
        with open(given.started, "a", encoding="utf-8") as file:
            seen = {"pid": os.getpid(), "names": sorted(os.environ), "cwd": os.getcwd()}
            marks = {name: mark(value) for name, value in os.environ.items()}
            file.write(json.dumps({**seen, "env": marks, "args": [mark(word) for word in given.more]}) + "\n")
    if given.needs and not os.environ.get(given.needs):
        sys.exit(f"{given.needs} is not set")
    if given.http:
        serve(given.http, given.tools, given.refuse)
    for line in sys.stdin:
        message = json.loads(line)
        if given.strict and "error" in answer(message, given.tools):
            sys.exit(f"no such method: {message['method']}")
        if "id" in message and "method" in message and not given.hang:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message, given.tools)}), flush=True)


if __name__ == "__main__":
    main()
