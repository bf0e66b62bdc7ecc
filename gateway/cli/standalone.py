"""Hold and let go where no gateway runs: the store is opened as a gateway would, with its lock, and written to.

Imported only when nobody answers at the control socket: it needs what a gateway needs of the store.
"""

import os
from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from gateway.approvals import Desk
from gateway.clock import SystemClock
from gateway.core.model import Freeze
from gateway.people import user_name
from gateway.place import Place
from gateway.store import Limits, open_store


def hold(place: Place, upstream: str, session: str) -> list[Freeze]:
    """Write down that everything (nothing named), one upstream or one session is held; raises `GatewayError`."""
    return anyio.run(_with_desk, place, partial(_freeze, upstream, session))


def let_go(place: Place, upstream: str, session: str, *, everything: bool) -> list[Freeze]:
    """Lift what is held; raises `GatewayError`."""
    return anyio.run(_with_desk, place, partial(_thaw, upstream, session, everything))


async def _freeze(upstream: str, session: str, desk: Desk, by: str) -> list[Freeze]:
    return [await desk.freeze(upstream, session, by, "")]


async def _thaw(upstream: str, session: str, everything: bool, desk: Desk, by: str) -> list[Freeze]:
    return await desk.standings.thaw(upstream, session, by, everything=everything)


async def _with_desk(place: Place, work: Callable[[Desk, str], Awaitable[list[Freeze]]]) -> list[Freeze]:
    """Hold the store as its gateway, which therefore can't be running, and do one piece of work."""
    async with open_store(place.folder, Limits(), owner=place.owner) as store:
        desk = Desk(store, SystemClock(), store.folder.key)
        await desk.standings.load()
        return await work(desk, f"os:{user_name(os.getuid())}")
