"""Where a person's browser comes back to after they signed in: one small listener on loopback, for one answer.

Takes an answer only with the state that this sign-in was begun with; sends nothing anywhere.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.abc
import h11
from mcp.shared.auth import AuthorizationCodeResult

from gateway.errors import ConfigurationError, UpstreamError

HOST, PATH = "127.0.0.1", "/callback"
DEADLINE = 300.0  # seconds for a person to sign in
PATIENCE = 5.0  # seconds for one request
LARGEST = 16 * 1024  # bytes of a request's headers
MOST = 16  # connections at a time
DONE = "Wardgate has what it needs. You can close this window."
_HEADERS = (
    ("content-type", "text/plain; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("connection", "close"),
)


class Callback:
    """Implements `grants.Person` for whoever is told the address by `show`."""

    def __init__(self, port: int, show: Callable[[str], None], deadline: float = DEADLINE) -> None:
        self.redirect_uri = f"http://{HOST}:{port}{PATH}"
        self._show, self._deadline, self._port = show, deadline, port
        self._state = ""
        self._answered = anyio.Event()
        self._result: AuthorizationCodeResult | None = None
        self._error = ""
        self._places = anyio.Semaphore(MOST)

    async def go(self, url: str) -> None:
        """Show the address, and remember the state that belongs to it."""
        states = parse_qs(urlsplit(url).query).get("state", [])
        self._state = states[0] if len(states) == 1 else ""
        self._show(url)

    async def back(self) -> AuthorizationCodeResult:
        """Wait for the answer; raises `UpstreamError` after the deadline, `ConfigurationError` for a refusal."""
        with anyio.move_on_after(self._deadline):
            await self._answered.wait()
        if self._error:
            raise ConfigurationError(f"the authorization server answered `{self._error}`")
        if self._result is None:
            raise UpstreamError(f"nobody signed in within {self._deadline:g} s")
        return self._result

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        """Answer one request."""
        async with stream, self._places:
            with anyio.move_on_after(PATIENCE):
                try:
                    await self._exchange(stream)
                except (h11.ProtocolError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                    return

    async def _exchange(self, stream: anyio.abc.SocketStream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await stream.receive())
        if not isinstance(event, h11.Request):
            return
        status, text = self._read(event)
        body = text.encode()
        headers = [*_HEADERS, ("content-length", str(len(body)))]
        for part in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            await stream.send(http.send(part) or b"")

    def _read(self, request: h11.Request) -> tuple[int, str]:
        """Take the answer of a request; anything strange is left aside, and the wait goes on."""
        parts = urlsplit(request.target.decode("ascii", "replace"))
        host = dict(request.headers).get(b"host", b"")
        if request.method != b"GET" or parts.path != PATH or host.decode("ascii", "replace") != f"{HOST}:{self._port}":
            return 404, "There is nothing here."
        given = parse_qs(parts.query, max_num_fields=20)
        if any(len(values) != 1 for values in given.values()):
            return 400, "Each parameter was expected once."
        said = {name: values[0] for name, values in given.items()}
        if not self._state or not secrets.compare_digest(said.get("state", "").encode(), self._state.encode()):
            return 400, "This is not the answer that is waited for."
        if self._answered.is_set():
            return 400, "The answer came already."
        if "error" in said or "code" not in said:
            self._error = (
                "".join(char for char in said.get("error", "")[:40] if char.isalnum() or char == "_") or "nothing"
            )
        else:
            self._result = AuthorizationCodeResult(code=said["code"], state=said["state"], iss=said.get("iss"))
        self._answered.set()
        return 200, DONE if self._result is not None else "The sign-in was refused. You can close this window."


@asynccontextmanager
async def waiting(show: Callable[[str], None], port: int = 0, deadline: float = DEADLINE) -> AsyncIterator[Callback]:
    """Listen on a port of loopback (0: a free one) for one sign-in."""
    try:
        listener = await anyio.create_tcp_listener(local_host=HOST, local_port=port)
    except OSError as problem:
        raise ConfigurationError(f"can't listen on {HOST}:{port}: {problem.strerror}") from None
    async with listener, anyio.create_task_group() as tasks:
        callback = Callback(listener.extra(anyio.abc.SocketAttribute.local_port), show, deadline)  # noqa: S610 - of anyio
        tasks.start_soon(listener.serve, callback.serve)
        try:
            yield callback
        finally:
            tasks.cancel_scope.cancel()
