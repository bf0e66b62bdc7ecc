"""A model that says what it was told to: the part of the Messages API that a client's command line needs. Standard
library only; prints its port on stdout.

    model.py TOOL...

Each turn calls the next of the tools with `{"text": "hi"}`; after the last it says that it is done.
"""

import http.server
import json
import sys

SCRIPT = sys.argv[1:]


def played(messages):
    """How many calls have been answered."""
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    return sum(part.get("type") == "tool_result" for part in parts)


def events(body):
    """One turn, as a stream of events."""
    turn = played(body["messages"])
    if body.get("tools") and turn < len(SCRIPT):
        block = {"type": "tool_use", "id": f"toolu_{turn}", "name": SCRIPT[turn], "input": {}}
        delta, stop = {"type": "input_json_delta", "partial_json": '{"text": "hi"}'}, "tool_use"
    else:
        block = {"type": "text", "text": ""}
        delta, stop = {"type": "text_delta", "text": "done"}, "end_turn"
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": f"msg_{turn}", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    yield "message_start", {"message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    yield "content_block_start", {"index": 0, "content_block": block}
    yield "content_block_delta", {"index": 0, "delta": delta}
    yield "content_block_stop", {"index": 0}
    yield "message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 1}}
    yield "message_stop", {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("stream"):
            stream = [f"event: {name}\ndata: {json.dumps({'type': name, **more})}\n\n" for name, more in events(body)]
            self.reply("".join(stream).encode(), "text/event-stream")
        else:
            self.reply(b'{"input_tokens": 1}', "application/json")

    def do_GET(self):
        self.reply(b"{}", "application/json")

    def do_HEAD(self):
        self.do_GET()

    def reply(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
    print(listening.server_address[1], flush=True)
    listening.serve_forever()
