"""What is packed as base64, hex or gzip: runs of such characters, and what they hold.

No I/O here. Only what holds readable text is unpacked: a hash, an identifier and a picture cost next to nothing. Whole
texts are sieved by tables of characters, in native code; Python looks only at runs that pass.
"""

import binascii
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise

from gateway.core.traced import Traced

CONTEXT = 80  # bytes of the line before a run, for the key that a rule may need
FOUND = 512  # bytes that a value under such a key may have
TRIES = 64  # places of a run that pass the first sieve and fail the second, before the run is unpacked all the same
VARIED = 16  # different characters that a small text has at least in which something readable is packed
SMALL = 4 * 1024  # bytes of a text whose characters are counted
STARTS = 4  # places of one run at which gzip may begin
CLOSE = 1024  # bytes at the end of damaged gzip that are read one by one, those before them so many at a time
LAYERS = 2  # gzip in gzip
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL = bytes.maketrans(b"-_", b"+/")
_RUN = b"a" * 24  # characters; a run that is shorter holds no secret
_QUADS = b"a" * 6
_BYTES = b"h" * 12


def _table(yes: bytes, mark: bytes, others: bytes = b"", other: bytes = b"x") -> bytes:
    """A table that makes `mark` of some bytes, `other` of others, and a space of all the rest."""
    return bytes(mark[0] if code in yes else other[0] if code in others else 32 for code in range(256))


def _digits(fits: frozenset[int], every: int) -> bytes:
    """The characters of base64, both alphabets, whose value modulo `every` fits."""
    return bytes(
        code for at, code in enumerate(_BASE64) if at % every in fits for code in {code, *_URL_OF.get(code, ())}
    )


_URL_OF = {ord("+"): (ord("-"),), ord("/"): (ord("_"),)}
_ALL = _BASE64 + b"-_"
# The three sieves of readable text (tab, line feed, carriage return, space to tilde) in base64: four characters hold
# three bytes, so that the first says six bits of one, the second two of it and four of the next, and so on.
_FIRST = _table(_digits(frozenset({2, 3, *range(8, 32)}), 64), b"a", _ALL)
_SECOND = _digits(frozenset({0, *range(2, 8)}), 16)
_THIRD = _digits(frozenset({0, 1}), 4)
_RUNS = _table(_ALL, b"a")
_NIBBLES = _table(b"234567", b"h", b"0189abcdefABCDEF")
# How gzip and zlib begin in base64 and in hex; zlib only at the start of a run.
_MAGIC64 = (re.compile(b"H4sI"), re.compile(b"e(?:J[w-z]|N[o-r]|A[E-H]|F[4-7])"))
_MAGIC16 = (re.compile(b"1[fF]8[bB]08"), re.compile(b"78(?:9[cC]|[dD][aA]|01|5[eE])"))
_ENDS = (b"\n", b"\r")
_BREAK = re.compile(rb"\r?\n[ \t]{0,32}")
_NAMES = _ALL + b"."  # what the name of a key is made of
_AROUND = b" \t\"'`"  # what may stand around it and its value
_GZIP, _ZLIB = b"\x1f\x8b\x08", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")

Run = tuple[int, int, int]  # start, end, and the place in it at which what is packed begins


def suspect(data: bytes) -> bytes:
    """The text with marks for what may be base64 or hex; empty if no run of it is long enough to hold a secret."""
    runs = data.translate(_RUNS)
    return runs if _RUN in runs else b""


def holds(data: bytes, runs: bytes) -> bool:
    """Whether any of the runs that `suspect` tells of passes a sieve: most identifiers and hashes don't."""
    if not runs:
        return False
    return any(True for _, places, *_ in _passing(data, runs) for _ in places)


