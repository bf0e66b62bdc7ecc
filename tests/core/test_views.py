"""A secret is found however it is spelled or packed, as the very bytes that it came from, and within bounds."""

import base64
import gzip
import html
import json
import random
import re
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core import folded, packed, spelled
from gateway.core.secrets import Span
from gateway.core.traced import APART, Budget, Traced
from gateway.core.views import FACTOR, GENERATIONS, LEAST, MOST, OVERLAP, PART, REGIONS, look

SHAPE = re.compile(rb"tok_[0-9a-f]{12}")
KEYED = re.compile(rb"""password["']?\s*[:=]\s*["']?([A-Za-z0-9+/]{10,})""")
T = "tok_" + "0123456789ab"
PROSE = "a note that is long enough to fill the lines of what it is packed into, and says nothing at all: "


def find(data: bytes) -> list[Span]:
    """A scanner that knows one shape, and one by the key before it; it is strict about what it gets."""
    data.decode("utf-8")
    return [
        *(Span(*match.span(), "tok", match[0]) for match in SHAPE.finditer(data)),
        *(Span(*match.span(1), "password", match[1]) for match in KEYED.finditer(data)),
    ]


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def each(shape: str) -> Callable[[str], str]:
    return lambda text: "".join(shape.format(ord(char)) for char in text)


def shifted(text: str, by: int) -> str:
    return "".join(chr(ord(char) + by) for char in text)


def lines(text: str, width: int, end: str) -> str:
    coded = b64(text)
    return end.join(coded[at : at + width] for at in range(0, len(coded), width))


ALIKE = str.maketrans("aeopckbt", "аеорскьт")

SPELLED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": each("%{:02x}"),
    "percent, in part": lambda text: text.replace("_", "%5F").replace("9", "%39"),
    "percent, twice": each("%25{:02X}"),
    "percent, thrice": each("%2525{:02X}"),
    "percent, mixed": lambda text: each("%{:02x}")(text[:4]) + each("%25{:02x}")(text[4:]),
    "escapes of four digits": each("\\u{:04x}"),
    "escapes of four digits, in part": lambda text: text.replace("k", "\\u006B"),
    "escapes of JSON in JSON": each("\\\\u{:04x}"),
    "escapes of two digits": each("\\x{:02x}"),
    "escapes in braces": each("\\u{{{:x}}}"),
    "escapes of eight digits": each("\\U{:08x}"),
    "octal escapes": each("\\{:03o}"),
    "decimal entities": each("&#{:d};"),
    "entities with zeros": each("&#00{:d};"),
    "entities without an end": each("&#{:d}"),
    "hex entities": each("&#x{:x};"),
    "entities, twice": each("&amp;#{:d};"),
    "named entities": lambda text: text.replace("_", "&lowbar;"),
    "full width": lambda text: shifted(text, 0xFEE0),
    "styled letters": lambda text: "".join(chr(0x1D5BA + ord(char) - 97) if char.isalpha() else char for char in text),
    "letters in circles": lambda text: "".join(
        chr(0x24D0 + ord(char) - 97) if char.isalpha() else char for char in text
    ),
    "zero width": "\u200b".join,
    "zero width, once": lambda text: f"{text[:7]}\u2060\u200d{text[7:]}",
    "soft hyphen": "\u00ad".join,
    "marks over letters": lambda text: f"{text[:1]}\u0301{text[1:]}",
    "look-alikes": lambda text: text.translate(ALIKE),
    "Greek look-alikes": lambda text: text.replace("o", "ο").replace("a", "α"),
    "letters that are not shown": lambda text: shifted(text, 0xE0000),
    "a ligature beside it": lambda text: f"ｏﬃce {text[:5]}\u200b{text[5:]}".removeprefix("ｏﬃce "),
    "percent of full width": lambda text: quote(shifted(text, 0xFEE0)),
    "escapes and zero width": lambda text: "\u200b".join(f"\\u{ord(char):04x}" for char in text),
    "escaped zero width": "\\u200b".join,
}
PACKED: dict[str, Callable[[str], str]] = {
    "base64": lambda text: b64(f"it is {text} ok"),
    "base64, alone": lambda text: b64(f"xx{text}"),
    "base64, other alignment": lambda text: "A" + b64(f"it is {text} ok"),
    "base64, third alignment": lambda text: "v1/" + b64(f"it is {text} ok"),
    "base64 without padding": lambda text: b64(f"it is {text} ok").rstrip("="),
    "base64 cut off": lambda text: b64(f"it is {text} ok, and more")[:-7],
    "base64url": lambda text: base64.urlsafe_b64encode(f"?>?>~~~ {text} ok".encode()).decode(),
    "base64, twice": lambda text: b64(b64(f"it is {text} ok")),
    "base64 in lines": lambda text: lines(PROSE + text + PROSE, 76, "\n"),
    "base64 in lines of network text": lambda text: lines(PROSE + text + PROSE, 64, "\r\n"),
    "base64 in indented lines": lambda text: lines(PROSE + text + PROSE, 60, "\n    "),
    "base64 among bytes": lambda text: b64(b"\xff\xfe\x80" + (PROSE + text).encode() + b"\xff\0"),
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
    "hex in lines": lambda text: "\n".join(re.findall("..{1,59}", (PROSE + text).encode().hex())),
    "hex of base64": lambda text: b64(f"it is {text} ok").encode().hex(),
    "base64 of hex": lambda text: b64(text.encode().hex()),
    "base64 of percent": lambda text: b64(each("%{:02x}")(text)),
    "gzip": lambda text: b64(gzip.compress((PROSE + text).encode())),
    "gzip in lines": lambda text: lines_of(gzip.compress(random.Random(1).randbytes(90) + text.encode())),
    "gzip in hex": lambda text: gzip.compress((PROSE + text).encode()).hex(),
    "gzip twice": lambda text: b64(gzip.compress(gzip.compress((PROSE + text).encode()))),
    "gzip of base64": lambda text: b64(gzip.compress(b64(PROSE + text).encode())),
    "gzip of UTF-16": lambda text: b64(gzip.compress((PROSE + text).encode("utf-16"))),
    "gzip of the other UTF-16": lambda text: b64(gzip.compress((PROSE + text).encode("utf-16-be"))),
    "zlib": lambda text: b64(zlib.compress((PROSE + text).encode())),
    "zlib, little": lambda text: b64(zlib.compress((PROSE + text).encode(), 1)),
    "zlib, much": lambda text: b64(zlib.compress((PROSE + text).encode(), 9)),
    "zlib in hex": lambda text: zlib.compress((PROSE + text).encode()).hex(),
    "percent of base64": lambda text: each("%{:02x}")(b64(f"it is {text} ok")),
    "base64 with zero width": lambda text: "\u200b".join(b64(f"it is {text} ok!!!!")),
}


