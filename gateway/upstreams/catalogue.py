"""What all upstreams offer under the names that clients see: an immutable snapshot, swapped on change.

Decides nothing (`classify` does) and asks no upstream anything.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.canon import digest
from gateway.core.exposed import expose, with_hash
from gateway.core.model import COMPLETION, Surface, Tool, ToolRef
from gateway.upstreams.definitions import Definition, Listing
from gateway.upstreams.names import is_uri
from gateway.upstreams.templates import Templates

Classify = Callable[[ToolRef, str, Mapping[str, Any], str, Surface, bool], Tool]
"""`(ref, exposed, definition, digest, surface, listed) -> Tool`: what the labels make of a definition."""

Hold = Callable[[str, Tool, Listing], str]
"""`(kind, tool, listing) -> why`: why something that an upstream lists is held; empty if it isn't."""

KINDS = ("tools", "resources", "templates", "prompts")
_SURFACES = {
    "tools": Surface.TOOLS,
    "resources": Surface.RESOURCES,
    "templates": Surface.RESOURCES,
    "prompts": Surface.PROMPTS,
}
_NAMED: Mapping[str, tuple[str, ...]] = {  # what calls of a method name; all others are for a URI
    "tools/call": ("tools",),
    "prompts/get": ("prompts",),
    "completion/complete": ("prompts", "templates"),
}
_MOST_COMPARED = 100  # names that are searched for a similar one, which takes up to 0.1 ms for each
_LONGEST_COMPARED = 64


def nothing_held(_kind: str, _tool: Tool, _listing: Listing) -> str:
    """Nothing is held: what is listed needs nobody's consent."""
    return ""


class Snapshot(Struct, frozen=True):
    """Everything at one moment, in the order of the configuration and then by name.

    `resources` and `templates` are keyed by URI and `uriTemplate`; what several upstreams claim is in `contested`
    instead, keyed by kind and URI, and offered only to those who look at one upstream.
    """

    tools: Mapping[str, Tool] = field(default_factory=dict)
    prompts: Mapping[str, Tool] = field(default_factory=dict)
    resources: Mapping[str, Tool] = field(default_factory=dict)
    templates: Mapping[str, Tool] = field(default_factory=dict)
    contested: Mapping[tuple[str, str], tuple[Tool, ...]] = field(default_factory=dict)
    clashes: Mapping[str, str] = field(default_factory=dict)  # upstream -> why nothing of it is offered
    instructions: Mapping[str, str] = field(default_factory=dict)  # of the upstreams that have some
    matcher: Templates = field(default_factory=Templates)

    def of(self, kind: str) -> Mapping[str, Tool]:
        """What is offered of one kind, by exposed name; raises `KeyError` for a kind that there isn't."""
        return {"tools": self.tools, "prompts": self.prompts, "resources": self.resources, "templates": self.templates}[
            kind
        ]

    def claims(self, kind: str) -> Mapping[str, tuple[Tool, ...]]:
        """The URIs of one kind that several upstreams claim."""
        return {uri: tools for (of, uri), tools in self.contested.items() if of == kind}

    def get(self, kind: str, exposed: str, only: str) -> Tool | None:
        """One thing, if it is offered to those who see everything, or who see `only` one upstream."""
        tool = self.of(kind).get(exposed)
        if not only:
            return tool
        claims = self.contested.get((kind, exposed), ()) if tool is None else (tool,)
        return next((claim for claim in claims if claim.ref.upstream == only), None)


class _Shelf(Struct, frozen=True):
    """What one upstream offers, classified, under the names that it gets if nobody else has them."""

    listing: Listing
    tools: Mapping[str, tuple[Tool, ...]]  # by kind


