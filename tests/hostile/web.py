"""An MCP server over HTTP that misbehaves as the called tool's name says; standard library only. Prints its port."""

import http.server
import json
import os


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, id = request["method"], request.get("id")
        stamp = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if method == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **stamp}
            self.answer(id, result)
        elif method == "tools/list":
            self.answer(id, {"tools": [{"name": "ok", "inputSchema": {"type": "object"}}], **stamp})
        elif method == "tools/call":
            self.call(request["params"]["name"], id)
        else:
            self.reply(404, b"")

    def call(self, name, id):
        if name == "ok":
            self.answer(id, {"resultType": "complete", "content": [{"type": "text", "text": "fine"}]})
        elif name == "garbage":
            self.reply(200, b"<html>not JSON: quoted-part-of-it</html>", "application/json")
        elif name == "page":
            self.reply(200, b"<html></html>", "text/html")
        elif name == "huge":
            self.reply(200, b'{"x":"' + b"y" * 3_000_000 + b'"}', "application/json")
        elif name == "huge_event":
            self.reply(200, b"data: " + b"y" * 3_000_000 + b"\n\n", "text/event-stream")
        elif name in ("nan", "nan_error"):
            said = (
                '"result":{"content":[],"x":NaN}' if name == "nan" else '"error":{"code":1,"message":"m","data":1e400}'
            )
            self.reply(200, f'{{"jsonrpc":"2.0","id":{id},{said}}}'.encode(), "application/json")
        elif name == "infinite_event":
            said = f'{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{{"x":-Infinity}}}}}}'
            self.reply(200, f"data: {said}\n\n".encode(), "text/event-stream")
        elif name == "redirect":
            self.send_response(307)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()
        elif name == "no_answer":
            self.reply(200, b": nothing\n\n", "text/event-stream")
        elif name == "accepted":
            self.reply(202, b"")
        elif name == "cut":
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"jsonrpc"')
            self.close_connection = True
        elif name == "die":
            os._exit(1)
        elif name == "hang_up":
            self.close_connection = True
        else:
            self.reply(int(name), b"no", "text/plain")

    def answer(self, id, result):
        self.reply(200, json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode(), "application/json")

    def reply(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer.request_queue_size = 128  # with the default of 5 the system itself resets connections
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
    print(listening.server_address[1], flush=True)
    listening.serve_forever()
