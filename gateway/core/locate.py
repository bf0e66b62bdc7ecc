"""Find the line of every table and key in a TOML text. No I/O here, and no validation.

The text was parsed by a real parser before: this scanner only has to follow it, so it is lenient.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping

import tomli

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))[ \t]*""")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL)
_BARE = re.compile(r"[^\s,\]}#]+(?: \d[^\s,\]}#]*)?")


def locate(text: str) -> Mapping[Path, int]:
    """Lines (from 1) by path, such as `("upstreams", "files", "command")`; entries of arrays count from 0."""
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {(): 1}
        self._counts: dict[Path, int] = {}  # arrays of tables: how many entries so far

    def run(self) -> Mapping[Path, int]:
        table: Path = ()
        while self._blank() < len(self._text):
            before = self._at
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            if self._at == before:
                self._at += 1
        return self._lines

    def _blank(self) -> int:
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _note(self, path: Path, at: int) -> None:
        self._lines.setdefault(path, bisect_right(self._newlines, at - 1) + 1)

    def _keys(self) -> tuple[str, ...]:
        keys: list[str] = []
        while found := _KEY.match(self._text, self._at):
            quoted, literal, bare = found.groups()
            if quoted is not None:
                keys.append(tomli.loads(f'key = "{quoted}"')["key"] if "\\" in quoted else quoted)
            else:
                keys.append(bare if literal is None else literal)
            self._at = found.end()
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
        return tuple(keys)

    def _header(self) -> Path:
        start = self._at
        array = self._text.startswith("[[", start)
        self._at += 2 if array else 1
        keys = self._keys()
        self._at += 2 if array else 1
        path: Path = ()
        for place, key in enumerate(keys):
            path += (key,)
            if array and place == len(keys) - 1:
                self._counts[path] = self._counts.get(path, -1) + 1
            self._note(path, start)
            if path in self._counts:
                path += (self._counts[path],)
                self._note(path, start)
        return path

    def _pair(self, table: Path) -> None:
        start = self._at
        path = table
        for key in self._keys():
            path += (key,)
            self._note(path, start)
        if self._text.startswith("=", self._at):
            self._at += 1
            self._blank()
            self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._text[self._at : self._at + 1]
        if opening in ("[", "{"):
            self._inside(path, "]" if opening == "[" else "}")
            return
        pattern = _STRING if opening in ('"', "'") else _BARE
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at + 1

    def _inside(self, path: Path, closing: str) -> None:
        self._at += 1
        index = 0
        while self._blank() < len(self._text) and not self._text.startswith(closing, self._at):
            before = self._at
            if closing == "]":
                self._note((*path, index), self._at)
                self._value((*path, index))
            else:
                self._pair(path)
            self._blank()
            if self._text.startswith(",", self._at):
                self._at += 1
                index += 1
            elif self._at == before:
                self._at += 1
        self._at += 1
