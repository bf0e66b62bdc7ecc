"""Read from the record all that `wardgate explain` tells of one id: its records, and those that they speak of.

By index only, within bounds, and only what the viewer may see. It reads one snapshot and words nothing.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime

from gateway import ids
from gateway.core.model import Kind, Record
from gateway.core.record import decode
from gateway.core.told import Before, Brief, Telling
from gateway.errors import StateError
from gateway.reading import Row, Story, Viewer, story

HOPS = 500  # calls whose lists of outputs are followed
LATEST = 20  # outputs that are named
LOOKED = 300  # records of a tool that are looked through for calls like one
SIMILAR = 5  # of those that are told
COVERING = 100  # checkpoints behind a row that are looked at

_COLUMNS = "id, kind, at, upstream, tool, session, verdict, reason, outcome, approval"
_SEEN = "(? = '' OR principal = ?)"  # the viewer's restriction, twice


def find(db: sqlite3.Connection, given: str, viewer: Viewer) -> list[str]:
    """What may be explained whose id begins so: calls (an approval stands for its call), and records of other kinds.

    Two at most: more would not tell anything else. None for a short beginning, and for what the viewer may not see.
    """
    wanted = ids.normal(given)
    if len(wanted) < ids.SHORTEST_PREFIX:
        return []
    between, own = (wanted, wanted + "\x7f"), (viewer.restriction, viewer.restriction)

    def among(table: str, column: str, told: str) -> list[str]:
        query = (
            f"SELECT DISTINCT {told} FROM {table} WHERE {column} >= ? AND {column} < ? AND {_SEEN} ORDER BY 1 LIMIT 2"  # noqa: S608 - names of ours
        )
        return [row[0] for row in db.execute(query, (*between, *own))]

    # Rows of approvals are forgotten after a while, their records stay; a call that was only asked about has no other.
    asked = [("approval", "id", "call"), ("record", "id", "id")]
    of_calls = [("record", "id", "id"), ("approval", "call", "call")]
    places = asked if wanted.startswith(f"{ids.APPROVAL}_") else of_calls
    return next((found for each in places if (found := among(*each))), [])


def tell(db: sqlite3.Connection, id: str, viewer: Viewer, now: datetime) -> Telling | None:
    """All that is told of an id; None if the record has nothing of it that the viewer may see.

    Raises `StateError` where a row is no record any more.
    """
    db.execute("BEGIN")
    try:
        told = _story(db, id)
        if not told.rows or not all(_sees(viewer, row.record) for row in told.rows):
            return None
        plain = Telling(told.call, told.rows, told.size, told.root, now)
        grounds, (seq, record) = plain.grounds, plain.main
        return Telling(
            *(told.call, told.rows, told.size, told.root, now),
            sources=_briefs(db, (str(each.get("source", "")) for each in grounds.carried), viewer),
            before=_before(db, grounds, viewer),
            prompt=_prompt(db, grounds, viewer) if record.id != grounds.turn else None,
            similar=_similar(db, record, viewer) if plain.is_call else (),
            checkpoint=_covering(db, seq),
        )
    except ValueError as problem:
        raise StateError(f"the record of `{id}` can't be read ({problem}); `wardgate verify` tells more") from None
    finally:
        db.execute("ROLLBACK")


def _sees(viewer: Viewer, record: Record) -> bool:
    return viewer.restriction in ("", record.principal)


def _story(db: sqlite3.Connection, id: str) -> Story:
    """The records of a call; of an approval whose row is forgotten, and of other records, those of the id."""
    told = story(db, id)
    if not id.startswith(f"{ids.APPROVAL}_"):
        return told
    query = "SELECT body FROM record WHERE approval = ? AND approval <> '' ORDER BY seq"  # as its index says
    rows = tuple(Row(*decode(body)) for (body,) in db.execute(query, (id,)))
    call = next((str(row.record.extra["call"]) for row in rows if row.record.extra.get("call")), id)
    return told._replace(call=call, rows=rows)


def _briefs(db: sqlite3.Connection, wanted: Iterable[str], viewer: Viewer) -> Mapping[str, Brief]:
    """The latest record of each id in a few words; what is not there, or not to be seen, is its id alone."""
    query = f"SELECT {_COLUMNS} FROM record WHERE id = ? AND {_SEEN} ORDER BY seq DESC LIMIT 1"  # noqa: S608 - names of ours
    found: dict[str, Brief] = {}
    for id in dict.fromkeys(wanted):
        row = db.execute(query, (id, viewer.restriction, viewer.restriction)).fetchone()
        found[id] = Brief(*row) if row is not None else Brief(id)
    return found


def _before(db: sqlite3.Connection, grounds: Record, viewer: Viewer) -> Before:
    """The outputs before a call: each record lists those since the one before it in the same turn, and names that."""
    count, cut, latest = 0, False, list[str]()
    context, seen = grounds.context, {grounds.id}
    while context:
        outputs = [str(output[0]) for output in context.get("outputs", ())]
        count += len(outputs) + int(context.get("omitted", 0))
        latest += outputs[: -(LATEST - len(latest)) - 1 : -1] if len(latest) < LATEST else []
        after = str(context.get("after", ""))
        if not after:
            break
        listed = _listed(db, after, viewer) if after not in seen and len(seen) < HOPS else {}
        cut = not listed
        context, seen = listed, seen | {after}
    return Before(count, tuple(_briefs(db, latest, viewer).values()), cut)


def _listed(db: sqlite3.Connection, call: str, viewer: Viewer) -> Mapping[str, object]:
    """What a call's first record lists; empty if it is not there, or not to be seen."""
    for _, record in (
        decode(body) for (body,) in db.execute("SELECT body FROM record WHERE id = ? ORDER BY seq", (call,))
    ):
        if record.context and _sees(viewer, record):
            return record.context
    return {}


