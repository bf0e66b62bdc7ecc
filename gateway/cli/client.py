"""`wardgate client add|list|revoke`: the bearer tokens of HTTP clients."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gateway.cli.common import aligned, parser, print_json
from gateway.cli.options import hint
from gateway.cli.talk import Unreachable, find_state
from gateway.place import config_file, table_of

if TYPE_CHECKING:
    from argparse import Namespace

    from gateway.tokens import Tokens

UNITS = {"m": 1 / 24 / 60, "h": 1 / 24, "d": 1.0, "w": 7.0}  # days
LONGEST = 3650.0  # days


def run(argv: Sequence[str]) -> int:
    """Add, list or revoke; a token is printed once, on standard output, and only its hash is kept."""
    options = parser("client", __doc__)
    options.add_argument("action", choices=("add", "list", "revoke"))
    options.add_argument("name", nargs="?", help="the client, as upstreams.toml registers it under [clients]")
    options.add_argument("--expires", metavar="TIME", help="how long it counts: 12h, 30d (else until revoked)")
    given = options.parse_args(argv)
    if given.action != "list" and not given.name:
        options.error(f"`{given.action}` needs the name of a client")
    if given.action == "list" and given.name:
        options.error(f"`list` takes no name, found `{given.name}`")
    lasts = duration(given.expires) if given.expires else None
    if given.expires and (given.action != "add" or lasts is None):
        options.error("`--expires` goes with `add`, and is a time such as 90m, 12h, 30d or 8w, at most 10 years")
    try:
        state = find_state(given.config)
    except Unreachable as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return problem.code
    from gateway.errors import StateError
    from gateway.tokens import Tokens  # imported after the options are right

    tokens = Tokens(state)
    try:
        match given.action:
            case "add":
                return _add(tokens, given, lasts)
            case "revoke":
                return _revoke(tokens, given)
            case _:
                return _list(tokens, given.json)
    except StateError as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return 3


def duration(text: str) -> timedelta | None:
    """The time that a text such as `30d` means, or None."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    days = int(found[1]) * UNITS[found[2]] if found else 0
    return timedelta(days=days) if 0 < days <= LONGEST else None


def _add(tokens: "Tokens", given: "Namespace", lasts: timedelta | None) -> int:
    until = datetime.now(UTC).replace(microsecond=0) + lasts if lasts else None
    try:
        token = tokens.add(given.name, until)
    except ValueError as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return 1
    registered: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):  # it was told that it can't be read
        registered = table_of("clients", config_file(given.config, os.environ))
    if given.name not in registered:
        near = hint(given.name, registered) or "."
        print(
            f"note: [clients.{given.name}] is not in upstreams.toml{near} Until it is, policies see it as `unknown`.",
            file=sys.stderr,
        )
    if given.json:
        print_json([{"name": given.name, "token": token, "expires_at": stamp(until)}])
    else:
        print(token)
    return 0


def _revoke(tokens: "Tokens", given: "Namespace") -> int:
    names = [kept.name for kept in tokens.all()]
    if not tokens.revoke(given.name):
        print(f"wardgate: client `{given.name}` has no token{hint(given.name, names)}", file=sys.stderr)
        return 1
    if given.json:
        print_json([{"name": given.name, "state": "revoked"}])
    else:
        print(f"revoked `{given.name}`", file=sys.stderr)
    return 0


def _list(tokens: "Tokens", as_json: bool) -> int:
    now = datetime.now(UTC)
    rows = [
        {
            "name": kept.name,
            "state": "expired" if kept.expired(now) else "valid",
            "created_at": stamp(kept.created_at),
            "expires_at": stamp(kept.expires_at),
        }
        for kept in tokens.all()
    ]
    if as_json:
        print_json(rows)
        return 0
    cells = [
        (str(row["name"]), f"since {row['created_at']}", f"until {row['expires_at'] or 'revoked'}", "")
        if row["state"] == "valid"
        else (str(row["name"]), f"since {row['created_at']}", f"until {row['expires_at']}", "EXPIRED")
        for row in rows
    ]
    print(aligned(cells) or "no client has a token: `wardgate client add NAME` makes one")
    return 0


def stamp(at: datetime | None) -> str | None:
    """A time as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else None
