"""Ed25519 for notes: the gateway's own signer, and how signatures are verified. It keeps no key."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.core.note import ED25519, Verifier, cosigned, read_note, sign

SEED = 32


def verifier_of(name: str, seed: bytes) -> Verifier:
    """Who signs with the key of a seed, under a name."""
    return Verifier(name, ED25519, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def sign_note(text: str, name: str, seed: bytes) -> str:
    """The note over a text, signed with the key of a seed."""
    return sign(text, verifier_of(name, seed), Ed25519PrivateKey.from_private_bytes(seed).sign)


def add_signature(note: str, name: str, seed: bytes) -> str:
    """A note, signed with one more key."""
    known = read_note(note)
    return cosigned(known, [sign_note(known.text, name, seed).splitlines()[-1]])


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature is right."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
