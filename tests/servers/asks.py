"""An MCP server that offers everything and asks questions; standard library only, both eras, stdio or HTTP.

    asks.py [--era both|modern|legacy] [--http] [--ledger FILE] [--resources N] [ARGUMENT...]

Every tool call runs in a thread of its own. `--ledger`: each start, request and cancellation is a line in that file.
`--http` prints its port on stdout.
"""

import argparse
import http.server
import json
import os
import sys
import threading
import time
import uuid
from pathlib import Path

MODERN, LEGACY = "2026-07-28", "2025-11-25"
PREFIX = "io.modelcontextprotocol/"
INFO = {"name": "asks", "version": "1"}
OBJECT = {"type": "object"}
CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}
FORM = {"message": "Which?", "requestedSchema": {"type": "object", "properties": {"x": {"type": "string"}}}}
QUESTIONS = {
    "elicitation/create": FORM,
    "sampling/createMessage": {"messages": [], "maxTokens": 5},
    "roots/list": {},
}


class RefusedError(Exception):
    pass


class Server:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.waiting = {}  # id of our question -> [event, answer]
        self.listeners = {}  # id of a listen stream -> (send, filter)
        self.unasked = None  # where notices of a session over HTTP go, that belong to no request
        self.level = ""
        self.declared = None
        self.tools = ["ask", "chain", "withdraw", "who", "log", "touch", "grow", "slow", "die", "hush"]
        self.resources = ["x://one", "x://two", *(f"x://many/{n}" for n in range(options.resources))]
        self.note(f"start {' '.join(options.arguments)}".strip())

    def note(self, line):
        if self.options.ledger:
            with self.lock, Path(self.options.ledger).open("a", encoding="utf-8") as ledger:
                ledger.write(line + "\n")

    # questions to the client (legacy)
    def question(self, send, method):
        id = f"q-{uuid.uuid4().hex[:6]}"
        waiting = self.waiting[id] = [threading.Event(), None]
        params = QUESTIONS[method]
        send({"jsonrpc": "2.0", "id": id, "method": method, **({"params": params} if params else {})})
        return id, waiting

    def answer_to(self, asked):
        id, (event, _) = asked
        event.wait()
        answer = self.waiting.pop(id)[1]
        if "error" in answer:
            raise RefusedError(json.dumps(answer["error"]))
        return answer["result"]

    def changed(self, kind, send, uri=None):
        method = "notifications/resources/updated" if uri else f"notifications/{kind}/list_changed"
        params = {"uri": uri} if uri else {}
        for id, (to, wanted) in list(self.listeners.items()):
            if wanted.get(f"{kind}ListChanged") or (uri and uri in wanted.get("resourceSubscriptions", [])):
                to({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": {PREFIX + "subscriptionId": id}}})
        if not self.listeners:
            (self.unasked or send)({"jsonrpc": "2.0", "method": method, "params": params})

    def handle(self, message, send):
        """Handle one message; False if a stream stays open for it."""
        method, id, params = message.get("method"), message.get("id"), message.get("params") or {}
        if method is None:
            waiting = self.waiting.get(id)
            if waiting is not None:
                waiting[1] = message
                waiting[0].set()
            return True
        if id is None:
            if method == "notifications/cancelled":
                self.note("cancelled")
                self.listeners.pop(params.get("requestId"), None)
            return True
        modern = PREFIX + "protocolVersion" in params.get("_meta", {})

        def result(**value):
            send({"jsonrpc": "2.0", "id": id, "result": {**({"resultType": "complete"} if modern else {}), **value}})

        if not {"both": True, "modern": modern, "legacy": not modern}[self.options.era]:
            send({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}})
        elif method == "subscriptions/listen" and modern:
            self.listeners[id] = (send, params["notifications"])
            self.note(f"listen {' '.join(params['notifications'].get('resourceSubscriptions', []))}".strip())
            ack = {"_meta": {PREFIX + "subscriptionId": id}, "notifications": params["notifications"]}
            send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": ack})
            return False
        elif method == "tools/call":
            self.note(f"call {params['name']}")
            self.call(params, result, send, modern)
        elif (answer := self.simple(method, params, modern)) is not None:
            result(**answer)
        else:
            send({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}})
        return True

    def simple(self, method, params, modern):
        """The result of a request that needs no conversation; None for an unknown one."""
        match method:
            case "server/discover" if modern:
                more = {"instructions": "Be kind.", "ttlMs": 0, "cacheScope": "private"}
                return {"supportedVersions": [MODERN], "capabilities": CAPABILITIES, **more}
            case "initialize" if not modern:
                self.declared = params["capabilities"]
                more = {"serverInfo": INFO, "instructions": "Be kind."}
                return {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, **more}
            case "ping":
                return {}
            case "logging/setLevel" if not modern:
                self.level = params["level"]
                self.note(f"level {self.level}")
                return {}
            case "tools/list":
                return {"tools": [{"name": name, "inputSchema": OBJECT} for name in self.tools]}
            case "resources/list":
                return {"resources": [{"uri": uri, "name": uri} for uri in self.resources]}
            case "resources/templates/list":
                return {"resourceTemplates": [{"uriTemplate": "x://t/{id}", "name": "t"}]}
            case "prompts/list":
                return {"prompts": [{"name": "hello", "arguments": [{"name": "who", "required": True}]}]}
            case "resources/read":
                return self.read(params)
            case "prompts/get":
                if params["name"] != "hello":
                    return {"messages": "none"}
                text = f"Hello {params['arguments'].get('who')}!"
                content = {"type": "text", "text": text, "_meta": {"anthropic/x": 1, "vendor/x": 1}}
                return {"messages": [{"role": "user", "content": content}], "_meta": {"vendor/y": 2}}
            case "completion/complete":
                values = [json.dumps(params["ref"], sort_keys=True), params["argument"]["value"]]
                return {"completion": {"values": values}}
            case "resources/subscribe" | "resources/unsubscribe" if not modern:
                self.note(f"{method.removeprefix('resources/')} {params['uri']}")
                return {}
        return None

    def read(self, params):
        uri = params["uri"]
        if uri == "x://t/asks" and "inputResponses" not in params:
            asked = {"r": {"method": "elicitation/create", "params": FORM}}
            return {"resultType": "input_required", "inputRequests": asked}
        if uri == "x://t/broken":
            return {"contents": [{"uri": uri}]}
        said = json.dumps({"uri": uri, "answers": params.get("inputResponses")})
        own = {"anthropic/x": 1, PREFIX + "serverInfo": INFO, "vendor/x": 1}
        return {"contents": [{"uri": uri, "text": said, "_meta": {"anthropic/x": 1, "vendor/x": 1}}], "_meta": own}

    def call(self, params, result, send, modern):
        name, arguments = params["name"], params.get("arguments") or {}
        say = lambda value: result(content=[{"type": "text", "text": json.dumps(value)}])  # noqa: E731 - short
        if name in ("ask", "chain", "withdraw"):
            (self.ask_modern if modern else self.ask_legacy)(name, params, arguments, result, say, send)
        elif name == "who":
            meta = params.get("_meta", {})
            said = {"pid": os.getpid(), "modern": modern, "arguments": self.options.arguments, "cwd": os.getcwd()}
            declared = meta.get(PREFIX + "clientCapabilities") if modern else self.declared
            level = meta.get(PREFIX + "logLevel", "") if modern else self.level
            say({**said, "declared": declared, "level": level, "headers": params.get("headers")})
        elif name == "log":
            for number in range(arguments.get("times", 1)):
                note = {"level": "info", "data": arguments.get("data", number), "logger": "asks"}
                send({"jsonrpc": "2.0", "method": "notifications/message", "params": note})
            say("done")
        elif name == "touch":
            self.changed("resources", send, arguments["uri"])
            say("done")
        elif name == "grow":
            if arguments.get("resource"):
                self.resources.append(arguments["name"])
                self.changed("resources", send)
            else:
                self.tools.append(arguments["name"])
                self.changed("tools", send)
            say("grown")
        elif name == "slow":
            time.sleep(arguments["ms"] / 1000)
            say("done")
        elif name == "hush":  # ends without an answer when it is cancelled, not before
            threading.Event().wait()
        elif name == "die":
            os._exit(3)
        else:
            say(name)

    def ask_legacy(self, name, params, arguments, result, say, send):
        method = arguments.get("method", "elicitation/create")
        time.sleep(arguments.get("ms", 0) / 1000)
        try:
            if name == "chain":
                answers = [self.answer_to(self.question(send, method)) for _ in range(arguments["times"])]
            elif name == "withdraw":  # takes its question back and goes on without an answer
                id, _ = self.question(send, method)
                time.sleep(0.2)
                send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
                answers = "went on"
            else:
                asked = [self.question(send, method) for _ in range(arguments.get("times", 1))]
                answers = [self.answer_to(one) for one in asked]
        except RefusedError as refused:
            return result(content=[{"type": "text", "text": str(refused)}], isError=True)
        return say(answers)

    def ask_modern(self, name, params, arguments, result, say, send):
        method, times = arguments.get("method", "elicitation/create"), arguments.get("times", 1)
        state = json.loads(params.get("requestState") or '{"answers": []}')
        state["answers"] += [params["inputResponses"][key] for key in sorted(params.get("inputResponses", {}))]
        if len(state["answers"]) >= times:
            return say(state["answers"])
        rest = 1 if name == "chain" else times
        asked = {f"k{n}": {"method": method, "params": QUESTIONS[method]} for n in range(rest)}
        return result(resultType="input_required", inputRequests=asked, requestState=json.dumps(state))