def lines_of(data: bytes) -> str:
    coded = b64(data)
    return "\n".join(coded[at : at + 64] for at in range(0, len(coded), 64))


@pytest.mark.parametrize("frame", ['é x = "{}" y', "- {}\n- z", "{}"], ids=["quoted", "in a list", "alone"])
@pytest.mark.parametrize("code", [*SPELLED.values(), *PACKED.values()], ids=[*SPELLED, *PACKED])
def test_a_secret_is_found_as_the_bytes_that_it_came_from(code: Callable[[str], str], frame: str) -> None:
    coded = code(T)
    data = frame.format(coded).encode()
    spans = look(data, find)
    assert {span.secret for span in spans} == {T.encode()}
    assert {span.kind for span in spans} == {"tok"}
    low, high = min(span.start for span in spans), max(span.end for span in spans)
    assert data[low:high].decode() == coded


def test_what_is_found_stays_exact_and_keeps_its_kind() -> None:
    def own(data: bytes) -> list[Span]:
        return [Span(*match.span(), "own", match[0], exact=True) for match in SHAPE.finditer(data)]

    (span,) = look(each("%{:02x}")(T).encode(), own)
    assert (span.kind, span.exact, span.secret) == ("own", True, T.encode())


def test_what_stands_plain_beside_an_escape_is_told_once() -> None:
    assert len(look(f"{T} %41%42 \\u0041 &#65;".encode(), find)) == 1


@pytest.mark.parametrize(
    "line",
    [
        'password%3D%22abcdefghij12"',
        '{\\"password\\": \\"abcdefghij12\\"}',
        '{\\"password\\":\\"abcdefghij12\\"}',
        "password=&quot;abcdefghij12&quot;",
        "password: &#39;abcdefghij12&#39;",
        "password = &amp;quot;abcdefghij12&amp;quot;",
        "a=%7B%22password%22%3A+%22abcdefghij12%22%7D",
        "ｐａｓｓｗｏｒｄ = abcdefghij12",
        "pаssword = abcdefghij12",
        "first\\npassword=abcdefghij12",
        "see%20password=abcdefghij12%2B",
    ],
)
def test_a_key_in_the_same_line_is_read_too(line: str) -> None:
    data = f"x\n{line}\ny".encode()
    found = {data[span.start : span.end] for span in look(data, find) if span.secret.startswith(b"abcdefghij12")}
    assert any(b"abcdefghij12" in piece for piece in found)


