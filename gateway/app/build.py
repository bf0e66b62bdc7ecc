"""Build one gateway: every room, joined by its ports, and the tasks that run beside the calls."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from gateway.approvals import Approvals
from gateway.clock import SystemClock
from gateway.config import Settings, Upstream, load_policy
from gateway.core.model import Kind, Principal, Record, Tool, ToolRef
from gateway.core.policy import Policy
from gateway.core.record import stamp
from gateway.core.risk import classify, labels_for
from gateway.enforce import Enforcer
from gateway.errors import RecordError
from gateway.ids import CALL, ENTRY, new_id
from gateway.monitor import Monitor
from gateway.ports import House
from gateway.protect import Guard
from gateway.reading import intents_since
from gateway.records import Records
from gateway.screening.early import EarlyEngine
from gateway.screening.engine import Kingfisher, cache_folder
from gateway.screening.screener import Screener
from gateway.server.face import Face, FaceSettings
from gateway.server.peer import Peer
from gateway.sessions import TEN_MINUTES, Sessions
from gateway.store import Limits, Store, open_store
from gateway.upstreams import Upstreams
from gateway.upstreams.spec import Learn, spec_of

log = logging.getLogger("wardgate")

STOP_DEADLINE = 5.0  # seconds that recording the stop may take
READY_AT_LATEST = 2.0  # seconds until lists and calls are answered, whatever the upstreams do


@dataclass
class Gateway:
    """One running gateway: its rooms, for those who serve it."""

    settings: Settings
    policy: Policy
    clock: SystemClock
    store: Store
    records: Records
    approvals: Approvals
    sessions: Sessions
    screener: Screener
    monitor: Monitor
    upstreams: Upstreams
    face: Face

    def stdio_peer(self, named: str, user: str, session: str = "", connection: str = "") -> Peer:
        """The peer on a pair of pipes: the user whose process it is, and the client that was registered by that
        name.
        """
        entry = self.settings.clients.get(named)
        return Peer(
            principal=Principal(f"os:{user}", "os-user"),
            client=entry.name if entry else "unknown",
            session=session or new_id("s"),
            transport="stdio",
            connection=connection,
            trust_session=entry is not None and "session" in entry.trust,
        )


@asynccontextmanager
async def open_gateway(settings: Settings, early: EarlyEngine) -> AsyncIterator[Gateway]:
    """Open the state folder, start everything, and stop it in order; raises `StateError` or `RecordError` at start.

    The record is opened first and closed last, so that whatever runs between has somewhere to be recorded.
    """
    policy = load_policy(settings)
    clock = SystemClock()
    async with open_store(settings.gateway.state, Limits()) as store:
        gateway = _build(settings, policy, clock, store, early.engine)
        await _recall(gateway)
        await gateway.records.close_open_intents()
        await gateway.approvals.recover()
        await gateway.records.started(policy.revision)
        async with anyio.create_task_group() as beside:
            beside.start_soon(early.load)
            beside.start_soon(gateway.monitor.run)
            await beside.start(gateway.upstreams.run)
            beside.start_soon(_pass_changes_on, gateway)
            try:
                yield gateway
            finally:
                beside.cancel_scope.cancel()
        with anyio.move_on_after(STOP_DEADLINE, shield=True):
            await gateway.records.stopped()


def _build(settings: Settings, policy: Policy, clock: SystemClock, store: Store, engine: Kingfisher) -> Gateway:
    key = store.folder.key
    screener = Screener(engine, clock, key)
    records = Records(store, clock)
    approvals = Approvals(store, clock, prompts_per_hour=settings.limits.prompts_per_hour)
    sessions = Sessions(policy.rates())
    learn = _learner(screener)
    upstreams = Upstreams(
        [spec_of(upstream, settings.limits, os.environ, learn) for upstream in settings.upstreams.values()],
        _classifier(settings, policy),
    )
    bases = {name: _bases(upstream) for name, upstream in settings.upstreams.items()}
    guard = Guard(_protected(settings), lambda upstream: bases.get(upstream, ()))
    catalogue = upstreams.catalogue
    house = House(clock, catalogue, upstreams, guard, screener, records, approvals, sessions, lambda: policy, key)
    face = Face(
        Enforcer(house),
        lambda: [tool for tool in catalogue.snapshot.tools.values() if not policy.hides(tool.ref)],
        catalogue,
        FaceSettings(key, settings.gateway.session_meta, settings.limits.hold),
        clock,
        partial(new_id, CALL),
        _settled_or_late(upstreams, clock),
    )
    screener.crowd = lambda: face.calls_in_flight
    monitor = Monitor(store, clock, records.queue)
    return Gateway(settings, policy, clock, store, records, approvals, sessions, screener, monitor, upstreams, face)


async def _recall(gateway: Gateway) -> None:
    """Count what was forwarded before the start: a restart empties no rate's window."""
    longest = max([TEN_MINUTES, *gateway.sessions.rates.values()])
    since = stamp(gateway.clock.now() - longest)
    for intent in await gateway.store.read(partial(intents_since, at=since)):
        gateway.sessions.recall(intent)


def _classifier(settings: Settings, policy: Policy) -> Callable[[ToolRef, str, Mapping[str, Any], str], Tool]:
    def classify_tool(ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str) -> Tool:
        return classify(
            definition, ref, exposed, digest, labels_for(policy, ref), settings.upstreams[ref.upstream].owner
        )

    return classify_tool


def _learner(screener: Screener) -> Learn:
    """Whatever is handed to an upstream from a reference is a secret of the gateway's own."""

    def learn(upstream: str, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            screener.know(f"{upstream}.{name}", value)

    return learn


def _protected(settings: Settings) -> Sequence[Path]:
    """What no call may reach: the configuration, the policies and their lock, the state, and the compiled rules."""
    own = [settings.file, settings.gateway.policies, settings.gateway.state]
    cache = cache_folder()
    return own if cache is None else [*own, cache]


def _bases(upstream: Upstream) -> Sequence[Path]:
    """The folders to which an upstream may take a relative path: where it runs, and the ones that it was given."""
    given = [Path(argument).expanduser() for argument in upstream.args if argument.startswith(("/", "~", "."))]
    return [upstream.cwd or Path.cwd(), *(path for path in given if path.is_dir())]


def _settled_or_late(upstreams: Upstreams, clock: SystemClock) -> Callable[[], Any]:
    """Wait for the upstreams' first start, at most until 2 s after the gateway's own."""
    latest = clock.monotonic() + READY_AT_LATEST
    done = False

    async def ready() -> None:
        nonlocal done
        if not done:
            with anyio.move_on_after(latest - clock.monotonic()):
                await upstreams.settled()
            done = True

    return ready


async def _pass_changes_on(gateway: Gateway) -> None:
    """Tell every client when the tools change, and record it."""
    changed = anyio.Event()

    def note() -> None:
        changed.set()

    gateway.upstreams.catalogue.on_change(note)
    while True:
        await changed.wait()
        changed = anyio.Event()
        tools = gateway.upstreams.catalogue.snapshot.tools
        digests = {name: tool.digest for name, tool in tools.items()}
        record = Record(Kind.CATALOGUE, new_id(ENTRY), gateway.clock.now(), extra={"tools": digests})
        try:
            await gateway.records.append(record)
        except RecordError as problem:
            log.warning("a changed catalogue could not be recorded: %s", problem)
        await gateway.face.tools_changed()
