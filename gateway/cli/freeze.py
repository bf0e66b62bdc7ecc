"""`wardgate freeze [SESSION|UPSTREAM|--all]`: hold calls at once, for all clients, until `wardgate thaw`.

Without a word it lists what is held. Where no gateway runs it writes into the store itself, and the next gateway
starts with it.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from gateway.cli.common import FINE, UNREACHABLE, USAGE, fail, print_json
from gateway.cli.holds import Item, alone, known, known_there, named, options_of, scope_of, stored, table, what
from gateway.cli.talk import Unreachable, ask


def run(argv: Sequence[str]) -> int:
    """Hold, or list; exit codes 0, 1 no such upstream or session, 2 usage, 3 neither a gateway nor a store."""
    options = options_of("freeze", __doc__)
    options.add_argument("--reason", default="", help="why, for the record and for whoever looks at what is held")
    given = options.parse_args(argv)
    if not named(given):
        return _list(given)
    try:
        items = _hold(given)
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            fail(problem.code, str(problem))
        items = _hold_alone(given)
    if given.json:
        print_json(items)
    else:
        print(f"held: {what(items[0])}; `wardgate thaw` lets it go")
    return FINE


def _hold(given: Namespace) -> list[Item]:
    scope = scope_of(given, known(given))
    about = {"all": True} if scope.everything else {"upstream": scope.upstream, "session": scope.session}
    return list(ask(given.config, "freeze", reason=given.reason, **about)["items"])


def _hold_alone(given: Namespace) -> list[Item]:
    from gateway.cli.standalone import hold

    scope = scope_of(given, known_there(given))
    if given.reason:
        print("wardgate: without a gateway a reason can't be screened for secrets: it is left out", file=sys.stderr)
    items = alone(given, lambda place: hold(place, scope.upstream, scope.session))
    print("wardgate: no gateway runs, so nothing is forwarded now; the next one starts with this", file=sys.stderr)
    return items


def _list(given: Namespace) -> int:
    if given.reason:
        fail(USAGE, "`--reason` needs what to hold: a session, an upstream or `--all`")
    try:
        items = list(ask(given.config, "freezes")["items"])
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            fail(problem.code, str(problem))
        items = stored(given)
        print("wardgate: no gateway runs; the next one starts with this", file=sys.stderr)
    if given.json:
        print_json(items)
    else:
        print(table(items))
    return FINE
