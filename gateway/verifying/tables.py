"""Whether the tables beside the record say what it tells: approvals, signatures, people, and the flow of sessions.

It reads one snapshot and changes nothing; what is wrong goes to the walk.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from gateway.core.beside import Beside
from gateway.core.model import Kind
from gateway.core.signed import ApproverKey, Heard, KeyKind, Signatures, key_of
from gateway.core.tainted import Tainted
from gateway.core.verify import Inspection
from gateway.signers import listen

_SAID = ("principal", "client", "session", "upstream", "tool", "definition", "arguments_digest")  # by a record itself
_SAID_BESIDE = ("call", "expires_at", "decided_by", "proof")  # in its `extra`

# What is asked of `record.approval` says that it isn't empty: its index holds only such rows, and without it each would
# be looked for in the whole record.
APPROVALS = f"""
SELECT approval.id, approval.state, approval.created_at, body,
(SELECT count(*) FROM record WHERE approval = approval.id AND approval <> '' AND kind = 'intent'),
{", ".join(f"approval.{name}" for name in (*_SAID, *_SAID_BESIDE))}
FROM approval LEFT JOIN record ON record.seq =
(SELECT max(seq) FROM record WHERE approval = approval.id AND approval <> '' AND kind = 'approval')"""  # noqa: S608 - ours


# No index helps with what stands in bodies: they are looked through. Reads write nothing.
_GRANTED = "SELECT body FROM record WHERE seq > ? AND kind = 'intent' AND instr(body, CAST('\"grant\":\"' AS BLOB)) > 0"
_MARKED = "SELECT body FROM record WHERE tier NOT IN ('read', '') AND instr(body, CAST('\"marks\":' AS BLOB)) > 0"


def rows_of(db: sqlite3.Connection, kind: str) -> Iterator[tuple[int, dict[str, object]]]:
    """The rows of a kind that is no call's, with their `extra`; one that can't be read is found by the walk."""
    query = "SELECT seq, body FROM record WHERE kind = ? AND kind NOT IN ('intent', 'outcome') ORDER BY seq"
    for seq, body in db.execute(query, (kind,)):
        try:
            extra = msgspec.json.decode(body).get("extra")
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, AttributeError, RecursionError):
            continue
        if isinstance(extra, dict):
            yield seq, extra


def approvals(db: sqlite3.Connection, walk: Inspection) -> None:
    """The table of approvals says what their last records say; an approved one is used once an intent names it, or an
    outcome whose output it let leave.

    One that no record tells of is older than what was pruned, or somebody made it up.
    """
    gone = db.execute("SELECT size FROM pruned WHERE size > 0").fetchone()
    first = db.execute("SELECT at FROM record ORDER BY seq LIMIT 1").fetchone() if gone else None
    for approval, state, created_at, body, used, *copies in db.execute(APPROVALS):
        if body is None:
            if not gone or (first and created_at >= first[0]):
                walk.found(None, f"approval `{approval}` is {state}, and no record tells of it")
            continue
        try:
            members = msgspec.json.decode(body)
            beside = members["extra"]
            told = beside["state"]
            said = [*(members.get(name, "") for name in _SAID), *(beside[name] for name in _SAID_BESIDE)]
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # the walk has found it
        used = used or (state == "used" and _released(db, approval))
        if state != ("used" if used and told == "approved" else told):
            walk.found(None, f"approval `{approval}` is {state}, and the record says {told}")
        for name, copy, member in zip((*_SAID, *_SAID_BESIDE), copies, said, strict=True):
            if copy != member:
                walk.found(None, f"the `{name}` of approval `{approval}` is not what the record says")


def _released(db: sqlite3.Connection, approval: str) -> bool:
    """Whether the outcome of the call that an approval is about says that it let its output leave."""
    found = db.execute(
        "SELECT body FROM record JOIN approval ON record.id = approval.call "
        "WHERE approval.id = ? AND record.kind = 'outcome'",
        (approval,),
    )
    for (body,) in found:
        try:
            asked = msgspec.json.decode(body)["extra"]["asked"]
            if (asked["approval"], asked["state"]) == (approval, "approved"):
                return True
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, RecursionError):
            continue  # it is another one, or the walk has found it
    return False


def signatures(db: sqlite3.Connection, walk: Inspection) -> None:
    """Every approval that was given by signature was: by a key that its approver had enrolled, over what stands there.
    And what people said stands in the tables beside the record as it was recorded.

    Raises `StateError` where signatures can't be verified on this machine.
    """
    seen: dict[tuple[object, ...], Heard] = {}  # a vote stands in each later record of its approval

    def listen_once(kind: KeyKind, public: str, document: str, signature: object) -> Heard:
        what = (kind, public, document, str(signature))
        if what not in seen:
            seen[what] = listen(kind, public, document, signature)
        return seen[what]

    pruned = any(size for (size,) in db.execute("SELECT size FROM pruned"))
    looked, beside = Signatures(listen_once, pruned), Beside(pruned)
    if pruned:
        for key in _let_go(db):
            looked.assume(key)
    for seq, kind, extra in _of_people(db):
        if wrong := looked.row(kind, extra) or beside.row(kind, extra):
            walk.found(seq, wrong)
            return
    for wrong in filter(None, _tables(db, beside)):
        walk.found(None, wrong)


def _tables(db: sqlite3.Connection, beside: Beside) -> Iterator[str]:
    """What is wrong with the tables of people, as far as the record tells of them."""
    for id, card, ballots in db.execute("SELECT id, card, ballots FROM approval"):
        yield beside.card(id, _stored(card))
        yield beside.votes(id, _stored(ballots))
    sent = _sent(db)
    for id, kept, ended, until, uses, used in db.execute("SELECT id, body, ended, expires_at, uses, used FROM granted"):
        yield beside.grant(id, _stored(kept), ended, until, uses, used, sent[id])
    yield beside.freezes([id for (id,) in db.execute("SELECT id FROM frozen")])
    for id, state, at, until, passes, reopened in db.execute(
        "SELECT id, state, at, until, false_positive, reopened FROM leak"
    ):
        yield beside.leak(id, state, at, until, bool(passes), reopened)
    keys = db.execute("SELECT id, name, kind, key, attended FROM approver_key")
    yield beside.keys({id: (name, kind, public, bool(attended)) for id, name, kind, public, attended in keys})


def _sent(db: sqlite3.Connection) -> Counter[str]:
    """How many calls were sent by each grant that is kept."""
    kept = {id for (id,) in db.execute("SELECT id FROM granted")}
    given = [seq for seq, extra in rows_of(db, Kind.GRANT.value) if extra.get("grant") in kept]
    calls: set[tuple[str, str]] = set()
    for (body,) in db.execute(_GRANTED, (min(given),)) if given else ():
        told = _members(body)
        by = told.get("authorised")
        named = str(by.get("grant", "")).split(", ") if isinstance(by, dict) else ()
        calls.update((grant, str(told.get("id"))) for grant in named)
    return Counter(grant for grant, _ in calls)


def _stored(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _of_people(db: sqlite3.Connection) -> Iterator[tuple[int, Kind, dict[str, object]]]:
    """The rows of people and of leaks, in order; one that can't be read is found by the walk."""

    def of(kind: Kind) -> Iterator[tuple[int, Kind, dict[str, object]]]:
        return ((seq, kind, extra) for seq, extra in rows_of(db, kind.value))

    return merge(*map(of, (Kind.APPROVER, Kind.APPROVAL, Kind.GRANT, Kind.FREEZE, Kind.LEAK)), key=itemgetter(0))


