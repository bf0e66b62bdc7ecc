"""A JSON value as one text for the scanner, with a map from its bytes back to the leaves that they came from.

No I/O here, and nothing is judged: what is a secret is for the scanner, what becomes of it for `screen`.

Text (`text` of blocks and resources) stands as it is, every other string as `key = "value"`, since scanners find far
more where they see the key: one that speaks of secrets with what it stands below (`datadog.api_key`, which tells whose
key it is), and one that says nothing (`value`) by the name beside or above it. Keys are leaves too. Blobs are decoded,
and what they hold as gzip or UTF-16 is read. Consecutive text blocks stand once more without anything between them, for
a secret that was cut in two. Lone surrogates become question marks, so that offsets hold.
"""

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

from gateway.core.packed import unpacked
from gateway.core.traced import text
from gateway.errors import GatewayError

MAX_DEPTH = 128
MAX_BARE = 1_024  # characters of base64 that may be a secret as they stand
SEAM = 4_096  # bytes of each text block that are joined to its neighbour's
ABOVE = 2  # keys that stand before the nearest one
WHOLE = -1  # the offset of a piece that stands for all of its leaf
_MEDIA = re.compile(r"[A-Za-z0-9+/\s]{64,}+={0,2}\s*")  # possessive: else blanks at the end take their square
_KNOWN_KEYS = frozenset(
    {"content", "structuredContent", "_meta", "isError", "resultType", "type", "text", "blob", "data", "mimeType"}
    | {"uri", "name", "title", "description", "resource", "annotations", "audience", "priority", "size"}
    | {"code", "message"}
)
_TELLING = re.compile(r"(?i)key|token|secret|pass|pwd|cred|auth|bearer|signature")
_VAGUE = frozenset(
    {"value", "val", "v", "default", "defaultvalue", "default_value", "data", "content", "current", "raw"}
)
_VAGUE |= {"string", "stringvalue", "string_value", "plaintext", "secretstring", "inputvalue"}
_NAMES = ("name", "key", "label", "field", "header", "variable", "id", "Name", "Key", "title")
_LONGEST_NAME = 61  # characters
_NAME = re.compile(r"(?!.*[0-9]{3})[A-Za-z_][A-Za-z0-9_. -]{0,60}")  # a word; an identifier is no context
_KNOWN_WORDS = frozenset({"text", "image", "audio", "resource", "resource_link", "complete", "user", "assistant"})


def _kind(key: str) -> bool | None:
    """Whether a key tells of secrets; False if it says nothing at all, None if it says something else."""
    return True if _TELLING.search(key) else False if key.lower() in _VAGUE else None


def _says(name: str) -> bool:
    """Whether the name of a pair tells that its value is a secret."""
    return _TELLING.search(name) is not None and _NAME.fullmatch(name) is not None


_KNOWN_KINDS = {key: _kind(key) for key in _KNOWN_KEYS}  # none of an upstream's own is kept from page to page
Path = tuple[str | int, ...]


class LimitError(GatewayError):
    """A value is deeper or larger than what is screened."""


class Form(Enum):
    """What a leaf is, and so how it is written back."""

    TEXT = "text"
    KEY = "key"  # the path ends in the key itself
    BLOB = "blob"  # base64: `data` is decoded


class Leaf(NamedTuple):
    """One string of the value: where it stands and its bytes (UTF-8, or what a blob decodes to)."""

    path: Path
    form: Form
    data: bytes

    def __repr__(self) -> str:
        return f"Leaf({self.form.value}, {len(self.data)} bytes)"


# A piece says that bytes start to end of the rendering are the bytes of leaf number `leaf` from `offset` on:
# (start, end, leaf, offset); with the offset WHOLE, each of them stands for the whole leaf. A bare tuple, like the
# leaves of a page: there are tens of thousands in a large result.
Piece = tuple[int, int, int, int]


