"""A server program as a child of ours: started with what is given and no more, ended with all its children.

Knows no protocol beyond lines of messages. What the program writes to stderr is never logged.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from mcp_types import JSONRPCMessage
from msgspec import Struct, field

from gateway.core.visible import visible
from gateway.errors import ConfigurationError
from gateway.transport import orphans
from gateway.transport.orphans import Ward
from gateway.transport.pipes import CHUNK, LineReader, LineWriter
from gateway.transport.serve import LINE_LIMIT, widen
from gateway.transport.streams import MessageReader, MessageWriter, Role
from gateway.transport.watchdog import WATCHDOG

TAIL = 4096  # bytes of stderr that are kept
REST = 0.5  # seconds for what is left at the end: to end on SIGTERM, and to be reaped
POLL = 0.02  # seconds between looks at a child where the system has no pidfd

T = TypeVar("T")


class Command(Struct, frozen=True):
    """What to run: nothing of our own environment is passed on besides `environment`."""

    program: str
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    grace: float = 2.0  # seconds for each of: end by itself, end on SIGTERM
    limit: int = LINE_LIMIT  # bytes per line
    admit: Callable[[JSONRPCMessage], bool] | None = None

    def __repr__(self) -> str:
        """It without the environment, which may hold secrets."""
        return f"Command({self.program!r}, {self.args!r})"


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
        return "\n".join(map(visible, self._tail.decode("utf-8", "backslashreplace").split("\n")))

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
        self._signal(signal.SIGKILL)
        self._forget_descriptors()

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


@contextlib.asynccontextmanager
async def running(command: Command) -> AsyncIterator[tuple[MessageReader, MessageWriter, Process]]:
    """Run a program and speak to it as its client; at the end it and all its children are gone, bounded in time.

    Raises `ConfigurationError` if it can't be started, `GatewayError` if nobody would end it after us. The read stream
    ends when the program is gone, even if a child of its keeps the pipe open.
    """
    async with _life(command) as (life, child, to_child, from_child, stderr):
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
            with anyio.CancelScope(shield=True):
                await life.know_family()
                os.close(to_child)
                await process.stop(command.grace)
                await life.end()
            os.close(from_child)


@contextlib.asynccontextmanager
async def _life(command: Command) -> AsyncIterator[tuple["Life", "subprocess.Popen[bytes]", int, int, int]]:
    """Start the child; its ends of the pipes are closed here once it has them."""
    child_in, to_child = os.pipe()
    from_child, child_out = os.pipe()
    stderr, child_err = os.pipe()
    life = Life(command, (child_in, child_out, child_err))
    try:
        widen(from_child)
        widen(to_child)
        with anyio.CancelScope(shield=True):
            child = await life.start()
        await checkpoint_if_cancelled()  # while it was being started: nobody will ever speak to it
    except BaseException:
        with anyio.CancelScope(shield=True):
            await life.end()
        for descriptor in (to_child, from_child, stderr):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (child_in, child_out, child_err):
            os.close(descriptor)
    yield life, child, to_child, from_child, stderr


class Life:
    """A program from before its start until everything of it is gone, in a thread of its own.

    INVARIANT: the thread that starts a program stays as long as the program: Linux ends a child that asked to die with
    its parent (`bwrap --die-with-parent`) with the thread that it came from.
    """

    def __init__(self, command: Command, ends: tuple[int, int, int]) -> None:
        """`ends` are the child's stdin, stdout and stderr: pipes that nobody else is given."""
        self._command, self._ends = command, ends
        self._ward = Ward(str(os.fstat(end).st_ino) for end in ends)
        self._thread = ThreadPoolExecutor(1, "wardgate-program")
        self._watched = contextlib.ExitStack()
        self._child: subprocess.Popen[bytes] | None = None

    async def start(self) -> "subprocess.Popen[bytes]":
        """Start the program; raises what `running` raises."""
        return await self._in_thread(self._start)

    async def know_family(self) -> None:
        """Note whom the program started, before it may end and they lose their parent."""
        await self._in_thread(self._ward.know_family)

    async def end(self) -> None:
        """End whatever is left and reap the program; nobody watches it any more."""
        await self._in_thread(self._end)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _start(self) -> "subprocess.Popen[bytes]":
        lead = self._watched.enter_context(WATCHDOG.watching(self._ward))
        self._child = _start(self._command, *self._ends)
        lead(self._child.pid)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            # INVARIANT: the child is reaped after its group is gone, so that the group's id is still ours.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            if orphans.sees_processes():  # else the group is all that is known, and it was killed
                orphans.end([self._ward], REST)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(REST)
        self._watched.close()


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
