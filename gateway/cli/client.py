"""`wardgate client add|list|revoke`: the bearer tokens of HTTP clients."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gateway.cli.common import parser, print_json
from gateway.cli.talk import Unreachable, find_state
from gateway.place import config_file

if TYPE_CHECKING:
    from argparse import Namespace

    from gateway.tokens import Tokens


def run(argv: Sequence[str]) -> int:
    """Add, list or revoke; a token is printed once, on standard output, and only its hash is kept."""
    options = parser("client", __doc__)
    options.add_argument("action", choices=("add", "list", "revoke"))
    options.add_argument("name", nargs="?", help="the client, as upstreams.toml registers it under [clients]")
    given = options.parse_args(argv)
    if given.action != "list" and not given.name:
        options.error(f"`{given.action}` needs the name of a client")
    try:
        state = find_state(given.config)
    except Unreachable as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return problem.code
    from gateway.tokens import Tokens  # imported after the options are right

    tokens = Tokens(state)
    match given.action:
        case "add":
            return _add(tokens, given)
        case "revoke":
            found = tokens.revoke(given.name)
            print(f"revoked `{given.name}`" if found else f"client `{given.name}` has no token", file=sys.stderr)
            return 0 if found else 1
        case _:
            return _list(tokens, given.json)


def _add(tokens: "Tokens", given: "Namespace") -> int:
    import os

    try:
        token = tokens.add(given.name)
    except ValueError as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return 1
    import tomllib

    registered = tomllib.loads(config_file(given.config, os.environ).read_text(encoding="utf-8")).get("clients", {})
    if given.name not in registered:
        near = get_close_matches(given.name, registered, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        print(
            f"note: [clients.{given.name}] is not in upstreams.toml{hint} Until it is, policies see it as `unknown`.",
            file=sys.stderr,
        )
    if given.json:
        print_json([{"name": given.name, "token": token}])
    else:
        print(token)
    return 0


def _list(tokens: "Tokens", as_json: bool) -> int:
    rows = [{"name": kept.name, "created_at": kept.created_at.isoformat()} for kept in tokens.all()]
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['name']}  since {row['created_at']}")
    return 0
