"""All upstreams together: what `enforce` and the face to clients see of them.

One that fails never stops or delays another.
"""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import anyio
import anyio.abc
from msgspec.structs import replace

from gateway.core.model import Again, Call, Lost, Reply, Tool, Unsent
from gateway.ports import Ears
from gateway.upstreams import calls
from gateway.upstreams.catalogue import Catalogue, Classify, Hold, nothing_held
from gateway.upstreams.definitions import Listing
from gateway.upstreams.instances import Instances
from gateway.upstreams.lists import Sieve, Unsifted
from gateway.upstreams.questions import Note
from gateway.upstreams.spec import UpstreamSpec
from gateway.upstreams.subscriptions import Updated
from gateway.upstreams.supervisor import Declare, Pace, State, Supervisor, Ties, nobody, nothing_declared


class Upstreams:
    """The servers behind the gateway; implements `ports.Upstreams`. `catalogue` implements `ports.Catalogue`.

    `declare` says what an upstream may be told of what a client can do, `note` hears of questions that were refused
    because they belong to no call, `sieve` screens what upstreams say of themselves, `hold` tells why something that
    they list is held. The shared connection of an upstream that is run per client or workspace only lists.
    """

    def __init__(
        self,
        specs: Sequence[UpstreamSpec],
        classify: Classify,
        pace: Pace | None = None,
        declare: Declare = nothing_declared,
        note: Note = nobody,
        sieve: Sieve | None = None,
        hold: Hold = nothing_held,
    ) -> None:
        self.catalogue = Catalogue([(spec.name, spec.bare) for spec in specs], classify, hold)
        self._watchers: list[Callable[[str], None]] = []
        self._listeners: list[Callable[[Updated], None]] = []
        self._ties = ties = Ties(pace or Pace(), declare, note, self._tell_updated, sieve or Unsifted())
        self._tasks: anyio.abc.TaskGroup | None = None
        self._supervisors = {
            spec.name: Supervisor(spec, self._taker(spec.name), self._tell, ties, lasting=spec.per == "gateway")
            for spec in specs
        }
        self._instances = {spec.name: self._run_per(spec) for spec in specs if spec.per != "gateway"}

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run all upstreams until cancelled, then end them; `started` is signalled at once, whatever they do."""
        async with self._empty_folder(), anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._ties.parking.run)
            for supervisor in self._supervisors.values():
                tasks.start_soon(supervisor.run)
            task_status.started()

    async def settled(self, apart: Collection[str] = ()) -> None:
        """Wait until each upstream `apart` from these has started, or failed to, for the first time; without a deadline
        of its own.
        """
        for name in self._supervisors.keys() - frozenset(apart):
            await self._supervisors[name].settled.wait()

    async def heard(self, upstream: str) -> bool:
        """Wait until an upstream has started, or failed to, for the first time, which takes at most as long as a start
        may; whether it has listed anything.
        """
        await self._supervisors[upstream].settled.wait()
        return self.catalogue.listing(upstream) is not None

    def state(self, upstream: str) -> tuple[str, str]:
        """State and its detail: starting | ready | restarting | failed | stopped."""
        supervisor = self._supervisors.get(upstream)
        if supervisor is None:
            return State.FAILED.value, f"no upstream `{upstream}` is configured"
        clash = self.catalogue.snapshot.clashes.get(upstream)
        if clash is not None and supervisor.state is State.READY:
            return State.FAILED.value, clash
        instances = self._instances.get(upstream)
        trouble = instances.trouble() if instances is not None else ""
        return supervisor.state.value, "; ".join(part for part in (supervisor.detail, trouble) if part)

    def states(self) -> Mapping[str, tuple[str, str]]:
        """All states, in the order of the configuration."""
        return {name: self.state(name) for name in self._supervisors}

    def asks_to_sign_in(self, upstream: str) -> bool:
        """Whether the last start ended with a server that doesn't know who asks (status 401); raises `KeyError` for an
        upstream that isn't configured.
        """
        return self._supervisors[upstream].unauthorized

    def started(self, upstream: str) -> tuple[str, float]:
        """The revision of the protocol that was agreed on last (empty: none so far), and the seconds that the start
        took with the first listing; raises `KeyError` for an upstream that isn't configured.
        """
        supervisor = self._supervisors[upstream]
        return supervisor.agreed, supervisor.took

    def on_state(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with the upstream's name after each change of its state; it must not block."""
        self._watchers.append(watcher)

    def on_notice(self, watcher: Callable[[Updated], None]) -> None:
        """Call `watcher` when a resource changed that somebody subscribed to; it must not block."""
        self._listeners.append(watcher)

    def timeout(self, upstream: str) -> float:
        """Seconds that a call of this upstream may take; raises `KeyError` for one that isn't configured."""
        return self._supervisors[upstream].spec.timeout

    def elicit(self, upstream: str) -> str:
        """What it may ask people: block | form | url; raises `KeyError` for one that isn't configured."""
        return self._supervisors[upstream].spec.elicit

    async def forward(self, tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None = None) -> Reply:
        """Send one call and wait for its answer, at most `timeout(upstream)` seconds; see `ports.Upstreams`."""
        if again is not None and again.parked:
            parked = self._ties.parking.take(again.parked, call.principal.id)
            return parked if isinstance(parked, Lost) else await calls.resume(parked, again, call, ears)
        name = tool.ref.upstream
        supervisor = self._supervisors.get(name)
        if supervisor is None:
            return Unsent(f"no upstream `{name}` is configured")
        instances = self._instances.get(name)
        if instances is None:
            return await calls.forward(supervisor, tool, arguments, call, ears, again)
        if self._tasks is None:
            return Unsent(f"upstream `{name}` is {supervisor.state.value}")
        return await instances.forward(tool, arguments, call, ears, again, self._tasks)

    async def drop(self, parked: str) -> None:
        """Cancel a parked call at its upstream: nobody will come back with answers. One that is gone is no error."""
        await self._ties.parking.drop(parked)

    def left(self, seat: str) -> None:
        """The connection of a client is gone: end its instances with their parked calls, and its subscriptions."""
        if self._tasks is None:
            return
        shared = [one for name, one in self._supervisors.items() if name not in self._instances]
        for instances in self._instances.values():
            shared += instances.left(seat)
        for supervisor in shared:
            if gone := supervisor.watched.leave(seat):
                self._tasks.start_soon(calls.unwatch, supervisor, gone)

    def _run_per(self, spec: UpstreamSpec) -> Instances:
        """The instances of an upstream. What each lists is offered, but not its resources: they may be one client's."""
        shared = self._supervisors[spec.name]
        take = self._taker(spec.name)

        def offer(listing: Listing) -> None:
            failed, told = listing.failed | {"resources"}, shared.listing.instructions
            take(replace(listing, resources=(), failed=failed, instructions=told))

        def ended(one: Supervisor) -> None:
            mine, common = one.listing, shared.listing
            if mine != Listing() and any(
                mine.of(kind) != common.of(kind) for kind in ("tools", "prompts", "templates")
            ):
                shared.relist()

        return Instances(spec, self._ties, offer, ended)

    @contextlib.asynccontextmanager
    async def _empty_folder(self) -> AsyncIterator[None]:
        """An upstream that is run per workspace is listed in a folder that has nothing in it."""
        listed = [
            one for name, one in self._supervisors.items() if name in self._instances and one.spec.needs_workspace
        ]
        if not listed:
            yield
            return
        folder = await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="wardgate-"))
        for supervisor in listed:
            supervisor.spec = supervisor.spec.at(folder)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _taker(self, upstream: str) -> Callable[[Listing], None]:
        return lambda listing: self.catalogue.replace(upstream, listing)

    def _tell(self, upstream: str) -> None:
        self.catalogue.forget(upstream)  # it has listed something, or has failed to start
        for watcher in self._watchers:
            watcher(upstream)

    def _tell_updated(self, updated: Updated) -> None:
        for listener in self._listeners:
            listener(updated)
