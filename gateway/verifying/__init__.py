"""Verify the record of a state folder: its rows, its head, its checkpoints, its signatures, the tables beside it.

It reads one snapshot and changes nothing. A large record is walked by several processes.
"""

import os
import sqlite3
from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from gateway.core.merkle import Tree
from gateway.core.note import Note, Verifier, read_checkpoint, read_note, read_notes, read_vkey
from gateway.core.succession import trusted
from gateway.core.verify import Expected, Inspection, Verification
from gateway.errors import StateError
from gateway.readahead import ReadAhead
from gateway.reading import open_file
from gateway.schema import COPIES, SIGNING_NAME, STORE_NAME, VERSION
from gateway.verifying.tables import approvals, flow, rows_of, signatures

BATCH = 4_096  # rows that are looked at together
LEVEL = 16  # a process walks blocks of 2 ** LEVEL rows
LARGE = 200_000  # rows from which on it is worth it to start processes
PROCESSES = 4  # at most
_NOT_NOW = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN)  # says nothing of what is stored
_ROWS = f"SELECT body, leaf, seq, {COPIES} FROM record WHERE seq > ? AND seq <= ? ORDER BY seq"  # noqa: S608 - ours


class Trust(NamedTuple):
    """Whose checkpoints count: keys, and where they are known from."""

    keys: tuple[Verifier, ...]
    source: str


class _Block(NamedTuple):
    """What a process found in one block: root, frontiers where roots are expected, and the first thing wrong."""

    root: bytes
    marks: tuple[tuple[int, bytes], ...]
    first_bad: int | None
    detail: str


def verify_folder(state: Path, against: str = "", key: str = "") -> Verification:
    """Check the record of a state folder, and the notes in the text `against`; `key` is the vkey to trust.

    Raises `StateError` if there is no record to read, `ValueError` if notes or key can't be used.
    """
    file = state / STORE_NAME
    given = read_vkey(key) if key else None
    notes = read_notes(against) if against else []
    try:
        with closing(open_file(file)) as db:
            _same_version(db, file)
            return _verify(db, file, notes, given)
    except sqlite3.OperationalError as problem:
        raise StateError(f"the record `{file}` can't be read: {problem}") from None


def _same_version(db: sqlite3.Connection, file: Path) -> None:
    """Raise `StateError` for a store of another version, of which it couldn't be said whether it is whole."""
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError:
        return  # it is damaged: the walk says how
    if version > VERSION:
        raise StateError(f"the record `{file}` was written by a newer gateway (version {version})")
    if 0 < version < VERSION:
        older = f"the record `{file}` was written by an older gateway (version {version})"
        raise StateError(f"{older}: this one brings it forward when it starts, and keeps a copy")