def decode(data: bytes, runs: bytes, view: Traced, seen: set[bytes]) -> None:
    """Add what the runs of a text hold, each with the key before it; not of those in `seen`, which grows by them.

    `runs`: what `suspect` says, and it says something.
    """
    fresh: set[bytes] = set()
    for unpack, places, marks, zipped in _passing(data, runs):
        joined = 0
        for start, end, first in places:
            if view.budget.spent:
                break
            on = start >= joined and data[end : end + 1] in _ENDS
            last = _joined(data, marks, start, end) if on else end
            joined = max(joined, last)
            for stop in (end,) if last == end else (last, end):
                packed = data[first:stop]
                if packed not in seen:
                    fresh.add(packed)
                    _add(data, (start, stop), unpack(packed), zipped, view)
    seen |= fresh


def _passing(data: bytes, runs: bytes) -> Iterator[tuple[Callable[[bytes], bytes], Iterable[Run], bytes, bool]]:
    """The runs that pass a sieve, one sieve after the other: how they are unpacked, their places, the marks that they
    were found by, and whether they may be nothing but gzip or zlib.
    """
    yield _base64, _sieved64(data, runs), runs, False
    yield _base64, _begun(data, runs, _MAGIC64), runs, True
    nibbles = data.translate(_NIBBLES)
    yield _hex, _sieved16(nibbles), nibbles, False
    yield _hex, _begun(data, nibbles, _MAGIC16), nibbles, True


def _add(data: bytes, run: tuple[int, int], packed: bytes, zipped: bool, view: Traced) -> None:
    """Add what a run holds, as a region of its own; `zipped`: only if it is gzip or zlib."""
    held = unpacked(packed, view.budget.size)
    if zipped and held is packed:
        view.budget.regions -= 1  # a look costs as much as a find
        return
    start, end = run
    key = _key(data[max(0, start - CONTEXT) : start]) if len(held) <= FOUND and b"\n" not in held else b""
    padding = len(data[end : end + 2]) - len(data[end : end + 2].lstrip(b"="))
    ways = ((0, start - len(key), 1, 0), (len(key), start, 0, end + padding - start))
    view.add(key + held + key[-1:] if key else held, lambda: ways)


def _key(before: bytes) -> bytes:
    """The key at the end of what stands before a run, with its equals sign or colon and a quote; empty if none."""
    line = before[before.rfind(b"\n") + 1 :]
    sign = line.rstrip(_AROUND)
    if sign[-1:] not in (b":", b"="):
        return b""
    name = sign[:-1].rstrip(_AROUND)
    left = name.rstrip(_NAMES)
    return line[len(left) :] if len(name) > len(left) else b""


def _joined(data: bytes, runs: bytes, start: int, end: int) -> int:
    """Where a run ends that goes on over lines of its own width, the last of which may be shorter."""
    width = end - start
    while (gap := _BREAK.match(data, end)) and width:
        after = runs.find(b" ", gap.end())
        after = len(runs) if after < 0 else after
        size = after - gap.end()
        ends = data[after : after + 1] in (b"", b"\n", b"\r", b"=", b'"')
        if size < 2 or size > width or (size < len(_RUN) and not ends):
            break
        end, width = after, width if size == width else 0
    return end


def _sieved64(data: bytes, runs: bytes) -> list[Run]:
    """Runs of base64 in which six groups of four characters hold readable text."""
    firsts = data.translate(_FIRST)
    if _QUADS not in firsts[::4] + firsts[1::4] + firsts[2::4] + firsts[3::4] or (
        len(data) <= SMALL and len(set(data)) < VARIED
    ):
        return []
    found: set[Run] = set()
    for shift in range(4):
        sieve = firsts[shift::4]
        if (at := sieve.find(_QUADS)) >= 0:
            found.update(_quads(data, runs, sieve, shift, at))
    return sorted(found)


def _quads(data: bytes, runs: bytes, sieve: bytes, shift: int, at: int) -> Iterator[Run]:
    tries = 0
    while at >= 0:
        place = at * 4 + shift
        gap = runs.rfind(b" ", place, place + 24)
        if gap >= 0:
            at = (gap + 4 - shift) // 4
        elif _fits(data[place : place + 24]) or (tries := tries + 1) % TRIES == 0:
            start, end = _around(runs, place)
            yield start, end, place - (place - start) // 4 * 4
            at = (end + 3 - shift) // 4
        else:
            at += 1
        at = sieve.find(_QUADS, at)


