"""Characters that are spelled in ASCII: escapes, percent codes, entities.

No I/O here. A line that holds one is read once more as it is meant, whole, since a rule may need the key before it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from html.entities import html5

from gateway.core.traced import Traced, Way

AROUND = 4_096  # bytes of a line that are read on each side of what is spelled otherwise
_BLOCK = b"-----"
MANY = 256  # lines that are read each by itself; from there on some thousand bytes at a time, which is cheaper
WINDOWS = 100_000  # times that lines are read for one kind of mark


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """A pattern in which H is a digit of hex."""
    return re.compile(pattern.replace(b"H", b"[0-9A-Fa-f]"), re.DOTALL)


# What makes a line worth reading again: what may hide a part of a secret, the start of its word or the end of its key.
# Each begins with one byte, which makes the search cheap. A space as `%20`, an ampersand as `&amp;` and most quotes
# stand everywhere and hide nothing.
_MARKS = (
    (
        b"\\",
        _compiled(
            rb"\\(?:u(?:H{4}|\{)|UH{8}|xHH|[0-3][0-7]{2}|/|[nrt](?=[A-Za-z0-9])"
            rb"|(?<=[:=]\\)\\*[\"']|(?<=[:=] \\)\\*[\"'])"
        ),
    ),
    (
        b"%",  # the letters of full width, too
        _compiled(rb"%(?:25)*(?:2[1-9A-Fa-f]|[3-6]H|7[0-9A-Ea-e]|[Ee][Ff]%(?:25)?[Bb]|HH(?=[A-Za-z0-9_.-]{16}))"),
    ),
    (
        b"&",
        _compiled(
            rb"&(?:(?:amp;)*(?:#(?!(?:0*(?:3[489]|6[02]|160|8[0-9]{3})|[xX]0*(?:2[267]|3[CcEe]|[Aa]0|20HH))\b)[0-9xX]"
            rb"|(?:lowbar|hyphen|dash|plus|sol|bsol|equals|colon|period|comma|commat|num|percnt|dollar|excl|Tab"
            rb"|NewLine);)|(?<=[:= (,]&)(?:amp;)*(?:quot|apos|#))"
        ),
    ),
)
_CODE = _compiled(
    rb"\\+(?:(?P<c>[nrt\"'/`])|x(?P<x>HH(?:\\xHH)*)|u(?P<u>00[0-7]H(?:\\u00[0-7]H)*|HHHH)|u\{(?P<h>H{1,6})\}"
    rb"|U(?P<g>H{8})|(?P<o>[0-3][0-7]{2}))|(?P<b>\\{2,})"
    rb"|%(?:25(?P<f>HH(?:%25HH)*)|(?!25HH)(?P<t>HH(?:%(?!25HH)HH)*))"
    rb"|&(?:amp;){0,4}(?:#(?P<d>[0-9]{1,8});?|#[xX](?P<e>H{1,7});?|(?P<n>[A-Za-z][A-Za-z0-9]{1,30};))"
)
_RARE = _compiled(rb"\\[uUx0-3]")
_RUNS = {"x": (rb"\x", 4), "f": (b"%25", 5), "t": (b"%", 3), "u": (rb"\u", 6)}  # codes of one size, one after another
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_SIMPLE = tuple((b"\\" + letter, _LETTERS.get(letter, letter)) for letter in (b'"', b"n", b"/", b"t", b"r", b"'", b"`"))


def suspect(data: bytes) -> bool:
    """Whether anything may be spelled so; a cheap test."""
    return b"\\" in data or b"%" in data or b"&" in data


def decode(data: bytes, view: Traced) -> None:
    """Add each line that holds a code which may hide something, read as it is meant."""
    found = [window for mark, pattern in _MARKS if mark in data for window in windows(data, pattern)]
    for start, end in lines(data, found) if found else ():
        if view.budget.spent:
            return
        line = data[start:end]
        forms = (line, line.replace(b"+", b" ")) if b"+" in line and b"%" in line else (line,)  # a form's space is `+`
        for form in forms:
            read = _read(form)
            if read != form:
                view.add(read, partial(_ways, form, start))


def lines(data: bytes, found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Windows in order; neighbours are one. Where one touches a block of a key, all of that block is in it."""
    ordered = sorted(found)
    if ordered and _BLOCK in data:
        ordered = sorted(_blocks(data, ordered))
    at = 0
    while at < len(ordered):
        start, end = ordered[at]
        at += 1
        while at < len(ordered) and ordered[at][0] <= end + 1:
            end = max(end, ordered[at][1])
            at += 1
        yield start, end