class Catalogue:
    """What is known of all upstreams; implements `ports.Catalogue`.

    `order` holds the upstreams as configured, with whether each keeps bare names. What an upstream that is down
    offered stays. What is only recalled of one is `shown`, and nothing else: no call finds it.
    """

    def __init__(self, order: Sequence[tuple[str, bool]], classify: Classify, hold: Hold = nothing_held) -> None:
        self._order, self._bare, self._classify, self._hold = tuple(order), dict(order), classify, hold
        self._shelves: Mapping[str, _Shelf] = {}
        self._recalled: Mapping[str, _Shelf] = {}
        self.recalled = frozenset[str]()  # the upstreams of which clients see only what was accepted
        self.awaited = frozenset(self._bare)  # the upstreams that have neither listed anything nor failed to start
        self._snapshot = self._shown = Snapshot()
        self._watchers: list[Callable[[frozenset[str]], None]] = []
        self.revision = 0  # grows with every change; a cache of an encoded list is keyed by it

    @property
    def snapshot(self) -> Snapshot:
        """What is offered now."""
        return self._snapshot

    @property
    def instructions(self) -> Mapping[str, str]:
        """What the upstreams that are believed say of themselves, in the order of the configuration; of one that is
        recalled, what it said then.
        """
        return self._shown.instructions

    @property
    def upstreams(self) -> tuple[str, ...]:
        """All upstreams, in the order of the configuration."""
        return tuple(self._bare)

    def listing(self, upstream: str) -> Listing | None:
        """What an upstream listed last; None for one that has not been heard of yet."""
        shelf = self._shelves.get(upstream)
        return shelf.listing if shelf is not None else None

    def shelved(self, upstream: str, kind: str) -> tuple[Tool, ...]:
        """What an upstream lists of a kind, classified, whether or not it is offered under that name."""
        shelf = self._shelves.get(upstream)
        return shelf.tools[kind] if shelf is not None else ()

    def find(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        """The tool that a call is for, or None for what nothing offers; see `ports.Catalogue`."""
        if method == "tools/call":
            tool = self._snapshot.tools.get(exposed)
            return tool if not only or tool is None or tool.ref.upstream == only else None
        match method:
            case "prompts/get":
                return self._snapshot.get("prompts", exposed, only)
            case "resources/read" | "resources/subscribe" | "resources/unsubscribe":
                return self._resource(exposed, only)
            case "completion/complete":
                return self._completion(exposed, only)
            case _:
                return None

    def expected(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        """What a call is for as it is recalled of an upstream that may still come; None for all that is here."""
        if not self._recalled:
            return None
        shown, kinds = self._shown, _NAMED.get(method, ("resources",))
        found = next((tool for kind in kinds if (tool := shown.get(kind, exposed, only)) is not None), None)
        if found is None and method not in _NAMED and is_uri(exposed):
            found = shown.matcher.match(exposed, only)
        return found if found is not None and found.ref.upstream in self._recalled else None

    def awaits(self, exposed: str, only: str = "") -> str | None:
        """The upstream that an exposed name says it is of, as long as it is awaited."""
        of = max((one for one in self._bare if exposed.startswith(f"{one}__")), key=len, default="")
        return of if of in self.awaited and only in ("", of) else None

    def offered(self, kind: str, only: str = "") -> tuple[Tool, ...]:
        """All of one kind in a deterministic order, or what `only` one upstream has of it."""
        return _of(self._snapshot, kind, only)

    def shown(self, kind: str, only: str = "") -> tuple[Tool, ...]:
        """The same with what is recalled of upstreams that have not been heard of: for lists, and nothing else."""
        return _of(self._shown, kind, only)

    def of(self, upstream: str, name: str) -> Tool | None:
        """A tool by its upstream and the upstream's own name for it."""
        return next((tool for tool in self.offered("tools", upstream) if tool.ref.name == name), None)

    def method(self, upstream: str, method: str) -> Tool:
        """What an upstream asks as a tool of surface METHODS."""
        definition = {"name": method}
        return self._classify(ToolRef(upstream, method), method, definition, digest(definition), Surface.METHODS, True)

    def nearest(self, exposed: str, method: str = "tools/call") -> str | None:
        """The most similar exposed name that a call of `method` could be for, for error messages; no URI is guessed."""
        match method:
            case "tools/call":
                names = tuple(self._snapshot.tools)
            case "prompts/get" | "completion/complete":
                names = tuple(self._snapshot.prompts)
            case _:
                return None
        found = difflib.get_close_matches(exposed[:_LONGEST_COMPARED], _comparable(exposed, names), n=1)
        return found[0] if found else None

    def on_change(self, watcher: Callable[[frozenset[str]], None]) -> None:
        """Call `watcher` with the kinds that changed, after each change of what is offered; it must not block."""
        self._watchers.append(watcher)

    def replace(self, upstream: str, listing: Listing) -> None:
        """Swap in what an upstream offers now; what did not change is not classified again.

        Of kinds that could not be listed, what was known stays. Raises `KeyError` for an upstream that isn't
        configured.
        """
        self.awaited -= {upstream}
        old = self._shelves.get(upstream)
        listing = _settled(listing, old.listing if old is not None else Listing())
        if old is None or old.listing != listing:
            recalled = {name: shelf for name, shelf in self._recalled.items() if name != upstream}
            self._swap({**self._shelves, upstream: self._shelve(upstream, listing, old)}, recalled)

    def recall(self, upstream: str, listing: Listing) -> None:
        """Show what was accepted of an upstream until it lists something, or `forget`; for one that isn't here yet."""
        if upstream not in self._shelves:
            self._swap(self._shelves, {**self._recalled, upstream: self._shelve(upstream, listing, None)})

    def forget(self, upstream: str) -> None:
        """Show nothing of an upstream that is only recalled, and await it no more: it did not come."""
        self.awaited -= {upstream}
        if upstream in self._recalled:
            self._swap(self._shelves, {name: shelf for name, shelf in self._recalled.items() if name != upstream})

    def reclassify(self) -> None:
        """Ask for all labels again, after the policy or the lock changed."""
        here, recalled = (
            {name: self._shelve(name, shelf.listing, None) for name, shelf in shelves.items()}
            for shelves in (self._shelves, self._recalled)
        )
        self._swap(here, recalled)

    def refresh(self) -> None:
        """Tell that everything may be shown otherwise, though it is the same: a rule changed."""
        self.revision += 1
        for watcher in self._watchers:
            watcher(frozenset(KINDS))

    def _resource(self, uri: str, only: str) -> Tool | None:
        """A resource by listing, else by template: then it is made on the fly, and nobody listed it."""
        snapshot = self._snapshot
        listed = snapshot.get("resources", uri, only)
        if listed is not None:
            return listed
        if not is_uri(uri) or (not only and ("resources", uri) in snapshot.contested):
            return None
        template = snapshot.matcher.match(uri, only)
        if template is None:
            return None
        ref = ToolRef(template.ref.upstream, uri)
        made = self._classify(ref, uri, template.definition, template.digest, Surface.RESOURCES, False)
        return replace(made, held=template.held) if template.held else made

    def _completion(self, exposed: str, only: str) -> Tool | None:
        snapshot = self._snapshot
        of = snapshot.get("prompts", exposed, only) or snapshot.get("templates", exposed, only)
        if of is None:
            return None
        ref = ToolRef(of.ref.upstream, COMPLETION)
        made = self._classify(ref, exposed, of.definition, of.digest, Surface.METHODS, True)
        return replace(made, held=of.held) if of.held else made

    def _shelve(self, upstream: str, listing: Listing, old: _Shelf | None) -> _Shelf:
        bare = self._bare[upstream]
        shelf: dict[str, tuple[Tool, ...]] = {}
        for kind, surface in _SURFACES.items():
            known = {tool.ref.name: tool for tool in old.tools[kind]} if old is not None else {}
            names = [one.name for one in listing.of(kind)]
            exposed = expose(upstream, names, bare or surface is Surface.RESOURCES)
            tools: list[Tool] = []
            for one in listing.of(kind):
                text, tool = exposed[one.name], known.get(one.name)
                if tool is None or (tool.exposed_as, tool.digest) != (text, one.digest):
                    tool = self._classify(ToolRef(upstream, one.name), text, one.value, one.digest, surface, True)
                elif tool.definition != one.value:
                    tool = replace(tool, definition=one.value)  # only what is in no digest: the labels stay
                why = self._hold(kind, tool, listing)
                tools.append(tool if tool.held == why else replace(tool, held=why))
            shelf[kind] = tuple(tools)
        return _Shelf(listing, shelf)

    def _swap(self, shelves: Mapping[str, _Shelf], recalled: Mapping[str, _Shelf]) -> None:
        fresh, stale, former = self._merge(shelves), self._snapshot, self._shown
        shown = self._merge({**recalled, **shelves}) if recalled else fresh
        self._shelves, self._recalled, self.recalled = shelves, recalled, frozenset(recalled)
        if fresh == stale and shown == former:
            return
        self._snapshot, self._shown = fresh, shown
        self.revision += 1
        changed = frozenset(kind for kind in KINDS if _differ(fresh, stale, kind) or _differ(shown, former, kind))
        for watcher in self._watchers if changed else ():
            watcher(changed)

    def _merge(self, shelves: Mapping[str, _Shelf]) -> Snapshot:
        """All shelves in the order of the configuration, each name and each URI offered once."""
        offered: dict[str, dict[str, Tool]] = {kind: {} for kind in KINDS}
        contested: dict[tuple[str, str], tuple[Tool, ...]] = {}
        clashes: dict[str, str] = {}
        shown: dict[str, _Shelf] = {}
        for upstream, bare in self._order:
            shelf = shelves.get(upstream)
            if shelf is None:
                continue
            if bare and (clash := _clash(shelf, offered)):
                clashes[upstream] = clash
                continue
            shown[upstream] = shelf
            for kind in ("tools", "prompts"):
                _place_names(shelf.tools[kind], offered[kind])
            for kind in ("resources", "templates"):
                _place_uris(kind, shelf.tools[kind], offered[kind], contested)
        for kind, uri in contested:
            del offered[kind][uri]
        instructions = {name: shelf.listing.instructions for name, shelf in shown.items() if shelf.listing.instructions}
        templates = tuple(tool for shelf in shown.values() for tool in shelf.tools["templates"])
        matcher = self._snapshot.matcher
        matcher = matcher if matcher.tools == templates else Templates(templates)
        return Snapshot(**offered, contested=contested, clashes=clashes, instructions=instructions, matcher=matcher)


def _of(snapshot: Snapshot, kind: str, only: str) -> tuple[Tool, ...]:
    tools = tuple(snapshot.of(kind).values())
    if not only:
        return tools
    claims = (tool for several in snapshot.claims(kind).values() for tool in several)
    return tuple(sorted((t for t in (*tools, *claims) if t.ref.upstream == only), key=lambda tool: tool.ref.name))


def _differ(one: Snapshot, other: Snapshot, kind: str) -> bool:
    return one.of(kind) != other.of(kind) or one.claims(kind) != other.claims(kind)


def _settled(listing: Listing, before: Listing) -> Listing:
    """The listing with what was known of the kinds that could not be listed, and without its notes."""

    def known(kind: str) -> tuple[Definition, ...]:
        return (before if kind in listing.failed else listing).of(kind)

    tools, resources, templates, prompts = (known(kind) for kind in KINDS)
    return replace(listing, tools=tools, resources=resources, templates=templates, prompts=prompts, left_out=())


def _clash(shelf: _Shelf, offered: Mapping[str, Mapping[str, Tool]]) -> str:
    """Why an upstream with bare names can't be offered after the ones before it; empty if it can."""
    for kind, noun in (("tools", "tool"), ("prompts", "prompt")):
        for tool in shelf.tools[kind]:
            other = offered[kind].get(tool.exposed_as)
            if other is not None:
                return f"{noun} `{tool.exposed_as}` is already offered by `{other.ref.upstream}`"
    return ""


def _place_names(tools: Iterable[Tool], offered: dict[str, Tool]) -> None:
    """Offer what has names, with a hash where a name is taken."""
    for tool in tools:
        if tool.exposed_as in offered:
            tool = replace(tool, exposed_as=with_hash(tool.ref.upstream, tool.ref.name))
        offered.setdefault(tool.exposed_as, tool)  # a name made to equal another's hashed name gains nothing


def _place_uris(
    kind: str, tools: Iterable[Tool], offered: dict[str, Tool], contested: dict[tuple[str, str], tuple[Tool, ...]]
) -> None:
    """Offer what has URIs, and note those that another upstream claims too."""
    for tool in tools:
        first = offered.setdefault(tool.exposed_as, tool)
        if first is not tool:
            contested[kind, tool.exposed_as] = (*contested.get((kind, tool.exposed_as), (first,)), tool)


def _comparable(exposed: str, names: Sequence[str]) -> Sequence[str]:
    """The names that are worth comparing: all if they are few, else those of nearly the same length."""
    if len(names) <= _MOST_COMPARED:
        return names
    return [name for name in names if abs(len(name) - len(exposed)) <= 2][:_MOST_COMPARED]
