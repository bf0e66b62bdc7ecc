"""A shim's pipes: take them over, speak on them until one side ends, and hand them on when this gateway drains."""

import logging
import os
import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from msgspec.structs import replace

from gateway import __version__
from gateway.app.build import Gateway
from gateway.control import Attachment, close_all
from gateway.errors import GatewayError, RecordError
from gateway.place import foreign
from gateway.server.peer import Peer
from gateway.server.pipes import Pipes, serve_pipes
from gateway.store.rows import SavedConnection, find_connection, forget_connection, put_connection

log = logging.getLogger("wardgate")

DESCRIPTORS = 3  # stdin, stdout, journal
LONGEST_FOLDER = 4096  # characters of a client's working directory
PATIENCE = 30.0  # seconds until a handshake must have been screened: the scanner may still be loading
UNREACHABLE = 3  # what the shim of a client that can't be served ends with


def release(version: str) -> tuple[int, ...]:
    """A version as numbers that compare; what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


class Attachments:
    """The clients on pipes of one gateway."""

    def __init__(self, gateway: Gateway, tasks: anyio.abc.TaskGroup) -> None:
        """`tasks` outlives each connection: what is kept of one is saved in it."""
        self._gateway, self._tasks = gateway, tasks
        self.draining = anyio.Event()
        self.stopping = anyio.Event()
        self.count = 0
        self._left = anyio.Event()
        self._books = (
            anyio.Lock()
        )  # what is kept of connections is written in order: none comes back that was forgotten

    async def attach(self, shim: Attachment) -> None:
        """Serve one shim. A newer one makes this gateway drain and hand all its connections over; one that a
        configuration of another gateway started is refused.
        """
        gateway = self._gateway.settings.gateway
        if why := foreign(gateway.state, gateway.id, str(shim.hello.get("gateway", ""))):
            await self._refuse(shim, why)
            return
        if release(str(shim.hello.get("version", ""))) > release(__version__):
            self.draining.set()
        if self.draining.is_set() or self.stopping.is_set():
            await shim.say(handover=True)
            close_all(shim.fds)
            return
        most = self._gateway.settings.limits.connections
        if self.count >= most:
            await self._refuse(shim, f"busy: {most} clients are connected already (`connections` in `[limits]`)")
            return
        self.count += 1
        try:
            peer = await self._peer(shim)
            if shim.hello.get("relay"):
                await self._relay(shim, peer)
            elif len(shim.fds) == DESCRIPTORS:
                await self._pass(shim, peer)
            else:
                await self._refuse(shim, "the pipes did not arrive")
        finally:
            self.count -= 1
            self._left.set()

    async def all_left(self) -> None:
        """Wait until no client is connected."""
        while self.count:
            self._left = anyio.Event()
            await self._left.wait()

    async def _peer(self, shim: Attachment) -> Peer:
        """Who is at the other end of a shim, and where: its folder counts if it is one."""
        peer = self._gateway.stdio_peer(str(shim.hello.get("client", "")), shim.user)
        folder = shim.hello.get("cwd")
        if not isinstance(folder, str) or len(folder) > LONGEST_FOLDER or not Path(folder).is_absolute():
            return peer
        try:
            return replace(peer, workspace=folder) if await anyio.Path(folder).is_dir() else peer
        except OSError:  # one that can't be looked at
            return peer

    async def _refuse(self, shim: Attachment, why: str) -> None:
        await shim.say(error=why, bye=UNREACHABLE)
        close_all(shim.fds)

    async def _pass(self, shim: Attachment, peer: Peer) -> None:
        named, known = str(shim.hello.get("connection", "")), None
        if named:
            try:
                known = await find_connection(self._gateway.store, named)
            except RecordError as problem:
                await self._refuse(shim, str(problem))
                return
            if known is not None and (known.principal, known.client) != (peer.principal.id, peer.client):
                known = None
        if known is not None:
            peer = peer.at(known.session, known.id)
        else:
            peer = replace(peer, connection=named or secrets.token_hex(16))
            self._keep(peer, {})
        await shim.say(connection=peer.connection)
        read, write, journal = shim.fds
        handshake = known.handshake if known is not None and known.handshake else None
        pipes = Pipes(read, write, journal, handshake, resumed=bool(named))
        await self._serve(shim, pipes, peer)

    async def _relay(self, shim: Attachment, peer: Peer) -> None:
        raw = shim.link.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - of anyio, not of Django
        await shim.say(ok=True)
        both = os.dup(raw.fileno())
        await serve_pipes(self._gateway.face, Pipes(both, both), peer, self._gateway.settings.limits.line)

    async def _serve(self, shim: Attachment, pipes: Pipes, peer: Peer) -> None:
        """Speak until the client or its shim is gone, or this gateway stops or drains."""
        said: dict[str, Any] = {"bye": 0}
        async with anyio.create_task_group() as ends:

            async def end(gone: Any, answer: dict[str, Any]) -> None:
                await gone()
                said.clear()
                said.update(answer)
                ends.cancel_scope.cancel()

            ends.start_soon(end, shim.gone, {"bye": 0})
            ends.start_soon(end, self.stopping.wait, {"bye": 0})
            ends.start_soon(end, self._idle_to_drain, {"handover": True})
            limit = self._gateway.settings.limits.line
            await serve_pipes(self._gateway.face, pipes, peer, limit, partial(self._keep, peer))
            ends.cancel_scope.cancel()
        if "bye" in said:
            self._tasks.start_soon(self._forget, peer)
        with anyio.move_on_after(1, shield=True):
            await shim.say(**said)

    async def _idle_to_drain(self) -> None:
        """Once this gateway drains, wait until no call is in flight, or until its time for that is up."""
        await self.draining.wait()
        with anyio.move_on_after(self._gateway.settings.gateway.call_timeout):
            await self._gateway.face.idle()

    def _keep(self, peer: Peer, handshake: Mapping[str, Any]) -> None:
        """Keep what a next gateway needs, off the path of the handshake."""
        saved = SavedConnection(
            id=peer.connection,
            principal=peer.principal.id,
            client=peer.client,
            session=peer.session,
            era="legacy" if handshake else "modern",
            handshake=dict(handshake),
            updated_at=self._gateway.clock.now(),
        )
        self._tasks.start_soon(self._save, saved)

    async def _save(self, saved: SavedConnection) -> None:
        gateway = self._gateway
        async with self._books:
            try:
                handshake = await gateway.screener.clean(saved.handshake, gateway.clock.monotonic() + PATIENCE)
                await gateway.store.append((), (put_connection(replace(saved, handshake=handshake)),))
            except GatewayError as problem:
                log.warning("a connection can't be kept for a next gateway: %s", problem)

    async def _forget(self, peer: Peer) -> None:
        async with self._books:
            try:
                await self._gateway.store.append((), (forget_connection(peer.connection),))
            except RecordError as problem:
                log.info("a closed connection stays in the store: %s", problem)
