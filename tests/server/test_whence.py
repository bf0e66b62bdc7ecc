"""Where an HTTP connection comes from, by real sockets: the uid at its other end, looked up once."""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.isolation import Isolation
from gateway.server import whence
from gateway.server.whence import HOLDER, level_of, uid_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose a connection is")


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Both ends of a connection on loopback, as a server sees them: client, server."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listener, socket.socket(family) as client:
        try:
            listener.bind((request.param, 0))
        except OSError:
            pytest.skip("there is no such address here")
        listener.listen()
        client.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            yield accepted.getpeername()[:2], accepted.getsockname()[:2]


def ends(connection: tuple[Any, Any]) -> Any:
    return [(ipaddress.ip_address(host), port) for host, port in connection]


def test_the_uid_at_the_other_end_is_found(connection: tuple[Any, Any]) -> None:
    assert uid_of(*ends(connection)) == os.getuid()


def test_nobodys_connection_has_no_uid(connection: tuple[Any, Any]) -> None:
    client, server = ends(connection)
    assert uid_of((client[0], 1), server) is None
    assert uid_of(server, (client[0], 1)) is None


def test_where_the_system_does_not_tell_there_is_no_uid(
    connection: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "odd"
    odd.write_text("sl local rem\n0: x y 01 a b c 0\n1: zz:1 zz:1 01 0 0 0 7\nshort\n", encoding="ascii")
    monkeypatch.setattr(whence, "TABLES", (tmp_path / "none", odd))
    assert uid_of(*ends(connection)) is None


async def test_a_connection_of_the_same_user_is_level_0(connection: tuple[Any, Any]) -> None:
    assert await level_of({"client": connection[0], "server": connection[1]}) == Isolation.SAME_USER


async def test_a_connection_of_another_user_is_level_2(
    connection: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whence, "uid_of", lambda client, server: 4321)
    assert await level_of({"client": connection[0], "server": connection[1]}) == Isolation.OWN_USER


@pytest.mark.parametrize(
    ("client", "server", "level"),
    [
        (("192.0.2.7", 1), ("192.0.2.1", 2), Isolation.CONFINED),
        (("2001:db8::7", 1), ("2001:db8::1", 2), Isolation.CONFINED),
        (("::ffff:127.0.0.1", 1), ("::ffff:127.0.0.1", 2), Isolation.SAME_USER),
        (("192.0.2.1", 1), ("192.0.2.1", 2), Isolation.SAME_USER),  # this machine, by its own address
        (None, ("127.0.0.1", 2), Isolation.SAME_USER),
        (("127.0.0.1", 1), None, Isolation.SAME_USER),
        (("127.0.0.1", 1), ("127.0.0.1", None), Isolation.SAME_USER),
        (("somewhere", 1), ("127.0.0.1", 2), Isolation.SAME_USER),
    ],
)
async def test_what_can_not_be_told_is_the_least(client: Any, server: Any, level: Isolation) -> None:
    assert await level_of({"client": client, "server": server}) == level


async def test_it_is_looked_up_once_for_a_connection(
    connection: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []

    def look(client: Any, server: Any) -> int:
        looked.append(client)
        return 4321

    monkeypatch.setattr(whence, "uid_of", look)
    held: dict[str, Any] = {}
    for _ in range(3):
        scope = {"client": connection[0], "server": connection[1], "state": {HOLDER: held}}
        assert await level_of(scope) == Isolation.OWN_USER
    assert len(looked) == 1
    assert await level_of({**scope, "state": {HOLDER: {}}}) == Isolation.OWN_USER
    assert len(looked) == 2


@pytest.mark.parametrize(("uid", "level"), [(os.getuid(), Isolation.SAME_USER), (4321, Isolation.OWN_USER)])
async def test_a_process_of_this_machine_is_no_other_one_by_whatever_address_it_comes(
    uid: int, level: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who binds its end to another address of the same machine would look like a container."""
    monkeypatch.setattr(whence, "uid_of", lambda client, server: uid)
    assert await level_of({"client": ("172.17.0.1", 1), "server": ("192.0.2.1", 2)}) == level