class Rendering(Struct, frozen=True):
    """The text for the scanner; `pieces` are in order and don't overlap."""

    data: bytes
    leaves: Sequence[tuple[Path, Form, bytes]]
    pieces: Sequence[Piece]

    def __repr__(self) -> str:
        """It without the text, which may hold secrets."""
        return f"Rendering({len(self.data)} bytes, {len(self.leaves)} leaves)"

    def leaf(self, number: int) -> Leaf:
        """A leaf by its number."""
        return Leaf(*self.leaves[number])

    def locate(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The parts of leaves that a range covers: (leaf, start, end) in bytes of the leaf.

        White space around the range counts for nothing. A key is part of it only if the range lies within the key: what
        spans several leaves never renames one.
        """
        found = self.data[start:end]
        start, end = end - len(found.lstrip()), start + len(found.rstrip())
        first_piece = max(0, bisect_right(self.pieces, start, key=itemgetter(0)) - 1)
        for at in range(first_piece, len(self.pieces)):  # no `islice`, which walks to where it begins
            first, last, leaf, offset = self.pieces[at]
            if first >= end:
                return
            low, high = max(start, first), min(end, last)
            whole = (low, high) == (start, end)
            if low < high and offset == WHOLE:
                yield leaf, 0, len(self.leaves[leaf][2])
            elif low < high and (whole or self.leaves[leaf][1] is not Form.KEY):
                yield leaf, low + offset - first, high + offset - first


def render(value: object, *, media: bool, limit: int) -> Rendering:
    """Render a JSON value. `media`: the data of image and audio blocks too.

    Raises `LimitError` over `limit` bytes or `MAX_DEPTH` levels.
    """
    page = _Page(media, limit)
    page.value(value, (), b"", 0)
    if page.runs:
        page.seams()
    return Rendering(b"".join(page.parts), page.leaves, page.pieces)


class _Page:
    """What has been rendered so far."""

    def __init__(self, media: bool, limit: int) -> None:
        self.parts: list[bytes] = []
        self.leaves: list[tuple[Path, Form, bytes]] = []
        self.pieces: list[Piece] = []
        self.runs: list[list[int]] = []  # runs of two and more consecutive text blocks, by number of leaf
        self._size, self._limit, self._media = 0, limit, media
        self._keys: dict[str, bytes] = {}  # each key is rendered once; the bytes open a line
        self._words: dict[str, bool] = {}  # whether a key is a word
        self._contexts: dict[tuple[str, tuple[str, ...]], bytes] = {}
        self._kinds: dict[str, bool] = {}  # the keys that need more context: whether they tell of secrets

    def value(self, value: object, path: Path, opening: bytes, depth: int) -> None:
        """Render anything; `opening` begins the line of a string: the nearest key."""
        if isinstance(value, str):
            if value and value not in _KNOWN_WORDS:
                self._leaf(path, Form.TEXT, value.encode("utf-8", "replace"), opening, b'"\n')
        elif isinstance(value, Mapping):
            self._deeper(depth)
            self._mapping(value, path, depth + 1)
        elif isinstance(value, list | tuple):
            self._deeper(depth)
            self._sequence(value, path, opening, depth + 1)

    def seams(self) -> None:
        """Render the runs of text blocks once more, each block against the next."""
        for run in self.runs:
            self._write(b"\n")
            for number in run:
                self._ends(number)

    def _deeper(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise LimitError(f"expected at most {MAX_DEPTH} levels, found more")

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise LimitError(f"expected at most {self._limit} bytes to screen, found more")
        self.parts.append(data)

    def _map(self, leaf: int, data: bytes, offset: int) -> None:
        start = self._size
        self._write(data)
        self.pieces.append((start, self._size, leaf, offset))

    def _leaf(self, path: Path, form: Form, data: bytes, before: bytes = b"", after: bytes = b"\n") -> None:
        start = self._size + len(before)
        end = start + len(data)
        self._size = end + len(after)
        if self._size > self._limit:
            raise LimitError(f"expected at most {self._limit} bytes to screen, found more")
        self.pieces.append((start, end, len(self.leaves), 0))
        self.leaves.append((path, form, data))
        self.parts += (before, data, after)

    def _sequence(self, items: Sequence[object], path: Path, opening: bytes, depth: int) -> None:
        run: list[int] = []
        for index, item in enumerate(items):
            first = len(self.leaves)
            below = (*path, index)
            self.value(item, below, opening, depth)
            if not isinstance(item, Mapping) or not isinstance(item.get("text"), str):
                run = []
                continue
            target = (*below, "text")
            run += [number for number in range(first, len(self.leaves)) if self.leaves[number][0] == target]
            if len(run) > 1 and (not self.runs or self.runs[-1] is not run):
                self.runs.append(run)

    def _mapping(self, items: Mapping[object, object], path: Path, depth: int) -> None:
        media = not self._media and items.get("type") in ("image", "audio")
        above: tuple[str, ...] | None = None
        for key, value in items.items():
            if not isinstance(key, str):
                raise LimitError("expected string keys, found another type")
            if isinstance(value, str):
                if key == "text":
                    if value:
                        self._leaf((*path, key), Form.TEXT, value.encode("utf-8", "replace"))
                    continue
                if key == "blob" and self._blob(value, (*path, key)):
                    continue
                if media and key == "data" and _MEDIA.fullmatch(value):
                    continue
            below = (*path, key)
            opening = self._keys.get(key) or self._key(key, below)
            if key in self._kinds and not (key == "content" and isinstance(value, list)):
                above = self._above(path) if above is None else above
                opening = self._context(key, above, items) or opening
            self.value(value, below, opening, depth)

    def _key(self, key: str, path: Path) -> bytes:
        """Render a key where it is first seen; a secret in it is one wherever the key stands."""
        data = key.encode("utf-8", "replace")
        if key not in _KNOWN_KEYS:
            self._leaf(path, Form.KEY, data)
        kind = _KNOWN_KINDS[key] if key in _KNOWN_KINDS else _kind(key)
        if kind is not None:
            self._kinds[key] = kind
        self._keys[key] = opening = data + b' = "'
        return opening

    def _context(self, key: str, above: tuple[str, ...], items: Mapping[object, object]) -> bytes:
        """What opens the line of a key that tells of secrets or says nothing; empty if there is no more to say."""
        if not self._kinds[key]:
            for name in _NAMES:  # and not all of an object's names, again for each of its keys
                told = items.get(name)
                if isinstance(told, str) and len(told) <= _LONGEST_NAME and _says(told):
                    return told.encode() + b' = "'
        opening = self._contexts.get((key, above))
        if opening is None:
            telling = self._kinds[key] or _TELLING.search("".join(above[-1:]))
            names = (*above, key) if self._kinds[key] else above
            opening = ".".join(names).encode("utf-8", "replace") + b' = "' if telling else b""
            self._contexts[key, above] = opening
        return opening

    def _above(self, path: Path) -> tuple[str, ...]:
        """The nearest keys of a path that are words."""
        names: tuple[str, ...] = ()
        for step in reversed(path):
            if type(step) is str and step not in _KNOWN_KEYS and self._is_word(step):
                names = (step, *names)
                if len(names) == ABOVE:
                    break
        return names

    def _is_word(self, key: str) -> bool:
        known = self._words.get(key)
        if known is None:
            known = self._words[key] = _NAME.fullmatch(key) is not None
        return known

    def _blob(self, value: str, path: Path) -> bool:
        """Render what a blob decodes to; a short one that may be a secret as it stands is rendered so too."""
        data = _decode(value)
        if data:
            if len(value) <= MAX_BARE:
                self._leaf(path, Form.TEXT, value.encode("ascii"))
            held = unpacked(data, self._limit + 1 - min(self._limit, self._size))
            self._leaf(path, Form.BLOB, data if held is data else text(held))  # after the text: a blob stays a blob
            if held is data:
                self.parts[-2] = text(data)
            else:
                start, end, leaf, _ = self.pieces[-1]
                self.pieces[-1], self.leaves[-1] = (start, end, leaf, WHOLE), (path, Form.BLOB, data)
        return bool(data)

    def _ends(self, number: int) -> None:
        data = self.leaves[number][2]
        if len(data) <= 2 * SEAM:
            self._map(number, data, 0)
            return
        head, tail = _boundary(data, SEAM), _boundary(data, len(data) - SEAM)
        self._map(number, data[:head], 0)
        self._write(b"\n")
        self._map(number, data[tail:], tail)


def _decode(blob: str) -> bytes:
    try:
        return base64.b64decode(blob.encode("ascii", "replace"), validate=True)
    except binascii.Error:
        return b""


def _boundary(data: bytes, at: int) -> int:
    """The start of the character that byte `at` belongs to."""
    while data[at] & 0xC0 == 0x80:
        at -= 1
    return at
