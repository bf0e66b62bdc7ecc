"""The client face of one call: progress, logs, and questions to the client and its user. It decides nothing."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, LoggingMessageNotification, LoggingMessageNotificationParams
from mcp_types.methods import validate_client_result
from pydantic import ValidationError

from gateway.core.card import card
from gateway.core.model import Approval, Call, Question, Vote
from gateway.errors import GatewayError
from gateway.server.known import clock_of

QUESTION = "wardgate_approval"  # key of our question among the `inputRequests` of a modern result
COME_BACK = frozenset({"tools/call", "prompts/get", "resources/read"})  # what may be answered by `input_required`
CAPABILITY = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
LEVELS = {
    level: rank
    for rank, level in enumerate(("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"))
}

IDS = 1 << 53  # so many ids of questions: integers that every client's JSON keeps

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


def can_fill_forms(capabilities: Mapping[str, Any]) -> bool:
    """Whether capabilities as on the wire include a form elicitation (`elicitation: {}` means form only)."""
    elicitation = capabilities.get("elicitation")
    if not isinstance(elicitation, dict):
        return False
    return elicitation.get("form") is not None or elicitation.get("url") is None


def can_open_pages(capabilities: Mapping[str, Any]) -> bool:
    """Whether capabilities as on the wire include opening an address that the gateway gives (elicitation `url`)."""
    elicitation = capabilities.get("elicitation")
    return isinstance(elicitation, dict) and elicitation.get("url") is not None


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


def page(approval: Approval, url: str) -> dict[str, Any]:
    """The params of an `elicitation/create` that opens the card of one approval; what is decided is decided there."""
    return {"mode": "url", "message": card(approval), "url": url, "elicitationId": approval.id}


class RequestCaller:
    """Implements `ports.Caller` for one request of the SDK's server."""

    def __init__(
        self,
        ctx: ServerRequestContext[Any, Any],
        call: Call,
        override: float | None,
        stands: Callable[[], Awaitable[bool]],
    ) -> None:
        """`override` are the seconds to hold the call, if the configuration says them; `stands` tells whether whoever
        sent the request would be let in now.
        """
        self._stands = stands
        context = call.context
        self._ctx, self._capabilities, self._level = ctx, context.capabilities, context.log_level
        comes_back = call.method in COME_BACK
        if context.era == "modern":
            self.modern, self.answers_inline = comes_back, False
            self.wants_logs = self._level != ""
            self.asks = "none" if not comes_back else "input" if can_fill_forms(self._capabilities) else "input-silent"
        else:
            self.modern, self.answers_inline = False, ctx.session.can_send_request
            self.wants_logs = True  # without a level a server says what it likes
            forms = comes_back and self.answers_inline and can_fill_forms(self._capabilities)
            self.asks = "elicit" if forms else "none"
        meta = ctx.meta
        token = isinstance(meta, dict) and meta.get("progress_token", meta.get("progressToken")) is not None
        clock = clock_of(call.client.claimed, context.transport)
        known = clock.heard if token else clock.silent
        self.budget, self.limit = known if override is None else override, clock.limit
        self.kind = f"{call.client.claimed}|{context.transport}|{'heard' if token else 'silent'}"
        self.opens = comes_back and (self.modern or self.answers_inline) and can_open_pages(self._capabilities)
        self.wants_progress = token
        self._last = 0.0

    async def stands(self) -> bool:
        """Whether whoever sent the request would still be let in."""
        return await self._stands()

    async def notice(self, text: str) -> None:
        """Tell the client that the call waits; a no-op without a progress token."""
        await self.progress(self._last, None, text)

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Pass progress on; the value grows with each notice, as the protocol asks."""
        if self.wants_progress:
            self._last = done if done > self._last else self._last + 1e-6
            await self._ctx.session.report_progress(self._last, total, message)

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        """Pass a log notice on, with the request that it belongs to; one below the level that is wanted is dropped."""
        if not self.wants_logs or level not in LEVELS or LEVELS[level] < LEVELS.get(self._level, 0):
            return
        params = LoggingMessageNotificationParams.model_validate({"level": level, "data": data, "logger": logger})
        await self._ctx.session.send_notification(
            LoggingMessageNotification(params=params), related_request_id=self._ctx.request_id
        )

    async def elicit(self, approval: Approval) -> Vote:
        """Ask by a server request (legacy era). Raises what the SDK raises where the client can't be asked."""
        answer = ElicitResult.model_validate(await self._put("elicitation/create", question(approval)), by_name=False)
        return vote_of({"action": answer.action, "content": answer.content})

    async def open(self, approval: Approval, url: str) -> None:
        """Have the client open the card by a server request (legacy era); what it answers says nothing of the call."""
        await self._put("elicitation/create", page(approval, url))

    async def ask(self, question: Question) -> Mapping[str, Any]:
        """Put an upstream's question to the client by a server request; its result as it came.

        Raises `GatewayError` if the client can't be asked, refused, or gave no valid result.
        """
        method = question.method
        if not self.answers_inline or self._capabilities.get(CAPABILITY.get(method, "")) is None:
            raise GatewayError(f"the client can't be asked for {method}")
        try:
            result = await self._put(method, dict(question.params) or None)
            validate_client_result(method, self._ctx.protocol_version, result)
        except MCPError as refused:
            raise GatewayError(f"the client refused {method} ({refused.error.code})") from None
        except (KeyError, ValidationError):
            raise GatewayError(f"the client's answer to {method} is no valid result") from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise GatewayError("the client is gone") from None
        return result

    async def _put(self, method: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Send a server request, and return its result as it came.

        INVARIANT: every question to a client goes out here, under a random id. The SDK counts from 1 in each process,
        and the pipes outlive it: a late answer to one gateway's question would answer the next one's.
        """
        # The typed helpers of the session would drop what they don't know; this is what they send by.
        channel = self._ctx.session._request_outbound
        result: dict[str, Any] = await channel.send_raw_request(method, params, {"request_id": secrets.randbelow(IDS)})
        return result
