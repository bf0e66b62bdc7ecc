"""Proofs: how keys are enrolled, and what a signature of one proves. Names come from keys, roles from `[approvers]`.

What is signed is made here, and counts once. Nothing is settled from here.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.approvals.asked import Asked, Purpose, Waiting
from gateway.approvals.keyring import Keyring, Signed, off
from gateway.clock import Sleeper
from gateway.config import Approver
from gateway.core.approval import Voter
from gateway.core.card import statement
from gateway.core.grants import USUAL
from gateway.core.model import Approval, Proof
from gateway.core.signed import (
    ApproverKey,
    KeyKind,
    approval_document,
    challenge,
    key_document,
    same_answer,
    terms_of,
)
from gateway.errors import ApprovalError
from gateway.signers import passkey, ssh
from gateway.store import Store

SITE_NAME = "Wardgate"
_TOUCHED = "a passkey signs only when somebody touches it"


class EndorsementError(ApprovalError):
    """A key that waits until another one of the same name has signed `document` for it; `nonce` is what it goes by."""

    def __init__(self, name: str, nonce: str, document: str) -> None:
        super().__init__(f"`{name}` has a key already, which has to sign for another one", "endorsement")
        self.nonce, self.document = nonce, document


class Proofs:
    """What the approvers of one store prove. Everything here raises `ApprovalError` for what proves nothing.

    An `origin` is that of the page which asks, as the console has checked it; an `answer` is what a browser gave.
    """

    def __init__(
        self,
        store: Store,
        clock: Sleeper,
        key: bytes,
        approvers: Mapping[str, Approver],
        longest: timedelta = USUAL,
    ) -> None:
        """`key` makes the digest of what was shown, and `longest` is how long a grant may stand, as for the desk."""
        self._clock, self._key, self._gateway = clock, key, store.gateway_id
        self._usual = min(USUAL, longest)
        self.keyring = Keyring(store, clock, approvers)
        self._waiting = Waiting(clock)

    def voter(self, by: str) -> Voter:
        """Who answers without a signature; see `Keyring.voter`."""
        return self.keyring.voter(by)

    async def keys(self, name: str = "") -> list[ApproverKey]:
        """All keys that are enrolled, or those of one approver."""
        return await self.keyring.keys(name)

    # --- enrolment

    async def enrol_options(self, name: str, origin: str) -> Mapping[str, Any]:
        """What a page gives to `navigator.credentials.create` for a passkey of an approver."""
        self.keyring.approver(name)
        _check(origin)
        known = [key.id for key in await self.keyring.keys(name, KeyKind.PASSKEY)]
        nonce = secrets.token_bytes(32)
        handle = hashlib.sha256(f"{self._gateway}\n{name}".encode()).digest()
        options = await off(passkey.ask_new, SITE_NAME, name, handle, nonce, known)
        self._waiting.put(Asked(self._clock.now(), Purpose.ENROL, origin=origin, name=name), nonce)
        return options

    async def enrol(self, name: str, answer: Mapping[str, Any], by: str, origin: str) -> str:
        """Enrol the passkey that a browser made: the first key of a name as it is; returns the key's id.

        A further one waits until a key of that name has signed for it: then this raises `EndorsementError`, and
        `endorse_options` and `endorse_document` say what is to be signed.
        """
        self.keyring.approver(name)
        nonce, asked = await self._answered(answer, Purpose.ENROL, origin)
        if asked.name != name:
            raise ApprovalError("the answer is not to what was asked here", "unsigned")
        made = await off(passkey.registered, answer, nonce, origin)
        key = ApproverKey(made.id, name, KeyKind.PASSKEY, made.public, True, made.counter)
        return await self._enrol(key, by, _TOUCHED)

    async def enrol_ssh(self, name: str, line: str, private: str, agent: str, by: str) -> tuple[str, str]:
        """Enrol an ssh key by its public line, as `enrol` does; returns its id, and why it counts as unattended.

        `private` is the path of its private half, `agent` the socket of its owner's agent: both are only tried.
        """
        self.keyring.approver(name)
        public = await off(ssh.read_public, line)
        shown = Path(private) if private.startswith("/") else None
        why = await off(ssh.unattended, public, shown, agent if agent.startswith("/") else "")
        key = ApproverKey(public.fingerprint, name, KeyKind.SSH, public.line, not why)
        return await self._enrol(key, by, why), why

    async def _enrol(self, key: ApproverKey, by: str, how: str) -> str:
        key = replace(key, added_at=self._clock.now(), added_by=by)
        if await self.keyring.others(key):
            nonce = secrets.token_hex(16)
            document = key_document(nonce, self._gateway, key)
            asked = Asked(self._clock.now(), Purpose.ENDORSE, document, name=key.name, key=key, how=how)
            self._waiting.put(asked, nonce.encode(), challenge(document))
            raise EndorsementError(key.name, nonce, document)
        await self.keyring.add(key, how)
        return key.id

    def endorse_document(self, nonce: str) -> str:
        """What an ssh key of the same name has to sign for a key that waits."""
        return self._waiting.look(_bytes(nonce), Purpose.ENDORSE).document

    async def endorse_options(self, nonce: str) -> Mapping[str, Any]:
        """What a page gives to `navigator.credentials.get` so that a passkey of the same name signs for a key."""
        asked = self._waiting.look(_bytes(nonce), Purpose.ENDORSE)
        if not await self.keyring.keys(asked.name, KeyKind.PASSKEY):
            told = f"an ssh key of `{asked.name}` has to sign for it: `wardgate approver endorse {nonce} --key FILE`"
            raise ApprovalError(told, "endorsement")
        return await self._ask(challenge(asked.document), asked.name)

    async def endorse(self, answer: Mapping[str, Any], origin: str) -> str:
        """Enrol a key that waits, by a passkey of the same name; returns the new key's id."""
        nonce, asked = await self._answered(answer, Purpose.ENDORSE, origin)
        return (await self._endorsed(await self.keyring.hear_passkey(answer, asked, nonce, origin)))[0]

    async def endorse_ssh(self, nonce: str, signature: str) -> tuple[str, str]:
        """Enrol a key that waits, by an ssh key of the same name; returns what `enrol_ssh` does."""
        asked = self._waiting.take(_bytes(nonce), Purpose.ENDORSE)
        return await self._endorsed(await self.keyring.hear_ssh(signature, asked))

    async def _endorsed(self, signed: Signed) -> tuple[str, str]:
        key = signed.asked.key
        if key is None or signed.key.name != key.name:
            raise ApprovalError("that is a key of somebody else", "not-permitted")
        await self.keyring.others(key)
        await self.keyring.add(key, signed.asked.how, signed.evidence)
        return key.id, signed.asked.how

    async def revoke(self, wanted: str, by: str) -> ApproverKey:
        """Let a key count no more; see `Keyring.revoke`."""
        return await self.keyring.revoke(wanted, by)

    # --- signing in

    async def sign_in_options(self, origin: str) -> Mapping[str, Any]:
        """What a page gives to `navigator.credentials.get` to sign in by any passkey."""
        _check(origin)
        nonce = secrets.token_bytes(32)
        options = await off(passkey.ask_signature, nonce)
        self._waiting.put(Asked(self._clock.now(), Purpose.SIGN_IN, origin=origin), nonce)
        return options

    async def sign_in(self, answer: Mapping[str, Any], origin: str) -> str:
        """The approver whose passkey answered."""
        nonce, asked = await self._answered(answer, Purpose.SIGN_IN, origin)
        return (await self.keyring.hear_passkey(answer, asked, nonce, origin)).key.name

    # --- signing approvals

    async def sign_options(self, rows: Sequence[Approval], body: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
        """What a page gives to `navigator.credentials.get` to sign an answer to these rows; `document` says what that
        is. `body` is the answer as `Door.answer` takes it, and has to come back unchanged with the signature.
        """
        _check(origin)
        asked = self._asked(rows, body, origin)
        options = await self._ask(challenge(asked.document))
        self._waiting.put(asked, challenge(asked.document))
        return {**options, "document": asked.document}

    async def signed(
        self, rows: Sequence[Approval], body: Mapping[str, Any], answer: Mapping[str, Any], origin: str
    ) -> Voter:
        """Who signed an answer to these rows by a passkey; it is to be settled with `Voter.terms`."""
        nonce, asked = await self._answered(answer, Purpose.APPROVE, origin)
        return self._voter(await self.keyring.hear_passkey(answer, asked, nonce, origin), rows, body)

    def document(self, rows: Sequence[Approval], body: Mapping[str, Any]) -> Mapping[str, str]:
        """What an ssh key is to sign for an answer to these rows: `document`, and the `nonce` to come back with."""
        asked = self._asked(rows, body, "")
        nonce = secrets.token_hex(16)
        self._waiting.put(asked, nonce.encode())
        return {"document": asked.document, "nonce": nonce}

    async def ssh_signed(self, rows: Sequence[Approval], body: Mapping[str, Any], nonce: str, signature: str) -> Voter:
        """Who signed an answer to these rows by an ssh key."""
        asked = self._waiting.take(_bytes(nonce), Purpose.APPROVE)
        return self._voter(await self.keyring.hear_ssh(signature, asked), rows, body)

    def _asked(self, rows: Sequence[Approval], body: Mapping[str, Any], origin: str) -> Asked:
        now = self._clock.now()
        try:
            terms = terms_of(body, now, self._usual)
        except (TypeError, ValueError, OverflowError) as problem:
            raise ApprovalError(f"this can't be signed: {problem}", "choice") from None
        statements = [statement(row, self._gateway, self._key) for row in rows]
        document = approval_document(secrets.token_hex(16), terms, statements)
        of = tuple(row.id for row in rows)
        return Asked(now, Purpose.APPROVE, document, origin, approvals=of, body=dict(body), terms=terms)

    def _voter(self, signed: Signed, rows: Sequence[Approval], body: Mapping[str, Any]) -> Voter:
        """The voter whom a signature proves; one that nobody need have been there for weighs as `local`."""
        asked, name = signed.asked, signed.key.name
        if not same_answer(asked.body, body) or asked.approvals != tuple(row.id for row in rows):
            raise ApprovalError("something else was signed than what is answered now", "unsigned")
        approver = self.keyring.approver(name)
        proof = Proof.SIGNED if signed.attended else Proof.LOCAL
        of = frozenset(asked.approvals)
        return Voter(name, proof, approver.roles, signed.evidence, of, asked.terms, approver.proofs)

    async def _ask(self, nonce: bytes, name: str = "") -> Mapping[str, Any]:
        """What a browser is given to sign with a passkey that is enrolled."""
        known = [key.id for key in await self.keyring.keys(name, KeyKind.PASSKEY)]
        if not known:
            raise ApprovalError("no passkey is enrolled that could sign", "unknown")
        return await off(passkey.ask_signature, nonce, known)

    async def _answered(self, answer: Mapping[str, Any], purpose: Purpose, origin: str) -> tuple[bytes, Asked]:
        """What a browser's answer is to; it has to come from the page that asked."""
        _check(origin)
        nonce = await off(passkey.challenge_in, answer)
        asked = self._waiting.take(nonce, purpose)
        if asked.origin not in ("", origin):
            raise ApprovalError("the answer is not to what was asked here", "unsigned")
        return nonce, asked


def _check(origin: str) -> None:
    if not passkey.serves(origin):
        raise ApprovalError("passkeys work on `http://localhost` only, not under another name", "origin")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
