"""Make the bundle that proves one call's records to somebody who has no store: rows, proofs, a signed checkpoint.

It reads one snapshot and changes nothing. `gateway/proof.py` checks what is made here, and knows nothing of this.
"""

import base64
import sqlite3
from typing import Any, NamedTuple

from gateway.core.merkle import Part, Tree, verify_inclusion
from gateway.core.note import read_checkpoint, read_note
from gateway.core.record import decode
from gateway.errors import StateError
from gateway.reading import leaves_between, story

FORMAT = "wardgate-proof/1"


class Uncovered(Exception):  # noqa: N818 - nothing is broken: a checkpoint has to be made first
    """No checkpoint covers the rows yet."""


class _Covering(NamedTuple):
    size: int
    frontier: str
    note: str


def bundle(db: sqlite3.Connection, call: str) -> dict[str, Any]:
    """The bundle of one call's records, as it is written down in JSON.

    Each row's proof is made against the first checkpoint that covers it, from the last one before it: that takes the
    rows between those two, however long the record is. Raises `Uncovered` if there is no such checkpoint yet, and
    `StateError` if the record can't prove itself.
    """
    rows: list[dict[str, Any]] = []
    notes: dict[int, str] = {}
    for seq, _ in story(db, call).rows:
        row, covering = _proven(db, seq)
        rows.append(row)
        notes[covering.size] = covering.note
    found = [decode(body)[1].extra for (body,) in db.execute(f"{_BESIDE} ORDER BY seq", ("key",))]
    keys = [extra for extra in found if extra.get("which") == "signing"]
    return {
        "format": FORMAT,
        "call": call,
        "keys": [str(extra.get("key")) for extra in keys],
        "followed": [str(extra["note"]) for extra in keys if extra.get("note")],
        "checkpoints": [notes[size] for size in sorted(notes)],
        "rows": rows,
    }


_BESIDE = "SELECT body FROM record WHERE kind = ? AND kind NOT IN ('intent', 'outcome')"


def _proven(db: sqlite3.Connection, seq: int) -> tuple[dict[str, Any], _Covering]:
    covering = _covering(db, seq)
    base = _before(db, seq)
    part = Part(base, leaves_between(db, base.size, covering.size))
    try:
        proof = part.inclusion(seq - 1)
        found = read_checkpoint(read_note(covering.note).text)
    except ValueError as problem:
        raise StateError(f"row {seq} can't be proven ({problem}); `wardgate verify` tells more") from None
    body, leaf = db.execute("SELECT body, leaf FROM record WHERE seq = ?", (seq,)).fetchone()
    if found.size != covering.size or not verify_inclusion(leaf, seq - 1, found.size, proof, found.root):
        raise StateError(f"row {seq} is not what its checkpoint says; `wardgate verify` tells more")
    row = {
        "index": seq - 1,
        "body": base64.b64encode(body).decode("ascii"),
        "size": covering.size,
        "proof": [base64.b64encode(node).decode("ascii") for node in proof],
    }
    return row, covering


def _covering(db: sqlite3.Connection, seq: int) -> _Covering:
    """The first checkpoint over a row: it stands behind it, and the rows between the two are few."""
    for (body,) in db.execute(f"{_BESIDE} AND seq > ? ORDER BY seq", ("checkpoint", seq)):
        extra = decode(body)[1].extra
        if int(extra.get("size", 0)) >= seq:
            return _Covering(int(extra["size"]), str(extra.get("frontier")), str(extra.get("note")))
    raise Uncovered


def _before(db: sqlite3.Connection, seq: int) -> Tree:
    """The tree of the last checkpoint before a row, or of what was pruned."""
    for (body,) in db.execute(f"{_BESIDE} AND seq <= ? ORDER BY seq DESC", ("checkpoint", seq)):
        extra = decode(body)[1].extra
        if int(extra.get("size", 0)) < seq:
            return Tree.restore(int(extra["size"]), base64.b64decode(str(extra["frontier"])))
    size, frontier = db.execute("SELECT size, frontier FROM pruned").fetchone()
    return Tree.restore(size, frontier)
