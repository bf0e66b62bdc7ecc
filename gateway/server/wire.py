"""Wire -> `Call`, and `Answer` -> wire. Pure translation of dicts: no I/O, and no decision."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, assert_never

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    INVALID_PARAMS,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)

from gateway.core import words
from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Answer, Call, Client, Context, Done, Held, Reason, Refused, Resume
from gateway.server.caller import QUESTION, question, vote_of
from gateway.server.peer import Peer

DECISION_KEY = "dev.wardgate/decision"
APPROVAL_KEY = "dev.wardgate/approval"
PER_HOP = frozenset(
    {
        PROTOCOL_VERSION_META_KEY,
        CLIENT_INFO_META_KEY,
        CLIENT_CAPABILITIES_META_KEY,
        LOG_LEVEL_META_KEY,
        SERVER_INFO_META_KEY,
        "progressToken",
    }
)
NAME_LIMIT = 128


def invalid(message: str) -> MCPError:
    """The error for params that no handler can take."""
    return MCPError(INVALID_PARAMS, message)


def claimed_name(info: Any) -> str:
    """A client's own words for itself, bounded and printable: `name version`."""
    if info is None:
        return ""
    text = f"{info.name} {info.version}".strip()
    return "".join(char for char in text if char.isprintable())[:NAME_LIMIT]


def read_call(
    params: Mapping[str, Any],
    peer: Peer,
    *,
    claimed: str,
    era: str,
    session_meta: str,
    key: bytes,
    new_id: Callable[[], str],
    now: datetime,
) -> Call:
    """Make a `Call` of the params of a tools/call; raises `MCPError` (-32602) for shapes that can't be one."""
    name, arguments, meta = params.get("name"), params.get("arguments"), params.get("_meta")
    if not isinstance(name, str) or not name:
        raise invalid("`name` must be the name of a tool")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise invalid("`arguments` must be a JSON object")
    meta = meta if isinstance(meta, dict) else {}
    try:
        sealed = canonical(arguments)
    except ValueError:
        raise invalid("`arguments` must be JSON that can be encoded again: no lone surrogates") from None
    return Call(
        id=new_id(),
        principal=peer.principal,
        client=Client(peer.client, claimed),
        exposed=name,
        arguments=arguments,
        canonical=sealed,
        digest=keyed_digest(key, sealed),
        at=now,
        context=Context(
            session=_session(meta, peer, session_meta),
            transport=peer.transport,
            era=era,
            trace=str(meta.get("traceparent", ""))[:NAME_LIMIT],
            connection=peer.connection,
            meta={name: value for name, value in meta.items() if name not in PER_HOP and name != session_meta},
        ),
        resume=_resume(params) if era == "modern" else None,
    )


def _session(meta: Mapping[str, Any], peer: Peer, session_meta: str) -> str:
    named = meta.get(session_meta)
    if peer.trust_session and isinstance(named, str) and 0 < len(named) <= NAME_LIMIT and named.isprintable():
        return f"{peer.principal.id}/{peer.client}/{named}"
    return peer.session


def _resume(params: Mapping[str, Any]) -> Resume | None:
    state, answers = params.get("requestState"), params.get("inputResponses")
    if state is None:
        return None
    if not isinstance(state, str):
        raise invalid("`requestState` must be the string that the gateway gave")
    answer = answers.get(QUESTION) if isinstance(answers, dict) else None
    return Resume(state, None if answer is None else vote_of(answer))


def write_answer(answer: Answer, *, modern: bool, server_info: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a tools/call for an answer; raises `MCPError` where the answer is a protocol error."""
    match answer:
        case Done(value=None, error=error):
            assert error is not None
            raise MCPError(error.code, error.message, error.data)
        case Done(value=value):
            return envelope(dict(value or {}), modern=modern, server_info=server_info)
        case Held(approval=approval, handle=str() as handle, ask=ask):
            waiting: dict[str, Any] = {"resultType": "input_required", "requestState": handle}
            if ask:
                waiting["inputRequests"] = {QUESTION: {"method": "elicitation/create", "params": question(approval)}}
            return envelope(waiting, modern=True, server_info=server_info)
        case Held(approval=approval):
            meta = {
                DECISION_KEY: {"id": approval.call, "verdict": "ask", "reason": Reason.APPROVAL_PENDING.value},
                APPROVAL_KEY: {"id": approval.id, "expires_at": approval.expires_at.isoformat()},
            }
            return _said(words.pending(approval.id, approval.expires_at), meta, modern, server_info)
        case Refused(call=call, verdict=verdict, reason=reason, text=text, approval=approval):
            meta = {DECISION_KEY: {"id": call, "verdict": verdict.word, "reason": reason.value}}
            if approval is not None:
                meta[APPROVAL_KEY] = {"id": approval.id, "expires_at": approval.expires_at.isoformat()}
            return _said(text, meta, modern, server_info)
        case _:  # pragma: no cover - mypy proves that there is no other answer
            assert_never(answer)


def _said(text: str, meta: dict[str, Any], modern: bool, server_info: Mapping[str, Any]) -> dict[str, Any]:
    result = {"content": [{"type": "text", "text": text}], "isError": True, "_meta": meta}
    return envelope(result, modern=modern, server_info=server_info)


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
