"""Speak with the running gateway over its control socket. Light: the standard library only."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from gateway.place import Place, config_file, named_place, socket_address

ANSWER_DEADLINE = 30.0
UNREACHABLE = 3
UNKNOWN = ("unknown ", "nothing of that name ")  # how the gateway says that it knows no such thing


class Unreachable(Exception):  # noqa: N818 - it is what a command tells its user
    """No gateway answers; `code` is the exit code for it."""

    def __init__(self, message: str, code: int = UNREACHABLE) -> None:
        super().__init__(message)
        self.code = code


def find_state(config: str | None) -> Path:
    """The state folder of a configuration; raises as `find_place`."""
    return find_place(config).folder


def find_place(config: str | None) -> Place:
    """The state folder of a configuration and its gateway's id; of one that can't be read now the folder if it is
    certain: the emergency stop must not fail with it. Else `Unreachable` (exit code 1).
    """
    path = config_file(config, os.environ)
    try:
        return named_place(path)
    except (OSError, ValueError) as problem:
        from gateway.cli.salvage import salvaged  # imported late: only what can't be read needs it

        if state := salvaged(path, problem):
            return Place(state, "")
        more = "; `wardgate init` writes one" if isinstance(problem, FileNotFoundError) else ""
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise Unreachable(f"configuration `{path}` can't be read: {why}{more}", 1) from None


def ask(config: str | None, op: str, **fields: Any) -> dict[str, Any]:
    """Send one request and return the answer; `Unreachable` where nobody answers or the gateway refuses."""
    return ask_at(find_state(config), op, **fields)


def ask_at(state: Path, op: str, /, **fields: Any) -> dict[str, Any]:
    """The same, of the gateway of a state folder."""
    try:
        answer = exchange(state, json.dumps({"op": op, **fields}).encode() + b"\n")
    except (OSError, ValueError):
        raise Unreachable(f"no gateway answers for `{state}`: `wardgate serve` starts one") from None
    if not answer.get("ok"):
        raise Unreachable(str(answer.get("error", "refused")), int(answer.get("exit", 1)))
    return answer


def with_near(problem: Unreachable, value: str, word: str, config: str | None) -> str:
    """What the gateway objects to; where it knows no such name, with the nearest that exists (`completion.near`)."""
    known = problem.code == UNREACHABLE or not str(problem).startswith(UNKNOWN) or "did you mean" in str(problem)
    if known:
        return str(problem)
    from gateway.cli.completion import near  # imported late: only a wrong name needs it

    return f"{problem}{near(value, word, config)}"


def exchange(state: Path, line: bytes, deadline: float = ANSWER_DEADLINE) -> dict[str, Any]:
    """Send one line to the gateway of a state folder and return its answer; `OSError` or `ValueError` without one."""
    with call(state, line, deadline) as link:
        return take(link)


def call(state: Path, line: bytes, deadline: float = ANSWER_DEADLINE) -> socket.socket:
    """Send one line to the gateway of a state folder; its answer can be waited for with `select`. `OSError` where none
    answers.
    """
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(deadline)
        link.connect(socket_address(state, folder))
        link.sendall(line)
    except BaseException:
        link.close()
        raise
    finally:
        os.close(folder)
    return link


def take(link: socket.socket) -> dict[str, Any]:
    """The answer on a link; `OSError` or `ValueError` without one."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = link.recv(1 << 16)
        if not chunk:
            break
        data += chunk
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("the gateway's answer was no object")  # noqa: TRY004 - what the bytes hold is wrong
    return answer
