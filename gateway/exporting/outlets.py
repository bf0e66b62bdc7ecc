"""Where rows go as lines: a file that is cut back to its bookmark, or a stream. What is handed over is safe there.

An outlet knows no bookmark's file and no store; it takes rows and says how far it has come.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import msgspec

from gateway import __version__
from gateway.core import cef
from gateway.errors import GatewayError, StateError
from gateway.exporting.bookmark import Bookmark, sync_folder
from gateway.reading import Row, log_item

TAIL = 4096  # bytes before the end of which a bookmark holds the digest


class Undelivered(GatewayError):  # noqa: N818 - nothing of ours is broken
    """The receiver doesn't take what is handed to it; nothing of it counts as handed over."""


class Place(NamedTuple):
    """How far an output file goes, and the digest of its last bytes; no length where there is no file."""

    length: int | None = None
    tail: str = ""


class Outlet(Protocol):
    """What rows are handed to."""

    def hand_over(self, rows: Sequence[Row]) -> None:
        """Hand over rows in order; returns once they are safe there. Raises `Undelivered` if they are not."""

    def place(self) -> Place:
        """How far it has come."""

    def rest(self) -> None:
        """There is nothing to hand over now."""


class Form(NamedTuple):
    """A form of lines: its name, how every line of it begins, and how one is made of a gateway's id and a row."""

    name: str
    opening: bytes
    line: Callable[[str, Row], bytes]


def item(row: Row, *, content: bool = False) -> Mapping[str, Any]:
    """A row as `export` prints it: as `log` does, and with what the record keeps of arguments and result if wanted."""
    told = log_item(row)
    if content:
        record = row.record
        told |= {"arguments": record.arguments, "result": record.result, "detail": record.detail}
    return told


JSON_LINES = Form("jsonl", b'{"seq":', lambda gateway, row: msgspec.json.encode(item(row)) + b"\n")
WHOLE_LINES = Form(
    "jsonl+content", b'{"seq":', lambda gateway, row: msgspec.json.encode(item(row, content=True)) + b"\n"
)
CEF = Form(
    "cef",
    cef.OPENING.encode(),
    lambda gateway, row: cef.line(gateway, row.seq, row.record, __version__).encode() + b"\n",
)


LINES = {form.name: form for form in (JSON_LINES, WHOLE_LINES, CEF)}


class Lines:
    """A stream, such as standard output: what it took counts as handed over."""

    def __init__(self, stream: BinaryIO, form: Form, gateway: str) -> None:
        self._stream, self._form, self._gateway = stream, form, gateway

    def hand_over(self, rows: Sequence[Row]) -> None:
        """Write the rows' lines and flush."""
        try:
            self._stream.write(b"".join(self._form.line(self._gateway, row) for row in rows))
            self._stream.flush()
        except OSError as problem:
            raise Undelivered(f"what reads the lines is gone: {problem.strerror}") from None

    def place(self) -> Place:
        """A stream has no length."""
        return Place()

    def rest(self) -> None:
        """Nothing waits here."""


class OutputFile:
    """A file that holds exactly the rows up to its bookmark, each once, whenever an export begins or goes on."""

    def __init__(self, path: Path, form: Form, gateway: str) -> None:
        self.path, self._form, self._gateway = path, form, gateway
        self._file, self._length, self._last = -1, 0, b""

    def __enter__(self) -> "OutputFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    def begin(self) -> None:
        """Make the file; raises `StateError` if there is one."""
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            sync_folder(self.path)
        except OSError as problem:
            raise StateError(f"`{self.path}` can't be made: {problem.strerror}") from None

    def exists(self) -> bool:
        """Whether the file is there."""
        return os.path.lexists(self.path)  # a dangling link is there too

    def go_on(self, mark: Bookmark) -> int:
        """Open the file and cut back what stands behind the bookmark; returns how many bytes that were.

        Raises `StateError`, with the file untouched, if it isn't the one that the bookmark speaks of.
        """
        length = mark.length or 0
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            found = os.fstat(self._file).st_size
            last = os.pread(self._file, min(TAIL, length), max(0, length - TAIL))
            rest = os.pread(self._file, len(self._form.opening), length)
            if found < length:
                raise StateError(f"`{self.path}` is shorter than its bookmark says: {length} bytes, {found} found")
            if (length and _digest(last) != mark.tail) or not self._form.opening.startswith(rest):
                raise StateError(f"`{self.path}` is not the file that its bookmark speaks of")
            os.ftruncate(self._file, length)
            os.lseek(self._file, length, os.SEEK_SET)
            os.fsync(self._file)
        except OSError as problem:
            raise StateError(f"`{self.path}` can't be written: {problem.strerror}") from None
        self._length, self._last = length, last
        return found - length

    def hand_over(self, rows: Sequence[Row]) -> None:
        """Write the rows' lines; they are on the disk when this returns."""
        data = b"".join(self._form.line(self._gateway, row) for row in rows)
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError as problem:
            raise Undelivered(f"`{self.path}` can't be written: {problem.strerror}") from None
        self._length += len(data)
        self._last = (self._last + data)[-TAIL:]

    def place(self) -> Place:
        """How long the file is, and the digest of its end."""
        return Place(self._length, _digest(self._last) if self._length else "")

    def rest(self) -> None:
        """Nothing waits here."""


def attach(file: OutputFile, mark: Bookmark | None, keep: Callable[[Outlet], None], say: Callable[[str], None]) -> None:
    """Make the file, or go on with it where its bookmark stands; `keep` writes a bookmark down.

    Raises `StateError` for a file that is there and that no bookmark speaks of.
    """
    if mark is not None and file.exists():
        if cut := file.go_on(mark):
            say(f"cut {cut} bytes behind the bookmark off `{file.path}`: they are written again")
        return
    if mark is not None and mark.length:
        say(f"`{file.path}` is gone: it begins anew behind row {mark.seq}")
    elif file.exists():
        raise StateError(f"`{file.path}` is there already, and no bookmark tells what is in it")
    # INVARIANT: a bookmark stands before there is a file, so that what lies behind it is known to be ours.
    keep(file)
    file.begin()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
