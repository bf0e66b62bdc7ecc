"""`wardgate approvals [list|show ID]`: what waits for a person, and what was decided."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.common import parser, print_json
from gateway.cli.talk import Unreachable, ask

STATES = ("waiting", "approved", "denied", "expired", "used", "withdrawn")


def run(argv: Sequence[str]) -> int:
    """List approvals, or show one with its card; exit codes 0, 1 unknown id, 3 no gateway."""
    options = parser("approvals", __doc__)
    options.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    options.add_argument("id", nargs="?", help="an approval's id, or the first characters of it")
    options.add_argument("--state", choices=(*STATES, "all"), default="waiting", help="which to list")
    given = options.parse_args(argv)
    if given.action == "show" and not given.id:
        options.error("`show` needs the id of an approval")
    try:
        if given.action == "show":
            answer = ask(given.config, "approval", id=given.id)
        else:
            answer = ask(given.config, "approvals", state=given.state)
    except Unreachable as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return problem.code
    if given.json:
        print_json(answer["items"])
    elif given.action == "show":
        print(answer["card"])
    else:
        print(table(answer["items"]))
    return 0


def table(items: Sequence[Mapping[str, Any]]) -> str:
    """The approvals as aligned lines, oldest first."""
    if not items:
        return "nothing waits for a person"
    rows = [
        (row["id"], row["state"], f"{row['upstream']}/{row['tool']}", row["tier"], row["expires_at"]) for row in items
    ]
    widths = [max(len(str(row[column])) for row in rows) for column in range(5)]
    return "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
