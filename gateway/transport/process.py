"""A server program as a child of ours: started with what is given and no more, ended with all its children.

Knows no protocol beyond lines of messages. What the program writes to stderr is never logged.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import anyio
from mcp_types import JSONRPCMessage

from gateway.errors import ConfigurationError
from gateway.transport.pipes import CHUNK, LineReader, LineWriter
from gateway.transport.serve import LINE_LIMIT, widen
from gateway.transport.streams import MessageReader, MessageWriter, Role

TAIL = 4096  # bytes of stderr that are kept
POLL = 0.02  # seconds between looks at a child where the system has no pidfd


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: nothing of our own environment is passed on besides `environment`."""

    program: str
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    grace: float = 2.0  # seconds for each of: end by itself, end on SIGTERM
    limit: int = LINE_LIMIT  # bytes per line
    admit: Callable[[JSONRPCMessage], bool] | None = None


class Process:
    """A running child: the last that it said on stderr, and whether it is gone."""

    def __init__(self, child: "subprocess.Popen[bytes]", stderr: int) -> None:
        self._child, self._stderr = child, stderr
        self._tail = b""
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        self.exited = anyio.Event()  # it may still have to be reaped
        self.on_exit: Callable[[], None] | None = None
        os.set_blocking(stderr, False)
        self._loop.add_reader(stderr, self._drain)
        with contextlib.suppress(AttributeError, OSError):  # only Linux has them
            self._pidfd = os.pidfd_open(child.pid)
            self._loop.add_reader(self._pidfd, self._note_exit)

    @property
    def pid(self) -> int:
        """The process id, which is that of its process group and session too."""
        return self._child.pid

    @property
    def stderr_tail(self) -> str:
        """The last 4 KiB of stderr, with everything that isn't plainly visible made visible. May hold secrets."""
        return visible(self._tail.decode("utf-8", "backslashreplace"))

    async def watch(self) -> None:
        """Look for the exit from time to time, where the system can't tell it; returns when the child is gone."""
        while self._pidfd < 0 and not self.exited.is_set():
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):  # noqa: ASYNC222 - WNOHANG
                self._note_exit()
            await anyio.sleep(POLL)
        await self.exited.wait()

    async def stop(self, grace: float) -> None:
        """End the child and its whole group: its stdin is closed already; SIGTERM, SIGKILL, `grace` seconds apart."""
        for step in (None, signal.SIGTERM, signal.SIGKILL):
            if step is not None:
                self._signal(step)
            with anyio.move_on_after(grace):
                await self.watch()
                break
        # INVARIANT: the child is not reaped before its group was killed, so that the group's id is still ours.
        self._signal(signal.SIGKILL)
        self._forget_descriptors()
        self._child.poll()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _note_exit(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
        if not self.exited.is_set():
            self.exited.set()
            if self.on_exit is not None:
                self.on_exit()

    def _drain(self) -> None:
        """Read what there is, so that the child never blocks on stderr, and keep only the end."""
        try:
            data = os.read(self._stderr, CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._tail = (self._tail + data[-TAIL:])[-TAIL:]
        else:
            self._loop.remove_reader(self._stderr)

    def _forget_descriptors(self) -> None:
        self._drain()
        self._loop.remove_reader(self._stderr)
        os.close(self._stderr)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)


def visible(text: str) -> str:
    """The text with every character that moves, hides or turns others written as an escape."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


@contextlib.asynccontextmanager
async def running(command: Command) -> AsyncIterator[tuple[MessageReader, MessageWriter, Process]]:
    """Run a program and speak to it as its client; at the end it and all its children are gone, bounded in time.

    Raises `ConfigurationError` if it can't be started. The read stream ends when the program is gone, even if
    a child of its keeps the pipe open.
    """
    async with _pipes(command) as (child, to_child, from_child, stderr):
        process = Process(child, stderr)
        lines_out, lines_in = LineWriter(to_child), LineReader(from_child, command.limit)
        process.on_exit = lines_in.finish
        writer = MessageWriter(lines_out, Role.CLIENT)
        writer.on_broken = lines_in.finish
        try:
            yield MessageReader(lines_in, Role.CLIENT, writer, command.admit), writer, process
        finally:
            process.on_exit = None
            lines_in.close()
            lines_out.close()
            os.close(to_child)
            with anyio.CancelScope(shield=True):
                await process.stop(command.grace)
            os.close(from_child)


@contextlib.asynccontextmanager
async def _pipes(command: Command) -> AsyncIterator[tuple["subprocess.Popen[bytes]", int, int, int]]:
    """Start the child; its ends of the pipes are closed here once it has them."""
    child_in, to_child = os.pipe()
    from_child, child_out = os.pipe()
    stderr, child_err = os.pipe()
    started: list[subprocess.Popen[bytes]] = []
    try:
        widen(from_child)
        widen(to_child)
        await anyio.to_thread.run_sync(lambda: started.append(_start(command, child_in, child_out, child_err)))
    except BaseException:
        for descriptor in (to_child, from_child, stderr):
            os.close(descriptor)
        if started:  # cancelled while it was being started: nobody will ever speak to it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started[0].pid, signal.SIGKILL)
            started[0].wait()
        raise
    finally:
        for descriptor in (child_in, child_out, child_err):
            os.close(descriptor)
    yield started[0], to_child, from_child, stderr


def _start(command: Command, child_in: int, child_out: int, child_err: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [command.program, *command.args],
            stdin=child_in,
            stdout=child_out,
            stderr=child_err,
            env=dict(command.environment),
            cwd=command.cwd,
            start_new_session=True,
        )
    except FileNotFoundError as problem:
        if command.cwd is not None and problem.filename == command.cwd:
            raise ConfigurationError(f"no such folder `{command.cwd}`") from None
        raise ConfigurationError(f"command `{command.program}` not found") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "an argument or value holds a NUL"
        raise ConfigurationError(f"command `{command.program}` can't be started: {reason}") from None
