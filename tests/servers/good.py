"""A small, well-behaved MCP server for tests; standard library only, both eras, stdio or HTTP.

    good.py [--era both|modern|legacy] [--silent] [--http] [--tools N]

`--silent`: says nothing to methods that it doesn't know. `--http` prints its port on stdout and serves POSTs on it.
"""

import argparse
import http.server
import json
import sys
import threading
import time
from pathlib import Path

MODERN, LEGACY = "2026-07-28", "2025-11-25"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
INFO = {"name": "good", "version": "1"}
CAPABILITIES = {"tools": {"listChanged": True}}


def tool(name, required=(), /, **properties):
    schema = {
        "type": "object",
        "properties": {k: {"type": v} for k, v in properties.items()},
        "required": list(required),
    }
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema}


class Server:
    def __init__(self, options):
        self.options = options
        self.out = threading.Lock()
        self.listener = None
        self.seen_meta = None
        self.tools = [
            tool("echo", ["text"], text="string"),
            tool("add", a="integer", b="integer"),
            tool("slow", ["ms"], ms="integer"),
            tool("write", path="string", text="string"),
            tool("fail"),
            tool("progress", steps="integer"),
            tool("big", bytes="integer"),
            tool("grow", name="string"),
            tool("meta", region="string"),
            tool("ask"),
            tool("exit"),
            *(tool(f"dummy_{k:04d}") for k in range(options.tools)),
        ]
        by_name = {one["name"]: one for one in self.tools}
        by_name["meta"]["inputSchema"]["properties"]["region"]["x-mcp-header"] = "Region"

    def send(self, message):
        data = json.dumps(message, separators=(",", ":")) + "\n"
        with self.out:
            sys.stdout.write(data)
            sys.stdout.flush()

    def answer(self, request, send):
        """Handle one message; every answer and notice goes through `send`."""
        method, params, id = request.get("method"), request.get("params") or {}, request.get("id")
        if id is None or method is None:
            return
        modern = VERSION_KEY in params.get("_meta", {})
        known = {"both": True, "modern": modern, "legacy": not modern}[self.options.era]

        def result(**value):
            send({"jsonrpc": "2.0", "id": id, "result": {**({"resultType": "complete"} if modern else {}), **value}})

        if known and method == "server/discover" and modern:
            result(supportedVersions=[MODERN], capabilities=CAPABILITIES, ttlMs=0, cacheScope="private")
        elif known and method == "initialize" and not modern:
            result(protocolVersion=LEGACY, capabilities=CAPABILITIES, serverInfo=INFO)
        elif known and method == "ping":
            result()
        elif known and method == "tools/list":
            page = int(params.get("cursor") or 0)
            more = {"nextCursor": str(page + 1)} if len(self.tools) > 100 * (page + 1) else {}
            result(tools=self.tools[page * 100 : page * 100 + 100], **more)
        elif known and method == "subscriptions/listen":
            self.listener = id
            meta = {SUBSCRIPTION_KEY: id}
            ack = {"_meta": meta, "notifications": params.get("notifications", {})}
            send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": ack})
        elif known and method == "tools/call":
            self.seen_meta = params.get("_meta")
            self.call(params, result, send, modern)
        elif not self.options.silent:
            send({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}})

    def call(self, params, result, send, modern):
        name, arguments = params["name"], params.get("arguments") or {}
        text = lambda value, **more: result(content=[{"type": "text", "text": value}], **more)  # noqa: E731 - short
        if name == "echo":
            text(arguments["text"])
        elif name == "add":
            text(str(arguments["a"] + arguments["b"]), structuredContent={"sum": arguments["a"] + arguments["b"]})
        elif name == "slow":
            time.sleep(arguments["ms"] / 1000)
            text("done")
        elif name == "write":
            Path(arguments["path"]).write_text(arguments["text"], encoding="utf-8")
            text("written")
        elif name == "fail":
            text("it failed", isError=True)
        elif name == "progress":
            token = params.get("_meta", {}).get("progressToken")
            for step in range(arguments["steps"]):
                note = {
                    "progressToken": token,
                    "progress": step + 1,
                    "total": arguments["steps"],
                    "message": f"step {step}",
                }
                send({"jsonrpc": "2.0", "method": "notifications/progress", "params": note})
            text("done")
        elif name == "big":
            text("x" * arguments["bytes"])
        elif name == "grow":
            self.tools.append(tool(arguments["name"]))
            meta = {"_meta": {SUBSCRIPTION_KEY: self.listener}} if modern else {}
            send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": meta})
            text("grown")
        elif name == "meta":
            text(json.dumps(params.get("_meta")))
        elif name == "ask":
            result(resultType="input_required", requestState="s")
        elif name == "exit":
            import os

            os._exit(3)
        else:
            result(content=[{"type": "text", "text": "unknown tool"}], isError=True)


def serve_stdio(server):
    for line in sys.stdin:
        request = json.loads(line)
        slow = request.get("params", {}).get("name") == "slow"
        if slow:
            threading.Thread(target=server.answer, args=(request, server.send), daemon=True).start()
        else:
            server.answer(request, server.send)


def serve_http(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            request = json.loads(body)
            name = (request.get("params") or {}).get("name")
            if name == "fail":
                return self.reply(500, b"no", "text/plain")
            if name == "exit":
                return self.connection.close()
            if request.get("id") is None:
                return self.reply(202, b"", "text/plain")
            if request["method"] == "subscriptions/listen":
                return self.reply(404, b"", "text/plain")
            sent = []
            if name == "meta":
                request["params"]["_meta"]["headers"] = dict(self.headers)
            server.answer(request, sent.append)
            if len(sent) > 1:
                events = "".join(f"data: {json.dumps(message)}\n\n" for message in sent)
                return self.reply(200, events.encode(), "text/event-stream")
            return self.reply(200, json.dumps(sent[0]).encode(), "application/json")

        def do_GET(self):
            self.reply(405, b"", "text/plain")

        def reply(self, status, body, kind):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer.daemon_threads = True
    http.server.ThreadingHTTPServer.request_queue_size = (
        128  # with the default of 5 the system itself resets connections
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        print(listening.server_address[1], flush=True)
        listening.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", default="both")
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--tools", type=int, default=0)
    options = parser.parse_args()
    (serve_http if options.http else serve_stdio)(Server(options))


if __name__ == "__main__":
    main()
