"""A value as one text: the key that a scanner needs stands before a string, and every byte leads back to its leaf."""

import base64
import gzip
import random
import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.render import MAX_BARE, WHOLE, Form, LimitError, Rendering, render
from gateway.core.screen import Screening, screen
from gateway.core.secrets import Span
from gateway.core.views import look

LIMIT = 1_000_000
SHAPE = re.compile(rb"tok_[0-9a-f]{12}")
T, M = "tok_" + "0123456789ab", "[REDACTED:tok:1]"


def page(value: object) -> Rendering:
    return render(value, media=False, limit=LIMIT)


def find(data: bytes) -> list[Span]:
    return [Span(*match.span(), "tok", match[0]) for match in SHAPE.finditer(data)]


def clean(value: object) -> object:
    return screen(value, Screening(lambda data: look(data, find), lambda secret: "fp"), LIMIT).value


def blob(data: bytes) -> dict[str, str]:
    return {"blob": base64.b64encode(data).decode()}


LINES = {
    "a key that tells of secrets": ({"datadog": {"api_key": "X"}}, b'datadog.api_key = "X"'),
    "two above it": ({"a": {"b": {"c": {"token": "X"}}}}, b'b.c.token = "X"'),
    "through a list": ({"slack": [{"token": "X"}]}, b'slack.token = "X"'),
    "a list of them": ({"vault": {"tokens": ["X"]}}, b'vault.tokens = "X"'),
    "an identifier above it": ({"x1234": {"token": "X"}}, b'\ntoken = "X"'),
    "a surface above it": ({"structuredContent": {"token": "X"}}, b'\ntoken = "X"'),
    "any other key": ({"github": {"login": "X"}}, b'\nlogin = "X"'),
    "a key that says nothing": ({"password": {"value": "X"}}, b'password = "X"'),
    "one below any other": ({"city": {"value": "X"}}, b'\nvalue = "X"'),
    "one below nothing": ({"value": "X"}, b'value = "X"'),
    "a name beside it": ({"env": [{"name": "DB_PASSWORD", "value": "X"}]}, b'DB_PASSWORD = "X"'),
    "a name behind it": ({"fields": [{"value": "X", "label": "api key"}]}, b'api key = "X"'),
    "the second name": ({"name": "city", "key": "secretRef", "content": "X"}, b'secretRef = "X"'),
    "a name that is none": ({"name": "auth 123456", "value": "X"}, b'\nvalue = "X"'),
    "a name that is no text": ({"name": 7, "Value": "X"}, b'\nValue = "X"'),
}


@pytest.mark.parametrize(("value", "line"), LINES.values(), ids=LINES.keys())
def test_a_string_stands_behind_the_key_that_tells_what_it_is(value: object, line: bytes) -> None:
    rendering = page(value)
    assert line + b"\n" in b"\n" + rendering.data
    at = rendering.data.index(b'"X"') + 1
    ((leaf, start, end),) = rendering.locate(at, at + 1)
    assert rendering.leaf(leaf).data[start:end] == b"X"


PACKED: dict[str, Callable[[str], bytes]] = {
    "gzip": lambda text: gzip.compress(text.encode()),
    "zlib": lambda text: zlib.compress(text.encode()),
    "gzip twice": lambda text: gzip.compress(gzip.compress(text.encode())),
    "UTF-16 with a mark": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "gzip of bytes": lambda text: gzip.compress(b"\xff\0\xfe" + text.encode()),
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
@pytest.mark.parametrize("after", ["", random.Random(2).randbytes(4 * MAX_BARE).hex()], ids=["short", "long"])
def test_a_packed_blob_is_read_and_replaced_whole(pack: Callable[[str], bytes], after: str) -> None:
    value = {"mimeType": "x/y", **blob(pack(f"a {T} b {after}"))}
    assert clean(value) == {"mimeType": "x/y", **blob(M.encode())}


def test_a_packed_blob_that_holds_nothing_is_the_same() -> None:
    value = blob(gzip.compress(b"a text"))
    assert clean(value) is value
    rendering = page(value)
    assert b"a text" in rendering.data
    number = len(rendering.leaves) - 1
    assert rendering.leaf(number).form is Form.BLOB
    assert rendering.pieces[-1][3] == WHOLE
    start = rendering.data.index(b"a text")
    assert (number, 0, len(rendering.leaf(number).data)) in set(rendering.locate(start, start + 1))


def test_a_blob_that_only_looks_packed_is_read_as_it_is() -> None:
    for data in (
        b"\x1f\x8b\x08" + b"\xff" * 20 + T.encode(),
        b"x\x9c" + T.encode(),
        b"\0" * 90 + T.encode() + b"\0" * 90,
    ):
        assert base64.b64decode(str(dict(clean(blob(data)))["blob"])) == data.replace(T.encode(), M.encode())  # type: ignore[call-overload]  # a mapping of one


def test_a_bomb_is_refused() -> None:
    for data in (gzip.compress(b"a" * 2 * LIMIT), gzip.compress(gzip.compress(b"a" * 2 * LIMIT))):
        with pytest.raises(LimitError):
            page(blob(data))


def test_a_key_is_found_with_the_white_space_behind_it_and_never_with_more() -> None:
    rendering = page({"first": {"second": 1}})
    assert list(rendering.locate(0, 6)) == [(0, 0, 5)]
    assert list(rendering.locate(5, 12)) == [(1, 0, 6)]
    assert list(rendering.locate(0, 12)) == []
    assert list(rendering.locate(5, 6)) == []


def test_a_short_blob_that_was_redacted_is_clean() -> None:
    once = clean(blob(f"x={T}&more of the same".encode()))
    assert once == blob(f"x={M}&more of the same".encode())
    assert clean(once) is once


KEYS = st.sampled_from(["text", "token", "value", "name", "password", "blob", "x", "aws", "data", "tok", "kéy"])
VALUES = st.recursive(
    st.text(max_size=8) | st.sampled_from([T, "password", "auth", base64.b64encode(T.encode()).decode()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_every_byte_of_a_leaf_is_where_the_map_says(value: object) -> None:
    rendering = page(value)
    for start, end, leaf, offset in rendering.pieces:
        if offset != WHOLE:
            assert rendering.data[start:end] == rendering.leaf(leaf).data[offset : offset + end - start] or (
                rendering.leaf(leaf).form is Form.BLOB
            )
    assert all(first[1] <= second[0] for first, second in zip(rendering.pieces, rendering.pieces[1:], strict=False))


@given(VALUES)
def test_what_is_clean_stays_so(value: object) -> None:
    once = clean(value)
    assert clean(once) is once
