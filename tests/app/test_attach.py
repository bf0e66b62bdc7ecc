"""Shims at the door: who is let in, what is known of them, and how one too many is told."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

from gateway.app.attach import LONGEST_FOLDER, Attachments
from gateway.config import Limits
from gateway.control import Attachment
from gateway.core.model import Principal
from gateway.server.peer import Peer
from gateway.store.port import Ask
from gateway.store.rows import SavedConnection, put_connection
from tests.fakes import DEADLINE, NOON, FakeClock


class Link:
    """The shim's end of the control socket: what it was told; it closes when the test says."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.told = anyio.Event()
        self.closed = anyio.Event()

    async def send(self, data: bytes) -> None:
        self.said.append(msgspec.json.decode(data))
        self.told.set()

    async def receive(self, most: int) -> bytes:
        await self.closed.wait()
        raise anyio.EndOfStream


class Store:
    """What earlier gateways left."""

    def __init__(self, *saved: SavedConnection) -> None:
        self.saved, self.written = saved, 0

    async def ask(self, question: Ask) -> list[tuple[Any, ...]]:
        return [put_connection(row).values for row in self.saved if row.id == question.values[0]]

    async def append(self, records: Any, statements: Any) -> bool:
        self.written += 1
        return True


class FakeFace:
    """Notes who was served, until the client is gone."""

    calls_in_flight = 0

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.serving = anyio.Event()

    async def serve(self, read: Any, write: Any, peer: Peer) -> None:
        self.peers.append(peer)
        self.serving.set()
        await anyio.sleep_forever()

    async def idle(self) -> None:
        return None


class Blind:
    """A screener that finds nothing."""

    async def clean(self, value: Any, deadline: float) -> Any:
        return value


class House:
    """A gateway as far as the door needs it."""

    def __init__(self, limits: Limits, *saved: SavedConnection, identity: str = "") -> None:
        gateway = SimpleNamespace(call_timeout=1.0, state=Path("/state"), id=identity)
        self.settings = SimpleNamespace(limits=limits, gateway=gateway)
        self.face, self.store, self.clock, self.built = FakeFace(), Store(*saved), FakeClock(), 0
        self.screener = Blind()

    def stdio_peer(self, named: str, user: str, session: str = "", connection: str = "") -> Peer:
        self.built += 1
        return Peer(Principal(f"os:{user}", "os-user"), named or "unknown", session or "s_new", "stdio", connection)


@contextmanager
def pipes() -> Iterator[tuple[int, ...]]:
    """Descriptors as a shim hands them over; whoever takes them closes them."""
    taken = [*os.pipe(), os.memfd_create("journal")]
    given = tuple(os.dup(fd) for fd in taken)
    try:
        yield given
    finally:
        for fd in taken:
            os.close(fd)


@asynccontextmanager
async def attached(house: House, **hello: Any) -> AsyncIterator[Link]:
    """One shim, served until the end of the block."""
    link = Link()
    with pipes() as fds, anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            attachments = Attachments(house, tasks)  # type: ignore[arg-type]  # a small fake of a gateway
            shim = Attachment({"version": "0", "client": "cc", **hello}, "ada", fds, link)  # type: ignore[arg-type]  # fake
            tasks.start_soon(attachments.attach, shim)
            await link.told.wait()
            yield link
            link.closed.set()
            await attachments.all_left()


async def test_a_client_is_known_by_its_user_its_name_and_its_folder(tmp_path: Path) -> None:
    house = House(Limits())
    async with attached(house, cwd=str(tmp_path)):
        await house.face.serving.wait()
    (peer,) = house.face.peers
    assert (peer.principal.id, peer.client, peer.session) == ("os:ada", "cc", "s_new")
    assert (peer.workspace, peer.seat) == (str(tmp_path), "os:ada/cc/s_new")
    assert house.built == 1


@pytest.mark.parametrize(
    "folder",
    [None, 7, "", "relative", "/no/such/folder", "/" + "x" * 300, "/" + "x/" * LONGEST_FOLDER, "/a\0b", "/dev/null"],
    ids=["none", "no text", "empty", "relative", "missing", "long name", "long path", "nul", "no folder"],
)
async def test_a_folder_that_is_none_is_not_believed(folder: object) -> None:
    house = House(Limits())
    async with attached(house, cwd=folder):
        await house.face.serving.wait()
    assert house.face.peers[0].workspace == ""


@pytest.mark.parametrize(("identity", "named"), [("alpha", ""), ("", "beta"), ("alpha", "alpha"), ("", None)])
async def test_a_shim_of_the_same_gateway_is_served(identity: str, named: str | None) -> None:
    house = House(Limits(), identity=identity)
    async with attached(house, **({} if named is None else {"gateway": named})):
        await house.face.serving.wait()
    assert len(house.face.peers) == 1


async def test_a_shim_of_another_gateways_configuration_is_refused_and_nobody_else_has_to_go() -> None:
    house, link = House(Limits(), identity="alpha"), Link()
    with pipes() as fds, anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            attachments = Attachments(house, tasks)  # type: ignore[arg-type]  # a small fake of a gateway
            hello = {"version": "99", "client": "cc", "gateway": "beta"}
            tasks.start_soon(attachments.attach, Attachment(hello, "ada", fds, link))  # type: ignore[arg-type]  # fake
            await link.told.wait()
            assert not attachments.draining.is_set()
    (said,) = link.said
    assert said["bye"] == 3
    assert all(word in said["error"] for word in ("`alpha`", "`beta`", "`/state`"))
    assert house.face.peers == []


async def test_as_many_clients_are_let_in_as_the_limit_and_one_more_is_told_so() -> None:
    house, links = House(Limits(connections=2)), [Link() for _ in range(3)]
    with pipes() as first, pipes() as second, pipes() as third, anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            attachments = Attachments(house, tasks)  # type: ignore[arg-type]  # a small fake of a gateway
            for link, fds in zip(links, (first, second, third), strict=True):
                tasks.start_soon(attachments.attach, Attachment({"client": "cc"}, "ada", fds, link))  # type: ignore[arg-type]  # fake
                await link.told.wait()
            assert attachments.count == 2
            assert links[2].said[0]["bye"] == 3
            assert "2 clients" in links[2].said[0]["error"]
            for fd in third:
                with pytest.raises(OSError, match="Bad file"):
                    os.fstat(fd)
            for link in links:
                link.closed.set()
            await attachments.all_left()
    assert ["connection" in link.said[0] for link in links] == [True, True, False]


@pytest.mark.parametrize(
    ("principal", "client", "session"),
    [("os:ada", "cc", "s_old"), ("os:bob", "cc", "s_new"), ("os:ada", "other", "s_new")],
    ids=["its own", "another user's", "another client's"],
)
async def test_only_its_own_connection_is_taken_over(principal: str, client: str, session: str, tmp_path: Path) -> None:
    saved = SavedConnection("c_1", principal, client, "s_old", "modern", {}, NOON)
    house = House(Limits(), saved)
    async with attached(house, connection="c_1", cwd=str(tmp_path)):
        await house.face.serving.wait()
    (peer,) = house.face.peers
    assert (peer.session, peer.connection, peer.workspace) == (session, "c_1", str(tmp_path))
    assert peer.seat == f"os:ada/cc/{session}"
    assert house.built == 1
