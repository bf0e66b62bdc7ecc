"""One transaction of the record: changes with their conditions, new rows, the new head; all of it or nothing.

Runs in the write connection's thread, as one function without a gap. It decides nothing and waits for nobody.
"""

import os
import sqlite3
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import anyio
from msgspec import Struct, field

from gateway.core.merkle import Tree, leaf_hash
from gateway.core.record import seal
from gateway.errors import RecordError
from gateway.schema import INSERT_CHUNKS
from gateway.store.port import Change, Entry, LateEntry, Value
from gateway.store.statements import CHANGES


class Operation(Struct, eq=False):
    """What one caller asked for: changes and entries that go together, and, where somebody waits, how it went."""

    entries: Sequence[Entry | LateEntry]
    changes: Sequence[Change] = ()
    done: anyio.Event | None = None  # None: nobody waits, and it must not be lost
    happened: bool = False
    error: str = ""
    size: int = 0  # bytes that it holds in memory, about

    def __post_init__(self) -> None:
        self.size = sum(entry.size for entry in self.entries)

    def settle(self) -> None:
        """Have every entry made."""
        self.entries = [entry.settled() for entry in self.entries]

    def asked(self) -> Sequence[Change]:
        """The changes that were asked for, and those that follow from its entries."""
        more = [change for entry in self.entries for change in entry.settled().changes]
        return [*self.changes, *more] if more else self.changes


Identity = tuple[tuple[int, int], ...]


def identity(file: Path) -> Identity:
    """Which files the store's names lead to now; a missing one raises `OSError`."""
    found = (os.stat(file), os.stat(f"{file}-wal"))  # noqa: PTH116 - two names, no path objects on every batch
    return tuple((each.st_dev, each.st_ino) for each in found)


class Batch(Struct, eq=False):
    """Operations on their way to the disk. `after` is the tree that they lead to, set before the commit is tried.

    INVARIANT: a batch that was abandoned while `after` was None is never committed.
    """

    operations: list[Operation]
    before: Tree
    doubt: "Batch | None" = None  # an earlier batch that failed, and may be on the disk all the same
    after: Tree | None = None
    abandoned: bool = False
    missed: set[int] = field(default_factory=set)  # positions of operations that did not happen
    errors: dict[int, str] = field(default_factory=dict)

    def commit(self, db: sqlite3.Connection, file: Path, files: Identity) -> Tree:
        """Write it all in one transaction; returns the tree as it is then on the disk."""
        self._still_ours(file, files)
        try:
            db.execute("BEGIN IMMEDIATE")
            tree, landed = self._base(db)
            for position, operation in enumerate(self.operations):
                if operation not in landed and (changes := operation.asked()):
                    self._apply(db, position, changes)
            rows = self._rows(tree, landed)
            _insert(db, rows)
            db.execute(
                "UPDATE head SET size = ?, frontier = ?, root = ? WHERE one = 1",
                (tree.size, tree.frontier, tree.root()),
            )
            self.after = tree
            if self.abandoned:
                raise RecordError("nobody waits for this batch any more")
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        self._still_ours(file, files)
        return tree

    def _still_ours(self, file: Path, files: Identity) -> None:
        if self.abandoned:
            raise RecordError("nobody waits for this batch any more")
        try:
            now = identity(file)
        except FileNotFoundError:
            raise RecordError("the record's file was deleted") from None
        if now != files:
            raise RecordError("the record's file was replaced by another one")

    def _base(self, db: sqlite3.Connection) -> tuple[Tree, set[Operation]]:
        """The tree to go on from, and what is on the disk already although its batch was said to have failed."""
        head = db.execute("SELECT size, frontier, root FROM head WHERE one = 1").fetchone()
        if head == _head(self.before):
            return self.before.copy(), set()
        if self.doubt is not None and self.doubt.after is not None and head == _head(self.doubt.after):
            return self.doubt.after.copy(), set(self.doubt.operations)
        raise RecordError("the record's head was changed by somebody else")

    def _apply(self, db: sqlite3.Connection, position: int, changes: Sequence[Change]) -> None:
        """Make one operation's changes, or none of them."""
        db.execute("SAVEPOINT operation")
        try:
            for change in changes:
                if db.execute(CHANGES[change.name], change.values).rowcount == 0 and change.must:
                    self.missed.add(position)
                    break
        except sqlite3.IntegrityError as problem:
            self.missed.add(position)
            self.errors[position] = str(problem)
        if position in self.missed:
            db.execute("ROLLBACK TO operation")
        db.execute("RELEASE operation")

    def _rows(self, tree: Tree, landed: set[Operation]) -> list[tuple[Value, ...]]:
        rows: list[tuple[Value, ...]] = []
        for position, operation in enumerate(self.operations):
            if position in self.missed or operation in landed:
                continue
            for entry in operation.entries:
                encoded, columns, _ = entry.settled()
                seq = tree.size + 1
                body = seal(seq, encoded)
                leaf = leaf_hash(body)
                tree.append(leaf)
                rows.append((seq, body, leaf, *columns))
        return rows


def _insert(db: sqlite3.Connection, rows: Sequence[tuple[Value, ...]]) -> None:
    done = 0
    for count, statement in INSERT_CHUNKS.items():
        while len(rows) - done >= count:
            db.execute(statement, tuple(chain.from_iterable(rows[done : done + count])))
            done += count


def _head(tree: Tree) -> tuple[int, bytes, bytes]:
    return tree.size, tree.frontier, tree.root()
