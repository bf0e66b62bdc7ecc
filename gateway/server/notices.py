"""Who is told that a list or a resource changed: legacy sessions and listen streams, each of what it asked for.

It decides nothing, and a client that doesn't listen holds up nobody.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import anyio
from mcp.server.connection import Connection
from mcp.server.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from msgspec import Struct, field

SEND_DEADLINE = 5.0  # seconds for one client to take its notices; after that it hears no more until it speaks
MOST_EARLY = 256  # clients without a stream of which it is remembered what lists they got while the gateway started
CHANGED: dict[str, ServerEvent] = {
    "tools": ToolsListChanged(),
    "resources": ResourcesListChanged(),
    "templates": ResourcesListChanged(),
    "prompts": PromptsListChanged(),
}


class Watcher(Struct, eq=False):
    """One client that is told: `known` holds the digest of each list that it has, `uris` what it subscribed to."""

    seat: str
    only: str
    client: str
    tell: Callable[[ServerEvent], Awaitable[None]]
    stream: bool = False  # a listen stream names exactly what was subscribed to; a session what really changed
    known: dict[str, str] = field(default_factory=dict)
    uris: set[str] = field(default_factory=set)
    deaf: bool = False

    def forget(self) -> None:
        """Whatever lists it has (of an earlier gateway, or of before it went deaf): they may have changed."""
        self.known = dict.fromkeys(CHANGED, "")


def teller(connection: Connection) -> Callable[[ServerEvent], Awaitable[None]]:
    """How a legacy connection is told."""

    async def tell(event: ServerEvent) -> None:
        match event:
            case ToolsListChanged():
                await connection.send_tool_list_changed()
            case PromptsListChanged():
                await connection.send_prompt_list_changed()
            case ResourcesListChanged():
                await connection.send_resource_list_changed()
            case ResourceUpdated(uri=uri):
                await connection.send_resource_updated(uri)

    return tell


class Notices:
    """Everybody who is told of changes."""

    def __init__(self, etag: Callable[[str, str, str], str]) -> None:
        """`etag(kind, only, client)` is a digest of a list as it is now."""
        self._etag = etag
        self._watchers: dict[int, Watcher] = {}
        self._early: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()
        self._settled = False

    def add(self, watcher: Watcher) -> None:
        """Tell this one from now on; until the upstreams have settled only of lists that it got: the first ones are no
        change to anybody.
        """
        self._watchers[id(watcher)] = watcher
        if watcher.stream:
            watcher.known.update(self._early.get((watcher.seat, watcher.only), {}))
        if self._settled:
            self._begin(watcher)

    def settle(self) -> None:
        """Take the lists as they are now for what everybody knows who got none."""
        self._settled = True
        for watcher in self._watchers.values():
            self._begin(watcher)

    def note(self, seat: str, only: str, kind: str, etag: str, *, early: bool) -> None:
        """Remember which list a client has that may open a stream later; `early`: some of it may still be another."""
        if early:
            self._early.setdefault((seat, only), {})[kind] = etag
            self._early.move_to_end((seat, only))
            if len(self._early) > MOST_EARLY:
                self._early.popitem(last=False)
        elif self._early:
            self._early.get((seat, only), {}).pop(kind, None)

    def remove(self, watcher: Watcher) -> None:
        """Tell this one no more."""
        self._watchers.pop(id(watcher), None)

    async def welcome(self, watcher: Watcher) -> None:
        """Tell one of what has changed since it got its lists: it had them of an earlier gateway, or before this one
        had started.
        """
        await self._tell([(watcher, self._news(watcher, CHANGED))])

    async def changed(self, kinds: Iterable[str]) -> None:
        """Tell everybody whose lists of these kinds are not what they were."""
        wanted = sorted(set(kinds) & CHANGED.keys())
        await self._tell([(watcher, self._news(watcher, wanted)) for watcher in self._watchers.values()])

    async def updated(self, uri: str, seat: str) -> None:
        """Tell everybody who subscribed to a resource, or to one that it is a part of; only `seat` if it says one."""
        told: list[tuple[Watcher, Iterable[ServerEvent]]] = []
        for watcher in self._watchers.values():
            if watcher.uris and (not seat or watcher.seat == seat):
                covering = [uri] if uri in watcher.uris else []
                covering += [
                    whole for whole in watcher.uris if uri.startswith(whole if whole[-1] == "/" else f"{whole}/")
                ]
                names = dict.fromkeys(covering if watcher.stream else [uri][: len(covering)])
                told.append((watcher, [ResourceUpdated(name) for name in names]))
        await self._tell(told)

    def _begin(self, watcher: Watcher) -> None:
        for kind in CHANGED:
            if kind not in watcher.known:
                watcher.known[kind] = self._etag(kind, watcher.only, watcher.client)

    def _news(self, watcher: Watcher, kinds: Iterable[str]) -> Iterable[ServerEvent]:
        events: dict[ServerEvent, None] = {}
        for kind in kinds if not watcher.deaf else ():
            had = watcher.known.get(kind)
            if not had and not self._settled:  # it got none of this gateway, and the first one is no change
                continue
            watcher.known[kind] = etag = self._etag(kind, watcher.only, watcher.client)
            if had != etag:
                events[CHANGED[kind]] = None
        return events

    async def _tell(self, news: Iterable[tuple[Watcher, Iterable[ServerEvent]]]) -> None:
        due = [(watcher, tuple(events)) for watcher, events in news if events and not watcher.deaf]
        if due:
            async with anyio.create_task_group() as tasks:
                for watcher, events in due:
                    tasks.start_soon(_tell_one, watcher, events)


async def _tell_one(watcher: Watcher, events: Iterable[ServerEvent]) -> None:
    with anyio.move_on_after(SEND_DEADLINE) as scope:
        for event in events:
            await watcher.tell(event)
    if scope.cancelled_caught:
        watcher.deaf = True
        watcher.forget()
