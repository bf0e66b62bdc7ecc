"""What of the upstreams is held, by `policies/tools.lock`; and what was accepted, kept by digest.

It decides on no call: `decide` does, by what stands in `Tool.held`.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from msgspec.structs import replace

from gateway.accepted import Accepted
from gateway.config import Settings, Upstream, load_lock, lock_file
from gateway.core import lock as locks
from gateway.core.canon import canonical, digest
from gateway.core.launch import package_of
from gateway.core.lock import KINDS, Difference, Lock, Locked, Runtime
from gateway.core.model import Tool
from gateway.private import put
from gateway.upstreams.catalogue import Catalogue
from gateway.upstreams.definitions import Listing, pinned, recall

log = logging.getLogger("wardgate")

STAND_IN = "Wardgate holds this tool until its user has accepted what it is now: `wardgate lock` shows it."


class _Seen(NamedTuple):
    """What of a lock was seen here: by digest, by upstream as it would be listed, and by upstream, kind, name and
    digest.
    """

    known: Mapping[str, Any] = {}
    recalled: Mapping[str, Listing] = {}
    definitions: Mapping[tuple[str, str, str, str], Mapping[str, Any]] = {}


class Locking:
    """The lock of one gateway. `catalogue` is given once it is there."""

    def __init__(self, settings: Settings, lock: Lock | None) -> None:
        self._settings, self.lock = settings, lock
        self.accepted = Accepted(settings.gateway.state)
        self._runtimes = {name: runtime_of(upstream) for name, upstream in settings.upstreams.items()}
        self.known: dict[str, Any] = {}  # accepted definitions by their digest, as far as they were seen here
        self._seen = _Seen()
        self.catalogue: Catalogue | None = None
        self._told: frozenset[str] = frozenset()
        self.writing = anyio.Lock()

    async def load(self) -> None:
        """Read the definitions that were accepted and seen here."""
        lock = self.lock
        seen = await anyio.to_thread.run_sync(self._read, lock)
        self.known.update(seen.known)
        if self.lock is lock:  # else another one counts by now, and brought its own
            self._seen = seen

    def _read(self, lock: Lock | None) -> _Seen:
        known = self.accepted.all_of(_digests(lock))
        recalled = {name: _recalled(locked, known) for name, locked in (lock or {}).items()}
        found = ((name, kind, one) for name, listing in recalled.items() for kind in KINDS for one in listing.of(kind))
        return _Seen(known, recalled, {(name, kind, one.name, one.digest): one.value for name, kind, one in found})

    def prefill(self, catalogue: Catalogue) -> None:
        """Let clients see what was accepted of each upstream until it is heard of: where the same is run as then, and
        all of it was seen here.
        """
        for name, upstream in self._settings.upstreams.items():
            locked, listing = (self.lock or {}).get(name), self._seen.recalled.get(name)
            if locked is None or listing is None or self.runtime(name, locked.runtime.version) != locked.runtime:
                continue
            complete = all(len(listing.of(kind)) == len(locked.of(kind)) for kind in KINDS)
            if complete and (listing.instructions or not locked.instructions or not upstream.instructions):
                catalogue.recall(name, listing if upstream.instructions else replace(listing, instructions=""))

    def runtime(self, upstream: str, version: str) -> Runtime:
        """What is run of an upstream, whose server gives that version."""
        return replace(self._runtimes[upstream], version=version)

    def hold(self, kind: str, tool: Tool, listing: Listing) -> str:
        """Why something that an upstream lists is held; implements `catalogue.Hold`."""
        if kind not in KINDS:
            return ""
        name, runtime = tool.ref.upstream, self.runtime(tool.ref.upstream, listing.version)
        return locks.held(self.lock, name, kind, tool.ref.name, tool.digest, tool.tier, runtime)

    def withholds(self, upstream: str, instructions: str) -> bool:
        """Whether an upstream's instructions are not shown to clients."""
        return locks.withheld(self.lock, upstream, digest(instructions) if instructions else "")

    def shown(self, kind: str, tool: Tool) -> Tool:
        """What clients see of something: of what is held because it is new or changed, nothing that nobody accepted."""
        if not tool.held or self.lock is None or kind not in KINDS:
            return tool
        locked = self.lock.get(tool.ref.upstream, Locked()).of(kind).get(tool.ref.name, "")
        if locked == tool.digest:
            return tool
        was = self._seen.definitions.get((tool.ref.upstream, kind, tool.ref.name, locked))
        return replace(tool, definition=was or _stand_in(kind, tool))

    def live(self, catalogue: Catalogue) -> Lock:
        """What is offered now, of every upstream that has been heard of; kinds that could not be listed are as
        accepted.
        """
        return {
            name: self._live(name, listing)
            for name in self._settings.upstreams
            if (listing := catalogue.listing(name)) is not None
        }

    def _live(self, name: str, listing: Listing) -> Locked:
        was = (self.lock or {}).get(name, Locked())
        tools, prompts, templates = (
            was.of(kind) if kind in listing.failed else {one.name: one.digest for one in listing.of(kind)}
            for kind in KINDS
        )
        told = digest(listing.instructions) if listing.instructions else ""
        return Locked(self.runtime(name, listing.version), told, tools, prompts, templates)

    async def write(self, lock: Lock, accepted: Iterable[Difference], catalogue: Catalogue) -> None:
        """Let another lock count: what was accepted is kept, then the file is written; raises `OSError`."""
        text = locks.render(lock)
        contents = contents_of(catalogue, {one.now for one in accepted})
        await anyio.to_thread.run_sync(self.accepted.keep, contents)
        seen = await anyio.to_thread.run_sync(self._read, lock)
        await anyio.to_thread.run_sync(_write, lock_file(self._settings), text.encode())
        self._take(lock, seen)

    async def reload(self) -> bool:
        """Read the file again, let it count, and say whether it says something else than before; raises
        `ConfigurationError` where it can't, and nothing changes.
        """
        found = await anyio.to_thread.run_sync(load_lock, self._settings)
        if found == self.lock:
            return False
        self._take(found, await anyio.to_thread.run_sync(self._read, found))
        return True

    def _take(self, lock: Lock | None, seen: _Seen) -> None:
        self.known.update(seen.known)
        self.lock, self._seen = lock, seen
        if self.catalogue is not None:
            self.catalogue.reclassify()

    async def follow(self, catalogue: Catalogue) -> None:
        """Keep what was accepted and is seen for the first time, and say in the log what is held; until cancelled."""
        changed = anyio.Event()

        def note(_kinds: frozenset[str]) -> None:
            changed.set()

        catalogue.on_change(note)
        if self.lock is None and locks.REQUIRED:
            log.warning("every tool above tier read is held: %s", locks.UNLOCKED)
        while True:
            await changed.wait()
            changed = anyio.Event()
            await self._keep_seen(catalogue)
            self._tell(catalogue)

    async def _keep_seen(self, catalogue: Catalogue) -> None:
        unseen = frozenset(_digests(self.lock)) - self.known.keys()
        if contents := contents_of(catalogue, unseen):
            try:
                await anyio.to_thread.run_sync(self.accepted.keep, contents)
            except OSError as problem:
                log.warning("accepted definitions could not be kept: %s", problem.strerror)
            await self.load()

    def _tell(self, catalogue: Catalogue) -> None:
        """One line for each upstream of which something is new or changed, once as long as it is the same."""
        told: set[str] = set()
        for name in self._settings.upstreams if self.lock is not None else ():
            held = [tool.exposed_as for kind in KINDS for tool in catalogue.shelved(name, kind) if tool.held]
            if held:
                told.add(f"{len(held)} of upstream `{name}` held, since new or changed: {', '.join(held[:5])}")
        for line in sorted(told - self._told):
            log.warning("%s; `wardgate lock` shows the difference", line)
        self._told = frozenset(told)


