"""One request of a client's to an upstream, and how it went.

Never raises for what an upstream does, never sends twice.
"""

from collections.abc import Mapping
from typing import Any

import anyio
import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import CLIENT_CAPABILITIES_META_KEY, INTERNAL_ERROR, LOG_LEVEL_META_KEY, PARSE_ERROR

from gateway.core.model import Again, Call, Failure, Lost, Reason, Reply, Tool, Unsent
from gateway.upstreams.exchange import Exchange
from gateway.upstreams.link import Link
from gateway.upstreams.results import read_error, read_result


def params_of(link: Link, tool: Tool, arguments: bytes, call: Call, again: Again | None) -> dict[str, Any]:
    """The parameters of a call, under the upstream's own names; with the answers that a modern upstream asked for."""
    match call.method:
        case "tools/call" | "prompts/get":
            params = {"name": tool.ref.name, "arguments": link.pack(arguments)}
        case "completion/complete":
            params = _completion(tool, msgspec.json.decode(arguments))
        case _:
            params = {"uri": tool.ref.name}
    if again is not None:
        answers = {key: answer for key, answer in again.answers.items() if not isinstance(answer, Failure)}
        if answers:
            params["inputResponses"] = answers
        if again.state is not None:
            params["requestState"] = again.state
    return params


def meta_of(link: Link, call: Call, declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `_meta` of a call: what passes from the client, and what this hop adds to it."""
    context = call.context
    if not link.modern:
        return context.meta
    meta = {**context.meta, **link.meta}
    if declared:
        meta[CLIENT_CAPABILITIES_META_KEY] = declared
    if context.log_level:
        meta[LOG_LEVEL_META_KEY] = context.log_level
    return meta


async def relay(
    link: Link, exchange: Exchange, params: dict[str, Any] | None, meta: Mapping[str, Any], timeout: float
) -> Reply | None:
    """Send the call (no `params`: go on with one that is open) and wait at most `timeout` seconds for its answer.

    None if the upstream asks something first; the call stays open there, with the time that it has `left`.
    Cancellation passes through after the upstream was told.
    """
    try:
        with anyio.move_on_after(timeout) as patience:
            if params is None:
                result = await link.dispatcher.converse(exchange, None)
            else:
                result = await link.begin(exchange, params, meta)
            if result is None:
                exchange.left = patience.deadline - anyio.current_time()
                return None
            return read_result(exchange.method, result, link.modern)
        if exchange.sent:
            return Lost(Reason.UPSTREAM_TIMEOUT, f"no answer within {timeout:g} s")
        return Unsent(f"the upstream took no requests for {timeout:g} s")
    except MCPError as problem:
        return _read_error(link, problem, exchange.sent)
    except (ValueError, RuntimeError) as problem:  # no JSON, or not running yet: raised before anything is written
        if exchange.sent:
            return Lost(Reason.UPSTREAM_LOST, f"after the call was sent: {type(problem).__name__}")
        return Unsent(f"the call could not be encoded: {type(problem).__name__}")


def _completion(tool: Tool, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of a completion, with the prompt or template under the upstream's own name."""
    ref = asked.get("ref")
    kind = ref.get("type") if isinstance(ref, dict) else None
    name = tool.definition.get("uriTemplate") if kind == "ref/resource" else tool.definition.get("name")
    own = {"type": kind, ("uri" if kind == "ref/resource" else "name"): name}
    return {"ref": own, **{key: asked[key] for key in ("argument", "context") if key in asked}}


def _read_error(link: Link, problem: MCPError, sent: bool) -> Reply:
    lost = link.lost(problem)
    if lost is None or not sent:
        return Unsent(problem.error.message if lost is None else "the connection closed before the call was sent")
    if lost:
        return Lost(Reason.UPSTREAM_LOST, "the connection was lost after the call was sent")
    error = problem.error
    if link.is_http and error.code == PARSE_ERROR:  # the SDK quotes what it could not read
        return Failure(INTERNAL_ERROR, "the upstream's answer was no valid JSON-RPC message")
    return read_error(error.code, error.message, error.data)
