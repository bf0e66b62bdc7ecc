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
MOST_CUTS = 3  # places of a line, as `notes.txt:12:`, behind which a line that was written may begin
MOST_READ = 4 * 1024 * 1024  # characters of an output that are looked at; a longer one that is read has met a form

_NAMES = frozenset({SinkKind.ID, SinkKind.PATH, SinkKind.URL})  # kinds that name an object
_APART = str.maketrans(dict.fromkeys("\"'`<>()[]{},;|=\t", " "))
_PLAIN = re.compile(
    r"\d{1,3}|\d*[.,:/+-][\d.,:/+-]*|\d{4}-\d\d-\d\d(?:[T ].*)?|\d\d:\d\d.*|true|false|null|none", re.IGNORECASE
)
_FIGURES = re.compile(r"[\d.,:/+tz -]*")
_CUT = re.compile(r":(?:\d+:){0,2}|-\d+-")  # what tools set between a file, a place in it and its line
_LEAD = re.compile(  # what stands before a line in lists, quotes, diffs, and where lines are numbered
    r"(?:[\s>+<|*#=-]++|\d+(?:[:\t\u2192).-]| \|))*+"
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
    found, seen, size = {f"all {upstream}"}, _Seen(), 0
    for _, leaf in leaves(arguments):
        found.update(_named(leaf, SinkKind.PATH, upstream))
        for line in _folded(leaf).splitlines():
            seen.line(line)
    for _, leaf in parsed(value):
        size += len(leaf)
        if size > MOST_READ:
            return None
        found.update(_named(leaf, SinkKind.PATH, upstream))
        found |= {f"link {_folded(canonical_sink(kind, link) or link)}" for kind, link in links(leaf)}
        seen.look(_folded(leaf))
    return found | seen.forms(upstream)


class _Seen:
    """What a text shows: its lines, also behind the place where each stands in a file, its words, and what may be an
    entry of a listing.
    """

    def __init__(self) -> None:
        self.lines, self.words, self.entries = set[str](), set[str](), set[str]()

    def look(self, text: str) -> None:
        """Take all that stands in a text, which is folded."""
        for line, apart in zip(text.splitlines(), text.translate(_APART).splitlines(), strict=True):
            self.line(line)
            tokens = apart.split()
            self.words.update(tokens)
            # An entry is short, or ends with its name, or a place in it follows, and what stands there.
            self.entries.update(tokens if len(tokens) <= SHORT_LINE else tokens[-1:])
            if ":" in apart or "-" in apart:
                self.entries.update(set(_CUT.sub(" ", apart).split()).difference(tokens))

    def line(self, line: str) -> None:
        """Take a line, and what stands behind its first places."""
        if "\t" in line:
            self.lines.add(_spaced(_bare(line))[:LONGEST])
        form = _spaced(line)
        self._text(form)
        for number, cut in enumerate(islice(_CUT.finditer(form, 0, LONGEST), MOST_CUTS)):
            if not number or cut.end() - cut.start() > 1:
                self._name(form[: cut.start()])
            self._text(form[cut.end() :].lstrip())

    def _text(self, text: str) -> None:
        if len(text) < SHORTEST_LINE:
            self._name(text)
            return
        self.lines.add(text[:LONGEST])
        if not text[0].isalpha():
            self.lines.add(_bare(text)[:LONGEST])

    def _name(self, text: str) -> None:
        """Take what may be a name of several words; one that is as long as a line may count as one."""
        if " " in text:
            self.entries.add(text)
            self.lines |= {text, text.rpartition("/")[2]}

    def forms(self, upstream: str) -> set[str]:
        """The forms of all that."""
        words = {word.rstrip(ENDS) for word in self.words}
        names = {entry.rstrip("/").rpartition("/")[2] for entry in self.entries}
        return {
            *(f"path {word}" if "/" in word else f"name {upstream} {word}" for word in words if len(word) >= SHORTEST),
            *(f"path {entry}" for entry in self.entries if "/" in entry),
            *(f"entry {upstream} {name}" for name in names if len(name) >= SHORTEST),
            *(f"line {line}" for line in self.lines if len(line) >= SHORTEST_LINE),
        }


def _named(leaf: str, kind: SinkKind | None, upstream: str) -> Iterator[str]:
    """The forms of a name: as it stands, canonical, and the last part of a path."""
    for text in {leaf, (canonical_sink(kind, leaf) if kind is not None else None) or leaf}:
        form = _folded(text).strip().rstrip(ENDS)[:LONGEST]
        last = form.rstrip("/").rpartition("/")[2]
        if len(form) >= SHORTEST and not _PLAIN.fullmatch(form):
            yield f"path {form}" if "/" in form else f"name {upstream} {form}"
        if len(last) >= SHORTEST and not _PLAIN.fullmatch(last):
            yield f"entry {upstream} {last}"
            if " " in last and len(last) >= SHORTEST_LINE:  # a listing may show it as a line
                yield f"line {last}"


def _lines(leaf: str) -> Iterator[str]:
    """The lines of a text that are long enough to be told apart, without what stands before them."""
    for line in _folded(leaf).splitlines():
        whole, bare = _spaced(line), _spaced(_bare(line))
        form = bare if len(bare) >= SHORTEST_LINE else whole
        if len(form) >= SHORTEST_LINE and not _FIGURES.fullmatch(form):
            yield f"line {form[:LONGEST]}"


def _bare(line: str) -> str:
    return _LEAD.sub("", line, count=1)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
