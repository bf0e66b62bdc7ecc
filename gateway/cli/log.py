"""`wardgate log`: the record, newest first."""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.cli.common import (
    FINE,
    UNREACHABLE,
    USAGE,
    aligned,
    fail,
    json_line,
    moment_of,
    parser,
    print_json,
    state_dir,
)

if TYPE_CHECKING:
    from gateway.core.query import Query
    from gateway.reading import Row, Viewer

POLL = 0.25  # seconds between two looks of `--follow`
NARROWING = {
    "tool": "only calls of this tool, by its name at its upstream",
    "upstream": "only what concerns this upstream",
    "principal": "only what this principal did, such as `os:alice`",
    "client": "only what came by this client",
    "session": "only this session",
    "kind": "only records of this kind, such as `outcome`",
    "verdict": "only `allow`, `ask` or `block`",
    "outcome": "only calls that ended so: `ok`, `error`, `blocked`, `denied`, `unknown`",
    "reason": "only records with this reason",
}


def run(argv: Sequence[str]) -> int:
    """Print one page of the record, or follow it; exit codes 0, 1 no configuration, 2 wrong options, 3 no record."""
    options = _options()
    given = options.parse_args(argv)
    query = _query(options, given)
    state = state_dir(given.config)

    from gateway.errors import StateError  # imported late: wrong options need none of it

    query = replace(query, principal=seen_by(state, given.config, given.seen_as).restriction)
    try:
        return _follow(state, query, given) if given.follow else _page(state, query, given)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))


def _options() -> argparse.ArgumentParser:
    options = parser("log", __doc__)
    for end, meaning in (("since", "from this time on"), ("until", "before this time")):
        options.add_argument(f"--{end}", metavar="TIME", help=f"{meaning}: RFC 3339, a date, or how long ago (`2h`)")
    for name, meaning in NARROWING.items():
        options.add_argument(f"--{name}", metavar=name.upper(), default="", help=meaning)
    options.add_argument("--text", metavar="WORDS", default="", help="only records in which all these words begin")
    options.add_argument("--limit", type=int, default=50, metavar="N", help="records at most (50; 1,000 is the most)")
    options.add_argument("--after", type=int, metavar="CURSOR", help="go on after a page: what its `next` said")
    options.add_argument("-f", "--follow", action="store_true", help="go on with what is recorded; JSON is lines then")
    options.add_argument("--as", dest="seen_as", metavar="PRINCIPAL", default="", help="see what that principal sees")
    return options


def _query(options: argparse.ArgumentParser, given: argparse.Namespace) -> "Query":
    """What is asked for; ends the command with exit code 2 where it can't be."""
    from gateway.core.query import FILTERS, PAGE_LIMIT, Query, objection
    from gateway.core.search import Search

    if not 1 <= given.limit <= PAGE_LIMIT:
        options.error(f"--limit: expected 1 to {PAGE_LIMIT:,}, found `{given.limit}`")
    if given.follow and (given.after is not None or given.until is not None):
        options.error("--follow goes on with what comes: expected neither --after nor --until beside it")
    if given.text and not Search.of(given.text).parts:
        options.error(f"--text: expected a letter or digit at least, found `{given.text}`")
    filters = {name: value for name in FILTERS if (value := getattr(given, name))}
    for name, value in filters.items():
        if wrong := objection(name, value):
            options.error(f"--{name}: {wrong}")
    since, until = (
        moment_of(options, name, text) if (text := getattr(given, name)) is not None else None
        for name in ("since", "until")
    )
    return Query(filters, since, until, text=given.text, before=given.after, limit=given.limit)


def seen_by(state: Path, config: str | None, seen_as: str) -> "Viewer":
    """Who reads; ends the command with exit code 2 for `--as` of anybody but the owner, 3 without a state folder."""
    from gateway.errors import StateError
    from gateway.place import config_file
    from gateway.reading import viewer_in

    try:
        found = viewer_in(config_file(config, os.environ), state, seen_as)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if seen_as and found.principal != seen_as:
        fail(USAGE, "--as: only the owner of the state folder can see as others do")
    return found


def _page(state: Path, query: "Query", given: argparse.Namespace) -> int:
    from gateway.reading import log_item, newest, reading

    with reading(state) as db:
        rows = newest(db, query)
    if given.json:
        more = str(rows[-1].seq) if len(rows) == query.limit and rows[-1].seq > 1 else None
        print_json([log_item(row) for row in rows], more)
    else:
        print(_lines(rows) or f"nothing is on the record that fits{_near(query, given.config)}")
    return FINE


def _near(query: "Query", config: str | None) -> str:
    """The nearest right name of the first filter whose value is none that is known."""
    from gateway.cli.completion import ANYWHERE, near  # imported late: only where nothing was found

    told = (near(name, word, config) for name, word in query.filters.items() if name in ANYWHERE)
    return next(filter(None, told), "")


def _follow(state: Path, query: "Query", given: argparse.Namespace) -> int:
    """Print the newest page, oldest first, and then what comes, until interrupted or nobody reads it."""
    from gateway.following import follow
    from gateway.reading import log_item

    wait = threading.Event()  # never set: it is there to be interrupted
    try:
        for rows in follow(state, query, lambda: wait.wait(POLL)):
            lines = [json_line(log_item(row)) for row in rows]
            text = "\n".join(lines) if given.json else _lines(rows)
            if text:
                print(text, flush=True)
    except KeyboardInterrupt:
        return FINE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes into it at its end
    return FINE


def _lines(rows: "Sequence[Row]") -> str:
    from gateway.core.visible import visible

    lines = []
    for seq, record in rows:
        where = record.called or record.kind.value
        ended = record.outcome or str(record.extra.get("state", ""))
        at = f"{record.at:%Y-%m-%d %H:%M:%S}"
        cells = (str(seq), at, record.kind.value, record.id, record.client, where, record.verdict, ended, record.reason)
        lines.append([visible(cell) or "-" for cell in cells])
    return aligned(lines)
