"""Checks the record from what is stored alone: rows in order, then the head; and against checkpoints kept elsewhere.

Values in, findings out: no database here. A cut tail, an older copy or a whole rewrite whose head was made to fit is
found only against a checkpoint that is kept elsewhere.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import astuple

from gateway.core.merkle import Tree, leaf_hash
from gateway.core.record import COLUMNS, read_body

Row = Sequence[Any]  # body, leaf, seq, and the copies in the order of `COLUMNS`

_Copies = msgspec.defstruct("_Copies", [("seq", int), *((name, str, "") for name in COLUMNS)], gc=False)
_decode = msgspec.json.Decoder(_Copies).decode


class Verification(Struct, frozen=True):
    """What was found: the first row that is wrong (None: none, or it can't be told which), how, and what holds."""

    ok: bool
    size: int
    root: str
    first_bad: int | None = None
    detail: str = ""
    holds: str = ""


class Expected(Struct, frozen=True, order=True):
    """What a checkpoint says: the root over the first `size` rows; `source` says where it stands."""

    size: int
    root: bytes
    source: str


class Inspection(Struct):
    """A walk over the stored rows in order of `seq`, then `finish` with the head.

    It begins behind `offset` rows and the leaves of `tree`; `expected` are the roots that are known, by size.
    """

    tree: Tree = field(default_factory=Tree)
    offset: int = 0
    expected: deque[Expected] = field(default_factory=deque)
    good: Expected | None = None  # the last that fits
    failed: Expected | None = None  # the first that doesn't
    first_bad: int | None = None
    detail: str = ""

    @property
    def seen(self) -> int:
        """The number of the last row that was looked at."""
        return self.offset + self.tree.size

    def rows(self, batch: Sequence[Row]) -> None:
        """Look at the next rows; what is wrong with the first bad one is remembered."""
        leaves: list[bytes] = []
        sha256, number = hashlib.sha256, self.seen
        for row in batch:
            number += 1
            try:
                body = row[0]
                leaf = sha256(b"\x00" + body).digest()
                if leaf != row[1] or row[2] != number or type(row[2]) is not int or astuple(_decode(body)) != row[2:]:
                    self._look(number, row)
            except (TypeError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                leaf = leaf_hash(row[0]) if isinstance(row[0], bytes) else b""
                self._look(number, row)
            leaves.append(leaf)
        self._grow(leaves)

    def block(self, root: bytes, level: int, marks: Sequence[tuple[int, bytes]]) -> None:
        """Go on with a block of `2 ** level` rows that somebody else walked: its root, and its frontier after so many
        rows of it wherever a root is expected there.
        """
        for size, frontier in marks:
            part = Tree.restore(size, frontier)
            self._compare(Tree(self.tree.size + size, [*self.tree.peaks, *part.peaks]))
        self.tree.extend([root], level)
        self._compare(self.tree)

    def found(self, seq: int | None, detail: str) -> None:
        """Something is wrong; the first thing counts."""
        if not self.detail:
            self.first_bad, self.detail = seq, detail

    def finish(self, size: object, frontier: object, root: object) -> Verification:
        """Compare what was walked with the head as it is stored (None where there is none)."""
        walked = self.tree.root()
        self._compare(self.tree)
        if self.failed is None and self.expected:
            self.failed = self.expected[0]
        if self.failed is not None and self.failed.size > self.tree.size:
            short = f"counts {self.failed.size} rows, and {self.tree.size} are there"
            self.found(self.seen + 1, f"{self.failed.source} {short}: the end was cut, or this is an older copy")
        elif self.failed is not None:
            begin = self.good.size + 1 if self.good is not None else 1
            detail = f"something from row {begin} to {self.failed.size} is not what {self.failed.source} says"
            self.found(begin, detail)
        if size != self.tree.size:
            self.found(None, f"the head counts {size!r} rows, {self.tree.size} are there")
        elif root != walked:
            self.found(None, "the head's root is not the root of the rows")
        elif frontier != self.tree.frontier:
            self.found(None, "the head's frontier is not the frontier of the rows")
        return self._told(ok=not self.detail)

    def unreadable(self, why: str) -> Verification:
        """The store could not be read to its end."""
        self.found(self.seen + 1, why)
        return self._told(ok=False)

    def _told(self, *, ok: bool) -> Verification:
        holds = f"rows up to {self.good.size} are as {self.good.source} says" if self.good is not None else ""
        return Verification(ok, self.tree.size, self.tree.root().hex(), self.first_bad, self.detail, holds)

    def _grow(self, leaves: Sequence[bytes]) -> None:
        """Add leaves, and look at the root wherever one is expected."""
        self._compare(self.tree)
        done = 0
        while self.expected and self.expected[0].size <= self.tree.size + len(leaves) - done:
            upto = done + self.expected[0].size - self.tree.size
            self.tree.extend(leaves[done:upto])
            self._compare(self.tree)
            done = upto
        self.tree.extend(leaves[done:])

    def _compare(self, tree: Tree) -> None:
        while self.expected and self.expected[0].size <= tree.size:
            expected = self.expected.popleft()
            if expected.size < tree.size:
                continue  # of before the rows that are here: nothing of it can be told
            if tree.root() != expected.root:
                self.failed = self.failed or expected
            elif self.failed is None:
                self.good = expected

    def _look(self, number: int, row: Row) -> None:
        """Say what is wrong with a row that isn't as it has to be."""
        body, leaf, seq, *columns = row
        wrong = _wrong(number, seq, body, leaf, columns) or "the body is not of the shape of a record"
        self.found(seq if isinstance(seq, int) else number, wrong)


def _wrong(expected: int, seq: object, body: object, leaf: object, columns: Sequence[object]) -> str:
    if type(seq) is not int or seq != expected:
        return f"row {expected} was expected, row {seq!r} found"
    if not isinstance(body, bytes):
        return "the body is not stored as bytes"
    if leaf != leaf_hash(body):
        return "the body is not what was hashed"
    try:
        members = read_body(body)
    except ValueError as problem:
        return str(problem)
    if type(members.get("seq")) is not int or members["seq"] != seq:
        return f"the body says that it is row {members.get('seq')!r}"
    return _copies(members, columns)


def _copies(members: Mapping[str, Any], columns: Sequence[object]) -> str:
    """What is wrong with the copies that are searched by."""
    for name, copy in zip(COLUMNS, columns, strict=True):
        if copy != members.get(name, ""):
            return f"the column `{name}` is not what the body says"
    return ""
