"""What commands share: options, exit codes, the shape of `--json`. Light: the standard library and our paths only."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

FINE, FINDINGS, USAGE, UNREACHABLE = 0, 1, 2, 3


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """The options that every command takes; exit code 2 for wrong ones."""
    made = argparse.ArgumentParser(prog=f"wardgate {name}", description=about, allow_abbrev=False)
    made.add_argument("--config", metavar="PATH", help="upstreams.toml, or the folder that holds it")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def state_dir(config: str | None) -> Path:
    """The state folder that the configuration names; ends the command with exit code 1 where it can't be read."""
    from gateway.place import config_file, state_folder  # imported late: `--help` needs neither

    path = config_file(config, os.environ)
    try:
        return state_folder(path)
    except OSError as problem:
        fail(FINDINGS, f"configuration `{path}` can't be read: {problem.strerror}")
    except ValueError as problem:
        fail(FINDINGS, f"configuration `{path}` can't be read: {problem}")


def moment_of(options: argparse.ArgumentParser, name: str, text: str) -> datetime:
    """The time that the option `--NAME` gives; ends the command with exit code 2 where it gives none."""
    from gateway.core.query import moment  # imported late: few ask for times

    try:
        return moment(text, datetime.now(UTC))
    except ValueError as problem:
        options.error(f"--{name}: {problem}")


def print_json(items: Sequence[Mapping[str, Any]], next: str | None = None) -> None:
    """Print the one object of `--json`."""
    print(json.dumps({"schema": 1, "items": list(items), "next": next}, ensure_ascii=False))


def fail(code: int, message: str) -> NoReturn:
    """Say on standard error what is wrong, and end the command."""
    print(f"wardgate: {message}", file=sys.stderr)
    raise SystemExit(code)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, each column as wide as its widest cell."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
