"""One tools/call to an upstream, and what its answer means.

Never raises for what an upstream does, never sends twice.
"""

from collections.abc import Mapping
from typing import Any

import anyio
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, PARSE_ERROR, SERVER_INFO_META_KEY

from gateway.core.model import Failure, Lost, Reason, Reply, Result, Unsent
from gateway.ports import Progress
from gateway.upstreams.link import Link

LONGEST_NOTE = 1_000  # characters of a progress message


async def relay(
    link: Link, tool: str, arguments: bytes, meta: Mapping[str, Any], timeout: float, progress: Progress | None
) -> Reply:
    """Send the call and wait at most `timeout` seconds; cancellation passes through after the upstream was told."""
    request_id = link.new_id()
    try:
        params = {"name": tool, "arguments": link.pack(arguments), "_meta": meta}
        with anyio.move_on_after(timeout):
            result = await link.request("tools/call", params, request_id, _latest(progress))
            return read_result(result)
        if link.forget(request_id):
            return Lost(Reason.UPSTREAM_TIMEOUT, f"no answer within {timeout:g} s")
        return Unsent(f"the upstream took no requests for {timeout:g} s")
    except MCPError as problem:
        return _read_error(link, problem, link.forget(request_id))
    except (ValueError, RuntimeError) as problem:  # no JSON, or not running yet: raised before anything is written
        if link.forget(request_id):
            return Lost(Reason.UPSTREAM_LOST, f"after the call was sent: {type(problem).__name__}")
        return Unsent(f"the call could not be encoded: {type(problem).__name__}")
    finally:
        link.forget(request_id)


def read_result(value: Mapping[str, Any]) -> Reply:
    """Check a tools/call result as far as the gateway relies on it, and take off what was meant for this hop only."""
    kind = value.get("resultType", "complete")
    if kind == "input_required":
        return Failure(INTERNAL_ERROR, "the upstream asked its user a question; questions of upstreams are not relayed")
    if kind != "complete":
        return Failure(INTERNAL_ERROR, "the upstream's answer has an unknown result type")
    content = value.get("content", [] if "structuredContent" in value else None)
    meta = value.get("_meta", {})
    if not (isinstance(content, list) and all(isinstance(b, dict) and isinstance(b.get("type"), str) for b in content)):
        return Failure(INTERNAL_ERROR, "the upstream's answer is no valid result: `content` is no list of blocks")
    if not isinstance(value.get("isError", False), bool) or not isinstance(meta, dict):
        return Failure(
            INTERNAL_ERROR, "the upstream's answer is no valid result: `isError` or `_meta` has a wrong type"
        )
    result = {key: part for key, part in value.items() if key not in ("resultType", "_meta")}
    kept = {k: v for k, v in meta.items() if k != SERVER_INFO_META_KEY and not k.startswith("anthropic/")}
    return Result({**result, "content": content, **({"_meta": kept} if kept else {})})


def _read_error(link: Link, problem: MCPError, sent: bool) -> Reply:
    lost = link.lost(problem)
    if lost is None or not sent:
        return Unsent(problem.error.message if lost is None else "the connection closed before the call was sent")
    if lost:
        return Lost(Reason.UPSTREAM_LOST, "the connection was lost after the call was sent")
    error = problem.error
    if link.is_http and error.code == PARSE_ERROR:  # the SDK quotes what it could not read
        return Failure(INTERNAL_ERROR, "the upstream's answer was no valid JSON-RPC message")
    return Failure(error.code, error.message, error.data)


def _latest(pass_on: Progress | None) -> ProgressFnT | None:
    """Pass on progress one notice at a time; while one is under way only the latest is kept."""
    if pass_on is None:
        return None
    waiting: list[tuple[float, float | None, str | None]] = []
    busy = False

    async def report(progress: float, total: float | None, message: str | None) -> None:
        nonlocal busy
        waiting[:] = [(progress, total, message[:LONGEST_NOTE] if message else message)]
        if busy:
            return
        busy = True
        try:
            while waiting:
                await pass_on(*waiting.pop())
        finally:
            busy = False

    return report
