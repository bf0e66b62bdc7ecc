"""All upstreams together: what `enforce` and the face to clients see of them.

One that fails never stops or delays another.
"""

from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.abc

from gateway.core.model import Call, Reply, Tool, Unsent
from gateway.ports import Progress
from gateway.upstreams.catalogue import Catalogue, Classify
from gateway.upstreams.definitions import Listing
from gateway.upstreams.spec import UpstreamSpec
from gateway.upstreams.supervisor import Pace, State, Supervisor


class Upstreams:
    """The servers behind the gateway; implements `ports.Upstreams`. `catalogue` implements `ports.Catalogue`."""

    def __init__(self, specs: Sequence[UpstreamSpec], classify: Classify, pace: Pace | None = None) -> None:
        self.catalogue = Catalogue([(spec.name, spec.bare) for spec in specs], classify)
        self._watchers: list[Callable[[str], None]] = []
        self._supervisors = {
            spec.name: Supervisor(spec, self._taker(spec.name), self._tell, pace or Pace()) for spec in specs
        }

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run all upstreams until cancelled, then end them; `started` is signalled at once, whatever they do."""
        async with anyio.create_task_group() as tasks:
            for supervisor in self._supervisors.values():
                tasks.start_soon(supervisor.run)
            task_status.started()

    async def settled(self) -> None:
        """Wait until each upstream has started, or failed to, for the first time. Has no deadline of its own."""
        for supervisor in self._supervisors.values():
            await supervisor.settled.wait()

    def state(self, upstream: str) -> tuple[str, str]:
        """State and its detail: starting | ready | restarting | failed | stopped."""
        supervisor = self._supervisors.get(upstream)
        if supervisor is None:
            return State.FAILED.value, f"no upstream `{upstream}` is configured"
        clash = self.catalogue.snapshot.clashes.get(upstream)
        if clash is not None and supervisor.state is State.READY:
            return State.FAILED.value, clash
        return supervisor.state.value, supervisor.detail

    def states(self) -> Mapping[str, tuple[str, str]]:
        """All states, in the order of the configuration."""
        return {name: self.state(name) for name in self._supervisors}

    def on_state(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with the upstream's name after each change of its state; it must not block."""
        self._watchers.append(watcher)

    def timeout(self, upstream: str) -> float:
        """Seconds that a call of this upstream may take; raises `KeyError` for one that isn't configured."""
        return self._supervisors[upstream].spec.timeout

    async def forward(self, tool: Tool, arguments: bytes, call: Call, progress: Progress | None) -> Reply:
        """Send one tools/call and wait for its answer, at most `timeout(upstream)` seconds; see `ports.Upstreams`."""
        supervisor = self._supervisors.get(tool.ref.upstream)
        if supervisor is None:
            return Unsent(f"no upstream `{tool.ref.upstream}` is configured")
        return await supervisor.forward(tool.ref.name, arguments, call.context.meta, progress)

    def _taker(self, upstream: str) -> Callable[[Listing], None]:
        return lambda listing: self.catalogue.replace(upstream, listing.definitions)

    def _tell(self, upstream: str) -> None:
        for watcher in self._watchers:
            watcher(upstream)
