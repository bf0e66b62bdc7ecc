"""What changes at the upstreams is passed on to the clients, and what changed in the lists is recorded."""

import logging
from collections import OrderedDict
from collections.abc import Mapping

import anyio

from gateway.app.sieve import Sieve
from gateway.clock import SystemClock
from gateway.core.model import Kind, Record, Tool
from gateway.errors import GatewayError
from gateway.ids import ENTRY, new_id
from gateway.records import Records
from gateway.screening.screener import Screener
from gateway.server.face import Face
from gateway.upstreams import Upstreams
from gateway.upstreams.subscriptions import Updated

PATIENCE = 30.0  # seconds until what changed must have been screened: the scanner may still be loading
MOST_UPDATES = 10_000  # resources of which clients have still to be told that they changed

Digests = Mapping[str, Mapping[str, str]]  # kind of list -> exposed name -> digest of the definition

log = logging.getLogger("wardgate")


async def pass_changes_on(
    upstreams: Upstreams, face: Face, records: Records, screener: Screener, clock: SystemClock
) -> None:
    """Tell every client what changed in the lists, and record what came, went, or is defined otherwise; a name may
    hold a secret, which is redacted.
    """
    changed, kinds = anyio.Event(), set[str]()
    known: Digests = {}

    def note(which: frozenset[str]) -> None:
        kinds.update(which)
        changed.set()

    upstreams.catalogue.on_change(note)
    while True:
        await changed.wait()
        changed, which = anyio.Event(), frozenset(kinds)
        kinds.clear()
        await face.changed(which)
        snapshot = upstreams.catalogue.snapshot
        listed = {"tools": snapshot.tools, "prompts": snapshot.prompts, "templates": snapshot.templates}
        now = {kind: _digests(offered) for kind, offered in listed.items()}
        if difference := differences(known, now):
            try:
                told = await screener.clean(difference, clock.monotonic() + PATIENCE)
                await records.append(Record(Kind.CATALOGUE, new_id(ENTRY), clock.now(), extra=told))
            except GatewayError as problem:
                log.warning("a changed catalogue could not be recorded: %s", problem)
                continue  # it is recorded with the next change
        known = now


def differences(before: Digests, now: Digests) -> Mapping[str, Mapping[str, Mapping[str, str] | list[str]]]:
    """What is new or defined otherwise (name -> digest) and what is gone, by kind of list; kinds without any left
    out.
    """
    found: dict[str, Mapping[str, Mapping[str, str] | list[str]]] = {}
    for kind, listed in now.items():
        former = before.get(kind, {})
        parts: dict[str, Mapping[str, str] | list[str]] = {
            "added": {name: digest for name, digest in listed.items() if name not in former},
            "changed": {name: digest for name, digest in listed.items() if former.get(name, digest) != digest},
            "removed": [name for name in former if name not in listed],
        }
        if kept := {part: names for part, names in parts.items() if names}:
            found[kind] = kept
    return found


def _digests(offered: Mapping[str, Tool]) -> Mapping[str, str]:
    return {name: tool.digest for name, tool in offered.items()}


async def pass_updates_on(upstreams: Upstreams, face: Face, sieve: Sieve) -> None:
    """Tell those who subscribed to a resource that it changed; of notices that nobody keeps up with, the last ones.

    An upstream may tell of a part of what was subscribed to, by a URI of its own: one that holds a secret is not told.
    """
    notices: OrderedDict[tuple[str, str], str] = OrderedDict()
    come = anyio.Event()

    def note(updated: Updated) -> None:
        notices[updated.uri, updated.seat] = updated.upstream
        if len(notices) > MOST_UPDATES:
            notices.popitem(last=False)
        come.set()

    upstreams.on_notice(note)
    while True:
        await come.wait()
        come = anyio.Event()
        while notices:
            (uri, seat), upstream = notices.popitem(last=False)
            if await sieve.uri(upstream, uri):
                await face.updated(uri, seat)
