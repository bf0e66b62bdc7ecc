"""How a gateway is: whether it is ready, and its numbers. It writes nothing but to a record that failed, to try it, and
that approvals expired which are due.

Nothing of it is on the path of a call; what is counted of calls comes from committed records.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

import anyio
import anyio.to_thread
from msgspec import Struct

from gateway import __version__
from gateway.app.build import Gateway
from gateway.app.starting import READY_AT_LATEST
from gateway.core.model import ApprovalState
from gateway.errors import GatewayError
from gateway.keeping import Space
from gateway.server.probes import Readiness, Unready
from gateway.upstreams.supervisor import State

TRY_AGAIN = 1.0  # seconds between two tries of a record that failed

Gauges = Mapping[str, Mapping[tuple[str, ...], float]]


class Doors(Struct, frozen=True):
    """What its doors know: requests that are open, clients on pipes, and whether all is about to end."""

    requests: Callable[[], int]
    pipes: Callable[[], int]
    draining: Callable[[], bool]


class Health:
    """Implements `probes.Probes` for one gateway."""

    def __init__(self, gateway: Gateway, doors: Doors) -> None:
        self._gateway, self._doors = gateway, doors
        self._space = Space(gateway.store.folder.store, gateway.store.used)
        self._opened, self._since = gateway.clock.monotonic(), gateway.clock.now()
        self._tried = self._opened - TRY_AGAIN
        self._rendering = anyio.Lock()

    async def readiness(self) -> Readiness:
        """Whether calls should come here. An upstream that is down is told and doesn't count: the others work."""
        await self._try_record()
        return Readiness(self._reasons(), self._upstreams())

    async def metrics(self) -> tuple[bytes, str]:
        """Everything of `core.measures.MEASURES`, in the text format of Prometheus, and its content type."""
        gauges = await self._gauges()
        async with self._rendering:  # one at a time: a thread reads the counts
            return await anyio.to_thread.run_sync(_render, self._gateway, gauges)

    def _reasons(self) -> tuple[Unready, ...]:
        gateway = self._gateway
        early = gateway.clock.monotonic() - self._opened < READY_AT_LATEST
        found = {
            Unready.STARTING: early and self._upstreams().get(State.STARTING.value, 0) > 0,
            Unready.SCANNER: not gateway.scanner.loaded,
            Unready.RECORD: bool(gateway.store.broken),
            Unready.DRAINING: self._doors.draining(),
        }
        return tuple(reason for reason, holds in found.items() if holds)

    def _upstreams(self) -> Mapping[str, int]:
        return Counter(state for state, _ in self._gateway.upstreams.states().values())

    async def _try_record(self) -> None:
        """A record that failed is found to work again by writing only, and who isn't ready gets no calls."""
        now = self._gateway.clock.monotonic()
        if not self._gateway.store.broken or now - self._tried < TRY_AGAIN:
            return
        self._tried = now
        with suppress(GatewayError):
            await self._gateway.store.flush()

    async def _gauges(self) -> Gauges:
        gateway = self._gateway
        states = {name: state for name, (state, _) in gateway.upstreams.states().items()}
        plain = {
            "start_time_seconds": self._since.timestamp(),
            "ready": not self._reasons(),
            "draining": self._doors.draining(),
            "calls_in_flight": gateway.face.calls_in_flight,
            "http_requests_open": self._doors.requests(),
            "clients_connected": self._doors.pipes(),
            "sessions": gateway.monitor.known,
            "freezes": len(gateway.approvals.standings.freezes()),
            "changes_held": len(gateway.reload.held),
            "record_writable": not gateway.store.broken,
            "record_rows": gateway.store.size,
            "record_queue": gateway.store.queued,
        }
        with suppress(GatewayError, OSError):  # what can't be told now is left out
            plain["record_free_bytes"] = await self._space.free()
            plain["record_size_bytes"] = await self._space.used()
            plain["approvals_waiting"] = len(await gateway.approvals.list(ApprovalState.WAITING))
        return {
            **{name: {(): float(value)} for name, value in plain.items()},
            "info": {(__version__,): 1.0},
            "upstreams": {(state.value,): float(sum(one == state.value for one in states.values())) for state in State},
            "upstream_ready": {(name,): float(state == State.READY.value) for name, state in states.items()},
        }


def _render(gateway: Gateway, gauges: Gauges) -> tuple[bytes, str]:
    from gateway.app.exposition import render  # imported late: most gateways are never asked

    return render(gateway.counts, gauges)
