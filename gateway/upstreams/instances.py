"""The connections of one upstream that is run per client or per workspace: started on demand, ended when nobody needs
them.

Each is a supervisor of its own: what fails there stays there. Nothing here decides about calls.
"""

from collections.abc import Callable

import anyio
import anyio.abc
from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.model import Again, Call, Reply, Tool, Unsent
from gateway.errors import ConfigurationError
from gateway.ports import Ears
from gateway.upstreams import calls
from gateway.upstreams.definitions import Listing
from gateway.upstreams.spec import MIRROR, UpstreamSpec
from gateway.upstreams.supervisor import Guest, State, Supervisor, Ties

LOOK = 1.0  # seconds between looks at one whose time is over and that is still needed

Key = tuple[str, str]  # principal and workspace, or the seat of one client


class Instance(Struct):
    """One connection, and who uses it."""

    supervisor: Supervisor
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    seats: set[str] = field(default_factory=set)
    users: int = 0  # calls that wait for it or run on it
    used: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything from it."""
        return not self.users and not self.supervisor.busy and not self.supervisor.watched.uris


class Instances:
    """All of one upstream, by whom they are for.

    `offer` takes what they list; `ended` hears of one that is gone whose list was its own.
    """

    def __init__(
        self, spec: UpstreamSpec, ties: Ties, offer: Callable[[Listing], None], ended: Callable[[Supervisor], None]
    ) -> None:
        self._spec, self._ties, self._offer, self._ended = spec, ties, offer, ended
        self._found: dict[Key, Instance] = {}

    async def forward(
        self, tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None, tasks: anyio.abc.TaskGroup
    ) -> Reply:
        """Relay a call over the connection that is for it, started in `tasks` if there is none.

        Waiting for the start takes at most as long as a start may.
        """
        instance = self._obtain(call, tasks)
        if isinstance(instance, Unsent):
            return instance
        instance.seats.add(call.context.seat)
        instance.users += 1
        try:
            with anyio.move_on_after(self._spec.start_timeout):
                await instance.supervisor.settled.wait()
            return await calls.forward(instance.supervisor, tool, arguments, call, ears, again)
        finally:
            instance.users -= 1
            instance.used = anyio.current_time()

    def left(self, seat: str) -> tuple[Supervisor, ...]:
        """A client went away: end what was for it alone, and return what others still use."""
        shared = []
        for key, instance in list(self._found.items()):
            if seat in instance.seats:
                instance.seats.discard(seat)
                if instance.seats:
                    shared.append(instance.supervisor)
                else:
                    del self._found[key]
                    instance.scope.cancel()
        return tuple(shared)

    def trouble(self) -> str:
        """What is wrong with those that don't run, in one line; empty if nothing is."""
        broken = [one.supervisor for one in self._found.values() if one.supervisor.state is State.FAILED]
        return f"{len(broken)} of {len(self._found)} instances failed: {broken[0].detail}" if broken else ""

    def _obtain(self, call: Call, tasks: anyio.abc.TaskGroup) -> Instance | Unsent:
        key = self._key(call)
        if isinstance(key, Unsent):
            return key
        instance = self._found.get(key)
        if instance is not None:
            return instance
        if len(self._found) >= self._spec.most_instances:
            return Unsent(f"busy: upstream `{self._spec.name}` has {len(self._found)} instances")
        made = self._make(call)
        if isinstance(made, Instance):
            self._found[key] = made
            tasks.start_soon(self._run, key, made)
        return made

    def _key(self, call: Call) -> Key | Unsent:
        context = call.context
        if self._spec.per == "client":
            return ("", context.seat) if context.seat else Unsent("it is not known which client this is for")
        if not context.workspace.startswith("/"):
            return Unsent("it is not known which workspace this is for")
        return call.principal.id, context.workspace

    def _make(self, call: Call) -> Instance | Unsent:
        spec, context = self._spec, call.context
        try:
            spec = spec.at(context.workspace)
        except ConfigurationError:
            return Unsent("it is not known which workspace this is for")
        guest = Guest()
        if spec.per == "client":
            declared = self._ties.declare(spec.name, call.client.name, context.capabilities)
            guest = Guest(context.seat, declared)
            if context.era == "legacy" and spec.era == "auto":
                spec = replace(spec, era=MIRROR)
        return Instance(Supervisor(spec, self._offer, lambda _name: None, self._ties, guest))

    async def _run(self, key: Key, instance: Instance) -> None:
        """Run until nobody has used it for a while, or whom it was for has left."""
        try:
            with instance.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(instance.supervisor.run)
                    while (left := instance.used + self._spec.idle - anyio.current_time()) > 0 or not instance.idle:
                        await self._ties.pace.sleep(max(left, LOOK))
                    self._forget(key, instance)
                    tasks.cancel_scope.cancel()
        finally:
            self._forget(key, instance)
            self._ended(instance.supervisor)

    def _forget(self, key: Key, instance: Instance) -> None:
        """The next call starts another one."""
        if self._found.get(key) is instance:
            del self._found[key]
