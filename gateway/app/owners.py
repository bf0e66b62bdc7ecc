"""Tell owners what they should look at: reviews that are due, what nobody uses, what changed. Once a day each.

On the record first. It decides nothing and changes nothing that an owner answers for.
"""

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import anyio.to_thread

from gateway import inventory
from gateway.app.build import Gateway
from gateway.app.consent import LockCommands
from gateway.control import Handler, Refusal, Request
from gateway.core.inventory import Due, due, reachable, ways_to
from gateway.core.model import Kind, Record
from gateway.core.record import columns, encode, stamp, unstamp
from gateway.errors import GatewayError, RecordError
from gateway.ids import ENTRY, new_id
from gateway.people import user_name
from gateway.store import Entry, rows

SIGNAL = "permissions-due"
AGAIN = timedelta(days=1)  # after which an owner is told anew
MOST_NAMED = 20  # permissions that one record names
LONGEST = 3_650  # days that can be asked for
USAGE, UNREACHABLE = 2, 3


class OwnerCommands:
    """The handlers of one gateway that have to do with owners, by operation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation."""
        return {"tell-owners": self.tell}

    async def tell(self, request: Request, user: str) -> dict[str, Any]:
        """Tell each owner (whose name has `owner` in it) what is due within `due` days, or was not used for `unused`;
        `force`: also who was told within a day.
        """
        days, unused = _days(request, "due"), _days(request, "unused")
        whose, force = str(request.get("owner", "")).lower(), request.get("force") is True
        try:
            found = [each for each in await self._due(days, unused) if whose in each.owner.lower()]
            return {"items": [await self._tell(each, user, force=force) for each in found]}
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None
        except GatewayError as problem:
            raise Refusal(str(problem)) from None

    async def _due(self, days: int, unused: int) -> Iterable[Due]:
        gateway = self._gateway
        answer = await LockCommands(gateway).tools({"wait": False}, "")
        now = gateway.clock.now()
        taken = await anyio.to_thread.run_sync(
            partial(inventory.take, gateway.settings, now, user_name(os.getuid()), inventory.live_of(answer))
        )
        return due(taken.rows, days, unused, now.date())

    async def _tell(self, one: Due, user: str, *, force: bool) -> dict[str, Any]:
        """Tell one owner, unless that was done today."""
        gateway, now = self._gateway, self._gateway.clock.now()
        ways = ways_to(gateway.settings.approvers, gateway.settings.notify.to, user_name(os.getuid()))
        row = {"owner": one.owner, "count": len(one.what), "what": dict(one.what), "why": reachable(one.owner, ways)}
        key = f"owner-told.{one.owner}"
        last = await rows.get_meta(gateway.store, key)
        if last and not force and abs(now - unstamp(last)) < AGAIN:
            return {**row, "told": False, "why": f"told already, at {last[:19]}Z"}
        told = Record(
            kind=Kind.SIGNAL,
            id=new_id(ENTRY),
            at=now,
            principal=f"os:{user}",
            known_by="os-user",
            detail=SIGNAL,
            extra={
                "owner": one.owner,
                "count": len(one.what),
                "what": [list(each) for each in one.what[:MOST_NAMED]],
                "explanation": f"{len(one.what)} of `{one.owner}` are to be looked at",
            },
        )
        # INVARIANT: who was told stands in the transaction of the record, so that a day has one notice of each owner.
        await gateway.store.append((Entry(encode(told), columns(told)),), (rows.set_meta(key, stamp(now)),))
        gateway.notices.tell_owner(told, one.owner)
        return {**row, "told": not row["why"]}  # who is told of all notices was


def _days(request: Request, name: str) -> int:
    given = request.get(name)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= LONGEST:
        raise Refusal(f"expected `{name}` to be a number of days, at most {LONGEST}", USAGE)
    return given
