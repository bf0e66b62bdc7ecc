"""Build one gateway: every room, joined by its ports, and the tasks that run beside the calls."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from msgspec import Struct

from gateway.acceptance import Acceptance
from gateway.app.changes import pass_changes_on, pass_updates_on
from gateway.app.edits import Edits, Labels
from gateway.app.inforce import InForce
from gateway.app.locking import Locking
from gateway.app.offer import Offer
from gateway.app.planting import follow_tokens, know_keys, know_targets, plant
from gateway.app.reload import Reload
from gateway.app.sieve import Sieve
from gateway.app.signalling import monitor_of
from gateway.app.starting import Starting
from gateway.app.tell import notices_of
from gateway.app.watching import watch
from gateway.approvals import Approvals
from gateway.approvals.expiry import Expiry
from gateway.approvals.proofs import Proofs
from gateway.checkpoints import Checkpoints
from gateway.clients import connected_files
from gateway.clock import SystemClock
from gateway.config import Settings, Upstream, load_lock, policy_of, policy_texts
from gateway.core.capture import Capture
from gateway.core.measures import Counts
from gateway.core.model import Kind, Principal, Reason, Record, Verdict
from gateway.enforce import Enforcer
from gateway.errors import RecordError
from gateway.flows import Flows
from gateway.ids import CALL, ENTRY, new_id
from gateway.indexing import Indexing
from gateway.inquire import Inquiry
from gateway.keeping import Keeping, Space
from gateway.leaks import Leaks, generations
from gateway.monitor import Monitor
from gateway.notices import Notices
from gateway.people import user_name
from gateway.ports import House
from gateway.protect import Guard
from gateway.records import Records
from gateway.reviews import Reviews
from gateway.rounds import Rounds
from gateway.screening.early import EarlyEngine
from gateway.screening.engine import Kingfisher, cache_folder
from gateway.screening.names import Names
from gateway.screening.screener import Screener
from gateway.server.face import Face, FaceSettings
from gateway.server.peer import Peer
from gateway.sessions import TEN_MINUTES, Sessions
from gateway.store import Limits, SqliteStore, open_store
from gateway.store.rows import intents_since
from gateway.tokens import Tokens
from gateway.turns import Turns
from gateway.upstreams import Upstreams
from gateway.upstreams.spec import Learn, spec_of
from gateway.usage import Usage

log = logging.getLogger("wardgate")

STOP_DEADLINE = 5.0  # seconds that recording the stop may take


class Gateway(Struct, eq=False):
    """One running gateway: its rooms, for those who serve it."""

    settings: Settings
    in_force: InForce
    clock: SystemClock
    store: SqliteStore
    records: Records
    approvals: Approvals
    sessions: Sessions
    flows: Flows
    screener: Screener
    rounds: Rounds
    turns: Turns
    checkpoints: Checkpoints
    keeping: Keeping
    monitor: Monitor
    upstreams: Upstreams
    face: Face
    house: House
    labels: Labels
    proofs: Proofs
    notices: Notices
    sieve: Sieve
    leaks: Leaks
    tokens: Tokens
    locking: Locking
    reload: Reload
    scanner: Kingfisher
    counts: Counts

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
            trust_prompt=entry is not None and "prompt" in entry.trust,
        )


@asynccontextmanager
async def open_gateway(settings: Settings, early: EarlyEngine) -> AsyncIterator[Gateway]:
    """Open the state folder, start everything, and stop it in order; raises `StateError` or `RecordError` at start.

    The record is opened first and closed last, so that whatever runs between has somewhere to be recorded.
    """
    texts = policy_texts(settings)
    loaded, lock = policy_of(texts, settings.known()), load_lock(settings)
    clock, user = SystemClock(), f"os:{user_name(os.getuid())}"
    async with open_store(settings.gateway.state, Limits(), owner=settings.gateway.id) as store:
        records = Records(store, clock, partial(_owner_of, settings))
        await records.recall()
        known = await anyio.to_thread.run_sync(generations, settings.gateway.state)
        leaks = Leaks(store, clock, known)
        await leaks.load()
        await records.close_open_intents()
        acceptance = Acceptance(settings.gateway.state, store, records, clock)
        settings, unaccepted = await acceptance.settings(settings, user)
        await records.started(loaded.revision)
        policy, held = await acceptance.begin(loaded, texts, user)
        locking = Locking(settings, lock)
        keys = list(known.values())
        gateway = _build(
            settings, InForce(policy), acceptance, locking, clock, store, records, leaks, early.engine, keys
        )
        gateway.reload.held.update({each.what: each for each in (held, unaccepted) if each is not None})
        await _recall(gateway)
        await gateway.monitor.recall()
        await plant(settings.gateway.state, gateway.screener)
        await gateway.approvals.recover()
        await locking.load()
        locking.prefill(gateway.upstreams.catalogue)
        async with anyio.create_task_group() as beside:
            beside.start_soon(early.load)
            beside.start_soon(gateway.monitor.run)
            beside.start_soon(gateway.notices.run)
            beside.start_soon(Expiry(gateway.approvals, clock).run)
            beside.start_soon(gateway.rounds.run)
            beside.start_soon(gateway.keeping.run)
            beside.start_soon(Reviews(store, clock, gateway.in_force, gateway.notices.tell_owner).run)
            beside.start_soon(gateway.leaks.run)
            beside.start_soon(follow_tokens, gateway.tokens, clock)
            beside.start_soon(know_targets, settings, gateway.screener)
            beside.start_soon(gateway.checkpoints.run)
            index = Indexing(
                settings.gateway.state,
                clock,
                wanted=settings.recording.search,
                busy=lambda: gateway.face.calls_in_flight,
            )
            beside.start_soon(index.run)
            usage = Usage(settings.gateway.state, clock, lambda: gateway.face.calls_in_flight)
            beside.start_soon(usage.run)
            beside.start_soon(locking.follow, gateway.upstreams.catalogue)
            beside.start_soon(gateway.reload.run)
            beside.start_soon(watch, settings, gateway.reload)
            await beside.start(gateway.upstreams.run)
            tell = partial(pass_changes_on, gateway.upstreams, gateway.face, gateway.records)
            beside.start_soon(tell, gateway.screener, gateway.clock)
            beside.start_soon(pass_updates_on, gateway.upstreams, gateway.face, gateway.sieve)
            try:
                yield gateway
            finally:
                beside.cancel_scope.cancel()
        with anyio.move_on_after(STOP_DEADLINE, shield=True):
            await gateway.records.sweep()
            with suppress(RecordError):
                await gateway.monitor.keep()
            await gateway.records.stopped()
        await gateway.checkpoints.close()


def _build(
    settings: Settings,
    in_force: InForce,
    acceptance: Acceptance,
    locking: Locking,
    clock: SystemClock,
    store: SqliteStore,
    records: Records,
    leaks: Leaks,
    engine: Kingfisher,
    keys: Sequence[bytes],
) -> Gateway:
    key = store.folder.key
    screener = Screener(engine, clock, key)
    know_keys(store.folder.keys, screener)
    tokens = Tokens(settings.gateway.state)
    screener.recognise(lambda text: tokens.match(text) is not None)
    limits = settings.limits
    longest = timedelta(seconds=limits.grant)
    approvals = Approvals(store, clock, key, prompts_per_hour=limits.prompts_per_hour, longest=longest)
    turns = Turns(records, screener, clock, key)
    flows = Flows(records, clock, keys, partial(_closed, settings), in_force, turns.key)
    turns.on_prompt, turns.on_begin, turns.on_client_tool = flows.prompted, flows.begun, flows.read_elsewhere
    sessions = Sessions(store)
    sessions.follow(in_force())
    learn, offer = _learner(screener, leaks), Offer(settings, in_force, lambda: clock.now().date(), locking)
    sieve = Sieve(screener, records, clock, partial(_owner_of, settings))
    upstreams = Upstreams(
        [
            spec_of(upstream, settings.limits, os.environ, learn, _auth(settings, upstream, learn))
            for upstream in settings.upstreams.values()
        ],
        offer.classify,
        declare=offer.declare,
        note=partial(_note_question, records, clock),
        sieve=sieve,
        hold=locking.hold,
    )
    locking.catalogue = upstreams.catalogue
    rounds = Rounds(store, clock, records, upstreams.drop, limits.question, limits.waiting)
    bases = {name: _bases(upstream) for name, upstream in settings.upstreams.items()}
    guard = Guard(_protected(settings), lambda upstream: bases.get(upstream, ()))
    catalogue = upstreams.catalogue
    house = House(
        *(
            clock,
            catalogue,
            upstreams,
            guard,
            screener,
            records,
            approvals,
            rounds,
            sessions,
            flows,
            turns,
            in_force,
            key,
        ),
        Capture(key, settings.recording.most),
    )
    starting = Starting(upstreams, clock.monotonic, engine)
    face = Face(
        Enforcer(house, Inquiry(house, limits.question, limits.rounds)),
        partial(offer.shown, catalogue),
        catalogue,
        _face_settings(settings, key),
        clock,
        partial(new_id, CALL),
        starting.ready,
        partial(offer.about, catalogue),
        partial(offer.hidden, catalogue),
    )
    approvals.reconsider = Edits(house).reconsider
    reload = Reload(settings, in_force, acceptance, clock, screener)
    labels = Labels(settings, in_force, acceptance, house, reload.writing)
    in_force.on_change(sessions.follow)
    in_force.on_change(lambda policy: catalogue.reclassify())
    in_force.on_change(lambda policy: catalogue.refresh())
    face.on_left, face.listable, face.heard = upstreams.left, starting.listable, upstreams.heard
    face.named = Names(screener, clock, key).of
    screener.crowd = lambda: face.calls_in_flight
    monitor = monitor_of(settings, in_force, store, clock, records.queue, key, sessions)
    counts = Counts(settings.upstreams)
    if any(client.metrics for client in settings.clients.values()):  # else nobody reads them
        monitor.on_record.append(lambda record: counts.count(record, clock.now()))
    notices = notices_of(settings, clock, records.queue, approvals)
    monitor.on_signal.append(notices.hear_signal)
    leaks.on_stage.append(notices.tell_leak)
    screener.allowed, screener.fingerprinted = leaks.allows, leaks.recognise
    checkpoints = Checkpoints(store, records, clock, settings.recording, store.folder.signing_key)
    keeping = Keeping(store, records, clock, settings.recording, Space(store.folder.store, store.used))
    return Gateway(
        *(settings, in_force, clock, store, records, approvals, sessions, flows, screener, rounds, turns),
        *(checkpoints, keeping, monitor, upstreams, face, house, labels),
        Proofs(store, clock, key, settings.approvers, timedelta(seconds=settings.limits.grant)),
        notices,
        sieve,
        leaks,
        tokens,
        locking,
        reload,
        engine,
        counts,
    )


def _closed(settings: Settings, client: str) -> bool:
    """Whether a client has no tools besides the gateway's, as its user says."""
    entry = settings.clients.get(client)
    return entry is not None and entry.closed