def _prompt(db: sqlite3.Connection, grounds: Record, viewer: Viewer) -> Record | None:
    """The record of the prompt of a call's turn."""
    if not grounds.turn:
        return None
    found = db.execute("SELECT body FROM record WHERE id = ? LIMIT 1", (grounds.turn,)).fetchone()
    record = decode(found[0])[1] if found is not None else None
    return record if record is not None and _sees(viewer, record) else None


def _similar(db: sqlite3.Connection, record: Record, viewer: Viewer) -> tuple[Brief, ...]:
    """The newest other calls of the same tool by the same principal that have ended, among the newest of the tool."""
    query = (
        f"SELECT {_COLUMNS} FROM (SELECT * FROM record WHERE tool = ? AND tool <> '' ORDER BY seq DESC LIMIT {LOOKED}) "  # noqa: S608 - names of ours
        f"WHERE kind = ? AND upstream = ? AND principal = ? AND id <> ? AND {_SEEN} LIMIT {SIMILAR}"
    )
    wanted = (record.tool, Kind.OUTCOME.value, record.upstream, record.principal, record.id)
    found = [Brief(*row) for row in db.execute(query, (*wanted, viewer.restriction, viewer.restriction))]
    return tuple(each._replace(**_settled(db, each.approval)) if each.approval else each for each in found)


def _settled(db: sqlite3.Connection, approval: str) -> Mapping[str, str]:
    """Who settled an approval, and with what proof."""
    query = "SELECT body FROM record WHERE approval = ? AND approval <> '' AND kind = ? ORDER BY seq DESC LIMIT 1"
    found = db.execute(query, (approval, Kind.APPROVAL.value)).fetchone()
    extra = decode(found[0])[1].extra if found is not None else {}
    return {"by": str(extra.get("decided_by", "")), "proof": str(extra.get("proof", ""))}


def _covering(db: sqlite3.Connection, seq: int) -> Record | None:
    """The first checkpoint over a row: it stands behind it, and the rows between the two are few."""
    query = (
        "SELECT body FROM record WHERE kind = ? AND kind NOT IN ('intent', 'outcome') AND seq > ? ORDER BY seq LIMIT ?"
    )
    for (body,) in db.execute(query, (Kind.CHECKPOINT.value, seq, COVERING)):
        record = decode(body)[1]
        if int(record.extra.get("size", 0)) >= seq:
            return record
    return None
