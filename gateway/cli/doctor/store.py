"""The record: that it can be read, that head and newest rows fit its tree, its size, and the age of its checkpoint.

A look of some milliseconds that changes nothing. It does not prove that the record is unchanged: `verify` does.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Finding, Group, Line, warning
from gateway.errors import StateError

LOOKED_AT = 100  # newest rows whose leaves are made again
LATE = 3  # times `checkpoint_every` after which a checkpoint is overdue
VERIFY = "`wardgate verify` tells what is wrong; `wardgate backup` made the copy to go back to, if you have one"


class Uncovered(NamedTuple):
    """The newest checkpoint's time, how many records there are behind it, and when the first of them was made."""

    made: datetime | None
    behind: int
    since: datetime | None


def store(case: Case) -> Iterator[Finding]:
    """Whether there is a record that can be read, and how large it is."""
    file = _file(case)
    if file is None or case.state is None:
        return
    from gateway.cli.doctor.machine import size
    from gateway.reading import reading

    if not file.exists():
        yield Finding(Line.STORE, "none yet: no gateway has run with this state folder", where=str(file))
        return
    try:
        with reading(case.state) as db:
            rows = _rows(db)
    except StateError as problem:
        yield warning(Line.STORE, str(problem), VERIFY, where=str(file))
        return
    used = sum(part.stat().st_size for part in (file, file.with_name(f"{file.name}-wal")) if part.exists())
    found = f"{rows} record{'' if rows == 1 else 's'}, {size(used)}"
    most = case.settings.recording.size if case.settings is not None else None
    if most is not None and used > most + most // 4:
        do = "`wardgate log --kind signal` tells why it isn't pruned; raise `[record] size` if it has to hold more"
        yield warning(Line.STORE, f"{found}, more than `[record] size` ({size(most)})", do, where=str(file))
    else:
        yield Finding(Line.STORE, found, where=str(file))


def tree(case: Case) -> Iterator[Finding]:
    """Whether the head and the newest rows fit the tree over the record."""
    file = _file(case)
    if file is None or not file.exists():
        return
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)) as db:
            db.execute("BEGIN")
            wrong, size = _wrong(db)
    except sqlite3.Error as problem:
        wrong, size = f"can't be read: {problem}", 0
    if wrong:
        yield warning(Line.TREE, wrong, VERIFY, where=str(file))
    else:
        do = "this was a look at its end: `wardgate verify` proves all of it"
        yield Finding(Line.TREE, f"its head and its newest rows fit, {size} in all", where=str(file), do=do)


def _wrong(db: sqlite3.Connection) -> tuple[str, int]:
    """What doesn't fit, or an empty text; and how many rows the head speaks of."""
    from gateway.core.merkle import Tree, leaf_hash

    heads = db.execute("SELECT size, frontier, root FROM head").fetchall()
    last = db.execute("SELECT max(seq) FROM record").fetchone()[0] or 0
    pruned = db.execute("SELECT size FROM pruned").fetchone()
    if len(heads) != 1:
        return "it has no head", 0
    size, frontier, root = heads[0]
    if size != max(last, pruned[0] if pruned else 0):
        return f"its head speaks of {size} rows, and the newest one is {last}", size
    try:
        if Tree.restore(size, bytes(frontier)).root() != root:
            return "the root of its head isn't that of its tree", size
    except (TypeError, ValueError) as problem:
        return f"its head is damaged: {problem}", 0
    newest_rows = "SELECT seq, body, leaf FROM record ORDER BY seq DESC LIMIT ?"
    for seq, body, leaf in db.execute(newest_rows, (LOOKED_AT,)):
        if leaf_hash(body) != leaf:
            return f"row {seq} is not what was recorded", size
    return "", size


def checkpoint(case: Case) -> Iterator[Finding]:
    """How much no checkpoint covers, and for how long."""
    file = _file(case)
    if file is None or not file.exists():
        return
    try:
        uncovered = _uncovered(case)
    except (StateError, sqlite3.Error):
        return  # told as the store's
    every = case.settings.recording.checkpoint_every if case.settings is not None else 300.0
    late = uncovered.since is not None and case.now() - uncovered.since > LATE * timedelta(seconds=every)
    behind = f"{uncovered.behind} record{'' if uncovered.behind == 1 else 's'} behind it"
    if late and case.running:
        do = "`wardgate log --kind signal` tells why none is made; `wardgate serve` makes one when it ends"
        yield warning(Line.CHECKPOINT, f"overdue since {uncovered.since:%Y-%m-%d %H:%M} UTC: {behind}", do)
    elif uncovered.made is None:
        yield Finding(Line.CHECKPOINT, "none yet")
    else:
        yield Finding(Line.CHECKPOINT, f"made {uncovered.made:%Y-%m-%d %H:%M} UTC, {behind}")


def flow(case: Case) -> Iterator[Finding]:
    """How much is known of what tainted sessions wrote: once that is full, no output is believed."""
    known = (case.status or {}).get("flow")
    if not known:
        return
    if known["told"]:
        found, _, do = known["told"].partition(". ")
        yield warning(Line.FLOW, found, do)
    else:
        yield Finding(Line.FLOW, f"{known['forms']:,} of {known['most']:,} forms of what tainted sessions wrote")


def newest(case: Case) -> datetime | None:
    """When the newest record was made; None where there is none that can be read."""
    from gateway.reading import reading

    file = _file(case)
    if file is None or case.state is None or not file.exists():
        return None
    try:
        with reading(case.state) as db:
            found = db.execute("SELECT body FROM record ORDER BY seq DESC LIMIT 1").fetchone()
            return _at(found[0]) if found else None
    except StateError:
        return None


def _uncovered(case: Case) -> Uncovered:
    from gateway.reading import reading

    assert case.state is not None
    with reading(case.state) as db:
        last = db.execute("SELECT seq, body FROM record WHERE kind = 'checkpoint' ORDER BY seq DESC LIMIT 1").fetchone()
        seq = last[0] if last else 0
        count = db.execute("SELECT count(*) FROM record WHERE seq > ?", (seq,)).fetchone()[0]
        first = db.execute("SELECT body FROM record WHERE seq > ? ORDER BY seq LIMIT 1", (seq,)).fetchone()
    return Uncovered(_at(last[1]) if last else None, count, _at(first[0]) if first else None)


def _at(body: bytes) -> datetime | None:
    from gateway.core.record import decode

    try:
        return decode(body)[1].at
    except ValueError:
        return None  # the tree's line tells of damage


def _rows(db: sqlite3.Connection) -> int:
    found = db.execute("SELECT head.size - pruned.size FROM head, pruned").fetchone()
    return int(found[0]) if found else 0


def _file(case: Case) -> Path | None:
    """The file of the store; None where nobody could say where it is, or where it is another user's."""
    from gateway.schema import STORE_NAME

    if case.state is None:
        return None
    file = case.state / STORE_NAME
    try:
        file.exists()
    except PermissionError:
        return None
    return file


GROUP = Group("record", (store, tree, checkpoint, flow))
