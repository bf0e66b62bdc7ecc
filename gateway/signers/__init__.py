"""The keys with which approvers sign: what a signature says, offline as in the gateway. Nothing here is kept."""

from typing import Any

from gateway.core.signed import Heard, KeyKind


def listen(kind: KeyKind, public: str, document: str, signature: Any) -> Heard:
    """What the signature of a document says; blocks for as long as `ssh-keygen` takes.

    Raises `StateError` where it can't be verified on this machine at all.
    """
    if kind is KeyKind.SSH:
        from gateway.signers import ssh  # imported late, as below: most records hold neither

        return ssh.listen(public, document, signature)
    from gateway.signers import passkey

    return passkey.listen(public, document, signature)
