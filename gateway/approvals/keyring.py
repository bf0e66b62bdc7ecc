"""The keys of approvers: enrolled, looked up, revoked, and heard. Who may sign at all is said by `[approvers]`.

Each change and its record are one transaction. It asks nobody, and settles nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from msgspec import Struct

from gateway import ids
from gateway.approvals.asked import Asked
from gateway.clock import Sleeper
from gateway.config import Approver
from gateway.core.approval import Voter, person
from gateway.core.model import Kind, Proof, Record
from gateway.core.record import columns, encode
from gateway.core.signed import ApproverKey, Heard, KeyKind, enrolment, evidence
from gateway.errors import ApprovalError, StateError
from gateway.signers import passkey, ssh
from gateway.store import Entry, Store, people

MOST_KEYS = 32  # of one approver

T = TypeVar("T")


class Signed(Struct, frozen=True):
    """A signature that fits: by which key, of what, and whether a person was there."""

    key: ApproverKey
    asked: Asked
    signature: Any
    attended: bool

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What the record keeps of it."""
        return evidence(self.key, self.asked.document, self.signature, attended=self.attended)


class Keyring:
    """The keys of one store. Everything here raises `ApprovalError` for what doesn't count."""

    def __init__(self, store: Store, clock: Sleeper, approvers: Mapping[str, Approver]) -> None:
        self._store, self._clock, self._approvers = store, clock, approvers

    async def keys(self, name: str = "", kind: KeyKind | None = None) -> list[ApproverKey]:
        """The keys that are enrolled: all, those of one approver, those of one kind."""
        found = await people.list_keys(self._store)
        return [key for key in found if name in ("", key.name) and kind in (None, key.kind)]

    def voter(self, by: str) -> Voter:
        """Who answers without a signature, signed in or at the control socket: `os:USER`, or an approver's name."""
        found = self._approvers.get(person(by))
        return Voter(by, Proof.LOCAL) if found is None else Voter(by, Proof.LOCAL, found.roles, proofs=found.proofs)

    def approver(self, name: str) -> Approver:
        """The approver of a name, if that one may sign."""
        found = self._approvers.get(name)
        if found is None or Proof.SIGNED not in found.proofs:
            told = f"`{name}` may not sign: [approvers.{name}] with `signed` among its `proofs` is needed"
            raise ApprovalError(told, "not-permitted")
        return found

    async def others(self, key: ApproverKey) -> list[ApproverKey]:
        """The keys of the same name, if this one can be added to them."""
        known = await self.keys()
        mine = [one for one in known if one.name == key.name]
        if any(one.id == key.id for one in known):
            raise ApprovalError("this key is enrolled already", "repeated")
        if len(mine) >= MOST_KEYS:
            raise ApprovalError(f"`{key.name}` has {MOST_KEYS} keys already: revoke one", "limit")
        return mine

    async def add(self, key: ApproverKey, how: str, endorsed: Mapping[str, Any] | None = None) -> None:
        """Enrol a key; `endorsed` is what another one of the same name signed for it."""
        more = {"how": how, **({"endorsed": endorsed} if endorsed is not None else {})}
        entry = self._entry(enrolment(key, "enrolled", key.added_by, **more))
        await self._store.append((entry,), (people.insert_key(key),))

    async def revoke(self, wanted: str, by: str) -> ApproverKey:
        """Let a key count no more, by its id or the beginning of it."""
        found = [key for key in await self.keys() if wanted and key.id.startswith(wanted)]
        exact = [key for key in found if key.id == wanted] or found
        if len(exact) != 1:
            raise ApprovalError(
                f"unknown key `{wanted}`" if not exact else f"`{wanted}` begins several keys", "unknown"
            )
        (key,) = exact
        if not await self._store.append((self._entry(enrolment(key, "revoked", by)),), (people.drop_key(key.id),)):
            raise ApprovalError(f"key `{key.id}` is revoked already", "settled")
        return key

    async def hear_passkey(self, answer: Mapping[str, Any], asked: Asked, nonce: bytes, origin: str) -> Signed:
        """The signature in a browser's answer. A passkey whose counter went back is heard no more."""
        assertion = await off(passkey.read_assertion, answer)
        key = await self._of(assertion.id, KeyKind.PASSKEY)
        check = partial(passkey.verified, assertion.id, assertion.parts, nonce, origin, key.public, key.counter)
        if not await self._store.append((), (people.count_key(key.id, await off(check)),)):
            raise ApprovalError("the passkey's counter did not grow: there may be a copy of it", "copied")
        return Signed(key, asked, assertion.parts, True)

    async def hear_ssh(self, signature: str, asked: Asked) -> Signed:
        """An ssh key's signature."""
        key = await self._of(await off(ssh.signer, signature), KeyKind.SSH)
        heard = await off(ssh.listen, key.public, asked.document, signature)
        if heard is Heard.BAD:
            raise ApprovalError("the signature does not fit what was to be signed", "unsigned")
        return Signed(key, asked, signature, key.present(heard))

    async def _of(self, id: str, kind: KeyKind) -> ApproverKey:
        found = [key for key in await self.keys(kind=kind) if key.id == id]
        if not found:
            raise ApprovalError("the key is enrolled for nobody here", "not-permitted")
        self.approver(found[0].name)
        return found[0]

    def _entry(self, about: Mapping[str, Any]) -> Entry:
        record = Record(Kind.APPROVER, ids.new_id(ids.ENTRY), self._clock.now(), extra=about)
        return Entry(encode(record), columns(record))


async def off(work: Callable[..., T], *given: Any) -> T:
    """Do what blocks in a thread; what it finds wrong is an objection."""
    try:
        return await anyio.to_thread.run_sync(work, *given)
    except ValueError as problem:
        raise ApprovalError(str(problem), "unsigned") from None
    except StateError as problem:
        raise ApprovalError(str(problem), "unable") from None
