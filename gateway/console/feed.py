"""What signed-in tabs are told at once: rows that wait or are settled, leaks, and what is held. Names and ids only.

Server-sent events; a tab then asks for the data itself. It never blocks whoever settles a row.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import msgspec

from gateway.console.signin import SignIns, Tab
from gateway.core.leaks import Leak
from gateway.core.model import Approval
from gateway.core.visible import visible

TICK = 5.0  # seconds between two looks at what has no hook: what is held, and whether the tab is still signed in
MOST_STREAMS = 64
MOST_PENDING = 200  # changes that a slow tab may be behind; then it is told to look at everything


class _Ear:
    """One stream's unread changes: of each row and leak the latest."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, dict[str, Any]]] = {}
        self.all = False
        self.heard = anyio.Event()

    def hear(self, row: Approval) -> None:
        """Take one change."""
        self._put("approval", {"id": row.id, "state": row.state.value, "what": visible(row.exposed)})

    def hear_leak(self, leak: Leak, word: str) -> None:
        """Take what is new about a leak."""
        self._put("leak", {"id": leak.id, "state": word, "what": visible(leak.kind)})

    def _put(self, event: str, about: dict[str, Any]) -> None:
        self.rows.pop(about["id"], None)
        self.rows[about["id"]] = (event, about)
        if len(self.rows) > MOST_PENDING:
            self.rows.clear()
            self.all = True
        self.heard.set()

    def take(self) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
        """What is unread; it is read by that."""
        found, self.rows = list(self.rows.values()), {}
        missed, self.all = self.all, False
        self.heard = anyio.Event()
        return found, missed


class Feed:
    """All streams. `held` gives the ids of what is held now."""

    def __init__(self, signins: SignIns, held: Callable[[], tuple[str, ...]]) -> None:
        self._signins, self._held = signins, held
        self._ears: set[_Ear] = set()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether no further stream may be opened."""
        return self._closed or len(self._ears) >= MOST_STREAMS

    def tell(self, row: Approval) -> None:
        """A row was opened or settled."""
        for ear in self._ears:
            ear.hear(row)

    def tell_leak(self, leak: Leak, word: str) -> None:
        """There is something new about a leak."""
        for ear in self._ears:
            ear.hear_leak(leak, word)

    def close(self) -> None:
        """End every stream: the gateway is about to stop."""
        self._closed = True
        for ear in self._ears:
            ear.heard.set()

    async def stream(self, tab: Tab) -> AsyncIterator[dict[str, str]]:
        """The events of one tab, until it is signed out or the gateway stops."""
        ear, held = _Ear(), self._held()
        self._ears.add(ear)
        try:
            yield _event("hello", {})
            while not self._closed and self._signins.alive(tab):
                with anyio.move_on_after(TICK):
                    await ear.heard.wait()
                changed, missed = ear.take()
                if missed:
                    yield _event("all", {})
                for event, about in changed:
                    yield _event(event, about)
                if (now := self._held()) != held:
                    held = now
                    yield _event("held", {})
            if not self._closed:
                yield _event("signed-out", {})
        finally:
            self._ears.discard(ear)


def _event(name: str, data: dict[str, Any]) -> dict[str, str]:
    return {"event": name, "data": msgspec.json.encode(data).decode()}
