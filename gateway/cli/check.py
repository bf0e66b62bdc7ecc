"""`wardgate check`: every problem of upstreams.toml and the policies, offline. Starts nothing and changes nothing."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.common import flowing, parser, print_json
from gateway.cli.progress import progress
from gateway.config import check
from gateway.core.problems import Problem, Severity, item
from gateway.errors import StateError
from gateway.place import config_file, foreign, named_place
from gateway.reading import owner_of, reading


def run(argv: Sequence[str]) -> int:
    """Print every problem; exit codes 0 none but warnings, 1 an error, 2 usage."""
    given = parser("check", __doc__).parse_args(argv)
    config = Path(given.config) if given.config else None
    with progress("reading the configuration", given.json):
        problems = (*_belonging(config), *check(config, os.environ, datetime.now(UTC).date(), unlocked=True))
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if given.json:
        print_json([item(problem) for problem in problems])
    else:
        for problem in problems:
            print(flowing(f"{problem.severity.value}: {problem}"))
        print(summary(errors, len(problems) - errors))
    return 1 if errors else 0


def _belonging(config: Path | None) -> tuple[Problem, ...]:
    """Why the state folder can't be this gateway's, where there is one already."""
    file = config_file(config, os.environ)
    try:
        place = named_place(file)
        with reading(place.folder) as db:
            why = foreign(place.folder, owner_of(db), place.owner)
    except (OSError, ValueError, StateError):  # a configuration that can't be read is told of by its own check
        return ()
    return (Problem(file.name, 0, "gateway", "id", place.owner, why),) if why else ()


def summary(errors: int, warnings: int) -> str:
    """The last line: how many of each."""
    if not errors and not warnings:
        return "no problems found"
    parts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return ", ".join(parts)
