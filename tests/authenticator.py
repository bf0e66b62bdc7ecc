"""Authenticators in software: a passkey as a browser would hand it on, and an ssh security key.

They do what the specifications say of them (WebAuthn level 2, OpenSSH's PROTOCOL.u2f and PROTOCOL.sshsig) and nothing
of the gateway's. Every key is made when it is asked for.
"""

import base64
import hashlib
import json
import os
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

UP, UV, AT = 0x01, 0x04, 0x40  # flags: touched, verified, holds a new credential
APPLICATION = b"ssh:"


def b64u(data: bytes) -> str:
    """Base64url without padding, as browsers write it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Any) -> bytes:
    """The few kinds of CBOR that an attestation is made of."""
    match value:
        case int() if value >= 0:
            return _head(0, value)
        case int():
            return _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case dict():
            return _head(5, len(value)) + b"".join(cbor(key) + cbor(part) for key, part in value.items())
        case _:
            raise TypeError(value)


def _head(kind: int, size: int) -> bytes:
    if size < 24:
        return bytes([kind << 5 | size])
    if size < 256:
        return bytes([kind << 5 | 24, size])
    return bytes([kind << 5 | 25]) + struct.pack(">H", size)


@dataclass
class Passkey:
    """One passkey (ES256), and the browser before it: `origin` is the page's."""

    origin: str = "http://localhost:8765"
    site: str = "localhost"
    counts: bool = True
    flags: int = UP | UV
    counter: int = 0
    id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: Mapping[str, Any], *, packed: bool = False) -> dict[str, Any]:
        """What `navigator.credentials.create` gives, with attestation `none`, or `packed` by the key itself."""
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        cose = cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        held = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cose
        said = self._client_data("webauthn.create", options["challenge"])
        data = self._data(AT) + held
        proof: dict[str, Any] = {}
        if packed:
            signature = self.key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
            proof = {"alg": -7, "sig": signature}
        attestation = cbor({"fmt": "packed" if packed else "none", "attStmt": proof, "authData": data})
        return self._answer({"clientDataJSON": b64u(said), "attestationObject": b64u(attestation)})

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.get` gives."""
        said, data = self._client_data("webauthn.get", options["challenge"]), self._data(0)
        signature = self.key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
        parts = {"clientDataJSON": said, "authenticatorData": data, "signature": signature}
        return self._answer({name: b64u(part) for name, part in parts.items()})

    def _data(self, more: int) -> bytes:
        self.counter += self.counts
        return (
            hashlib.sha256(self.site.encode()).digest() + bytes([self.flags | more]) + struct.pack(">I", self.counter)
        )

    def _client_data(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _answer(self, response: Mapping[str, str]) -> dict[str, Any]:
        return {"id": b64u(self.id), "rawId": b64u(self.id), "type": "public-key", "response": dict(response)}


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@dataclass
class SecurityKey:
    """An ssh key of kind ed25519-sk; `touched` is whether somebody touches it when it signs."""

    touched: bool = True
    counter: int = 0
    key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    kind: bytes = b"sk-ssh-ed25519@openssh.com"

    @property
    def blob(self) -> bytes:
        public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return _string(self.kind) + _string(public) + _string(APPLICATION)

    @property
    def line(self) -> str:
        return f"{self.kind.decode()} {base64.b64encode(self.blob).decode()} a security key"

    def sign(self, document: str, namespace: str = "wardgate-approval") -> str:
        """What `ssh-keygen -Y sign` gives for this key."""
        about = [namespace.encode(), b"", b"sha512"]
        message = b"SSHSIG" + b"".join(map(_string, [*about, hashlib.sha512(document.encode()).digest()]))
        self.counter += 1
        said = bytes([int(self.touched)]) + struct.pack(">I", self.counter)
        signed = hashlib.sha256(APPLICATION).digest() + said + hashlib.sha256(message).digest()
        made = _string(self.kind) + _string(self.key.sign(signed)) + said
        whole = b"SSHSIG" + struct.pack(">I", 1) + _string(self.blob) + b"".join(map(_string, [*about, made]))
        text = base64.b64encode(whole).decode()
        lines = [text[at : at + 70] for at in range(0, len(text), 70)]
        return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


@dataclass(frozen=True)
class SshKey:
    """An ssh key that `ssh-keygen` made, in a file."""

    file: Path
    passphrase: str = ""

    @classmethod
    def make(cls, file: Path, passphrase: str = "", kind: str = "ed25519", form: str = "") -> "SshKey":
        words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "of a test", "-f", str(file)]
        subprocess.run([*words, *(["-m", form] if form else [])], check=True)
        return cls(file, passphrase)

    @property
    def line(self) -> str:
        return self.file.with_name(f"{self.file.name}.pub").read_text(encoding="ascii")

    def sign(self, document: str, namespace: str = "wardgate-approval") -> str:
        """Sign as somebody would who knows the passphrase."""
        asker = self.file.with_name("askpass")
        asker.write_text(f"#!/bin/sh\necho '{self.passphrase}'\n", encoding="ascii")
        asker.chmod(0o700)
        done = subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.file)],
            input=document.encode(),
            stdout=subprocess.PIPE,
            check=True,
            env={**os.environ, "SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"},
        )
        return done.stdout.decode("ascii")
