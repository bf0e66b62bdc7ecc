"""Make a large record: a state folder whose rows, tree, head, approvals and checkpoints are as a gateway writes them.

    python -m tests.large.rows FOLDER [--rows 10000000]
    python -m tests.large.rows FOLDER --index

The rows come from `gateway.core.record`; only the writing is faster than a gateway's: no journal, and the indexes last.
Ten million rows take about 10 GB and some minutes.
"""

import argparse
import base64
import json
import random
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gateway.core.beside import mark
from gateway.core.canon import canonical, keyed_digest
from gateway.core.merkle import Tree, leaf_hash
from gateway.core.model import Kind, Record
from gateway.core.note import Checkpoint
from gateway.core.record import columns, decode, encode, seal, stamp
from gateway.indexing import Keeper
from gateway.schema import INSERT_RECORD
from gateway.signing import sign_note, verifier_of
from gateway.store.connection import create_file, prepare
from gateway.store.folder import StateFolder, hold

ROWS = 10_000_000
CHUNK = 10_000  # rows; the last of each chunk is a checkpoint over those before it
FLYING = 6  # chunks that are made ahead
BEGIN = datetime(2026, 1, 5, 8, 0, 0, 17, tzinfo=UTC)
STEP = timedelta(microseconds=900_007)  # between two rows
EXPIRES = stamp(BEGIN + timedelta(days=400))  # of approvals
CALLS_OF_A_SESSION = 200
PRINCIPALS = tuple(f"client:agent{number:02}" for number in range(20))
WORDS = ("invoice", "order", "release", "ticket", "customer", "report", "branch", "review", "deploy", "budget")
TOOLS = tuple(
    (upstream, f"{verb}_{noun}", verb in ("create", "update"))
    for upstream in ("crm", "files", "forge", "mail", "tickets", "wiki")
    for verb in ("get", "list", "search", "create", "update")
    for noun in ("item", "thread")
)
RARE = ("legacy", "export_archive", "quarterly-zebra")  # upstream, tool and a word of the 5,000th call alone
RARE_CALL = 5_000
CARD = b"{}"  # of an approval: nobody looks at it
VOTE = {"by": "os:ada", "approve": True, "proof": "local"}
VOTES = json.dumps([VOTE])
APPROVED_EVERY = 1_000  # calls of which one was approved by a person
PAGE_CACHE = -1_000_000  # kB, as SQLite takes it

Row = tuple[Any, ...]


def chunk(number: int) -> list[Row]:
    """The rows of one chunk but for its checkpoint, each ready for the store; the same ones every time."""
    rng = random.Random(number)
    seq, rows = number * CHUNK, list[Row]()
    for record in _records(number, rng):
        seq += 1
        rows.append(row(seq, record))
    return rows


def row(seq: int, record: Record) -> Row:
    """A record as the store holds it."""
    body = seal(seq, encode(record))
    return (seq, body, leaf_hash(body), *columns(record))


def approval_of(call: int) -> str:
    """The id of the approval of a call; empty for one that nobody was asked about."""
    return f"a_{call:010d}" if call % APPROVED_EVERY == 0 else ""


def _at(seq: int) -> datetime:
    at = BEGIN + seq * STEP
    return at if at.microsecond else at + timedelta(microseconds=1)


def _records(number: int, rng: random.Random) -> Iterator[Record]:
    """One record beside the calls, then the records of calls."""
    seq, end = number * CHUNK + 1, (number + 1) * CHUNK
    yield Record(Kind.SIGNAL, f"l_{number:010d}", _at(seq), detail="calls-per-hour", extra={"session": f"s_{number}"})
    call = number * CHUNK // 2
    while seq < end - 1:
        made = list(_call(call, seq + 1, rng))[: end - 1 - seq]
        yield from made
        seq += len(made)
        call += 1


def _call(call: int, seq: int, rng: random.Random) -> Iterator[Record]:
    upstream, tool, writes = TOOLS[rng.randrange(len(TOOLS))]
    word = f"{rng.choice(WORDS)} {rng.randrange(100_000)}"
    if call == RARE_CALL:
        upstream, tool, word = RARE
    session, approval = call // CALLS_OF_A_SESSION, approval_of(call)
    arguments = {"id": f"{rng.getrandbits(40):010x}", "text": f"about the {word}", "limit": rng.randrange(1, 100)}
    digest = keyed_digest(b"large", canonical(arguments))
    about: dict[str, Any] = {
        "principal": PRINCIPALS[session % len(PRINCIPALS)],
        "known_by": "token",
        "client": "claude-code",
        "session": f"s_{session:08d}",
        "transport": "http",
        "era": "modern",
        "upstream": upstream,
        "tool": tool,
        "definition": digest[:16],
        "tier": "write" if writes else "read",
        "effect": "write" if writes else "read",
        "verdict": "ask" if approval else "allow",
        "rules": (f"{upstream}.free",),
        "policy_revision": "5d41402abc4b2a76",
        "approval": approval,
        "arguments_digest": digest,
    }
    id = f"d_{call:06d}{rng.getrandbits(20):05X}"
    if approval:
        bound = {"call": id, "proof_required": "local", "approvers_required": 1, "expires_at": EXPIRES}
        said = {"statement": {"approval": approval}, "votes": [VOTE], "kept": mark(CARD)}
        extra = {"state": "approved", "decided_by": "os:ada", "proof": "local", **bound, **said}
        yield Record(Kind.APPROVAL, approval, _at(seq), extra=extra, **about)
        seq += 1
    yield Record(Kind.INTENT, id, _at(seq), reason="rule", arguments=arguments, facts={"calls_10m": 3}, **about)
    odd = rng.random()
    outcome, reason = ("error", "upstream-error") if odd < 0.01 else ("blocked", "rule") if odd < 0.012 else ("ok", "")
    timings = {"decide": rng.randrange(20, 90), "forward": rng.randrange(900, 90_000), "screen": rng.randrange(30, 300)}
    more: dict[str, Any] = {"result": {"content": [{"type": "text", "text": f"done: {word}"}]}} if writes else {}
    yield Record(
        Kind.OUTCOME,
        id,
        _at(seq + 1),
        outcome=outcome,
        reason=reason,
        release="clean",
        result_digest=digest[::-1],
        timings_us=timings,
        **more,
        **about,
    )


