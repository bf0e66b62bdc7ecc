"""A C2SP witness for tests: it cosigns what is consistent with what it saw before, and nothing else."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.core.merkle import verify_consistency
from gateway.core.note import COSIGNATURE, Verifier, read_checkpoint, read_note

STAMP = 1_700_000_000


class Witness:
    """What it saw last is the end of `seen`: sizes and roots."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
        self.verifier = Verifier("witness.example", COSIGNATURE, self._key.public_key().public_bytes_raw())
        self.seen: list[tuple[int, bytes]] = []

    def answer(self, body: str) -> tuple[int, str]:
        """Status and text for one request."""
        head, _, note = body.partition("\n\n")
        first, *proof = head.split("\n")
        old = int(first.removeprefix("old "))
        found = read_checkpoint(read_note(note).text)
        known = self.seen[-1] if self.seen else (0, b"")
        if old != known[0]:
            return 409, f"{known[0]}\n"
        nodes = [base64.b64decode(line) for line in proof]
        if old and not verify_consistency(known, (found.size, found.root), nodes):
            return 422, ""
        self.seen.append((found.size, found.root))
        message = f"cosignature/v1\ntime {STAMP}\n{found.text}".encode()
        data = self.verifier.id + STAMP.to_bytes(8, "big") + self._key.sign(message)
        return 200, f"— {self.verifier.name} {base64.b64encode(data).decode()}\n"

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        """Answer one request, as HTTP/1.1 has it."""
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(
                next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split()[1]
            )
            while len(body) < length:
                body += await stream.receive()
            assert head.startswith(b"POST /add-checkpoint ")
            status, text = self.answer(body.decode())
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text.encode())}\r\nConnection: close\r\n\r\n".encode()
            await stream.send(head + text.encode())


@asynccontextmanager
async def serving(witness: Witness) -> AsyncIterator[tuple[Witness, str]]:
    """The witness at an address of its own."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, witness.serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield witness, f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()
