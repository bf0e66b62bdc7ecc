"""The scanner loads from the first moment on, in a thread beside the imports of everything else. It scans nothing."""

from threading import Thread

import anyio.to_thread

from gateway.errors import GatewayError
from gateway.screening.engine import Kingfisher, cache_folder


class EarlyEngine:
    """The scanner, loading in a thread from the first moment on, while the rest of the gateway is imported. One that is
    `loaded` already serves several gateways of one process in turn.
    """

    def __init__(self, loaded: Kingfisher | None = None) -> None:
        self.engine = loaded or Kingfisher(cache_folder())
        self._thread = Thread(target=self._build, name="wardgate-scanner", daemon=True)
        self._thread.start()

    def _build(self) -> None:
        try:
            if not self.engine.loaded:
                self.engine.build()
        except GatewayError:
            return  # `load` tries again, and says so

    async def load(self) -> None:
        """Wait for the thread; where it failed, go on trying."""
        await anyio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)
        await self.engine.load()