def make(path: Path, rows: int) -> None:
    """Make the record at `path`, which must be a new folder, with so many rows (whole chunks)."""
    with hold(path) as folder:
        create_file(folder)
        with closing(sqlite3.connect(folder.store, isolation_level=None)) as db:
            prepare(db, folder)
            for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size={PAGE_CACHE}", "locking_mode=EXCLUSIVE"):
                db.execute(f"PRAGMA {pragma}")
            _fill(db, folder, max(1, rows // CHUNK))
            db.execute("PRAGMA locking_mode=NORMAL")
            db.execute("PRAGMA journal_mode=WAL")
        folder.confirm()


def _fill(db: sqlite3.Connection, folder: StateFolder, chunks: int) -> None:
    indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'record'").fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    tree, origin = Tree(), f"wardgate/{folder.gateway_id}"
    db.execute("BEGIN")
    for number, made in enumerate(_ahead(chunks)):
        if number == 0:
            key = {"which": "signing", "key": str(verifier_of(origin, folder.signing_key)), "before": "", "lost": False}
            made[0] = row(1, Record(Kind.KEY, "l_KEY", _at(1), extra=key))
        tree.extend(each[2] for each in made)
        last = row(tree.size + 1, _checkpoint(tree, origin, folder.signing_key))
        tree.append(last[2])
        db.executemany(INSERT_RECORD, [*made, last])
        db.executemany(f"INSERT INTO approval VALUES ({', '.join('?' * 21)})", _approvals(made))
        if number % 10 == 9:
            db.execute("COMMIT")
            db.execute("BEGIN")
            print(f"{tree.size:,} rows", file=sys.stderr)
    db.execute("UPDATE head SET size = ?, frontier = ?, root = ?", (tree.size, tree.frontier, tree.root()))
    db.execute("COMMIT")
    for name, sql in indexes:
        print(f"index {name}", file=sys.stderr)
        db.execute(sql)


def _ahead(chunks: int) -> Iterator[list[Row]]:
    """The chunks in order, made by another process a few ahead."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        flying: deque[Future[list[Row]]] = deque()
        for number in range(chunks):
            flying.append(pool.submit(chunk, number))
            if len(flying) >= FLYING:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def _checkpoint(tree: Tree, origin: str, seed: bytes) -> Record:
    about = {
        "note": sign_note(Checkpoint(origin, tree.size, tree.root()).text, origin, seed),
        "size": tree.size,
        "root": tree.root().hex(),
        "frontier": base64.b64encode(tree.frontier).decode("ascii"),
        "witnessed": [],
    }
    return Record(Kind.CHECKPOINT, f"l_C{tree.size}", _at(tree.size + 1), extra=about)


def _approvals(made: list[Row]) -> Iterator[Row]:
    """The rows of the table of approvals for the intents that used one."""
    for _, body, _, kind, id, at, principal, client, session, upstream, tool, *_, approval in made:
        if kind == "intent" and approval:
            told = decode(body)[1]
            asked = (principal, client, session, upstream, tool, told.definition, told.arguments_digest, at, EXPIRES, 0)
            yield (approval, "used", id, *asked, "os:ada", at, "local", "", VOTES, CARD, told.arguments_digest, "")


def index(path: Path) -> None:
    """Make the index of the text search as a gateway does, but without its pauses."""
    keeper, steps = Keeper(path), 0
    try:
        while keeper.step():
            steps += 1
            if steps % 10_000 == 0:
                print(f"{steps:,} steps", file=sys.stderr)
    finally:
        keeper.close()


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(prog="tests.large.rows", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--index", action="store_true", help="only make the index of the text search of one")
    asked = parser.parse_args()
    began = time.perf_counter()
    if asked.index:
        index(asked.folder)
        print(f"indexed, {time.perf_counter() - began:.0f} s")
        return
    make(asked.folder, asked.rows)
    size = sum(each.stat().st_size for each in asked.folder.iterdir())
    print(f"{asked.rows:,} rows, {size / 1e9:.2f} GB, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
