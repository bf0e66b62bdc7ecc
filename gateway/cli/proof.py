"""What `wardgate export --proof ID` does: what proves one call to somebody who has no store, in one file."""

import json
import sys
from pathlib import Path
from typing import Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail


def write_proof(state: Path, config: str | None, prefix: str, output: str | None) -> int:
    """Write a bundle; exit codes 0, 1 unknown id or a record that can't prove itself, 3 no record."""
    from gateway.errors import StateError, UnreadableError  # imported late: wrong options need none of it

    try:
        made = _bundle(state, config, prefix)
    except StateError as problem:
        fail(UNREACHABLE if isinstance(problem, UnreadableError) else FINDINGS, str(problem))
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    if not output:
        sys.stdout.write(text)
        return FINE
    try:
        with Path(output).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        fail(FINDINGS, f"`{output}` can't be written: {problem.strerror}")
    return FINE


def _bundle(state: Path, config: str | None, prefix: str, *, again: bool = False) -> dict[str, Any]:
    """The bundle; where no checkpoint covers the rows yet, the running gateway is asked for one."""
    from gateway.bundling import Uncovered, bundle
    from gateway.cli.talk import Unreachable, ask
    from gateway.reading import find_call, reading

    with reading(state) as db:
        found = find_call(db, prefix)
        if len(found) != 1:
            from gateway.cli.completion import near  # imported late: only a wrong id needs it

            several = f"`{prefix}` is the beginning of several ids: give more of it"
            fail(FINDINGS, several if found else f"unknown id `{prefix}`{near('explain id', prefix, config)}")
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
