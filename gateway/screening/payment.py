"""Finds numbers of payment cards and IBANs: shape, issuer's range and checksum have to fit. No I/O here."""

import re
from collections.abc import Iterator, Mapping

from gateway.core.secrets import Span
from gateway.screening.shapes import BEGIN, BEYOND, END, Proves

CARD, IBAN = "credit-card", "iban"
_CARD = re.compile((BEGIN + r"\d(?:\d{12,18}|\d{3}([ -])(?:\d{4}\1\d{4}\1\d{1,7}|\d{6}\1\d{4,5}))" + END).encode())
# Issuers by their first digits, and how long their numbers are; only 14 to 16 digits count without groups.
_ISSUED = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    rb"|(?:6011|64[4-9]\d|65\d\d|62\d\d|35[2-8]\d)\d{12,15}"
)
_KEY = (
    rb"ids?|hash(?:es)?|sha\d*|md5|digests?|versions?|time|time_?stamps?|ts|offsets?|size|seed|serial|nonce"
    rb"|cursor|count"
)
# The nearest key says that it is another number.
_OTHER = re.compile(rb"(?:(?<![A-Za-z])(?i:" + _KEY + rb")|(?<=[a-z])(?:Ids?|ID|Hash|Version|Time|Timestamp|Offset))$")
_LIST = b"\"'[ \t\r\n0123456789,"  # what may stand between a key and a number: other numbers of a list
_LONGEST_KEY = 20  # bytes of the end of a key that tell what it is
_REACH = 256  # bytes before a number in which its key is looked for
_IBAN = re.compile((BEGIN + r"[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z_])").encode())
_LENGTHS = re.compile(r"(\d+)!")
_SPACE = ord(" ")


def find_cards(page: bytes, low: int, high: int, luhn: Proves) -> Iterator[Span]:
    """Card numbers in a run of digits, in groups or in one piece."""
    for match in _CARD.finditer(page, low, high + BEYOND):
        digits = re.sub(rb"[ -]", b"", match[0])
        usual = match[1] or 14 <= len(digits) <= 16
        if usual and _ISSUED.fullmatch(digits) and luhn(digits) and (match[1] or not _denied(page, match.start())):
            yield Span(match.start(), match.end(), CARD, match[0])


def _denied(page: bytes, start: int) -> bool:
    before = page[max(0, start - _REACH) : start].rstrip(_LIST)
    return before.endswith((b":", b"=")) and bool(_OTHER.search(before[:-1].rstrip(b" \"'")[-_LONGEST_KEY:]))


def find_iban(page: bytes, at: int, lengths: Mapping[bytes, int], proves: Proves) -> Iterator[Span]:
    """The IBAN that begins at `at`, as long as `lengths` says of its country: more groups of capitals may follow."""
    length = lengths.get(page[at : at + 2])
    match = _IBAN.match(page, at) if length else None
    if match is None:
        return
    ends = [end for end, char in enumerate(match[0], at + 1) if char != _SPACE]
    end = ends[length - 1] if length and len(ends) >= length else at
    text = page[at:end]
    if text and not page[end : end + 1].isalnum() and _checks(text) and proves(text):
        yield Span(at, end, IBAN, text)


def bban_length(structure: str) -> int:
    """How long an account number of a structure such as `8!n10!n` is."""
    return sum(map(int, _LENGTHS.findall(structure)))


def _checks(text: bytes) -> bool:
    """Whether the check digits fit: what is asked first, since it is asked soonest."""
    plain = text.replace(b" ", b"").decode("ascii")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1
