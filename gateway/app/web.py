"""Serve HTTP for one gateway: the door, what is behind it (streamable HTTP and the console), and the server before it.

Decides nothing. Imported by `serve`, and by a standalone gateway once its console is asked for.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import uvicorn
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from starlette.types import Receive, Scope, Send

from gateway.app.build import Gateway
from gateway.app.health import Doors, Health
from gateway.app.seat import Seat
from gateway.config import Auth
from gateway.server.auth import NO_TOKEN, Admission, Denied
from gateway.server.http import Door, DoorSettings, session_manager
from gateway.server.listener import uvicorn_config
from gateway.server.names import names_of

if TYPE_CHECKING:
    from gateway.server.jwts import Jwts

FLUSH = 3.0  # seconds that answers which are being written get
SPARE = 1024  # requests that may be open besides one stream of each client: one too many is told so by the gate


class _Quiet(uvicorn.Server):
    """uvicorn without signal handlers: `serve` has them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Web:
    """The HTTP side of a gateway."""

    def __init__(self, gateway: Gateway, listener: socket.socket, seat: Seat, pipes: Callable[[], int]) -> None:
        """`pipes` tells how many clients are connected on pipes."""
        settings = gateway.settings
        limits, auth = settings.limits, settings.auth
        names = names_of(settings.gateway.host, listener.getsockname()[1], auth.audience if auth is not None else "")
        # A client may have a stream open, and one of them all its calls: in flight and waiting.
        most = limits.connections + max(SPARE, limits.calls_per_client + limits.queue)
        admission = Admission(gateway.tokens, settings.clients, _jwts(auth))
        self._manager = session_manager(gateway.face.server, names, limits.line, limits.connections)
        watchers = frozenset(name for name, client in settings.clients.items() if client.metrics)
        doors = Doors(lambda: self._door.open, pipes, lambda: self._door.draining)
        self._door = Door(
            self._manager.handle_request,
            admission.admit,
            DoorSettings(names, frozenset(settings.upstreams), auth, limits.line, most, watchers=watchers),
            seat,
            Health(gateway, doors),
        )
        self._server = _Quiet(uvicorn_config(self._door, most))
        self._listener, self._seat = listener, seat
        self._over = anyio.Event()

    async def run(self) -> None:
        """Serve until `end`, or until cancelled."""
        try:
            async with self._manager.run():
                await self._server.serve(sockets=[self._listener])
        finally:
            self._over.set()

    def drain(self) -> None:
        """Refuse what is new from now on; what runs goes on, and its answers leave."""
        self._door.draining = True

    async def end(self) -> None:
        """Write out what is being answered, and end."""
        self._seat.close()
        self._server.should_exit = True
        with anyio.move_on_after(FLUSH):
            await self._over.wait()


async def serve_people(seat: Seat, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
    """Serve the console alone, on a free port of loopback; for a gateway that has no clients by HTTP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        number = listener.getsockname()[1]
        door = Door(_nothing, _nobody, DoorSettings(names_of("127.0.0.1", number), ()), seat)
        server = _Quiet(uvicorn_config(door, SPARE))
        listener.listen()
        task_status.started(number)
        try:
            await server.serve(sockets=[listener])
        finally:
            seat.close()


async def _nobody(token: str, only: str) -> Denied:
    """No token opens anything here."""
    return NO_TOKEN


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """There is nobody whom a request could be handed to."""
    raise AssertionError("nobody was let in")


def _jwts(auth: Auth | None) -> "Jwts | None":
    if auth is None:
        return None
    from gateway.server.jwts import Jwts  # imported late: most gateways have no issuer
    from gateway.server.keys import IssuerKeys

    return Jwts(auth, IssuerKeys(auth.issuer))
