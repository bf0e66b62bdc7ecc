"""Ask the person at the terminal where the gateway was started about a policy that is held. It accepts by the digest
that it showed, and only what was typed after that counts.
"""

import os
import sys
import termios

import anyio
import anyio.to_thread

from gateway.acceptance import Held
from gateway.app.reload import Reload, told
from gateway.core.visible import visible
from gateway.errors import ApprovalError, GatewayError
from gateway.people import user_name

LINE = 256  # bytes that are read of an answer


def at_terminal() -> bool:
    """Whether standard input is a terminal that is still there."""
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):
        return False


async def ask_at_terminal(reload: Reload) -> None:
    """Ask about whatever is held, one after the other, until cancelled; returns at once where there is no terminal."""
    if not at_terminal():
        return
    news, waiting = anyio.Event(), list(reload.held.values())

    def note(held: Held) -> None:
        waiting.append(held)
        news.set()

    reload.on_held.append(note)
    while True:
        while waiting:
            held = waiting.pop(0)
            if reload.held.get(held.what) == held and await _agreed(held):
                await _accept(reload, held)
        await news.wait()
        news = anyio.Event()


async def _agreed(held: Held) -> bool:
    """Show what differs and wait for an answer. The loop goes on meanwhile."""
    for line in told(held):
        _say(f"  {visible(line)}")
    _say(f"Accept policy@{held.digest}? [y/N] ", end="")
    fd = sys.stdin.fileno()
    termios.tcflush(fd, termios.TCIFLUSH)
    while True:
        await anyio.wait_readable(fd)
        if _ours(fd):
            return await anyio.to_thread.run_sync(_line, fd) in (b"y", b"yes")
        await anyio.sleep(1)


def _ours(fd: int) -> bool:
    """Whether what is typed is for this program; else reading would stop it, for another one has the terminal."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # it is no terminal that stops anybody
        return True


def _line(fd: int) -> bytes:
    """A line that is there already; nothing from a terminal that is gone."""
    try:
        return os.read(fd, LINE).strip().lower()
    except OSError:
        return b""


async def _accept(reload: Reload, held: Held) -> None:
    try:
        await reload.accept(held.digest, f"os:{user_name(os.getuid())}")
    except (ApprovalError, GatewayError) as problem:
        _say(f"not accepted: {visible(str(problem))}")
    else:
        _say("accepted")


def _say(text: str, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()
