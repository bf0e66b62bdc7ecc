"""Where secrets go: the keyring, where one can be used, else a file of their own that only their owner reads.

No value is shown, and none is put in the place of another one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.errors import StateError
from gateway.initial.nouns import Hidden, Planned
from gateway.private import put

SERVICE = "wardgate"
FOLDER = "secrets"
RECOMMENDED = 1  # priority from which keyring's own makers recommend a backend
LONGEST = 100  # characters of a name, which becomes one of a file
_PROBE = "wardgate-probe"


class Kept(Struct, frozen=True):
    """Where one secret will stand; `reference` is what takes its place."""

    upstream: str
    hidden: Hidden
    reference: str

    @property
    def name(self) -> str:
        """The name of its file, or of its entry."""
        return self.reference.rpartition("/")[2]


def places(planned: Iterable[Planned], ring: Any, folder: Path) -> tuple[Kept, ...]:
    """A place for each secret: in the keyring `ring`, or where that is None, in a file of `folder`; for values that
    have to be given yet a file too. No place is taken twice, nor one that has something in it.
    """
    found: list[Kept] = []
    for one in planned:
        for hidden in one.launch.hidden:
            plain = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{one.name}-{hidden.slot}")[:LONGEST]
            used = {kept.name for kept in found}
            by_ring = ring if hidden.known else None
            name, number = plain, 2
            while name in used or _there(by_ring, folder, name, hidden):
                name, number = f"{plain}-{number}", number + 1
            place = f"{FOLDER}/{name}" if by_ring is None else f"{SERVICE}/{name}"
            found.append(Kept(one.name, hidden, f"{'file' if by_ring is None else 'keyring'}:{place}"))
    return tuple(found)


def _there(ring: Any, folder: Path, name: str, hidden: Hidden) -> bool:
    """Whether something else stands in a place."""
    if ring is not None:
        return ring.get_password(SERVICE, name) not in (None, hidden.value)
    return hidden.known and (folder / FOLDER / name).exists()


def usable_keyring() -> Any:
    """The keyring, if its extra is there and it is one that protects what it is given; None else. Only asks it."""
    try:
        import keyring  # an extra

        ring = keyring.get_keyring()
        ring.get_password(SERVICE, _PROBE)
    except ImportError:
        return None
    except Exception:  # noqa: BLE001 - every backend fails in a way of its own; a file does as well
        return None
    return ring if ring.priority >= RECOMMENDED else None


def content(hidden: Hidden) -> bytes:
    """A value as its file holds it: whoever reads it drops one line's end, so one that ends in such has another."""
    return (hidden.value + hidden.value[-1:] * hidden.value.endswith(("\n", "\r"))).encode()


def write(kept: Sequence[Kept], folder: Path) -> None:
    """Write the values that go into files, below `folder`; raises `OSError`."""
    for one in kept:
        if one.reference.startswith("file:") and one.hidden.known:
            (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
            put(folder / FOLDER / one.name, content(one.hidden))


def store(kept: Sequence[Kept], ring: Any) -> list[Kept]:
    """Put the values that go into the keyring there; those that are new in it, to be taken out again if need be.

    Raises `StateError` where it takes one and doesn't give it back; then what it took before is out again.
    """
    added: list[Kept] = []
    for one in kept:
        if not one.reference.startswith("keyring:") or ring.get_password(SERVICE, one.name) == one.hidden.value:
            continue
        try:
            ring.set_password(SERVICE, one.name, one.hidden.value)
            added.append(one)
            kept_it = ring.get_password(SERVICE, one.name) == one.hidden.value
        except Exception:  # noqa: BLE001 - every backend fails in a way of its own
            kept_it = False
        if not kept_it:
            forget(added, ring)
            raise StateError(f"nothing was written: the keyring does not keep `{one.name}`")
    return added


def forget(added: Sequence[Kept], ring: Any) -> None:
    """Take out what `store` put into the keyring, as far as it lets that happen."""
    for one in added:
        with suppress(Exception):
            ring.delete_password(SERVICE, one.name)


def beside(kept: Sequence[Kept]) -> tuple[Kept, ...]:
    """The same secrets with all of them in files: for a trial, of which nothing stays."""
    return tuple(Kept(one.upstream, one.hidden, f"file:{FOLDER}/{one.name}") for one in kept)


def references(kept: Sequence[Kept]) -> Mapping[tuple[str, str], str]:
    """What takes the place of each secret, by upstream and slot."""
    return {(one.upstream, one.hidden.slot): one.reference for one in kept}
