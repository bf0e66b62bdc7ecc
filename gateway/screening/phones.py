"""Finds phone numbers: written internationally, in the North American shape, or behind a word that announces them.

No I/O here. A bare number is none, however many digits it has.
"""

import re
from collections.abc import Iterator
from typing import Any

from gateway.core.secrets import Span
from gateway.screening.shapes import BEGIN, BEYOND, END, Shape

PHONE = "phone"
MANY = 100  # numbers of one page that are proven; what comes then counts by its shape
WORDS = (
    *("phone", "telephone", "tel", "tél", "telefon", "telefono", "teléfono", "telefone", "fax", "whatsapp", "msisdn"),
    *("rufnummer", "mobilnummer", "celular", "móvil", "电话", "手机", "電話", "携帯"),
)
WEAK = ("mobile", "cell", "call", "dial", "sms", "handy", "text me at")  # behind these a number has to look dialled
_ABROAD = re.compile(rb"\+(?<![0-9A-Za-z_+/.-]\+)\d(?:[ .()/-]{0,2}\d){6,14}(?![\d_A-Za-z])")
_NANP = re.compile(
    rb"(?:" + BEGIN.encode() + rb"|(?<=\b1[-. ]))"
    rb"(?:\([2-9]\d{2}\) ?\d{3}[-. ]|[2-9]\d{2}([-.])\d{3}\1)\d{4}" + END.encode()
)
_ALIKE = re.compile(rb"\+1[2-9]\d{9}")  # also those that nobody has, like all of 555
_NUMBER = (r"(?<![0-9A-Za-z_.])\+?\(?\d(?:[ .()/-]{0,2}\d){6,14}" + END).encode()
_OTHER = re.compile(rb"\d{4}([-./])\d{1,2}\1\d{1,2}(?!\d)|\d{1,3}(?:\.\d{1,3}){3}$|\d+\.\d+$")  # date, address, decimal
_APART = re.compile(rb"[^\d+]")
_DIFF = re.compile(rb"(?m)^@@ -\d")


def find_abroad(page: bytes, phones: Any) -> Iterator[Span]:
    """Numbers with a plus and a country's code that its numbering plan knows. Added lines of a diff are none."""
    diff: bool | None = None
    checked = 0
    for match in _ABROAD.finditer(page):
        if page[max(0, match.start() - 1) : match.start()] in (b"", b"\n"):
            diff = bool(_DIFF.search(page)) if diff is None else diff
            if diff:
                continue
        checked += 1
        digits = _APART.sub(b"", match[0])
        if checked > MANY or _ALIKE.fullmatch(digits) or _valid(phones, digits.decode()):
            yield Span(match.start(), match.end(), PHONE, match[0])


def find_american(page: bytes, low: int, high: int) -> Iterator[Span]:
    """Numbers such as (212) 555-0123 in a run of digits."""
    for match in _NANP.finditer(page, max(0, low - 1), high + BEYOND):
        yield Span(match.start(), match.end(), PHONE, match[0])


def announced() -> dict[str, Shape]:
    """The shapes of numbers that count behind a word, by word."""
    strong = Shape(PHONE, re.compile(_NUMBER), _plausible)
    weak = Shape(PHONE, re.compile(_NUMBER), _dialled)
    return dict.fromkeys(WORDS, strong) | dict.fromkeys(WEAK, weak)


def _plausible(text: bytes) -> bool:
    digits = len(_APART.sub(b"", text).lstrip(b"+"))
    return digits <= (15 if text.startswith(b"+") else 12) and not _OTHER.match(text.lstrip(b"+("))


def _dialled(text: bytes) -> bool:
    return _plausible(text) and (text[:1] in b"+0(" or bool(_APART.search(text)))


def _valid(phones: Any, text: str) -> bool:
    try:
        return bool(phones.is_valid_number(phones.parse(text, None)))
    except phones.NumberParseException:
        return False
