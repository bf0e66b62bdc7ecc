"""`wardgate leaks [list|show ID|resolve ID|accept ID]`: secrets that were seen, until they are rotated."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, aligned, fail, flowing, parser, print_json, state_dir

if TYPE_CHECKING:
    from gateway.core.leaks import Leak

ACTIONS = ("list", "show", "resolve", "accept")
STATES = ("open", "rotating", "rotated", "accepted")
MOST = 1_000


def run(argv: Sequence[str]) -> int:
    """List, show, or say what becomes of one; exit codes 0, 1 a leak that is unknown or can't become that, 2 usage,
    3 no record (to say something: no gateway).
    """
    options = _options()
    given = options.parse_args(argv)
    _check(options, given)
    if given.action == "resolve":
        return _say(given, "leak-resolve", state=given.state or "rotated", note=given.proof)
    if given.action == "accept":
        about = {"note": given.reason, "minutes": given.minutes, "false_positive": given.false_positive}
        return _say(given, "leak-accept", **about)
    return _read(given)


def _options() -> ArgumentParser:
    options = parser("leaks", __doc__)
    options.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    options.add_argument("id", nargs="?", help="a leak's id, or the first characters of it")
    options.add_argument(
        "--state",
        choices=(*STATES, "all"),
        help="list: which (open and rotating); resolve: what it is now: rotating, rotated (as it is), or open again",
    )
    options.add_argument("--limit", type=int, default=50, metavar="N", help="leaks at most (50; 1,000 is the most)")
    options.add_argument("--after", metavar="CURSOR", default="", help="go on after a page: what its `next` said")
    options.add_argument(
        "--proof", metavar="TEXT", default="", help="resolve: what shows that the secret counts no more"
    )
    options.add_argument("--reason", metavar="TEXT", default="", help="accept: why it may stay")
    options.add_argument(
        "--for", dest="lasts", metavar="TIME", default="30d", help="accept: how long (30d; 90d at most)"
    )
    options.add_argument("--false-positive", action="store_true", help="accept: it is no secret, and passes until then")
    return options


def _check(options: ArgumentParser, given: Namespace) -> None:
    """End the command with exit code 2 where the options don't go together."""
    from gateway.cli.answers import minutes

    if (given.action == "list") == bool(given.id):
        options.error(f"`{given.action}` needs the id of a leak" if not given.id else "`list` takes no id")
    if not 1 <= given.limit <= MOST:
        options.error(f"--limit: expected 1 to {MOST:,}, found `{given.limit}`")
    if given.action == "resolve":
        if given.state in ("accepted", "all"):
            options.error("--state: expected rotating, rotated or open; `accept` takes a reason and an expiry")
        if given.state in (None, "rotated") and not given.proof.strip():
            options.error("`resolve` needs --proof: what shows that the secret counts no more")
    given.minutes = minutes(given.lasts)
    if given.action == "accept":
        if given.minutes is None:
            options.error(f"--for: expected a time such as `12h` or `30d`, found `{given.lasts}`")
        if not given.reason.strip() and not given.false_positive:
            options.error("`accept` needs --reason: why it may stay")


def _say(given: Namespace, op: str, **about: object) -> int:
    """Have the running gateway write down what becomes of a leak."""
    from gateway.cli.talk import Unreachable, ask, with_near

    try:
        items = ask(given.config, op, id=given.id, **about)["items"]
    except Unreachable as problem:
        fail(problem.code, with_near(problem, "leaks id", given.id, given.config))
    if given.json:
        print_json(items)
    else:
        until = f" until {items[0]['until'][:16]}Z" if items[0]["until"] else ""
        print(f"{items[0]['state']}{until}: {items[0]['id']}")
    return FINE


def _read(given: Namespace) -> int:
    """Print what the store holds, whether a gateway runs or not."""
    from gateway.core.leaks import leak_item  # imported late: wrong options need none of it
    from gateway.errors import StateError

    now = datetime.now(UTC)
    try:
        found = _found(given)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if given.action == "show" and len(found) != 1:
        from gateway.cli.completion import near

        unknown = f"unknown leak `{given.id}`{near('leaks id', given.id, given.config)}"
        fail(FINDINGS, f"`{given.id}` begins several leaks" if found else unknown)
    last = found[-1].id if given.action == "list" and len(found) == given.limit else None
    if given.json:
        print_json([leak_item(leak, now) for leak in found], last)
    elif given.action == "show":
        print("\n".join(map(flowing, story(found[0], now).splitlines())))
    else:
        print(table(found, now))
        if last is not None:
            print(f"there may be more: --after {last}")
    return FINE


def _found(given: Namespace) -> "list[Leak]":
    from gateway.ledger import ALL, COUNTING, find, page
    from gateway.place import config_file
    from gateway.reading import reading, viewer_in

    state = state_dir(given.config)
    with reading(state) as db:
        if not viewer_in(config_file(given.config, os.environ), state).auditor:
            fail(FINDINGS, "only auditors see the leaks: they may have been in anybody's calls")
        if given.action == "show":
            found = find(db, given.id)
            return [leak for leak in found if leak.id == given.id] or found
        wanted = {None: COUNTING, "all": ALL}.get(given.state, given.state)
        return page(db, wanted, given.after, given.limit)


def table(leaks: "Sequence[Leak]", now: datetime) -> str:
    """The leaks as aligned lines: what is to be done first comes first."""
    from gateway.core.leaks import often
    from gateway.core.visible import visible

    rows = [
        (
            leak.id,
            leak.state.value,
            _age(leak, now),
            leak.kind,
            next(iter(leak.seen.tools), "-"),
            f"seen {often(leak.times)}" + (f", passed {often(leak.passed)}" if leak.passed else ""),
            "exposed" if leak.exposed else "read again without it",
            leak.owner or "-",
        )
        for leak in leaks
    ]
    return aligned([[visible(cell) for cell in row] for row in rows]) or "no leak is open"


def _age(leak: "Leak", now: datetime) -> str:
    from gateway.core.leaks import OVERDUE

    stage = leak.stage(now)
    word = f" {stage.word}" if stage is not None and stage > 1 else ""
    return f"{leak.days(now)}/{OVERDUE.days} days{word}" if leak.counts(now) else "-"


def story(leak: "Leak", now: datetime) -> str:
    """One leak in words, with the steps of its kind while there is something to do."""
    from gateway.core.leaks import lines
    from gateway.core.visible import visible

    said = [f"{leak.id}", *(f"  {name + ':':<11} {visible(text)}" for name, text in lines(leak, now))]
    if leak.counts(now):
        said += ["", "To rotate it:", *(f"  {number}. {step}" for number, step in enumerate(leak.steps, 1))]
        said += [f'Then: wardgate leaks resolve {leak.id} --proof "what shows it"']
    return "\n".join(said)
