"""Checks the record from what is stored alone: rows in order, then the head.

Values in, findings out: no database here. A cut tail, an older copy or a whole rewrite whose head was made to fit is
found only against a checkpoint that is kept elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.merkle import Tree, leaf_hash
from gateway.core.record import COLUMNS, read_body


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: the first row that is wrong (None: none, or it can't be told which) and how."""

    ok: bool
    size: int
    root: str
    first_bad: int | None = None
    detail: str = ""


@dataclass(slots=True)
class Inspection:
    """A walk over the stored rows; `row` for each in order of `seq`, `finish` with the head."""

    tree: Tree = field(default_factory=Tree)
    first_bad: int | None = None
    detail: str = ""

    def row(self, seq: object, body: object, leaf: object, columns: Sequence[object]) -> None:
        """Look at the next row; what is wrong with it is remembered if nothing was wrong before."""
        if wrong := self._wrong(seq, body, leaf, columns):
            self._found(seq if isinstance(seq, int) else self.tree.size + 1, wrong)
        self.tree.append(leaf_hash(body) if isinstance(body, bytes) else b"")

    def finish(self, size: object, frontier: object, root: object) -> Verification:
        """Compare what was walked with the head as it is stored (None where there is none)."""
        walked = self.tree.root()
        if size != self.tree.size:
            self._found(None, f"the head counts {size!r} rows, {self.tree.size} are there")
        elif root != walked:
            self._found(None, "the head's root is not the root of the rows")
        elif frontier != self.tree.frontier:
            self._found(None, "the head's frontier is not the frontier of the rows")
        return Verification(not self.detail, self.tree.size, walked.hex(), self.first_bad, self.detail)

    def unreadable(self, why: str) -> Verification:
        """The store could not be read to its end."""
        self._found(self.tree.size + 1, why)
        return Verification(False, self.tree.size, self.tree.root().hex(), self.first_bad, self.detail)

    def _wrong(self, seq: object, body: object, leaf: object, columns: Sequence[object]) -> str:
        expected = self.tree.size + 1
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

    def _found(self, seq: int | None, detail: str) -> None:
        if not self.detail:
            self.first_bad, self.detail = seq, detail


def _copies(members: Mapping[str, Any], columns: Sequence[object]) -> str:
    """What is wrong with the copies that are searched by."""
    for name, copy in zip(COLUMNS, columns, strict=True):
        if copy != members.get(name, ""):
            return f"the column `{name}` is not what the body says"
    return ""
