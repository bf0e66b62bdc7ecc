"""Measure how pages of a large record are read, and how fast it is verified.

    python -m tests.large.pages FOLDER [--verify]

Prints a table: milliseconds of the first time, with none of the file in memory, and the median of the next times. Each
question is asked on a new connection, as a command does. It changes nothing.
"""

import argparse
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from gateway.core.model import Kind
from gateway.core.query import Query
from gateway.core.record import decode
from gateway.paging import newest_bodies
from gateway.reading import bodies_of, find_call, open_file, reading, story
from gateway.schema import STORE_NAME
from gateway.searching import files_of, opened
from gateway.verifying import verify_folder
from tests.large.rows import PRINCIPALS, RARE, RARE_CALL, STEP, TOOLS, approval_of

BESIDE = ("since", "until", "before", "principal", "text")  # what of a query is no filter
TIMES = 15  # warm
Ask = Callable[[sqlite3.Connection], object]


def forget(file: Path) -> None:
    """Ask the system to drop what it holds of the file in memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def timed(state: Path, ask: Ask) -> float:
    """Milliseconds from opening the record to the answer."""
    began = time.perf_counter()
    with reading(state) as db:
        ask(db)
    return (time.perf_counter() - began) * 1e3


def page(**asked: Any) -> Ask:
    """One page of 50, decoded."""
    filters = {name: asked.pop(name) for name in list(asked) if name not in BESIDE}
    query = Query(filters=filters, **asked)
    return lambda db: [decode(body) for _, body in newest_bodies(db, query)]


def questions(db: sqlite3.Connection) -> Mapping[str, Ask]:
    """What is asked, by name."""
    last = db.execute("SELECT max(seq) FROM record").fetchone()[0]
    middle = decode(db.execute("SELECT body FROM record WHERE seq = ?", (last // 2,)).fetchone()[0])[1]
    id, session, at = middle.id, middle.session, middle.at
    upstream, tool, _ = TOOLS[0]
    approved = find_call(db, approval_of(last // 4 // 1_000 * 1_000))[0]
    return {
        "first page": page(),
        "a page from the middle on": page(before=last // 2),
        "by id": lambda db: bodies_of(db, id),
        "by the beginning of an id": lambda db: find_call(db, id[:9]),
        "the story of a call that was approved": lambda db: story(db, approved),
        "by tool": page(tool=tool),
        "by a tool that was called once, long ago": page(tool=RARE[1]),
        "by session": page(session=session),
        "by tool and session": page(tool=middle.tool, session=session),
        "by upstream": page(upstream=upstream),
        "by principal": page(principal=PRINCIPALS[3]),
        "by upstream, seen by one principal": page(upstream=upstream, principal=PRINCIPALS[3]),
        "by client": page(client="claude-code"),
        "checkpoints": page(kind=Kind.CHECKPOINT.value),
        "what a person was asked about": page(verdict="ask"),
        "what was blocked": page(outcome="blocked"),
        "an hour": page(since=at, until=at + timedelta(hours=1)),
        "a tool within a day": page(tool=tool, since=at, until=at + timedelta(days=1)),
        "an hour long ago": page(since=at - (last // 2 - RARE_CALL) * STEP, until=at - (last // 2 - 9_000) * STEP),
    }


def words() -> Mapping[str, Ask]:
    """What is asked of the text search where its index covers the whole record; else rows are looked through."""
    return {
        "a word that is common": page(text="invoice"),
        "two words": page(text="invoice 4711"),
        "a word within a tool": page(text="release", tool=TOOLS[0][1]),
        "a word that stands in one call": page(text=RARE[2]),
        "a word that stands nowhere": page(text="nowhere-to-be-found"),
    }


def main() -> None:
    """Measure one."""
    parser = argparse.ArgumentParser(prog="tests.large.pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verify", action="store_true", help="verify it too")
    asked = parser.parse_args()
    file = asked.folder / STORE_NAME
    with closing(open_file(file)) as db:
        wanted = questions(db)
        rows = db.execute("SELECT max(seq) FROM record").fetchone()[0]
    with opened(asked.folder) as index:
        covered = sum(block.upto - block.after for block in index.blocks()) if index is not None else 0
    print(f"{rows:,} rows, {file.stat().st_size / 1e9:.1f} GB, {covered:,} of them in the index of the text search\n")
    print("| question | cold | warm |\n| --- | ---: | ---: |")
    for name, ask in {**wanted, **(words() if covered == rows else {})}.items():
        for each in (file, *files_of(asked.folder)):
            if each.is_file():
                forget(each)
        cold = timed(asked.folder, ask)
        print(f"| {name} | {cold:.1f} | {median(timed(asked.folder, ask) for _ in range(TIMES)):.2f} |", flush=True)
    if asked.verify:
        began = time.perf_counter()
        found = verify_folder(asked.folder)
        took = time.perf_counter() - began
        print(f"\nverify: {'whole' if found.ok else found.detail}, {took:.1f} s, {found.size / took:,.0f} rows/s")


if __name__ == "__main__":
    main()
