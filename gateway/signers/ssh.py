"""Signatures of ssh keys, by `ssh-keygen -Y`: verified, and tried whether a key signs with nobody there.

Everything here blocks, and is run off the loop. No shell, no terminal, and a deadline on each run.
"""

import base64
import binascii
import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.core.signed import NAMESPACE, Heard
from gateway.errors import StateError

DEADLINE = 5.0  # seconds that one run may take
LONGEST = 16 * 1024  # characters of a public key's line, and of a signature
LARGEST = 64 * 1024  # bytes of a private key's file
KINDS = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
TOUCH = 0x01  # the flag in the signature of a security key: somebody touched it
_ARMOUR = ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----")
_MAGIC, _PRIVATE = b"SSHSIG", b"openssh-key-v1\x00"
_ASKED, _PROBE = "approver", b"wardgate: does this key sign with nobody there?\n"


class Public(NamedTuple):
    """A public key: its kind and its bytes."""

    kind: str
    blob: bytes

    @property
    def line(self) -> str:
        """The key as in `authorized_keys`, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` tells it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    @property
    def is_security_key(self) -> bool:
        """Whether each of its signatures says if somebody touched the key."""
        return self.kind.startswith("sk-")


def read_public(line: str) -> Public:
    """The key of a `.pub` file's one line; raises `ValueError` for anything else, certificates included."""
    words = line.split()
    if len(words) < 2 or len(line) > LONGEST or "\n" in line.strip() or words[0] not in KINDS:
        raise ValueError("expected one public key of ssh, such as `ssh-ed25519 AAAA... comment`")
    try:
        blob = base64.b64decode(words[1], validate=True)
        kind, _ = _take(blob)
    except (binascii.Error, ValueError):
        raise ValueError("the public key is not what it says it is") from None
    if kind != words[0].encode():
        raise ValueError("the public key is not of the kind that it says")
    return Public(words[0], blob)


class _Signature(NamedTuple):
    """What stands in an ssh signature, not yet believed."""

    public: bytes
    touched: bool | None  # None: its kind of key does not say


def signer(armoured: str) -> str:
    """The fingerprint of the key that a signature says it is of; raises `ValueError` for what is none."""
    blob = _read(armoured).public
    return Public(_take(blob)[0].decode("ascii", "replace"), blob).fingerprint


def listen(public: str, document: str, signature: Any) -> Heard:
    """What a signature says of a document, under a key (a line). Raises `StateError` without `ssh-keygen`."""
    try:
        key, read = read_public(public), _read(signature)
    except (ValueError, TypeError, AttributeError):
        return Heard.BAD
    if read.public != key.blob or not _verified(key, document.encode(), signature):
        return Heard.BAD
    return Heard.GOOD if read.touched is None else Heard.PRESENT if read.touched else Heard.ABSENT


def unattended(key: Public, private: Path | None, agent: str) -> str:
    """Why a key counts as one that signs with nobody there, found out by trying; empty: it needs somebody.

    `private` is the file of its private half, `agent` the socket of the agent that the person uses.
    """
    if key.is_security_key:
        return ""
    if private is None:
        return "its private half was not shown, so it could not be tried"
    try:
        held = _private(private)
    except (OSError, ValueError) as problem:
        return f"its private half could not be tried: {problem}"
    if held.public != key.blob:
        return "the private half that was shown is of another key"
    if not held.locked:
        return "its private half lies there without a passphrase"
    with tempfile.TemporaryDirectory(prefix="wardgate-") as folder:
        shown = Path(folder, "key.pub")
        shown.write_text(key.line + "\n", encoding="ascii")
        for name, socket in ((private, ""), (shown, agent)) if agent else ((private, ""),):
            if _signs(name, socket):
                return "it signs without asking anybody" if not socket else "the agent signs without asking anybody"
    return ""


class _Private(NamedTuple):
    public: bytes
    locked: bool


def _private(file: Path) -> _Private:
    """What the outside of a private key's file tells; raises `ValueError` for one that is of no such format."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        text = opened.read(LARGEST)
    lines = text.strip().splitlines()
    if not lines or lines[0] != b"-----BEGIN OPENSSH PRIVATE KEY-----":
        raise ValueError("it is not in the format of OpenSSH (`ssh-keygen -p -f FILE` rewrites it)")
    try:
        data = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error:
        raise ValueError("it is damaged") from None
    if not data.startswith(_PRIVATE):
        raise ValueError("it is not in the format of OpenSSH")
    cipher, rest = _take(data[len(_PRIVATE) :])
    for _ in range(2):  # how the passphrase is made a key of
        _, rest = _take(rest)
    if rest[:4] != b"\x00\x00\x00\x01":
        raise ValueError("it does not hold one key")
    return _Private(_take(rest[4:])[0], cipher != b"none")


def _signs(key: Path, agent: str) -> bool:
    """Whether a signature is made with no terminal, nobody to ask, and nothing to read."""
    asks = {"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}
    with tempfile.TemporaryFile() as probe:
        probe.write(_PROBE)
        probe.seek(0)
        environment = {**asks, **({"SSH_AUTH_SOCK": agent} if agent else {})}
        try:
            return _run(["-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE], probe, environment) == 0
        except subprocess.TimeoutExpired:  # it waits for somebody
            return False


def _verified(key: Public, document: bytes, signature: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="wardgate-") as folder, tempfile.TemporaryFile() as message:
        allowed, signed = Path(folder, "allowed"), Path(folder, "signature")
        allowed.write_text(f'{_ASKED} namespaces="{NAMESPACE}" {key.line}\n', encoding="ascii")
        signed.write_text(signature, encoding="ascii")
        message.write(document)
        message.seek(0)
        words = ["-Y", "verify", "-f", str(allowed), "-I", _ASKED, "-n", NAMESPACE, "-s", str(signed)]
        try:
            return _run(words, message, {}) == 0
        except subprocess.TimeoutExpired:
            return False


def _run(words: Sequence[str], given: Any, environment: Mapping[str, str]) -> int:
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    try:
        done = subprocess.run(
            ["ssh-keygen", *words],
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**own, **environment},
            timeout=DEADLINE,
            start_new_session=True,
            check=False,
        )
    except OSError as problem:
        raise StateError(f"`ssh-keygen` can't be run: {problem.strerror}") from None
    return done.returncode


def _read(armoured: str) -> _Signature:
    """What a signature holds; raises `ValueError` for what is none."""
    lines = armoured.strip().splitlines()
    if len(armoured) > LONGEST or len(lines) < 3 or (lines[0], lines[-1]) != _ARMOUR or not armoured.isascii():
        raise ValueError("expected a signature as `ssh-keygen -Y sign` makes it")
    data = base64.b64decode("".join(lines[1:-1]), validate=True)
    if not data.startswith(_MAGIC + b"\x00\x00\x00\x01"):
        raise ValueError("expected a signature of ssh")
    public, rest = _take(data[len(_MAGIC) + 4 :])
    for _ in range(3):  # namespace, reserved, hash
        _, rest = _take(rest)
    kind, rest = _take(_take(rest)[0])
    if not kind.startswith(b"sk-"):
        return _Signature(public, None)
    _, rest = _take(rest)
    if len(rest) != 5:  # flags and counter
        raise ValueError("a signature of a security key that says nothing of a touch")
    return _Signature(public, bool(rest[0] & TOUCH))


def _take(data: bytes) -> tuple[bytes, bytes]:
    """The first string of ssh's encoding, and what stands behind it."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError("it ends too early")
    return data[4 : 4 + size], data[4 + size :]
