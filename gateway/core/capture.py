"""What of a call's arguments and result a record keeps: redacted, bounded, by tier and by policy. No I/O here.

Only values that a screener redacted come in; what is left out is told with its size, and digests stand for all of it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Decision, Obligation, ObligationKind, Screened, Tier, Tool
from gateway.core.screen import place

MOST = 64 * 1024  # bytes of arguments, or of a result, that one record keeps where nobody says otherwise
MOST_LEAVES = 200  # values of which a record keeps digests
LEAF_DIGEST = 32  # hex digits
NAME_DIGEST = 24  # hex digits
_FULL, _DIGEST = Obligation(ObligationKind.RECORD_FULL), Obligation(ObligationKind.RECORD_DIGEST)
_MEDIA = ("data", "blob")  # base64 of images, sound and files: the scanner can't read what they show


class Capture(Struct, frozen=True):
    """How much is kept: `most` bytes of arguments and of a result each; `key` makes the digests of values."""

    key: bytes
    most: int = MOST

    def arguments(
        self, redacted: Mapping[str, Any] | None, original: Mapping[str, Any], size: int, decision: Decision | None
    ) -> Mapping[str, Any]:
        """The fields of a record that stand for arguments of `size` canonical bytes; `redacted` is None where they
        could not be screened.
        """
        if decision is not None and _DIGEST in decision.obligations:
            return {"leaves": self._leaves(original, named=redacted == original)}
        if redacted is None or size > self.most:
            return {"omitted": {"arguments": size}}
        return {"arguments": redacted}

    def result(self, screened: Screened, tool: Tool | None, decision: Decision | None) -> Mapping[str, Any]:
        """The fields that stand for a result: all of it above tier read, for a read only where its label says so."""
        duties = decision.obligations if decision is not None else frozenset()
        wanted = _FULL in duties or (_DIGEST not in duties and (tool is None or tool.tier is not Tier.READ))
        if not wanted or screened.recorded is None:
            return {}
        kept = without_media(screened.recorded)
        size = len(canonical(kept))
        return {"omitted": {"result": size}} if size > self.most else {"result": kept}

    def _leaves(self, value: Mapping[str, Any], *, named: bool) -> Mapping[str, str]:
        """A digest for each value; places are named where nothing was redacted, since a name may hold a secret too."""
        found: dict[str, str] = {}
        for number, (path, leaf) in enumerate(_walk(value, ())):
            if number >= MOST_LEAVES:
                break
            found[place(path) if named else f"#{number}"] = keyed_digest(self.key, canonical(leaf))[:LEAF_DIGEST]
        return found


def name_digest(key: bytes, name: str) -> str:
    """What stands on the record for a name that holds a secret: one name stays one name, and says no more."""
    return f"[REDACTED:name:{keyed_digest(key, name.encode('utf-8', 'surrogatepass'))[:NAME_DIGEST]}]"


def without_media(value: Any) -> Any:
    """A copy in which the base64 of images, sound and files is left out, each with its length in its place."""
    if isinstance(value, Mapping):
        media = "mimeType" in value or "uri" in value
        return {
            key: f"[OMITTED: {len(item)} characters]"
            if media and key in _MEDIA and isinstance(item, str)
            else without_media(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_media(item) for item in value]
    return value


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _walk(item, (*path, at))
    elif value is not None and not isinstance(value, bool):
        yield path, value