def _verify(db: sqlite3.Connection, file: Path, notes: Sequence[Note], given: Verifier | None) -> Verification:
    walk = Inspection()
    try:
        db.execute("BEGIN")
        heads = db.execute("SELECT size, frontier, root FROM head").fetchall()
        last = db.execute("SELECT max(seq) FROM record").fetchone()[0] or 0
        walk = _begin(db)
        trust = _trusted(db, file.parent, given, notes)
        walk.expected = _expected(db, walk, notes, trust)
        _walk(db, file, walk, last)
        approvals(db, walk)
        signatures(db, walk)
        flow(db, walk)
        db.execute("ROLLBACK")
    except sqlite3.DatabaseError as problem:
        if (getattr(problem, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF in _NOT_NOW:
            raise
        return walk.unreadable(f"the store can't be read: {problem}")
    return walk.finish(*heads[0]) if len(heads) == 1 else walk.finish(None, None, None)


def _begin(db: sqlite3.Connection) -> Inspection:
    """The walk's beginning: behind what was pruned."""
    walk = Inspection()
    found = db.execute("SELECT size, frontier, root FROM pruned").fetchall()
    try:
        ((size, frontier, root),) = found
        walk.tree = Tree.restore(size, memoryview(frontier).tobytes())  # `TypeError` for a text
    except (TypeError, ValueError):
        walk.found(None, "what was pruned is not told as it has to be")
    else:
        if walk.tree.root() != root:
            walk.found(None, "the root over what was pruned is not that of its frontier")
    return walk


def _trusted(db: sqlite3.Connection, state: Path, given: Verifier | None, notes: Sequence[Note]) -> Trust:
    """The keys of this gateway: the one that was given or lies in the folder, and what the record's notes of one key
    following another lead to from there. Without such a key, all that the record names.
    """
    named: list[Verifier] = []
    followed: list[Note] = []
    for _, extra in rows_of(db, "key"):
        if extra.get("which") == "signing":
            with suppress(ValueError):  # one that is no key, or no note, names nothing
                named.append(read_vkey(str(extra.get("key"))))
                followed += read_notes(str(extra["note"])) if extra.get("note") else []
    said = (signature.name for note in notes for signature in note.signatures)
    own = [given] if given else _own(state, {*said, *(verifier.name for verifier in named)})
    if not own:
        return Trust(tuple(named), "the record's own word")
    from gateway.signing import verify  # imported late: a record without checkpoints needs none of it

    return Trust(trusted(own, named, followed, verify), "--key" if given else "the state folder")


def _own(state: Path, names: AbstractSet[str]) -> list[Verifier]:
    """The folder's own key, if it is there, under each name that it may have signed with."""
    try:
        seed = (state / SIGNING_NAME).read_bytes()
    except OSError:
        return []
    if len(seed) != 32 or not names:
        return []
    from gateway.signing import verifier_of  # imported late: a record without checkpoints needs none of it

    return [verifier_of(name, seed) for name in sorted(names)]


def _expected(db: sqlite3.Connection, walk: Inspection, notes: Sequence[Note], trust: Trust) -> deque[Expected]:
    """The roots that are known: of the record's own checkpoints, and of the notes that were given."""
    found: list[Expected] = []
    for seq, extra in rows_of(db, "checkpoint"):
        try:
            checkpoint = _signed(read_note(str(extra.get("note"))), trust)
        except ValueError as problem:
            walk.found(seq, f"its checkpoint: {problem}")
            continue
        found.append(Expected(checkpoint.size, checkpoint.root, f"the checkpoint in row {seq}"))
    for number, note in enumerate(notes, 1):
        try:
            checkpoint = _signed(note, trust)
        except ValueError as problem:
            raise ValueError(f"note {number}: {problem}") from None
        found.append(Expected(checkpoint.size, checkpoint.root, f"note {number}"))
    return deque(sorted(found))


def _signed(note: Note, trust: Trust) -> Expected:
    from gateway.signing import verify  # imported late, as above

    checkpoint = read_checkpoint(note.text)
    if not any(note.signed_by(key, verify) and key.name == checkpoint.origin for key in trust.keys):
        raise ValueError(f"it is not signed with a key that {trust.source} tells of")
    return Expected(checkpoint.size, checkpoint.root, "")


def _walk(db: sqlite3.Connection, file: Path, walk: Inspection, last: int) -> None:
    width = 1 << LEVEL
    first, blocks = -(-walk.seen // width), last // width
    if last - walk.seen >= LARGE and blocks - first >= 2 and (os.cpu_count() or 1) > 1:
        _rows(db, walk, first * width)
        if walk.seen == first * width:
            _blocks(file, walk, range(first, blocks))
    _rows(db, walk, (1 << 63) - 1)


def _rows(db: sqlite3.Connection, walk: Inspection, upto: int) -> None:
    cursor = db.execute(_ROWS, (walk.seen if walk.seen else -(1 << 63), upto))
    while batch := cursor.fetchmany(BATCH):
        walk.rows(batch)


def _blocks(file: Path, walk: Inspection, numbers: range) -> None:
    """Walk whole blocks in several processes, and put their roots together in order."""
    marks = [expected.size for expected in walk.expected]
    count = min(PROCESSES, os.cpu_count() or 1)
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool, ReadAhead(file, len(numbers)) as ahead:
        for block in pool.map(_block, *zip(*((str(file), number, marks, LEVEL) for number in numbers), strict=True)):
            ahead.on()
            if block.detail:
                walk.found(block.first_bad, block.detail)
            walk.block(block.root, LEVEL, block.marks)


def _block(file: str, number: int, marks: Sequence[int], level: int) -> _Block:
    """Walk one block, in a process of its own."""
    width = 1 << level
    begin = number * width
    part = Inspection(offset=begin)
    inside = [size - begin for size in marks if begin < size < begin + width]
    found: list[tuple[int, bytes]] = []
    with closing(open_file(Path(file))) as db:
        for size in [*inside, width]:
            for at in range(part.seen, begin + size, BATCH):
                part.rows(db.execute(_ROWS, (at, min(at + BATCH, begin + size))).fetchall())
            if size < width:
                found.append((size, part.tree.frontier))
    if part.tree.size != width:
        part.found(part.seen + 1, f"row {part.seen + 1} was expected, and is not there")
        part.tree.extend([b""] * (width - part.tree.size))
    return _Block(part.tree.root(), tuple(found), part.first_bad, part.detail)
