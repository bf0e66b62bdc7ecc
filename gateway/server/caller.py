"""The client face of one call: progress, notices, and a question to the client's user. It decides nothing."""

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway.core.card import card
from gateway.core.model import Approval, Vote

QUESTION = "wardgate_approval"  # key of our question among the `inputRequests` of a modern result

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {
            "type": "boolean",
            "title": "Approve this call",
            "description": "Yes runs exactly this call, once. No refuses it.",
            "default": False,
        }
    },
    "required": ["approve"],
}

# Seconds that a client is known to wait for an answer, by the start of the name that it claims: (without, with) a
# progress
# token. It only says how long a call is held before it is answered as pending; nothing is decided by it.
BUDGETS: tuple[tuple[str, float, float], ...] = (("claude-code", 50.0, 240.0), ("", 25.0, 50.0))


def budget_for(claimed: str, token: bool, override: float | None) -> float:
    """Seconds to hold a call for this client before it is answered as pending."""
    if override is not None:
        return override
    for start, without, with_token in BUDGETS:
        if claimed.startswith(start):
            return with_token if token else without
    raise AssertionError("the last row of BUDGETS matches every name")


def can_fill_forms(capabilities: Any) -> bool:
    """Whether declared capabilities include a form elicitation (`elicitation: {}` means form only)."""
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def vote_of(answer: Any) -> Vote:
    """Read an elicitation's answer; only an accepted form with `approve: true` approves, anything odd is no answer."""
    if not isinstance(answer, dict):
        return Vote.CANCEL
    action, content = answer.get("action"), answer.get("content")
    if action == "accept" and isinstance(content, dict) and isinstance(content.get("approve"), bool):
        return Vote.APPROVE if content["approve"] else Vote.DENY
    return Vote.DENY if action == "decline" else Vote.CANCEL


def question(approval: Approval) -> dict[str, Any]:
    """The params of an `elicitation/create` that asks for one approval."""
    return {"mode": "form", "message": card(approval), "requestedSchema": FORM}


class RequestCaller:
    """Implements `ports.Caller` for one request of the SDK's server."""

    def __init__(self, ctx: ServerRequestContext[Any, Any], claimed: str, override: float | None) -> None:
        self._ctx = ctx
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        forms = can_fill_forms(ctx.session.client_capabilities)
        if modern:
            self.asks = "input" if forms else "input-silent"
        else:
            self.asks = "elicit" if forms and ctx.session.can_send_request else "none"
        token = isinstance(ctx.meta, dict) and ctx.meta.get("progress_token", ctx.meta.get("progressToken")) is not None
        self.budget = budget_for(claimed, token, override)
        self.wants_progress = token
        self._last = 0.0

    async def notice(self, text: str) -> None:
        """Tell the client that the call waits; a no-op without a progress token."""
        await self.progress(self._last, None, text)

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Pass progress on; the value grows with each notice, as the protocol asks."""
        if self.wants_progress:
            self._last = done if done > self._last else self._last + 1e-6
            await self._ctx.session.report_progress(self._last, total, message)

    async def elicit(self, approval: Approval) -> Vote:
        """Ask by a server request (legacy era). Raises what the SDK raises where the client can't be asked."""
        asked = question(approval)
        answer = await self._ctx.session.elicit_form(
            asked["message"], asked["requestedSchema"], related_request_id=self._ctx.request_id
        )
        return vote_of({"action": answer.action, "content": answer.content})
