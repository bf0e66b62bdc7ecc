"""What every implementation of `port.Store` has to keep, fifth part: the flow of sessions, as `flow.py` names it.

It knows no SQL and no table, only what the functions of `flow.py` say.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

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

    @speaks_of("record.last-seen")
    async def test_when_a_client_was_seen_last_is_told_by_the_newest_records(
        self, place: Callable[[], AbstractAsyncContextManager[Store]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flow, "LOOKED_BACK", 3)
        async with place() as store:
            who = a_record().principal
            assert await flow.last_seen(store, who, "desk") is None
            for minute, client in enumerate(("desk", "other", "desk", "other", "other")):
                await write(store, a_record(minute, client=client, at=NOON + minute * MINUTE))
            assert await flow.last_seen(store, who, "other") == NOON + 4 * MINUTE
            assert await flow.last_seen(store, who, "desk") == NOON + 2 * MINUTE
            assert await flow.last_seen(store, "os:eve", "desk") == NOON + 2 * MINUTE  # at the latest: before these
            await write(store, a_record(9, client="other", at=NOON + 9 * MINUTE))
            assert await flow.last_seen(store, who, "desk") == NOON + 3 * MINUTE

    @speaks_of("written.add", "written.all")
    async def test_what_was_written_is_kept_once(self, place: Callable[[], AbstractAsyncContextManager[Store]]) -> None:
        async with place() as store:
            one, other = "00" * 8, "ff" * 8
            await write(store, a_record(1, Kind.INTENT, marks=(other, one)), a_record(2, Kind.OUTCOME, marks=(one,)))
            assert sorted(await flow.all_forms(store, 9)) == [one, other]
            assert len(await flow.all_forms(store, 1)) == 1

    @speaks_of("written.add", "written.all", "written.count", "written.forget")
    async def test_what_was_written_last_before_some_time_is_forgotten_where_a_record_says_so(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            old, again, new = ("00" * 8, "11" * 8, "22" * 8)
            times = {1: (old, again), 5: (again,), 3: (again,), 4: (new,)}  # one row came late
            for minute, marks in times.items():
                await write(store, a_record(minute, Kind.INTENT, at=NOON + minute * MINUTE, marks=marks))
            before = NOON + 4 * MINUTE
            assert await flow.count_forms(store, before) == (3, 1)
            about = a_record(9, Kind.FLOW, at=NOON + 9 * MINUTE, session="", extra=flow.forgotten(1, before))
            await write(store, about)
            assert sorted(await flow.all_forms(store, 9)) == [again, new]
            assert await flow.all_tainted(store, 9) == []
            assert await flow.count_forms(store, before) == (2, 0)