def _owner_of(settings: Settings, upstream: str) -> str:
    """The business owner of an upstream; nobody for one that there isn't, or not any more."""
    found = settings.upstreams.get(upstream)
    return found.owner.business if found is not None else ""


def _face_settings(settings: Settings, key: bytes) -> FaceSettings:
    gateway, limits = settings.gateway, settings.limits
    instructed = any(upstream.instructions for upstream in settings.upstreams.values())
    holds = {name: client.hold for name, client in settings.clients.items() if client.hold is not None}
    return FaceSettings(key, gateway.session_meta, limits.hold, holds, limits, gateway.prompt_meta, instructed)


async def _recall(gateway: Gateway) -> None:
    """Count what was forwarded before the start: a restart empties no rate's window."""
    longest = max([TEN_MINUTES, *gateway.sessions.rates.values()])
    await gateway.flows.load(gateway.store)
    await gateway.sessions.load()
    for intent in await intents_since(gateway.store, gateway.clock.now() - longest):
        gateway.sessions.recall(intent)


def _note_question(records: Records, clock: SystemClock, upstream: str, method: str, reason: Reason) -> None:
    """Record a question that was refused because it belongs to no call, or to nobody knows whose."""
    refused = Record(
        kind=Kind.QUESTION,
        id=new_id(ENTRY),
        at=clock.now(),
        upstream=upstream,
        verdict=Verdict.BLOCK.word,
        reason=reason.value,
        extra={"method": method},
    )
    try:
        records.queue(refused)
    except RecordError as problem:
        log.warning("a refused question of `%s` could not be recorded: %s", upstream, problem)


