"""JSON-RPC messages from and to lines of JSON (JSON-RPC 2.0, MCP's stdio transport).

No I/O here, and no repair: what isn't exactly one message is told apart, never guessed.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from gateway.transport.pipes import Overlong

INVALID_ANSWER = "the answer was no valid result"
LEVELS = 200  # of objects and arrays in one message of a client's
UPSTREAM_LEVELS = 1_500  # in one of an upstream's: a definition that is too deep must not take the whole list with it
RECURSION = 4_000  # frames that Python has to allow for that; whoever runs a gateway sets it
_ENCODER = msgspec.json.Encoder()
_MISSING: Any = msgspec.UNSET
_NESTS = frozenset((dict, list))


class _Envelope(msgspec.Struct):
    """Everything that a message can hold; unknown members are skipped."""

    jsonrpc: Any = None
    id: Any = _MISSING
    method: Any = _MISSING
    params: Any = _MISSING
    result: Any = _MISSING
    error: Any = _MISSING


class _Address(msgspec.Struct):
    """What tells whose answer a line is; the rest of the line is skipped, so that it may hold what can't be decoded."""

    id: Any = None
    method: Any = None


_DECODER = msgspec.json.Decoder(_Envelope)
_ADDRESS = msgspec.json.Decoder(_Address)
_VERSION = rb'"jsonrpc"\s*:\s*"2\.0"\s*'
# The id of an answer whose line can't be decoded: only where it provably is a member of the outermost object.
_HEAD = re.compile(
    rb"\s*\{\s*(?:"
    + _VERSION
    + rb',\s*)?"id"\s*:\s*(0|[1-9]\d{0,17})\s*,\s*(?:'
    + _VERSION
    + rb',\s*)?"(?:result|error)"'
)
_TAIL = re.compile(_VERSION + rb',\s*"id"\s*:\s*(0|[1-9]\d{0,17})\s*\}\s*\Z')
# A line that asks, told by its first members; its id is among them (the SDK for Python) or at the end (for TypeScript).
_ID = rb'"id"\s*:\s*(0|[1-9]\d{0,17}|"[^"\\]{1,64}")\s*'
_ASKS = re.compile(rb"\s*\{\s*(?:" + _VERSION + rb",\s*)?(?:" + _ID + rb",\s*)?(?:" + _VERSION + rb',\s*)?"method"')
_ASKS_TAIL = re.compile(_VERSION + rb",\s*" + _ID + rb"\}\s*\Z")


class MalformedError(Exception):
    """A line that is no JSON-RPC message; `code` is what JSON-RPC answers to it, `id` its id where one can be read."""

    def __init__(self, code: int, message: str, id: RequestId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


def encode(message: JSONRPCMessage) -> bytes:
    """Encode a message as one line with its line feed; a `msgspec.Raw` inside goes out as it is.

    Raises `ValueError` for what JSON can't carry.
    """
    fields = message.__dict__
    if isinstance(message, JSONRPCError):
        fields = {"jsonrpc": "2.0", "id": message.id, "error": message.error.model_dump(exclude_unset=True)}
    elif fields.get("params", _MISSING) is None:
        fields = {name: value for name, value in fields.items() if name != "params"}
    try:
        return _ENCODER.encode_lines([fields])  # a list: msgspec 0.22 leaks the iterator of anything else
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError, RecursionError) as problem:
        raise ValueError(f"no JSON message: {type(problem).__name__}") from None


def decode(line: bytes, levels: int = LEVELS) -> JSONRPCMessage | MalformedError:
    """Decode one line; an answer that is broken but whose id is known becomes an error answer for that id (-32603).

    More than `levels` of nesting are refused.
    """
    try:
        envelope = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        return _undecodable(line, isinstance(problem, msgspec.ValidationError))
    brackets = line.count(b"{") + line.count(b"[") if len(line) > 2 * levels else 0
    if brackets > levels and deeper([envelope.params, envelope.result, envelope.error], levels + 1):
        return _undecodable(line, is_json=False, text=f"nested more than {levels} levels deep")
    if envelope.jsonrpc != "2.0":
        return MalformedError(INVALID_REQUEST, 'expected `"jsonrpc": "2.0"`', _request_id(envelope.id))
    if envelope.method is _MISSING:
        return _answer(envelope)
    return _question(envelope)


