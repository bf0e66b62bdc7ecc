"""A forwarder for a test suite that can't send a token: it adds `Authorization` to each request and changes no more.

Understands no more of HTTP/1.1 than where a request ends; what comes back is passed on byte by byte as it comes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

LARGEST_HEAD = 64 * 1024
LARGEST_LINE = 256  # of a chunk's size
PIECE = 64 * 1024
LOST = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError)


@asynccontextmanager
async def forwarding(port: int, token: str) -> AsyncIterator[int]:
    """Forward to a port of loopback with this bearer token; gives the port to ask instead."""
    header = f"Authorization: Bearer {token}\r\n".encode()

    async def serve(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", port) as server, anyio.create_task_group() as tasks:
            tasks.start_soon(_back, server, client, tasks.cancel_scope)
            try:
                await _requests(client, server, header)
            except LOST:
                tasks.cancel_scope.cancel()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        yield int(listener.extra(anyio.abc.SocketAttribute.local_port))
        tasks.cancel_scope.cancel()


async def _back(server: SocketStream, client: SocketStream, done: anyio.CancelScope) -> None:
    """Pass on what is answered, until either side ends."""
    try:
        while True:
            await client.send(await server.receive(PIECE))
    except LOST:
        done.cancel()


async def _requests(client: SocketStream, server: SocketStream, header: bytes) -> None:
    source = BufferedByteReceiveStream(client)
    while True:
        head = await source.receive_until(b"\r\n\r\n", LARGEST_HEAD)
        request, _, fields = head.partition(b"\r\n")
        await server.send(request + b"\r\n" + header + fields + b"\r\n\r\n")
        given = {name.strip().lower(): value.strip() for name, _, value in _split(fields)}
        if given.get(b"transfer-encoding", b"").lower() == b"chunked":
            await _chunks(source, server)
        elif length := int(given.get(b"content-length", b"0")):
            await server.send(await source.receive_exactly(length))


def _split(fields: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in fields.split(b"\r\n")]


async def _chunks(source: BufferedByteReceiveStream, server: SocketStream) -> None:
    size = -1
    while size:
        line = await source.receive_until(b"\r\n", LARGEST_LINE)
        size = int(line.partition(b";")[0], 16)
        await server.send(line + b"\r\n" + await source.receive_exactly(size + 2))