def _fits(piece: bytes) -> bool:
    return not piece[1::4].translate(None, _SECOND) and not piece[2::4].translate(None, _THIRD)


def _sieved16(nibbles: bytes) -> list[Run]:
    """Runs of hex in which twelve bytes are readable text."""
    found: set[Run] = set()
    for shift in range(2):
        sieve = nibbles[shift::2]
        if (at := sieve.find(_BYTES)) >= 0:
            found.update(_pairs(nibbles, sieve, shift, at))
    return sorted(found)


def _pairs(nibbles: bytes, sieve: bytes, shift: int, at: int) -> Iterator[Run]:
    while at >= 0:
        place = at * 2 + shift
        gap = nibbles.rfind(b" ", place, place + 24)
        if gap >= 0:
            at = (gap + 2 - shift) // 2
        else:
            start, end = _around(nibbles, place)
            yield start, end, place - (place - start) // 2 * 2
            at = (end + 1 - shift) // 2
        at = sieve.find(_BYTES, at)


def _begun(data: bytes, runs: bytes, magic: tuple[re.Pattern[bytes], re.Pattern[bytes]]) -> Iterator[Run]:
    """Runs that begin as gzip or zlib does; gzip, which is told by more bytes, may begin within one."""
    for pattern in magic:
        start = end = tries = 0
        for match in pattern.finditer(data) if pattern.search(data) else ():
            place = match.start()
            if place >= end:
                start, end = _around(runs, place)
                tries = 0
            tries += 1
            if end - place >= len(_RUN) and (start == place or (pattern is magic[0] and tries <= STARTS)):
                yield start, end, place


def _around(runs: bytes, place: int) -> tuple[int, int]:
    end = runs.find(b" ", place)
    return runs.rfind(b" ", 0, place) + 1, len(runs) if end < 0 else end


def _base64(packed: bytes) -> bytes:
    """Bytes of base64 of either alphabet, over lines and without padding."""
    clean = packed.translate(_URL, b"\r\n\t =")
    over = len(clean) % 4
    return binascii.a2b_base64(clean[:-1] if over == 1 else clean + b"==="[over - 1 :] if over else clean)


def _hex(packed: bytes) -> bytes:
    clean = packed.translate(None, b"\r\n\t ")
    return binascii.unhexlify(clean[: len(clean) // 2 * 2])


def unpacked(data: bytes, limit: int) -> bytes:
    """The text that bytes are: what gzip or zlib holds (at most `limit` bytes of it), UTF-16 as UTF-8, others as is."""
    for _ in range(LAYERS):
        if not data.startswith(_GZIP) and data[:2] not in _ZLIB:
            break
        data = _inflated(data, limit) or data
    if b"\0" in data:
        evens, odds = data[::2].count(0), data[1::2].count(0)
        if max(evens, odds) * 3 > len(data) > min(evens, odds) * 10:
            return data.decode("utf-16-be" if evens > odds else "utf-16-le", "replace").encode("utf-8", "replace")
    return data


def _inflated(data: bytes, limit: int) -> bytes:
    """What gzip or zlib holds, its first part if it is damaged or long; nothing if it is none."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, max(1, limit))
    except zlib.error:
        # two bytes of zlib begin honest texts, too
        return _salvaged(data, max(1, limit)) if data.startswith(_GZIP) else b""


def _salvaged(data: bytes, limit: int) -> bytes:
    """What stands before the damage in gzip: a wrong checksum at its end comes after everything."""
    reader, parts = zlib.decompressobj(zlib.MAX_WBITS | 32), list[bytes]()
    close = max(0, len(data) - CLOSE)
    steps = (*range(0, close, CLOSE), *range(close, len(data)), len(data))
    with suppress(zlib.error):  # what came before it is kept
        parts.extend(reader.decompress(data[start:end], limit) for start, end in pairwise(steps))
    return b"".join(parts)
