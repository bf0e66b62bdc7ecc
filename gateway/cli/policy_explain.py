"""`wardgate policy explain TOOL`: what would be decided on a call that nobody made. It starts nothing."""

import json
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.common import FINDINGS, FINE, columns, fail, parser, print_json
from gateway.cli.options import hint

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.core.policy import Policy
    from gateway.core.suppose import Supposed

SURFACES = ("tool", "resource", "prompt", "method")
WIDTH, LABEL = 100, 12  # columns of the screen at most, and of the labels on its left


def run(argv: Sequence[str]) -> int:
    """Explain one hypothetical call; exit codes 0, 1 an invalid configuration, 2 usage."""
    options = _options()
    given = options.parse_args(argv)
    arguments = _arguments(options, given)

    from gateway.config import (
        load_policy,
        load_policy_at,
        load_settings,
    )  # imported late: wrong options need none of it
    from gateway.core.whatif import explain, explained_item, explained_sections
    from gateway.errors import ConfigurationError

    now = datetime.now(UTC)
    try:
        settings = load_settings(Path(given.config) if given.config else None, os.environ)
        other = Path(given.policy) if given.policy else None
        policy = load_policy_at(other, settings, now.date()) if other else load_policy(settings, now.date())
    except ConfigurationError as problem:
        fail(FINDINGS, str(problem))
    told = explain(_supposed(options, given, arguments, settings, policy, now), policy, sorted(settings.clients))
    if given.json:
        print_json([explained_item(told)])
    else:
        ref = told.found.tool.ref
        print(_shown(f"{ref}: {told.found.decision.verdict.word}"))
        print("\n".join(_screen(explained_sections(told))))
    return FINE


def _options() -> ArgumentParser:
    options = parser("policy explain", __doc__)
    options.add_argument("tool", metavar="TOOL", help="`upstream/name`, or as clients see it, `upstream__name`")
    options.add_argument("--as", dest="surface", choices=SURFACES, default="tool", help="what it is (tool)")
    options.add_argument("--args", metavar="JSON", default="{}", help="the arguments, one JSON object")
    options.add_argument("--client", default="unknown", metavar="NAME", help="a registered client (unknown)")
    options.add_argument("--principal", default="os:somebody", metavar="ID", help="who calls, such as `os:alice`")
    options.add_argument(
        "--role", action="append", default=[], metavar="ROLE", help="a role of the principal; repeatable"
    )
    state = options.add_mutually_exclusive_group()
    state.add_argument(
        "--tainted",
        dest="tainted",
        action="store_true",
        default=True,
        help="the session has read what is untrusted (so it is taken to be)",
    )
    state.add_argument("--clean", dest="tainted", action="store_false", help="it has read nothing untrusted")
    options.add_argument("--not-private", dest="private", action="store_false", help="it has read nothing private")
    options.add_argument(
        "--calls-10m", type=_count, default=0, metavar="N", help="its calls in the last 10 minutes (0)"
    )
    options.add_argument("--consequential", type=_count, default=0, metavar="N", help="its calls above tier read (0)")
    options.add_argument("--isolation", type=int, choices=range(5), default=0, help="the isolation level (0)")
    options.add_argument(
        "--prompt", default="", metavar="TEXT", help="the user's prompt, in which values are looked for"
    )
    options.add_argument(
        "--used", action="append", default=[], metavar="RULE=N", help="how often a rule with a rate has allowed"
    )
    options.add_argument("--spent", action="append", default=[], metavar="BUDGET=N", help="what is used of a budget")
    options.add_argument("--repeated", type=_count, default=0, metavar="N", help="how often the same call was sent (0)")
    options.add_argument("--refused", type=_count, default=0, metavar="N", help="how often it was refused (0)")
    options.add_argument(
        "--annotations", metavar="JSON", default="{}", help="what the upstream itself says of the tool"
    )
    options.add_argument("--policy", metavar="DIR", help="another folder of policies than the configured one")
    return options


