"""Verify a Wardgate proof: `python -m gateway.proof BUNDLE [--key VKEY] [--checkpoint FILE]`.

This file stands alone: it needs the standard library, and `cryptography` for the signatures. It was written apart from
the gateway, so that whoever does not trust the gateway can read it in a quarter of an hour. What it shows:

1. The bytes of each row are the leaf at the row's index of a Merkle tree (RFC 6962) of the size and root that a
   checkpoint (C2SP tlog-checkpoint) states: not a byte of it was changed since that checkpoint was signed.
2. The checkpoint is signed (ed25519, C2SP signed-note) with the key `--key`, or with a key that the bundle itself
   names, which proves nothing until you know from elsewhere that this key is the gateway's. Where the gateway has
   exchanged its key, notes in the bundle say so: one that `--key` has signed speaks for the other key on it.
3. With `--checkpoint`, that a checkpoint of the bundle is one that you kept yourself.

What it does not show: that the gateway told the truth when it wrote the row, and that there are no other rows.
"""

import argparse
import base64
import hashlib
import json
import sys
from typing import Any, NamedTuple

FORMAT = "wardgate-proof/1"
DASH = "\u2014 "


class Refused(Exception):  # noqa: N818 - the bundle does not prove what it says
    """The bundle proves nothing, and why."""


Signatures = tuple[tuple[str, bytes], ...]  # name, and key id with signature


class Checkpoint(NamedTuple):
    """A signed statement of a log: so many rows, and the root over them."""

    text: str
    name: str
    size: int
    root: bytes
    signatures: Signatures


class Key(NamedTuple):
    """A public key and the name that signs with it."""

    name: str
    id: bytes
    public: bytes


def decoded(text: object) -> bytes:
    """What base64 stands for."""
    try:
        return base64.b64decode(str(text), validate=True)
    except ValueError:
        raise Refused(f"no base64: {str(text)[:40]!r}") from None


def read_key(vkey: str) -> Key:
    """A key as C2SP writes it: name+id+base64 of 0x01 and 32 bytes."""
    parts = vkey.strip().split("+", 2)
    if len(parts) != 3:
        raise Refused(f"no key: {vkey[:60]!r}")
    name, named, data = parts[0], parts[1], decoded(parts[2])
    known = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if len(data) != 33 or data[0] != 1 or known.hex() != named:
        raise Refused(f"no ed25519 key, or an id that is not its own: {vkey[:60]!r}")
    return Key(name, known, data[1:])


def read_note(note: str) -> tuple[str, Signatures]:
    """Text, an empty line, signature lines."""
    text, gap, rest = note.partition("\n\n" + DASH)
    if not gap:
        raise Refused("a note has no signature")
    signatures: list[tuple[str, bytes]] = []
    for line in (DASH + rest).split("\n")[:-1]:
        name, _, data = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH) or not name:
            raise Refused("a note has a line that is no signature")
        signatures.append((name, decoded(data)))
    return text + "\n", tuple(signatures)


def read_checkpoint(note: str) -> Checkpoint:
    """The text of a note: a name, a number of rows, a root."""
    text, signatures = read_note(note)
    lines = text.split("\n")
    if len(lines) < 4 or not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Refused("a checkpoint is no checkpoint")
    root = decoded(lines[2])
    if len(root) != 32:
        raise Refused("a checkpoint has a root that is no hash")
    return Checkpoint(text, lines[0], int(lines[1]), root, signatures)


