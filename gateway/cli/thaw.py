"""`wardgate thaw [SESSION|UPSTREAM|--all]`: let go what is held.

With a session go the tools that are barred in it. What is named must be held. Where no gateway runs it writes into the
store itself.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial

from gateway.cli.common import FINE, UNREACHABLE, fail, print_json
from gateway.cli.holds import Item, Names, Scope, alone, known, known_there, named, options_of, scope_of, stored, what
from gateway.cli.talk import Unreachable, ask


def run(argv: Sequence[str]) -> int:
    """Let go; exit codes 0, 1 nothing is held there, 2 usage, 3 neither a gateway nor a store."""
    options = options_of("thaw", __doc__)
    given = options.parse_args(argv)
    if not named(given):
        options.error("say what: a session, an upstream or `--all`; `wardgate freeze` lists what is held")
    try:
        scope = _scope(given, list(ask(given.config, "freezes")["items"]), known)
        about = {"all": True} if scope.everything else {"upstream": scope.upstream, "session": scope.session}
        items = list(ask(given.config, "thaw", **about)["items"])
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            fail(problem.code, str(problem))
        items = _let_go_alone(given)
    if given.json:
        print_json(items)
    else:
        print("\n".join(f"let go: {what(item)}" for item in items))
    return FINE


def _scope(given: Namespace, held: Sequence[Item], others: Callable[[Namespace], Names]) -> Scope:
    """What is to be let go: something that is held."""
    upstreams = [row["upstream"] for row in held if row["upstream"] and not row["tool"]]
    sessions = [row["session"] for row in held if row["session"]]
    return scope_of(given, (upstreams, sessions), partial(others, given))


def _let_go_alone(given: Namespace) -> list[Item]:
    from gateway.cli.standalone import let_go

    held = stored(given)
    scope = _scope(given, held, known_there)
    if not held:
        fail(1, "nothing is held there")
    return alone(given, lambda place: let_go(place, scope.upstream, scope.session, everything=scope.everything))
