"""Whatever bytes come: a message, a refusal or an error answer, never an exception; and what is a message survives."""

import json
import os
from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from gateway.transport.pipes import EDGE, LineReader, Overlong
from gateway.transport.wire import LEVELS, MalformedError, decode, decode_overlong, deeper, encode

CODES = {-32700, -32600}
TEXT = st.text() | st.sampled_from(["\x00", "\u2028", "\u202e", "\ufeff", "a\nb", "\\ud800", '"}', "\U0010ffff"])
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
# Pieces that JSON-RPC lines are made of, and what breaks them.
PIECES = st.sampled_from(
    (
        *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"\xff", b"\xc3", b"\x00", b" ", b"\t"),
        *(b'"jsonrpc":"2.0"', b'"jsonrpc"', b'"2.0"', b'"method":"m"', b'"method":1', b'"params":{}', b'"params":[]'),
        *(b'"id":7', b'"id":"a"', b'"id":null', b'"id":1e0', b'"id":true', b'"id":[1]', b'"result":{}', b'"error":{}'),
        *(b'"result":null', b'"error":{"code":1,"message":"m"}', b"NaN", b"Infinity", b"-0", b"1e400", b"0.1", b"null"),
        *(b"9" * 400, b"9" * 5_000, b"\xef\xbb\xbf"),
    )
)
LINES = st.binary(max_size=300) | st.lists(PIECES, max_size=20).map(b"".join)


def judge(found: object) -> None:
    """What `decode` may say, and nothing else; and whatever it says can be written again."""
    if isinstance(found, MalformedError):
        assert found.code in CODES
        assert found.message
        assert found.id is None or (isinstance(found.id, int | str) and not isinstance(found.id, bool))
        return
    assert isinstance(found, JSONRPCRequest | JSONRPCNotification | JSONRPCResponse | JSONRPCError)
    again = decode(encode(found)[:-1])
    assert again == found or isinstance(again, JSONRPCError)  # the error keeps its id


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(LINES)
@example(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + b"9" * 5_000 + b"}}")
@example(b'{"jsonrpc":"2.0","id":' + b"9" * 4_000 + b',"method":"m"}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"\\ud800":1}}')
@example(b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"m"}')
@example(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"m","method":"n"}')
@example(b'{"jsonrpc":"2.0","id":"\x80","method":"m"')
@example(b'{"jsonrpc":"2.0","id":"\x00","method":"m"')
@example(b'{"jsonrpc":"2.0","id":007,"method":"m"')
@example(b"")
def test_any_line_is_a_message_or_told_apart(line: bytes) -> None:
    judge(decode(line))


@given(LINES, LINES, st.integers(0, 2**40))
def test_any_overlong_line_is_told_apart(head: bytes, tail: bytes, limit: int) -> None:
    found = decode_overlong(Overlong(head[:EDGE], tail[-EDGE:], limit))
    assert isinstance(found, MalformedError | JSONRPCError)
    if isinstance(found, MalformedError):
        judge(found)


MESSAGES = st.one_of(
    st.builds(
        lambda id, method, params: JSONRPCRequest(jsonrpc="2.0", id=id, method=method, params=params),
        st.integers(-(2**70), 2**70) | TEXT,
        TEXT,
        st.none() | st.dictionaries(TEXT, JSON, max_size=4),
    ),
    st.builds(
        lambda method, params: JSONRPCNotification(jsonrpc="2.0", method=method, params=params),
        TEXT,
        st.none() | st.dictionaries(TEXT, JSON, max_size=4),
    ),
    st.builds(
        lambda id, result: JSONRPCResponse(jsonrpc="2.0", id=id, result=result),
        st.integers() | TEXT,
        st.dictionaries(TEXT, JSON, max_size=4),
    ),
)