def signed(text: str, signatures: Signatures, key: Key) -> bool:
    """Whether one of the signatures of a text is this key's."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for name, data in signatures:
        if name == key.name and data[:4] == key.id:
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(data[4:], text.encode())
            except (InvalidSignature, ValueError):
                continue
            return True
    return False


def signer_of(checkpoint: Checkpoint, keys: list[Key]) -> Key | None:
    """The key, of those that count, that signed a checkpoint of its own log."""
    for key in keys:
        if key.name == checkpoint.name and signed(checkpoint.text, checkpoint.signatures, key):
            return key
    return None


def followed(key: Key, notes: list[str]) -> list[Key]:
    """A key, and those that notes lead to from it: each says that one key follows another, and whichever of the two
    has signed it speaks for the other one.
    """
    keys = [key]
    for known in keys:
        for note in notes:
            text, signatures = read_note(note)
            lines = text.split("\n")
            if len(lines) != 4 or lines[0] != "wardgate/key-succession":
                raise Refused("a note of one key following another is none")
            pair = [read_key(lines[1]), read_key(lines[2])]
            if known in pair and signed(text, signatures, known):
                keys += [other for other in pair if other not in keys]
    return keys


def root_from(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Refused(f"row {index + 1} can't be in a tree of {size}")
    at, last, hashed = index, size - 1, leaf
    for node in proof:
        if len(node) != 32 or last == 0:
            raise Refused("a proof has a node too many, or one that is no hash")
        if at & 1 or at == last:
            hashed = hashlib.sha256(b"\x01" + node + hashed).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            hashed = hashlib.sha256(b"\x01" + hashed + node).digest()
        at, last = at >> 1, last >> 1
    if last:
        raise Refused("a proof has too few nodes")
    return hashed


def check(bundle: Any, vkey: str = "", kept: str = "") -> list[str]:
    """What a bundle shows, as lines for people; raises `Refused` if it doesn't show what it says."""
    if not isinstance(bundle, dict) or bundle.get("format") != FORMAT or not bundle.get("rows"):
        raise Refused(f"no bundle of the format {FORMAT}, or one without rows")
    named = [read_key(str(key)) for key in bundle.get("keys", [])]
    keys = followed(read_key(vkey), list(map(str, bundle.get("followed", [])))) if vkey else named
    said: list[str] = []
    roots: dict[int, bytes] = {}
    for note in bundle.get("checkpoints", []):
        checkpoint = read_checkpoint(str(note))
        signer = signer_of(checkpoint, keys)
        if signer is None:
            raise Refused(f"the checkpoint over {checkpoint.size} rows is not signed with a key that counts")
        if roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
            raise Refused(f"two checkpoints over {checkpoint.size} rows differ")
        said.append(f"checkpoint  {checkpoint.size} rows, root {checkpoint.root.hex()}, signed by {signer.name}")
    for row in bundle["rows"]:
        said.append(check_row(row, roots, str(bundle.get("call"))))
    if kept:
        mine = {checkpoint.size: checkpoint.root for checkpoint in map(read_checkpoint, split(kept))}
        if not any(mine.get(size) == root for size, root in roots.items()):
            raise Refused("none of the checkpoints is one of those that were kept")
        said.append("kept        a checkpoint of the bundle is one of those that you kept")
    return said


def split(notes: str) -> list[str]:
    """The notes of a file, one behind the other."""
    found: list[str] = []
    for line in notes.splitlines(keepends=True):
        if not found or (found[-1].rstrip("\n").rpartition("\n")[2].startswith(DASH) and not line.startswith(DASH)):
            found.append("")
        found[-1] += line if line.strip() or found[-1].strip() else ""
    return [note.rstrip("\n") + "\n" for note in found if note.strip()]


def check_row(row: Any, roots: dict[int, bytes], call: str) -> str:
    """One row: its bytes are in the tree of its checkpoint, and speak of the call."""
    body, index, size = decoded(row["body"]), row["index"], row["size"]
    proof = [decoded(node) for node in row["proof"]]
    if type(index) is not int or type(size) is not int or size not in roots:
        raise Refused("a row names a checkpoint that is not there")
    if root_from(hashlib.sha256(b"\x00" + body).digest(), index, size, proof) != roots[size]:
        raise Refused(f"row {index + 1} is not in the tree of its checkpoint")
    told = json.loads(body)
    about = told.get("extra", {}).get("call", told.get("id"))
    if told.get("seq") != index + 1 or call not in (told.get("id"), about):
        raise Refused(f"row {index + 1} is not of {call}")
    what = told.get("outcome") or told.get("extra", {}).get("state") or told.get("verdict", "")
    return f"row {index + 1:<8}{told.get('at')}  {told.get('kind')}  {told.get('upstream')}/{told.get('tool')}  {what}"


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def main(argv: list[str] | None = None) -> int:
    """Check one bundle; exit codes 0 it proves what it says, 1 it doesn't, 2 wrong options."""
    options = argparse.ArgumentParser(prog="python -m gateway.proof", description="Verify a Wardgate proof.")
    options.add_argument("bundle", help="the file that `wardgate export --proof` wrote")
    options.add_argument("--key", default="", help="the gateway's key (a vkey), as you know it from elsewhere")
    options.add_argument("--checkpoint", help="a file of checkpoints that you kept yourself")
    given = options.parse_args(argv)
    try:
        bundle = json.loads(_text(given.bundle))
        kept = _text(given.checkpoint) if given.checkpoint else ""
        said = check(bundle, given.key, kept)
    except (Refused, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        print(f"NOT PROVEN: {type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    print("\n".join(said))
    print("PROVEN: these rows stand in the record unchanged since the checkpoints were signed.")
    if not given.key:
        print("The key is the bundle's own word: compare it with the gateway's, or give it by --key.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