def _auth(settings: Settings, upstream: Upstream, learn: Learn) -> Callable[[], Any] | None:
    """What signs the requests to an upstream that asks for OAuth."""
    if upstream.oauth is None:
        return None
    from gateway.upstreams.oauth import auth_of  # imported late: most upstreams need none

    return auth_of(upstream, settings.gateway.state, os.environ, learn)


def _learner(screener: Screener, leaks: Leaks) -> Learn:
    """Whatever is handed to an upstream from a reference is a secret of the gateway's own."""

    def learn(upstream: str, values: Mapping[str, str]) -> None:
        leaks.learned(upstream, values)
        for name, value in values.items():
            screener.know(f"{upstream}.{name}", value)

    return learn


def _protected(settings: Settings) -> Sequence[Path]:
    """What no call may reach: the configuration, the policies and their lock, the state, the files of clients that were
    connected, and the compiled rules.
    """
    own = [settings.file, settings.gateway.policies, settings.gateway.state, *connected_files(settings.gateway.state)]
    cache = cache_folder()
    return own if cache is None else [*own, cache]


def _bases(upstream: Upstream) -> Sequence[Path]:
    """The folders to which an upstream may take a relative path: where it runs, and the ones that it was given."""
    given = [Path(argument).expanduser() for argument in upstream.args if argument.startswith(("/", "~", "."))]
    return [upstream.cwd or Path.cwd(), *(path for path in given if path.is_dir())]
