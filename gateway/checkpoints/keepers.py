"""Where checkpoints are sent: a file, syslog, a command, a C2SP witness. It makes none and keeps none itself.

Each raises `KeeperError` where it could not be kept; nothing here is waited for by a call.
"""

import base64
import logging
import logging.handlers
import os
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from gateway.config import Keeper
from gateway.core.merkle import Part, Tree
from gateway.core.note import cosigned, read_note
from gateway.errors import GatewayError

if TYPE_CHECKING:
    import httpx2

DEADLINE = 10.0  # seconds that one may take
SYSLOG = "/dev/log"
MOST = 64 * 1024  # bytes of a witness's answer

Beyond = Callable[[Tree, int], Awaitable[Sequence[bytes]]]  # the leaves behind a tree, up to a size
Frontier = Callable[[int], Awaitable[Tree | None]]  # the tree of an earlier checkpoint


class KeeperError(GatewayError):
    """A checkpoint could not be kept somewhere."""


async def keep(keeper: Keeper, note: str) -> None:
    """Send a note to a file, to syslog or to a command."""
    try:
        with anyio.fail_after(DEADLINE):
            match keeper.kind:
                case "file":
                    await anyio.to_thread.run_sync(_append, keeper.target, note)
                case "syslog":
                    await anyio.to_thread.run_sync(_log, keeper.target, note)
                case _:
                    await _run([keeper.target, *keeper.args], note)
    except (OSError, TimeoutError, subprocess.CalledProcessError) as problem:
        raise KeeperError(f"{type(problem).__name__}: {getattr(problem, 'strerror', None) or problem}") from None


def _append(path: str, note: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        data = (note + "\n").encode()
        if os.write(descriptor, data) != len(data):
            raise OSError("only a part of it was written")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _log(facility: str, note: str) -> None:
    """One message; the line breaks of the note are written as `\\n`, since syslog keeps lines."""
    handler = logging.handlers.SysLogHandler(SYSLOG, facility)
    failed: list[bool] = []
    handler.handleError = lambda record: failed.append(True)  # type: ignore[method-assign]  # it would print
    try:
        text = "wardgate checkpoint " + note.replace("\n", "\\n")
        handler.emit(logging.LogRecord("wardgate", logging.INFO, "", 0, text, None, None))
    finally:
        handler.close()
    if failed:
        raise OSError("syslog did not take it")


async def _run(words: Sequence[str], note: str) -> None:
    await anyio.run_process(words, input=note.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})


async def witness(url: str, note: str, known: Tree, now: Tree, beyond: Beyond, frontier: Frontier) -> str:
    """Have a note cosigned by a witness (C2SP tlog-witness) that knows the tree `known`; returns it with its signature.

    A witness that knows another size is asked once more from there, if a checkpoint of that size was made.
    """
    answer, size = await _ask(url, note, known, now, beyond)
    if size is not None:
        known_there = await frontier(size)
        if known_there is None:
            raise KeeperError(f"the witness knows a record of {size} rows, of which no checkpoint was made")
        answer, size = await _ask(url, note, known_there, now, beyond)
    if size is not None:
        raise KeeperError(f"the witness says that it knows {size} rows")
    try:
        return cosigned(read_note(note), answer.splitlines())
    except ValueError as problem:
        raise KeeperError(f"the witness's answer is none: {problem}") from None


async def _ask(url: str, note: str, known: Tree, now: Tree, beyond: Beyond) -> tuple[str, int | None]:
    """The witness's signatures, or the size that it knows instead."""
    proof = Part(known, await beyond(known, now.size)).consistency() if known.size else ()
    lines = "".join(base64.b64encode(node).decode() + "\n" for node in proof)
    try:
        async with await anyio.to_thread.run_sync(_client) as client:
            answer = await client.post(f"{url}/add-checkpoint", content=f"old {known.size}\n{lines}\n{note}".encode())
    except Exception as problem:  # noqa: BLE001 - of a library that is imported late: whatever it is, there is no answer
        raise KeeperError(f"the witness can't be reached: {type(problem).__name__}") from None
    text = answer.content[:MOST].decode("utf-8", "replace")
    if answer.status_code == 409 and text.strip().isdigit():
        return "", int(text)
    if answer.status_code != 200:
        raise KeeperError(f"the witness answered {answer.status_code}")
    return text, None


def _client() -> "httpx2.AsyncClient":
    """A client, made in a thread: it reads the certificates of this machine, and few have a witness."""
    import httpx2

    return httpx2.AsyncClient(timeout=DEADLINE, follow_redirects=False)
