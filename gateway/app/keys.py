"""What commands ask of the keys of approvers over the control socket: documents to sign, enrolment, signed answers.

Whoever speaks there is the owner of the state folder, or root; what a signature proves is for `approvals/proofs.py`.
"""

from collections.abc import Mapping
from typing import Any

from gateway.app.build import Gateway
from gateway.app.door import PLAN_LIMIT, Door
from gateway.approvals.proofs import EndorsementError
from gateway.control import Handler, Request
from gateway.core.approval import Voter
from gateway.core.model import Approval
from gateway.core.record import stamp
from gateway.core.signed import NAMESPACE, ApproverKey
from gateway.errors import ApprovalError


class KeyCommands:
    """The handlers of one gateway that have to do with keys, by operation. They raise `ApprovalError`."""

    def __init__(self, gateway: Gateway, door: Door) -> None:
        self._proofs, self._door = gateway.proofs, door

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation."""
        return {
            "document": self.document,
            "endorse": self.endorse,
            "key-add": self.add,
            "key-document": self.key_document,
            "key-revoke": self.revoke,
            "keys": self.keys,
        }

    async def document(self, request: Request, user: str) -> dict[str, Any]:
        """What an ssh key is to sign for an answer: `id`, and the answer itself."""
        asked = await self._rows(await self._door.row(_text(request, "id")), request)
        return {**self._proofs.document(asked, _answer(request)), "namespace": NAMESPACE}

    async def keys(self, request: Request, user: str) -> dict[str, Any]:
        """All keys that are enrolled, or those of one `name`."""
        return {"items": [key_item(key) for key in await self._proofs.keys(_text(request, "name"))]}

    async def add(self, request: Request, user: str) -> dict[str, Any]:
        """Enrol an ssh key (`public`, a line) for a `name`; a further one answers with `nonce` and `document`."""
        name, line = _text(request, "name"), _text(request, "public")
        try:
            id, why = await self._proofs.enrol_ssh(
                name, line, _text(request, "private"), _text(request, "agent"), f"os:{user}"
            )
        except EndorsementError as further:
            return {"items": [], "nonce": further.nonce, "document": further.document, "namespace": NAMESPACE}
        return {"items": [{**item, "how": why} for item in await self._item(id)]}

    async def key_document(self, request: Request, user: str) -> dict[str, Any]:
        """What a key of the same name has to sign for a key that waits under a `nonce`."""
        return {"document": self._proofs.endorse_document(_text(request, "nonce")), "namespace": NAMESPACE}

    async def endorse(self, request: Request, user: str) -> dict[str, Any]:
        """Enrol a key that waits under a `nonce`, by the `signature` of another one."""
        id, why = await self._proofs.endorse_ssh(*_signed(request))
        return {"items": [{**item, "how": why} for item in await self._item(id)]}

    async def revoke(self, request: Request, user: str) -> dict[str, Any]:
        """Let a key count no more."""
        return {"items": [key_item(await self._proofs.revoke(_text(request, "id"), f"os:{user}"))]}

    async def voter(self, row: Approval, body: Request, user: str) -> Voter:
        """Who answers at the control socket: by the signature in `signed`, if there is one."""
        signed = body.get("signed")
        if signed is None:
            return self._proofs.voter(f"os:{user}")
        if not isinstance(signed, dict):
            raise ApprovalError("expected `signed` as {nonce, signature}", "shape")
        return await self._proofs.ssh_signed(await self._rows(row, body), _answer(body), *_signed(signed))

    async def _rows(self, row: Approval, body: Request) -> list[Approval]:
        """The rows that an answer is for: the card's, and those that are to be settled with it."""
        also = body.get("also", ())
        if not isinstance(also, list | tuple) or len(also) > PLAN_LIMIT:
            raise ApprovalError(f"expected `also` as a list of at most {PLAN_LIMIT} ids", "shape")
        return [row, *[await self._door.row(str(other)) for other in also]]

    async def _item(self, id: str) -> list[dict[str, Any]]:
        return [key_item(key) for key in await self._proofs.keys() if key.id == id]


def key_item(key: ApproverKey) -> dict[str, Any]:
    """A key as `approver list --json` prints it."""
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind.value,
        "public": key.public,
        "attended": key.attended,
        "added_at": stamp(key.added_at) if key.added_at is not None else "",
        "added_by": key.added_by,
    }


def _answer(request: Request) -> Mapping[str, Any]:
    """The answer in a request, as `Door.answer` takes it."""
    return {"choice": "once", **request}


def _signed(request: Request) -> tuple[str, str]:
    return _text(request, "nonce"), _text(request, "signature")


def _text(request: Request, name: str) -> str:
    found = request.get(name, "")
    if not isinstance(found, str):
        raise ApprovalError(f"expected `{name}` as text", "shape")
    return found
