"""Verify the record of a state folder: its rows, its head, its checkpoints, its signatures, the approvals beside it.

It reads one snapshot and changes nothing. A large record is walked by several processes.
"""

import os
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from heapq import merge
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.core.beside import Beside
from gateway.core.merkle import Tree
from gateway.core.model import Kind
from gateway.core.note import Note, Verifier, read_checkpoint, read_note, read_notes, read_vkey
from gateway.core.signed import ApproverKey, Heard, KeyKind, Signatures, key_of
from gateway.core.succession import trusted
from gateway.core.verify import Expected, Inspection, Verification
from gateway.errors import StateError
from gateway.readahead import ReadAhead
from gateway.reading import open_file
from gateway.schema import COPIES, SIGNING_NAME, STORE_NAME, VERSION
from gateway.signers import listen

BATCH = 4_096  # rows that are looked at together
LEVEL = 16  # a process walks blocks of 2 ** LEVEL rows
LARGE = 200_000  # rows from which on it is worth it to start processes
PROCESSES = 4  # at most
_NOT_NOW = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN)  # says nothing of what is stored
_ROWS = f"SELECT body, leaf, seq, {COPIES} FROM record WHERE seq > ? AND seq <= ? ORDER BY seq"  # noqa: S608 - ours

_SAID = ("principal", "client", "session", "upstream", "tool", "definition", "arguments_digest")  # by a record itself
_SAID_BESIDE = ("call", "expires_at", "decided_by", "proof")  # in its `extra`

# What is asked of `record.approval` says that it isn't empty: its index holds only such rows, and without it each would
# be looked for in the whole record.
APPROVALS = f"""
SELECT approval.id, approval.state, approval.created_at, body,
(SELECT count(*) FROM record WHERE approval = approval.id AND approval <> '' AND kind = 'intent'),
{", ".join(f"approval.{name}" for name in (*_SAID, *_SAID_BESIDE))}
FROM approval LEFT JOIN record ON record.seq =
(SELECT max(seq) FROM record WHERE approval = approval.id AND approval <> '' AND kind = 'approval')"""  # noqa: S608 - ours


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
        _approvals(db, walk)
        _signatures(db, walk)
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
    for _, extra in _beside(db, "key"):
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
    for seq, extra in _beside(db, "checkpoint"):
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


def _beside(db: sqlite3.Connection, kind: str) -> Iterator[tuple[int, dict[str, object]]]:
    """The rows of a kind that is no call's, with their `extra`; one that can't be read is found by the walk."""
    query = "SELECT seq, body FROM record WHERE kind = ? AND kind NOT IN ('intent', 'outcome') ORDER BY seq"
    for seq, body in db.execute(query, (kind,)):
        try:
            extra = msgspec.json.decode(body).get("extra")
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, AttributeError, RecursionError):
            continue
        if isinstance(extra, dict):
            yield seq, extra


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


def _approvals(db: sqlite3.Connection, walk: Inspection) -> None:
    """The table of approvals says what their last records say; an approved one is used once an intent names it, or an
    outcome whose output it let leave.

    One that no record tells of is older than what was pruned, or somebody made it up.
    """
    gone = db.execute("SELECT size FROM pruned WHERE size > 0").fetchone()
    first = db.execute("SELECT at FROM record ORDER BY seq LIMIT 1").fetchone() if gone else None
    for approval, state, created_at, body, used, *copies in db.execute(APPROVALS):
        if body is None:
            if not gone or (first and created_at >= first[0]):
                walk.found(None, f"approval `{approval}` is {state}, and no record tells of it")
            continue
        try:
            members = msgspec.json.decode(body)
            beside = members["extra"]
            told = beside["state"]
            said = [*(members.get(name, "") for name in _SAID), *(beside[name] for name in _SAID_BESIDE)]
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # the walk has found it
        used = used or (state == "used" and _released(db, approval))
        if state != ("used" if used and told == "approved" else told):
            walk.found(None, f"approval `{approval}` is {state}, and the record says {told}")
        for name, copy, member in zip((*_SAID, *_SAID_BESIDE), copies, said, strict=True):
            if copy != member:
                walk.found(None, f"the `{name}` of approval `{approval}` is not what the record says")


