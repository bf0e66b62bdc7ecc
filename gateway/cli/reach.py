"""`wardgate reach`: assume that the agent is hijacked now, and list what would pass without anybody being asked."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, flowing, parser, print_json
from gateway.cli.progress import progress
from gateway.cli.talk import Unreachable, ask, with_near

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.core.model import Grant
    from gateway.core.openings import Reach
    from gateway.core.policy import Policy
    from gateway.core.reach import Assumed

MOST_GRANTS = 10_000  # grants that are looked at


def run(argv: Sequence[str]) -> int:
    """Print the number and the list; exit codes 0, 1 more than `--max` or no valid configuration, 2 usage, 3 no gateway
    that knows the session, or a record that can't be read.
    """
    given = _options().parse_args(argv)

    from gateway.config import load_policy, load_policy_at, load_settings
    from gateway.errors import ConfigurationError

    now = datetime.now(UTC)
    try:
        settings = load_settings(Path(given.config) if given.config else None, os.environ)
        policies = [load_policy(settings, now.date())]
        if given.policy:
            policies.append(load_policy_at(Path(given.policy), settings, now.date()))
        assumed, accepted = _assumed(settings, given, now), _accepted(settings)
    except ConfigurationError as broken:
        fail(FINDINGS, str(broken))
    with progress("looking at what each tool lets pass", given.json):
        found = [_reach(policy, settings, accepted, assumed) for policy in policies]
    if given.json:
        print_json(list(_items(found, given)))
    else:
        print("\n".join(map(flowing, _lines(found, assumed))))
    return FINDINGS if given.max is not None and found[-1].number > given.max else FINE


def _options() -> ArgumentParser:
    options = parser("reach", __doc__)
    options.add_argument("--policy", metavar="DIR", help="compare with the policies of another folder")
    options.add_argument("--session", metavar="NAME", help="a session of the running gateway, with its good origins")
    options.add_argument("--max", type=int, metavar="N", help="exit code 1 where the number is greater")
    return options


def _assumed(settings: "Settings", given: Namespace, now: datetime) -> "Assumed":
    """Who is hijacked, what people granted, and what the session holds."""
    from gateway.core.reach import Assumed
    from gateway.errors import StateError
    from gateway.reading import grants_now, reading
    from gateway.schema import STORE_NAME

    state = settings.gateway.state
    try:
        grants: tuple[Grant, ...] = ()
        if (state / STORE_NAME).exists():
            with reading(state) as db:
                grants = tuple(grants_now(db, now, MOST_GRANTS))
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if not given.session:
        return Assumed((*sorted(settings.clients), "unknown"), now, grants)
    try:
        whose = ask(given.config, "origins", session=given.session)["items"][0]
    except Unreachable as problem:
        fail(problem.code, with_near(problem, "session", given.session, given.config))
    mine = tuple(grant for grant in grants if grant.principal == whose["principal"])
    return Assumed((whose["client"],), now, mine, frozenset(whose["origins"]), given.session)


def _accepted(settings: "Settings") -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """The definitions that were accepted, by upstream and tool; empty where one was never seen here."""
    from gateway.accepted import Accepted
    from gateway.config import load_lock

    lock, kept = load_lock(settings) or {}, Accepted(settings.gateway.state)
    found: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for upstream, locked in lock.items():
        seen = kept.all_of(locked.tools.values())
        found[upstream] = {name: seen.get(digest) or {} for name, digest in locked.tools.items()}
    return found


def _reach(
    policy: "Policy",
    settings: "Settings",
    accepted: Mapping[str, Mapping[str, Mapping[str, Any]]],
    assumed: "Assumed",
) -> "Reach":
    from gateway.core.reach import reach, tools_of

    return reach(policy, tools_of(policy, settings.upstreams, accepted, assumed.grants), assumed)


def _items(found: Sequence["Reach"], given: Namespace) -> Iterator[Mapping[str, Any]]:
    from gateway.core.openings import Change, item, route_item

    for one, name in zip(found, ("", given.policy), strict=False):
        counts = {"openings": len(one.openings), "routes": len(one.routes)}
        yield {"of": "reach", "policy": name, "number": one.number, **counts}
    if len(found) == 1:
        yield from map(item, found[0].openings)
        yield from map(route_item, found[0].routes)
        return
    change = Change(*found)
    for of, lines in (("opened", change.opened), ("closed", change.closed)):
        yield from ({"of": of, "line": line} for line in lines)


def _lines(found: Sequence["Reach"], assumed: "Assumed") -> Iterator[str]:
    from gateway.core.openings import Change, lines
    from gateway.core.visible import visible

    last = found[-1]
    before = f"{found[0].number} -> " if len(found) > 1 else ""
    count = len(assumed.grants)
    grants = f", {count} grant{' stands' if count == 1 else 's stand'}" if count else ""
    whose = f"session {visible(assumed.session)}" if assumed.session else f"clients: {', '.join(assumed.clients)}"
    yield f"reach {before}{last.number}: {_counted(last)} ({whose}{grants})"
    if len(found) == 1:
        yield from (visible(line) for line in lines(last))
        return
    change = Change(*found)
    yield from (f"+ {visible(line)}" for line in change.opened)
    yield from (f"- {visible(line)}" for line in change.closed)
    if not change.opened and not change.closed:
        yield "both let the same pass"


def _counted(found: "Reach") -> str:
    if not found.number:
        return "nothing above a plain read passes unasked"
    places, routes = len(found.openings), len(found.routes)
    told = f"{places} place{'' if places == 1 else 's'} where an effect lands unasked"
    return f"{told}, {routes} tool{'' if routes == 1 else 's'} by which what is private leaves"
