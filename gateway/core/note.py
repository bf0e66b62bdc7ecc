"""Signed notes and checkpoints as C2SP writes them down: text <-> values. No I/O and no cryptography here.

`signed-note`, `tlog-checkpoint` and `tlog-cosignature` of C2SP; how ed25519 signs and verifies is handed in.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable

from msgspec import Struct

from gateway.core.merkle import HASH_SIZE

ED25519, COSIGNATURE = 1, 4  # kinds of keys
MOST = 64 * 1024  # bytes of one note
DASH = "\u2014"  # a line that begins so is a signature
_NAME = r"[^\s+\u0000-\u001f]+"
_SIGNATURE = re.compile(rf"{DASH} ({_NAME}) ([A-Za-z0-9+/]+={{0,2}})")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # a note knows no other line break
_CONTROL = re.compile(r"[\u0000-\u0009\u000b-\u001f]")
_VKEY = re.compile(rf"({_NAME})\+([0-9a-f]{{8}})\+([A-Za-z0-9+/]+={{0,2}})")

Sign = Callable[[bytes], bytes]  # a message -> 64 bytes
Verify = Callable[[bytes, bytes, bytes], bool]  # public key, signature, message


class Verifier(Struct, frozen=True):
    """Whose signatures count: a name and a public key."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The 4 bytes by which signatures name this key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """The key as C2SP writes it (a vkey)."""
        return f"{self.name}+{self.id.hex()}+{_base64(bytes([self.kind]) + self.public)}"


class Signature(Struct, frozen=True):
    """One signature line: who says to have signed, the key's id, and what follows it."""

    name: str
    id: bytes
    data: bytes


class Note(Struct, frozen=True):
    """A text and its signatures. `text` ends with a line break."""

    text: str
    signatures: tuple[Signature, ...]

    def signed_by(self, verifier: Verifier, verify: Verify) -> bool:
        """Whether one of the signatures is this verifier's, and right."""
        return any(
            each.name == verifier.name and each.id == verifier.id and _right(self.text, each.data, verifier, verify)
            for each in self.signatures
        )


class Checkpoint(Struct, frozen=True):
    """What a log says of itself at one moment: its name, how many leaves, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


def read_vkey(text: str) -> Verifier:
    """Read a vkey; raises `ValueError` if it is none, or its id is not that of its key."""
    found = _VKEY.fullmatch(text.strip())
    key = _bytes(found[3]) if found else b""
    if found is None or len(key) != 33 or key[0] not in (ED25519, COSIGNATURE):
        raise ValueError("expected a key such as `name+01234567+BASE64`")
    verifier = Verifier(found[1], key[0], key[1:])
    if verifier.id.hex() != found[2]:
        raise ValueError(f"the id of the key `{found[1]}` is not that of its bytes")
    return verifier


def sign(text: str, signer: Verifier, how: Sign) -> str:
    """The note over a text, signed."""
    return f"{text}\n{_line(signer.name, signer.id + how(text.encode()))}"


def read_note(note: str) -> Note:
    """Read one note; raises `ValueError` for what isn't exactly one."""
    notes = read_notes(note)
    if len(notes) != 1:
        raise ValueError(f"expected one note, found {len(notes)}")
    return notes[0]


def read_notes(text: str) -> list[Note]:
    """Read notes that stand one behind the other, as a file keeps them; raises `ValueError` for anything else."""
    notes: list[Note] = []
    if _CONTROL.search(text):
        raise ValueError("a note holds no control characters")
    lines = _LINE.findall(text)
    at = 0
    while at < len(lines):
        if not notes or lines[at].strip():
            note, at = _read(lines, at)
            notes.append(note)
        else:
            at += 1  # empty lines between two notes
    return notes


def _read(lines: list[str], at: int) -> tuple[Note, int]:
    begin = at
    while at < len(lines) and not (lines[at] == "\n" and at + 1 < len(lines) and lines[at + 1].startswith(DASH + " ")):
        at += 1
    text = "".join(lines[begin:at])
    signatures: list[Signature] = []
    at += 1
    while at < len(lines) and lines[at].startswith(DASH + " "):
        signatures.append(_signature(lines[at]))
        at += 1
    if not text or not signatures or len(text) > MOST:
        raise ValueError("expected a text, an empty line, and signatures that begin with a dash")
    return Note(text, tuple(signatures)), at


def _signature(line: str) -> Signature:
    found = _SIGNATURE.fullmatch(line.rstrip("\n"))
    data = _bytes(found[2]) if found else b""
    if found is None or len(data) < 5 or not line.endswith("\n"):
        raise ValueError("a signature line is damaged")
    return Signature(found[1], data[:4], data[4:])


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint; lines behind the third are extensions. Raises `ValueError` if it is none."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise ValueError("expected a checkpoint: a name, a number and a root, one a line")
    root = _bytes(lines[2])
    if len(root) != HASH_SIZE:
        raise ValueError(f"expected a root of {HASH_SIZE} bytes, found {len(root)}")
    return Checkpoint(lines[0], int(lines[1]), root)


def cosigned(note: Note, lines: Iterable[str]) -> str:
    """The note as text with more signature lines, as a witness gives them; raises `ValueError` if they are none."""
    more = [_signature(line if line.endswith("\n") else line + "\n") for line in lines if line.strip()]
    return write(Note(note.text, (*note.signatures, *more)))


def write(note: Note) -> str:
    """A note as text."""
    return note.text + "\n" + "".join(_line(each.name, each.id + each.data) for each in note.signatures)


def _right(text: str, data: bytes, verifier: Verifier, verify: Verify) -> bool:
    if verifier.kind == ED25519:
        return verify(verifier.public, data, text.encode())
    stamped, signature = data[:8], data[8:]
    head = f"cosignature/v1\ntime {int.from_bytes(stamped, 'big')}\n"
    return len(data) == 72 and verify(verifier.public, signature, (head + text).encode())


def _line(name: str, data: bytes) -> str:
    return f"{DASH} {name} {_base64(data)}\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    """What base64 stands for; nothing for what is none."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
