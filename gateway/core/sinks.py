"""Where a call's effect lands: sink values in one canonical form by kind, and lists that values are looked up in.

Values in, values out. What does not parse as exactly one of its kind is marked, and then is in no list.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from gateway.core.model import SinkKind, Tier, Tool

UNPARSED = "\x00"  # first character of a sink value that is none of its kind; no list value can hold it
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"\d+|0x[0-9a-f]*")
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f,;:<>@/()\\\"\[\]]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def folded(text: str) -> str:
    """The form in which list values are compared: NFKC and casefolded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class ValueList(Struct, frozen=True):
    """A list of the policy: whole values, and patterns whose `*` crosses no white space and none of `, ; < > @ /`."""

    exact: frozenset[str]
    pattern: re.Pattern[str] | None
    wild: tuple[str, ...] = ()  # the values with a `*`, as they stand there

    @property
    def values(self) -> tuple[str, ...]:
        """All values, folded: whole ones first."""
        return (*sorted(self.exact), *self.wild)

    @classmethod
    def of(cls, values: Iterable[str]) -> "ValueList":
        """Fold the values once."""
        forms = {folded(value) for value in values}
        wild = sorted(form for form in forms if "*" in form)
        parts = (
            "".join(r"[^\s,;<>@/\x00-\x1f\x7f]*" if char == "*" else re.escape(char) for char in form) for form in wild
        )
        pattern = re.compile("|".join(parts)) if wild else None
        return cls(frozenset(forms.difference(wild)), pattern, tuple(wild))

    def holds(self, value: str) -> bool:
        """Whether a whole value is in the list."""
        form = folded(value)
        return form in self.exact or (self.pattern is not None and self.pattern.fullmatch(form) is not None)


def canonical_sink(kind: SinkKind, text: str) -> str | None:
    """The one form of a value of this kind, or None if it is not exactly one."""
    text = unicodedata.normalize("NFKC", text).strip()
    if kind is SinkKind.TEXT:
        return text or None
    if not text or any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in text):
        return None
    return _FORMS[kind](text)


class Sink(NamedTuple):
    """One value where a call's effect lands: its top-level argument, the keys and places in it, its kind, its text."""

    argument: str
    path: tuple[str | int, ...]
    kind: SinkKind
    leaf: str

    @property
    def value(self) -> str:
        """The value, canonical by kind; what is none of its kind starts with `UNPARSED`."""
        form = canonical_sink(self.kind, self.leaf)
        return UNPARSED + self.leaf if form is None else form


def sinks_of(tool: Tool, arguments: Mapping[str, object]) -> Iterator[Sink]:
    """Every value of a call where its effect lands.

    Above tier read, and of a read that fetches, every argument that is neither payload nor inert is one; keys inside an
    argument count as values.
    """
    labels = tool.labels
    free = {*labels.payload, *labels.inert}
    reads = tool.tier is Tier.READ and not labels.fetches
    for name, value in arguments.items():
        kind = labels.sinks.get(name) if labels.sinks is not None else SinkKind.TEXT
        if kind is None:
            if name in free or reads:
                continue
            kind = SinkKind.TEXT
        for path, leaf in leaves(value, (name,)):
            yield Sink(name, path, kind, leaf)


def sink_values(tool: Tool, arguments: Mapping[str, object]) -> tuple[str, ...]:
    """Every sink value of a call, flattened, canonical by kind; what is none of its kind starts with `UNPARSED`."""
    return tuple(sink.value for sink in sinks_of(tool, arguments))


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The values inside an argument as texts, each with where it stands, and the keys of tables; null is no value."""
    todo = [(path, value)]
    while todo:
        at, item = todo.pop()
        match item:
            case None:
                continue
            case str() as text:
                yield at, text
            case bool() as flag:
                yield at, "true" if flag else "false"
            case dict() as table:
                yield from (((*at, str(key)), str(key)) for key in table)
                todo.extend(((*at, str(key)), each) for key, each in reversed(table.items()))
            case list() | tuple() as items:
                todo.extend(((*at, place), items[place]) for place in range(len(items) - 1, -1, -1))
            case other:
                yield at, str(other)


def parsed(value: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """As `leaves`, for what somebody said: a text that is JSON is read as such, so that its escapes are none of its
    words.
    """
    for at, leaf in leaves(value):
        if leaf[:1] in ("{", "[") and leaf[-1:] in ("}", "]"):
            try:
                inner = msgspec.json.decode(leaf)
            except (msgspec.DecodeError, RecursionError):
                yield at, leaf
            else:
                yield from leaves(inner, at)
        else:
            yield at, leaf


def _host(text: str) -> str | None:
    name = text.casefold().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return None
    labels = name.split(".")
    if len(name) > 253 or _NUMERIC.fullmatch(labels[-1]) or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    return name


def _email(text: str) -> str | None:
    local, _, domain = text.rpartition("@")
    host = _host(domain)
    return f"{local.casefold()}@{host}" if host and _LOCAL.fullmatch(local) else None


def _url(text: str) -> str | None:
    if re.search(r"[\s\\]", text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = _host(parts.hostname or "")
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        return None
    path = _path(parts.path or "/")
    if path is None or re.search(r"%(?:2e|2f|5c)", path, re.IGNORECASE):
        return None
    shown = f"[{host}]" if ":" in host else host
    place = shown if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{shown}:{port}"
    return f"{parts.scheme}://{place}{path}{'?' + parts.query if parts.query else ''}"


def _path(text: str) -> str | None:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\\" in text:
        return None
    start = "/" if text.startswith("/") else ""
    return start + "/".join(parts) or "."


def _account(text: str) -> str | None:
    form = re.sub(r"[ -]", "", text).upper()
    return form if re.fullmatch(r"[A-Z0-9]{4,34}", form) else None


def _amount(text: str) -> str | None:
    try:
        number = Decimal(text) if re.fullmatch(r"[+-]?[0-9.eE+-]{1,40}", text) else None
    except InvalidOperation:
        return None
    if number is None or not number.is_finite() or abs(number.adjusted()) > 40:
        return None
    return f"{number.normalize():f}" if number else "0"


def _id(text: str) -> str | None:
    return None if re.search(r"[\s,;]", text) else text


_FORMS: Mapping[SinkKind, Callable[[str], str | None]] = {
    SinkKind.EMAIL: _email,
    SinkKind.URL: _url,
    SinkKind.HOST: _host,
    SinkKind.PATH: _path,
    SinkKind.ACCOUNT: _account,
    SinkKind.AMOUNT: _amount,
    SinkKind.ID: _id,
}
