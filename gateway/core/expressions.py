"""Check a CEL condition by its text, without the engine: names, functions, nesting, lists. No I/O here.

It knows only tokens and brackets; whether the text is valid CEL is for the engine to say.
"""

import re
from collections.abc import Collection, Mapping

from msgspec import Struct, field

from gateway.core.problems import nearest

MAX_LENGTH = 4096  # characters of one condition
MAX_DEPTH = 32  # brackets within brackets
FIELDS: Mapping[str, tuple[str, ...] | None] = {
    "args": None,
    "sinks": None,
    "tool": ("upstream", "name", "effect", "tier"),
    "principal": ("id", "known_by", "roles"),
    "client": ("name", "registered"),
    "session": ("tainted", "private", "calls_10m", "consequential"),
    "flow": ("unproven", "sources"),
    "now": None,
}
TYPES = ("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint")
FUNCTIONS = (
    "bytes",
    "double",
    "duration",
    "dyn",
    "has",
    "int",
    "listed",
    "size",
    "string",
    "timestamp",
    "type",
    "uint",
)
METHODS = (
    "contains", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours",
    "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "matches", "size", "startsWith",
)  # fmt: skip
MACROS = ("all", "exists", "exists_one", "filter")
_WORDS = ("true", "false", "null", "in")
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)"""
    r"""|(?P<text>[bB]?[rR]?(?:\"\"\".*?\"\"\"|'''.*?''')"""
    r"""|[bB]?[rR](?:"[^"\n]*"|'[^'\n]*')|[rR][bB](?:"[^"\n]*"|'[^'\n]*')"""
    r"""|[bB]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<number>\d[\w.]*(?:[eE][+-]?\d+)?)"""
    r"""|(?P<sign>&&|\|\||==|!=|<=|>=|.)""",
    re.DOTALL,
)
CLOSERS = {")": "(", "]": "[", "}": "{"}
OPENERS = tuple(CLOSERS.values())


class Token(Struct, frozen=True):
    """A piece of a condition: text | name | number | sign."""

    kind: str
    text: str


class Reading(Struct):
    """What a condition reads, and what is wrong with it: (message, nearest) each."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    arguments: set[str] = field(default_factory=set)  # `args.NAME` and `args["NAME"]`, more of them than `has`
    names: set[str] = field(default_factory=set)  # variables
    lists: set[str] = field(default_factory=set)
    each: bool = False  # a macro goes over all `sinks`
    computed: bool = False  # it reads arguments otherwise than by a name that stands there
    nested: bool = False  # one macro stands inside another


class _Frame(Struct):
    opening: str
    call: str = ""
    macro: str = ""
    bound: str = ""


def tokens(text: str) -> tuple[Token, ...]:
    """Cut a condition into tokens, without blanks and comments."""
    found = ((match.lastgroup or "", match.group()) for match in _TOKEN.finditer(text))
    return tuple(Token(kind, piece) for kind, piece in found if kind != "space")


def read(text: str, lists: Collection[str]) -> Reading:
    """Read one condition; `lists` are the names that `listed` may use."""
    reading = Reading()
    if len(text) > MAX_LENGTH:
        reading.problems.append((f"expected at most {MAX_LENGTH} characters, found {len(text)}", ""))
        return reading
    _Reader(tokens(text), lists, reading).run()
    return reading


class _Reader:
    def __init__(self, pieces: tuple[Token, ...], lists: Collection[str], reading: Reading) -> None:
        self._pieces = pieces
        self._lists = lists
        self._reading = reading
        self._frames: list[_Frame] = []
        self._at = 0

    def run(self) -> None:
        for at, token in enumerate(self._pieces):
            self._at = at
            if token.kind == "name":
                self._name(token.text)
            elif token.text in OPENERS:
                self._open(token.text)
            elif token.text in CLOSERS:
                self._shut(CLOSERS[token.text])

    def _problem(self, message: str, near: str = "") -> None:
        self._reading.problems.append((message, near))

    def _peek(self, offset: int) -> Token:
        place = self._at + offset
        return self._pieces[place] if 0 <= place < len(self._pieces) else Token("end", "")

    def _name(self, name: str) -> None:
        called = self._peek(1).text == "("
        if self._peek(-1).text == ".":
            if called and name not in METHODS and name not in MACROS:
                self._unknown("function", name, (*METHODS, *MACROS))
        elif called:
            if name == "listed":
                self._listed()
            elif name not in FUNCTIONS:
                self._unknown("function", name, FUNCTIONS)
        elif name not in _WORDS and name not in TYPES and not any(frame.bound == name for frame in self._frames):
            self._variable(name)

    def _unknown(self, what: str, name: str, names: Collection[str]) -> None:
        if name == "map":
            self._problem("macro `map` copies its list at each step; use all, exists, exists_one or filter")
        else:
            self._problem(f"unknown {what} `{name}`", nearest(name, names))

    def _variable(self, name: str) -> None:
        if name not in FIELDS:
            self._unknown("variable", name, FIELDS)
            return
        self._reading.names.add(name)
        key = self._key()
        fields = FIELDS[name]
        if name == "args":
            self._argument(key)
        elif name == "sinks":
            after = [self._peek(offset).text for offset in (1, 2, 3)]
            self._reading.each |= after[0] == "." and after[1] in MACROS and after[2] == "("
        elif fields is not None and key and key not in fields:
            self._problem(f"unknown field `{name}.{key}`", nearest(key, fields))

    def _argument(self, key: str) -> None:
        """Note what is read of `args`. That an argument is there says nothing of its value; that it isn't says all."""
        read = True
        if self._peek(-1).text == "in" and self._peek(-2).kind == "text" and self._peek(1).text not in (".", "["):
            key = _plain(self._peek(-2).text)
            read = self._peek(-3).text == "(" and self._peek(-4).text == "!"
        elif self._peek(-1).text == "(" and self._peek(-2).text == "has":
            read = self._peek(-3).text == "!"
        if not key or "\\" in key:
            self._reading.computed = True
        elif read:
            self._reading.arguments.add(key)

    def _key(self) -> str:
        """The field that is read of the variable here: `.key`, `["key"]`, or an empty string."""
        if self._peek(1).text == "." and self._peek(3).text != "(":
            return self._peek(2).text
        if self._peek(1).text == "[" and self._peek(2).kind == "text" and self._peek(3).text == "]":
            return _plain(self._peek(2).text)
        return ""

    def _listed(self) -> None:
        parts = _arguments(self._pieces, self._at + 1)
        if len(parts) != 2 or len(parts[1]) != 1 or parts[1][0].kind != "text":
            self._problem('expected `listed(value, "list")`')
            return
        name = _plain(parts[1][0].text)
        self._reading.lists.add(name)
        if name not in self._lists:
            self._problem(f"unknown list `{name}`", nearest(name, self._lists))

    def _open(self, opening: str) -> None:
        frame = _Frame(opening)
        before = self._peek(-1)
        if opening == "(" and before.kind == "name":
            frame.call = before.text
            if before.text in MACROS and self._peek(-2).text == ".":
                frame.macro, frame.bound = before.text, self._peek(1).text
                self._nest(frame.macro)
        self._frames.append(frame)
        if len(self._frames) == MAX_DEPTH + 1:
            self._problem(f"expected at most {MAX_DEPTH} brackets within brackets")

    def _nest(self, macro: str) -> None:
        outer = [frame.macro for frame in self._frames if frame.macro]
        self._reading.nested = self._reading.nested or bool(outer)
        if len(outer) > 1:
            self._problem("macros nest one deep: expected at most one inside another")
        elif outer and macro == "filter":
            self._problem("expected no `filter` inside another macro: it copies its list")

    def _shut(self, opening: str) -> None:
        if self._frames and self._frames[-1].opening == opening:  # the engine tells of brackets that don't match
            self._frames.pop()


def receiver(pieces: tuple[Token, ...], dot: int) -> tuple[Token, ...]:
    """What stands before the dot of a method call, as far back as names, dots and subscripts reach."""
    depth, start = 0, dot
    while start > 0:
        token = pieces[start - 1]
        depth += (token.text in CLOSERS) - (token.text in OPENERS)
        ends = token.text == "in" or (token.kind == "sign" and token.text not in (".", *OPENERS))
        if depth < 0 or (depth == 0 and ends):
            break
        start -= 1
    return pieces[start:dot]


def _arguments(pieces: tuple[Token, ...], opening: int) -> list[list[Token]]:
    """The arguments of the call whose bracket opens at `opening`."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in pieces[opening:]:
        depth += (token.text in OPENERS) - (token.text in CLOSERS)
        if depth == 0:
            break
        if depth == 1 and token.text == ",":
            parts.append([])
        elif parts[-1] or token is not pieces[opening]:
            parts[-1].append(token)
    return parts


def _plain(text: str) -> str:
    """The inside of a text token whose escapes do not matter here."""
    return text.strip("\"'") if text[0] in "\"'" else text[1:].strip("\"'")
