"""Run one gateway: as the server of a state folder, or whole in one client's process."""

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager

import anyio
import msgspec

from gateway import __version__
from gateway.app.attach import Attachments
from gateway.app.build import Gateway, open_gateway
from gateway.app.commands import Commands
from gateway.config import Settings
from gateway.control import Control, user_name
from gateway.errors import ConfigurationError, LockedError
from gateway.screening.early import EarlyEngine
from gateway.server.face import Face
from gateway.server.peer import Peer
from gateway.server.pipes import Pipes, serve_pipes
from gateway.transport.serve import take_stdio

log = logging.getLogger("wardgate")

IDLE = 600.0  # seconds without a client after which a gateway that was started on demand ends itself
LOCK_PATIENCE = 15.0  # seconds that a gateway started on demand waits for an older one to let go of the state folder
DRAIN = 10.0  # seconds that running calls get when the gateway is told to stop


def quiet_libraries() -> None:
    """Our own log goes to stderr; libraries stay silent, because they log what they could not parse."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    logging.getLogger("wardgate").setLevel(logging.INFO)
    for name in ("mcp", "client", "httpx", "httpx2", "httpcore", "uvicorn", "asyncio", "anyio", "sse_starlette"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


async def standalone(settings: Settings, client: str, early: EarlyEngine) -> None:
    """Run the whole gateway for the client on this process's standard input and output, until it closes them."""
    read, write = take_stdio()
    with _stop_signals() as signals:
        async with open_gateway(settings, early) as gateway, anyio.create_task_group() as tasks:
            control = Control(settings.gateway.state, Commands(gateway).handlers(), Attachments(gateway, tasks).attach)
            await tasks.start(control.run, tasks)
            tasks.start_soon(_on_signal, signals, tasks.cancel_scope.cancel)
            peer = gateway.stdio_peer(client, user_name(os.getuid()))
            await serve_pipes(gateway.face, Pipes(read, write), peer, settings.limits.line)
            tasks.cancel_scope.cancel()


async def serve(settings: Settings, early: EarlyEngine, *, on_demand: bool) -> None:
    """Run the gateway of a state folder: control socket and streamable HTTP.

    It ends by a signal (clients are told), by a drain that a newer shim asked for (their pipes are handed over), or,
    when it was started on demand, after ten idle minutes.
    """
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(_stop_signals())
        listener = stack.enter_context(listen(settings, on_demand))
        gateway = await _open(stack, settings, early, on_demand)
        async with anyio.create_task_group() as tasks:
            attachments = Attachments(gateway, tasks)
            tasks.start_soon(_on_signal, signals, attachments.stopping.set)
            control = Control(settings.gateway.state, Commands(gateway).handlers(), attachments.attach)
            async with anyio.create_task_group() as doors:
                await doors.start(control.run, tasks)
                doors.start_soon(_serve_http, gateway, listener)
                await _announce(gateway, listener)
                await until_over(attachments, gateway.face, on_demand)
                doors.cancel_scope.cancel()
            await _let_go(attachments, gateway)
            tasks.cancel_scope.cancel()


async def _open(stack: AsyncExitStack, settings: Settings, early: EarlyEngine, on_demand: bool) -> Gateway:
    """Open the gateway; one that was started on demand waits for an older one to let go of the state folder."""
    latest = anyio.current_time() + (LOCK_PATIENCE if on_demand else 0)
    while True:
        try:
            return await stack.enter_async_context(open_gateway(settings, early))
        except LockedError:
            if anyio.current_time() >= latest:
                raise
            await anyio.sleep(0.05)


@contextmanager
def listen(settings: Settings, on_demand: bool) -> Iterator[socket.socket]:
    """Bind the address of `listen`; on demand a free port where that one is taken."""
    host, port = settings.gateway.host, settings.gateway.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as problem:
            if not on_demand:
                raise ConfigurationError(
                    f"can't listen on {host}:{port}: {problem.strerror}; change `listen`"
                ) from None
            listener.bind((host, 0))
        yield listener


async def _announce(gateway: Gateway, listener: socket.socket) -> None:
    """Write down where the gateway listens, for commands and people."""
    host, port = listener.getsockname()[:2]
    about = {"pid": os.getpid(), "version": __version__, "url": f"http://{host}:{port}/mcp"}
    path = anyio.Path(gateway.settings.gateway.state / "gateway.json")
    await path.write_bytes(msgspec.json.encode(about))
    await path.chmod(0o600)
    log.info("wardgate %s listens on %s", __version__, about["url"])


async def _serve_http(gateway: Gateway, listener: socket.socket) -> None:
    import uvicorn  # imported late: only `serve` speaks HTTP

    from gateway.server.http import http_app, http_peer
    from gateway.tokens import Tokens

    class Quiet(uvicorn.Server):
        """uvicorn without signal handlers: `until_over` has them."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    tokens, clients = Tokens(gateway.settings.gateway.state), gateway.settings.clients

    def admit(token: str) -> Peer | None:
        name = tokens.name_of(token)
        if name is None:
            return None
        entry = clients.get(name)
        return http_peer(name, entry is not None, entry is not None and "session" in entry.trust)

    app = http_app(gateway.face.server, admit, listener.getsockname()[1], gateway.settings.limits.line)
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=1)
    await Quiet(config).serve(sockets=[listener])


async def until_over(attachments: Attachments, face: Face, on_demand: bool, patience: float = IDLE) -> None:
    """Return once it shall stop, a newer shim takes over, or (on demand) nobody was there for `patience` seconds."""
    async with anyio.create_task_group() as ends:

        async def end(over: Callable[[], Awaitable[None]]) -> None:
            await over()
            ends.cancel_scope.cancel()

        async def idle() -> None:
            since = anyio.current_time()
            while anyio.current_time() - since < patience:
                await anyio.sleep(patience / 100)
                if attachments.count or face.calls_in_flight:
                    since = anyio.current_time()

        ends.start_soon(end, attachments.stopping.wait)
        ends.start_soon(end, attachments.draining.wait)
        if on_demand:
            ends.start_soon(end, idle)


async def _let_go(attachments: Attachments, gateway: Gateway) -> None:
    """Finish what runs, within a limit, and end or hand over the connections."""
    if not attachments.draining.is_set():
        with anyio.move_on_after(DRAIN):
            await gateway.face.idle()
        attachments.stopping.set()
    with anyio.move_on_after(DRAIN):
        await attachments.all_left()


def _stop_signals() -> AbstractContextManager[AsyncIterator[signal.Signals]]:
    """SIGTERM and SIGINT, taken from before the gateway opens until it is closed.

    INVARIANT: no signal ends the process before its upstreams, which would outlive it. A client sends SIGTERM two
    seconds after it closed our pipes, and an upstream may take as long. Every step of stopping has a deadline.
    """
    return anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT)


async def _on_signal(signals: AsyncIterator[signal.Signals], stop: Callable[[], None]) -> None:
    """Stop at the first signal."""
    await anext(signals)
    stop()
