"""What records change of the flow: sessions that are tainted, what tainted sessions wrote, what of it is forgotten.

As `rows.py`: changes to make and questions to ask, by name with their values; it decides nothing, and knows no SQL.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.core.model import Kind, Record
from gateway.core.record import stamp, unstamp
from gateway.store.port import Ask, Change, Store
from gateway.store.rows import text_of

LOOKED_BACK = 10_000  # records among which the last one of a client is looked for
FORGOTTEN, BEFORE = "forgotten", "before"  # in the record of a person who has forms forgotten: how many, until when


def forgotten(count: int, before: datetime) -> Mapping[str, Any]:
    """What a record says that has `count` forms forgotten, which were written last before then."""
    return {FORGOTTEN: count, BEFORE: stamp(before)}


def changes(record: Record) -> tuple[Change, ...]:
    """What follows from a record: the digests in its `marks` were written, and one of kind `flow` taints a session, or
    has what was written before some time forgotten.
    """
    at = stamp(record.at) if record.marks or record.kind is Kind.FLOW else ""
    made = tuple(Change("written.add", (form, record.id, at), must=False) for form in record.marks)
    if record.kind is not Kind.FLOW:
        return made
    told = record.extra
    if FORGOTTEN in told:
        return (*made, Change("written.forget", (str(told[BEFORE]),), must=False))
    who = (record.principal, record.client, str(told.get("flow", "")))
    what = (int(bool(told.get("tainted"))), int(bool(told.get("private"))), str(told.get("by", "")))
    return (*made, Change("flow.set", (*who, *what, at), must=False))


async def all_tainted(store: Store, most: int) -> Sequence[tuple[str, str, str, bool, bool]]:
    """Principal, client and name of sessions, and whether they are tainted and have read what is private."""
    rows = await store.ask(Ask("flow.all", (most,)))
    return [
        (text_of(who), text_of(client), text_of(name), bool(tainted), bool(private))
        for who, client, name, tainted, private in rows
    ]


async def last_seen(store: Store, principal: str, client: str) -> datetime | None:
    """A time after which nothing of a client is on the record: that of its last record, or of one before which that
    must be; None where there are no records.
    """
    oldest = store.size - LOOKED_BACK
    found = await store.ask(Ask("record.last-seen", (principal, client, oldest, oldest)))
    return unstamp(text_of(found[0][0])) if found else None


async def all_forms(store: Store, most: int) -> Sequence[str]:
    """The digests of what tainted sessions wrote."""
    return [text_of(form) for (form,) in await store.ask(Ask("written.all", (most,)))]


async def count_forms(store: Store, before: datetime) -> tuple[int, int]:
    """How many digests of what was written there are, and how many were written last before then."""
    ((all_of_them, older),) = await store.ask(Ask("written.count", (stamp(before),)))
    return int(all_of_them), int(older)
