"""`wardgate sessions`: who is or was connected, and what they did."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.common import FINE, UNREACHABLE, columns, fail, folded, parser, print_json, state_dir
from gateway.cli.log import seen_by
from gateway.cli.talk import Unreachable, ask

MOST = 1_000  # sessions in one answer
SENTENCES = 5  # of what stands out in a session, the newest; `--json` has all that are kept


def run(argv: Sequence[str]) -> int:
    """List sessions, the one that was active last first: as the gateway has counted them, or from its record where
    none runs; exit codes 0, 1 no configuration, 2 usage, 3 neither a gateway nor a record.
    """
    options = parser("sessions", __doc__)
    options.add_argument("--limit", type=int, default=50, metavar="N", help="sessions at most (50; 1,000 is the most)")
    options.add_argument("--as", dest="seen_as", metavar="PRINCIPAL", default="", help="see what that principal sees")
    given = options.parse_args(argv)
    if not 1 <= given.limit <= MOST:
        options.error(f"--limit: expected 1 to {MOST:,}, found `{given.limit}`")
    state = state_dir(given.config)
    items = _items(state, seen_by(state, given.config, given.seen_as).restriction, given)
    if given.json:
        print_json(items)
    else:
        print("\n".join(_lines(items, columns())) or "no session yet")
    return FINE


def _items(state: Path, principal: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The sessions of one principal (empty: all), newest first, from whoever can tell."""
    try:
        items = ask(given.config, "sessions")["items"][::-1]
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            fail(problem.code, str(problem))
        return _recorded(state, principal, given.limit, str(problem))
    return [item for item in items if not principal or item["principal"] == principal][: given.limit]


def _recorded(state: Path, principal: str, limit: int, silence: str) -> list[dict[str, Any]]:
    """The sessions on the record, where no gateway answers; `silence` tells that."""
    from gateway.errors import StateError
    from gateway.reading import reading
    from gateway.summing import sessions_of

    try:
        with reading(state) as db:
            return sessions_of(db, principal, limit)
    except StateError as problem:
        fail(UNREACHABLE, f"{silence}; {problem}")


def _lines(items: Sequence[dict[str, Any]], width: int | None) -> Iterator[str]:
    """Each session, and below it what stands out in it."""
    for item, head in zip(items, folded([_cells(item) for item in items], width), strict=True):
        yield from head
        for note in _notes(item):
            yield from (line for lines in folded([(f"    {note}",)], width) for line in lines)


def _cells(item: dict[str, Any]) -> tuple[str, ...]:
    from gateway.core.visible import visible

    counts = ", ".join(f"{count} {name}" for name, count in sorted(item["outcomes"].items()))
    least = "" if item.get("whole", True) else "at least "
    calls = f"{least}{item['calls']} calls" + (f" ({counts})" if counts else "")
    cells = (item["session"], item["principal"], item["client"], calls, f"last {item['last_at']}")
    return tuple(map(visible, cells))


def _notes(item: dict[str, Any]) -> Iterator[str]:
    from gateway.core.visible import visible

    if item.get("raised"):
        yield f"raised by {item['raised']}: every call above tier read is asked about"
    for told in item.get("told", ())[-SENTENCES:]:
        yield visible(f"{told['signal']}: {told['explanation'] or 'wardgate explain ' + told['call']}")
