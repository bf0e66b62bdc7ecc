"""An MCP server over HTTP that wants a bearer token, and remembers every header that it was sent.

Runs in a thread of the test: `with guarded(...) as server`.
"""

import http.server
import json
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.servers.good import Server


class Guarded:
    """What the test may look at and change."""

    def __init__(self) -> None:
        self.url = ""
        self.issuer = ""  # what its protected resource metadata names
        self.accepts: Callable[[str], bool] = lambda token: True
        self.seen: list[dict[str, str]] = []  # headers of every request, names in lower case
        self.paths: list[str] = []
        self.resource = ""  # what the metadata calls itself; empty: its address
        self.lock = threading.Lock()

    @property
    def tokens(self) -> list[str]:
        """The tokens that it was sent, in order, each once."""
        sent = (headers.get("authorization", "").partition(" ")[2] for headers in self.seen)
        return list(dict.fromkeys(token for token in sent if token))


@contextmanager
def guarded(era: str = "both") -> Iterator[Guarded]:
    """Serve until the block ends."""
    state = Guarded()
    speaker = Server(Namespace(era=era, silent=False, http=True, tools=0))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.note()
            scheme, _, token = self.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or not state.accepts(token):
                where = state.url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
                return self.reply(401, b"", ("WWW-Authenticate", f'Bearer resource_metadata="{where}"'))
            request = json.loads(body)
            if request.get("id") is None:
                return self.reply(202, b"")
            if request["method"] == "subscriptions/listen":
                return self.reply(404, b"")
            sent: list[object] = []
            speaker.answer(request, sent.append)
            return self.reply(200, json.dumps(sent[-1]).encode())

        def do_GET(self) -> None:
            self.note()
            if not self.path.startswith("/.well-known/oauth-protected-resource") or not state.issuer:
                return self.reply(405 if self.path == "/mcp" else 404, b"")
            told = {"resource": state.resource or state.url, "authorization_servers": [state.issuer]}
            return self.reply(200, json.dumps(told).encode())

        def do_DELETE(self) -> None:
            self.reply(405, b"")

        def note(self) -> None:
            with state.lock:
                state.seen.append({name.lower(): value for name, value in self.headers.items()})
                state.paths.append(self.path)

        def reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        state.url = f"http://127.0.0.1:{listening.server_address[1]}/mcp"
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            listening.shutdown()
            thread.join(5)
