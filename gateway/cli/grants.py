"""`wardgate grants [list|revoke ID]`: what people allowed for a while on cards of approvals."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.cli.common import FINE, aligned, fail, parser, print_json
from gateway.cli.talk import Unreachable, ask, with_near


def run(argv: Sequence[str]) -> int:
    """List or revoke; exit codes 0, 1 a grant that is unknown or counts no more, 2 usage, 3 no gateway."""
    options = parser("grants", __doc__)
    options.add_argument("action", nargs="?", choices=("list", "revoke"), default="list")
    options.add_argument("id", nargs="?", help="a grant's id, or the first characters of it")
    options.add_argument("--all", action="store_true", help="list those too that count no more")
    given = options.parse_args(argv)
    if (given.action == "revoke") != bool(given.id):
        options.error("`revoke` needs the id of a grant, and `list` takes none")
    try:
        if given.action == "revoke":
            items = ask(given.config, "revoke", id=given.id)["items"]
        else:
            items = [row for row in ask(given.config, "grants")["items"] if given.all or not ended(row)]
    except Unreachable as problem:
        fail(problem.code, with_near(problem, "grants id", given.id or "", given.config))
    if given.json:
        print_json(items)
    elif given.action == "revoke":
        print(f"revoked: {items[0]['id']}")
    else:
        print(table(items))
    return FINE


def ended(row: Mapping[str, Any]) -> str:
    """Why a grant counts no more, or an empty string."""
    if row["ended"]:
        return str(row["ended"])
    if datetime.fromisoformat(row["expires_at"]) <= datetime.now(UTC):
        return "expired"
    return "used up" if row["used"] >= row["uses"] else ""


def table(items: Sequence[Mapping[str, Any]]) -> str:
    """The grants as aligned lines, the newest first."""
    from gateway.core.visible import visible

    rows = [
        (
            row["id"],
            scope(row),
            f"{row['upstream']}/{row['tool']}",
            f"{row['principal']} with {row['client']}",
            f"{row['used']} of {row['uses']} uses",
            ended(row) or f"until {row['expires_at'][:19]}Z",
            f"by {row['owner']}",
        )
        for row in items
    ]
    return aligned([[visible(cell) for cell in row] for row in rows]) or "no grant stands"


def scope(row: Mapping[str, Any]) -> str:
    """What a grant allows, in words."""
    match row["scope"]:
        case "arguments":
            return "these exact arguments"
        case "pattern":
            free = f", any {', '.join(row['free'])}" if row["free"] else ""
            return f"the same {', '.join(row['pinned']) or 'tool'}{free}"
        case "session":
            return f"this tool in session {row['session']}"
        case _:
            return f"the value {row['value']!r} in session {row['session']}"
