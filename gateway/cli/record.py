"""`wardgate record find|rotate|forget`: look for a value of which only a digest is kept; exchange a key; forget what
tainted sessions wrote.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.common import (
    FINDINGS,
    FINE,
    UNREACHABLE,
    USAGE,
    fail,
    moment_of,
    parser,
    place_of,
    print_json,
    state_dir,
)
from gateway.cli.confirm import typed
from gateway.cli.progress import progress

if TYPE_CHECKING:
    from argparse import Namespace

    from gateway.finding import Page
    from gateway.place import Place
    from gateway.rotation import Rotated

LONGEST = 1 << 24  # bytes of a value
FIND = """Look for a value of which the record keeps keyed digests only: whole arguments, their single values where a
label says record "digest", whole results, prompts, secrets that were found. Reads the whole record, page by page."""
FORGET = """Forget what tainted sessions wrote last before some time: outputs that hold it are believed again, as far as
labels say so. The record tells of it. No gateway may run."""
ROTATE = "Exchange the key of digests, or the one that signs checkpoints. No gateway may run; the old key is kept."


def run(argv: Sequence[str]) -> int:
    """Run one of the three; exit code 2 for another word."""
    actions = {"find": _find, "rotate": _rotate, "forget": _forget}
    if argv and argv[0] in actions:
        return actions[argv[0]](argv[1:])
    options = parser("record", __doc__)
    options.add_argument("action", choices=tuple(actions), help="each tells its options by `--help`")
    options.parse_args(argv)
    return FINE


def _find(argv: Sequence[str]) -> int:
    """Print the records that hold a value; exit codes 0, 1 no auditor, 2 wrong options, 3 no record or no key."""
    options = parser("record find", FIND)
    which = options.add_mutually_exclusive_group(required=True)
    which.add_argument("--value", metavar="TEXT", help="the value; a shell keeps it in its history")
    which.add_argument("--value-file", metavar="FILE", help="a file that holds it; `-` is standard input")
    options.add_argument("--since", metavar="TIME", help="only from then on: a time, a date, or how long ago (`2h`)")
    options.add_argument("--tool", metavar="TOOL", help="only rows with this tool")
    options.add_argument("--limit", type=int, default=50, metavar="N", help="records at most (50; 1,000 is the most)")
    options.add_argument("--after", type=int, metavar="CURSOR", help="go on after a page: what its `next` said")
    given = options.parse_args(argv)
    if not 1 <= given.limit <= 1_000:
        options.error(f"--limit: expected 1 to 1,000, found `{given.limit}`")
    value = given.value if given.value is not None else _read(given.value_file)
    if not value:
        options.error("an empty value can't be looked for")
    state = state_dir(given.config)
    page, lost = _looked_up(given, state, value)

    from gateway.reading import log_item

    if lost is not None:
        print(f"wardgate: the key of rows up to {lost} is lost: no value can be found in them", file=sys.stderr)
    if given.json:
        rows = [{**log_item(found.row), "matched": list(found.places)} for found in page.found]
        print_json(rows, str(page.next) if page.next is not None else None)
    else:
        _print(page)
    return FINE


def _looked_up(given: "Namespace", state: Path, value: str) -> "tuple[Page, int | None]":
    from gateway.core.lookup import digests  # imported late: wrong options need none of it
    from gateway.core.query import Query, moment
    from gateway.errors import StateError
    from gateway.finding import find, lost_up_to
    from gateway.place import config_file
    from gateway.reading import reading, viewer_in
    from gateway.store.folder import digest_keys

    try:
        since = moment(given.since, datetime.now(UTC)) if given.since else None
    except ValueError as problem:
        fail(USAGE, f"--since: {problem}")
    query = Query({"tool": given.tool} if given.tool else {}, since, before=given.after, limit=given.limit)
    try:
        with reading(state) as db, progress("looking through the record", given.json):
            if not viewer_in(config_file(given.config, os.environ), state).auditor:
                fail(FINDINGS, "only auditors look for values: they may stand in anybody's records")
            return find(db, digests(value, digest_keys(state)), query), lost_up_to(db)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    except ValueError as problem:
        fail(FINDINGS, f"no record can hold this value: {problem}")


def _read(name: str) -> str:
    """The value in a file, without the line break at its end."""
    try:
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as file:
            data = file.read(LONGEST + 1)
        if len(data) > LONGEST:
            fail(FINDINGS, f"the value is over {LONGEST} bytes")
        return data.decode("utf-8").removesuffix("\n")
    except OSError as problem:
        fail(FINDINGS, f"`{name}` can't be read: {problem.strerror}")
    except UnicodeDecodeError:
        fail(FINDINGS, f"`{name}` is not UTF-8")


def _print(page: "Page") -> None:
    from gateway.cli.common import aligned
    from gateway.core.visible import visible

    cells = [
        [
            visible(cell) or "-"
            for cell in (
                str(seq),
                f"{record.at:%Y-%m-%d %H:%M:%S}",
                record.kind.value,
                record.id,
                record.principal,
                record.called or record.kind.value,
                record.outcome,
                ", ".join(places),
            )
        ]
        for (seq, record), places in page.found
    ]
    print(aligned(cells) or "no record holds this value")
    if page.next is not None:
        print(f"there may be more: --after {page.next}")


def _rotate(argv: Sequence[str]) -> int:
    """Exchange one key; exit codes 0, 1 not done, 2 wrong options, 3 a gateway runs or there is no record."""
    options = parser("record rotate", ROTATE)
    options.add_argument(
        "which", choices=("signing", "digest"), help="the key that signs checkpoints, or that of digests"
    )
    options.add_argument("--lost", action="store_true", help="the present key is gone, or another one")
    given = options.parse_args(argv)
    place = place_of(given.config)

    import anyio  # imported late: wrong options need none of it

    from gateway.errors import GatewayError, LockedError, StateError

    _there(place.folder)
    try:
        with progress("exchanging the key", given.json):
            done = anyio.run(_rotated, place, given.which, given.lost)
    except LockedError as problem:
        fail(UNREACHABLE, f"{problem}: stop it first, what it holds in memory is bound by the key")
    except GatewayError as problem:
        fail(FINDINGS if isinstance(problem, StateError) and given.lost else UNREACHABLE, str(problem))
    if given.json:
        rows = {name: getattr(done, name) for name in ("which", "key", "before", "lost", "withdrawn", "ended")}
        print_json([rows])
        return FINE
    print(f"a new {done.which} key counts from now on: {done.key}")
    if done.withdrawn:
        print(f"{done.withdrawn} open approvals were withdrawn: they were bound to their calls by the old key")
    if done.ended:
        print(f"{done.ended} grants were ended: they were bound to arguments by the old key")
    return FINE


async def _rotated(place: "Place", which: str, lost: bool) -> "Rotated":
    from gateway.clock import SystemClock
    from gateway.people import user_name
    from gateway.rotation import rotate
    from gateway.store import open_store
    from gateway.store.folder import DIGEST, SIGNING

    async with open_store(place.folder, owner=place.owner, lost=(DIGEST, SIGNING) if lost else ()) as store:
        return await rotate(store, SystemClock(), which, f"os:{user_name(os.getuid())}", lost=lost)


def _forget(argv: Sequence[str]) -> int:
    """Have forms forgotten; exit codes 0, 1 nobody agreed, 2 wrong options, 3 a gateway runs or there is no record."""
    options = parser("record forget", FORGET)
    options.add_argument("--before", metavar="TIME", required=True, help="a time, a date, or how long ago (`90d`)")
    options.add_argument("--yes", action="store_true", help="don't ask at the terminal")
    given = options.parse_args(argv)
    before, place = moment_of(options, "before", given.before), place_of(given.config)

    import anyio  # imported late: wrong options need none of it

    from gateway.errors import GatewayError, LockedError

    _there(place.folder)
    try:
        forms, older, done = anyio.run(_forgotten, place, before, given.yes)
    except LockedError as problem:
        fail(UNREACHABLE, f"{problem}: stop it first, it has in memory what is to be forgotten")
    except GatewayError as problem:
        fail(UNREACHABLE, str(problem))
    if given.json:
        print_json([{"forms": forms, "older": older, "forgotten": older if done else 0}])
    elif done:
        print(f"{older:,} of {forms:,} forms of what tainted sessions wrote are forgotten")
    elif older:
        print(f"nothing is forgotten: `--yes` would have {older:,} of {forms:,} forms forgotten")
    else:
        print(f"nothing is forgotten: none of {forms:,} forms was written last before {before:%Y-%m-%d %H:%M} UTC")
    return FINE if done or not older else FINDINGS


async def _forgotten(place: "Place", before: datetime, agreed: bool) -> tuple[int, int, bool]:
    """How many forms there are, how many are older, and whether these are forgotten: if somebody says so here."""
    from gateway.clock import SystemClock
    from gateway.core.model import Kind, Record
    from gateway.ids import ENTRY, new_id
    from gateway.people import user_name
    from gateway.records import Records
    from gateway.store import flow, open_store

    clock = SystemClock()
    before = min(before, clock.now())  # so that nothing that is written later counts as forgotten
    async with open_store(place.folder, owner=place.owner) as store:
        forms, older = await flow.count_forms(store, before)
        if not older or not (agreed or _agrees(older, forms)):
            return forms, older, False
        by = f"os:{user_name(os.getuid())}"
        about = flow.forgotten(older, before)
        await Records(store, clock).append(Record(Kind.FLOW, new_id(ENTRY), clock.now(), principal=by, extra=about))
        return forms, older, True


def _agrees(older: int, forms: int) -> bool:
    if not sys.stdin.isatty():
        return False
    return typed(f"Believe again what tainted sessions wrote in {older:,} of {forms:,} forms?")


def _there(state: Path) -> None:
    """End the command where there is no record."""
    from gateway.schema import STORE_NAME

    if not (state / STORE_NAME).is_file():
        fail(UNREACHABLE, f"there is no record in `{state}`: no gateway has run with this state folder")