@pytest.mark.parametrize(
    "line",
    ['"password": "{}"', "password: {}", "password={}", 'x: {{"password" :\t"{}"}}'],
    ids=["JSON", "YAML", "env", "spaces"],
)
def test_what_is_packed_is_read_with_the_key_before_it(line: str) -> None:
    hidden = b64("s3cr3tAndMoreOfIt99")
    data = f"kind: Secret\n{line.format(hidden)}\n".encode()
    (span,) = (span for span in look(data, find) if span.secret.startswith(b"s3cr3t"))
    assert data[span.start : span.end].decode() == hidden


def test_what_has_no_key_or_is_long_stands_alone() -> None:
    seen: list[bytes] = []

    def watch(data: bytes) -> list[Span]:
        seen.append(data)
        return []

    long = "word " * 150
    for text in (
        "it is " + b64("some words that say nothing"),
        "= " + b64("some words that say nothing"),
        f"key = {b64(long)}",
    ):
        look(text.encode(), watch)
    assert [view.removesuffix(APART) for view in seen[1::2]] == [
        b"some words that say nothing",
        b"some words that say nothing",
        long.encode(),
    ]


def test_a_block_of_a_key_is_read_whole_where_one_line_of_it_is_spelled_otherwise() -> None:
    seen: list[bytes] = []

    def watch(data: bytes) -> list[Span]:
        seen.append(data)
        return []

    block = "x\n-----BEGIN A KEY-----\nabc\nde\u200bf\nghi\n-----END A KEY-----\ny"
    look(block.encode(), watch)
    assert seen[1].startswith(b"-----BEGIN A KEY-----\nabc\ndef\nghi\n")
    look(block.partition("-----END")[0].replace("de\u200bf", "\\x61 \n-\n \\x61").encode(), watch)
    assert seen[-1].startswith(b"-----BEGIN A KEY-----\nabc\na \n-\n a\nghi\n")
    look(("-----\n" + "x\n" * 5_000 + "a\\x61\n").encode(), watch)
    assert seen[-1] == b"aa" + APART


HONEST = {
    "prose": "the quick brown fox, 100 % of it & more \\ here",
    "umlauts": "Der flinke Fuchs springt über den Hund – „danach“ schläft er",
    "Russian": "Съешь же ещё этих мягких булок на сервере HTTP-2",
    "Chinese": "敏捷的棕色狐狸（版本 2.1，发布）",
    "emoji": "👩‍💻 ok ✌️ and ❤️",
    "code": 'print("a\\n")\nre.compile("\\\\s+%d")\nif a & b: pass',
    "URL": "https://example.com/a%20b?x=1&amp;y=2",
    "markup": "<p>Tom &amp; Jerry &lt;3 &nbsp; don&#39;t</p>",
    "hashes": "da39a3ee5e6b4b0d3255bfef95601890afd80709 123e4567-e89b-12d3-a456-426614174000 7801",
    "paths": "gateway/core/model/vocabulary/and/so/on/and/so/forth_with_under_scores",
    "digits": "111111111111111111111111111111 2,3,4,5,6,7,2,3,4,5,6,7,2,3,4,5,6,7",
    "integrity": "sha512-" + b64(random.Random(5).randbytes(64)),
    "not gzip": f"H4sIaaaa eJz{'/' * 30} 789cff{'a' * 30} H4sI{'/' * 30} aeJz{'/' * 30}",
    "codes that are none": "\\u{110000} &#99999999; &nosuch; \\u12 %zz",
}


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_honest_text_is_looked_at_once(text: str) -> None:
    seen: list[bytes] = []
    assert look(text.encode(), lambda data: seen.append(data) or []) == []  # type: ignore[func-returns-value]  # append gives None
    assert seen == [text.encode()]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("\\x41\\n\\t\\r\\\\\\q\\/", "A\n\t\r\\q/"),
        ("\\/a\\nb\\\\\\c", "/a\nb\\c"),
        ("\\u00e9\\u0041", "éA"),
        ("\\ud83d\\x41", "?A"),
        ("%41&copy;&nosuch;&#99999999;&#x110000;", "A©&nosuch;&#99999999;&#x110000;"),
        ("%41%C3%A9", "Aé"),
        ("%41%FF", "A "),
        ("%25%41", "%A"),
        ("\\101\\u{42}\\U00000043", "ABC"),
    ],
)
def test_codes_mean_what_they_say(text: str, meant: str) -> None:
    view = Traced(Budget(1_000, 10))
    spelled.decode(text.encode(), view)
    assert view.join().removesuffix(APART).decode() == meant


