"""Passkeys, by an authenticator in software: what proves something, and what doesn't."""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.signed import Heard, KeyKind, challenge
from gateway.errors import StateError
from gateway.signers import listen, passkey
from gateway.signers.passkey import PasskeyError, Registered
from tests.authenticator import UV, Passkey, b64u

ORIGIN = "http://localhost:8765"
NONCE = os.urandom(32)


def made(key: Passkey, *, packed: bool = False) -> Registered:
    options = passkey.ask_new("Wardgate", "ada", b"handle", NONCE, [])
    return passkey.registered(key.create(options, packed=packed), NONCE, ORIGIN)


def signed(key: Passkey, nonce: bytes = NONCE) -> dict[str, Any]:
    return key.get(passkey.ask_signature(nonce))


@pytest.mark.parametrize("packed", [False, True])
def test_a_new_passkey_signs(packed: bool) -> None:
    key = Passkey()
    registered = made(key, packed=packed)
    id, parts = passkey.read_assertion(signed(key))
    assert id == registered.id
    assert passkey.verified(id, parts, NONCE, ORIGIN, registered.public, registered.counter) > registered.counter


def test_what_is_asked_of_a_browser_names_the_site_and_wants_a_discoverable_key() -> None:
    asked = passkey.ask_new("Wardgate", "ada", b"handle", NONCE, [b64u(b"known")])
    assert asked["rp"]["id"] == "localhost"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert [one["id"] for one in asked["excludeCredentials"]] == [b64u(b"known")]
    assert passkey.ask_signature(NONCE, [b64u(b"known")])["challenge"] == b64u(NONCE)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: setattr(key, "origin", "http://localhost:9999"),
        lambda key: setattr(key, "origin", "http://127.0.0.1:8765"),
        lambda key: setattr(key, "site", "example.com"),
        lambda key: setattr(key, "flags", UV),  # nobody touched it
        lambda key: setattr(key, "flags", 0),
    ],
    ids=["other-port", "other-name", "other-site", "no-touch", "nothing"],
)
def test_neither_a_new_passkey_nor_a_signature_counts_that_is_not_of_here(change: Callable[[Passkey], None]) -> None:
    key = Passkey()
    registered = made(key)
    change(key)
    with pytest.raises(PasskeyError):
        made(key)
    with pytest.raises(PasskeyError):
        passkey.verified(*passkey.read_assertion(signed(key)), NONCE, ORIGIN, registered.public)


def test_a_signature_of_another_challenge_or_another_key_does_not_count() -> None:
    key, other = Passkey(), Passkey()
    registered, others = made(key), made(other)
    answer = passkey.read_assertion(signed(key))
    with pytest.raises(PasskeyError):
        passkey.verified(*answer, os.urandom(32), ORIGIN, registered.public)
    with pytest.raises(PasskeyError):
        passkey.verified(*answer, NONCE, ORIGIN, others.public)


def test_a_counter_that_does_not_grow_does_not_count() -> None:
    key = Passkey()
    registered = made(key)
    answer = passkey.read_assertion(signed(key))
    with pytest.raises(PasskeyError):
        passkey.verified(*answer, NONCE, ORIGIN, registered.public, 99)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": 1},
        {"id": "x"},
        {"id": "x", "response": {}},
        {"id": "x", "response": {"clientDataJSON": "e30", "authenticatorData": 1, "signature": "x"}},
        {"id": "x" * 5_000, "response": {}},
        {"response": {"clientDataJSON": 7}},
        {"response": {"clientDataJSON": "!"}},
        {"response": {"clientDataJSON": b64u(b"[]")}},
        {"response": {"clientDataJSON": b64u(b'{"challenge": 1}')}},
        {"response": "x"},
    ],
    ids=str,
)
def test_what_is_no_answer_proves_nothing(answer: dict[str, Any]) -> None:
    with pytest.raises(PasskeyError):
        passkey.registered(answer, NONCE, ORIGIN)
    with pytest.raises(PasskeyError):
        passkey.verified(*passkey.read_assertion(answer), passkey.challenge_in(answer), ORIGIN, "AA")


def test_an_answer_of_noise_proves_nothing() -> None:
    registered = made(Passkey())
    parts = {"client_data": "!!", "authenticator_data": "AA", "signature": "AA"}
    with pytest.raises(PasskeyError):
        passkey.verified("AA", parts, NONCE, ORIGIN, registered.public)


def test_what_stands_in_the_record_can_be_verified_later() -> None:
    key = Passkey()
    registered = made(key)
    parts = dict(passkey.read_assertion(signed(key, challenge("a document"))).parts)
    assert listen(KeyKind.PASSKEY, registered.public, "a document", parts) is Heard.PRESENT
    assert listen(KeyKind.PASSKEY, registered.public, "another", parts) is Heard.BAD
    for name in parts:
        for odd in ("", "AAAA", None, 7):
            assert listen(KeyKind.PASSKEY, registered.public, "a document", {**parts, name: odd}) is Heard.BAD
    assert listen(KeyKind.PASSKEY, registered.public, "a document", "text") is Heard.BAD
    assert listen(KeyKind.PASSKEY, "AAAA", "a document", parts) is Heard.BAD


def test_a_signature_of_a_page_elsewhere_is_none_of_the_records() -> None:
    key = Passkey(origin="https://localhost.example.com")
    registered = made(Passkey())
    parts = dict(passkey.read_assertion(signed(key, challenge("d"))).parts)
    assert listen(KeyKind.PASSKEY, registered.public, "d", parts) is Heard.BAD


@pytest.mark.parametrize(
    ("origin", "serves"),
    [
        ("http://localhost:8765", True),
        ("http://localhost", True),
        ("https://localhost:8765", False),
        ("http://127.0.0.1:8765", False),
        ("http://localhost:8765/", False),
        ("http://localhost:8765.example.com", False),
        ("http://localhost:123456", False),
    ],
)
def test_passkeys_work_on_localhost_only(origin: str, serves: bool) -> None:
    assert passkey.serves(origin) is serves


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webauthn", None)
    with pytest.raises(StateError, match="passkey"):
        listen(KeyKind.PASSKEY, "", "", {})
