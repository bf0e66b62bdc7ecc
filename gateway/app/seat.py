"""Where the console sits in a gateway: its links are made here, and it is imported once its first request comes.

Nothing of it costs a gateway's start, or a call, anything.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.types import Receive, Scope, Send

from gateway.app.build import Gateway
from gateway.app.definitions import Definitions
from gateway.config.hosts import is_loopback
from gateway.console.signin import SignIns
from gateway.core.model import Approval
from gateway.errors import ApprovalError

if TYPE_CHECKING:
    from gateway.console.app import Console

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class Seat:
    """The console of one gateway, and how it is reached: at `port`, or where `listen` opens one once it is needed."""

    def __init__(
        self, gateway: Gateway, port: int = 0, listen: "Callable[[Seat], Awaitable[int]] | None" = None
    ) -> None:
        self._gateway, self._listen = gateway, listen
        self.port = 0
        self._definitions = Definitions(gateway.upstreams.catalogue)
        self._signins = SignIns(gateway.clock.monotonic)
        self._signins.on_secret = partial(gateway.screener.know_for_now, "console")
        self._console: Console | None = None
        self._opening = anyio.Lock()
        self._closed = False
        if port:
            self._found(port)

    async def address(self) -> str:
        """Where the console is, without a path; raises `ApprovalError` where no browser of this machine reaches it."""
        host = self._gateway.settings.gateway.host
        if not is_loopback(host) and host not in EVERYWHERE:
            raise ApprovalError(f"the console is at `localhost`, and `listen` is `{host}` only", "unreachable")
        async with self._opening:
            if not self.port and self._listen is not None:
                self._found(await self._listen(self))
        return f"http://localhost:{self.port}"

    def _found(self, port: int) -> None:
        """The console listens: from now on clients and notices are told where a card can be opened."""
        self.port = port
        self._gateway.approvals.link = self.card
        self._gateway.notices.page = self.page

    def card(self, row: Approval) -> str:
        """Where the card of a row can be opened."""
        return f"http://localhost:{self.port}/approvals/{row.id}"

    def page(self, path: str) -> str:
        """Where another page can be opened."""
        return f"http://localhost:{self.port}/{path}"

    async def link(self, user: str) -> str:
        """A link that signs one tab of this user's in: once, within a minute."""
        address = await self.address()
        return f"{address}/#key={self._signins.link(f'os:{user}')}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of a browser's."""
        console = self._console or await self._open()
        await console(scope, receive, send)

    def close(self) -> None:
        """End what is open: the gateway is about to stop."""
        self._closed = True
        if self._console is not None:
            self._console.close()

    async def _open(self) -> "Console":
        async with self._opening:
            if self._console is None:
                make = await anyio.to_thread.run_sync(_load)
                self._console = console = make(self._gateway, self._definitions, self._signins)
                self._gateway.approvals.on_change.append(self._console.tell)
                self._gateway.leaks.on_stage.append(lambda leak, stage: console.tell_leak(leak, stage.word))
                self._gateway.leaks.on_change.append(lambda leak: console.tell_leak(leak, leak.state.value))
                if self._closed:
                    self._console.close()
            return self._console


def _load() -> "Callable[[Gateway, Definitions, SignIns], Console]":
    """Import the console and read its files."""
    from importlib.util import find_spec

    from gateway.app.console import ConsoleGate, Passkeys
    from gateway.console.app import Console
    from gateway.console.looks import Looks

    looks, passkeys = Looks(), find_spec("webauthn") is not None

    def make(gateway: Gateway, definitions: Definitions, signins: SignIns) -> Console:
        proofs = Passkeys(gateway.proofs) if passkeys else None
        return Console(ConsoleGate(gateway, definitions), signins, looks, proofs)

    return make
