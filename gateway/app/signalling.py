"""The monitor of one gateway, with what it needs to know of policy and configuration."""

from collections import OrderedDict
from collections.abc import Callable

from gateway.app.inforce import InForce
from gateway.clock import Sleeper
from gateway.config import Settings
from gateway.core.model import Labels, Record, ToolRef
from gateway.core.risk import labels_for
from gateway.monitor import Monitor
from gateway.sessions import Sessions
from gateway.store import Store

MOST_LABELS = 5_000  # tools whose labels are at hand


class AtHand:
    """Labels of tools by the policy in force, looked up once for each revision of it."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force, self._revision = in_force, ""
        self._known: OrderedDict[tuple[str, str], Labels] = OrderedDict()

    def __call__(self, upstream: str, tool: str) -> Labels:
        """The labels of a tool."""
        policy = self._in_force()
        if policy.revision != self._revision:
            self._revision = policy.revision
            self._known.clear()
        found = self._known.get((upstream, tool))
        if found is None:
            found = self._known[upstream, tool] = labels_for(policy, ToolRef(upstream, tool))
            if len(self._known) > MOST_LABELS:
                self._known.popitem(last=False)
        return found


def monitor_of(
    settings: Settings,
    in_force: InForce,
    store: Store,
    clock: Sleeper,
    report: Callable[[Record], None],
    key: bytes,
    sessions: Sessions,
) -> Monitor:
    """A monitor that raises sessions in `sessions`; it follows nothing until it runs."""
    monitor = Monitor(store, clock, report, key, sessions.raising)
    inventories = {name: client.upstreams for name, client in settings.clients.items()}
    monitor.labels = AtHand(in_force)
    monitor.said = lambda upstream: in_force().responses(upstream)
    monitor.inventory = lambda client: inventories.get(client, ())
    return monitor
