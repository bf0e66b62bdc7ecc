"""A pseudo-terminal with a command on it: what it shows, and keys for it. Knows nothing of the gateway."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Pty:
    """The other side of a terminal. `shown` is all that was written since the last `clear`, without escapes."""

    def __init__(self, master: int, process: anyio.abc.Process) -> None:
        self._master, self.process, self._heard = master, process, b""

    @property
    def shown(self) -> str:
        """What was written."""
        return ESCAPES.sub("", self._heard.decode("utf-8", "replace"))

    @property
    def raw(self) -> bytes:
        """What was written, byte by byte."""
        return self._heard

    def clear(self) -> None:
        """Forget what was shown."""
        self._heard = b""

    async def see(self, *words: str) -> str:
        """Read on until all of these are shown; the caller has a deadline."""
        while not all(word in self.shown for word in words):
            await self._read()
        return self.shown

    async def fresh(self, *words: str) -> str:
        """Forget what was shown, and read on until all of these are shown anew."""
        self.clear()
        return await self.see(*words)

    async def end(self) -> int:
        """Read on until the command has ended; returns its exit code."""
        while True:
            try:
                await self._read()
            except EOFError:
                return await self.process.wait()

    async def type(self, text: str) -> None:
        """Press keys; a lone surrogate is a byte that is no UTF-8."""
        os.write(self._master, text.encode("utf-8", "surrogateescape"))

    async def _read(self) -> None:
        await anyio.wait_readable(self._master)
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when the other side is closed
            data = b""
        if not data:
            raise EOFError(self.shown)
        self._heard += data


@asynccontextmanager
async def terminal(
    *words: str,
    environment: Mapping[str, str] | None = None,
    height: int = 40,
    width: int = 100,
    folder: Path | None = None,
    program: str = str(Path(sys.executable).with_name("wardgate")),
) -> AsyncIterator[Pty]:
    """`wardgate WORDS`, or another program, on a terminal, until the block ends; `folder` is where it works."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    given = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
    given.pop("COLUMNS", None)
    given.pop("LINES", None)
    process = await anyio.open_process(
        [program, *words], stdin=slave, stdout=slave, stderr=slave, env=given, cwd=folder, start_new_session=True
    )
    os.close(slave)
    try:
        yield Pty(master, process)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
        os.close(master)
