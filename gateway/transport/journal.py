"""What is under way on one connection, noted in an anonymous file that outlives the gateway. No decision here.

The shim owns the file; whichever gateway speaks on its pipes writes it. Page cache survives a kill, so nothing is
synced.
"""

import base64
import os
from enum import Enum

import msgspec
from msgspec import Struct

MAX_SIZE = 1 << 20  # bytes; a journal that grows past it is rewritten


class InFlight(Struct, frozen=True):
    """A request that was read and not yet answered: its JSON-RPC id, and its method."""

    id: str | int
    method: str


class _Kind(Enum):
    """What an entry is of."""

    REQUEST = "request"  # of the client's, with its method
    QUESTION = "question"  # of ours to the client
    HALF_READ = "half-read"  # the beginning of a line whose rest is still in the pipe
    HALF_WRITTEN = "half-written"  # the last line in the pipe may have no end
    UNREAD = "unread"  # bytes that were read and not understood


class _Line(Struct, frozen=True, array_like=True):
    """An entry that is made, or is over."""

    made: bool
    kind: _Kind
    id: str | int = 0
    text: str = ""


_DECODER = msgspec.json.Decoder(_Line)
_ENCODER = msgspec.json.Encoder()


class Journal:
    """Writes what begins and ends on a connection; an idle connection has an empty journal.

    Begins with what the last gateway left: that stays noted until this one has made it good.
    """

    def __init__(self, fd: int) -> None:
        """`fd` is open for reading and writing, and is owned by the journal from here on, unless this raises."""
        self._fd = fd
        self._open: dict[tuple[_Kind, str | int], _Line] = {}
        self._size = 0
        self._read()

    @property
    def requests(self) -> tuple[InFlight, ...]:
        """The requests that wait for their answers."""
        return tuple(InFlight(line.id, line.text) for line in self._open.values() if line.kind is _Kind.REQUEST)

    @property
    def questions(self) -> tuple[str | int, ...]:
        """The questions that the client has not answered."""
        return tuple(line.id for line in self._open.values() if line.kind is _Kind.QUESTION)

    @property
    def torn(self) -> bool:
        """Whether a line that was written may have no end."""
        return (_Kind.HALF_WRITTEN, 0) in self._open

    def begin(self, request_id: str | int, method: str) -> None:
        """Note a request before it is handled."""
        self._make(_Kind.REQUEST, request_id, method)

    def end(self, request_id: str | int) -> None:
        """Note that a request was answered, or needs no answer any more."""
        self._over(_Kind.REQUEST, request_id)

    def ask(self, question_id: str | int) -> None:
        """Note a question before it is put to the client."""
        self._make(_Kind.QUESTION, question_id)

    def settle(self, question_id: str | int) -> None:
        """Note that a question was answered, or withdrawn."""
        self._over(_Kind.QUESTION, question_id)

    def reading(self, head: bytes) -> None:
        """Note how the line begins that was read in part; empty: none was."""
        self._keep(_Kind.HALF_READ, head)

    def writing(self, half: bool) -> None:
        """Note that the last line in the pipe may have no end, or that it has one."""
        if half:
            self._make(_Kind.HALF_WRITTEN)
        else:
            self._over(_Kind.HALF_WRITTEN)

    def leave(self, unread: bytes) -> None:
        """Keep bytes of the client's that were read and not yet understood, for the gateway that takes over."""
        self._keep(_Kind.UNREAD, unread)

    def take_unread(self) -> tuple[bytes, bytes]:
        """Those bytes, and how the line begins whose rest is in the pipe; nobody finds them again."""
        unread, head = (self._open.get((kind, 0)) for kind in (_Kind.UNREAD, _Kind.HALF_READ))
        self.leave(b"")
        self.reading(b"")
        return _kept(unread), _kept(head)

    def close(self) -> None:
        """Let go of the file; what it holds stays for the next gateway."""
        os.close(self._fd)

    def _read(self) -> None:
        """Take up what is in the file, and cut off a last line that is half written."""
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        self._size = data.rfind(b"\n") + 1
        os.ftruncate(self._fd, self._size)
        for text in data[: self._size].splitlines():
            try:
                line = _DECODER.decode(text)
            except msgspec.MsgspecError:
                continue  # of another version
            if line.made:
                self._open[line.kind, line.id] = line
            else:
                self._open.pop((line.kind, line.id), None)

    def _make(self, kind: _Kind, id: str | int = 0, text: str = "") -> None:
        line = self._open[kind, id] = _Line(True, kind, id, text)
        self._write(line)

    def _over(self, kind: _Kind, id: str | int = 0) -> None:
        if self._open.pop((kind, id), None) is None:
            return
        if not self._open:
            self._clear()
            return
        self._write(_Line(False, kind, id))
        if self._size > MAX_SIZE:
            self._clear()
            for line in self._open.values():
                self._write(line)

    def _keep(self, kind: _Kind, data: bytes) -> None:
        if data:
            self._make(kind, text=base64.b64encode(data).decode("ascii"))
        else:
            self._over(kind)

    def _write(self, line: _Line) -> None:
        data = _ENCODER.encode(line) + b"\n"
        os.pwrite(self._fd, data, self._size)
        self._size += len(data)

    def _clear(self) -> None:
        os.ftruncate(self._fd, 0)
        self._size = 0


def _kept(line: _Line | None) -> bytes:
    return b"" if line is None else base64.b64decode(line.text)
