"""What every implementation of `port.Store` has to keep, fifth part: the flow of sessions, as `flow.py` names it.

It knows no SQL and no table, only what the functions of `flow.py` say.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.core.model import Kind, Record
from gateway.core.record import columns, encode
from gateway.store import flow
from gateway.store.port import Entry, Store
from tests.fakes import NOON, a_record
from tests.store.contract import MINUTE, Contract, speaks_of


def entry(record: Record) -> Entry:
    """A record as `Records` hands it over."""
    return Entry(encode(record), columns(record), flow.changes(record))


def a_taint(number: int, session: str = "", *, tainted: bool = True, private: bool = False, **more: Any) -> Record:
    """A record of a session that read something, `number` minutes after noon."""
    told = {"by": "mail/read", "tainted": tainted, "private": private, "flow": session}
    return a_record(number, Kind.FLOW, at=NOON + number * MINUTE, extra=told, **more)


async def write(store: Store, *records: Record) -> None:
    """Write records down, each with what it changes."""
    for record in records:
        assert await store.append((entry(record),))


class FlowContract(Contract):
    """Taint only grows, and what was written stays written."""

    @speaks_of("flow.set", "flow.all")
    async def test_a_session_that_was_tainted_stays_so(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            who = a_taint(1)
            await write(store, a_taint(1, "s"), a_taint(2, "s", tainted=False, private=True), a_taint(3, tainted=False))
            named, unnamed = (who.principal, who.client, "s"), (who.principal, who.client, "")
            assert await flow.all_tainted(store, 9) == [(*named, True, True), (*unnamed, False, False)]
            assert await flow.all_tainted(store, 1) == [(*named, True, True)]

    @speaks_of("written.add", "written.all")
    async def test_what_was_written_is_kept_once(self, place: Callable[[], AbstractAsyncContextManager[Store]]) -> None:
        async with place() as store:
            one, other = "00" * 8, "ff" * 8
            await write(store, a_record(1, Kind.INTENT, marks=(other, one)), a_record(2, Kind.OUTCOME, marks=(one,)))
            assert sorted(await flow.all_forms(store, 9)) == [one, other]
            assert len(await flow.all_forms(store, 1)) == 1
