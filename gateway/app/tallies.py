"""Numbers over the newest records: calls by hour, by tool, and what was found in them. Read only, for the console.

Runs in a thread: plain `sqlite3`. What is older than the newest `WINDOW` records is not looked at.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.console.ports import Counts, SecretRow
from gateway.core.record import decode, stamp

WINDOW = 200_000  # records
MOST_FOUND = 2_000  # records with findings


class Use(NamedTuple):
    """How often a tool was called, and when last."""

    calls: int
    last: str


def calls_by_hour(db: sqlite3.Connection, hours: Sequence[str]) -> tuple[Counts, Counts]:
    """Calls that ended in these hours (oldest first): by tier, and by verdict."""
    places = {hour: index for index, hour in enumerate(hours)}
    tiers: dict[str, list[int]] = {}
    verdicts: dict[str, list[int]] = {}
    question = (
        "SELECT substr(at, 1, 13), tier, verdict, count(*) FROM record"
        " WHERE seq > ? AND kind = 'outcome' AND at >= ? GROUP BY 1, 2, 3"
    )
    for hour, tier, verdict, count in db.execute(question, (_from(db), hours[0] if hours else "~")):
        if hour in places:
            for found, name in ((tiers, tier or "none"), (verdicts, verdict or "none")):
                found.setdefault(name, [0] * len(hours))[places[hour]] += count
    return _counts(hours, tiers), _counts(hours, verdicts)


def uses(db: sqlite3.Connection) -> Mapping[tuple[str, str], Use]:
    """By upstream and tool: how often it was called, and when last."""
    question = (
        "SELECT upstream, tool, count(*), max(at) FROM record WHERE seq > ? AND kind = 'outcome' AND tool <> ''"
        " GROUP BY 1, 2"
    )
    return {(upstream, tool): Use(count, last) for upstream, tool, count, last in db.execute(question, (_from(db),))}


def secrets(db: sqlite3.Connection, principal: str) -> Sequence[SecretRow]:
    """What was found, by kind and tool, the newest first; of one principal's records, or (empty) of everybody's."""
    question = (
        "SELECT body FROM record WHERE seq > ? AND kind IN ('intent', 'outcome') AND (? = '' OR principal = ?)"
        " AND instr(body, CAST('\"findings\":' AS BLOB)) > 0 ORDER BY seq DESC LIMIT ?"
    )
    found: dict[tuple[str, str, str], SecretRow] = {}
    for (body,) in db.execute(question, (_from(db), principal, principal, MOST_FOUND)):
        record = decode(body)[1]
        for one in record.findings:
            key = (one.kind, record.upstream, record.tool)
            row = found.get(key) or SecretRow(*key, 0, stamp(record.at), record.id, (), ())
            found[key] = SecretRow(
                *key,
                row.count + 1,
                row.last_seen,
                row.last_call,
                tuple(dict.fromkeys((*row.places, one.place)))[:5],
                tuple(dict.fromkeys((*row.releases, *([record.release] if record.release else [])))),
            )
    return tuple(found.values())


def changed(db: sqlite3.Connection) -> Mapping[str, str]:
    """Tools by the name under which they are exposed, whose definition became another one, and when last."""
    question = (
        "SELECT at, body FROM record WHERE kind = 'catalogue' AND kind NOT IN ('intent', 'outcome') AND seq > ?"
        " ORDER BY seq"
    )
    found: dict[str, str] = {}
    for at, body in db.execute(question, (_from(db),)):
        parts = msgspec.json.decode(body).get("extra", {}).get("tools", {})
        for name in parts.get("changed", {}):
            found[name] = at
    return found


def _counts(hours: Sequence[str], by: Mapping[str, Sequence[int]]) -> Counts:
    return Counts(tuple(hours), {name: tuple(values) for name, values in by.items()})


def _from(db: sqlite3.Connection) -> int:
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()
    return int(last) - WINDOW
