"""What commands share: options, exit codes, the shape of `--json`. Light: the standard library and our paths only."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from gateway.cli.options import Options, shown

if TYPE_CHECKING:
    from gateway.place import Place

FINE, FINDINGS, USAGE, UNREACHABLE = 0, 1, 2, 3
GAP, INDENT = "  ", "    "  # between two columns; before what goes on below
NARROWEST = 20  # columns in which a long cell can still be read
WORD = 32  # characters of a cell that is better left whole: a time, an id with a word


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """The options that every command takes; exit code 2 for wrong ones."""
    made = Options(prog=f"wardgate {name}", description=about, allow_abbrev=False)
    made.add_argument("--config", metavar="PATH", help="upstreams.toml, or the folder that holds it")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def state_dir(config: str | None) -> Path:
    """The state folder that the configuration names; ends the command with exit code 1 where it can't be read."""
    return place_of(config).folder


def place_of(config: str | None) -> "Place":
    """The same, with the id of the gateway that the configuration names."""
    from gateway.cli.talk import Unreachable, find_place  # imported late: `--help` needs neither

    try:
        return find_place(config)
    except Unreachable as problem:
        fail(problem.code, str(problem))


def moment_of(options: argparse.ArgumentParser, name: str, text: str) -> datetime:
    """The time that the option `--NAME` gives; ends the command with exit code 2 where it gives none."""
    from gateway.core.query import moment  # imported late: few ask for times

    try:
        return moment(text, datetime.now(UTC))
    except ValueError as problem:
        options.error(f"--{name}: {problem}")


def print_json(items: Sequence[Mapping[str, Any]], next: str | None = None) -> None:
    """Print the one object of `--json`."""
    print(json_line({"schema": 1, "items": list(items), "next": next}))


def json_line(value: Any) -> str:
    """One line of JSON that moves no cursor: characters that are hidden, or turn what is shown, are escaped in it."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def fail(code: int, message: str) -> NoReturn:
    """Say on standard error what is wrong, and end the command."""
    print(f"wardgate: {shown(message)}", file=sys.stderr)
    raise SystemExit(code)


def at_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which can be drawn."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def columns() -> int | None:
    """How wide the terminal is that standard output is; None for anything else, where lines are as long as they are."""
    if not sys.stdout.isatty():
        return None
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, each column as wide as its widest cell; at a terminal no line is wider than that."""
    return "\n".join(line for lines in folded(rows, columns()) for line in lines)


def flowing(line: str) -> str:
    """A sentence for people; at a terminal it is broken between words, and goes on below its beginning."""
    width = columns()
    if width is None or len(line) <= width:
        return line
    from textwrap import wrap  # imported late: only a terminal needs it

    hang = " " * (len(line) - len(line.lstrip())) + INDENT
    return "\n".join(wrap(line, width, subsequent_indent=hang, break_on_hyphens=False))


def folded(rows: Sequence[Sequence[str]], width: int | None) -> list[list[str]]:
    """The lines of each row of a table that is no wider. What doesn't fit goes on below, and nothing is cut off: the
    longest cells where there is room for them, else the last columns.
    """
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    whole = sum(widths) + len(GAP) * (len(widths) - 1)
    if width is None or whole <= width:
        return [[_line(row, widths)] for row in rows]
    widest = widths.index(max(widths))
    room = width - (whole - widths[widest])
    if (widths[widest] > WORD and room >= NARROWEST) or len(widths) == 1:
        widths[widest] = max(room, 1)
        return [_broken(row, widths, widest) for row in rows]
    kept = max(
        count for count in range(1, len(widths)) if count == 1 or sum(widths[:count]) + len(GAP) * count <= width
    )
    first = folded([row[:kept] for row in rows], width)
    rest = folded([row[kept:] for row in rows], max(width - len(INDENT), len(INDENT) + 1))
    return [[*head, *(f"{INDENT}{line}" for line in tail)] for head, tail in zip(first, rest, strict=True)]


def _broken(row: Sequence[str], widths: Sequence[int], at: int) -> list[str]:
    """A row whose cell `at` goes on below itself."""
    # INVARIANT: what goes on never begins a line: no cell can look like a row.
    below = " " * sum(width + len(GAP) for width in widths[:at]) or INDENT
    first, rest = row[at][: widths[at]], row[at][widths[at] :]
    room = max(widths[at] - len(INDENT), 1) if at == 0 else widths[at]
    more = [f"{below}{rest[start : start + room]}" for start in range(0, len(rest), room)]
    return [_line([*row[:at], first, *row[at + 1 :]], widths), *more]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
