"""What a notice says of calls that wait: how many, of which tool, until when, and where to look. No I/O here.

INVARIANT: no argument and no output of an upstream is in one; a tool's name is bounded and its hidden characters shown.
A URI is an argument, too: whoever asks for it might have made it up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gateway.core.card import visible
from gateway.core.model import Approval

LONGEST = 48  # characters of a name that a notice shows
_MAIL = ("mailto", "mailtos")


class Group(NamedTuple):
    """Whose calls one notice is about."""

    principal: str
    client: str
    session: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told: a title and a few lines."""

    title: str
    text: str


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


def _what(row: Approval) -> str:
    """What is called, by a name that its upstream gave it."""
    return row.tool if row.method in ("", "prompts/get") else f"({row.method})"


def short(name: str) -> str:
    """A name as a notice shows it."""
    shown = visible(name)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def mail_to(address: str, targets: Sequence[str]) -> str:
    """The first of the targets that is a mailbox to send from, made out to `address`; empty where there is none, or
    where `address` is no mail address.
    """
    name, at, host = address.partition("@")
    if not (name and at and "." in host) or any(char in address for char in " \t\r\n,;<>\"'()") or "@" in host:
        return ""
    for target in targets:
        parts = urlsplit(target)
        if parts.scheme.lower() in _MAIL and parts.hostname:
            kept = [pair for pair in parse_qsl(parts.query) if pair[0].lower() not in ("to", "cc", "bcc")]
            return urlunsplit((parts.scheme, parts.netloc, "", urlencode([*kept, ("to", address)]), ""))
    return ""
