"""`wardgate honeytoken [UPSTREAM]`: print a made-up credential to plant in an upstream's data, or list what was minted.

From then on any sight of it, in any output or in arguments, blocks, freezes the session and is an incident.
It is printed once, on standard output; no value is kept.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, aligned, fail, parser, print_json, state_dir
from gateway.cli.options import hint
from gateway.cli.talk import Unreachable, ask

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from gateway.honeytokens import Honeytoken

KINDS = ("password", "api-key", "aws", "database", "github", "gitlab", "slack", "stripe")


def run(argv: Sequence[str]) -> int:
    """Mint, or list; exit codes 0, 1 no such upstream, 2 usage, 3 the state folder has no key yet, or can't be used."""
    options = parser("honeytoken", __doc__)
    options.add_argument("upstream", nargs="?", help="the upstream in whose data it will stand")
    options.add_argument("--kind", choices=KINDS, help="what it looks like (password)")
    given = options.parse_args(argv)
    if given.kind and not given.upstream:
        options.error("`--kind` goes with an upstream")
    state = state_dir(given.config)
    from gateway.errors import StateError  # imported late, as the rest: `--help` needs none of it

    try:
        return _mint(given, state) if given.upstream else _list(given, state)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))


def _mint(given: "Namespace", state: "Path") -> int:
    from gateway.honeytokens import Honeytokens
    from gateway.store.folder import digest_keys

    _known(given)
    keys = digest_keys(state)
    if not keys:
        fail(UNREACHABLE, f"`{state}` has no key yet: the first start of the gateway makes it (`wardgate serve`)")
    made, found = Honeytokens(state).mint(given.upstream, given.kind or "password", keys[0])
    try:
        ask(given.config, "honeytokens")
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            fail(problem.code, f"{made.name} is not looked for until the gateway is started anew: {problem}")
        print("wardgate: no gateway runs; the next one looks for it", file=sys.stderr)
    if given.json:
        print_json([{**_row(made, "armed"), "text": found.text, "values": list(found.values)}])
    else:
        print(found.text)
    return FINE


def _known(given: "Namespace") -> None:
    """End the command where the configuration has no such upstream."""
    from gateway.place import config_file, table_of

    file = config_file(given.config, os.environ)
    try:
        upstreams = table_of("upstreams", file)
    except (OSError, ValueError):
        fail(FINDINGS, f"the upstreams of `{file}` can't be read")
    if given.upstream not in upstreams:
        fail(FINDINGS, f"unknown upstream `{given.upstream}`{hint(given.upstream, upstreams)}")


def _list(given: "Namespace", state: "Path") -> int:
    from gateway.honeytokens import Honeytokens, credential
    from gateway.store.folder import digest_keys

    found = Honeytokens(state).all()
    keys = digest_keys(state) if found else ()
    rows = [_row(each, "armed" if credential(each, keys) is not None else "key lost") for each in found]
    if given.json:
        print_json(rows)
    else:
        cells = [
            (str(row["number"]), row["upstream"], row["kind"], f"since {row['made_at']}", row["state"]) for row in rows
        ]
        print(aligned(cells) or "no honeytoken was minted: `wardgate honeytoken UPSTREAM` makes one")
    return FINE


def _row(honeytoken: "Honeytoken", state: str) -> Mapping[str, Any]:
    at = honeytoken.made_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "number": honeytoken.number,
        "upstream": honeytoken.upstream,
        "kind": honeytoken.kind,
        "made_at": at,
        "state": state,
    }
