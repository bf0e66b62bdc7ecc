"""What a notice says of calls that wait, of secrets that were seen, and of honeytokens; and where to look. No I/O here.

INVARIANT: no argument and no output of an upstream is in one; a tool's name is bounded and its hidden characters shown.
A URI is an argument, too: whoever asks for it might have made it up. Of a secret there is its kind, and nothing else.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from gateway.core.leaks import OVERDUE, Leak, Stage
from gateway.core.model import Approval, Record
from gateway.core.visible import visible

LONGEST = 48  # characters of a name that a notice shows
MOST_DUE = 10  # permissions that a notice names


class Group(NamedTuple):
    """Whose calls one notice is about; of a leak, its id stands for the session."""

    principal: str
    client: str
    session: str


class Notice(Struct, frozen=True):
    """What people are told: a title and a few lines."""

    title: str
    text: str
    stays: bool = True  # on a desktop, until it is taken away


def group_of(row: Approval) -> Group:
    """The group of a row."""
    return Group(row.principal, row.client, row.session)


def notice_of(rows: Sequence[Approval], link: str) -> Notice:
    """The notice of the rows that wait in a group, oldest first (one at least), with the address of the first card."""
    first, count = rows[0], len(rows)
    more = f" and {count - 1} more" if count > 1 else ""
    until = min(row.expires_at for row in rows)
    lines = (
        f"{short(f'{first.upstream}/{_what(first)}')}{more}, asked by {short(first.client)}, until {until:%H:%M} UTC",
        link or "wardgate approvals watch",
    )
    return Notice(f"Wardgate: {'a call waits' if count == 1 else f'{count} calls wait'} for a person", "\n".join(lines))


def leak_notice(leak: Leak, stage: Stage, now: datetime, link: str) -> Notice:
    """What is told of a leak as its days go by."""
    more = len(leak.seen.upstreams) - 1
    where = short(next(iter(leak.seen.upstreams), "a client"))
    passed = f", let through {_times(leak.passed)}" if leak.passed else ""
    lines = (
        f"{short(leak.kind)} from {where}{f' and {more} more' if more > 0 else ''}, seen {_times(leak.times)}{passed}",
        f"{_by_when(leak, stage, now)}; owner: {short(leak.owner) or 'nobody'}",
        link or f"wardgate leaks show {leak.id}",
    )
    return Notice(f"Wardgate: {_headline(leak, stage)}", "\n".join(lines), stays=False)


def _headline(leak: Leak, stage: Stage) -> str:
    if stage is Stage.OPENED:
        return "a secret that was dealt with was seen again" if leak.reopened else "a secret was seen"
    if stage is Stage.DUE:
        return "a leaked secret is due: nobody took it up"
    return "a leaked secret is overdue" if stage is Stage.OVERDUE else "a leaked secret still counts"


def _by_when(leak: Leak, stage: Stage, now: datetime) -> str:
    if stage is Stage.OPENED:
        return f"to be taken up by {leak.due_at:%Y-%m-%d}"
    return f"day {leak.days(now)} of {OVERDUE.days}"


def incident_notice(record: Record, link: str) -> Notice:
    """What is told of a honeytoken that somebody carried; `record` is the signal that tells of it."""
    where = short(f"{record.upstream}/{record.tool}" if record.tool else record.upstream) or "a call"
    lines = (
        f"in {where}, by {short(record.client) or 'a client'} for {short(record.principal) or 'nobody known'}",
        "its session is held until somebody thaws it",
        link or f"wardgate explain {record.extra.get('call') or record.id}",
    )
    return Notice("Wardgate: INCIDENT: a honeytoken was used", "\n".join(lines))


def signal_notice(record: Record, link: str) -> Notice:
    """What is told of another signal; its sentence may hold a value of the call, and is read where the link leads."""
    where = short(f"{record.upstream}/{record.tool}" if record.tool and not record.method else record.upstream)
    raised = record.extra.get("effect") == "raise"
    who = f"{short(record.client) or 'a client'} for {short(record.principal) or 'nobody known'}"
    lines = (
        f"in {where or 'a call'}, by {who}",
        *(["its session is asked about every call above tier read from now on"] if raised else []),
        link or f"wardgate explain {record.extra.get('call') or record.id}",
    )
    return Notice(f"Wardgate: signal {short(record.detail)}", "\n".join(lines))


def review_notice(record: Record, link: str) -> Notice:
    """What is told of a policy file that is to be reviewed; `record` is the signal that tells of it."""
    days, file = record.extra.get("days"), short(str(record.extra.get("file", "")))
    when = "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"
    lines = (
        f"{file}, by {record.extra.get('review_by')} ({when}); owner: {short(str(record.extra.get('owner', '')))}",
        "after that day what it allows above tier read asks",
        link or f"wardgate explain {record.id}",
    )
    return Notice("Wardgate: a policy is to be reviewed", "\n".join(lines), stays=False)


def due_notice(record: Record) -> Notice:
    """What is told of permissions that their owner should look at; `record` is the signal that tells of them."""
    count, what = record.extra.get("count"), record.extra.get("what", ())
    named = [f"{short(str(name))}: {why}" for name, why in what[:MOST_DUE]]
    more = [f"and {count - len(named)} more"] if isinstance(count, int) and count > len(named) else []
    owner = short(str(record.extra.get("owner", "")))
    lines = (f"of {owner}:", *named, *more, f"wardgate tools --kind all --owner {owner}")
    title = "a permission is" if count == 1 else f"{count} permissions are"
    return Notice(f"Wardgate: {title} to be looked at", "\n".join(lines), stays=False)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _what(row: Approval) -> str:
    """What is called, by a name that its upstream gave it."""
    return row.tool if row.method in ("", "prompts/get") else f"({row.method})"


def short(name: str) -> str:
    """A name as a notice shows it."""
    shown = visible(name)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
