"""How long clients wait for upstreams that are still starting. It decides nothing about a call."""

from collections.abc import Callable, Collection
from contextlib import suppress

import anyio

from gateway.errors import GatewayError
from gateway.screening.engine import Kingfisher
from gateway.upstreams import Upstreams

READY_AT_LATEST = 2.0  # seconds until lists and calls are answered, whatever the upstreams do
COMPILED_AT_LATEST = 40.0  # the same, where the scanner has to compile its rules first


class Starting:
    """The first seconds of one gateway."""

    def __init__(self, upstreams: Upstreams, monotonic: Callable[[], float], engine: Kingfisher) -> None:
        self._upstreams, self._monotonic, self._engine = upstreams, monotonic, engine
        self._latest = monotonic() + READY_AT_LATEST
        self._over = self._compiled = False

    async def ready(self) -> None:
        """Wait for the upstreams' first start, at most until 2 s after the gateway's own; or after the scanner's, which
        compiles its rules where nobody did so before: nothing is offered unscreened.
        """
        if not self._over:
            await self._wait(())
            self._over = True

    async def listable(self) -> None:
        """The same, but for upstreams of which clients see meanwhile what was accepted, which was screened then."""
        catalogue = self._upstreams.catalogue
        if not self._over and not catalogue.awaited <= catalogue.recalled:
            await self._wait(catalogue.recalled)

    async def _wait(self, apart: Collection[str]) -> None:
        if not self._compiled:  # whoever asks next may find them loaded, and the upstreams not yet screened
            with anyio.move_on_after(COMPILED_AT_LATEST), suppress(GatewayError):
                await self._engine.ready()
                self._latest = max(self._latest, self._monotonic() + READY_AT_LATEST)
                self._compiled = True
        with anyio.move_on_after(self._latest - self._monotonic()):
            await self._upstreams.settled(apart)
