"""Secrets as spans of bytes: merge them, number them, and plan the exact search for secrets that are known.

No I/O here, no patterns of vendors (the engine has those), and no secret in any repr.
"""

import base64
import json
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from urllib.parse import quote, quote_plus

from msgspec import Struct

from gateway.core.canon import keyed_digest

GATEWAY_SECRET = "gateway-secret"  # noqa: S105 - the kind of a finding: a secret that the gateway itself hands to upstreams
MIN_KNOWN = 8  # characters; a shorter value stands in too many honest texts
MIN_BITS = 24.0  # Shannon entropy times length, below which a value is too common to search for
MAX_REGION = 65_536  # bytes that an encoded hit is widened by, to each side
MAX_PLACES = 10_000  # half as many as other places of secrets that are told at most
MAX_SPREAD = 64  # distinct secrets whose other occurrences are looked for in one result
FINGERPRINT = 16  # hex digits of the keyed digest by which a finding is told from another one
_MARKERS = re.compile(rb"(?:\[REDACTED:[a-z][a-z0-9]{0,23}(?:-[a-z0-9]{1,23}){0,7}:[0-9]{1,6}\])+")
_LINE_ENDS = re.compile(rb"\\+[nr]|\s")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_=-"
_WORD = re.compile(r"[A-Za-z]+(?:[-_. ][A-Za-z]+)*")
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|bot|apikey|api-key)\s+(\S+)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*?:([^/?#\s]+)@")


class Span(Struct, frozen=True):
    """A secret in a buffer: bytes `start` to `end` are to be redacted; `secret` is what they stand for (decoded)."""

    start: int
    end: int
    kind: str
    secret: bytes
    exact: bool = False

    def __repr__(self) -> str:
        """It without the secret."""
        return f"Span({self.start}, {self.end}, {self.kind!r})"


class Pattern(Struct, frozen=True):
    """One way in which a known secret may stand in a text; `region`: redact the whole run of base64 around it."""

    data: bytes
    region: bool = False

    def __repr__(self) -> str:
        """It without the secret."""
        return f"Pattern(region={self.region})"


def slug(rule: str) -> str:
    """The kind that a rule's id gives, in a shape that `_MARKERS` takes: `catalogue.github-pat` -> `github-pat`."""
    name = re.split(r"[./]", re.sub(r"^[a-z]+\.secrets/", "x/", rule), maxsplit=1)[-1]
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\.\d+$", "", name).lower()).strip("-").split("-")
    named = words if words[0][:1].isalpha() else ["secret", *(word for word in words if word)]
    return "-".join(word[:23] for word in named[:8])


def merge(spans: Iterable[Span]) -> list[Span]:
    """Unite overlapping spans, in order. A union is named after its exact, else longest, else commonest part."""
    groups: list[tuple[int, int, list[Span]]] = []
    for span in sorted(spans, key=lambda item: (item.start, -item.end)):
        if groups and span.start < groups[-1][1]:
            start, end, members = groups[-1]
            members.append(span)
            groups[-1] = (start, max(end, span.end), members)
        else:
            groups.append((span.start, span.end, [span]))
    return [_unite(start, end, members) for start, end, members in groups]


def _unite(start: int, end: int, members: Sequence[Span]) -> Span:
    if len(members) == 1:
        return members[0]
    votes = Counter(member.kind for member in members)
    best = max(members, key=lambda item: (item.exact, item.end - item.start, votes[item.kind], item.kind))
    return Span(start, end, best.kind, best.secret, best.exact)


def unmarked(spans: Sequence[Span], data: bytes) -> Sequence[Span]:
    """The spans that are not just markers of ours, or parts of one (screening what was screened finds nothing).

    What was decoded to a marker is one: a blob that was redacted is base64 again.
    """
    if spans:
        spans = [span for span in spans if span.exact or not _MARKERS.fullmatch(span.secret)]
    if not spans or b"[REDACTED:" not in data:
        return spans
    markers = [match.span() for match in _MARKERS.finditer(data)]
    starts = [start for start, _ in markers]

    def inside(span: Span) -> bool:
        at = bisect_right(starts, span.start) - 1
        return at >= 0 and span.end <= markers[at][1]

    return [span for span in spans if span.exact or not inside(span)]


def spread(spans: Sequence[Span], data: bytes, most: int = MAX_PLACES) -> list[Span]:
    """Add every other occurrence of what was found: a secret found by its context stands elsewhere without it.

    Short and word-like secrets stay where they were found; at most `MAX_SPREAD` secrets are looked for,
    and no more places added than are needed to see that there are more than twice `most`.
    """
    found = {span.secret: span for span in spans if not span.exact and _distinct(span.secret)}
    others = (hit for span in list(found.values())[:MAX_SPREAD] for hit in _occurrences(span, data))
    return [*spans, *islice(others, 2 * most + 1)]


def _distinct(secret: bytes) -> bool:
    return len(secret) >= 12 and not _WORD.fullmatch(secret.decode("utf-8", "replace"))


def _occurrences(span: Span, data: bytes) -> Iterator[Span]:
    at = data.find(span.secret)
    while at >= 0:
        yield Span(at, at + len(span.secret), span.kind, span.secret)
        at = data.find(span.secret, at + len(span.secret))


def fingerprint_of(key: bytes, secret: bytes) -> str:
    """The keyed digest (hex, cut) by which a secret is told from another one; see `identity`."""
    return keyed_digest(key, secret)[:FINGERPRINT]


def identity(secret: bytes) -> bytes:
    """What makes two findings the same secret: a key block is the same however its lines are ended."""
    return _LINE_ENDS.sub(b"", secret) if secret.startswith(b"-----BEGIN") else secret


class Numbers:
    """Markers of one result: secrets are numbered in the order in which they are met, the same one keeps its number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def marker(self, span: Span) -> bytes:
        """`[REDACTED:kind:n]` for the secret of a span."""
        number = self._numbers.setdefault(identity(span.secret), len(self._numbers) + 1)
        return f"[REDACTED:{span.kind}:{number}]".encode()


def parts(value: str) -> tuple[str, ...]:
    """The secrets that a configured value holds: itself, the credential after an auth scheme, the password of a URL."""
    found = [value]
    if scheme := _SCHEME.fullmatch(value.strip()):
        found.append(scheme[1])
    found.extend(match[1] for match in _URL.finditer(value))
    return tuple(dict.fromkeys(found))


def weakness(value: str) -> str:
    """Why a value can't be searched for exactly (it would redact honest text), or an empty string."""
    if len(value) < MIN_KNOWN:
        return f"shorter than {MIN_KNOWN} characters"
    if _WORD.fullmatch(value) and len(value) < 20:
        return "only words"
    counts = Counter(value).values()
    bits = -sum(count * math.log2(count / len(value)) for count in counts)
    return "of low entropy" if bits < MIN_BITS else ""


def patterns(value: str) -> tuple[Pattern, ...]:
    """Every way in which a known secret is searched for: as it is, backwards, JSON (also each character as `\\uXXXX`),
    URL, hex (also byte by byte, with colons or spaces between), base64 at three alignments, also of UTF-16 as Windows
    writes it, base32 at five.
    """
    raw = value.encode("utf-8", "replace")
    clean = raw.decode("utf-8")
    quoted = (quote(clean, safe=""), quote(clean), quote_plus(clean))
    escaped = json.dumps(clean)[1:-1]
    plain = [
        raw,
        escaped.encode(),
        escaped.replace("/", "\\/").encode(),
        json.dumps(clean, ensure_ascii=False)[1:-1].encode(),
        *(text.encode() for text in quoted),
        *(re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), text).encode() for text in quoted),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        *(raw.hex(mark).encode() for mark in ":- "),
        *(raw.hex(mark).upper().encode() for mark in ":- "),
        clean[::-1].encode(),
        _spelled(clean, "\\u{:04x}"),
        _spelled(clean, "\\u{:04X}"),
    ]
    wide = clean.encode("utf-16-le")
    regions = [core for shift in range(3) for text in (raw, wide) for core in _base64_cores(text, shift)]
    regions += [_base32_core(raw, shift) for shift in range(5)]
    unique = dict.fromkeys([Pattern(item) for item in plain] + [Pattern(core, region=True) for core in regions])
    return tuple(unique)


