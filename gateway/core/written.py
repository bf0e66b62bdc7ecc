"""What a tainted session writes, by the forms in which it is met again: ids, paths, keys, channels, content. No I/O.

A form is a text; who keeps it keeps a keyed digest of it. What is met again stays untrusted, whoever reads it. Names
and ids are of their upstream; paths with folders, lines of content and links are met anywhere.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from gateway.core.flow import ENDS, links
from gateway.core.model import SinkKind, Tool
from gateway.core.sinks import canonical_sink, leaves, parsed

SHORTEST, SHORTEST_LINE, LONGEST = 4, 24, 512  # characters of a form; a longer line counts by its beginning
SHORT_LINE = 8  # words of a line that may be an entry of a listing
MOST_LINKED = 256 * 1024  # characters of what a call writes in which links are looked for
MOST_FORMS = 400  # of one call
MOST_RESULT = 16 * 1024  # characters of the texts of a write's result in which ids are looked for
MOST_READ = 4 * 1024 * 1024  # characters of an output that are looked at; a longer one that is read has met a form

_NAMES = frozenset({SinkKind.ID, SinkKind.PATH, SinkKind.URL})  # kinds that name an object
_APART = str.maketrans(dict.fromkeys("\"'`<>()[]{},;|=\n\r\t", " "))
_PLAIN = re.compile(
    r"\d{1,3}|\d*[.,:/+-][\d.,:/+-]*|\d{4}-\d\d-\d\d(?:[T ].*)?|\d\d:\d\d.*|true|false|null|none", re.IGNORECASE
)
_KEYED = re.compile(
    r"(?:^|_|-)(?:id|uuid|key|path|uri|url|ref|sha|slug|channel|name|number|thread|ts)s?$|Id$|Key$", re.ASCII
)


def written(tool: Tool, arguments: Mapping[str, Any], links_too: Iterable[str] = ()) -> list[str]:
    """The forms of what a call above tier read writes, and of where: of `MOST_FORMS` what the objects are called comes
    first, and more of that than fits makes all of the upstream met. `links_too` are links, addresses and account
    numbers in it that nothing proves, canonical by kind.
    """
    labels, of = tool.labels, tool.ref.upstream
    names, lines = dict[str, None](), dict[str, None]()
    for name, value in arguments.items():
        kind = labels.sinks.get(name) if labels.sinks is not None else None
        if name in labels.inert or (kind is not None and kind not in _NAMES and kind is not SinkKind.TEXT):
            continue
        called = kind in _NAMES or (kind is None and name not in labels.payload and _KEYED.search(name))
        for _, leaf in leaves(value):
            if called:
                names |= dict.fromkeys(_named(leaf, kind or SinkKind.ID, of))
            lines |= dict.fromkeys(_lines(leaf))
    if len(names) > MOST_FORMS:
        return [f"all {of}", *islice(names, MOST_FORMS - 1)]
    unproven = (f"link {_folded(link)}" for link in links_too)
    return list(islice(dict.fromkeys(chain(names, unproven, lines)), MOST_FORMS))


def unproven_links(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[tuple[SinkKind, str, str]]:
    """The links, addresses and account numbers in what a call writes: kind, canonical, and as it stands there; in its
    first `MOST_LINKED` characters.
    """
    left = MOST_LINKED
    for name, value in arguments.items():
        for _, leaf in leaves(value) if name not in tool.labels.inert else ():
            found = links(leaf[: max(left, 0)])
            left -= len(leaf)
            yield from ((kind, form, link) for kind, link in found if (form := canonical_sink(kind, link)))


def made(upstream: str, value: Any) -> list[str]:
    """The forms of what the result of a write says that it made: values of keys that name objects, and what looks like
    an id in its texts.
    """
    found, size, left = dict[str, None](), 0, MOST_RESULT
    for path, leaf in parsed(value):
        size += len(leaf)
        if size > MOST_READ or len(found) >= MOST_FORMS:
            break
        if path and leaf == path[-1]:  # a key, and no value
            continue
        key = next((str(key) for key in reversed(path) if isinstance(key, str)), "")
        if key and _KEYED.search(key):
            found |= dict.fromkeys(_named(leaf, SinkKind.ID, upstream))
        elif not key or key == "text":
            text, left = leaf[:left], max(left - len(leaf), 0)
            for token in text.translate(_APART).split():
                if any(map(str.isdigit, token)) and len(token) >= SHORTEST + 2:
                    found |= dict.fromkeys(_named(token, SinkKind.ID, upstream))
    return list(found)


def met(upstream: str, arguments: Mapping[str, Any], value: Any) -> set[str] | None:
    """The forms that a call's arguments and output hold; None where there is more than is looked at."""
    found, size = {f"all {upstream}"}, 0
    for _, leaf in leaves(arguments):
        found |= {*_named(leaf, SinkKind.PATH, upstream), *_lines(leaf)}
    for _, leaf in parsed(value):
        size += len(leaf)
        if size > MOST_READ:
            return None
        found |= {*_lines(leaf), *_named(leaf, SinkKind.PATH, upstream)}
        for line in _folded(leaf).splitlines():
            tokens = line.translate(_APART).split()
            for token in tokens:
                form = token.rstrip(ENDS)
                found |= {f"path {form}"} if "/" in form else {f"name {upstream} {form}"}
            # An entry of a listing is short, or ends with its name.
            for token in tokens if len(tokens) <= SHORT_LINE else tokens[-1:]:
                found.add(f"entry {upstream} {token.rstrip('/')}")
        found |= {f"link {_folded(canonical_sink(kind, link) or link)}" for kind, link in links(leaf)}
    return found


def _named(leaf: str, kind: SinkKind | None, upstream: str) -> Iterator[str]:
    """The forms of a name: as it stands, canonical, and the last part of a path."""
    for text in {leaf, (canonical_sink(kind, leaf) if kind is not None else None) or leaf}:
        form = _folded(text).strip().rstrip(ENDS)[:LONGEST]
        last = form.rstrip("/").rpartition("/")[2]
        if len(form) >= SHORTEST and not _PLAIN.fullmatch(form):
            yield f"path {form}" if "/" in form else f"name {upstream} {form}"
        if len(last) >= SHORTEST and not _PLAIN.fullmatch(last):
            yield f"entry {upstream} {last}"


def _lines(leaf: str) -> Iterator[str]:
    """The lines of a text that are long enough to be told apart."""
    for line in _folded(leaf).splitlines():
        form = " ".join(line.split())
        if len(form) >= SHORTEST_LINE and not _PLAIN.fullmatch(form):
            yield f"line {form[:LONGEST]}"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
