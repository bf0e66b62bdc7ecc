"""JSON with comments, edited where it stands: what an edit doesn't speak of stays byte for byte. No I/O here.

Comments and trailing commas are blanked in a copy of equal length. That is plain JSON for the standard library's own
parser, and every position in it is one of the text.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.clients.documents import Path, value_at
from gateway.errors import ConfigurationError

# A string or comment without an end goes to the end of the text: looking for its end again from every next sign would
# take the square of a text's length.
_STRING = r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)'
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TRAILING = re.compile(rf"{_STRING}|,(?=[ \t\r\n]*[}}\]])", re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile(r"[ \t]*(?:\r?\n|\Z)")
_TO_LINE_END = re.compile(r"[ \t]*(?:/\*(?:(?!\*/)[^\r\n])*\*/[ \t]*)*(?://[^\r\n]*)?(?=\r?\n)")
_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)
_value_at = json.JSONDecoder().raw_decode


class _Member(NamedTuple):
    """One member of an object: where its key starts, where its value starts and ends."""

    key: str
    start: int
    value: int
    end: int


class _Layout(NamedTuple):
    """How the members of an object are written: each on a line of its own (`lines`), or all on one."""

    lines: bool
    own: str  # indentation of the line that the object starts on
    indent: str  # of its members
    unit: str
    newline: str

    def write(self, value: Any) -> str:
        if not self.lines:
            return json.dumps(value, ensure_ascii=False)
        text = json.dumps(value, ensure_ascii=False, indent=self.unit)
        return text.replace("\n", self.newline + self.indent)


class JsonDocument:
    """One text, read anew after every edit: edits are few."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self._name = text, name
        self._read()

    def get(self, path: Path) -> Any:
        """The plain value at a path, None where there is none."""
        return value_at(self._plain, path)

    def has(self, path: Path) -> bool:
        """Whether there is a value at a path, be it null."""
        if not path:
            return self._plain is not None
        table = self.get(path[:-1])
        return isinstance(table, dict) and path[-1] in table

    def set(self, path: Path, value: Any) -> None:
        """Put a value at a path, making the tables that lead there."""
        if self._plain is None:
            line = "\n" if self.text and not self.text.endswith("\n") else ""  # not behind a comment
            self._put(len(self.text), len(self.text), f"{line}{{}}\n")
        if not path:
            return
        if len(path) > 1 and not self.has(path[:-1]):
            self.set(path[:-1], {path[-1]: value})
            return
        start = self._object(path[:-1])
        layout = self._layout(start)
        if self.has(path):
            member = self._member(path)
            self._put(member.value, member.end, layout.write(value))
        else:
            self._add(start, layout, f"{json.dumps(path[-1])}: {layout.write(value)}")

    def copy(self, path: Path) -> str:
        """The text of a member that is there, its key too, for `put_back`."""
        member = self._member(path)
        return self.text[member.start : member.end]

    def put_back(self, path: Path, text: str) -> None:
        """Put a member's text back: in the place of what stands there, or into its table as the last one."""
        if self.has(path):
            member = self._member(path)
            self._put(member.start, member.end, text)
            return
        if not self.has(path[:-1]):
            self.set(path[:-1], {})
        start = self._object(path[:-1])
        self._add(start, self._layout(start), text)

    def remove(self, path: Path) -> None:
        """Take a member out with its comma, and the line that it leaves empty; comments beside it stay."""
        start = self._object(path[:-1])
        members = list(self._members(start))
        at = members.index(self._member(path))
        gone = members[at]
        after = members[at + 1].start if at + 1 < len(members) else self._close(start)
        comma = self._uncommented.find(",", gone.end, after)
        if comma >= 0:
            self._drop(gone.start, gone.end, comma)
        elif at == 0:
            self._drop(gone.start, gone.end)
        else:
            before = self._uncommented.index(",", members[at - 1].end, gone.start)
            if self.text[before + 1 : gone.start].strip():
                self._drop(gone.start, gone.end)
                self._put(before, before + 1, "")
            else:
                self._put(before, gone.end, "")

    def _read(self) -> None:
        self._uncommented = self._strict = " " + self.text[1:] if self.text.startswith("\ufeff") else self.text
        self._plain: Any = None
        try:
            self._plain = json.loads(self._strict)  # as most are, and fast
        except (ValueError, RecursionError):
            self._uncommented = _COMMENT.sub(self._blanked, self._strict)
            self._strict = _TRAILING.sub(lambda found: " " if found[0] == "," else found[0], self._uncommented)
            if not self._strict.strip():
                return
            self._plain = self._parsed()
        if not isinstance(self._plain, dict):
            raise ConfigurationError(f"`{self._name}` line 1: expected an object `{{ }}` of settings")

    def _parsed(self) -> Any:
        try:
            return json.loads(self._strict)
        except json.JSONDecodeError as problem:
            raise self._no_json(problem.pos) from None
        except (ValueError, RecursionError):
            raise ConfigurationError(
                f"`{self._name}` holds a number or a nesting that is too long to be read"
            ) from None

    def _blanked(self, found: "re.Match[str]") -> str:
        said = found[0]
        if said.startswith("/*") and (len(said) < 4 or not said.endswith("*/")):
            raise self._no_json(found.start())
        return said if said.startswith('"') else re.sub(r"[^\r\n]", " ", said)

    def _no_json(self, at: int) -> ConfigurationError:
        line, column = self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)
        return ConfigurationError(f"`{self._name}` line {line}, column {column}: this is no JSON: mend it there")

    def _put(self, start: int, end: int, new: str) -> None:
        self.text = self.text[:start] + new + self.text[end:]
        self._read()

    def _drop(self, start: int, end: int, comma: int = -1) -> None:
        """Delete a member and the comma after it, and its lines where nothing else stands on them."""
        between = self.text[end:comma] if comma >= 0 else ""
        kept, end = (between.strip(), comma + 1) if comma >= 0 else ("", end)  # a comment before the comma
        line = self.text.rfind("\n", 0, start) + 1
        rest = _LINE_END.match(self.text, end)
        if not kept and rest is not None and not self.text[line:start].strip(" \t"):
            self._put(line, rest.end(), "")
        else:
            spaces = len(self.text[end:]) - len(self.text[end:].lstrip(" \t"))
            self._put(start, end + spaces, between if kept else "")

    def _add(self, start: int, layout: _Layout, member: str) -> None:
        close, members = self._close(start), list(self._members(start))
        new = layout.newline + layout.indent + member if layout.lines else member
        if not members:
            inside = self.text[start + 1 : close]
            if inside.strip():  # comments: behind the last of them
                place = start + 1 + len(inside.rstrip())
                self._put(place, place, new)
            else:
                self._put(start + 1, close, new + layout.newline + layout.own if layout.lines else new)
            return
        last = members[-1].end
        comma = self._uncommented.find(",", last, close)
        at = last if comma < 0 else comma + 1
        if not layout.lines:
            self._put(at, at, f", {new}" if comma < 0 else f" {new},")
            return
        rest = _TO_LINE_END.match(self.text, at)
        place = rest.end() if rest is not None else at
        new = ("," if comma < 0 else "") + self.text[at:place] + new + ("" if comma < 0 else ",")
        self._put(at, place, new)

    def _layout(self, start: int) -> _Layout:
        newline = "\r\n" if "\r\n" in self.text else "\n"
        first = next(self._members(start), None)
        found = _INDENT.search(self.text)
        unit = "  " if found is None else "\t" if found[1].startswith("\t") else found[1]
        own = _indentation(self.text, start)
        if first is None:
            lines = "\n" in self.text
            return _Layout(lines, own, own + unit, unit, newline)
        line = self.text.rfind("\n", 0, first.start) + 1
        indent = self.text[line : first.start]
        if line <= start or indent.strip(" \t"):
            return _Layout(False, own, own, unit, newline)
        step = indent.removeprefix(own) if indent.startswith(own) else ""
        return _Layout(True, own, indent, step or unit, newline)

    def _members(self, start: int) -> Iterator[_Member]:
        text = self._strict
        at = _blank(text, start + 1)
        while text[at] != "}":
            key, after = _value_at(text, at)
            value = _blank(text, _blank(text, after) + 1)  # past the colon
            _, end = _value_at(text, value)
            yield _Member(key, at, value, end)
            at = _blank(text, end)
            at = _blank(text, at + 1) if text[at] == "," else at

    def _member(self, path: Path) -> _Member:
        found = [each for each in self._members(self._object(path[:-1])) if each.key == path[-1]]
        if len(found) > 1:
            line = self.text.count("\n", 0, found[1].start) + 1
            raise ConfigurationError(f"`{self._name}` line {line}: `{path[-1]}` stands there twice: leave one of them")
        return found[0]

    def _object(self, path: Path) -> int:
        """Where the object at a path starts."""
        start = _blank(self._strict, 0)
        for depth in range(len(path)):
            start = self._member(path[: depth + 1]).value
            if self._strict[start] != "{":
                line = self.text.count("\n", 0, start) + 1
                raise ConfigurationError(f"`{self._name}` line {line}: expected an object `{{ }}` as `{path[depth]}`")
        return start

    def _close(self, start: int) -> int:
        return _value_at(self._strict, start)[1] - 1


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found is not None else at


def _indentation(text: str, at: int) -> str:
    line = text.rfind("\n", 0, at) + 1
    return text[line : len(text) - len(text[line:].lstrip(" \t"))]
