"""Sockets that systemd passes: which is taken, and which is refused with what to do."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from gateway.app import passed as passing
from gateway.app.passed import passed
from gateway.errors import ConfigurationError


@pytest.fixture
def given() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def told(fds: str = "1", pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid() if pid is None else pid), "LISTEN_FDS": fds, "LISTEN_FDNAMES": "http"}


def hand_over(monkeypatch: pytest.MonkeyPatch, given: socket.socket) -> int:
    """A descriptor as systemd passes it: one of its own, which children would get."""
    descriptor = os.dup(given.fileno())
    os.set_inheritable(descriptor, True)
    monkeypatch.setattr(passing, "FIRST", descriptor)
    return descriptor


def test_the_socket_of_listen_is_taken_and_no_child_gets_it(
    monkeypatch: pytest.MonkeyPatch, given: socket.socket
) -> None:
    descriptor, environ = hand_over(monkeypatch, given), {**told(), "HOME": "/home/ada"}
    port = given.getsockname()[1]
    listener = passed(environ, "127.0.0.1", port)
    assert listener is not None
    with closing(listener):
        assert listener.getsockname() == ("127.0.0.1", port)
        assert not os.get_inheritable(descriptor)
        assert environ == {"HOME": "/home/ada"}


@pytest.mark.parametrize(
    "environ",
    [{}, told("0"), told("1", pid=1), {"LISTEN_FDS": "1"}],
    ids=["none", "nothing passed", "meant for another process", "nobody named"],
)
def test_what_was_not_passed_to_this_process_is_not_taken(environ: dict[str, str]) -> None:
    assert passed(environ, "127.0.0.1", 8765) is None
    assert "LISTEN_FDS" not in environ


def test_more_than_one_socket_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="one socket"):
        passed(told("2"), "127.0.0.1", 8765)


def test_a_socket_of_another_address_is_an_error(monkeypatch: pytest.MonkeyPatch, given: socket.socket) -> None:
    descriptor, port = hand_over(monkeypatch, given), given.getsockname()[1]
    with pytest.raises(ConfigurationError, match="ListenStream"):
        passed(told(), "127.0.0.1", port + 1 if port < 65535 else port - 1)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)  # it is closed: nobody answers there


def test_a_descriptor_that_is_closed_is_an_error(monkeypatch: pytest.MonkeyPatch, given: socket.socket) -> None:
    os.close(hand_over(monkeypatch, given))
    with pytest.raises(ConfigurationError, match="no socket"):
        passed(told(), "127.0.0.1", 8765)


@pytest.mark.parametrize("kind", ["unix", "udp", "not listening", "no socket"])
def test_what_is_no_listening_tcp_socket_is_an_error(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "no socket":
        descriptor, writing = os.pipe()
        monkeypatch.setattr(passing, "FIRST", descriptor)
        with pytest.raises(ConfigurationError, match="no socket"):
            passed(told(), "127.0.0.1", 8765)
        os.close(descriptor)
        os.close(writing)
        return
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as wrong:
        hand_over(monkeypatch, wrong)
        with pytest.raises(ConfigurationError, match="systemd passed"):
            passed(told(), "127.0.0.1", 8765)
