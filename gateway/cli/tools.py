"""`wardgate tools [NAME]`: the inventory of every live permission, who answers for it, how it is used, what is due.

It starts nothing unless it is told to: what is known is in the lock, the policies and the record.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, print_json
from gateway.cli.conversing import Answer, Request, converse
from gateway.cli.options import hint
from gateway.cli.talk import Unreachable, ask

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.core.inventory import Wanted
    from gateway.inventory import Inventory

KINDS = ("tool", "grant", "client", "list", "policy", "all")
STATES = {"ok": "accepted"}  # an easier word
DUE, UNUSED = 14, 90  # days, where owners are told and nothing else is said


def run(argv: Sequence[str]) -> int:
    """Print the inventory; exit codes 0, 1 findings with `--check`, an unknown name or no valid configuration, 2 usage,
    3 the record can't be read, or no gateway runs that could tell owners.
    """
    options = _options()
    given = options.parse_args(argv)
    if given.check and given.kind is None:
        given.kind = "all"
    if given.force and not given.notify:
        options.error("`--force` is for `--notify`")
    if given.unused is not None and given.unused < 0:
        options.error(f"--unused: expected 0 or more, found `{given.unused}`")
    if given.propose:
        return _propose(given)
    if given.notify:
        return _notify(given)
    wanted = _wanted(options, given)
    live, unasked = _live(given)
    settings = _settings(given.config)
    _known("client", given.client, (*settings.clients, "unknown"))
    _known("upstream", given.upstream, settings.upstreams)
    found = _take(settings, live)
    from gateway.cli import inventory as lines

    today = datetime.now(UTC).date()
    rows = [one for one in found.rows if wanted.admits(one, today)]
    if given.name:
        rows = lines.named(rows, given.name)
    if given.check:
        rows = [one for one in rows if one.findings]
    if given.json:
        print_json([one.item() for one in rows])
    elif given.csv:
        lines.print_csv(rows)
    else:
        lines.print_rows(rows, today, whole=bool(given.name), check=given.check)
    lines.print_notes((*found.notes, *unasked))
    return FINDINGS if given.check and rows else FINE


def _options() -> ArgumentParser:
    from gateway.core.model import Effect, Tier  # for the words that they can be

    options = parser("tools", __doc__)
    options.add_argument("name", nargs="?", help="all about one tool: its name, as clients see it or as its upstream")
    options.add_argument("--kind", choices=KINDS, help="grants, clients, lists and policies have owners too")
    options.add_argument("--upstream", metavar="NAME", default="", help="of this upstream")
    options.add_argument("--tool", metavar="GLOB", default="", help="whose name is so")
    options.add_argument("--effect", choices=[effect.value for effect in Effect], default="", help="with this effect")
    options.add_argument("--tier", choices=[tier.value for tier in Tier], default="", help="of this tier")
    words = ("accepted", "ok", "new", "changed", "gone", "held", "unlocked")
    options.add_argument("--state", choices=words, default="", help="how it stands to the lock")
    options.add_argument("--owner", metavar="TEXT", default="", help="one of whose owners is called so")
    options.add_argument("--client", metavar="NAME", default="", help="of which this client may call some")
    options.add_argument("--unused", metavar="DAYS", type=int, help="not used for so many days")
    options.add_argument("--due", metavar="DAYS", type=int, help="to be reviewed within so many days")
    options.add_argument("--csv", action="store_true", help="print comma-separated values")
    options.add_argument("--check", action="store_true", help="print findings alone; exit code 1 where there are any")
    options.add_argument("--notify", action="store_true", help="tell each owner what is due, once a day")
    options.add_argument("--force", action="store_true", help="tell owners again who were told today")
    options.add_argument("--start", action="store_true", help="ask the upstreams, and start them where no gateway runs")
    options.add_argument("--propose", action="store_true", help="print `[[tool]]` entries for tools without a label")
    return options


def _wanted(options: ArgumentParser, given: Namespace) -> "Wanted":
    from gateway.core.inventory import KINDS as EVERY
    from gateway.core.inventory import TOOL, Wanted

    kind = given.kind or TOOL
    wanted = Wanted(
        frozenset(EVERY if kind == "all" else (kind,)),
        given.upstream,
        given.tool,
        given.effect,
        given.tier,
        STATES.get(given.state, given.state),
        given.owner,
        given.client,
        given.unused,
        given.due,
    )
    if kind not in (TOOL, "all") and (wanted.of_tools or given.name):
        options.error(f"only tools are looked for by that: leave out `--kind {kind}`")
    return wanted


def _live(given: Namespace) -> tuple[Mapping[str, Sequence[Mapping[str, Any]]], Sequence[str]]:
    """What a gateway tells of its tools, by upstream, and which upstreams it has not heard of; nothing where none runs
    and none is to be started.
    """
    answers: list[Answer] = []
    try:
        if given.start:
            converse(given.config, {"op": "tools"}, answers.append, quiet=given.json)
        else:
            answers.append(ask(given.config, "tools", wait=False))
    except Unreachable as problem:
        if given.start or problem.code != UNREACHABLE:
            fail(problem.code, str(problem))
        return {}, ()
    (answer,) = answers
    from gateway.inventory import live_of  # imported late: wrong options need none of it

    told = [
        f"upstream `{each['upstream']}` was not heard of ({each['state']}: {each['detail']}): told as it was accepted"
        for each in answer["unasked"]
    ]
    return live_of(answer), told


def _settings(config: str | None) -> "Settings":
    from gateway.config import load_settings
    from gateway.errors import ConfigurationError

    try:
        return load_settings(Path(config) if config else None, os.environ)
    except ConfigurationError as broken:
        fail(FINDINGS, str(broken))


def _take(settings: "Settings", live: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Inventory":
    from gateway.errors import ConfigurationError, StateError
    from gateway.inventory import take
    from gateway.people import user_name

    try:
        return take(settings, datetime.now(UTC), user_name(os.getuid()), live)
    except ConfigurationError as broken:
        fail(FINDINGS, str(broken))
    except StateError as problem:
        fail(UNREACHABLE, str(problem))


def _known(what: str, name: str, names: Collection[str]) -> None:
    """End the command at a name that is given, and is none of those that there are."""
    if name and name not in names:
        fail(FINDINGS, f"unknown {what} `{name}`{hint(name, names)}")


def _notify(given: Namespace) -> int:
    """Have the gateway tell owners what is due."""
    days = DUE if given.due is None else given.due
    unused = UNUSED if given.unused is None else given.unused
    try:
        answer = ask(given.config, "tell-owners", due=days, unused=unused, owner=given.owner, force=given.force)
    except Unreachable as problem:
        fail(problem.code, str(problem))
    if given.json:
        print_json(answer["items"])
        return FINE
    from gateway.cli import inventory as lines

    lines.print_told(answer["items"])
    return FINE


def _propose(given: Namespace) -> int:
    """Print labels for tools that have none; a gateway that runs is asked, else the upstreams are started."""
    found: list[Mapping[str, Any]] = []

    def then(answer: Answer) -> Request | None:
        found.extend(answer["items"])
        return None

    try:
        converse(given.config, {"op": "tools"}, then)
    except Unreachable as problem:
        fail(problem.code, str(problem))
    items = [item for item in found if item["proposed"]]
    if given.json:
        print_json(items)
    else:
        print(_proposed(items) or "every tool has a label")
    return FINE


def _proposed(items: Sequence[Mapping[str, Any]]) -> str:
    """One policy file for a person to confirm, by effect: of the one upstream, or where there are several, of all. It
    grants nothing by itself.
    """
    import json

    if not items:
        return ""
    upstreams = list(dict.fromkeys(item["upstream"] for item in items))
    lines = ["# Proposed by names and annotations: look at each before it goes into a file of `policies/`."]
    lines += [f"upstream = {json.dumps(upstreams[0])}"] if len(upstreams) == 1 else []
    lines.append(f"owner = {json.dumps(items[0]['owner'])}")
    for effect in dict.fromkeys(item["proposed"] for item in items):
        mine = [item for item in items if item["proposed"] == effect]
        names = [item["tool"] if len(upstreams) == 1 else f"{item['upstream']}/{item['tool']}" for item in mine]
        lines += ["", "[[tool]]", f"match = {json.dumps(names)}", f'effect = "{effect}"']
    return "\n".join(lines)