def serve_stdio(server):
    out = threading.Lock()

    def send(message):
        with out:
            sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
            sys.stdout.flush()

    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "tools/call":
            threading.Thread(target=server.handle, args=(message, send), daemon=True).start()
        else:
            server.handle(message, send)


def serve_http(server):
    sessions = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            mine = server
            if message.get("method") == "initialize":
                session = uuid.uuid4().hex
                mine = sessions[session] = Server(server.options)
            elif "mcp-session-id" in self.headers:
                session = self.headers["mcp-session-id"]
                mine = sessions.get(session)
                if mine is None:
                    return self.reply(404)
            else:
                session = ""
            if message.get("method") is None or message.get("id") is None:
                mine.handle(message, None)
                return self.reply(202)
            if message["method"] == "tools/call" and message["params"]["name"] == "who":
                message["params"]["headers"] = {key.lower(): value for key, value in self.headers.items()}
            send = self.stream(session)
            try:
                if not mine.handle(message, send):
                    self.wait_for_the_end()
            except OSError:
                pass
            return mine.listeners.pop(message["id"], None)

        def stream(self, session):
            """Open a stream of events: everything that is said while a request runs goes over its own."""
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            if session:
                self.send_header("mcp-session-id", session)
            self.end_headers()
            self.close_connection = True
            lock = threading.Lock()

            def send(said):
                with lock:
                    self.wfile.write(f"event: message\ndata: {json.dumps(said)}\n\n".encode())
                    self.wfile.flush()

            return send

        def wait_for_the_end(self):
            """Keep the stream open until the client hangs up."""
            while self.rfile.read(1):
                pass

        def do_DELETE(self):
            sessions.pop(self.headers.get("mcp-session-id"), None)
            server.note("session ended")
            self.reply(200)

        def do_GET(self):
            mine = sessions.get(self.headers.get("mcp-session-id"))
            if mine is None:
                return self.reply(405)
            mine.unasked = self.stream("")
            server.note("stream opened")
            return self.wait_for_the_end()

        def reply(self, status):
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer.daemon_threads = True
    http.server.ThreadingHTTPServer.request_queue_size = 128
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        print(listening.server_address[1], flush=True)
        listening.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", default="both")
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--ledger", default="")
    parser.add_argument("--resources", type=int, default=0)
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    (serve_http if options.http else serve_stdio)(Server(options))


if __name__ == "__main__":
    main()
