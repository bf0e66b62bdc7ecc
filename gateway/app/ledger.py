"""What commands say of leaks over the control socket. Who speaks there is told by the socket; notes are screened here.

What was seen is read from the store alone, with a gateway running or not.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gateway.app.build import Gateway
from gateway.app.door import Door
from gateway.control import Handler, Request
from gateway.core.leaks import Leak, LeakState, leak_item
from gateway.errors import ApprovalError


class LeakCommands:
    """The handlers of one gateway that have to do with leaks, by operation. They raise `ApprovalError`."""

    def __init__(self, gateway: Gateway, door: Door) -> None:
        self._gateway, self._door = gateway, door

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation."""
        return {"leak-accept": self.accept, "leak-resolve": self.resolve}

    async def resolve(self, request: Request, user: str) -> dict[str, Any]:
        """Say that a leak (`id`) is `state`: rotating, rotated (with `note` as proof), or open after all."""
        word = str(request.get("state", LeakState.ROTATED.value))
        if word not in {state.value for state in LeakState}:
            raise ApprovalError(f"unknown state `{word}`", "state")
        note = await self._door.clean(str(request.get("note", "")))
        voter = self._gateway.proofs.voter(f"os:{user}")
        return self._told(await self._gateway.leaks.resolve(str(request.get("id", "")), LeakState(word), note, voter))

    async def accept(self, request: Request, user: str) -> dict[str, Any]:
        """Say why a leak (`id`) may stay for some `minutes` (`note`); `false_positive`: it is no secret at all."""
        minutes = request.get("minutes")
        if not isinstance(minutes, int) or isinstance(minutes, bool):
            raise ApprovalError("expected `minutes` as a number", "shape")
        note = await self._door.clean(str(request.get("note", "")))
        until = self._gateway.clock.now() + timedelta(minutes=min(minutes, 1_000_000))
        return self._told(
            await self._gateway.leaks.accept(
                str(request.get("id", "")),
                note,
                until,
                self._gateway.proofs.voter(f"os:{user}"),
                false_positive=request.get("false_positive") is True,
            )
        )

    def _told(self, leak: Leak) -> dict[str, Any]:
        return {"items": [leak_item(leak, self._gateway.clock.now())]}
