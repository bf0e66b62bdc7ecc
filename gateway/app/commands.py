"""What commands ask of a running gateway over the control socket: rows of JSON out, votes in."""

from collections.abc import Mapping
from typing import Any

from gateway import __version__
from gateway.app.build import Gateway
from gateway.control import Handler, Refusal, Request
from gateway.core.approval import item
from gateway.core.card import card
from gateway.core.hooks import read_event
from gateway.core.model import Approval, ApprovalState, Proof
from gateway.errors import ApprovalError, CallerError, GatewayError, RecordError

USAGE, UNREACHABLE = 2, 3
NAME_LIMIT = 128  # characters of a client's name
NOTE_LIMIT = 1000  # characters of a reviewer's reason
PATIENCE = 10.0  # seconds for screening it


class Commands:
    """The handlers of one gateway, by operation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation that a command may ask for."""
        return {
            "approvals": self.approvals,
            "approval": self.approval,
            "approve": self.approve,
            "checkpoint": self.checkpoint,
            "deny": self.deny,
            "hook": self.hook,
            "sessions": self.sessions,
            "status": self.status,
        }

    async def approvals(self, request: Request, user: str) -> dict[str, Any]:
        """Rows in one state, or in any (`all`)."""
        wanted = str(request.get("state", "waiting"))
        if wanted not in (*(state.value for state in ApprovalState), "all"):
            raise Refusal(f"unknown state `{wanted}`", USAGE)
        state = None if wanted == "all" else ApprovalState(wanted)
        try:
            return {"items": [item(row) for row in await self._gateway.approvals.list(state)]}
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None

    async def approval(self, request: Request, user: str) -> dict[str, Any]:
        """One row and its card."""
        row = await self._find(request)
        return {"items": [item(row)], "card": card(row)}

    async def approve(self, request: Request, user: str) -> dict[str, Any]:
        """Approve exactly what was shown, with proof `local`: the name is that of the user at the other end."""
        return await self._vote(request, user, approve=True)

    async def deny(self, request: Request, user: str) -> dict[str, Any]:
        """Deny, with a reason for the model."""
        return await self._vote(request, user, approve=False)

    async def checkpoint(self, request: Request, user: str) -> dict[str, Any]:
        """Make a checkpoint over all that is durable now."""
        try:
            return {"items": [{"note": await self._gateway.checkpoints.make()}]}
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None

    async def hook(self, request: Request, user: str) -> dict[str, Any]:
        """One event of a client's hook; only clients are heard that are trusted to hand over prompts."""
        client = str(request.get("client", ""))[:NAME_LIMIT]
        entry = self._gateway.settings.clients.get(client)
        if entry is None or "prompt" not in entry.trust:
            raise Refusal(
                f'client `{client}` is not trusted with prompts: `trust = ["prompt"]` in `[clients.{client}]`'
            )
        try:
            await self._gateway.turns.hook(client, f"os:{user}", read_event(request))
        except CallerError as problem:
            raise Refusal(str(problem)) from None
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None
        return {}

    async def sessions(self, request: Request, user: str) -> dict[str, Any]:
        """What the monitor has seen of each session."""
        return {"items": list(self._gateway.monitor.sessions())}

    async def status(self, request: Request, user: str) -> dict[str, Any]:
        """Version and the state of each upstream."""
        states = self._gateway.upstreams.states()
        rows = [{"upstream": name, "state": state, "detail": detail} for name, (state, detail) in states.items()]
        return {"version": __version__, "items": rows}

    async def _find(self, request: Request) -> Approval:
        try:
            return await self._gateway.approvals.show(str(request.get("id", "")))
        except ApprovalError as problem:
            raise Refusal(str(problem)) from None
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None

    async def _vote(self, request: Request, user: str, *, approve: bool) -> dict[str, Any]:
        row = await self._find(request)
        shown = request.get("arguments_digest")
        if shown is not None and shown != row.arguments_digest:
            raise Refusal(f"approval `{row.id}` is not of the call that was shown")
        entry = self._gateway.settings.approvers.get(user)
        try:
            note = await self._note(request)
            after = await self._gateway.approvals.vote(
                row.id,
                approve,
                f"os:{user}",
                Proof.LOCAL,
                note,
                entry.roles if entry else frozenset(),
            )
        except ApprovalError as problem:
            raise Refusal(str(problem)) from None
        except GatewayError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None
        return {"items": [item(after)]}

    async def _note(self, request: Request) -> str:
        """The reviewer's reason without secrets: the model reads it, and it is recorded."""
        text = str(request.get("reason", ""))[:NOTE_LIMIT]
        deadline = self._gateway.clock.monotonic() + PATIENCE
        return str(await self._gateway.screener.clean(text, deadline)) if text else ""
