"""What a page may do, each by one POST: sign in and out, answer, label, revoke, freeze, thaw, accept what is held, and
say what becomes of a leak. A GET does none of it.

Every act needs the page's own Origin and, but for signing in, both halves of a signed-in tab.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.console.access import HEADERS, DeniedError, body_of, cookie_of, from_own_page, host_of, tab_of
from gateway.console.leaks import offered_for, standing, word_of
from gateway.console.pages import MOST_HELD
from gateway.console.ports import Gate, HeldPolicy, Proofs
from gateway.console.signin import LONGEST, SignIns, Tab
from gateway.core.approval import person
from gateway.core.grants import ONCE_ONLY
from gateway.core.model import Approval, Choice, Proof
from gateway.core.record import stamp
from gateway.core.visible import visible
from gateway.errors import ApprovalError

CHOSEN = ("choice", "note", "minutes", "uses", "values", "also")  # what of a body is an answer, and is signed
MOST_TOGETHER = 100  # other rows of one answer

Act = Callable[[Tab, Mapping[str, Any], Request], Awaitable[Mapping[str, Any]]]


class Acts:
    """Every act of one console."""

    def __init__(self, gate: Gate, signins: SignIns, proofs: Proofs | None) -> None:
        self._gate, self._signins, self._proofs = gate, signins, proofs
        self.acts: Mapping[str, Act] = {
            "/do/approvals/{id}": self.answer,
            "/do/approvals/{id}/label": self.label,
            "/do/approvals/{id}/challenge": self.challenge,
            "/do/grants/{id}/revoke": self.revoke,
            "/do/freeze": self.freeze,
            "/do/thaw": self.thaw,
            "/do/leaks/{id}": self.leak,
            "/do/held": self.accept,
            "/do/policy": self.accept_policy,
            "/do/passkeys/options": self.enrol_options,
            "/do/passkeys": self.enrol,
            "/do/passkeys/endorse": self.endorse,
        }

    def wrap(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """An act as what serves its POST."""

        async def serve(request: Request) -> Response:
            tab = tab_of(request, self._signins, posted=True)
            return JSONResponse(await act(tab, await body_of(request), request), headers=HEADERS)

        return serve

    async def sign_in(self, request: Request) -> Response:
        """Sign a tab in: with the secret of a link, or a passkey's answer."""
        host = from_own_page(request, posted=True)
        body = await body_of(request)
        if "link" in body:
            name = self._signins.redeem(str(body["link"]))
        else:
            name = await self._need_proofs().sign_in(_mapping(body.get("passkey")), f"http://{host}")
        if name is None:
            raise DeniedError(403, "this link was used, or is older than a minute: `wardgate console` prints a new one")
        cookie, key = self._signins.open(name, request.cookies.get(cookie_of(host), ""))
        answer = JSONResponse({"key": key, "name": name}, headers=HEADERS)
        answer.set_cookie(cookie_of(host), cookie, int(LONGEST), path="/", httponly=True, samesite="strict")
        return answer

    async def sign_in_options(self, request: Request) -> Response:
        """What a browser is asked with to sign in by passkey."""
        host = from_own_page(request, posted=True)
        return JSONResponse(dict(await self._need_proofs().sign_in_options(f"http://{host}")), headers=HEADERS)

    async def sign_out(self, request: Request) -> Response:
        """Sign this tab out, and forget its cookie."""
        tab_of(request, self._signins, posted=True)
        await body_of(request)
        name = cookie_of(from_own_page(request, posted=True))
        self._signins.close(request.cookies.get(name, ""))
        answer = JSONResponse({}, headers=HEADERS)
        answer.delete_cookie(name, path="/", httponly=True, samesite="strict")
        return answer

    async def answer(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Answer one card: what it shows has to be what this tab was shown, and for long enough."""
        row = await self._gate.row(request.path_params["id"])
        chosen = await self._chosen(row, body)
        rows = [row, *await self._also(chosen)]
        if chosen["choice"] not in (Choice.DENY.value, Choice.BAR.value):
            self._need_armed(tab, rows)
        voter = self._gate.voter(tab.name)
        if "passkey" in body:
            voter = await self._need_proofs().signed(rows, chosen, _mapping(body["passkey"]), _origin(request))
        unconfirmed = voter.proof is not Proof.SIGNED and body.get("confirm") != row.exposed
        if row.effect in ONCE_ONLY and _approves(chosen) and unconfirmed:
            raise ApprovalError(f"type `{row.exposed}` to approve it", "confirm")
        after = await self._gate.answer(row, chosen, voter)
        return {"id": after.id, "state": after.state.value, "edited": after.id != row.id, "by": after.decided_by}

    async def challenge(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """What a passkey has to sign for this answer."""
        row = await self._gate.row(request.path_params["id"])
        chosen = await self._chosen(row, body)
        rows = [row, *await self._also(chosen)]
        self._need_armed(tab, rows)
        return dict(await self._need_proofs().sign_options(rows, chosen, _origin(request)))

    async def label(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Say what the tool of a waiting row does; it is decided anew then."""
        row = await self._gate.row(request.path_params["id"])
        self._need_armed(tab, [row])
        return {"again": await self._gate.label(row, str(body.get("effect", "")), self._gate.voter(tab.name))}

    async def revoke(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """End a grant."""
        return {"id": (await self._gate.revoke(request.path_params["id"], self._gate.voter(tab.name))).id}

    async def freeze(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Hold everything (nothing named), one upstream or one session."""
        upstream, session = str(body.get("upstream", "")), str(body.get("session", ""))
        if (body.get("all") is True) == bool(upstream or session):
            raise ApprovalError("expected an upstream, a session, or all", "shape")
        voter = self._gate.voter(tab.name)
        return {"id": (await self._gate.freeze(upstream, session, voter, str(body.get("note", "")))).id}

    async def thaw(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Let go what was held."""
        upstream, session = str(body.get("upstream", "")), str(body.get("session", ""))
        voter = self._gate.voter(tab.name)
        gone = await self._gate.thaw(upstream, session, voter, everything=body.get("all") is True)
        return {"count": len(gone)}

    async def leak(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Say what becomes of a leak: of the one that was shown, as it was shown."""
        told = await self._gate.leak(tab.name, request.path_params["id"])
        if told is None:
            raise ApprovalError(f"unknown leak `{visible(request.path_params['id'])}`", "unknown")
        if not told.may:
            raise ApprovalError("its owner says what becomes of a leak, or who may see all records", "not-permitted")
        if body.get("was") != standing(told.leak):
            raise ApprovalError(f"leak `{told.leak.id}` is not as it was shown", "shape")
        word = word_of(body)
        if word.choice.value not in offered_for(told.leak):
            raise ApprovalError(f"`{word.choice.value}` can't be said of leak `{told.leak.id}`", "not-offered")
        if word.lasts is not None and not tab.armed(told.leak.id, self._gate.monotonic()):
            raise ApprovalError(f"leak `{told.leak.id}` was not shown here long enough to be read", "unread")
        after = await self._gate.settle_leak(told.leak, word, self._gate.voter(tab.name))
        return {"id": after.id, "state": after.state.value, "until": stamp(after.until) if after.until else ""}

    async def accept(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Accept one thing that is held: the one that this tab was shown, with all that stood there."""
        found, _ = await self._gate.holdings(MOST_HELD)
        what = (body.get("upstream"), body.get("kind"), body.get("name"))
        held = next((row for row in found if (row.upstream, row.kind, visible(row.name)) == what), None)
        if held is None:
            raise ApprovalError("nothing of that name is held: look again", "unknown")
        if body.get("digest") != held.digest:
            raise ApprovalError(f"`{held.exposed}` is another one now: look at it again", "shape")
        if not tab.armed(held.mark, self._gate.monotonic()):
            raise ApprovalError(f"`{held.exposed}` was not shown here long enough to be read, as it is now", "unread")
        if held.confirm and body.get("confirm") != held.confirm:
            raise ApprovalError(f"type `{held.confirm}` to accept it", "confirm")
        await self._gate.accept(held, self._gate.voter(tab.name))
        return {"accepted": held.exposed, "digest": held.digest}

    async def accept_policy(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Let a policy that is held count: the one that this tab was shown."""
        held = HeldPolicy(str(body.get("digest", "")), "")
        if not tab.armed(held.mark, self._gate.monotonic()):
            raise ApprovalError("this policy was not shown here long enough to be read", "unread")
        later = await self._gate.accept_policy(held.digest, self._gate.voter(tab.name))
        return {"digest": held.digest, "restart": later}

    async def enrol_options(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """What a browser is asked with to make a passkey for whoever is signed in."""
        return dict(await self._need_proofs().enrol_options(person(tab.name), _origin(request)))

    async def enrol(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Keep the new passkey of whoever is signed in; a further one waits for the signature of an older key."""
        proofs = self._need_proofs()
        made = _mapping(body.get("passkey"))
        id, nonce = await proofs.enrol(person(tab.name), made, tab.name, _origin(request))
        if id:
            return {"id": id}
        try:
            return dict(await proofs.endorse_options(nonce))
        except ApprovalError:  # this person has no passkey that could sign for it: an ssh key has to
            return {"code": nonce}

    async def endorse(self, tab: Tab, body: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
        """Keep a passkey that waited, by the signature of an older one."""
        return {"id": await self._need_proofs().endorse(_mapping(body.get("passkey")), _origin(request))}

    async def _chosen(self, row: Approval, body: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a body that is the answer; raises `ApprovalError` where another call was shown."""
        if body.get("digest") != row.arguments_digest:
            raise ApprovalError(f"approval `{row.id}` is not of the call that was shown", "shape")
        chosen = {name: body[name] for name in CHOSEN if body.get(name) not in (None, "", [])}
        chosen.setdefault("choice", "")
        if chosen["choice"] == Choice.EDIT.value:
            chosen["arguments"] = _edited(body.get("arguments"))
        return chosen

    async def _also(self, chosen: Mapping[str, Any]) -> Sequence[Approval]:
        also = chosen.get("also", [])
        if not isinstance(also, list) or len(also) > MOST_TOGETHER:
            raise ApprovalError(f"expected `also` as a list of at most {MOST_TOGETHER} ids", "shape")
        return [await self._gate.row(str(one)) for one in also]

    def _need_armed(self, tab: Tab, rows: Sequence[Approval]) -> None:
        """# INVARIANT: a tab approves only what it has shown for as long as a person needs to see it."""
        now = self._gate.monotonic()
        for row in rows:
            if not tab.armed(row.id, now):
                raise ApprovalError(f"the card of `{row.id}` was not shown here long enough to be read", "unread")

    def _need_proofs(self) -> Proofs:
        if self._proofs is None:
            raise ApprovalError("passkeys need the extra: pip install 'wardgate[passkey]'", "passkey")
        return self._proofs


def _approves(chosen: Mapping[str, Any]) -> bool:
    """Whether an answer lets the call run; an edit only puts another card there."""
    return chosen["choice"] not in (Choice.DENY.value, Choice.BAR.value, Choice.EDIT.value)


def _origin(request: Request) -> str:
    """The origin of the page, which was checked before."""
    return f"http://{host_of(request)}"


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ApprovalError("expected the answer of a passkey", "passkey")
    return value


def _edited(text: Any) -> Any:
    """Edited arguments, which come as the text that a person wrote: numbers stay exact."""
    if not isinstance(text, str):
        raise ApprovalError("expected `arguments` as the text of a JSON object", "invalid-arguments")
    try:
        found = msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise ApprovalError(f"this is no JSON: {problem}", "invalid-arguments") from None
    if not isinstance(found, dict):
        raise ApprovalError("expected a JSON object", "invalid-arguments")
    return found
