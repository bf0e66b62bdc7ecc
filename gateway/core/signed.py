"""What approvers sign, and what must hold of the signatures that stand in the record. Pure: who verifies is handed in.

A document is canonical JSON; ssh keys sign it as it is, passkeys sign its SHA-256 as their challenge.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.core.approval import Terms
from gateway.core.canon import canonical
from gateway.core.grants import SCOPES, USUAL, USUAL_USES
from gateway.core.model import Choice, Kind
from gateway.core.record import stamp

APPROVAL_FORMAT, KEY_FORMAT = "wardgate-approval/1", "wardgate-key/1"
NAMESPACE = "wardgate-approval"  # of ssh signatures: none that was made for another purpose counts here
_GIVING = (*SCOPES, Choice.VOUCH)


class KeyKind(str, Enum):
    """What kind of key an approver signs with."""

    SSH = "ssh"
    PASSKEY = "passkey"


class Heard(Enum):
    """What a signature says: nothing, that the key made it, or also whether a person touched the key for it."""

    BAD = "bad"
    GOOD = "good"
    PRESENT = "present"
    ABSENT = "absent"


class ApproverKey(Struct, frozen=True):
    """A key that one approver enrolled.

    `id` is the fingerprint of an ssh key, the credential's id of a passkey; `public` a line as in `authorized_keys`, or
    the COSE key in base64url.
    """

    id: str
    name: str
    kind: KeyKind
    public: str
    attended: bool  # it signs only with a person there; where each signature tells that, the signature counts
    counter: int = 0  # of the last signature, for passkeys that count
    added_at: datetime | None = None
    added_by: str = ""

    def present(self, heard: Heard) -> bool:
        """Whether a person was there when this key made a signature."""
        return heard is Heard.PRESENT or (heard is Heard.GOOD and self.attended)


Listen = Callable[[KeyKind, str, str, Any], Heard]
"""`(kind, public key, document, signature)`: what the signature of a document says."""


SIGNED_PARTS = ("choice", "minutes", "uses", "values")  # of an answer, as every door hands it over


def terms_of(body: Mapping[str, Any], now: datetime, usual: timedelta = USUAL) -> Terms:
    """What is signed of an answer (`SIGNED_PARTS`); a grant's time and uses are said even where nobody chose them.

    Raises `ValueError` for a choice that there isn't, or that is not signed: an edit, for what comes of it is.
    """
    choice = Choice(body.get("choice", "once"))
    if choice is Choice.EDIT:
        raise ValueError("an edit is not signed: the row that takes its place is")
    if choice not in _GIVING:
        return Terms(choice)
    minutes, uses, values = body.get("minutes"), body.get("uses"), body.get("values") or ()
    until = now + (usual if not minutes else timedelta(minutes=int(minutes)))
    return Terms(choice, until, int(uses) if uses else USUAL_USES, tuple(str(value) for value in values))


def same_answer(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether what is signed of two answers is the same."""
    return all((one.get(part) or None) == (other.get(part) or None) for part in SIGNED_PARTS)


def approval_document(nonce: str, terms: Terms, statements: Sequence[Mapping[str, str]]) -> str:
    """What an approver signs: what was chosen, and the statement of each row that it is chosen for."""
    return _text({"format": APPROVAL_FORMAT, "nonce": nonce, **_told(terms), "statements": statements})


def key_document(nonce: str, gateway: str, key: ApproverKey) -> str:
    """What the holder of an enrolled key signs so that another key counts for the same name."""
    about = {"gateway": gateway, "name": key.name, "kind": key.kind.value, "key": key.id, "public": key.public}
    return _text({"format": KEY_FORMAT, "nonce": nonce, **about})


def challenge(document: str) -> bytes:
    """What a passkey is given to sign for a document."""
    return hashlib.sha256(document.encode()).digest()


def evidence(key: ApproverKey, document: str, signature: Any, *, attended: bool) -> Mapping[str, Any]:
    """What the record keeps of a signature."""
    said = {"kind": key.kind.value, "key": key.id, "document": document, "signature": signature}
    return {**said, "attended": attended}


def enrolment(key: ApproverKey, state: str, by: str, **more: Any) -> Mapping[str, Any]:
    """What the record keeps of a key that was enrolled or revoked (`state`)."""
    about = {"key": key.id, "name": key.name, "kind": key.kind.value, "public": key.public, "attended": key.attended}
    return {"state": state, **about, "by": by, **more}


def _told(terms: Terms) -> dict[str, Any]:
    told: dict[str, Any] = {"choice": terms.choice.value}
    if terms.until is not None:
        told |= {"until": stamp(terms.until), "uses": terms.uses}
    if terms.values:
        told["values"] = list(terms.values)
    return told


