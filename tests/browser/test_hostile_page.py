"""A page on another port of the same host, in the browser of somebody who is signed in: it has the cookie, no more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.browser.kit import Desk
from tests.e2e.kit import asked

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

ATTACK = """async ([console, approval]) => {
  const found = {};
  const tried = async (name, work) => { try { found[name] = await work(); } catch { found[name] = "failed"; } };
  const body = JSON.stringify({ choice: "deny", digest: "" });
  await tried("read", async () => (await (await fetch(`${console}/data/`, { credentials: "include" })).text()).length);
  await tried("read blind", async () =>
    (await (await fetch(`${console}/data/`, { credentials: "include", mode: "no-cors" })).text()).length);
  await tried("act", async () =>
    (await fetch(`${console}/do/freeze`, { method: "POST", credentials: "include", body: '{"all": true}',
      headers: { "Content-Type": "application/json" } })).status);
  await tried("act blind", async () =>
    (await fetch(`${console}/do/freeze`, { method: "POST", credentials: "include", mode: "no-cors",
      body: '{"all": true}', headers: { "Content-Type": "text/plain" } })).status);
  await tried("get", async () =>
    (await fetch(`${console}/do/approvals/${approval}`, { credentials: "include", mode: "no-cors" })).status);
  await tried("key", () => new Promise((done) => {
    const tabs = new BroadcastChannel("wardgate");
    tabs.onmessage = (event) => done(event.data);
    tabs.postMessage("key?");
    setTimeout(() => done("none"), 500);
  }));
  found["storage"] = sessionStorage.length + localStorage.length;
  const frame = document.createElement("iframe");
  frame.src = `${console}/approvals/${approval}`;
  await new Promise((done) => { frame.onload = done; document.body.append(frame); setTimeout(done, 3000); });
  await tried("frame", async () => frame.contentDocument.body.innerText.length);
  const form = document.createElement("form");
  form.method = "post"; form.enctype = "text/plain"; form.action = `${console}/do/freeze`; form.target = "sink";
  form.innerHTML = `<input name='{"all": true, "x": "' value='"}'><iframe name="sink"></iframe>`;
  document.body.append(form);
  form.submit();
  await new Promise((done) => setTimeout(done, 500));
  return found;
}"""


class Page(BaseHTTPRequestHandler):
    """Serves an empty page, and notes which cookies the browser shows to it."""

    cookies: list[str]

    def do_GET(self) -> None:
        self.cookies.append(self.headers.get("cookie", ""))
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>hostile</title><body>")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def hostile() -> Iterator[tuple[int, list[str]]]:
    """A server of somebody else's on another port; the cookies that it was shown."""
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Noting", (Page,), {"cookies": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.may_block("the hostile server is started and stopped in the test's own thread")
async def test_a_page_on_another_port_has_the_cookie_and_gets_nothing_by_it(desk: Desk) -> None:
    house = desk.house
    async with desk.at_work() as (client, person):
        await person.sign_in()
        approval = asked(await client.call_tool("ledger__note", {"text": "attacked"}))
        with hostile() as (port, seen):
            page = await person.page.context.new_page()
            await page.goto(f"http://localhost:{port}/")
            found = await page.evaluate(ATTACK, [person.address, approval])
            await page.close()
        assert any(f"wardgate-{house.port}=" in cookies for cookies in seen), "else nothing was tried"
        tried = ("read", "read blind", "act", "act blind", "get", "frame")
        assert found == {**dict.fromkeys(tried, "failed"), "key": "none", "storage": 0}
        assert await house.items("freeze") == []
        assert [row["state"] for row in await house.items("approvals", "show", approval)] == ["waiting"]
        await person.go("/")
        await person.page.locator(f"[data-row={approval}]").wait_for()
