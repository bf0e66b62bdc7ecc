"""The texts of policies and of upstreams.toml that count by a person's word, kept in the state folder by their digest.

It decides nothing. A text that is not what its name says is as good as none.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from gateway.core.canon import canonical
from gateway.errors import StateError
from gateway.private import put

FOLDER = "policies"
MARKS = "accepted.json"
MOST = 64  # texts that are kept; the ones that were kept first go first
POLICY, UPSTREAMS = "policy", "upstreams"


class Mark(msgspec.Struct, frozen=True):
    """Which text counts: its digest, who accepted it, when (RFC 3339), and how."""

    revision: str
    by: str
    at: str
    how: str


class Agreed:
    """The folder of one state folder. Everything here blocks for a moment: a running gateway asks in a thread."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def texts(self, revision: str) -> Mapping[str, str] | None:
        """The texts with this digest, by file name; None where they are not kept, or not whole."""
        try:
            data = (self._folder / f"{revision}.json").read_bytes() if revision.isalnum() else b""
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != revision:
            return None
        return msgspec.json.decode(data, type=dict[str, str])

    def keep(self, texts: Mapping[str, str], used: Collection[str] = ()) -> str:
        """Keep some texts, and return their digest; `used` are those that mustn't go for them. Raises `StateError`."""
        data = canonical(dict(texts))
        revision = hashlib.sha256(data).hexdigest()
        try:
            if self.texts(revision) is None:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                put(self._folder / f"{revision}.json", data)
                self._tidy({revision, *used})
        except OSError as problem:
            raise StateError(f"`{self._folder}` can't be written: {problem.strerror}") from None
        return revision

    def _tidy(self, used: Collection[str]) -> None:
        files = [file for file in self._folder.glob("*.json") if file.name != MARKS and file.stem not in used]
        files.sort(key=lambda file: file.stat().st_mtime_ns)
        for file in files[: -MOST or None]:
            file.unlink(missing_ok=True)

    def mark(self, what: str) -> Mark | None:
        """Which text of `POLICY` or `UPSTREAMS` counts; None where nobody ever said."""
        return self._marks().get(what)

    def note(self, what: str, mark: Mark) -> None:
        """Write down which text counts from now on; raises `StateError`."""
        marks = {**self._marks(), what: mark}
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            put(self._folder / MARKS, msgspec.json.encode(marks))
        except OSError as problem:
            raise StateError(f"`{self._folder}` can't be written: {problem.strerror}") from None

    def _marks(self) -> Mapping[str, Mark]:
        file = self._folder / MARKS
        try:
            return msgspec.json.decode(file.read_bytes(), type=dict[str, Mark])
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, OSError):
            raise StateError(f"`{file}` can't be read: put a good copy back") from None
