"""`Answer` -> wire: results and errors in the shape of each method and era. Pure translation: no I/O, no decision."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY, SERVER_INFO_META_KEY

from gateway.core import words
from gateway.core.model import ELICIT, REFUSED, Answer, Approval, Asking, Call, Done, Held, Question, Reason, Refused
from gateway.core.visible import visible
from gateway.server.caller import COME_BACK, QUESTION, page, question
from gateway.server.wire import NAME_LIMIT

DECISION_KEY = "dev.wardgate/decision"
APPROVAL_KEY = "dev.wardgate/approval"
NOT_FOUND = -32002  # of a resource, before 2026-07-28
UNKNOWN: Mapping[Reason, str] = {
    Reason.UNKNOWN_TOOL: "tool",
    Reason.UNKNOWN_RESOURCE: "resource",
    Reason.UNKNOWN_PROMPT: "prompt",
}
SHOWN = 512  # characters of a name or URI that is told back


def write_answer(answer: Answer, call: Call, server_info: Mapping[str, Any], near: str | None = None) -> dict[str, Any]:
    """The result for an answer to a call; raises `MCPError` where the answer is a protocol error.

    `near` is the most similar name, for one that nothing offers.
    """
    match answer:
        case Done(value=None, error=error):
            assert error is not None
            raise MCPError(error.code, error.message, error.data)
        case Done(value=value):
            result = dict(value or {})
            if call.method == "resources/read":
                ttl = result.get("ttlMs")
                result["ttlMs"] = ttl if isinstance(ttl, int) and not isinstance(ttl, bool) and ttl >= 0 else 0
                result["cacheScope"] = "private"
            return envelope(result, modern=call.context.era == "modern", server_info=server_info)
        case Asking(handle=handle, questions=questions):
            return _come_back(handle, _requests(questions), call, server_info)
        case Held(approval=approval, handle=str() as handle, ask=ask, url=url):
            params = page(approval, url) if url else question(approval)
            asked = {QUESTION: {"method": ELICIT, "params": params}} if ask or url else {}
            return _come_back(handle, asked, call, server_info)
        case Held(approval=approval):
            decision = {"id": approval.call, "verdict": "ask", "reason": Reason.APPROVAL_PENDING.value}
            text = words.pending(approval.id, approval.expires_at)
            return _say(text, _meta(decision, approval), call, server_info)
        case Refused():
            return _refuse(answer, call, server_info, near)
        case _:  # pragma: no cover - mypy proves that there is no other answer
            assert_never(answer)


def envelope(result: dict[str, Any], *, modern: bool, server_info: Mapping[str, Any]) -> dict[str, Any]:
    """Shape a result for the era of its client; `result` is the caller's own and may be changed."""
    meta = {name: value for name, value in (result.get("_meta") or {}).items() if not name.startswith("anthropic/")}
    meta.pop(SERVER_INFO_META_KEY, None)
    if modern:
        result.setdefault("resultType", "complete")
        meta[SERVER_INFO_META_KEY] = server_info
    else:
        for name in ("resultType", "ttlMs", "cacheScope"):
            result.pop(name, None)
        if not isinstance(result.get("structuredContent", {}), dict):
            del result["structuredContent"]
    if meta:
        result["_meta"] = meta
    else:
        result.pop("_meta", None)
    return result


def _requests(questions: Sequence[Question]) -> dict[str, Any]:
    """An upstream's questions under their own keys."""
    return {
        asked.key: {"method": asked.method, **({"params": dict(asked.params)} if asked.params else {})}
        for asked in questions
    }


def _come_back(handle: str, requests: Mapping[str, Any], call: Call, server_info: Mapping[str, Any]) -> dict[str, Any]:
    """An `InputRequiredResult`: only for clients that know it, and methods that have it."""
    if call.context.era != "modern" or call.method not in COME_BACK:
        raise MCPError(INTERNAL_ERROR, "an answer is needed, and this client can't be asked for it here")
    waiting: dict[str, Any] = {"resultType": "input_required", "requestState": handle}
    if requests:
        waiting["inputRequests"] = requests
    return envelope(waiting, modern=True, server_info=server_info)


def _refuse(refused: Refused, call: Call, server_info: Mapping[str, Any], near: str | None) -> dict[str, Any]:
    if refused.reason in UNKNOWN:
        raise _unknown(refused.reason, call, near)
    if refused.reason is Reason.CLIENT_UNABLE and refused.requires is not None:
        data = {"requiredCapabilities": dict(refused.requires)}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, refused.text, data)
    meta = _meta(
        {"id": refused.call, "verdict": refused.verdict.word, "reason": refused.reason.value}, refused.approval
    )
    if refused.reason is Reason.HANDLE_INVALID:  # a forged or used `requestState` is no call at all
        raise MCPError(INVALID_PARAMS, refused.text, meta)
    return _say(refused.text, meta, call, server_info)


def _unknown(reason: Reason, call: Call, near: str | None) -> MCPError:
    """The protocol's own error for what nothing offers."""
    limit = SHOWN if reason is Reason.UNKNOWN_RESOURCE else NAME_LIMIT
    hint = f"; did you mean `{near}`?" if near else ""
    text = f"unknown {UNKNOWN[reason]} `{visible(call.exposed[:limit])}`{hint}"
    if reason is not Reason.UNKNOWN_RESOURCE:
        return MCPError(INVALID_PARAMS, text)
    code = INVALID_PARAMS if call.context.era == "modern" else NOT_FOUND
    return MCPError(code, text, {"uri": call.exposed})


def _meta(decision: Mapping[str, str], approval: Approval | None) -> dict[str, Any]:
    meta: dict[str, Any] = {DECISION_KEY: decision}
    if approval is not None:
        meta[APPROVAL_KEY] = {"id": approval.id, "expires_at": approval.expires_at.isoformat()}
    return meta


def _say(text: str, meta: dict[str, Any], call: Call, server_info: Mapping[str, Any]) -> dict[str, Any]:
    """Words for the model: the result of a tool, or the error of what has no result to say it with."""
    if call.method != "tools/call":
        raise MCPError(REFUSED, text, meta)
    result = {"content": [{"type": "text", "text": text}], "isError": True, "_meta": meta}
    return envelope(result, modern=call.context.era == "modern", server_info=server_info)
