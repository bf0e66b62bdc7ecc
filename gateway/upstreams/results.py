"""What an upstream's answer means, checked per method as far as the gateway relies on it.

No I/O, and nothing is repaired: an answer that breaks a rule becomes an error. What was meant for this hop only, or for
one client from a server, is taken off.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    INTERNAL_ERROR,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)

from gateway.core.model import QUESTIONS, Asked, Failure, Question, Reply, Result

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
FOREIGN = ("anthropic/", "dev.wardgate/")  # a server's word to one client, and what could pose as ours


def read_result(method: str, value: Mapping[str, Any], modern: bool) -> Reply:
    """The reply that a raw result is."""
    kind = value.get("resultType", "complete")
    if kind == "input_required" and modern and method in _MAY_ASK:
        return _read_asked(value)
    if kind != "complete":
        return _failure("the upstream's answer has an unknown result type")
    meta = value.get("_meta", {})
    if not isinstance(meta, dict):
        return _failure("the upstream's answer is no valid result: `_meta` has a wrong type")
    result = {key: part for key, part in value.items() if key not in ("resultType", "_meta")}
    wrong = _CHECKS[method](result)
    if wrong:
        return _failure(f"the upstream's answer is no valid result: {wrong}")
    if meta and (kept := pass_meta(meta)):
        result["_meta"] = kept
    return Result(result)


def pass_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `_meta` from an upstream that passes on."""
    return {key: part for key, part in meta.items() if key not in _OWN_HOP and not key.startswith(FOREIGN)}


def read_question(key: str, method: Any, params: Any) -> Question | None:
    """A question, with what passes of its `_meta`; None for what is none."""
    if method not in QUESTIONS or not isinstance(params, dict | None):
        return None
    asked = {name: part for name, part in (params or {}).items() if name != "_meta"}
    meta = (params or {}).get("_meta", {})
    if not isinstance(meta, dict):
        return None
    if meta and (kept := pass_meta(meta)):
        asked["_meta"] = kept
    return Question(key, method, asked)


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
    for place, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return "`content` is no list of blocks"
        if "_meta" in block:
            content[place] = _clean(block)
    return "" if isinstance(result.get("isError", False), bool) else "`isError` has a wrong type"


def _check_read(result: dict[str, Any]) -> str:
    contents = result.get("contents")
    if not isinstance(contents, list):
        return "`contents` is no list"
    for place, item in enumerate(contents):
        if not isinstance(item, dict) or not isinstance(item.get("uri"), str):
            return "`contents` holds something without a URI"
        if not isinstance(item.get("text"), str) and not isinstance(item.get("blob"), str):
            return "`contents` holds something without `text` or `blob`"
        if "_meta" in item:
            contents[place] = _clean(item)
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
        if "_meta" in content:
            message["content"] = _clean(content)
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


def _clean(block: Mapping[str, Any]) -> dict[str, Any]:
    meta = block["_meta"]
    kept = pass_meta(meta) if isinstance(meta, dict) else {}
    return {**{k: v for k, v in block.items() if k != "_meta"}, **({"_meta": kept} if kept else {})}


def _failure(message: str) -> Failure:
    return Failure(INTERNAL_ERROR, message)