@given(MESSAGES)
def test_a_message_survives_the_round_trip_and_takes_one_line(message: JSONRPCMessage) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line[:-1]) == message
    assert json.loads(line) == msgspec.json.decode(line)  # another's reader reads the same


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(MESSAGES, st.data())
def test_a_message_that_was_damaged_is_told_apart(message: JSONRPCMessage, data: st.DataObject) -> None:
    line = bytearray(encode(message)[:-1])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(line) - 1)))
        match data.draw(st.sampled_from(["change", "drop", "insert", "cut", "twice"])):
            case "change" if line:
                line[place] = data.draw(st.integers(0, 255))
            case "drop":
                del line[place : place + data.draw(st.integers(1, 5))]
            case "insert":
                line[place:place] = data.draw(PIECES)
            case "cut":
                del line[place:]
            case _:
                line += line[place:]
    judge(decode(bytes(line)))


def nested(kind: str, levels: int) -> bytes:
    opening, closing = (b'{"a":', b"}") if kind == "objects" else (b"[", b"]")
    return opening * levels + b"1" + closing * levels


@pytest.mark.parametrize("kind", ["objects", "arrays"])
@pytest.mark.parametrize("levels", [LEVELS - 1, LEVELS, 900, 5_000, 100_000, 3_000_000])
@pytest.mark.timeout(60)  # what takes time by the square of the levels takes days
def test_nesting_is_bounded_and_costs_no_time(kind: str, levels: int) -> None:
    inner = nested(kind, levels)
    request = decode(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + inner + b"}}")
    answer = decode(b'{"jsonrpc":"2.0","id":2,"result":{"a":' + inner + b"}}")
    bare = decode(inner)
    fits = levels < LEVELS
    assert isinstance(request, JSONRPCRequest if fits else MalformedError)
    assert isinstance(answer, JSONRPCResponse if fits else JSONRPCError)
    assert (request.id, answer.id) == (1, 2)  # whoever waits is answered
    assert isinstance(bare, MalformedError)


@pytest.mark.parametrize("cut", ["", "}", "}}"])
@pytest.mark.parametrize("levels", [300, 100_000])
def test_nesting_that_never_closes_is_told_apart(levels: int, cut: str) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"m","params":' + b'{"a":' * levels + cut.encode()
    found = decode(line)
    assert isinstance(found, MalformedError)
    assert found.id == 1


@pytest.mark.parametrize(
    ("value", "levels"), [(1, 0), ({}, 1), ([], 1), ({"a": [1]}, 2), ([{"a": 1}, [[{}]]], 4), ([[1], {"a": {}}], 3)]
)
def test_levels_are_counted(value: object, levels: int) -> None:
    assert not deeper(value, levels)
    assert levels == 0 or deeper(value, levels - 1)


def test_what_is_wide_is_not_deep() -> None:
    wide: dict[str, Any] = {"list": [{"a": [i]} for i in range(10_000)], "text": "[{" * 10_000}
    found = decode(encode(JSONRPCResponse(jsonrpc="2.0", id=1, result=wide))[:-1])
    assert isinstance(found, JSONRPCResponse)
    assert found.result == wide


def test_of_duplicate_keys_the_last_counts_and_only_that_is_sent_on() -> None:
    found = decode(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"x","method":"m","params":{"a":1,"a":2}}')
    assert isinstance(found, JSONRPCRequest)
    assert encode(found) == b'{"jsonrpc":"2.0","id":2,"method":"m","params":{"a":2}}\n'


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, max_size=6), st.integers(1, 64), st.integers(8, 400), st.booleans())
def test_however_the_bytes_arrive_the_same_lines_come_out(
    lines: Sequence[bytes], step: int, limit: int, ends: bool
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    whole = data.split(b"\n")[:-1]
    expected = [line if len(line) <= limit else None for line in whole if len(line) > limit or line.strip()]
    expected = expected[: next((i for i, line in enumerate(whole) if len(line) > 8 * limit), None)]

    async def through() -> list[bytes | None]:
        reading, writing = os.pipe()
        reader = LineReader(reading, limit)
        try:
            for start in range(0, len(data), step):
                reader.feed(data[start : start + step])
            os.close(writing)
            found: list[bytes | None] = []
            while (line := await reader.next()) is not None:
                (decode if isinstance(line, bytes) else decode_overlong)(line)  # type: ignore[operator]  # by its kind
                found.append(line if isinstance(line, bytes) else None)
            return found
        finally:
            reader.close()
            os.close(reading)

    found = anyio.run(through)
    assert found[: len(expected)] == expected