def test_letters_are_folded_one_by_one() -> None:
    view = Traced(Budget(1_000, 10))
    folded.decode("é ｔｏｋ\u200b_ﬃ ℡ é".encode(), view)
    assert view.join().removesuffix(APART).decode() == "é tok_ffi TEL é"


def test_a_long_line_is_read_around_what_is_spelled_otherwise() -> None:
    far = "x" * spelled.AROUND * 2
    data = f"{far}{each('%{:02x}')(T)}{far}{T[:4]}%3{T[4]}{T[5:]}{far}".encode()
    seen: list[int] = []

    def watch(part: bytes) -> list[Span]:
        seen.append(len(part))
        return find(part)

    assert [data[span.start : span.end].decode() for span in look(data, watch)] == [
        each("%{:02x}")(T),
        f"{T[:4]}%3{T[4]}{T[5:]}",
    ]
    assert seen[1] < len(data)


def test_what_is_large_is_viewed_in_parts_that_overlap() -> None:
    coded = each("%{:02x}")(T)
    for at in (PART - 20, PART + 10, PART + OVERLAP - 20, 2 * PART + OVERLAP):
        data = "é\n".encode() * (at // 3) + f"\n{coded}\n".encode() + b"x\n" * PART
        (span,) = look(data, lambda part: find(part) if len(part) < PART else [])
        assert data[span.start : span.end].decode() == coded


def test_two_views_of_one_place_map_back_each_by_itself() -> None:
    data = "\n".join(
        [each("%{:02x}")(T), "between", each("\\x{:02x}")(T), b64(f"it is {T} ok"), T.encode().hex()]
    ).encode()
    assert {data[span.start : span.end].decode() for span in look(data, find)} == set(data.decode().split("\n")) - {
        "between"
    }


def test_lines_of_their_own_are_found_each_by_itself() -> None:
    """Joined they would be one word."""
    data = "\n".join(b64(f"{T} is one!") for _ in range(3)).encode()
    spans = look(data, lambda part: [span for span in find(part) if part[span.end : span.end + 1] == b" "])
    assert {(span.start, span.end) for span in spans} >= {(at * 33, at * 33 + 32) for at in range(3)}


def test_what_leaves_its_region_ends_with_it() -> None:
    def greedy(data: bytes) -> list[Span]:
        return [Span(data.index(b"A"), len(data), "k", b"s")] if APART in data else []

    data = b"x \\x41 y\n" + b"z\n" + b"\\x42"
    (span,) = set(look(data, greedy))
    assert data[span.start : span.end] == b"\\x41 y"


def test_our_markers_are_left_alone_in_views_too() -> None:
    marker = "[REDACTED:tok:1]"

    def shy(data: bytes) -> list[Span]:
        return [Span(*match.span(), "k", match[0]) for match in re.finditer(rb"\[REDACTED:tok:1\]", data)]

    for text in (quote(f"a={marker}&b"), b64(f"it was {marker} before"), f'\\"a\\": \\"{marker}\\"'):
        assert [
            span for span in look(text.encode(), shy) if text.encode()[span.start : span.end] != marker.encode()
        ] == []


def test_what_find_raises_is_raised() -> None:
    def broken(data: bytes) -> list[Span]:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        look(b"x", broken)


MEGA = 1 << 20
NOISE = random.Random(3).randbytes(MEGA)
HARD: dict[str, bytes] = {
    "percent signs": b"%25" * (MEGA // 3),
    "backslashes": b"\\" * MEGA,
    "unfinished escapes": b"\\u{" * (MEGA // 3),
    "quotes": b'=\\"' * (MEGA // 3),
    "ampersands": b"&amp;" * (MEGA // 5),
    "lines of codes": b"%41\n" * (MEGA // 4),
    "regions of base64": b"aWFtYWxvbmdzdHJpbmdvZnRleHQ " * 100_000,
    "regions of hex": b"6162636465666768696a6b6c6d " * 100_000,
    "one line of base64": b"Zm9v" * (10 * MEGA // 4),
    "one line of one letter": b"a" * 10 * MEGA,
    "one line of noise": base64.b64encode(NOISE * 5),
    "NULs": b"\0" * MEGA,
    "marks over one letter": ("a" + "\u0301" * MEGA).encode(),
    "zero width": "a\u200b".encode() * (MEGA // 4),
    "mixed words": "aе\n".encode() * (MEGA // 4),
    "full width": "ａ é".encode() * (MEGA // 6),
    "a bomb": base64.b64encode(gzip.compress(b"a" * 64 * MEGA)),
    "bombs": b" ".join([base64.b64encode(zlib.compress(b"a" * MEGA, 9))] * 500),
    "starts of gzip": b"H4sI" * (MEGA // 4),
    "starts of zlib": b"eJwaaaaaaaaaaaaaaaaaaaaaaaaa " * (MEGA // 29),
    "starts of gzip in hex": b"1f8b08" * (MEGA // 6),
    "nearly base64 of text": b"IaaaIaaaIaaaIaaaIaaaIaaaIaaa" * (MEGA // 28),
    "lines of base64": b"Zm9vYmFyIGJhciBiYXogcXV4IGFuZCBtb3JlIG9mIGl0\n" * 20_000,
    "dashes": b"-----\\x41\n" * (MEGA // 10),
}


@pytest.mark.parametrize("data", HARD.values(), ids=HARD.keys())
@pytest.mark.timeout(60)
def test_hard_input_ends_soon_and_decodes_little(data: bytes) -> None:
    sizes: list[int] = []
    assert look(data, lambda part: sizes.append(len(part)) or []) == []  # type: ignore[func-returns-value]  # append gives None
    assert len(sizes) <= 1 + GENERATIONS * (1 + len(data) // PART)
    assert sum(sizes[1:]) <= min(MOST, LEAST + FACTOR * len(data)) + REGIONS * len(APART)


def test_over_the_budget_nothing_is_decoded() -> None:
    for module in (spelled, folded):
        view = Traced(Budget(100, 0))
        module.decode("%41 ａ".encode(), view)
        assert view.join() == b""
    data = b64("a text that is long enough for it").encode()
    view = Traced(Budget(0, 10))
    packed.decode(data, packed.suspect(data), view, set())
    assert view.join() == b""
    view = Traced(Budget(5, 10))
    packed.decode(data, packed.suspect(data), view, set())
    assert view.join() == b"a tex" + APART
    view.add(b"", list)
    assert view.join() == b""


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["%", "\\", "&", "&#", "\\u", "\\x", "\n", "\u200b", "-----", "[REDACTED:tok:1]", "=", "password: "]
    ),
    st.sampled_from([*SPELLED.values(), *PACKED.values()]).map(lambda code: code(T)),
    st.binary(max_size=40).map(b64),
    st.binary(max_size=40).map(bytes.hex),
    st.text(max_size=20).map(quote),
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=20).map(html.escape),
)


@given(st.lists(PIECES, max_size=6).map("".join))
@example("\udc80%41")
def test_it_never_raises_and_spans_lie_within(text: str) -> None:
    data = text.encode("utf-8", "replace")
    for span in look(data, find):
        assert 0 <= span.start < span.end <= len(data)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_text_do_no_harm(data: bytes) -> None:
    look(data, lambda part: [Span(0, len(part), "k", part)] if part else [])


@given(
    st.lists(st.sampled_from([*SPELLED.values(), *PACKED.values()]).map(lambda code: code(T)), min_size=1, max_size=4),
    st.sampled_from(["\n", " ", '", "', "\nx: "]),
)
def test_once_redacted_nothing_is_found_again(coded: list[str], between: str) -> None:
    data = between.join(coded).encode()
    for _ in range(4):
        spans = sorted({(span.start, span.end) for span in look(data, find)}, reverse=True)
        done = len(data)
        for start, end in spans:
            if end <= done:
                data = data[:start] + b"[REDACTED:tok:1]" + data[end:]
                done = start
        data.decode("utf-8")
    assert look(data, find) == []
    assert data.count(b"[REDACTED:tok:1]") >= 1
