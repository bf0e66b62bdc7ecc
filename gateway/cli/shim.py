"""The shim between a client and the gateway: passes its own pipes over the control socket, and waits.

Keeps no state but the journal, an anonymous file in which the gateway notes the calls in flight, so that a new
gateway can answer them as outcome unknown after the old one died. Imports the standard library only.
"""

import array
import fcntl
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.place import config_file, named_place, socket_address

if TYPE_CHECKING:
    import subprocess

START_DEADLINE = 20.0  # seconds until a gateway that was started must answer
POLL = 0.02  # seconds between two attempts to reach it
CHUNK = 1 << 16
UNREACHABLE = 3


class Shim:
    """One client's connection, through as many gateways as it takes."""

    def __init__(self, config: str | None, client: str | None, relay: bool) -> None:
        self.given, self.client, self.relay = config, client, relay
        self.owner = ""  # the id of the gateway whose configuration it is, where that names one
        self.connection = ""  # given by the gateway; names this connection to the next one
        self.journal = _anonymous_file()

    def run(self) -> int:
        """Connect, and reconnect when a gateway dies or hands over, until the client or the gateway is done."""
        try:
            self.config = config_file(self.given, os.environ)
            self.state, self.owner = named_place(self.config)
        except (OSError, ValueError) as problem:
            print(f"wardgate: configuration can't be read: {problem}; `wardgate check` tells more", file=sys.stderr)
            return 1
        while True:
            try:
                link = self._reach()
            except (OSError, TimeoutError) as problem:
                print(f"wardgate: no gateway can be reached: {problem}", file=sys.stderr)
                return UNREACHABLE
            with link:
                ended = self._relay(link) if self.relay else self._pass(link)
            if ended is not None:
                return ended

    def _reach(self) -> socket.socket:
        """A connection to the gateway of this state folder; starts one when none runs, and no other shim starts one."""
        link = self._connect()
        if link is not None:
            return link
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        turn = os.open(self.state / "start.lock", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            return self._start_in_turn(turn)
        finally:
            os.close(turn)

    def _start_in_turn(self, turn: int) -> socket.socket:
        """Start a gateway once this shim holds the lock of its turn, which it keeps until the gateway answers."""
        started: subprocess.Popen[bytes] | None = None
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if started is None and _locked(turn):
                link = self._connect()  # whose turn it was before may have started one
                if link is not None:
                    return link
                started = self._start()
            link = self._connect()
            if link is not None:
                return link
            if started is not None and started.poll() not in (None, 0):
                link = self._connect()  # a gateway that was started by hand may have won the lock
                if link is not None:
                    return link
                raise TimeoutError(f"it ended at once; see {self.state / 'gateway.log'}: {self._last_words()}")
            time.sleep(POLL)  # noqa: TID251 - another process is waited for, and nothing else runs here
        raise TimeoutError(f"none answered within {START_DEADLINE:.0f} s; see {self.state / 'gateway.log'}")

    def _connect(self) -> socket.socket | None:
        try:
            folder = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return None
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.connect(socket_address(self.state, folder))
        except OSError:
            link.close()
            return None
        finally:
            os.close(folder)
        return link

    def _start(self) -> "subprocess.Popen[bytes]":
        import subprocess  # imported late, for the time it takes

        log = os.open(self.state / "gateway.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            command = [sys.executable, "-m", "gateway.cli.main", "serve", "--on-demand", "--config", str(self.config)]
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        finally:
            os.close(log)

    def _last_words(self) -> str:
        try:
            lines = (self.state / "gateway.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        from gateway.core.visible import visible  # imported late: only a gateway that doesn't start needs it

        last = lines[-1] if lines else ""
        try:
            return visible(str(json.loads(last)["message"]))  # it logs as JSON
        except (ValueError, TypeError, KeyError):
            return visible(last)

    def _hello(self) -> bytes:
        message = {
            "op": "attach",
            "version": __version__,
            "client": self.client or "",
            "gateway": self.owner,
            "connection": self.connection,
            "cwd": str(Path.cwd()),
            "pid": os.getppid(),
            "relay": self.relay,
        }
        return json.dumps(message).encode() + b"\n"

    def _pass(self, link: socket.socket) -> int | None:
        """Hand over stdin, stdout and the journal; None when the gateway died or handed over."""
        fds = array.array("i", [0, 1, self.journal])
        try:
            link.sendmsg([self._hello()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except ConnectionError:
            return None
        except OSError:  # descriptors can't be passed from here: go on by copying bytes
            self.relay = True
            return None
        buffer = b""
        while True:
            try:
                chunk = link.recv(4096)
            except OSError:
                chunk = b""
            if not chunk:
                return None
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                said = json.loads(line)
                self.connection = said.get("connection", self.connection)
                if "error" in said:
                    print(f"wardgate: {said['error']}", file=sys.stderr)
                if "bye" in said:
                    return int(said["bye"])
                if "handover" in said:
                    return None

    def _relay(self, link: socket.socket) -> int | None:
        """Copy bytes both ways until one side ends; there is nothing to resume with, so a dead gateway ends it too."""
        link.sendall(self._hello())
        answer = b""
        while not answer.endswith(b"\n"):  # byte by byte: what follows it is the client's
            byte = link.recv(1)
            if not byte:
                return UNREACHABLE
            answer += byte
        said = json.loads(answer)
        if "handover" in said:
            return None
        if "error" in said:
            print(f"wardgate: {said['error']}", file=sys.stderr)
            return UNREACHABLE
        sources = {0: link.fileno(), link.fileno(): 1}
        while link.fileno() in sources:
            for source in select.select(list(sources), [], [])[0]:
                chunk = os.read(source, CHUNK)
                if chunk:
                    _write_all(sources[source], chunk)
                    continue
                del sources[source]
                if source == 0:
                    link.shutdown(socket.SHUT_WR)
        return 0


def _locked(fd: int) -> bool:
    """Take the lock on a file if nobody has it; it is let go when the file is closed, or its process ends."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _anonymous_file() -> int:
    """A file without a name, for the journal of calls in flight."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("wardgate-journal")
    import tempfile  # imported late: only platforms without memfd need it

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