def _let_go(db: sqlite3.Connection) -> Iterator[ApproverKey]:
    """The keys that must have been enrolled in rows that were let go: those of the table, and those revoked since."""
    told = [extra for _, extra in rows_of(db, Kind.APPROVER.value)]
    enrolled = {extra.get("key") for extra in told if extra.get("state") == "enrolled"}
    for extra in told:
        if extra.get("state") == "revoked" and extra.get("key") not in enrolled:
            with suppress(KeyError, ValueError):
                yield key_of(extra)
    for id, name, kind, public, attended in db.execute("SELECT id, name, kind, key, attended FROM approver_key"):
        if id not in enrolled:
            with suppress(ValueError):
                yield ApproverKey(id, name, KeyKind(kind), public, bool(attended))


def flow(db: sqlite3.Connection, walk: Inspection) -> None:
    """The tables of the flow hold what the record tells of tainted sessions and of what they wrote, and no more."""
    for wrong in _flow(db):
        walk.found(None, wrong)
        return


def _flow(db: sqlite3.Connection) -> Iterator[str]:
    looked = Tainted(any(size for (size,) in db.execute("SELECT size FROM pruned")))
    for principal, client, body in db.execute("SELECT principal, client, body FROM record WHERE kind = 'flow'"):
        extra = _members(body).get("extra")
        looked.row(principal, client, extra if isinstance(extra, dict) else {})
    sessions = db.execute("SELECT principal, client, session, tainted, private FROM flow")
    yield from looked.sessions({(*key,): (bool(tainted), bool(private)) for *key, tainted, private in sessions})

    def last(form: str) -> str:
        found = db.execute("SELECT at FROM written WHERE form = ?", (form,)).fetchone()
        return str(found[0]) if found else ""

    for (body,) in db.execute(_MARKED):
        told = _members(body)
        yield from looked.wrote(str(told.get("id")), *_marks(told), last)
    forms = db.execute("SELECT call, form, at FROM written ORDER BY call")
    for call, kept in groupby(forms, key=itemgetter(0)):
        rows = [_marks(_members(body)) for (body,) in db.execute("SELECT body FROM record WHERE id = ?", (call,))]
        said = {(at, form) for at, marks in rows for form in marks}
        for _, form, at in kept:
            yield from looked.made_up(str(call), str(form), (at, form) in said)


def _members(body: bytes) -> dict[str, Any]:
    """What a row says; nothing for one that can't be read: the walk finds it."""
    try:
        members = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _marks(members: dict[str, Any]) -> tuple[str, list[str]]:
    """When a row was written, and the forms in it."""
    marks = members.get("marks")
    return str(members.get("at", "")), [form for form in marks if isinstance(form, str)] if isinstance(
        marks, list
    ) else []