def _count(text: str) -> int:
    """A number of calls."""
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError(f"expected a number of calls, found `{text[:60]}`")
    return int(text)


def _arguments(options: ArgumentParser, given: Namespace) -> Mapping[str, Any]:
    return _object(options, "args", given.args)


def _object(options: ArgumentParser, name: str, text: str) -> Mapping[str, Any]:
    """One JSON object of an option; ends the command with exit code 2 where it is none."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        options.error(f"--{name}: expected texts of whole characters, found half of one (a lone surrogate)")
    except (ValueError, RecursionError):
        options.error(f"--{name}: expected one JSON object, found `{text[:60]}`")
    if not isinstance(value, dict):
        options.error(f"--{name}: expected one JSON object, found `{text[:60]}`")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"no JSON: {constant}")


def _supposed(
    options: ArgumentParser,
    given: Namespace,
    arguments: Mapping[str, Any],
    settings: "Settings",
    policy: "Policy",
    now: datetime,
) -> "Supposed":
    """The call; ends the command with exit code 2 for names that nothing has."""
    from gateway.core.model import Principal, Surface, ToolRef
    from gateway.core.suppose import Supposed

    upstream, sign, name = given.tool.partition("/" if "/" in given.tool else "__")
    if not sign or not name:
        options.error(f"expected `upstream/name`, found `{given.tool}`")
    _known(options, "upstream", upstream, settings.upstreams)
    _known(options, "client", given.client, (*settings.clients, "unknown"))
    surface = dict(zip(SURFACES, Surface, strict=True))[given.surface]
    if surface is Surface.RESOURCES and not arguments:
        arguments = {"uri": name}
    return Supposed(
        ref=ToolRef(upstream, name),
        now=now,
        surface=surface,
        arguments=arguments,
        annotations=_object(options, "annotations", given.annotations),
        client=given.client,
        principal=Principal(given.principal, "os-user", frozenset(given.role)),
        isolation=given.isolation,
        tainted=given.tainted,
        private=given.private,
        calls_10m=given.calls_10m,
        consequential=given.consequential,
        used=dict(_used(options, each, policy.rates()) for each in given.used),
        spent=dict(_spent(options, each, policy) for each in given.spent),
        repeated=given.repeated,
        refused=given.refused,
        origins={given.prompt: ("prompt",)} if given.prompt else {},
    )


def _used(options: ArgumentParser, text: str, rated: Mapping[str, Any]) -> tuple[str, int]:
    rule, _, count = text.partition("=")
    _known(options, "rule with a rate", rule, rated)
    try:
        return rule, _count(count)
    except ArgumentTypeError:
        options.error(f"--used: expected RULE=N, found `{text}`")


def _spent(options: ArgumentParser, text: str, policy: "Policy") -> tuple[str, int]:
    """A budget, and what is used of it in millionths of its unit."""
    from gateway.core.policy.nouns import UNITS

    budget, _, amount = text.partition("=")
    _known(options, "budget", budget, [one.id for file in policy.files for one in file.budgets])
    try:
        return budget, round(float(amount) * UNITS)
    except (ValueError, OverflowError):
        options.error(f"--spent: expected BUDGET=N, found `{text}`")


def _known(options: ArgumentParser, what: str, name: str, names: "Mapping[str, Any] | Sequence[str]") -> None:
    if name not in names:
        options.error(f"unknown {what} `{name}`{hint(name, names)}")


def _screen(sections: Any) -> list[str]:
    from textwrap import wrap

    lines, width = [], min(WIDTH, columns() or WIDTH)
    for label, texts in sections:
        broken = [part for text in texts for part in wrap(_shown(text), width - LABEL - 2, subsequent_indent="  ")]
        lines += [f"  {label if not at else '':<{LABEL}}{part}" for at, part in enumerate(broken)]
    return lines


def _shown(text: str) -> str:
    from gateway.core.visible import visible

    return visible(text)
