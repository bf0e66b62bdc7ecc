"""Run one gateway: as the server of a state folder, or whole in one client's process."""

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup
from msgspec import Struct, field
from msgspec.structs import replace

from gateway import __version__
from gateway.app.attach import Attachments
from gateway.app.build import Gateway, open_gateway
from gateway.app.commands import Commands
from gateway.app.logs import log_as
from gateway.app.passed import passed
from gateway.app.seat import Seat
from gateway.app.terminal import ask_at_terminal, at_terminal
from gateway.config import Settings
from gateway.control import Control
from gateway.errors import ConfigurationError, LockedError
from gateway.people import user_name
from gateway.private import put
from gateway.screening.early import EarlyEngine
from gateway.server.face import Face
from gateway.server.pipes import Pipes, serve_pipes
from gateway.transport.serve import take_stdio
from gateway.transport.wire import RECURSION

log = logging.getLogger("wardgate")

IDLE = 600.0  # seconds without a client after which a gateway that was started on demand ends itself
LOCK_PATIENCE = 15.0  # seconds that a gateway started on demand waits for an older one to let go of the state folder
CLOSING = 2.0  # seconds that connections get to close once nothing runs on them any more


def prepare_process() -> None:
    """Our own log goes to stderr, as text until the settings say otherwise. Python may recurse as deep as an upstream's
    message may be.
    """
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))
    log_as("text")


async def standalone(settings: Settings, client: str, early: EarlyEngine) -> None:
    """Run the whole gateway for the client on this process's standard input and output, until it closes them."""
    read, write = take_stdio()
    with _stop_signals() as signals:
        async with open_gateway(settings, early) as gateway, anyio.create_task_group() as tasks:
            seat = Seat(gateway, listen=partial(_listen_late, tasks))
            commands = Commands(gateway, seat)
            control = Control(settings.gateway.state, commands.handlers(), Attachments(gateway, tasks).attach)
            await tasks.start(control.run, tasks)
            told = Told()
            tasks.start_soon(_on_signal, signals, told, gateway.reload.ask)
            tasks.start_soon(_stop_when_told, told, gateway, tasks)
            peer = replace(gateway.stdio_peer(client, user_name(os.getuid())), workspace=str(await anyio.Path.cwd()))
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
        told = Told()
        async with anyio.create_task_group() as tasks:
            attachments = Attachments(gateway, tasks)
            tasks.start_soon(_on_signal, signals, told, gateway.reload.ask)
            tasks.start_soon(ask_at_terminal, gateway.reload)
            seat = Seat(gateway, listener.getsockname()[1])
            control = Control(settings.gateway.state, Commands(gateway, seat).handlers(), attachments.attach)
            async with anyio.create_task_group() as doors:
                await doors.start(control.run, tasks)
                from gateway.app.web import Web  # imported late: only `serve` speaks HTTP

                web = Web(gateway, listener, seat, lambda: attachments.count)
                doors.start_soon(web.run)
                await _announce(gateway, listener)
                await until_over(attachments, gateway.face, on_demand, told)
                web.drain()
                if not attachments.draining.is_set():  # else the pipes go on at the next gateway
                    gateway.face.drain()
                await _let_go(attachments, gateway, told)
                await web.end()
                if not attachments.draining.is_set():  # else the next gateway announces itself there
                    await _announcement(gateway).unlink(missing_ok=True)
                doors.cancel_scope.cancel()
            tasks.cancel_scope.cancel()


async def _listen_late(tasks: TaskGroup, seat: Seat) -> int:
    """Serve the console of one client's gateway from now on, on a free port; returns that."""
    from gateway.app.web import serve_people  # imported late: nobody may ever ask for it

    return int(await tasks.start(serve_people, seat))


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
    """Bind the address of `listen`, or take the socket of it that systemd passed; on demand a free port where that one
    is taken.
    """
    host, port = settings.gateway.host, settings.gateway.port
    if (given := passed(os.environ, host, port)) is not None:
        with given:
            yield given
        return
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


def _announcement(gateway: Gateway) -> anyio.Path:
    return anyio.Path(gateway.settings.gateway.state / "gateway.json")


async def _announce(gateway: Gateway, listener: socket.socket) -> None:
    """Write down where the gateway listens, for commands and people, until it stops."""
    host, port = listener.getsockname()[:2]
    about = {"pid": os.getpid(), "version": __version__, "url": f"http://{host}:{port}/mcp"}
    await anyio.to_thread.run_sync(put, Path(_announcement(gateway)), msgspec.json.encode(about))
    log.info("wardgate %s listens on %s", __version__, about["url"])


class Told(Struct, eq=False):
    """What signals told the gateway: to stop, and not to wait for what runs."""

    stop: anyio.Event = field(default_factory=anyio.Event)
    now: anyio.Event = field(default_factory=anyio.Event)


async def first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    """Return as soon as one of them does."""
    async with anyio.create_task_group() as ends:

        async def end(over: Callable[[], Awaitable[None]]) -> None:
            await over()
            ends.cancel_scope.cancel()

        for wait in waits:
            ends.start_soon(end, wait)


async def until_over(attachments: Attachments, face: Face, on_demand: bool, told: Told, patience: float = IDLE) -> None:
    """Return once it shall stop, a newer shim takes over, or (on demand) nobody was there for `patience` seconds."""

    async def idle() -> None:
        since = anyio.current_time()
        while anyio.current_time() - since < patience:
            await anyio.sleep(patience / 100)
            if attachments.count or face.calls_in_flight:
                since = anyio.current_time()

    await first_of(told.stop.wait, attachments.draining.wait, *([idle] if on_demand else []))


async def _let_go(attachments: Attachments, gateway: Gateway, told: Told) -> None:
    """Finish what runs, within the limit, or until told again; and end or hand over the connections."""
    handover = attachments.draining.is_set()

    async def at_rest() -> None:
        await gateway.face.idle()
        if handover:
            await attachments.all_left()

    with anyio.move_on_after(gateway.settings.limits.drain):
        await first_of(at_rest, told.now.wait)
    if not handover:
        attachments.stopping.set()
        with anyio.move_on_after(CLOSING):
            await attachments.all_left()


async def _stop_when_told(told: Told, gateway: Gateway, tasks: TaskGroup) -> None:
    """End the one client's gateway once its running calls are through, within the limit."""
    await told.stop.wait()
    gateway.face.drain()
    with anyio.move_on_after(gateway.settings.limits.drain):
        await first_of(gateway.face.idle, told.now.wait)
    tasks.cancel_scope.cancel()


def _stop_signals() -> AbstractContextManager[AsyncIterator[signal.Signals]]:
    """SIGTERM, SIGINT and SIGHUP, taken from before the gateway opens until it is closed.

    INVARIANT: no signal ends the process before its upstreams, which would outlive it. A client sends SIGTERM two
    seconds after it closed our pipes, and an upstream may take as long. Every step of stopping has a deadline.
    """
    return anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def _on_signal(signals: AsyncIterator[signal.Signals], told: Told, reload: Callable[[], None]) -> None:
    """Stop at the first signal, at once at the second; SIGHUP loads the policies again, unless it says that the
    terminal is gone in which the gateway was started.
    """
    terminal = at_terminal()
    async for number in signals:
        if number is signal.SIGHUP and (not terminal or at_terminal()):
            reload()
        elif told.stop.is_set():
            told.now.set()
        else:
            told.stop.set()
