"""Read one table of a TOML file key by key, collecting every problem with its place. No I/O here.

A wrong value never raises: it is noted, and the default stands in for it until everything has been read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import TypeVar

import tomli

from gateway.core.locate import Path, locate
from gateway.core.model import Place
from gateway.core.problems import Problem, Severity, nearest

E = TypeVar("E", bound=Enum)

MAX_TEXT = 1024 * 1024  # characters of one file
WHOLE = "expected whole numbers of at most 64 bits"
_DIGITS = re.compile(r"\d(?:_?\d){1000}")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB)?")
_BYTES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def seconds(text: str) -> float | None:
    """Parse a duration such as `90s`, `10m`, `1.5h` into seconds; None if it is none."""
    found = _DURATION.fullmatch(text)
    return float(found[1]) * _SECONDS[found[2]] if found else None


def named(path: Path) -> str:
    """A path as it reads in a header: `rule 2` for the second entry of an array of tables."""
    text = ""
    for part in path:
        text += f" {part + 1}" if isinstance(part, int) else f".{part}" if text else part
    return text


class Document:
    """One parsed file: its tables, the lines of its keys, and the problems found so far."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Mapping[str, object] = {}
        self.readable = False
        self._text = text
        self._lines: Mapping[Path, int] | None = None
        if len(text) > MAX_TEXT:
            self.problem((), "", f"expected at most {MAX_TEXT} characters, found {len(text)}")
            return
        try:
            self.root = tomli.loads(text)
        except tomli.TOMLDecodeError as broken:
            self._lines = {(): broken.lineno}
            self.problem((), "", f"not valid TOML: {broken.msg} (column {broken.colno})")
        except RecursionError:
            self._lines = {(): 1}
            self.problem((), "", "expected a flat file, found tables nested too deep")
        except ValueError:  # a number with more digits than Python reads
            self._lines = {(): next((at for at, line in enumerate(text.split("\n"), 1) if _DIGITS.search(line)), 1)}
            self.problem((), "", WHOLE)
        else:
            self.readable = not self._beyond()

    def _beyond(self) -> bool:
        """Note the first whole number that TOML doesn't have: it has no other use, and may be too long to be shown."""
        todo: list[tuple[Path, object]] = [((), self.root)]
        while todo:
            path, value = todo.pop()
            match value:
                case dict() as table:
                    todo.extend(((*path, key), each) for key, each in reversed(table.items()))
                case list() as items:
                    todo.extend(((*path, at), items[at]) for at in range(len(items) - 1, -1, -1))
                case int() as number if not -(2**63) <= number < 2**63:
                    self.problem(path, "", WHOLE)
                    return True
        return False

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing round it."""
        if self._lines is None:
            self._lines = locate(self._text)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def problem(
        self,
        path: Path,
        key: str,
        message: str,
        found: str = "",
        near: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem with `key` of the table at `path`."""
        line = self.line((*path, key) if key else path)
        self.problems.append(Problem(self.file, line, named(path), key, found, message, near, severity))

    def section(self) -> "Section":
        """The top of the file."""
        return Section(self, (), self.root)


