"""Copy a store, of a running gateway or a stopped one, to a folder of its own. It changes nothing of the original.

The copy is one moment of the record: readers of SQLite's write-ahead log neither wait for the writer nor make it wait.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.core.verify import Verification
from gateway.errors import StateError
from gateway.reading import reading
from gateway.schema import ID_NAME, STORE_NAME
from gateway.store.folder import MARKS, key_files, mark
from gateway.verifying import verify_folder

PAGES = 4_096  # pages that are copied at a time
_ONCE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Copied(NamedTuple):
    """What was made: how it verifies, and how many files of keys are in it."""

    found: Verification
    keys: int


def back_up(state: Path, target: Path, *, keys: bool) -> Copied:
    """Make the folder `target` (0700, files 0600) with the record and the gateway's id, and with its keys if asked.

    It stands there under its name whole or not at all, durable, and was verified. Raises `StateError` if there is no
    record to copy or something is at `target` already, `OSError` if it can't be written.
    """
    if os.path.lexists(target):
        raise StateError(f"`{target}` is there already: nothing is overwritten")
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".draft", dir=target.parent))
    try:
        _copy_store(state, draft / STORE_NAME)
        named = [state / ID_NAME, *(key_files(state) if keys else ())]
        for file in named:
            _copy(file, draft / file.relative_to(state))
        if keys:
            _fit(draft)
        found = verify_folder(draft)
        for folder in {file.parent for file in draft.rglob("*")}:
            _sync(folder)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(target.parent)
    return Copied(found, len(named) - 1)


def _copy_store(state: Path, file: Path) -> None:
    os.close(os.open(file, _ONCE, 0o600))
    with reading(state) as db, closing(sqlite3.connect(file, isolation_level=None)) as copy:
        db.execute("BEGIN")  # one snapshot: else a copy begins anew whenever something is recorded
        db.execute("SELECT size FROM head").fetchone()
        db.backup(copy, pages=PAGES)
        db.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it; a gateway sets it back
    _sync(file)


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(mode=0o700, exist_ok=True)
    with file.open("rb") as source, os.fdopen(os.open(to, _ONCE, 0o600), "wb") as copy:
        copy.write(source.read())
        copy.flush()
        os.fsync(copy.fileno())


def _fit(draft: Path) -> None:
    """The keys are those of the record that was copied: none was exchanged between the two."""
    with closing(sqlite3.connect(draft / STORE_NAME)) as db:
        known = dict(db.execute("SELECT name, value FROM meta").fetchall())
    there = {mark(file.read_bytes()) for file in key_files(draft)}
    for which, name in MARKS.items():
        if name in known and known[name] not in there:
            raise StateError(f"the {which} key is not the record's: it was exchanged meanwhile, or is lost")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
