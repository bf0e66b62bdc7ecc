"""The console as an ASGI application: shells of pages, their data, one stream of events, and acts.

A shell is the same for everybody and holds nothing; data and acts need a signed-in tab (`access.py`).
"""

from collections.abc import Awaitable, Callable, Mapping

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.console.access import HEADERS, DeniedError, host_of, tab_of
from gateway.console.acts import Acts
from gateway.console.feed import Feed
from gateway.console.looks import PAGES, Looks
from gateway.console.pages import Fragment, Pages
from gateway.console.ports import Gate, Proofs
from gateway.console.signin import SignIns
from gateway.core.leaks import Leak
from gateway.core.model import Approval
from gateway.errors import ApprovalError, GatewayError

MOST_PARAMETERS, LONGEST_PARAMETER = 20, 400
UNDER = {"approvals": "/", "decisions": "/decisions", "leaks": "/leaks"}  # the pages that others stand under
_MISSING = {"unknown": 404, "ambiguous": 404}


class Console:
    """The console of one gateway."""

    def __init__(self, gate: Gate, signins: SignIns, looks: Looks, proofs: Proofs | None = None) -> None:
        self._signins, self._looks = signins, looks
        self._pages = Pages(gate, looks, signins, passkeys=proofs is not None)
        self._feed = Feed(signins, lambda: (*(freeze.id for freeze in gate.freezes()), *gate.held_policies()))
        self._shells = {path: (title, about) for path, title, about in PAGES}
        self._passkeys = proofs is not None
        self._app = Starlette(
            routes=self._routes(Acts(gate, signins, proofs)),
            exception_handlers={
                DeniedError: _denied,
                ApprovalError: _refused,
                GatewayError: _broken,
                HTTPException: _missing,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request whose Host and Origin are ours."""
        await self._app(scope, receive, send)

    def tell(self, row: Approval) -> None:
        """A row was opened or settled: tell the tabs."""
        self._feed.tell(row)

    def tell_leak(self, leak: Leak, word: str) -> None:
        """A leak came to a stage of its days, or somebody said what becomes of it (`word`): tell the tabs."""
        self._feed.tell_leak(leak, word)

    def close(self) -> None:
        """End the streams: the gateway is about to stop."""
        self._feed.close()

    def _routes(self, acts: Acts) -> list[Route]:
        pages = self._pages
        return [
            *(_get(path, self._shell) for path in self._shells),
            _get("/approvals/{id}", self._shell),
            _get("/decisions/{id}", self._shell),
            _get("/leaks/{id}", self._shell),
            _get("/secrets", self._moved),
            _get("/static/{name}", self._static),
            *(_get(f"/data{path}", self._fragment(fragment)) for path, fragment in pages.fragments.items()),
            _get("/data/approvals/{id}", self._one(pages.card)),
            _get("/data/approvals/{id}/covers", self._one(pages.covers)),
            _get("/data/decisions/{id}", self._one(pages.decision)),
            _get("/data/leaks/{id}", self._one(pages.leak)),
            _get("/events", self._events),
            _post("/do/sign-in", acts.sign_in),
            _post("/do/sign-in/options", acts.sign_in_options),
            _post("/do/sign-out", acts.sign_out),
            *(_post(path, acts.wrap(act)) for path, act in acts.acts.items()),
        ]

    async def _shell(self, request: Request) -> Response:
        """A page without anything in it."""
        host_of(request)
        path = request.url.path
        here = UNDER.get(path.split("/")[1], path)
        title, about = self._shells[here]
        if here == "/" and path != "/":
            title, about = "Approval", "One call that waits for a person"
        html = self._looks.render("shell.html", here=here, title=title, about=about, passkeys=self._passkeys)
        return HTMLResponse(html, headers=HEADERS)

    async def _moved(self, request: Request) -> Response:
        """Where a page is that was called otherwise."""
        host_of(request)
        return RedirectResponse("/leaks", 308, HEADERS)

    async def _static(self, request: Request) -> Response:
        found = self._looks.static.get(request.path_params["name"])
        if found is None:
            raise DeniedError(404, "there is nothing here")
        return Response(found[0], media_type=found[1], headers=HEADERS)

    async def _events(self, request: Request) -> Response:
        tab = tab_of(request, self._signins, posted=False)
        if self._feed.full:
            raise DeniedError(503, "too many tabs are open")
        return EventSourceResponse(self._feed.stream(tab), headers=dict(HEADERS))

    def _fragment(self, fragment: Fragment) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            tab = tab_of(request, self._signins, posted=False)
            return HTMLResponse(await fragment(tab, _parameters(request)), headers=HEADERS)

        return serve

    def _one(self, fragment: Callable[..., Awaitable[str]]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            tab = tab_of(request, self._signins, posted=False)
            return HTMLResponse(await fragment(tab, request.path_params["id"], _parameters(request)), headers=HEADERS)

        return serve


def _get(path: str, serve: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, serve, methods=["GET"])


def _post(path: str, serve: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, serve, methods=["POST"])


def _parameters(request: Request) -> Mapping[str, str]:
    found = dict(request.query_params)
    if len(found) > MOST_PARAMETERS or any(len(value) > LONGEST_PARAMETER for value in found.values()):
        raise DeniedError(400, "too many filters, or too long ones")
    return found


async def _denied(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, DeniedError)
    return problem.answer()


async def _refused(request: Request, problem: Exception) -> Response:
    """A vote or a word that doesn't count."""
    assert isinstance(problem, ApprovalError)
    body = {"error": str(problem), "objection": problem.objection}
    return JSONResponse(body, _MISSING.get(problem.objection, 409), HEADERS)


async def _broken(request: Request, problem: Exception) -> Response:
    """Something of the gateway's own broke, such as the record."""
    return JSONResponse({"error": str(problem), "objection": "gateway"}, 503, HEADERS)


async def _missing(request: Request, problem: Exception) -> Response:
    """No such path, or not by this method."""
    assert isinstance(problem, HTTPException)
    text = "there is nothing here" if problem.status_code == 404 else "not by this method"
    return JSONResponse({"error": text}, problem.status_code, {**HEADERS, **(problem.headers or {})})
