"""What clients are shown of everything that is offered: pages of definitions, encoded once for each change.

Decides nothing about what is shown, and asks no upstream: it takes what `offers` gives.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.canon import canonical
from gateway.core.model import Tool
from gateway.server.wire import invalid

KINDS: Mapping[str, str] = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "templates",
    "prompts/list": "prompts",
}
KEYS: Mapping[str, str] = {
    "tools": "tools",
    "resources": "resources",
    "templates": "resourceTemplates",
    "prompts": "prompts",
}
LARGEST_PAGE = 8 * 1024 * 1024  # bytes; a page ends before it, whatever number of entries it might have
_STALE = "the cursor is unknown, or of a list that has changed since: start again without one"


class Page(Struct, frozen=True):
    """Some definitions, as values and encoded; `next` is the cursor of the following page."""

    items: Sequence[Mapping[str, Any]]
    encoded: msgspec.Raw
    next: str | None


class Listed(Struct, frozen=True):
    """One list at one revision of what is offered.

    `etag` is a digest of everything in it, whatever the order of keys; `pages` are by their cursor, the first under
    None; `hidden` is the number of tools that are left out.
    """

    revision: Hashable
    etag: str
    pages: Mapping[str | None, Page]
    hidden: int

    def page(self, cursor: object) -> Page:
        """One page; raises `MCPError` (-32602) for a cursor that isn't one of this list."""
        if cursor is not None and not isinstance(cursor, str):
            raise invalid(_STALE)
        page = self.pages.get(cursor)
        if page is None:
            raise invalid(_STALE)
        return page


class Lists:
    """The lists of all endpoints. What was encoded is kept until the revision is another one, or `forget`."""

    def __init__(
        self,
        offers: Callable[[str, str, str], Sequence[Tool]],
        hidden: Callable[[str], int],
        revision: Callable[[], Hashable],
        size: int,
    ) -> None:
        """`offers(kind, only, client)` gives what is shown, in a deterministic order; `size` is the most entries of a
        page.
        """
        self._offers, self._hidden, self._revision, self._size = offers, hidden, revision, size
        self._kept: dict[tuple[str, str, str], Listed] = {}

    def forget(self) -> None:
        """Ask anew for everything that is offered."""
        self._kept.clear()

    def of(self, kind: str, only: str, client: str) -> Listed:
        """One endpoint's list for a registered client, as it is now."""
        key = kind, only, client if kind == "tools" else ""  # all else is the same for every client
        revision, kept = self._revision(), self._kept.get(key)
        if kept is None or kept.revision != revision:
            kept = self._kept[key] = self._encode(*key, revision)
        return kept

    def etag(self, kind: str, only: str, client: str) -> str:
        """A digest of everything in a list: it is the same as long as the list is."""
        return self.of(kind, only, client).etag

    def _encode(self, kind: str, only: str, client: str, revision: Hashable) -> Listed:
        named = kind in ("tools", "prompts")
        items = [shown(tool, named) for tool in self._offers(kind, only, client)]
        encoded = [msgspec.json.encode(item) for item in items]
        digest = sha256(f"{kind}\n{only}\n".encode())
        for item in items:
            digest.update(canonical(item))
            digest.update(b"\n")
        etag = digest.hexdigest()
        starts = list(_starts((len(each) for each in encoded), self._size))
        pages: dict[str | None, Page] = {}
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else len(items)
            raw = msgspec.Raw(b"[" + b",".join(encoded[start:end]) + b"]")
            following = _cursor(etag, number + 1) if number + 1 < len(starts) else None
            pages[_cursor(etag, number) if number else None] = Page(items[start:end], raw, following)
        return Listed(revision, etag, pages, self._hidden(only) if kind == "tools" else 0)


def shown(tool: Tool, named: bool) -> dict[str, Any]:
    """A definition as clients see it: tools and prompts under their exposed names, resources as they are."""
    return {**tool.definition, "name": tool.exposed_as} if named else dict(tool.definition)


def _starts(sizes: Iterable[int], most: int) -> Iterable[int]:
    """Where each page begins."""
    yield 0
    count = filled = 0
    for number, size in enumerate(sizes):
        if count and (count >= most or filled + size > LARGEST_PAGE):
            yield number
            count = filled = 0
        count, filled = count + 1, filled + size


def _cursor(etag: str, number: int) -> str:
    """The name of a page; it says nothing, and holds as long as the list is the same."""
    return sha256(f"{etag}/{number}".encode()).hexdigest()[:32]