def _released(db: sqlite3.Connection, approval: str) -> bool:
    """Whether the outcome of the call that an approval is about says that it let its output leave."""
    found = db.execute(
        "SELECT body FROM record JOIN approval ON record.id = approval.call "
        "WHERE approval.id = ? AND record.kind = 'outcome'",
        (approval,),
    )
    for (body,) in found:
        try:
            asked = msgspec.json.decode(body)["extra"]["asked"]
            if (asked["approval"], asked["state"]) == (approval, "approved"):
                return True
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, RecursionError):
            continue  # it is another one, or the walk has found it
    return False


def _signatures(db: sqlite3.Connection, walk: Inspection) -> None:
    """Every approval that was given by signature was: by a key that its approver had enrolled, over what stands there.
    And what people said stands in the tables beside the record as it was recorded.

    Raises `StateError` where signatures can't be verified on this machine.
    """
    seen: dict[tuple[object, ...], Heard] = {}  # a vote stands in each later record of its approval

    def listen_once(kind: KeyKind, public: str, document: str, signature: object) -> Heard:
        what = (kind, public, document, str(signature))
        if what not in seen:
            seen[what] = listen(kind, public, document, signature)
        return seen[what]

    pruned = any(size for (size,) in db.execute("SELECT size FROM pruned"))
    looked, beside = Signatures(listen_once, pruned), Beside(pruned)
    if pruned:
        for key in _let_go(db):
            looked.assume(key)
    for seq, kind, extra in _of_people(db):
        if wrong := looked.row(kind, extra) or beside.row(kind, extra):
            walk.found(seq, wrong)
            return
    for wrong in filter(None, _tables(db, beside)):
        walk.found(None, wrong)


def _tables(db: sqlite3.Connection, beside: Beside) -> Iterator[str]:
    """What is wrong with the tables of people, as far as the record tells of them."""
    for id, card in db.execute("SELECT id, card FROM approval"):
        yield beside.card(id, _stored(card))
    for id, kept, *more in db.execute("SELECT id, body, ended, expires_at, uses, used FROM granted"):
        yield beside.grant(id, _stored(kept), *more)
    yield beside.freezes([id for (id,) in db.execute("SELECT id FROM frozen")])
    for id, state, at, until, passes, reopened in db.execute(
        "SELECT id, state, at, until, false_positive, reopened FROM leak"
    ):
        yield beside.leak(id, state, at, until, bool(passes), reopened)
    keys = db.execute("SELECT id, name, kind, key, attended FROM approver_key")
    yield beside.keys({id: (name, kind, public, bool(attended)) for id, name, kind, public, attended in keys})


def _stored(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _of_people(db: sqlite3.Connection) -> Iterator[tuple[int, Kind, dict[str, object]]]:
    """The rows of people and of leaks, in order; one that can't be read is found by the walk."""

    def of(kind: Kind) -> Iterator[tuple[int, Kind, dict[str, object]]]:
        return ((seq, kind, extra) for seq, extra in _beside(db, kind.value))

    return merge(*map(of, (Kind.APPROVER, Kind.APPROVAL, Kind.GRANT, Kind.FREEZE, Kind.LEAK)), key=itemgetter(0))


def _let_go(db: sqlite3.Connection) -> Iterator[ApproverKey]:
    """The keys that must have been enrolled in rows that were let go: those of the table, and those revoked since."""
    told = [extra for _, extra in _beside(db, Kind.APPROVER.value)]
    enrolled = {extra.get("key") for extra in told if extra.get("state") == "enrolled"}
    for extra in told:
        if extra.get("state") == "revoked" and extra.get("key") not in enrolled:
            with suppress(KeyError, ValueError):
                yield key_of(extra)
    for id, name, kind, public, attended in db.execute("SELECT id, name, kind, key, attended FROM approver_key"):
        if id not in enrolled:
            with suppress(ValueError):
                yield ApproverKey(id, name, KeyKind(kind), public, bool(attended))
