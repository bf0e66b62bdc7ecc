"""Passkeys (WebAuthn), by the extra `passkey`: what a browser is asked, and what its answers prove. Nothing is kept.

Everything here may block for as long as the library takes to load, and is run off the loop.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from gateway.core.signed import Heard, challenge
from gateway.errors import StateError

SITE = "localhost"  # the name under which passkeys are made: `127.0.0.1` can't have any
LONGEST_ID = 1023 * 4 // 3 + 1  # characters of a credential's id
TIMEOUT = 120_000  # milliseconds that a browser gives its user
_ORIGIN = re.compile(r"http://localhost(?::[0-9]{1,5})?")
_PARTS = {"client_data": "clientDataJSON", "authenticator_data": "authenticatorData", "signature": "signature"}


class PasskeyError(ValueError):
    """An answer of a browser that proves nothing; its text says why."""


class Registered(NamedTuple):
    """A new passkey."""

    id: str
    public: str
    counter: int


class Assertion(NamedTuple):
    """An answer that a passkey signed; `parts` are what the record keeps of it."""

    id: str
    parts: Mapping[str, str]


def serves(origin: str) -> bool:
    """Whether passkeys work for pages of this origin."""
    return _ORIGIN.fullmatch(origin) is not None


def ask_new(site_name: str, name: str, handle: bytes, nonce: bytes, known: Sequence[str]) -> Mapping[str, Any]:
    """What `navigator.credentials.create` is given: a discoverable passkey for `name`, none of those that are known."""
    webauthn, structs = _library(), _structs()
    options = webauthn.generate_registration_options(
        rp_id=SITE,
        rp_name=site_name,
        user_id=handle,
        user_name=name,
        challenge=nonce,
        timeout=TIMEOUT,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=_bytes(one)) for one in known],
    )
    return _told(options)


def ask_signature(nonce: bytes, known: Sequence[str] = ()) -> Mapping[str, Any]:
    """What `navigator.credentials.get` is given; without known passkeys the browser offers its own."""
    webauthn, structs = _library(), _structs()
    options = webauthn.generate_authentication_options(
        rp_id=SITE,
        challenge=nonce,
        timeout=TIMEOUT,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=_bytes(one)) for one in known],
        user_verification=structs.UserVerificationRequirement.PREFERRED,
    )
    return _told(options)


def registered(answer: Mapping[str, Any], nonce: bytes, origin: str) -> Registered:
    """The passkey that a browser made; raises `PasskeyError`."""
    webauthn = _library()
    try:
        found = webauthn.verify_registration_response(
            credential=dict(answer), expected_challenge=nonce, expected_rp_id=SITE, expected_origin=origin
        )
    except Exception as problem:  # noqa: BLE001 - a library, fed from outside: whatever it raises, it is no passkey
        raise PasskeyError(f"the browser's answer is no new passkey ({type(problem).__name__})") from None
    return Registered(_text(found.credential_id), _text(found.credential_public_key), found.sign_count)


def challenge_in(answer: Mapping[str, Any]) -> bytes:
    """To which challenge an answer says that it is, not yet verified; raises `PasskeyError`."""
    response = answer.get("response")
    try:
        said = msgspec.json.decode(_bytes(response["clientDataJSON"] if isinstance(response, dict) else ""))
        return _bytes(said["challenge"])
    except (KeyError, TypeError, ValueError):
        raise PasskeyError("the browser's answer is of no passkey") from None


def read_assertion(answer: Mapping[str, Any]) -> Assertion:
    """What of an answer is kept, not yet verified; raises `PasskeyError`."""
    id, response = answer.get("id"), answer.get("response")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID or not isinstance(response, dict):
        raise PasskeyError("the browser's answer is of no passkey")
    parts = {name: response.get(member) for name, member in _PARTS.items()}
    if not all(isinstance(part, str) for part in parts.values()):
        raise PasskeyError("the browser's answer is not complete")
    return Assertion(id, {name: str(part) for name, part in parts.items()})


def verified(id: str, parts: Mapping[str, str], nonce: bytes, origin: str, public: str, counter: int = 0) -> int:
    """Verify that somebody touched the passkey of `public` for a challenge, on a page of this origin.

    Returns its counter, which has to have grown if it counts at all; raises `PasskeyError`.
    """
    webauthn = _library()
    response = {member: parts[name] for name, member in _PARTS.items()}
    try:
        found = webauthn.verify_authentication_response(
            credential={"id": id, "rawId": id, "type": "public-key", "response": response},
            expected_challenge=nonce,
            expected_rp_id=SITE,
            expected_origin=origin,
            credential_public_key=_bytes(public),
            credential_current_sign_count=counter,
        )
    except Exception as problem:  # noqa: BLE001 - as above: whatever it raises, nothing is proven
        raise PasskeyError(f"the passkey's signature does not count ({type(problem).__name__})") from None
    return int(found.new_sign_count)


def listen(public: str, document: str, signature: Any) -> Heard:
    """What a signature in the record says: a passkey signs only when it is touched. Raises `StateError` without the
    extra.
    """
    _library()
    try:
        said = msgspec.json.decode(_bytes(signature["client_data"]))
        origin = said["origin"]
        if not isinstance(origin, str) or not serves(origin):
            return Heard.BAD
        parts = {name: signature[name] for name in _PARTS}
        verified(_NO_ID, parts, challenge(document), origin, public)
    except (KeyError, TypeError, ValueError):
        return Heard.BAD
    return Heard.PRESENT


_NO_ID = base64.urlsafe_b64encode(b"of the record").decode().rstrip("=")


def _library() -> ModuleType:
    try:
        import webauthn
    except ImportError:
        raise StateError("passkeys need the extra `passkey`: pip install 'wardgate[passkey]'") from None
    return webauthn


def _structs() -> ModuleType:
    from webauthn.helpers import structs

    return structs


def _told(options: Any) -> Mapping[str, Any]:
    from webauthn.helpers.options_to_json_dict import options_to_json_dict

    told: Mapping[str, Any] = options_to_json_dict(options)
    return told


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
