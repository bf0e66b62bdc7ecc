"""How tools are used, counted from the record: when last, and how often by day. A summary in a file keeps it at hand.

The record alone is right: what the summary says of a record that was exchanged is counted anew. No call waits for it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.inventory import Use
from gateway.core.model import ApprovalState, Kind, Outcome
from gateway.core.record import decode, stamp, unstamp
from gateway.errors import StateError
from gateway.private import put
from gateway.reading import reading

if TYPE_CHECKING:
    from gateway.clock import Sleeper  # it imports what waits

FILE_NAME = "usage.json"
DAYS = 30  # that are counted: today and those before it
STEP = 2_000  # rows that are counted at a time
BEHIND = 40_000  # rows that a command counts itself, besides what the summary has
MOST_TOOLS = 10_000  # of which a day, and the summary, knows
LOOKED = 200  # rows of a tool's name that are looked through for its last use
PAUSE = 0.02  # seconds between two steps of a gateway that is behind
LARGEST = 64 * 1024 * 1024  # bytes of the summary
REST = 20.0  # seconds between two looks
KEEP_ROWS, KEEP_TIME = 10_000, 600.0  # the summary is written down after so many rows, or seconds

_PASSED = (Outcome.OK.value, Outcome.ERROR.value, Outcome.UNKNOWN.value)  # of calls that were let through
# A name with a colon is a URI, of which clients make up as many as they like; no tool can have one.
_COUNT = (
    "SELECT upstream, tool, substr(at, 1, 10), count(*), max(at) FROM record "  # noqa: S608 - words of ours
    f"WHERE seq > ? AND seq <= ? AND kind = 'outcome' AND tool <> '' AND instr(tool, ':') = 0 AND outcome IN {_PASSED} "
    "GROUP BY 1, 2, 3"
)
_SAID = "SELECT body FROM record WHERE seq > ? AND seq <= ? AND kind IN ('approval', 'catalogue')"
_LAST = (
    "SELECT at, upstream, kind, outcome FROM record WHERE tool = ? AND tool <> '' AND seq <= ? "
    "ORDER BY seq DESC LIMIT ?"
)
_SEARCH = "SELECT seq, at FROM record WHERE seq >= ? ORDER BY seq LIMIT 1"


class Tally(msgspec.Struct):
    """The summary: what is counted of the rows up to `upto`, which has this `leaf`.

    Keys are `upstream/tool`; `days` are dates, each with calls and approvals by key.
    """

    upto: int = 0
    leaf: str = ""
    days: dict[str, dict[str, tuple[int, int]]] = {}
    last: dict[str, str] = {}
    changed: dict[str, str] = {}  # tools by the name that clients see -> when their definition became another one

    def count(self, key: str, day: str, calls: int, approvals: int = 0) -> None:
        """Count calls, or approvals, of one day."""
        counts = self.days.setdefault(day, {})
        if key in counts or len(counts) < MOST_TOOLS:
            before = counts.get(key, (0, 0))
            counts[key] = (before[0] + calls, before[1] + approvals)

    def use(self, upstream: str, tool: str, today: date) -> Use:
        """How one tool was used, as far as it is counted."""
        key, first = f"{upstream}/{tool}", (today - timedelta(days=DAYS - 1)).isoformat()
        counts = [counts.get(key, (0, 0)) for day, counts in self.days.items() if day >= first]
        return Use(self.last.get(key, ""), sum(calls for calls, _ in counts), sum(given for _, given in counts))

    def forget(self, today: date) -> None:
        """Let go of what is no more asked for."""
        first = (today - timedelta(days=DAYS + 1)).isoformat()
        self.days = {day: counts for day, counts in self.days.items() if day >= first}
        for known in (self.last, self.changed):
            for key in sorted(known, key=known.__getitem__)[: max(0, len(known) - MOST_TOOLS)]:
                del known[key]


def load(state: Path) -> Tally | None:
    """The summary of a state folder; None where there is none that can be read."""
    try:
        with (state / FILE_NAME).open("rb") as file:
            found = msgspec.json.decode(file.read(LARGEST), type=Tally)  # what is larger ends too early
        for at in (*found.last.values(), *found.changed.values()):
            unstamp(at)
        for day in found.days:
            date.fromisoformat(day)
    except (OSError, ValueError, RecursionError):  # what msgspec raises are ValueErrors
        return None
    return found


def fits(db: sqlite3.Connection, tally: Tally) -> bool:
    """Whether a summary is of this record: its last row stands there, or was let go of."""
    found = db.execute("SELECT leaf FROM record WHERE seq = ?", (tally.upto,)).fetchone()
    if found is not None:
        return bool(found[0].hex() == tally.leaf)
    return 0 < tally.upto <= _gone(db)


def _gone(db: sqlite3.Connection) -> int:
    """The last row that was let go of."""
    (size,) = db.execute("SELECT size FROM pruned WHERE one = 1").fetchone()
    return int(size)


def behind(db: sqlite3.Connection, tally: Tally) -> int:
    """How many rows are not counted yet."""
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()
    return int(last) - max(tally.upto, _gone(db))


def catch_up(db: sqlite3.Connection, tally: Tally, rows: int) -> bool:
    """Count so many more rows; returns whether there are others behind them."""
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()
    upto = min(last, max(tally.upto, _gone(db)) + rows)  # rows may be let go of before they were counted
    if upto <= tally.upto:
        return False
    for upstream, tool, day, count, at in db.execute(_COUNT, (tally.upto, upto)):
        key = f"{upstream}/{tool}"
        tally.count(key, day, count)
        tally.last[key] = max(at, tally.last.get(key, ""))
    for (body,) in db.execute(_SAID, (tally.upto, upto)):
        _hear(tally, body)
    (leaf,) = db.execute("SELECT leaf FROM record WHERE seq = ?", (upto,)).fetchone()
    tally.upto, tally.leaf = upto, leaf.hex()
    return bool(upto < last)


def _hear(tally: Tally, body: bytes) -> None:
    """Count an approval that was given; note which tools became others."""
    try:
        record = decode(body)[1]
    except ValueError:
        return  # a row that is no record: `wardgate verify` finds it
    approved = record.kind is Kind.APPROVAL and record.extra.get("state") == ApprovalState.APPROVED.value
    if approved and not record.method:
        tally.count(f"{record.upstream}/{record.tool}", stamp(record.at)[:10], 0, 1)
    tools = record.extra.get("tools") if record.kind is Kind.CATALOGUE else None
    changed = tools.get("changed") if isinstance(tools, Mapping) else None
    for name in changed if isinstance(changed, Mapping) else ():
        tally.changed[str(name)] = stamp(record.at)


def seq_at(db: sqlite3.Connection, at: datetime) -> int:
    """The last row before a time, found by halves: rows stand in the order of time, but for minutes."""
    text = stamp(at)
    low, high = (value or 0 for value in db.execute("SELECT min(seq), max(seq) FROM record").fetchone())
    low -= 1
    while low < high:
        middle = (low + high + 1) // 2
        found = db.execute(_SEARCH, (middle,)).fetchone()
        if found is not None and found[1] < text:
            low = max(middle, found[0])
        else:
            high = middle - 1
    return max(0, low)


class Counted(NamedTuple):
    """What is known of uses: the summary, when the record begins, and what is not counted (empty: all is)."""

    tally: Tally
    begin: datetime | None
    lacking: str


def counted(state: Path, now: datetime, refs: Iterable[tuple[str, str]]) -> Counted:
    """The uses of these tools (upstream and name). Raises `StateError` for a record that can't be read."""
    with reading(state) as db:
        return look_up(db, state, now, refs)