def _spelled(text: str, form: str) -> bytes:
    """A text with each UTF-16 code unit spelled in one form."""
    units = text.encode("utf-16-be")
    return "".join(form.format(int.from_bytes(units[at : at + 2], "big")) for at in range(0, len(units), 2)).encode()


def _base64_cores(raw: bytes, shift: int) -> tuple[bytes, bytes]:
    """The characters that only the secret determines when `shift` other bytes stand before it in a group of three."""
    first, last = (0, 2, 3)[shift], (shift + len(raw)) * 8 // 6
    padded = b"\0" * shift + raw
    return base64.b64encode(padded)[first:last], base64.urlsafe_b64encode(padded)[first:last]


def _base32_core(raw: bytes, shift: int) -> bytes:
    """The same of base32, whose groups are of five bytes."""
    first, last = -(-shift * 8 // 5), (shift + len(raw)) * 8 // 5
    return base64.b32encode(b"\0" * shift + raw)[first:last]


def region(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Widen a hit to the run of base64 characters that it stands in (at most `MAX_REGION` bytes to each side)."""
    before, after = data[max(0, start - MAX_REGION) : start], data[end : end + MAX_REGION]
    return start - len(before) + len(before.rstrip(_BASE64)), end + len(after) - len(after.lstrip(_BASE64))
