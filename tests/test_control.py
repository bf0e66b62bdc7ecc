"""The control socket: commands are answered, and a connection that breaks hurts no other."""

import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from gateway.control import Attachment, Control, Refusal, Request
from gateway.people import user_name
from gateway.place import socket_address

WAIT = 10
pytestmark = pytest.mark.may_block(reason="binding the socket looks at its path, once at start")


async def echo(request: Request, user: str) -> dict[str, Any]:
    return {"said": request.get("text"), "user": user}


async def refuse(request: Request, user: str) -> dict[str, Any]:
    raise Refusal("not now", 3)


async def break_down(request: Request, user: str) -> dict[str, Any]:
    raise KeyError("oops")


async def attach(shim: Attachment) -> None:
    raise RuntimeError(f"{len(shim.fds)} descriptors")


@asynccontextmanager
async def listening(state: Path) -> AsyncIterator[Callable[..., Any]]:
    """A control socket, and a way to send it bytes (and descriptors) and hear its answer."""

    def speak(data: bytes, fds: tuple[int, ...] = ()) -> bytes:
        folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(WAIT)
                link.connect(socket_address(state, folder))
                socket.send_fds(link, [data], list(fds))
                link.shutdown(socket.SHUT_WR)
                heard = b""
                while chunk := link.recv(4096):
                    heard += chunk
                return heard
        finally:
            os.close(folder)

    async def ask(data: bytes, fds: tuple[int, ...] = ()) -> bytes:
        return await anyio.to_thread.run_sync(speak, data, fds)

    control = Control(state, {"echo": echo, "refuse": refuse, "break": break_down}, attach)
    with anyio.fail_after(WAIT):
        async with anyio.create_task_group() as tasks:
            await tasks.start(control.run, tasks)
            yield ask
            tasks.cancel_scope.cancel()


def line(**request: Any) -> bytes:
    return json.dumps(request).encode() + b"\n"


@pytest.mark.parametrize("long", [False, True], ids=["short path", "path too long for a socket"])
async def test_a_command_is_answered_and_its_user_known(long: bool, tmp_path: Path) -> None:
    state = tmp_path / ("x" * 120 if long else "x")
    state.mkdir(mode=0o700)
    async with listening(state) as ask:
        answer = json.loads(await ask(line(op="echo", text="hi")))
    assert answer == {"ok": True, "said": "hi", "user": user_name(os.getuid())}


async def test_a_refusal_carries_its_exit_code(tmp_path: Path) -> None:
    async with listening(tmp_path) as ask:
        assert json.loads(await ask(line(op="refuse"))) == {"ok": False, "error": "not now", "exit": 3}
        assert json.loads(await ask(line(op="nothing")))["exit"] == 2


@pytest.mark.parametrize(
    "bad",
    [
        *(b"\n", b"no json\n", b"[1]\n", b"\xff\n", line(op="echo", text="\udcff"), b'{"op": ' + b"[" * 50_000 + b"\n"),
    ],
    ids=["nothing", "no json", "no object", "no utf-8", "half a character", "deep"],
)
async def test_a_line_that_is_no_request_is_answered_with_an_error(bad: bytes, tmp_path: Path) -> None:
    async with listening(tmp_path) as ask:
        answer = json.loads(await ask(bad))
        assert (answer["ok"], answer["exit"], answer["bye"]) == (
            False,
            2,
            2,
        )  # `bye` ends a shim, which would try again
        assert json.loads(await ask(line(op="echo", text="still here")))["said"] == "still here"


async def test_a_handler_that_breaks_is_told_as_what_it_is_and_hurts_no_other(tmp_path: Path) -> None:
    async with listening(tmp_path) as ask:
        answer = json.loads(await ask(line(op="break")))
        assert (answer["ok"], answer["exit"], "KeyError" in answer["error"]) == (False, 1, True)
        assert "oops" not in answer["error"]
        assert json.loads(await ask(line(op="echo", text="still here")))["said"] == "still here"


@pytest.mark.parametrize("bad", [b"", line(op="echo")[:-1], line(op="attach")], ids=["gone", "no end", "attachment"])
async def test_a_connection_that_breaks_hurts_no_other(bad: bytes, tmp_path: Path) -> None:
    async with listening(tmp_path) as ask:
        assert await ask(bad) == b""
        assert json.loads(await ask(line(op="echo", text="still here")))["said"] == "still here"


async def test_descriptors_that_nobody_uses_are_closed(tmp_path: Path) -> None:
    async with listening(tmp_path) as ask:
        for request in (b"no json\n", line(op="echo", text="x")):
            reading, writing = os.pipe()
            await ask(request, (writing,))
            os.close(writing)
            with anyio.fail_after(WAIT):
                assert await anyio.to_thread.run_sync(os.read, reading, 1) == b""  # no writer is left
            os.close(reading)


async def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async with listening(tmp_path):
        assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600