def look_up(db: sqlite3.Connection, state: Path, now: datetime, refs: Iterable[tuple[str, str]]) -> Counted:
    """The same on an open record. Of what the summary does not have the newest `BEHIND` rows are counted."""
    kept = load(state)
    db.execute("BEGIN")  # all of it is of one moment
    try:
        tally = kept if kept is not None and fits(db, kept) else fresh(db, now)
        missing = max(0, behind(db, tally) - BEHIND)
        tally.upto = max(tally.upto, _gone(db)) + missing  # those between are not counted
        catch_up(db, tally, BEHIND)
        for upstream, tool in refs:
            if f"{upstream}/{tool}" not in tally.last and (at := _last(db, upstream, tool, tally.upto)):
                tally.last[f"{upstream}/{tool}"] = at
        first = db.execute("SELECT at FROM record ORDER BY seq LIMIT 1").fetchone()
    finally:
        db.execute("ROLLBACK")
    lacking = f"{missing} rows of the record are not counted yet: a gateway that runs counts them" if missing else ""
    return Counted(tally, unstamp(first[0]) if first is not None else None, lacking)


def fresh(db: sqlite3.Connection, now: datetime) -> Tally:
    """A summary that has counted nothing: it begins where the days that are asked for do."""
    return Tally(upto=seq_at(db, now - timedelta(days=DAYS)))


def _last(db: sqlite3.Connection, upstream: str, tool: str, upto: int) -> str:
    """When a tool was used last, by the index of tools; empty where the newest rows of its name tell nothing."""
    for at, of, kind, outcome in db.execute(_LAST, (tool, upto, LOOKED)):
        if of == upstream and kind == Kind.OUTCOME.value and outcome in _PASSED:
            return str(at)
    return ""


class Usage:
    """Keeps the summary of one state folder, in a thread, as long as a gateway runs."""

    def __init__(self, state: Path, clock: "Sleeper", busy: Callable[[], int] = lambda: 0) -> None:
        self._state, self._clock, self._busy = state, clock, busy
        self._tally: Tally | None = None
        self._kept, self._kept_at = 0, clock.monotonic()

    async def run(self) -> None:
        """Count until cancelled, and write down what is counted then."""
        import anyio  # imported late: commands that only read need none of it
        import anyio.to_thread

        try:
            while True:
                more = await anyio.to_thread.run_sync(self.look)
                await self._clock.sleep(PAUSE if more else REST)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.keep)

    def look(self) -> bool:
        """Count the next rows; returns whether there are more. What can't be counted is tried again later."""
        try:
            with reading(self._state) as db:
                db.execute("BEGIN")  # all of it is of one moment: rows are let go of meanwhile
                if self._tally is None:
                    self._tally = self._begin(db)
                more = catch_up(db, self._tally, STEP if self._busy() else 5 * STEP)
        except (StateError, sqlite3.Error) as problem:
            import logging  # imported late: commands that only read need none of it

            logging.getLogger("wardgate").warning("uses of tools can't be counted now: %s", problem)
            return False
        late = self._clock.monotonic() - self._kept_at >= KEEP_TIME
        if self._tally.upto - self._kept >= KEEP_ROWS or (late and not more):
            self.keep()
        return more

    def _begin(self, db: sqlite3.Connection) -> Tally:
        kept = load(self._state)
        if kept is None or not fits(db, kept):
            return fresh(db, self._clock.now())
        self._kept = kept.upto
        return kept

    def keep(self) -> None:
        """Write the summary down; what can't be written is counted again at the next start."""
        self._kept_at = self._clock.monotonic()
        if self._tally is None or self._tally.upto == self._kept:
            return
        self._tally.forget(self._clock.now().date())
        with suppress(OSError):
            put(self._state / FILE_NAME, msgspec.json.encode(self._tally))
            self._kept = self._tally.upto
