"""What a gateway tells of itself to `doctor`: its upstreams, its policy, its scanner, and what is wrong in its files.

Names, numbers and words: no definition, no argument and no value. It changes nothing.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from gateway import __version__
from gateway.app.build import Gateway
from gateway.config import check
from gateway.control import Handler, Request
from gateway.core.coverage import badge, coverage, part_item
from gateway.core.exposed import LONGEST, with_hash
from gateway.core.model import Tool
from gateway.core.problems import item
from gateway.errors import GatewayError
from gateway.notices.desktop import find_desktop
from gateway.upstreams.catalogue import KINDS

PATIENCE = 25.0  # seconds that upstreams get to have started, where that is asked for
COMPILED = 40.0  # and the scanner to compile its rules, before that
MOST_NAMES = 5  # of an upstream's tools that one row names


class StatusCommands:
    """The handlers of one gateway that tell how it is, by operation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation."""
        return {"status": self.status, "check": self.check}

    async def status(self, request: Request, user: str) -> dict[str, Any]:
        """Version, each upstream (`items`), the secrets that are too weak to be searched for (`left_out`), the `policy`
        that counts, with what is held of it, whether scanner and desktop are there, and how much is known of what
        tainted sessions wrote (`flow`). With `settled` it waits until each upstream has started, or failed to.
        """
        if request.get("settled") is True:
            with anyio.move_on_after(COMPILED), suppress(GatewayError):
                await self._gateway.scanner.ready()  # what upstreams offer is screened before it counts
            with anyio.move_on_after(PATIENCE):
                await self._gateway.upstreams.settled()
        return {
            "version": __version__,
            "left_out": dict(self._gateway.screener.left_out),
            "policy": self._gateway.reload.status(),
            "scanner": self._gateway.scanner.loaded,
            "desktop": find_desktop(os.environ) is not None,
            "flow": self._gateway.flows.status(),
            "items": [self._upstream(name, *state) for name, state in self._gateway.upstreams.states().items()],
        }

    async def check(self, request: Request, user: str) -> dict[str, Any]:
        """What is wrong in the files as they are now: what `wardgate check` tells, in the gateway's own environment."""
        file, today = self._gateway.settings.file, datetime.now(UTC).date()
        found = await anyio.to_thread.run_sync(partial(check, file, os.environ, today, unlocked=True))
        return {"items": [item(problem) for problem in found]}

    def _upstream(self, name: str, state: str, detail: str) -> dict[str, Any]:
        catalogue = self._gateway.upstreams.catalogue
        offered = {kind: catalogue.offered(kind, name) for kind in KINDS}
        parts = coverage(tool for tools in offered.values() for tool in tools)
        tools, (era, seconds) = offered["tools"], self._gateway.upstreams.started(name)
        listed = [tool for kind in KINDS for tool in catalogue.shelved(name, kind)]
        return {
            "upstream": name,
            "state": state,
            "detail": detail,
            "screened": badge(parts),
            "coverage": [part_item(part) for part in parts],
            "era": era,
            "seconds": round(seconds, 3),
            "tools": len(tools),
            "unlabelled": _told(tool for tool in tools if not tool.labelled),
            "held": _told(tool for tool in listed if tool.held),
            "collided": _told(tool for tool in tools if _collided(tool)),
            "longest": sorted((tool.exposed_as for tool in tools), key=len, reverse=True)[:MOST_NAMES],
        }


def _told(tools: Iterable[Tool]) -> dict[str, Any]:
    """Some things by name, and how many there are."""
    names: Sequence[str] = [tool.exposed_as for tool in tools]
    return {"count": len(names), "names": names[:MOST_NAMES]}


def _collided(tool: Tool) -> bool:
    """Whether a tool has a hash in its name because another one has that name, and not because it is too long."""
    upstream, name = tool.ref.upstream, tool.ref.name
    return tool.exposed_as == with_hash(upstream, name) and len(f"{upstream}__{name}") <= LONGEST
