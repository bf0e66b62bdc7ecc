"""A shim's pipes: take them over, speak on them until one side ends, and hand them on when this gateway drains."""

import logging
import os
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio
import anyio.abc

from gateway import __version__
from gateway.app.build import Gateway
from gateway.control import Attachment, close_all
from gateway.errors import RecordError
from gateway.server.peer import Peer
from gateway.server.pipes import Pipes, serve_pipes
from gateway.store.rows import SavedConnection, find_connection, forget_connection, put_connection

log = logging.getLogger("wardgate")

DESCRIPTORS = 3  # stdin, stdout, journal


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

    async def attach(self, shim: Attachment) -> None:
        """Serve one shim. A newer one makes this gateway drain and hand all its connections over."""
        if release(str(shim.hello.get("version", ""))) > release(__version__):
            self.draining.set()
        if self.draining.is_set() or self.stopping.is_set():
            await shim.say(handover=True)
            close_all(shim.fds)
            return
        self.count += 1
        try:
            if shim.hello.get("relay"):
                await self._relay(shim)
            elif len(shim.fds) == DESCRIPTORS:
                await self._pass(shim)
            else:
                await shim.say(error="the pipes did not arrive", bye=3)
                close_all(shim.fds)
        finally:
            self.count -= 1
            self._left.set()

    async def all_left(self) -> None:
        """Wait until no client is connected."""
        while self.count:
            self._left = anyio.Event()
            await self._left.wait()

    async def _pass(self, shim: Attachment) -> None:
        named, known = str(shim.hello.get("connection", "")), None
        client = str(shim.hello.get("client", ""))
        peer = self._gateway.stdio_peer(client, shim.user)
        if named:
            try:
                known = await self._gateway.store.read(partial(find_connection, connection_id=named))
            except RecordError as problem:
                await shim.say(error=str(problem), bye=3)
                close_all(shim.fds)
                return
            if known is not None and (known.principal, known.client) == (peer.principal.id, peer.client):
                peer = self._gateway.stdio_peer(client, shim.user, known.session, known.id)
            else:
                known = None
        if known is None:
            connection = named or secrets.token_hex(16)
            peer = self._gateway.stdio_peer(client, shim.user, connection=connection)
            self._keep(peer, {})
        await shim.say(connection=peer.connection)
        read, write, journal = shim.fds
        handshake = known.handshake if known is not None and known.handshake else None
        pipes = Pipes(read, write, journal, handshake, resumed=bool(named))
        await self._serve(shim, pipes, peer)

    async def _relay(self, shim: Attachment) -> None:
        raw = shim.link.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - of anyio, not of Django
        peer = self._gateway.stdio_peer(str(shim.hello.get("client", "")), shim.user)
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
        try:
            await self._gateway.store.write((), (put_connection(saved),))
        except RecordError as problem:
            log.warning("a connection can't be kept for a next gateway: %s", problem)

    async def _forget(self, peer: Peer) -> None:
        try:
            await self._gateway.store.write((), (forget_connection(peer.connection),))
        except RecordError as problem:
            log.info("a closed connection stays in the store: %s", problem)
