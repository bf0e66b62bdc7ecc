"""The control socket: shims hand over their pipes here, commands ask and act. It decides nothing.

A Unix socket in the state folder (0600, peer uid checked). One JSON object a line; a command gets one line back.
"""

import logging
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import msgspec
from msgspec import Struct

from gateway.people import user_name
from gateway.place import socket_address

log = logging.getLogger("wardgate")

LINE_LIMIT = 1 << 22  # bytes of one request: a hook hands over what a client's tool returned
MOST_DESCRIPTORS = 8
HELLO_DEADLINE = 10.0

_NO_REQUEST = {
    "ok": False,
    "error": "expected one JSON object in UTF-8",
    "exit": 2,
    "bye": 2,  # to a shim, which would else try again
}

Request = dict[str, Any]
Handler = Callable[[Request, str], Awaitable[dict[str, Any]]]


class Attachment(Struct, frozen=True):
    """A shim's hello: who and where it is, and the descriptors that it handed over (none when it relays bytes)."""

    hello: Request
    user: str
    fds: tuple[int, ...]
    link: anyio.abc.UNIXSocketStream

    async def say(self, **message: Any) -> None:
        """Send the shim one line; a shim that is gone hears nothing."""
        try:
            await self.link.send(msgspec.json.encode(message) + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            return

    async def gone(self) -> None:
        """Return when the shim has closed its end."""
        try:
            while await self.link.receive(4096):
                pass
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


Attach = Callable[[Attachment], Awaitable[None]]


class Refusal(Exception):  # noqa: N818 - it is an answer of a handler, not an error of ours
    """What a handler raises to answer a command with an error and its exit code; `objection` is why a person's word
    does not count, where it is that.
    """

    def __init__(self, message: str, code: int = 1, objection: str = "") -> None:
        super().__init__(message)
        self.code, self.objection = code, objection


class Control:
    """Listens on the socket of one state folder and gives each line to its handler."""

    def __init__(self, state: Path, handlers: Mapping[str, Handler], attach: Attach) -> None:
        self._state, self._handlers, self._attach = state, handlers, attach

    async def run(
        self, tasks: anyio.abc.TaskGroup, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen until cancelled; what was accepted goes on in `tasks`.

        The lock on the state folder is held by now, so an old socket is nobody's.
        """
        folder = os.open(self._state, os.O_RDONLY | os.O_DIRECTORY)
        try:
            address = socket_address(self._state, folder)
            await anyio.Path(address).unlink(missing_ok=True)
            listener = await anyio.create_unix_listener(address, mode=0o600, backlog=128)
            async with listener:
                task_status.started()
                await listener.serve(self._serve, tasks)
        finally:
            os.close(folder)

    async def _serve(self, link: anyio.abc.SocketStream) -> None:
        assert isinstance(link, anyio.abc.UNIXSocketStream)
        async with link:
            user = peer_user(link)
            if user is None:
                return
            try:
                await self._converse(link, user)
            except Exception as broken:  # noqa: BLE001 - one connection that breaks must not end the others
                log.warning("a connection to the control socket broke: %s", type(broken).__name__)

    async def _converse(self, link: anyio.abc.UNIXSocketStream, user: str) -> None:
        with anyio.move_on_after(HELLO_DEADLINE) as scope:
            received = await self._receive(link)
        if scope.cancelled_caught or received is None:
            return
        request, fds = received
        if request is not None and request.get("op") == "attach":
            await self._attach(Attachment(request, user, fds, link))
            return
        close_all(fds)
        answer = await self._answer(request, user) if request is not None else _NO_REQUEST
        try:
            await link.send(msgspec.json.encode(answer) + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def _receive(self, link: anyio.abc.UNIXSocketStream) -> tuple[Request | None, tuple[int, ...]] | None:
        """What one line asks (None: it is no request) and the descriptors that came with its first bytes; None where no
        whole line comes.
        """
        fds: list[int] = []
        whole = False
        try:
            first, fds = await link.receive_fds(65536, MOST_DESCRIPTORS)
            data = bytearray(first)
            while not data.endswith(b"\n") and len(data) <= LINE_LIMIT:
                data += await link.receive(65536)
            whole = True
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None
        finally:
            if not whole:
                close_all(fds)
        return _request(data), tuple(fds)

    async def _answer(self, request: Request, user: str) -> dict[str, Any]:
        handler = self._handlers.get(str(request.get("op")))
        if handler is None:
            return {"ok": False, "error": f"unknown operation `{request.get('op')}`", "exit": 2}
        try:
            return {"ok": True, **await handler(request, user)}
        except Refusal as refusal:
            return {"ok": False, "error": str(refusal), "exit": refusal.code}
        except Exception as broken:  # noqa: BLE001 - silence would look as if no gateway ran
            what = f"`{request.get('op')}` broke in the gateway: {type(broken).__name__}"
            log.warning("%s", what)
            return {"ok": False, "error": what, "exit": 1}


def _request(line: bytes | bytearray) -> Request | None:
    """What a line asks; None for one that is no request, as one with half a character, which no text can hold."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that were handed over and are not used."""
    for fd in fds:
        os.close(fd)


def peer_user(link: anyio.abc.UNIXSocketStream) -> str | None:
    """The name of the user at the other end, or None if it is neither ours nor root's.

    Where the platform has no SO_PEERCRED the folder's mode (0700) is what keeps others out.
    """
    uid = os.getuid()
    if sys.platform.startswith("linux"):
        raw: socket.socket = link.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - of anyio
        credentials = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("3i", credentials)[1]
        if uid not in (os.getuid(), 0):
            return None
    return user_name(uid)
