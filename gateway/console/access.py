"""Who may ask the console for data, or to act: the page's Origin, the cookie, and the key of the tab.

Decides nothing about calls. A shell of a page holds nothing, and is everybody's.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.console.signin import SignIns, Tab

KEY_HEADER, BACKGROUND_HEADER = "x-wardgate-key", "x-wardgate-background"
MAX_BODY = 1024 * 1024  # bytes of what a page posts: an edit's arguments are the largest
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CSP,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
}
_HOST = re.compile(r"(localhost|127\.0\.0\.1):(\d{1,5})")


class DeniedError(Exception):
    """A request that gets nothing; `status` and the words say why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def answer(self) -> JSONResponse:
        """The answer to it."""
        return JSONResponse({"error": str(self)}, self.status, HEADERS)


def host_of(request: Request) -> str:
    """The Host that a page of ours is on; raises `DeniedError` for any other."""
    host = request.headers.get("host", "").lower()
    if not _HOST.fullmatch(host):
        raise DeniedError(404, "the console is at `localhost` and 127.0.0.1, with its port")
    return host


def cookie_of(host: str) -> str:
    """The name of the cookie: it says the port, since a cookie is of all ports of a host."""
    return f"wardgate-{host.rpartition(':')[2]}"


def from_own_page(request: Request, *, posted: bool) -> str:
    """The Host, if the request is of a page of exactly this host and port; else `DeniedError`."""
    host = host_of(request)
    origins = request.headers.getlist("origin")
    if (posted and len(origins) != 1) or any(origin != f"http://{host}" for origin in origins):
        raise DeniedError(403, "this Origin may not do that")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise DeniedError(403, "only the console's own page may do that")
    return host


def tab_of(request: Request, signins: SignIns, *, posted: bool) -> Tab:
    """The signed-in tab that a request comes from; raises `DeniedError` without both of its halves."""
    host = from_own_page(request, posted=posted)
    cookie, key = request.cookies.get(cookie_of(host), ""), request.headers.get(KEY_HEADER, "")
    tab = signins.find(cookie, key, by_person=BACKGROUND_HEADER not in request.headers)
    if tab is None:
        raise DeniedError(401, "not signed in: `wardgate console` prints a link")
    return tab


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a page posted; raises `DeniedError` for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise DeniedError(415, "only application/json")
    data = await request.body()
    if len(data) > MAX_BODY:
        raise DeniedError(413, f"over the limit of {MAX_BODY} bytes")
    try:
        found = msgspec.json.decode(data or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DeniedError(400, "expected a JSON object") from None
    if not isinstance(found, dict):
        raise DeniedError(400, "expected a JSON object")
    return found