def _blocks(data: bytes, found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Windows that begin with the last dashes before them and end with the next ones, at most `AROUND` bytes away."""
    done = 0
    for start, end in found:
        if end <= done:
            continue
        first = data.rfind(_BLOCK, max(0, start - AROUND), end)
        if first >= 0:
            first = max(first - 64, data.rfind(b"\n", max(0, first - 64), first) + 1, 0)
            last = data.find(_BLOCK, end, end + AROUND)
            start, end = min(start, first), min(len(data), end + AROUND) if last < 0 else last
        yield start, end
        done = end


def windows(data: bytes, pattern: re.Pattern[bytes], searched: bytes | None = None) -> Iterator[tuple[int, int]]:
    """The lines that hold a match, of long ones `AROUND` bytes to each side. `searched`: marks in place of bytes."""
    where = data if searched is None else searched
    number, match = 0, pattern.search(where)
    while match and number < WINDOWS:
        low, high = max(0, match.start() - AROUND), min(len(data), match.end() + AROUND)
        start = max(low, data.rfind(b"\n", low, match.start()) + 1)
        end = data.find(b"\n", match.end() if number < MANY else (match.end() + high) // 2, high)
        end = high if end < 0 else end
        yield start, end
        number, match = number + 1, pattern.search(where, end)


def _read(line: bytes) -> bytes:
    """A line as it is meant: by simple replacements, which say the same, where that is enough."""
    if b"%" in line or b"&" in line or _RARE.search(line):
        said: dict[bytes, bytes] = {}
        return _CODE.sub(partial(_said, said), line)
    while b"\\\\" in line:
        line = line.replace(b"\\\\", b"\\")
    for code, meant in _SIMPLE:
        line = line.replace(code, meant)
    return line


def _said(said: dict[bytes, bytes], match: re.Match[bytes]) -> bytes:
    """What a code says; `said`: what is known of this text, where few codes stand often."""
    code = match[0]
    meant = said.get(code)
    if meant is None:
        meant = said[code] = _meant(str(match.lastgroup), match)
    return meant


def _ways(line: bytes, origin: int) -> Sequence[Way]:
    """The way back of what `_read` says."""
    ways, done, at = list[Way](), 0, 0
    said: dict[bytes, bytes] = {}
    for match in _CODE.finditer(line):
        start, end = match.span()
        meant = _said(said, match)
        ways.append((at, origin + done, 1, 0))
        at += start - done
        stride = _RUNS.get(str(match.lastgroup), ("", 0))[1]
        ways.append((at, origin + start, stride if stride * len(meant) == end - start else 0, end - start))
        at, done = at + len(meant), end
    return [*ways, (at, origin + done, 1, 0)]


def _meant(kind: str, match: re.Match[bytes]) -> bytes:
    """The bytes that a code stands for: itself, if there are none."""
    code = match[kind]
    match kind:
        case "c":
            return _LETTERS.get(code, code)
        case "b":
            return b"\\"
        case "n":
            return html5.get(code.decode("ascii"), "").encode() or match[0]
        case "x" | "f" | "t":
            return bytes.fromhex(code.replace(_RUNS[kind][0], b"").decode("ascii"))
        case "u" if len(code) > 4:
            return bytes.fromhex(code.replace(_RUNS[kind][0], b"").decode("ascii"))[1::2]
        case _:
            number = int(code, {"o": 8, "d": 10}.get(kind, 16))
            return chr(number).encode("utf-8", "replace") if number < 0x110000 else match[0]
