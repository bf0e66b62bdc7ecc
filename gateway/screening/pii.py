"""Finds personal data by its published shapes: mail addresses, phone numbers, cards, IBANs and national ids.

Only where a policy asks for it, and only with the extra `pii` (`stdnum`, `phonenumbers`), which proves checksums and
numbering plans. Names, streets and dates of birth have no shape: they are not found. What becomes of a finding is not
for this module.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import product
from operator import attrgetter
from string import ascii_uppercase
from typing import Any, Protocol

from msgspec import Struct

from gateway.core.secrets import Span
from gateway.errors import GatewayError
from gateway.screening import phones
from gateway.screening.announced import Announced
from gateway.screening.mail import find_mail
from gateway.screening.national import BY_SHAPE, BY_WORD, National
from gateway.screening.payment import bban_length, find_cards, find_iban
from gateway.screening.shapes import BEYOND, Proves, Shape, by_shape, whole

MISSING = "personal data needs the extra: pip install 'wardgate[pii]'"
STEP = 64 * 1024  # bytes that are searched at a time
LETTERS = 4  # how far before the last two letters a national id may begin
LONGEST = 24  # bytes of one behind these
OVER = 512  # bytes of its neighbours that each step sees; nothing that is found is longer
_RUN = re.compile(rb"\d(?:[ .()AB+-]{0,2}\d){8,}")


def _looks(code: int) -> str:
    """What a byte looks like from afar: a digit 0, a capital A, the rest of a word x, what no number follows -."""
    char = chr(code)
    if code < 128 and char.isalnum():
        return "0" if char.isdigit() else "A" if char.isupper() else "x"
    return "-" if char in ".+/%-" else "x" if char == "_" else " "


_LOOKS = "".join(map(_looks, range(256))).encode()
_ESCAPES = (b"\\n", b"\\r", b"\\t", b"\\b", b"\\f")  # of a JSON text that stands in a text

Alive = Callable[[], object]


def _unhurried() -> None:
    """Nobody waits."""


class Personal(Protocol):
    """What finds personal data."""

    @property
    def loaded(self) -> bool:
        """Whether `find` can be called."""

    def load(self) -> None:
        """Load what it needs. Blocks; raises `GatewayError` where that is not installed."""

    def find(self, data: bytes, alive: Alive) -> list[Span]:
        """All personal data in UTF-8 bytes; `alive` is called now and then, and may raise."""


class _Proofs(Struct, frozen=True):
    """What is loaded once."""

    luhn: Proves
    iban: Proves
    lengths: Mapping[bytes, int]  # of IBANs, by country
    numbers: Sequence[Shape]  # national ids by shape that begin with a digit
    letters: Sequence[Shape]  # and with letters
    announced: Announced
    phones: Any


class PersonalData:
    """The search for personal data. What it needs is not loaded before somebody asks: some 0.2 s and 6 MB."""

    def __init__(self) -> None:
        self._proofs: _Proofs | None = None

    @property
    def loaded(self) -> bool:
        """Whether `find` can be called."""
        return self._proofs is not None

    def load(self) -> None:
        """Load what proves numbers. Blocks; raises `GatewayError`, naming the extra, where it is not installed."""
        if self._proofs is None:
            try:
                self._proofs = _load()
            except ImportError:
                raise GatewayError(MISSING) from None

    def find(self, data: bytes, alive: Alive = _unhurried) -> list[Span]:
        """All personal data in UTF-8 bytes, in order and without overlaps.

        `alive` is called every 64 KiB and may raise, to end a search that takes too long. Raises `GatewayError` if
        nothing is loaded.
        """
        if self._proofs is None:
            raise GatewayError(MISSING)
        found: list[Span] = []
        for low in range(0, len(data), STEP):
            alive()
            start = max(0, low - OVER)
            spans = _apart(_search(data[start : low + STEP + OVER], self._proofs))
            found += [
                Span(span.start + start, span.end + start, span.kind, span.secret)
                for span in spans
                if low <= span.start + start < low + STEP
            ]
        return found


def _search(page: bytes, proofs: _Proofs) -> Iterator[Span]:
    """What there is in a page; where findings overlap, the first one holds."""
    yield from find_mail(page)
    afar = _from_afar(page)
    for at in _places(afar, b"AA00"):
        yield from find_iban(page, at, proofs.lengths, proofs.iban)
        for shape in proofs.letters:
            yield from shape.spans(page, at - LETTERS, at + LONGEST)
    runs = list(_runs(page, afar))
    for low, high in runs:
        yield from find_cards(page, low, high, proofs.luhn)
    if b"+" in page:
        yield from phones.find_abroad(page, proofs.phones)
    yield from proofs.announced.find(page)
    for low, high in runs:
        for shape in proofs.numbers:
            yield from shape.spans(page, low, high + BEYOND)
        yield from phones.find_american(page, low, high)


def _runs(page: bytes, afar: bytes) -> Iterator[tuple[int, int]]:
    """The runs of digits, none inside another."""
    done = 0
    for at in _places(afar, b" 0"):
        if at >= done and (match := _RUN.match(page, at)):
            done = match.end()
            yield match.span()


def _from_afar(page: bytes) -> bytes:
    """The looks of a page, behind one space: what begins at an offset begins behind the same offset here."""
    for escape in _ESCAPES if b"\\" in page else ():
        page = page.replace(escape, b"  ")
    return b" " + page.translate(_LOOKS)


def _places(afar: bytes, looks: bytes) -> Iterator[int]:
    """The offsets in a page at which something looks so from afar; of ` 0` that of the digit."""
    shift = 1 if looks[:1] != b" " else 0
    at = afar.find(looks)
    while at >= 0:
        yield at - shift
        at = afar.find(looks, at + 1)


def _apart(spans: Iterator[Span]) -> list[Span]:
    """The spans that overlap none before them, in order."""
    chosen: list[Span] = []
    for span in spans:
        at = bisect_right(chosen, span.start, key=attrgetter("start"))
        before, after = chosen[max(0, at - 1) : at], chosen[at : at + 1]
        if all(one.end <= span.start for one in before) and all(span.end <= one.start for one in after):
            chosen.insert(at, span)
    return chosen


def _load() -> _Proofs:
    behind: dict[str, list[Shape]] = {}
    for one in BY_WORD:
        for word in one.words:
            behind.setdefault(word, []).append(_national(one))
    for word, shape in phones.announced().items():
        behind.setdefault(word, []).append(shape)
    shapes = [(one.shape.startswith("[A-Z]"), _national(one)) for one in BY_SHAPE]
    return _Proofs(
        luhn=_proof("luhn"),
        iban=_proof("iban"),
        lengths=_lengths(),
        numbers=tuple(shape for lettered, shape in shapes if not lettered),
        letters=tuple(shape for lettered, shape in shapes if lettered),
        announced=Announced(behind),
        phones=import_module("phonenumbers"),
    )


def _lengths() -> Mapping[bytes, int]:
    known = import_module("stdnum.numdb").get("iban")
    countries = ["".join(letters) for letters in product(ascii_uppercase, repeat=2)]
    structures = {country: known.info(country)[0][1].get("bban", "") for country in countries}
    return {country.encode(): 4 + bban_length(told) for country, told in structures.items() if told}


def _national(one: National) -> Shape:
    return whole(one.kind, one.shape, _proof(one.module) if one.module else by_shape)


def _proof(module: str) -> Proves:
    is_valid = import_module(f"stdnum.{module}").is_valid
    return lambda text: bool(is_valid(text.decode("ascii", "replace")))