class Section:
    """One table, read key by key; `close` reports the keys that nobody asked for."""

    def __init__(self, document: Document, path: Path, data: Mapping[str, object]) -> None:
        self.document = document
        self.path = path
        self._data = data
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._data

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that the user wrote, in order."""
        return tuple(self._data)

    @property
    def place(self) -> Place:
        """Where the table stands."""
        return Place(self.document.file, self.document.line(self.path))

    def problem(self, key: str, message: str, found: str = "", near: str = "") -> None:
        """Note an error with a key of this table."""
        self.document.problem(self.path, key, message, found, near)

    def warn(self, key: str, message: str, found: str = "") -> None:
        """Note a warning with a key of this table."""
        self.document.problem(self.path, key, message, found, severity=Severity.WARNING)

    def raw(self, key: str) -> object:
        """The value as TOML has it, or None."""
        self._known.append(key)
        return self._data.get(key)

    def wrong(self, key: str, expected: str, value: object) -> None:
        """Note a value of another type or shape than expected."""
        found = _show(value)
        self.problem(key, f"expected {expected}, found {found}", found)

    def required(self, key: str, expected: str) -> None:
        """Note a key that is missing."""
        self.document.problem(self.path, key, f"missing: expected {expected}")

    def text(self, key: str, default: str = "", pattern: str = "", expected: str = "a text") -> str:
        """A text, not empty, that matches `pattern` whole."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value or (pattern and not re.fullmatch(pattern, value)):
            self.wrong(key, expected, value)
            return default
        return value

    def texts(self, key: str, expected: str = "a list of texts", single: bool = False) -> tuple[str, ...]:
        """A list of texts; with `single` also one text alone."""
        value = self.raw(key)
        if value is None:
            return ()
        items = [value] if single and isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
            self.wrong(key, expected, value)
            return ()
        return tuple(items)

    def choice(self, key: str, choices: type[E], default: E) -> E:
        """One word of an enum."""
        value = self.raw(key)
        if value is None:
            return default
        words = [str(member.value) for member in choices]
        if not isinstance(value, str) or value not in words:
            near = nearest(value, words) if isinstance(value, str) else ""
            self.problem(key, f"expected one of {', '.join(words)}, found {_show(value)}", _show(value), near)
            return default
        return choices(value)

    def word(self, key: str, words: Sequence[str], default: str) -> str:
        """One of a few words that no enum holds."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in words:
            near = nearest(value, words) if isinstance(value, str) else ""
            self.problem(key, f"expected one of {', '.join(words)}, found {_show(value)}", _show(value), near)
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.wrong(key, "true or false", value)
        return default

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(key, f"a whole number from {low} to {high}", value)
            return default
        return value

    def duration(self, key: str, default: float, low: float, high: float) -> float:
        """A duration such as `60s` or `10m`, in seconds from `low` to `high`."""
        value = self.raw(key)
        if value is None:
            return default
        parsed = seconds(value) if isinstance(value, str) else None
        if parsed is None or not low <= parsed <= high:
            self.wrong(key, f"a duration such as `60s` or `10m` from {low:g}s to {high:g}s", value)
            return default
        return parsed

    def size(self, key: str, default: int, low: int, high: int) -> int:
        """A size such as `16MiB`, in bytes from `low` to `high`."""
        value = self.raw(key)
        if value is None:
            return default
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        parsed = int(found[1]) * _BYTES[found[2] or ""] if found else -1
        if not low <= parsed <= high:
            self.wrong(key, f"a size such as `16MiB` from {low} to {high} bytes", value)
            return default
        return parsed

    def day(self, key: str) -> date | None:
        """A date such as 2027-02-01, without quotes and time."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, datetime) or not isinstance(value, date):
            self.wrong(key, "a date such as 2027-02-01, without quotes", value)
            return None
        return value

    def mapping(self, key: str, expected: str) -> Mapping[str, str]:
        """A table of texts."""
        value = self.raw(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self.wrong(key, expected, value)
            return {}
        return value

    def section(self, key: str) -> "Section":
        """The table under `key`; an empty one where there is none."""
        value = self.raw(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, "a table", value)
        return Section(self.document, (*self.path, key), value if isinstance(value, dict) else {})

    def each(self, key: str) -> Iterator["Section"]:
        """The entries of an array of tables, in order."""
        value = self.raw(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
            self.wrong(key, f"tables headed [[{key}]]", value)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield Section(self.document, (*self.path, key, index), item)

    def children(self) -> Iterator[tuple[str, "Section"]]:
        """The tables inside this one, by name."""
        for key, value in self._data.items():
            self._known.append(key)
            if isinstance(value, dict):
                yield key, Section(self.document, (*self.path, key), value)
            else:
                self.wrong(key, f"a table headed [{named((*self.path, key))}]", value)

    def close(self, also: Iterable[str] = ()) -> None:
        """Report every key that nobody asked for, with the nearest that somebody did."""
        names = [*self._known, *also]
        for key in self._data:
            if key not in names:
                self.problem(key, "unknown key", key, nearest(key, names))


def _show(value: object) -> str:
    """A value as the user wrote it, short, in backticks; never more than 60 characters of it."""
    match value:
        case bool():
            text = "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            text = str(value)
    return f"`{text[:60]}{'…' if len(text) > 60 else ''}`"
