"""Chromium before a real gateway's console: an error on its own console, or a request to another host, fails a test.

Knows nothing of the gateway's inside. Debian's package `chromium`, driven by Playwright.
"""

import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

import anyio
import pytest
from mcp.client.client import Client
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.e2e.kit import LABELS, House

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".upstreams" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / "docs" / "screenshots"
KEPT = frozenset(
    {
        *("waiting-desk", "card-desk", "card-desk-dark", "card-phone", "typed-phone-dark", "grant", "grants-desk"),
        *("decisions-desk", "decision-desk", "figures-desk", "upstreams-desk", "waiting-phone", "sign-in-desk"),
        *("followed-desk", "leak-desk"),
    }
)
"""The pictures that stand in the documents."""

PICTURES = os.environ.get("WARDGATE_SCREENSHOTS", "")  # 1, or a folder; read before the tests' own home is made
DESKTOP, PHONE = (1280, 860), (375, 740)
LOOKS: Mapping[str, tuple[tuple[int, int], Literal["light", "dark"]]] = {
    "desk": (DESKTOP, "light"),
    "desk-dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
PATIENCE = 30_000  # ms until what is awaited must be there
DEADLINE = 100.0  # seconds that one visit may take
SHORT = 'hold = "100ms"'  # among the limits: a call that waits for a person is answered at once


def labels(name: str, more: str = "") -> str:
    """The labels of a ledger that is behind the gateway under another name, and more rules."""
    return (LABELS + more).replace("ledger", name)


SENDS = """\
upstream = "mail"
owner = "alice@example.com"
[[tool]]
match = "note"
effect = "egress"
sinks = { text = "email" }
[[rule]]
id = "mail.known"
tools = "note"
decide = "ask-unless-proven"
"""
SOON = labels("soon", '[[rule]]\nid = "soon.soon"\ntools = "note"\ndecide = "ask"\napprove = { timeout = "3s" }\n')
UNLABELLED = labels("bare").replace('match = ["note", "stall", "die"]', 'match = ["stall", "die"]')


def chromium() -> str:
    """The path of the browser."""
    return shutil.which("chromium") or missing("no Chromium is installed: `apt-get install chromium`")


def missing(what: str) -> NoReturn:
    """Skip a test for want of something, which fails where CI should have installed it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@dataclass
class Visitor:
    """One person at one page, and what went wrong on it."""

    page: Page
    house: House
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of errors that the test provokes

    @property
    def address(self) -> str:
        """Where the console is."""
        return f"http://localhost:{self.house.port}"

    async def sign_in(self, path: str = "/") -> "Visitor":
        """Sign in by the link of `wardgate console`, and wait for the page's data."""
        ended = await self.house.run("console")
        assert ended.code == 0, ended
        link = urlsplit(ended.out.strip())
        assert link.netloc == f"localhost:{self.house.port}"
        await self.page.goto(f"{self.address}{path}#{link.fragment}")
        await self.ready()
        return self

    async def go(self, path: str) -> None:
        """Go to another page of the console, as a signed-in tab."""
        await self.page.goto(f"{self.address}{path}")
        await self.ready()

    async def ready(self) -> None:
        """Wait until the page shows its data, and hears of what happens."""
        await self.page.locator("[data-page]:not([aria-busy])").wait_for(state="attached")
        await self.page.locator("body[data-live=yes]").wait_for()

    async def armed(self) -> None:
        """Wait until the card takes a yes."""
        await self.page.locator("[data-page][data-armed=yes]").wait_for()

    async def look(self, name: str) -> None:
        """Give the page another width and scheme: it is the stylesheet alone that knows of them."""
        (width, height), scheme = LOOKS[name]
        await self.page.set_viewport_size({"width": width, "height": height})
        await self.page.emulate_media(color_scheme=scheme)
        await self.page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")

    async def flaws(self) -> Sequence[str]:
        """What axe finds, and whether the page is wider than the window."""
        wide, window = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return [*await self.faults(), *([f"{wide} px wide"] if wide > window else [])]

    async def faults(self) -> Sequence[str]:
        """What axe finds that is serious or critical."""
        if not AXE.is_file():
            missing("axe-core is not installed: `make upstreams`")
        if not await self.page.evaluate("'axe' in window"):
            source = await anyio.Path(AXE).read_text(encoding="utf-8")
            await self.page.evaluate(source)  # by the debugger's door: the page's own policy lets no other script in
        found: dict[str, Any] = await self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:4]]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    async def shot(self, name: str) -> None:
        """Make a screenshot for the documents, where it was asked for."""
        if PICTURES and (PICTURES != "1" or name in KEPT):
            target = SHOTS if PICTURES == "1" else Path(PICTURES)
            await self.page.screenshot(path=target / f"{name}.png", animations="disabled")

    def _listen(self) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not any(part in message.text for part in self.expected):
                self.errors.append(message.text)

        def asked(request: Request) -> None:
            if urlsplit(request.url).netloc != f"localhost:{self.house.port}":
                self.foreign.append(request.url)

        self.page.on("console", said)
        self.page.on("pageerror", lambda problem: self.errors.append(str(problem)))
        self.page.on("request", asked)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A Chromium."""
    path = chromium()
    async with async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def visitor(house: House, chromium: Browser, look: str = "desk") -> AsyncIterator[Visitor]:
    """Somebody with a profile of their own in the browser; at the end nothing may have gone wrong."""
    with anyio.fail_after(DEADLINE):
        context = await chromium.new_context()
        try:
            context.set_default_timeout(PATIENCE)
            found = Visitor(await context.new_page(), house)
            found._listen()
            await found.look(look)
            yield found
        finally:
            with anyio.CancelScope(shield=True):
                await context.close()
    assert found.errors == []
    assert found.foreign == []


@dataclass(frozen=True)
class Desk:
    """A gateway that runs, and what it takes to come to it."""

    house: House
    chromium: Browser
    token: str

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[tuple[Client, Visitor]]:
        """An agent in a session of its own, before a ledger without an entry, and a person who isn't signed in yet."""
        (self.house.world / "ledger.txt").unlink(missing_ok=True)
        async with visitor(self.house, self.chromium) as person, self.house.http_client("legacy", self.token) as client:
            yield client, person
