"""Where the gateway's own tokens for upstreams are: a private file for each, or the keyring.

Asks no server for anything. Everything here blocks for a moment: call it off the loop.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigurationError

FOLDER = "tokens"
LARGEST = 256 * 1024  # bytes
KEYRING = "keyring"


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept for one upstream; `tokens` and `client` hold secrets, and this never appears in a text."""

    url: str  # the upstream's address: for another one, none of this is used
    issuer: str = ""  # the authorization server that everything here belongs to
    tokens: dict[str, Any] | None = None  # as the token endpoint answered
    expires_at: float = 0.0  # when the access token ends, in seconds since 1970; 0: nobody said
    client: dict[str, Any] | None = None  # what the authorization server registered
    metadata: dict[str, Any] | None = None  # of the authorization server (RFC 8414)
    resource: dict[str, Any] | None = None  # of the upstream (RFC 9728)

    def __repr__(self) -> str:
        return f"Kept({self.url!r}, tokens={'some' if self.tokens else 'none'})"


class Vault:
    """What is kept for one upstream: in `tokens/<upstream>.json` of the state folder, or from there in the keyring."""

    def __init__(self, state: Path, upstream: str) -> None:
        self._state, self._upstream = state, upstream
        self._service = f"wardgate-{hashlib.sha256(os.fsencode(state)).hexdigest()[:12]}"

    def load(self, url: str) -> Kept | None:
        """What is kept for the upstream at this address; raises `ConfigurationError` if it can't be trusted or read."""
        text = self._read_file()
        if text == KEYRING.encode():
            text = self._from_keyring()
        if text is None:
            return None
        try:
            kept = msgspec.json.decode(text, type=Kept)
        except msgspec.DecodeError:
            raise ConfigurationError(self._wrong("can't be read")) from None
        return kept if kept.url == url else None

    def save(self, kept: Kept, keyring: bool | None = None) -> None:
        """Keep it, whole or not at all; in the keyring if told so, by default where it was before."""
        if keyring is None:
            keyring = self._read_file() == KEYRING.encode()
        data = msgspec.json.encode(kept)
        if keyring:
            self._to_keyring(data)
            data = KEYRING.encode()
        with self._folder(make=True) as folder:
            assert folder is not None  # it was made
            draft = f".{self._upstream}.{secrets.token_hex(8)}"
            fd = os.open(
                draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(draft, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise
            os.fsync(folder)

    @property
    def _name(self) -> str:
        return f"{self._upstream}.json"

    def _wrong(self, what: str) -> str:
        return f"`{self._state / FOLDER / self._name}` {what}: delete it and run `wardgate login {self._upstream}`"

    @contextlib.contextmanager
    def _folder(self, *, make: bool) -> Iterator[int | None]:
        """A descriptor of the folder, which is ours alone; None where there is none."""
        path = self._state / FOLDER
        fd = -1
        try:
            if make:
                self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            facts = os.fstat(fd)
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
                raise ConfigurationError(f"`{path}` must belong to the gateway's user, with mode 700")
            yield fd
        except FileNotFoundError:
            yield None
        except OSError as problem:
            raise ConfigurationError(f"`{path}` can't be used: {problem.strerror}") from None
        finally:
            if fd >= 0:
                os.close(fd)

    def _read_file(self) -> bytes | None:
        with self._folder(make=False) as folder:
            if folder is None:
                return None
            try:
                fd = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError:
                raise ConfigurationError(self._wrong("can't be opened, or is a symlink")) from None
            with os.fdopen(fd, "rb") as file:
                facts = os.fstat(file.fileno())
                private = facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
                if not private or not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
                    raise ConfigurationError(self._wrong("is no private file (mode 600) of the gateway's user"))
                return file.read(LARGEST)

    def _from_keyring(self) -> bytes | None:
        keyring, errors = _keyring()
        try:
            value = keyring.get_password(self._service, self._upstream)
        except errors.KeyringError as problem:
            raise ConfigurationError(f"the keyring can't be read ({type(problem).__name__})") from None
        return None if value is None else str(value).encode()

    def _to_keyring(self, data: bytes) -> None:
        keyring, errors = _keyring()
        try:
            keyring.set_password(self._service, self._upstream, data.decode())
        except errors.KeyringError as problem:
            raise ConfigurationError(f"the keyring can't be written ({type(problem).__name__})") from None


def _keyring() -> tuple[Any, Any]:
    try:
        import keyring  # an extra
        from keyring import errors
    except ImportError:
        raise ConfigurationError("the keyring needs the extra: pip install 'wardgate[keyring]'") from None
    return keyring, errors
