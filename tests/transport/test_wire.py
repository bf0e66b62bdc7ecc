"""JSON-RPC messages from and to lines."""

import gc
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import (
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from gateway.transport.pipes import Overlong
from gateway.transport.wire import MalformedError, decode, decode_overlong, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
IDS = st.integers() | st.text()


@given(IDS, st.text(), st.none() | st.dictionaries(st.text(), JSON))
def test_a_message_survives_the_wire(id: int | str, method: str, value: dict[str, object] | None) -> None:
    messages: list[JSONRPCMessage] = [
        JSONRPCRequest(jsonrpc="2.0", id=id, method=method, params=value),
        JSONRPCNotification(jsonrpc="2.0", method=method, params=value),
        JSONRPCResponse(jsonrpc="2.0", id=id, result=value or {}),
        JSONRPCError(jsonrpc="2.0", id=id, error=ErrorData(code=-1, message=method, data=value)),
    ]
    for message in messages:
        line = encode(message)
        assert line.endswith(b"\n")
        assert b"\n" not in line[:-1]
        assert decode(line[:-1]) == message


def test_parameters_that_are_absent_stay_absent_and_raw_parts_go_out_as_they_are() -> None:
    assert encode(JSONRPCRequest(jsonrpc="2.0", id=1, method="m")) == b'{"jsonrpc":"2.0","id":1,"method":"m"}\n'
    raw = msgspec.Raw(b'{"z":1,"a":18446744073709551616}')
    sent = encode(JSONRPCRequest(jsonrpc="2.0", id=1, method="m", params={"arguments": raw}))
    assert sent == b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"z":1,"a":18446744073709551616}}}\n'


@pytest.mark.parametrize("value", ["\ud800", object(), {1: object()}], ids=["surrogate", "object", "nested"])
def test_what_json_cannot_carry_is_not_encoded(value: object) -> None:
    with pytest.raises(ValueError, match="no JSON message"):
        encode(JSONRPCResponse.model_construct(jsonrpc="2.0", id=1, result={"x": value}))


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"hello", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"m"', -32700, 1),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":{"x":"\xff"}}', -32700, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":{"x":1e400}}', -32700, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":{"x":NaN}}', -32700, 5),
        (b'{"method":"m","params":{"x":NaN},"jsonrpc":"2.0","id":"a"}', -32700, "a"),
        (b'{"method":"m","params":{"x":NaN},"jsonrpc":"2.0"}', -32700, None),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":{"x":"\\ud800"}}', -32700, 5),
        (b"[" * 100_000, -32600, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"m"}]', -32600, None),
        (b"7", -32600, None),
        (b'{"id":1,"method":"m"}', -32600, 1),
        (b'{"jsonrpc":"1.0","id":"a","method":"m"}', -32600, "a"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}', -32600, 1),
        (b'{"jsonrpc":"2.0","id":true,"method":"m"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":null,"method":"m"}', -32600, None),
        (b'{"jsonrpc":"2.0"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"result":{}}', -32600, None),
    ],
)
def test_what_is_no_message_is_told_with_its_code_and_id(line: bytes, code: int, id: object) -> None:
    found = decode(line)
    assert isinstance(found, MalformedError)
    assert (found.code, found.id) == (code, id)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":7}',
        b'{"jsonrpc":"2.0","id":7,"result":null}',
        b'{"jsonrpc":"2.0","id":7,"result":[1]}',
        b'{"jsonrpc":"2.0","id":7,"error":"no"}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":true,"message":"no"}}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":1}}',
        b'{"jsonrpc":"2.0","id":7,"result":{"x":"\xff"}}',
        b'{"jsonrpc":"2.0","id":7,"result":{"x":NaN}}',
        b'{"result":{"x":NaN},"jsonrpc":"2.0","id":7}',
        b'{"id":7,"jsonrpc":"2.0","result":{"x":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":7,"result":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    ],
)
def test_a_broken_answer_whose_id_can_be_read_becomes_an_error_answer(line: bytes) -> None:
    found = decode(line)
    assert isinstance(found, JSONRPCError)
    assert (found.id, found.error.code) == (7, -32603)


def test_an_id_that_is_inside_the_result_is_never_taken_for_the_answers_own() -> None:
    assert isinstance(decode(b'{"result":{"id":7,"result":NaN}}'), MalformedError)
    assert isinstance(decode(b'{"jsonrpc":"2.0","result":{"x":NaN,"id":7}}'), MalformedError)
    assert isinstance(decode(b'{"jsonrpc":"2.0","method":"m","params":{"id":7,"result":NaN}}'), MalformedError)


@pytest.mark.parametrize(
    ("head", "tail", "id"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"content":[', b"x", 7),
        (b'{"result":{"content":[', b'"}]},"jsonrpc":"2.0","id":7}', 7),
        (b"x" * 200, b"x" * 200, None),
    ],
    ids=["id first", "id last", "no message"],
)
def test_an_overlong_answer_fails_its_call_where_its_id_is_seen(head: bytes, tail: bytes, id: int | None) -> None:
    found = decode_overlong(Overlong(head, tail, 16 * 2**20))
    assert found.id == id
    assert isinstance(found, JSONRPCError) == (id is not None)


@pytest.mark.parametrize(
    ("head", "tail", "id"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"m","params":{', b"x", 7),
        (b'{"jsonrpc":"2.0","id":"a","method":"m","params":{', b"x", "a"),
        (b'{"method":"m","params":{', b'"}},"jsonrpc":"2.0","id":7}', 7),
        (b'{"method":"m","params":{', b'"}}}', None),
    ],
    ids=["id first", "a text", "id last", "a notification"],
)
def test_an_overlong_request_is_never_an_answer_and_keeps_its_id(
    head: bytes, tail: bytes, id: int | str | None
) -> None:
    found = decode_overlong(Overlong(head, tail, 16 * 2**20))
    assert isinstance(found, MalformedError)
    assert (found.code, found.id) == (-32700, id)


@given(st.binary(max_size=200))
def test_no_bytes_raise(line: bytes) -> None:
    decode(line)
    decode(b'{"jsonrpc":"2.0","id":1,"result":' + line + b"}")


def test_null_parameters_count_as_absent_and_an_error_of_null_as_none() -> None:
    request = decode(b'{"jsonrpc":"2.0","id":1,"method":"m","params":null}')
    assert isinstance(request, JSONRPCRequest)
    assert request.params is None
    assert isinstance(decode(b'{"jsonrpc":"2.0","id":1,"result":{},"error":null}'), JSONRPCResponse)


def test_encoding_leaves_nothing_behind() -> None:
    message = JSONRPCNotification(jsonrpc="2.0", method="m")
    encode(message)
    before = Counter(type(kept).__name__ for kept in gc.get_objects())
    for _ in range(500):
        encode(message)
    after = Counter(type(kept).__name__ for kept in gc.get_objects())
    assert [kind for kind, count in (after - before).items() if count > 100] == []
