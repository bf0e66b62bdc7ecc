"""`wardgate approvals [list|show ID|watch]`: what waits for a person, and what was decided."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.common import aligned, fail, parser, print_json
from gateway.cli.talk import Unreachable, ask, with_near

STATES = ("waiting", "approved", "denied", "expired", "used", "withdrawn")


def run(argv: Sequence[str]) -> int:
    """List approvals, show one with its card, or watch; exit codes 0, 1 unknown id, 3 no gateway (`watch` waits)."""
    options = parser("approvals", __doc__)
    options.add_argument("action", nargs="?", choices=("list", "show", "watch"), default="list")
    options.add_argument("id", nargs="?", help="an approval's id, or the first characters of it")
    options.add_argument("--state", choices=(*STATES, "all"), default="waiting", help="which to list")
    given = options.parse_args(argv)
    if (given.action == "show") != bool(given.id):
        options.error("`show` needs the id of an approval, and nothing else takes one")
    if given.action == "watch":
        from gateway.cli.watch import watch

        return watch(given.config, given.json)
    try:
        if given.action == "show":
            answer = ask(given.config, "approval", id=given.id)
        else:
            answer = ask(given.config, "approvals", state=given.state)
    except Unreachable as problem:
        fail(problem.code, with_near(problem, "approve id", given.id or "", given.config))
    if given.json:
        more = {"view": answer["view"]} if given.action == "show" else {}
        print_json([{**item, **more} for item in answer["items"]])
    elif given.action == "show":
        print_card(answer)
    else:
        print(table(answer["items"]))
    return 0


def print_card(answer: Mapping[str, Any]) -> None:
    """Print a card: laid out at a terminal, else as the gateway puts it into text."""
    if not sys.stdout.isatty():
        print(answer["card"])
        return
    from rich.console import Console  # imported late, as what draws: only a terminal needs it

    from gateway.cli.card import draw

    Console(highlight=False, markup=False, emoji=False).print(draw(answer["view"]))


def table(items: Sequence[Mapping[str, Any]]) -> str:
    """The approvals as aligned lines, oldest first."""
    from gateway.core.visible import visible

    rows = [
        (row["id"], row["state"], f"{row['upstream']}/{row['tool']}", row["tier"], f"until {row['expires_at'][:19]}Z")
        for row in items
    ]
    return aligned([[visible(str(cell)) for cell in row] for row in rows]) or "nothing waits for a person"
