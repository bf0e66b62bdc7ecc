"""Log notices of an upstream: how much it is asked to say, and who hears it.

Reads no text: every notice goes through the ears of a call, which screen it.
"""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError

from gateway.ports import Ears
from gateway.upstreams.exchange import Exchange
from gateway.upstreams.link import Link

log = logging.getLogger("wardgate.upstreams")

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")  # most verbose first
MOST_WAITING = 100
LONGEST_LOGGER = 200
PATIENCE = 5.0  # seconds for an upstream to change its level


class Logs:
    """The log of one connection.

    A notice doesn't say whose call it is about. It goes to the newest call that runs, and only as long as every call of
    this connection came from one principal.
    """

    def __init__(self, link: Link, personal: bool) -> None:
        self._link, self._personal = link, personal
        self._principal = ""
        self._mixed = False
        self._level = ""
        self._waiting: deque[tuple[Exchange, Ears, str, Any, str | None]] = deque()
        self._busy = False

    def heed(self, principal: str) -> None:
        """Note who makes a call."""
        if principal != self._principal:
            self._mixed = self._mixed or self._principal != ""
            self._principal = principal

    async def ask_for(self, level: str) -> None:
        """Have a legacy upstream say as much as the client wants; shared, as much as any client ever wanted."""
        if level == self._level or level not in LEVELS or self._link.modern or not self._link.offers("logging"):
            return
        if self._level and not self._personal and LEVELS.index(level) > LEVELS.index(self._level):
            return
        self._level = level
        with anyio.move_on_after(PATIENCE):
            try:
                await self._link.request("logging/setLevel", {"level": level})
            except MCPError:
                return  # it says what it says; the ears drop what their client did not want

    def hear(self, params: Mapping[str, Any]) -> None:
        """Take a notice, at once and in order; dropped if it is for nobody or is none."""
        level, logger = params.get("level"), params.get("logger")
        if self._mixed or level not in LEVELS or "data" not in params:
            return
        call = next((one for one in self._link.dispatcher.open_calls() if not one.parked), None)
        if call is None or call.ears is None:
            return
        # Dropped and not cut: a secret that is cut looks like none.
        named = logger if isinstance(logger, str) and len(logger) <= LONGEST_LOGGER else None
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()[0].said()
        call.saying += 1
        self._waiting.append((call, call.ears, level, params["data"], named))
        if not self._busy:
            self._busy = True
            self._link.dispatcher.spawn(self._pass_on)

    async def _pass_on(self) -> None:
        try:
            while self._waiting:
                call, ears, level, data, logger = self._waiting.popleft()
                try:
                    await ears.log(level, data, logger)
                except Exception:  # noqa: BLE001 - a client that can't be told must not end the connection to the upstream
                    log.info("a log notice did not reach its client")
                finally:
                    call.said()
        finally:
            self._busy = False