def _text(said: Mapping[str, Any]) -> str:
    return canonical(said).decode("utf-8")


class Signatures(Struct):
    """The signatures of a record, looked at row by row in order, with the keys that the record tells of.

    `listen` verifies; `pruned` says that the first rows were let go: `assume` tells of keys that were enrolled there.
    """

    listen: Listen
    pruned: bool = False
    _keys: dict[str, ApproverKey] = field(default_factory=dict)
    _signed: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)  # approval -> documents

    def assume(self, key: ApproverKey) -> None:
        """A key that was enrolled before the rows that are looked at."""
        self._keys.setdefault(key.id, key)

    def row(self, kind: Kind, about: Mapping[str, Any]) -> str:
        """What is wrong with the signatures of a row, by its `extra`; empty where nothing is."""
        try:
            match kind:
                case Kind.APPROVER:
                    return self._key(about)
                case Kind.APPROVAL:
                    return self._approval(about)
                case Kind.GRANT:
                    return self._grant(about)
                case _:
                    return ""
        except (KeyError, TypeError, ValueError, AttributeError):
            return "what it says of signatures can't be read"

    def _key(self, about: Mapping[str, Any]) -> str:
        key = key_of(about)
        if about["state"] == "revoked":
            known = self._keys.pop(key.id, None)
            return "" if known is not None or self.pruned else f"key `{key.id}` was revoked, and never enrolled"
        if key.id in self._keys:
            return f"key `{key.id}` was enrolled twice"
        if any(one.name == key.name for one in self._keys.values()) and (wrong := self._endorsed(key, about)):
            return f"key `{key.id}` is not the first of `{key.name}`, and {wrong}"
        self._keys[key.id] = key
        return ""

    def _endorsed(self, key: ApproverKey, about: Mapping[str, Any]) -> str:
        """What is wrong with the signature that another key of the same name made for this one."""
        found = self._heard(about.get("endorsed") or {}, key.name)
        if isinstance(found, str):
            return found
        said = msgspec.json.decode(found[1])
        fits = key_document(said["nonce"], said["gateway"], key) == found[1]
        return "" if fits else "what was signed for it is of another key"

    def _approval(self, about: Mapping[str, Any]) -> str:
        votes = about["votes"]
        for vote in votes:
            if vote["proof"] == "signed" and (wrong := self._vote(vote, about["statement"])):
                return f"the vote of `{vote['by']}`: {wrong}"
        weaker = [vote for vote in votes if vote["approve"] and vote["proof"] != "signed"]
        if about["state"] == "approved" and about["proof"] == "signed" and (weaker or not votes):
            return "it says that it was approved by signature, and not every vote was"
        return ""

    def _vote(self, vote: Mapping[str, Any], statement: Mapping[str, Any]) -> str:
        found = self._heard(vote.get("evidence") or {}, vote["by"])
        if isinstance(found, str):
            return found
        key, document, heard = found
        said = msgspec.json.decode(document)
        if not key.present(heard):
            return "nobody need have been there for its signature"
        if said["format"] != APPROVAL_FORMAT or statement not in said["statements"]:
            return "what was signed is not what the record says"
        if vote["approve"] and said["choice"] in (Choice.DENY.value, Choice.BAR.value, Choice.EDIT.value):
            return "what was signed is no approval"
        self._signed.setdefault(statement["approval"], []).append(said)
        return ""

    def _grant(self, about: Mapping[str, Any]) -> str:
        """A grant that was given by signature: what was signed on its card is at least this much."""
        given = about["state"] == "given" and about["proof"] == "signed"
        documents = self._signed.get(about["from"], [])
        if not given or (self.pruned and not documents):
            return ""
        terms = (about["scope"], about["expires_at"], about["uses"])
        for said in documents:
            value = about.get("value", "")
            if (said["choice"], said.get("until"), said.get("uses")) == terms and (
                not value or value in said.get("values", ())
            ):
                return ""
        return "the grant is not the one that was signed"

    def _heard(self, told: Mapping[str, Any], name: str) -> tuple[ApproverKey, str, Heard] | str:
        """The key, the document and what its signature says; or what is wrong."""
        if not told:
            return "its signature is missing"
        key = self._keys.get(told["key"])
        if key is None or key.name != name:
            return f"key `{told['key']}` was not enrolled for `{name}` then"
        heard = self.listen(key.kind, key.public, told["document"], told["signature"])
        return "its signature does not fit" if heard is Heard.BAD else (key, told["document"], heard)


def key_of(about: Mapping[str, Any]) -> ApproverKey:
    """The key that a record of an enrolment tells of."""
    return ApproverKey(about["key"], about["name"], KeyKind(about["kind"]), about["public"], about["attended"])
