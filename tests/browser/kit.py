"""Chromium before a real gateway's console: an error on its own console, or a request to another host, fails a test.

Knows nothing of the gateway's inside. Debian's package `chromium`, driven by Playwright.
"""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.e2e.kit import House

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
PATIENCE = 10_000  # ms until what is awaited must be there
DEADLINE = 100.0  # seconds that one visit may take


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

    async def faults(self) -> Sequence[str]:
        """What axe finds that is serious or critical."""
        if not AXE.is_file():
            missing("axe-core is not installed: `make upstreams`")
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
    """A Chromium of the test's own."""
    path = chromium()
    async with async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def visitor(
    house: House, size: tuple[int, int] = DESKTOP, of: Browser | None = None, **options: Any
) -> AsyncIterator[Visitor]:
    """Somebody with a browser of their own (or a new profile in one); at the end nothing may have gone wrong."""
    if of is None:
        async with browser() as own, visitor(house, size, own, **options) as found:
            yield found
        return
    with anyio.fail_after(DEADLINE):
        context = await of.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        context.set_default_timeout(PATIENCE)
        found = Visitor(await context.new_page(), house)
        found._listen()
        yield found
        await context.close()
    assert found.errors == []
    assert found.foreign == []
