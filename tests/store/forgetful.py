"""A disk that forgets: what was written and not synced is lost at a power cut, or is there in parts.

A VFS of SQLite's behind the store's `Connector`. Files are real, and so are locks and shared memory; beside each stands
what was synced of it. A cut leaves of every sector any of the versions that it had since then. The name of a new file
lasts from its first sync on, a deletion at once. Writes can be made to fail too, as those of a full or a broken disk.
While connections are open nobody else in the process may open the files: that would be another SQLite, and POSIX locks
do not tell the two apart.
"""

import contextlib
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from gateway.store.connection import Connection

SECTOR = 512  # bytes that are written whole or not at all
NEVER = 1 << 60
CHECKPOINT = 60  # pages of the write-ahead log after which it is brought into the file: often, so that cuts meet it
ITS_OWN, NORMAL, OFF = "", "NORMAL", "OFF"
_numbers = itertools.count()


@dataclass
class _File:
    """A file as it would be after a cut, and what was done to it since."""

    synced: bytearray
    named: bool  # its name outlasts a cut
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (size, None): truncated

    def sync(self) -> None:
        for at, data in self.since:
            _put(self.synced, at, data)
        self.since.clear()
        self.named = True

    def left(self, chance: random.Random) -> bytes:
        """What a cut leaves: of each sector what was synced, or any later version of it."""
        content, share = bytearray(self.synced), chance.choice((0.0, 0.3, 0.7, 1.0))
        for at, data in self.since:
            for begin, piece in _sectors(at, data):
                if chance.random() < share:
                    _put(content, begin, piece)
        return bytes(content)


def _put(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        return
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


def _sectors(at: int, data: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    if data is None:
        yield at, None
        return
    begin = 0
    while begin < len(data):
        end = begin + SECTOR - (at + begin) % SECTOR
        yield at + begin, data[begin:end]
        begin = end


class Disk:
    """A disk whose power is cut at the operation (write, truncation, sync) number `cut_at`; after it nothing is taken.

    `fault(operation, file)` may name an error of SQLite's with which an operation fails. `synchronous` takes
    the place of what the store's own `PRAGMA synchronous` says.
    """

    def __init__(self, chance: random.Random, cut_at: int = NEVER, synchronous: str = ITS_OWN) -> None:
        self.operations, self.cut_at = 0, cut_at
        self.fault: Callable[[str, str], int | None] = lambda operation, file: None
        self._chance, self._synchronous = chance, synchronous
        self._files: dict[str, _File] = {}
        self._image: dict[str, bytes | None] | None = None
        self._vfs = _Vfs(self, f"forgetful-{next(_numbers)}")

    @property
    def is_cut(self) -> bool:
        """Whether the power is gone."""
        return self._image is not None

    def connect(self, file: Path, *, write: bool, busy: float) -> Connection:
        """A `Connector` of the store's."""

        def connector() -> Any:
            access = apsw.SQLITE_OPEN_READWRITE if write else apsw.SQLITE_OPEN_READONLY
            with _translated():
                db = apsw.Connection(str(file), flags=access, vfs=self._vfs.name)
            db.set_busy_timeout(round(busy * 1000))
            db.wal_autocheckpoint(CHECKPOINT)
            return _Database(db, self._synchronous)

        return Connection(connector, iter_chunk_size=64)

    def cut(self) -> None:
        """Cut the power now, if it isn't yet."""
        if self._image is None:
            self._image = {name: file.left(self._chance) if file.named else None for name, file in self._files.items()}

    def restore(self) -> None:
        """Bring the files into the state in which the cut left them; all connections must be closed."""
        assert self._image is not None, "the power was never cut"
        for name, content in self._image.items():
            path = Path(name)
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        self._vfs.unregister()

    def found(self, name: str, *, named: bool) -> _File:
        """The file of a name; `named` says that the folder was synced since it was made."""
        if name not in self._files:
            self._files[name] = _File(bytearray(Path(name).read_bytes()), named)
        return self._files[name]

    def gone(self, name: str) -> None:
        """A file is deleted, and that lasts."""
        if self._image is None:
            _ = self._files.pop(name, None)

    def did(self, operation: str, name: str) -> None:
        """An operation is about to be done; raises what it fails with."""
        if self._image is None:
            self.operations += 1
            if self.operations >= self.cut_at:
                self.cut()
        code = apsw.SQLITE_IOERR if self._image is not None else self.fault(operation, name)
        if code is not None:
            raise apsw.exception_for(code)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk, name: str) -> None:
        super().__init__(name, base="")
        self.name, self._disk = name, disk

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = str(name.filename()) if isinstance(name, apsw.URIFilename) else str(name)
        return _Open(self._disk, path, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self._disk.gone(name)


class _Open(apsw.VFSFile):
    """A file that is open; reads, locks and shared memory are the real file's."""

    def __init__(self, disk: Disk, path: str, name: Any, flags: list[int]) -> None:
        self._disk, self._path = disk, path
        before = Path(path).exists()
        super().__init__("", name, flags)
        self._file = disk.found(path, named=before)

    def xWrite(self, data: bytes, offset: int) -> None:
        if not self._disk.is_cut:
            self._file.since.append((offset, bytes(data)))  # of what a cut interrupts, parts may be there too
        try:
            self._disk.did("write", self._path)
        except apsw.Error:
            if not self._disk.is_cut:
                _ = self._file.since.pop()
            raise
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._disk.did("truncate", self._path)
        super().xTruncate(size)
        self._file.since.append((size, None))

    def xSync(self, flags: int) -> None:
        self._disk.did("sync", self._path)
        self._file.sync()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Errors of apsw's come out as those of the standard library."""
    try:
        yield
    except apsw.Error as problem:
        refused = isinstance(problem, apsw.ConstraintError)
        made = (sqlite3.IntegrityError if refused else sqlite3.OperationalError)(str(problem))
        made.sqlite_errorcode = getattr(problem, "extendedresult", apsw.SQLITE_ERROR)
        raise made from problem


class _Rows:
    """What a statement gave, all of it."""

    def __init__(self, rows: list[Any], changed: int) -> None:
        self._rows, self.rowcount = iter(rows), changed

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class _Database:
    """As much of `sqlite3.Connection` as the store uses."""

    def __init__(self, db: apsw.Connection, synchronous: str) -> None:
        self._db, self._synchronous = db, synchronous

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, statement: str, values: Sequence[Any] = ()) -> _Rows:
        if self._synchronous and statement.startswith("PRAGMA synchronous="):
            statement = f"PRAGMA synchronous={self._synchronous}"
        with _translated():
            rows = list(self._db.execute(statement, values))
            return _Rows(rows, self._db.changes())

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        with _translated():
            _ = list(self._db.executemany(statement, rows))

    def close(self) -> None:
        with contextlib.suppress(
            apsw.Error
        ):  # the last checkpoint failed: SQLite closes all the same, and says nothing
            self._db.close()
