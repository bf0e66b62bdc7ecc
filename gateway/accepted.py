"""The definitions that a person accepted, kept in the state folder by their digest. It decides nothing.

A file is named by the SHA-256 of what is in it: one that says something else is as good as none.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.private import put

FOLDER = "definitions"
LARGEST = 1024 * 1024  # bytes of one definition
MOST = 32 * 1024 * 1024  # bytes that `all_of` reads


class Accepted:
    """The folder of one state folder. Everything here blocks for a moment: a running gateway asks in a thread."""

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER

    def get(self, digest: str) -> Any:
        """The definition with this digest; None where it was never seen here."""
        file = self.folder / digest
        try:
            data = file.read_bytes() if digest.isalnum() and file.is_file() else b""
        except OSError:
            return None
        if len(data) > LARGEST or hashlib.sha256(data).hexdigest() != digest:
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError):  # nobody accepted that: the digest comes from an edited lock
            return None

    def all_of(self, digests: Iterable[str]) -> Mapping[str, Any]:
        """Those of these that were seen here, as far as `MOST` bytes go."""
        found: dict[str, Any] = {}
        left = MOST
        for digest in dict.fromkeys(digests):
            with suppress(OSError):
                left -= (self.folder / digest).stat().st_size
            if left < 0:
                break
            if (definition := self.get(digest)) is not None:
                found[digest] = definition
        return found

    def keep(self, contents: Iterable[bytes]) -> None:
        """Keep canonical bytes of definitions, each once; raises `OSError` where that can't be done."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for data in contents:
            file = self.folder / hashlib.sha256(data).hexdigest()
            if len(data) <= LARGEST and self.get(file.name) is None:
                put(file, data)
