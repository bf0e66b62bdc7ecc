"""What the store in memory keeps, and how it does each change and question of `rows.py`, `people.py`
and `leaks.py`: by name."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.kept import COLUMNS as SHOWN
from gateway.core.leaks import COLUMNS as LEAK
from gateway.core.merkle import Tree, leaf_hash
from gateway.core.record import COLUMNS, seal
from gateway.store.port import Entry, LateEntry, Value

Row = dict[str, Any]
Values = tuple[Value, ...]


@dataclass
class Kept:
    """All that is durable."""

    rows: dict[int, tuple[bytes, bytes, Row]] = field(default_factory=dict)  # seq -> body, leaf, copies
    tree: Tree = field(default_factory=Tree)
    pruned: Tree = field(default_factory=Tree)
    approval: dict[Value, Row] = field(default_factory=dict)
    granted: dict[Value, Row] = field(default_factory=dict)
    frozen: dict[Value, Row] = field(default_factory=dict)
    approver_key: dict[Value, Row] = field(default_factory=dict)
    handle: dict[Value, Row] = field(default_factory=dict)
    connection: dict[Value, Row] = field(default_factory=dict)
    leak: dict[Value, Row] = field(default_factory=dict)
    flow: dict[tuple[Value, ...], Row] = field(default_factory=dict)
    written: dict[Value, Row] = field(default_factory=dict)
    spent: dict[tuple[Value, Value], Row] = field(default_factory=dict)
    sighting: dict[tuple[Value, ...], int] = field(default_factory=dict)
    meta: dict[Value, Value] = field(default_factory=dict)

    def add(self, entry: Entry | LateEntry) -> None:
        """Append one record."""
        seq = self.tree.size + 1
        encoded, columns, _ = entry.settled()
        body = seal(seq, encoded)
        leaf = leaf_hash(body)
        self.tree.append(leaf)
        self.rows[seq] = (body, leaf, dict(zip(COLUMNS, columns, strict=True)))

    def of_kind(self, kind: str) -> Iterator[tuple[int, bytes, Row]]:
        """The records of one kind, oldest first."""
        return ((seq, body, row) for seq, (body, _, row) in self.rows.items() if row["kind"] == kind)

    def ended(self, call: Value) -> bool:
        """Whether a call has its outcome."""
        return any(row["id"] == call for _, _, row in self.of_kind("outcome"))


class Taken(Exception):  # noqa: N818 - a key that is there already; it never leaves the store
    """An insert found its key taken."""


# How the changes are made: each tells whether it hit something.

_OPENED = (
    *("id", "state", "call", "principal", "client", "session", "upstream", "tool", "definition", "arguments_digest"),
    *("created_at", "expires_at", "card", "asked_digest", "told"),
)
_UNDECIDED: Mapping[str, Value] = {
    "decided_by": "",
    "decided_at": "",
    "proof": "",
    "note": "",
    "ballots": "[]",
    "followed_by": "",
}
_GRANT = ("id", "expires_at", "uses", "created_at", "body")
_FREEZE = ("id", "upstream", "session", "tool", "by", "at", "note")
_KEY = ("id", "name", "kind", "key", "attended", "counter", "added_at", "added_by")
_HANDLE = (
    *("hash", "approval", "call", "principal", "client", "session", "method", "exposed", "arguments_digest"),
    *("created_at", "expires_at"),
)
_CONNECTION = ("id", "principal", "client", "session", "era", "handshake", "updated_at")
_OPEN = ("waiting", "approved")
_SETTLED = ("denied", "expired", "used", "withdrawn")


def _insert(table: dict[Value, Row], columns: Sequence[str], values: Values, more: Mapping[str, Value]) -> bool:
    if values[0] in table:
        raise Taken
    table[values[0]] = {**dict(zip(columns, values, strict=True)), **more}
    return True


def _open_approval(kept: Kept, *values: Value) -> bool:
    *row, principal, since, limit = values
    asked = sum(each["principal"] == principal and each["created_at"] > since for each in kept.approval.values())
    return asked < int(limit) and _insert(kept.approval, _OPENED, tuple(row), _UNDECIDED)


def _update(row: Row | None, fits: Callable[[Row], bool], **values: Value) -> bool:
    if row is None or not fits(row):
        return False
    row.update(values)
    return True


def _move_approval(kept: Kept, *values: Value) -> bool:
    *after, wanted, state, ballots = values
    names = ("state", "decided_by", "decided_at", "proof", "note", "ballots", "followed_by")
    made = dict(zip(names, after, strict=True))
    same = (state, ballots)
    return _update(kept.approval.get(wanted), lambda row: (row["state"], row["ballots"]) == same, **made)


def _tell(*states: str) -> Callable[[Kept, Value], bool]:
    return lambda kept, wanted: _update(kept.approval.get(wanted), lambda row: row["state"] in states, told=1)


def _tell_all(kept: Kept) -> bool:
    found = [row for row in kept.approval.values() if row["state"] in _OPEN and not row["told"]]
    for row in found:
        row["told"] = 1
    return bool(found)


def _use_grant(kept: Kept, wanted: Value, now: Value) -> bool:
    row = kept.granted.get(wanted)
    if row is None or row["ended"] or row["used"] >= row["uses"] or row["expires_at"] <= now:
        return False
    row["used"] += 1
    return True


def _not_frozen(kept: Kept, *values: Value) -> bool:
    concerned = zip(("upstream", "session", "tool"), values, strict=True)
    concerns = [(name, ("", value)) for name, value in concerned]
    return not any(all(row[name] in fits for name, fits in concerns) for row in kept.frozen.values())


def _count_key(kept: Kept, counter: int, wanted: Value, above: int) -> bool:
    return _update(
        kept.approver_key.get(wanted), lambda row: row["counter"] < above or row["counter"] == 0, counter=counter
    )


def _use_handle(kept: Kept, wanted: Value, *values: Value) -> bool:
    *binding, now = values
    names = ("principal", "client", "session", "method", "exposed", "arguments_digest")

    def fits(row: Row) -> bool:
        return not row["used"] and [row[name] for name in names] == binding and row["expires_at"] > now

    return _update(kept.handle.get(wanted), fits, used=1)


def _keep_connection(kept: Kept, *values: Value) -> bool:
    kept.connection[values[0]] = dict(zip(_CONNECTION, values, strict=True))
    return True


def _set_meta(kept: Kept, name: Value, value: Value) -> bool:
    kept.meta[name] = value
    return True


def _drop(table: dict[Any, Any], gone: Callable[[Any, Any], bool]) -> bool:
    names = [name for name, row in table.items() if gone(name, row)]
    for name in names:
        del table[name]
    return bool(names)


def _advance(kept: Kept, size: int, frontier: bytes, root: bytes, before: int) -> bool:
    tree = Tree.restore(size, frontier)
    if kept.pruned.size != before or tree.root() != root:
        return False
    kept.pruned = tree
    return True


def _tidy_approvals(kept: Kept, before: Value) -> bool:
    return _drop(kept.approval, lambda _, row: row["state"] in _SETTLED and row["expires_at"] < before)


_SEEN = (
    *("id", "kind", "fingerprint", "grade", "owner", "first_seen", "last_seen", "opened_at"),
    *("upstream", "tool", "arguments_digest", "first_call", "last_call", "place"),
)
_UNSAID: Mapping[str, Value] = {
    "state": "open",
    "times": 1,
    "reopened": 0,
    "told": 0,
    "clean_at": "",
    "by": "",
    "known_by": "",
    "at": "",
    "note": "",
    "until": "",
    "false_positive": 0,
}
_MOVED = ("state", "by", "known_by", "at", "note", "until", "false_positive", "opened_at", "reopened", "told")


def _see_leak(kept: Kept, *values: Value) -> bool:
    seen = dict(zip(_SEEN, values, strict=True))
    before = kept.leak.get(seen["id"])
    if before is None:
        kept.leak[seen["id"]] = {**seen, **_UNSAID, "generation": _generation(kept)}
        return True
    now = seen["opened_at"]
    state = before["state"]
    if (state == "rotated" and before["at"] < now) or (state == "accepted" and before["until"] <= now):
        before.update(state="open", opened_at=now, reopened=before["reopened"] + 1, told=0)
    if seen["arguments_digest"]:
        before.update({name: seen[name] for name in ("upstream", "tool", "arguments_digest")}, clean_at="")
    before.update({name: seen[name] for name in ("grade", "last_call", "place")}, times=before["times"] + 1)
    before["last_seen"] = max(before["last_seen"], seen["last_seen"])
    return True


def _count_leak(kept: Kept, leak: Value, what: Value, name: Value, at: Value, *bounds: Value) -> bool:
    most, key = int(bounds[3]), (leak, what, name)
    others = [each for each in kept.sighting if each[:2] == key[:2]]
    if leak not in kept.leak or (key not in kept.sighting and len(others) >= most):
        return False
    kept.sighting[key] = kept.sighting.get(key, 0) + 1
    return True


def _clean_leaks(kept: Kept, at: Value, *source: Value) -> bool:
    names = ("upstream", "tool", "arguments_digest")
    found = [row for row in kept.leak.values() if tuple(row[name] for name in names) == source and not row["clean_at"]]
    for row in found:
        row["clean_at"] = at
    return bool(found)


def _move_leak(kept: Kept, *values: Value) -> bool:
    *after, wanted, state, at, reopened = values
    same = (state, at, reopened)
    made = dict(zip(_MOVED, after, strict=True))
    return _update(kept.leak.get(wanted), lambda row: (row["state"], row["at"], row["reopened"]) == same, **made)


def _tell_leak(kept: Kept, stage: Value, wanted: Value, below: int, opened: Value) -> bool:
    return _update(kept.leak.get(wanted), lambda row: row["told"] < below and row["opened_at"] == opened, told=stage)


_WENT_ON = (
    *("id", "fingerprint", "grade", "state", "last_seen", "times", "opened_at", "reopened", "told"),
    *("upstream", "tool", "arguments_digest", "clean_at", "last_call", "place"),
)


def _generation(kept: Kept) -> str:
    return str(kept.meta.get("key", ""))[:16]


def _forget_leak(kept: Kept, wanted: Value, times: Value, state: Value) -> bool:
    return _drop(kept.leak, lambda id, row: (id, row["times"], row["state"]) == (wanted, times, state))


def _go_on(kept: Kept, *values: Value) -> bool:
    *after, wanted, times, state, at = values
    row = kept.leak.get(wanted)
    if row is None or (row["times"], row["state"], row["at"]) != (times, state, at):
        return False
    if after[0] in kept.leak:
        raise Taken
    del kept.leak[wanted]
    kept.leak[after[0]] = {**row, **dict(zip(_WENT_ON, after, strict=True)), "generation": _generation(kept)}
    return True


def _join_counts(kept: Kept, leak: Value, before: Value) -> bool:
    found = [(key, count) for key, count in kept.sighting.items() if key[0] == before]
    for (_, *names), count in found:
        kept.sighting[leak, *names] = kept.sighting.get((leak, *names), 0) + count
    return bool(found)


def _old_leak(row: Row, before: Value) -> bool:
    return bool(row["state"] == "rotated" and row["last_seen"] < before)


def _set_flow(kept: Kept, *values: Value) -> bool:
    key, (tainted, private, by, at) = values[:3], values[3:]
    row = kept.flow.setdefault(key, {"tainted": 0, "private": 0})
    row |= {"tainted": max(row["tainted"], tainted), "private": max(row["private"], private), "by": by, "at": at}
    return True


def _write(kept: Kept, form: Value, call: Value, at: Any) -> bool:
    row = kept.written.setdefault(form, {"call": call, "at": at})
    if row["at"] <= at:
        row |= {"call": call, "at": at}
    return True


def _spend(kept: Kept, *values: Any) -> bool:
    budget, scope, amount, at, _, most, since, *_ = values
    row = kept.spent.get((budget, scope)) or {"used": 0, "at": at}
    used = amount + (0 if row["at"] < since else row["used"])
    if used > most:
        return False
    kept.spent[budget, scope] = {"used": min(used, 2**62), "at": max(row["at"], at)}
    return True


def _put_if_new(table: dict[Value, Row], key: Value, row: Row) -> bool:
    fresh = key not in table
    table.setdefault(key, row)
    return fresh


CHANGES: Mapping[str, Callable[..., bool]] = {
    "approval.open": _open_approval,
    "approval.move": _move_approval,
    "approval.use": lambda kept, wanted, now: _update(
        kept.approval.get(wanted), lambda row: row["state"] == "approved" and row["expires_at"] > now, state="used"
    ),
    "approval.tell": _tell("waiting", "approved", "denied"),
    "approval.tell-waiting": _tell("waiting"),
    "approval.tell-all": _tell_all,
    "approval.attach": lambda kept, wanted: _update(kept.approval.get(wanted), lambda row: row["told"] == 1, told=0),
    "grant.open": lambda kept, *values: _insert(kept.granted, _GRANT, values, {"used": 0, "ended": ""}),
    "grant.use": _use_grant,
    "grant.end": lambda kept, why, wanted: _update(kept.granted.get(wanted), lambda row: row["ended"] == "", ended=why),
    "freeze.add": lambda kept, *values: _insert(kept.frozen, _FREEZE, values, {}),
    "freeze.lift": lambda kept, wanted: _drop(kept.frozen, lambda name, _: name == wanted),
    "freeze.none": _not_frozen,
    "key.add": lambda kept, *values: _insert(kept.approver_key, _KEY, values, {}),
    "key.revoke": lambda kept, wanted: _drop(kept.approver_key, lambda name, _: name == wanted),
    "key.count": _count_key,
    "handle.open": lambda kept, *values: _insert(kept.handle, _HANDLE, values, {"used": 0}),
    "handle.use": _use_handle,
    "connection.keep": _keep_connection,
    "connection.forget": lambda kept, wanted: _drop(kept.connection, lambda name, _: name == wanted),
    "flow.set": _set_flow,
    "budget.spend": _spend,
    "spent.tidy": lambda kept, before: _drop(kept.spent, lambda _, row: row["at"] < before),
    "written.add": _write,
    "written.forget": lambda kept, before: _drop(kept.written, lambda _, row: row["at"] < before),
    "leak.see": _see_leak,
    "leak.count": _count_leak,
    "leak.clean": _clean_leaks,
    "leak.move": _move_leak,
    "leak.tell": _tell_leak,
    "leak.forget": _forget_leak,
    "leak.go-on": _go_on,
    "leak.join-counts": _join_counts,
    "leak.forget-counts": lambda kept, wanted: _drop(kept.sighting, lambda key, _: key[0] == wanted),
    "leak.tidy-counts": lambda kept, before: _drop(kept.sighting, lambda key, _: _old_leak(kept.leak[key[0]], before)),
    "leak.tidy": lambda kept, before: _drop(kept.leak, lambda _, row: _old_leak(row, before)),
    "meta.set": _set_meta,
    "record.prune": lambda kept, upto: _drop(kept.rows, lambda seq, _: seq <= upto),
    "pruned.advance": _advance,
    "approval.tidy": _tidy_approvals,
    "grant.tidy": lambda kept, before: _drop(kept.granted, lambda _, row: row["expires_at"] < before),
    "handle.tidy": lambda kept, before: _drop(kept.handle, lambda _, row: row["expires_at"] < before),
    "connection.tidy": lambda kept, before: _drop(kept.connection, lambda _, row: row["updated_at"] < before),
}


# How the questions are answered.

_ASKED = ("asked_digest", "principal", "client", "session")
_CALLER = ("principal", "client", "session")
_SAME_TOOL = ("upstream", "tool", "principal")
_GRANTED = ("body", "used", "ended")


def _picked(rows: Sequence[Row], columns: Sequence[str]) -> list[Values]:
    return [tuple(row[name] for name in columns) for row in rows]


def _approvals(kept: Kept, fits: Callable[[Row], bool], by: str = "created_at") -> list[Values]:
    return _picked(sorted(filter(fits, kept.approval.values()), key=lambda row: (row[by], row["id"])), SHOWN)


def _newest(kept: Kept, state: Value | None, limit: int) -> list[Values]:
    return _approvals(kept, lambda row: state in (None, row["state"]))[::-1][:limit]


def _told(kept: Kept, *values: Value) -> list[Values]:
    *asked, now = values

    def fits(row: Row) -> bool:
        attaches = row["told"] and row["state"] in (*_OPEN, "denied") and row["expires_at"] > now
        return attaches and [row[name] for name in _ASKED] == asked

    return _approvals(kept, fits)


def _waiting_in(kept: Kept, *values: Any) -> list[Values]:
    *caller, limit = values
    return _approvals(kept, lambda row: row["state"] == "waiting" and [row[name] for name in _CALLER] == caller)[:limit]


def _of_tool(kept: Kept, tool: Sequence[Value], limit: int, fits: Callable[[Row], bool]) -> list[Values]:
    return _approvals(kept, lambda row: [row[name] for name in _SAME_TOOL] == list(tool) and fits(row))[::-1][:limit]


def _tally(kept: Kept, *tool: Value) -> Sequence[Values]:
    same = [row for row in kept.approval.values() if [row[name] for name in _SAME_TOOL] == list(tool)]
    counts = Counter((row["state"], row["decided_by"]) for row in same if row["decided_by"])
    found = [(*decided, count) for decided, count in counts.items()]
    return sorted(found, key=lambda row: (-row[2], row[1]))


def _grants(kept: Kept, fits: Callable[[Row], bool], by: str = "created_at") -> list[Values]:
    return _picked(sorted(filter(fits, kept.granted.values()), key=lambda row: (row[by], row["id"])), _GRANTED)


def _by(table: Mapping[Value, Row], name: str, columns: Sequence[str]) -> list[Values]:
    return _picked(sorted(table.values(), key=lambda row: (row[name], row["id"])), columns)


def _open_intents(kept: Kept, after: int, upto: int | None = None) -> list[tuple[int, bytes]]:
    return [
        (seq, body)
        for seq, body, row in kept.of_kind("intent")
        if seq > after and (upto is None or seq <= upto) and not kept.ended(row["id"])
    ]


def _since(kept: Kept, at: Value, limit: int) -> Sequence[Values]:
    return [(body,) for _, body, row in kept.of_kind("intent") if row["at"] >= at][::-1][:limit]


def _last_seen(kept: Kept, principal: Value, client: Value, after: int, first: int) -> Sequence[Values]:
    mine = (seq for seq, (_, _, row) in kept.rows.items() if (row["principal"], row["client"]) == (principal, client))
    found = max((seq for seq in mine if seq > after), default=min((seq for seq in kept.rows if seq > first), default=0))
    return [(kept.rows[found][2]["at"],)] if found else []


def _by_key(table: Mapping[Value, Row], wanted: Value, *columns: str) -> list[Values]:
    return _picked([table[wanted]] if wanted in table else [], columns)


def _leaks(rows: Sequence[Row]) -> list[Values]:
    return _picked(rows, LEAK)


def _leak_order(row: Row) -> tuple[Any, ...]:
    return (row["state"] not in ("open", "rotating"), row["opened_at"], row["id"])


def _leak_page(kept: Kept, state: Value, _: Value, after: Value, __: Value, limit: int) -> list[Values]:
    wanted = ("open", "rotating") if state == "counting" else (state,)
    rows = sorted((row for row in kept.leak.values() if not state or row["state"] in wanted), key=_leak_order)
    if after:
        rows = [row for row in rows if after in kept.leak and _leak_order(row) > _leak_order(kept.leak[after])]
    return _leaks(rows[:limit])


def _leak_sightings(kept: Kept, leak: Value) -> Sequence[Values]:
    found: list[Any] = [(what, name, count) for (of, what, name), count in kept.sighting.items() if of == leak]
    return sorted(found, key=lambda each: (each[0], -each[2], each[1]))


def _leaks_due(kept: Kept, now: Value, due: Value, owner: Value, overdue: Value, limit: int) -> list[Values]:
    def fits(row: Row) -> bool:
        if row["state"] == "accepted":
            return bool(row["until"] <= now)
        stages = [row["told"] < 1, row["told"] < 2 and row["state"] == "open" and row["opened_at"] <= due]
        stages += [row["told"] < 3 and row["opened_at"] <= owner, row["told"] < 4 and row["opened_at"] <= overdue]
        return row["state"] in ("open", "rotating") and any(stages)

    return _leaks(sorted(filter(fits, kept.leak.values()), key=lambda row: (row["opened_at"], row["id"]))[:limit])


def _leak_sources(kept: Kept, limit: int) -> Sequence[Values]:
    found = {(row["upstream"], row["tool"], row["arguments_digest"]) for row in kept.leak.values()}
    return sorted(source for source in found if source[2])[:limit]


QUESTIONS: Mapping[str, Callable[..., Sequence[Values]]] = {
    "approval.by-prefix": lambda kept, low, high: _approvals(kept, lambda row: low <= row["id"] < high, "id")[:2],
    "approval.in-state": _newest,
    "approval.newest": lambda kept, limit: _newest(kept, None, limit),
    "approval.told": _told,
    "approval.due": lambda kept, now: _approvals(kept, lambda row: row["state"] in _OPEN and row["expires_at"] <= now),
    "approval.waiting-in": _waiting_in,
    "approval.last-approved": lambda kept, *values: _of_tool(
        kept, values[:-1], values[-1], lambda row: row["state"] in ("approved", "used")
    ),
    "approval.of-tool": lambda kept, *values: _of_tool(
        kept, values[:3], values[4], lambda row: row["created_at"] > values[3]
    ),
    "approval.tally": _tally,
    "grant.all": lambda kept, limit: _grants(kept, lambda row: True)[::-1][:limit],
    "grant.standing": lambda kept, now: _grants(kept, lambda row: row["ended"] == "" and row["expires_at"] > now),
    "grant.by-prefix": lambda kept, low, high: _grants(kept, lambda row: low <= row["id"] < high, "id")[:2],
    "frozen": lambda kept: _by(kept.frozen, "at", _FREEZE),
    "keys": lambda kept: _by(kept.approver_key, "name", _KEY),
    "approval.ballots": lambda kept, wanted: _by_key(kept.approval, wanted, "ballots"),
    "handle.by-hash": lambda kept, wanted: _by_key(kept.handle, wanted, "approval", "call", "created_at"),
    "handle.count": lambda kept, wanted: [(sum(row["approval"] == wanted for row in kept.handle.values()),)],
    "connection.by-id": lambda kept, wanted: _by_key(kept.connection, wanted, *_CONNECTION),
    "spent.of": lambda kept, *key: [(*key, row["used"], row["at"]) for row in [kept.spent.get(key)] if row],
    "spent.latest": lambda kept, limit: sorted(
        ((*key, row["used"], row["at"]) for key, row in sorted(kept.spent.items())),
        key=lambda row: row[3],
        reverse=True,
    )[:limit],
    "flow.all": lambda kept, limit: [
        (*key, row["tainted"], row["private"]) for key, row in sorted(kept.flow.items(), key=lambda each: each[1]["at"])
    ][:limit],
    "written.count": lambda kept, before: [
        (len(kept.written), sum(row["at"] < before for row in kept.written.values()))
    ],
    "written.all": lambda kept, limit: [
        (form,) for form, row in sorted(kept.written.items(), key=lambda each: each[1]["at"])
    ][:limit],
    "leak.page": _leak_page,
    "leak.by-prefix": lambda kept, low, high: _leaks(
        sorted((row for row in kept.leak.values() if low <= row["id"] < high), key=lambda row: row["id"])[:2]
    ),
    "leak.sightings": _leak_sightings,
    "leak.due": _leaks_due,
    "leak.passing": lambda kept, now: [
        (row["id"], row["fingerprint"], row["until"])
        for row in kept.leak.values()
        if row["state"] == "accepted" and row["false_positive"] and row["until"] > now
    ],
    "leak.older": lambda kept: sorted(
        (row["fingerprint"], row["kind"]) for row in kept.leak.values() if row["generation"] != _generation(kept)
    ),
    "leak.ids": lambda kept: sorted((id, row["upstream"]) for id, row in kept.leak.items()),
    "leak.sources": _leak_sources,
    "meta.get": lambda kept, name: [(kept.meta[name],)] if name in kept.meta else [],
    "record.open-intents": lambda kept, after, limit: [(body,) for _, body in _open_intents(kept, after)][:limit],
    "record.first-open": lambda kept, after, upto: [(seq,) for seq, _ in _open_intents(kept, after, upto)][:1],
    "record.intents-since": _since,
    "record.ended": lambda kept, call: [(1,)] if kept.ended(call) else [],
    "record.last-seen": _last_seen,
    "pruned": lambda kept: [(kept.pruned.size, kept.pruned.frontier, kept.pruned.root())],
}