def decode_overlong(line: Overlong) -> JSONRPCError | MalformedError:
    """What is known of a line over the limit: whose request it is, or an error answer for the call that it answers."""
    text = line.text
    if _ASKS.match(line.head):
        return MalformedError(PARSE_ERROR, text, _asker(line.head, line.tail))
    found = _HEAD.match(line.head) or _TAIL.search(line.tail)
    if found is not None:
        return failed(int(found.group(1)), f"the answer was a {text}")
    return MalformedError(PARSE_ERROR, text)


def failed(id: RequestId | None, message: str, code: int = INTERNAL_ERROR) -> JSONRPCError:
    """An error answer of our own making."""
    error = ErrorData.model_construct({"code", "message"}, code=code, message=message)
    return JSONRPCError.model_construct(jsonrpc="2.0", id=id, error=error)


def deeper(value: Any, limit: int) -> bool:
    """Whether objects and arrays are nested more than `limit` deep, found level by level and not by recursion."""
    level: Iterable[Any] = (value,)
    for _ in range(limit + 1):
        inner = [each.values() if type(each) is dict else each for each in level if type(each) in _NESTS]
        if not inner:
            return False
        level = itertools.chain.from_iterable(inner)
    return True


def _request_id(value: Any) -> RequestId | None:
    """A string or an integer; a bool is neither (it would alias 1)."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return None


def _question(envelope: _Envelope) -> JSONRPCMessage | MalformedError:
    """A request, or without an id a notification."""
    id, method, params = envelope.id, envelope.method, envelope.params
    if params is _MISSING:
        params = None
    if not isinstance(method, str):
        return MalformedError(INVALID_REQUEST, "expected `method` to be a string", _request_id(id))
    if params is not None and not isinstance(params, dict):
        return MalformedError(INVALID_REQUEST, "expected `params` to be an object", _request_id(id))
    if id is _MISSING:
        return JSONRPCNotification.model_construct(jsonrpc="2.0", method=method, params=params)
    if _request_id(id) is None:
        return MalformedError(INVALID_REQUEST, "expected `id` to be a string or an integer")
    return JSONRPCRequest.model_construct(jsonrpc="2.0", id=id, method=method, params=params)


def _answer(envelope: _Envelope) -> JSONRPCMessage | MalformedError:
    """A result or an error; anything else under a known id is an error answer."""
    id, error = _request_id(envelope.id), envelope.error
    if id is None:
        return MalformedError(INVALID_REQUEST, "expected a method, or an answer with an id")
    if error is _MISSING or error is None:
        if isinstance(envelope.result, dict):
            return JSONRPCResponse.model_construct(jsonrpc="2.0", id=id, result=envelope.result)
        return failed(id, INVALID_ANSWER)
    match error:
        case {"code": int() as code, "message": str() as message} if not isinstance(code, bool):
            data = error.get("data")
            return JSONRPCError.model_construct(
                jsonrpc="2.0", id=id, error=ErrorData.model_construct(code=code, message=message, data=data)
            )
        case _:
            return failed(id, INVALID_ANSWER)


def _asker(head: bytes, tail: bytes) -> RequestId | None:
    """The id of a request that can't be decoded, if its head or its end shows one."""
    first, last = _ASKS.match(head), _ASKS_TAIL.search(tail)
    shown = (first and first.group(1)) or (last and last.group(1))
    try:
        return None if shown is None else msgspec.json.decode(shown, type=int | str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _undecodable(line: bytes, is_json: bool, text: str = "parse error") -> JSONRPCError | MalformedError:
    """Tell whose answer an undecodable line was, or that nobody knows."""
    try:
        address = _ADDRESS.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if _ASKS.match(line):
            return MalformedError(PARSE_ERROR, text, _asker(line, line[-200:]))
        found = _HEAD.match(line) or _TAIL.search(line[-200:])
        if found is not None:
            return failed(int(found.group(1)), INVALID_ANSWER)
    else:
        if address.method is None and (id := _request_id(address.id)) is not None:
            return failed(id, INVALID_ANSWER)
        if address.method is not None:
            return MalformedError(PARSE_ERROR, text, _request_id(address.id))
    if is_json:
        return MalformedError(INVALID_REQUEST, "expected one JSON object; batches are not supported")
    return MalformedError(PARSE_ERROR, text)