def _digests(lock: Lock | None) -> Sequence[str]:
    """Everything that was accepted."""
    told = [locked.instructions for locked in (lock or {}).values() if locked.instructions]
    return told + [each for locked in (lock or {}).values() for kind in KINDS for each in locked.of(kind).values()]


def contents_of(catalogue: Catalogue, digests: Iterable[str]) -> Sequence[bytes]:
    """The canonical bytes of what is offered now under these digests."""
    wanted, found = frozenset(digests), list[bytes]()
    for upstream in catalogue.upstreams if wanted else ():
        listing = catalogue.listing(upstream)
        if listing is None:
            continue
        for kind in KINDS:
            found += [canonical(pinned(kind, one.value)) for one in listing.of(kind) if one.digest in wanted]
        if listing.instructions and digest(listing.instructions) in wanted:
            found.append(canonical(listing.instructions))
    return found


def runtime_of(upstream: Upstream) -> Runtime:
    """What is run of an upstream, as far as its configuration tells."""
    if upstream.url:
        return Runtime(host=urlsplit(upstream.url).netloc)
    path = upstream.env.get("PATH") or (os.environ.get("PATH") if "PATH" in upstream.inherit_env else None)
    found = shutil.which(upstream.command, path=path or os.defpath)
    return Runtime(found or upstream.command, package_of(upstream.command, upstream.args))


def _recalled(locked: Locked, known: Mapping[str, Any]) -> Listing:
    """What of an upstream's lock was seen here, and is what it says: whatever lies in the folder is looked at anew."""
    tools, prompts, templates = (
        sorted(
            (
                found
                for name, each in locked.of(kind).items()
                if (found := recall(kind, name, each, known.get(each))) is not None
            ),
            key=lambda one: one.name,
        )
        for kind in KINDS
    )
    told = known.get(locked.instructions)
    return Listing(
        tools=tuple(tools),
        templates=tuple(templates),
        prompts=tuple(prompts),
        instructions=told if isinstance(told, str) else "",
        failed=frozenset({"resources"}),
        version=locked.runtime.version,
    )


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    put(file, content)


def _stand_in(kind: str, tool: Tool) -> Mapping[str, Any]:
    """What is shown of something that nobody has accepted in any form: that it is there."""
    key = "uriTemplate" if kind == "templates" else "name"
    made: dict[str, Any] = {key: tool.ref.name, "description": STAND_IN}
    if kind == "tools":
        made["inputSchema"] = {"type": "object"}
    if kind == "templates":
        made["name"] = tool.ref.name
    return made
