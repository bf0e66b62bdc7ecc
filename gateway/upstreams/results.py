"""What an upstream's answer means, checked per method as far as the gateway relies on it.

No I/O, and nothing is repaired: an answer that breaks a rule becomes an error. What was meant for this hop only, or for
one client from a server, is taken off, in place: what is read here came off the wire and is nobody else's.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    INTERNAL_ERROR,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
    URL_ELICITATION_REQUIRED,
)

from gateway.core.model import BUSY, QUESTIONS, REFUSED, Asked, Failure, Question, Reply, Result

T = TypeVar("T")

MOST_QUESTIONS = 16  # at a time, of one call
LONGEST_KEY = 200  # characters of an upstream's own name for a question
_MAY_ASK = ("tools/call", "prompts/get", "resources/read")
_OWN_HOP = frozenset(
    {
        CLIENT_CAPABILITIES_META_KEY,
        CLIENT_INFO_META_KEY,
        LOG_LEVEL_META_KEY,
        PROTOCOL_VERSION_META_KEY,
        SERVER_INFO_META_KEY,
        SUBSCRIPTION_ID_META_KEY,
        "progressToken",
    }
)
_FOREIGN = ("anthropic/", "dev.wardgate/")  # a server's word to one client, and what could pose as ours
_DATA = frozenset({"structuredContent", "input", "inputSchema", "outputSchema", "requestedSchema"})
_OUR_CODES = frozenset({REFUSED, BUSY})  # with which the gateway alone refuses


def read_result(method: str, value: Mapping[str, Any], modern: bool) -> Reply:
    """The reply that a raw result is."""
    kind = value.get("resultType", "complete")
    if kind == "input_required" and modern and method in _MAY_ASK:
        return _read_asked(value)
    if kind != "complete":
        return _failure("the upstream's answer has an unknown result type")
    if not isinstance(value.get("_meta", {}), dict):
        return _failure("the upstream's answer is no valid result: `_meta` has a wrong type")
    result = clean({key: part for key, part in value.items() if key != "resultType"})
    wrong = _CHECKS[method](result)
    return _failure(f"the upstream's answer is no valid result: {wrong}") if wrong else Result(result)


def read_error(code: int, message: str, data: Any) -> Failure:
    """The failure that an upstream's error is: none of the gateway's own, and no way to have a page opened, which only
    a question may ask for.
    """
    if code == URL_ELICITATION_REQUIRED:
        return _failure("the upstream asked for an address to be opened first; an error can't ask for that here")
    return Failure(INTERNAL_ERROR if code in _OUR_CODES else code, message, clean(data))


def clean(value: T) -> T:
    """Take what is not for clients off whatever may carry it, and return it: foreign keys, and what is of this hop in
    each `_meta`. At every depth, but not within the data of a tool and within schemas, which are read as they are.
    """
    todo: list[Any] = [value]
    for part in todo:  # which grows meanwhile
        if isinstance(part, list):
            todo += (inner for inner in part if isinstance(inner, list | dict))
        elif isinstance(part, dict):
            for key in [key for key in part if key.startswith(_FOREIGN)]:
                del part[key]
            meta = part.pop("_meta", None)
            todo += (inner for key, inner in part.items() if isinstance(inner, list | dict) and key not in _DATA)
            if isinstance(meta, dict) and (kept := _passing(meta)):
                part["_meta"] = kept
    return value


def _passing(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in meta.items() if key not in _OWN_HOP and not key.startswith(_FOREIGN)}


def read_question(key: str, method: Any, params: Any) -> Question | None:
    """A question, with what passes of its `_meta`; None for what is none."""
    if method not in QUESTIONS or not isinstance(params, dict | None):
        return None
    asked = params or {}
    return Question(key, method, clean(dict(asked))) if isinstance(asked.get("_meta", {}), dict) else None


def _read_asked(value: Mapping[str, Any]) -> Reply:
    requests, state = value.get("inputRequests"), value.get("requestState")
    if not isinstance(requests, dict | None) or not isinstance(state, str | None) or (not requests and state is None):
        return _failure("the upstream asked something that is no valid question")
    if len(requests or {}) > MOST_QUESTIONS:
        return _failure(f"the upstream asked more than {MOST_QUESTIONS} questions at a time")
    questions: list[Question] = []
    for key, request in (requests or {}).items():
        fields = request if isinstance(request, dict) else {}
        question = read_question(key, fields.get("method"), fields.get("params"))
        if question is None or len(key) > LONGEST_KEY:
            return _failure("the upstream asked something that is no valid question")
        questions.append(question)
    return Asked(tuple(questions), state)


def _check_call(result: dict[str, Any]) -> str:
    content = result.setdefault("content", [] if "structuredContent" in result else None)
    if not isinstance(content, list):
        return "`content` is no list of blocks"
    for block in content:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return "`content` is no list of blocks"
    return "" if isinstance(result.get("isError", False), bool) else "`isError` has a wrong type"


def _check_read(result: dict[str, Any]) -> str:
    contents = result.get("contents")
    if not isinstance(contents, list):
        return "`contents` is no list"
    for item in contents:
        if not isinstance(item, dict) or not isinstance(item.get("uri"), str):
            return "`contents` holds something without a URI"
        if not isinstance(item.get("text"), str) and not isinstance(item.get("blob"), str):
            return "`contents` holds something without `text` or `blob`"
    return ""


def _check_prompt(result: dict[str, Any]) -> str:
    messages = result.get("messages")
    if not isinstance(messages, list):
        return "`messages` is no list"
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return "`messages` holds something that is no message"
        content = message.get("content")
        if not isinstance(content, dict) or not isinstance(content.get("type"), str):
            return "`messages` holds something that is no message"
    return ""


def _check_completion(result: dict[str, Any]) -> str:
    completion = result.get("completion")
    values = completion.get("values") if isinstance(completion, dict) else None
    fine = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return "" if fine else "`completion` has no list of values"


def _check_nothing(_result: dict[str, Any]) -> str:
    return ""


_CHECKS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "tools/call": _check_call,
    "resources/read": _check_read,
    "resources/subscribe": _check_nothing,
    "resources/unsubscribe": _check_nothing,
    "prompts/get": _check_prompt,
    "completion/complete": _check_completion,
}
METHODS = frozenset(_CHECKS)


def _failure(message: str) -> Failure:
    return Failure(INTERNAL_ERROR, message)
