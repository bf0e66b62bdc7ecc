"""Who is signed in to the console: one-time links, and the tabs that came from them. In memory, and bounded.

A signed-in tab has two halves: a cookie, which every port of the host shares, and a key that never leaves the tab.
Light: no web framework here.
"""

import hashlib
import secrets
from collections.abc import Callable

from msgspec import Struct, field

LINK_TIME = 60.0  # seconds that a link is good for
IDLE = 4 * 3600.0  # seconds without anything that a person did
LONGEST = 12 * 3600.0  # seconds after which one signs in again, whatever was done
MOST_LINKS, MOST_TABS = 16, 64  # the oldest goes first
MOST_SEEN = 2_000  # cards that a tab is remembered to have shown
ARMED_AFTER = 0.7  # seconds that a card has to stand there before it can be approved


class Tab(Struct, eq=False):
    """One signed-in tab; `name` is what its votes are counted under."""

    name: str
    key: bytes  # hash of the half that the tab holds
    began: float
    active: float
    ended: bool = False
    seen: dict[str, float] = field(default_factory=dict)  # id of a row -> when its card was fetched last

    def show(self, row: str, now: float) -> None:
        """Note that a card was fetched; it is not armed yet."""
        self.seen.pop(row, None)
        self.seen[row] = now
        if len(self.seen) > MOST_SEEN:
            del self.seen[next(iter(self.seen))]

    def armed(self, row: str, now: float) -> bool:
        """Whether a card has stood in this tab for as long as a person needs to see it at all."""
        return row in self.seen and now - self.seen[row] >= ARMED_AFTER


class SignIns:
    """The links that were printed, and the tabs that are signed in: by browser, which its cookie tells."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._links: dict[bytes, tuple[str, float]] = {}
        self._browsers: dict[bytes, list[Tab]] = {}
        self.on_secret: Callable[[str], None] = lambda secret: None  # hears of each secret when it is made

    @property
    def count(self) -> int:
        """How many tabs are signed in."""
        self._sweep()
        return sum(len(tabs) for tabs in self._browsers.values())

    def link(self, name: str) -> str:
        """A secret that signs one tab in under this name: once, and within `LINK_TIME`."""
        secret = secrets.token_urlsafe(32)
        self.on_secret(secret)
        self._links[_hash(secret)] = (name, self._now() + LINK_TIME)
        if len(self._links) > MOST_LINKS:
            del self._links[next(iter(self._links))]
        return secret

    def redeem(self, secret: str) -> str | None:
        """The name that a link's secret stands for, which is used up by that; None for any other."""
        name, until = self._links.pop(_hash(secret), ("", 0.0))
        return name if name and self._now() < until else None

    def open(self, name: str, instead_of: str = "") -> tuple[str, str]:
        """Sign a tab in: its cookie and its key, both new.

        The cookie that the browser brought is worth nothing from then on: its other tabs of the same name go on under
        the new one, those of another name are signed out.
        """
        self._sweep()
        kept: list[Tab] = []
        for tab in self._browsers.pop(_hash(instead_of), []):
            tab.ended = tab.name != name
            kept += [] if tab.ended else [tab]
        cookie, key, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), self._now()
        self.on_secret(cookie)
        self.on_secret(key)
        self._browsers[_hash(cookie)] = [*kept[1 - MOST_TABS :], Tab(name, _hash(key), now, now)]
        while self.count > MOST_TABS:
            self._end(next(iter(self._browsers)))
        return cookie, key

    def find(self, cookie: str, key: str, *, by_person: bool = True) -> Tab | None:
        """The tab that both halves belong to, unless its time is over; what no person did doesn't prolong it."""
        if not cookie or not key:
            return None
        wanted = _hash(key)
        for tab in self._browsers.get(_hash(cookie), []):
            if secrets.compare_digest(tab.key, wanted) and self.alive(tab):
                tab.active = self._now() if by_person else tab.active
                return tab
        return None

    def alive(self, tab: Tab) -> bool:
        """Whether a tab is still signed in."""
        now = self._now()
        return not tab.ended and now - tab.active < IDLE and now - tab.began < LONGEST

    def close(self, cookie: str) -> None:
        """Sign every tab of a browser out; one that is unknown is out already."""
        self._end(_hash(cookie))

    def _end(self, browser: bytes) -> None:
        for tab in self._browsers.pop(browser, []):
            tab.ended = True

    def _sweep(self) -> None:
        for browser, tabs in tuple(self._browsers.items()):
            tabs[:] = [tab for tab in tabs if self.alive(tab)]
            if not tabs:
                del self._browsers[browser]


def _hash(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
