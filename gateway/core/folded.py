"""Letters that look or count like ASCII, and characters of no width: read as the ASCII that they stand for.

No I/O here. Text in other scripts is left alone: only words in which scripts are mixed, or letters are styled, are read
once more.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, partial

from gateway.core.spelled import lines, windows
from gateway.core.traced import Traced, Way

# Letters that are told from a Latin one by their code alone, or nearly so; Unicode's own foldings don't know them.
_ALIKE = {
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04bb\u04cf": "aeopcyxijsdqwhl",
    "\u043a\u0433\u043f\u0442\u043c\u0432\u043d\u0437\u0475\u0461\u044c": "krntmbh3vwb",
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0406\u0408\u0405\u050c\u0417": (
        "ABEKMHOPCTXYIJSG3"
    ),
    "\u0500\u04ae\u04c0\u0474\u051a\u051c": "dYIVQW",
    "\u03b1\u03bf\u03bd\u03c1\u03b9\u03ba\u03c5\u03b3\u03c4\u03c7\u03c9\u03b7\u03b5\u03f2\u03f3": "aovpikuytxwnecj",
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03f9\u037f": (
        "ABEZHIKMNOPTYXCJ"
    ),
    "\u0585\u0578\u057d\u0570\u0581\u0566\u0563\u054d\u0555\u053c": "onuhgqqUOL",
    "\u0251\u0261\u026a\u0131\u0269\u028f\u0299\u0262\u029c\u029f\u0274\u0280": "agIiiYBGHLNR",
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2018\u2019\u201c\u201d": "-------''\"\"",
}
_STYLED = (  # where characters stand that Unicode folds to ASCII
    *(range(0xA0, 0x100), range(0x2B0, 0x300), range(0x1D2C, 0x1DC0), range(0x2000, 0x20A0), range(0x2100, 0x2190)),
    *(range(0x2460, 0x2500), range(0x2C7C, 0x2C7E), range(0x3000, 0x3001), range(0xFB00, 0xFB07)),
    *(range(0xFE30, 0xFE70), range(0xFF01, 0xFF5F), range(0x1D400, 0x1D800), range(0x1F100, 0x1F190)),
    range(0x1FBF0, 0x1FBFA),
)
_TAGS = range(0xE0020, 0xE007F)  # letters that are not shown at all
_NOTHING = (  # characters that take no room, and marks over the letter before them
    *(0xAD, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0, 0xE0001, *range(0x300, 0x370)),
    *(*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
    *(*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
)
# What makes a line worth reading again: the first bytes of a character, and a pattern for it that begins with them.
_SIGNS = tuple(
    (sign, re.compile(re.escape(sign) + rest, re.DOTALL))
    for sign, rest in (
        (b"\xe2\x80", rb"(?:[\x8b-\x8f\xaa-\xae](?<=[!-~]...)|[\x90-\x95](?<=[A-Za-z0-9]...)(?=[A-Za-z0-9]))"),
        (b"\xe2\x81", rb"[\xa0-\xaf](?<=[!-~]...)"),
        (b"\xef\xbb\xbf", rb"(?<=[!-~]...)"),
        (b"\xef\xb8", rb"[\x80-\x8f](?<=[!-~]...)"),
        (b"\xe1\xa0", rb"[\x8b-\x8f](?<=[!-~]...)"),
        (b"\xe3\x85\xa4", rb"(?<=[!-~]...)"),
        (b"\xc2\xad", rb"(?<=[!-~]..)"),
        (b"\xc9", rb"[\x91\xa1](?<=[!-~]..)"),
        (b"\xcc", rb"(?<=[!-~].)"),
        (b"\xcd", rb"[\x80-\xaf](?<=[!-~]..)"),
        (b"\xef\xbc", rb"[\x90-\x99\xa1-\xba]"),
        (b"\xef\xbd", rb"[\x81-\x9a]"),
        (b"\xf0\x9d", rb"[\x90-\x9f]"),
        (b"\xf0\x9f", rb"(?:[\x84-\x86]|\xaf[\xb0-\xb9])"),
        (b"\xe2\x92", rb"[\xb6-\xbf]"),
        (b"\xe2\x93", rb"[\x80-\xa9]"),
        (b"\xf3\xa0", rb"[\x80-\x87]"),
    )
)
_LEADS = b"\xce\xcf\xd0\xd1\xd2\xd3\xd4\xd5\xd6"
_WORDS = bytes(
    97
    if chr(code).isascii() and (chr(code).isalnum() or code == 95)
    else 108
    if code in _LEADS
    else 116
    if 0x80 <= code < 0xC0
    else 32
    for code in range(256)
)
_LOW = bytes(range(128))
_OTHER = re.compile("[^\\x00-\\x7f]+")
_MIXED = (re.compile(b"al"), re.compile(b"lta"))


@cache
def _table() -> Mapping[int, str]:
    """What characters are folded to; nothing, where they take no room."""
    table = {
        ord(letter): twin for letters, twins in _ALIKE.items() for letter, twin in zip(letters, twins, strict=True)
    }
    for code in (code for span in _STYLED for code in span):
        folded = unicodedata.normalize("NFKC", chr(code))
        if folded.isascii():
            table.setdefault(code, folded)
    table.update((code, chr(code - 0xE0000)) for code in _TAGS)
    table.update((code, "") for code in _NOTHING)
    return table


def plain_letters(text: str) -> str:
    """A text with every letter that looks like an ASCII one read as that, and without what takes no room."""
    return text if text.isascii() else text.translate(_table())


def decode(data: bytes, view: Traced) -> None:
    """Add each line that holds a mixed word, styled letters or what has no width, folded."""
    if data.isascii():
        return
    high = data.translate(None, _LOW)
    found = [
        window for sign, pattern in _SIGNS if sign[:1] in high and sign in high for window in windows(data, pattern)
    ]
    words = data.translate(_WORDS)
    if b"l" in words:
        found += [window for pattern in _MIXED for window in windows(data, pattern, words)]
    for start, end in lines(data, found):
        if view.budget.spent:
            return
        shown = data[start:end].decode("utf-8", "surrogateescape")
        made = _OTHER.sub(_twins, shown)
        if made != shown:
            view.add(made.encode("utf-8", "surrogateescape"), partial(_ways, shown, start))


def _twins(match: re.Match[str]) -> str:
    return match[0].translate(_table())


def _ways(shown: str, origin: int) -> Sequence[Way]:
    """The way back of what has been folded, character by character where it is no ASCII."""
    table, ways, done, at = _table(), list[Way](), 0, 0
    for match in _OTHER.finditer(shown):
        ways.append((at, origin, 1, 0))
        plain = match.start() - done
        at, origin, done = at + plain, origin + plain, match.end()
        for char in match[0]:
            size, twin = _size(char), table.get(ord(char), char)
            ways.append((at, origin, 0 if len(twin) else 1, size))
            at, origin = at + _size(twin), origin + size
    return [*ways, (at, origin, 1, 0)]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
