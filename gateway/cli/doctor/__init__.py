"""`wardgate doctor`: everything that has to be right for calls to be guarded, looked at once. It mends nothing itself.

One module for each noun, with its checks; a check that breaks is a finding like any other, and the rest goes on.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from gateway.cli.common import FINDINGS, FINE, at_terminal, parser, print_json
from gateway.cli.doctor import clients, configuration, machine, people, store, upstreams, versions
from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Check, Finding, Group, Line, warning
from gateway.cli.doctor.telling import tell
from gateway.cli.progress import progress

GROUPS: tuple[Group, ...] = (
    versions.GROUP,
    configuration.GROUP,
    upstreams.GROUP,
    clients.GROUP,
    people.GROUP,
    store.GROUP,
    machine.GROUP,
)


def run(argv: Sequence[str]) -> int:
    """Tell what is so; exit codes 0, 1 something is wrong or the configuration can't be read, 2 usage.

    A gateway that runs is asked. Where none does, the upstreams are started for as long as it takes, unless `--offline`
    says otherwise; that none runs is nothing wrong: clients start it.
    """
    options = parser("doctor", __doc__)
    options.add_argument("--offline", action="store_true", help="start no upstream where no gateway runs")
    given = options.parse_args(argv)
    shown = partial(progress, quiet=given.json)
    case = Case(given.config, os.environ, Path.cwd(), start=not given.offline, progress=shown)
    found = [(group.title, list(examine(case, group))) for group in GROUPS]
    every = [each for _, several in found for each in several]
    if given.json:
        print_json([each.item() for each in every])
    else:
        print(tell(found, colour=at_terminal(sys.stdout) and "NO_COLOR" not in os.environ))
    return FINDINGS if any(each.wrong for each in every) else FINE


def examine(case: Case, group: Group) -> Iterator[Finding]:
    """What the checks of a group find, each for itself."""
    for check in group.checks:
        yield from _guarded(check, case)


def _guarded(check: Check, case: Case) -> Iterator[Finding]:
    try:
        yield from check(case)
    except Exception as broken:  # noqa: BLE001 - whatever breaks one check, the others are made
        name = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
        do = "the other checks were made; tell the makers of Wardgate this line"
        yield warning(Line.CHECK, f"it broke: {type(broken).__name__}", do, name)
