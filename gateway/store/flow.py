"""What records change of the flow: sessions that are tainted, and what tainted sessions wrote.

As `rows.py`: changes to make and questions to ask, by name with their values; it decides nothing, and knows no SQL.
"""

from collections.abc import Sequence

from gateway.core.model import Kind, Record
from gateway.core.record import stamp
from gateway.store.port import Ask, Change, Store
from gateway.store.rows import text_of


def changes(record: Record) -> tuple[Change, ...]:
    """What follows from a record: the digests in its `marks` were written, and one of kind `flow` taints a session."""
    at = stamp(record.at) if record.marks or record.kind is Kind.FLOW else ""
    made = tuple(Change("written.add", (form, record.id, at), must=False) for form in record.marks)
    if record.kind is not Kind.FLOW:
        return made
    told = record.extra
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


async def all_forms(store: Store, most: int) -> Sequence[str]:
    """The digests of what tainted sessions wrote."""
    return [text_of(form) for (form,) in await store.ask(Ask("written.all", (most,)))]
