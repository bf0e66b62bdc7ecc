"""`wardgate export --proof ID`: what proves one call to somebody who has no store, in one file."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, state_dir


def run(argv: Sequence[str]) -> int:
    """Write a bundle; exit codes 0, 1 unknown id or a record that can't prove itself, 2 wrong options, 3 no record."""
    options = parser("export", __doc__)
    options.add_argument("--proof", metavar="ID", required=True, help="the call (d_...) or approval (a_...) to prove")
    options.add_argument("--output", metavar="FILE", help="where to write it (standard output)")
    given = options.parse_args(argv)
    state = state_dir(given.config)

    from gateway.errors import StateError  # imported late: wrong options need none of it

    try:
        made = _bundle(state, given.config, given.proof)
    except StateError as problem:
        fail(UNREACHABLE if not (state / "record.db").exists() else FINDINGS, str(problem))
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    if not given.output:
        sys.stdout.write(text)
        return FINE
    try:
        with Path(given.output).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        fail(FINDINGS, f"`{given.output}` can't be written: {problem.strerror}")
    return FINE


def _bundle(state: Path, config: str | None, prefix: str, *, again: bool = False) -> dict[str, Any]:
    """The bundle; where no checkpoint covers the rows yet, the running gateway is asked for one."""
    from gateway.bundling import Uncovered, bundle
    from gateway.cli.talk import Unreachable, ask
    from gateway.reading import find_call, reading

    with reading(state) as db:
        found = find_call(db, prefix)
        if len(found) != 1:
            several = f"`{prefix}` is the beginning of several ids: give more of it"
            fail(FINDINGS, several if found else f"unknown id `{prefix}`")
        try:
            return bundle(db, found[0])
        except Uncovered:
            if again:
                fail(FINDINGS, "a checkpoint was made, and does not cover it")
    try:
        ask(config, "checkpoint")
    except Unreachable as problem:
        fail(UNREACHABLE, f"no checkpoint covers it yet, and none can be made: {problem}")
    return _bundle(state, config, prefix, again=True)
