"""The tools of all upstreams under the names that clients see: an immutable snapshot, swapped on change.

Decides nothing about tools (`classify` does) and asks no upstream anything.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.model import Tool, ToolRef
from gateway.upstreams.definitions import Definition
from gateway.upstreams.names import expose, with_hash

Classify = Callable[[ToolRef, str, Mapping[str, Any], str], Tool]
"""`(ref, exposed, definition, digest) -> Tool`: what the labels make of a definition."""

Known = Mapping[tuple[ToolRef, str, str], Tool]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All tools at one moment, in the order of the configuration and then by name."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    clashes: Mapping[str, str] = field(default_factory=dict)  # upstream -> why none of its tools is offered


class Catalogue:
    """The tools that are known; implements `ports.Catalogue`.

    `order` holds the upstreams as configured, with whether each keeps bare names. The tools of an upstream that is
    down stay.
    """

    def __init__(self, order: Sequence[tuple[str, bool]], classify: Classify) -> None:
        self._order, self._classify = tuple(order), classify
        self._definitions: Mapping[str, tuple[Definition, ...]] = {}
        self._snapshot = Snapshot()
        self._watchers: list[Callable[[], None]] = []
        self.revision = 0  # grows with every change; a cache of the encoded list is keyed by it

    @property
    def snapshot(self) -> Snapshot:
        """The tools as they are now."""
        return self._snapshot

    def find(self, exposed: str) -> Tool | None:
        """The tool, or None for a name that nothing offers."""
        return self._snapshot.tools.get(exposed)

    def nearest(self, exposed: str) -> str | None:
        """The most similar exposed name, for error messages."""
        found = difflib.get_close_matches(exposed[:200], self._snapshot.tools, n=1)
        return found[0] if found else None

    def listing(self) -> tuple[Mapping[str, Any], ...]:
        """The definitions under their exposed names, in a deterministic order."""
        return tuple({**tool.definition, "name": exposed} for exposed, tool in self._snapshot.tools.items())

    def of(self, upstream: str) -> tuple[Tool, ...]:
        """The tools of one upstream, sorted by name."""
        return tuple(tool for tool in self._snapshot.tools.values() if tool.ref.upstream == upstream)

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after each change of what is offered; it must not block."""
        self._watchers.append(watcher)

    def replace(self, upstream: str, definitions: tuple[Definition, ...]) -> None:
        """Swap in what an upstream offers now; what was classified before under the same digest stays as it is."""
        if self._definitions.get(upstream) == definitions:
            return
        known = {(tool.ref, exposed, tool.digest): tool for exposed, tool in self._snapshot.tools.items()}
        self._swap({**self._definitions, upstream: definitions}, known)

    def reclassify(self) -> None:
        """Ask for all labels again, after the policy changed."""
        self._swap(self._definitions, {})

    def _swap(self, definitions: Mapping[str, tuple[Definition, ...]], known: Known) -> None:
        fresh = self._build(definitions, known)
        self._definitions = definitions
        if fresh == self._snapshot:
            return
        self._snapshot = fresh
        self.revision += 1
        for watcher in self._watchers:
            watcher()

    def _build(self, offered: Mapping[str, tuple[Definition, ...]], known: Known) -> Snapshot:
        tools: dict[str, Tool] = {}
        clashes: dict[str, str] = {}
        for upstream, bare in self._order:
            definitions = offered.get(upstream, ())
            exposed = dict(expose(upstream, [one.name for one in definitions], bare))
            taken = sorted(name for name, text in exposed.items() if text in tools)
            if taken and bare:
                clashes[upstream] = f"tool `{taken[0]}` is already offered by `{tools[taken[0]].ref.upstream}`"
                continue
            exposed.update({name: with_hash(upstream, name) for name in taken})
            for one in definitions:
                ref, text = ToolRef(upstream, one.name), exposed[one.name]
                tool = known.get((ref, text, one.digest)) or self._classify(ref, text, one.value, one.digest)
                tools.setdefault(text, tool)  # a name made to equal another's hashed name gains nothing
        return Snapshot(tools, clashes)
