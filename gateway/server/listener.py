"""The HTTP protocol of `serve`: uvicorn's, with a bound on connections and a deadline for what never becomes a request.

Sees no request's content. uvicorn itself waits for ever for the headers of a connection that was opened.
"""

from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.server.http import LARGEST_HEADERS, SECURITY
from gateway.server.whence import HOLDER

HEADERS_DEADLINE = 10.0  # seconds from a connection, or the first byte of a next request, to the end of its headers
KEEP_ALIVE = 30  # seconds between two requests
GRACE = 1  # seconds that open streams get once the server ends


class Patient(H11Protocol):
    """One connection."""

    most = 1024  # connections at a time; one more is closed at once
    headers_deadline = HEADERS_DEADLINE

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, HOLDER: {}}  # each request of the connection gets it
        self._waiting: Any = None
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; headers that began must end in time."""
        super().data_received(data)
        if self._between():
            self._wait()
        else:
            self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._calm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close; with the headers that every answer has."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has begun already
            self.transport.abort()
            return
        body = msg.encode("ascii")
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *SECURITY]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _between(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle  # None before the first request, whatever its annotation says
        return cycle is None or bool(cycle.response_complete)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.headers_deadline, self._late)

    def _calm(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        if self._between():
            self.transport.abort()


def uvicorn_config(app: Any, most: int) -> Config:
    """How uvicorn serves the door: nothing of a proxy is believed, nothing is logged, no lifespan and no WebSocket."""
    protocol = type("Bounded", (Patient,), {"most": most})
    return Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=LARGEST_HEADERS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
