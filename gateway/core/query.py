"""What a reader asks of the record, as a value. No I/O here."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from gateway.core.model import Kind, Outcome, Reason, Verdict
from gateway.core.problems import nearest

FILTERS = ("kind", "session", "tool", "upstream", "verdict", "outcome", "principal", "client", "reason")
PAGE_LIMIT = 1_000
MOST_TOLD = 20  # values that a message lists
VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "kind": tuple(kind.value for kind in Kind),
    "verdict": tuple(verdict.word for verdict in Verdict),
    "outcome": tuple(outcome.value for outcome in Outcome),
    "reason": tuple(reason.value for reason in Reason),
}
"""The filters that can't have any value, and the ones that they can have."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})")


class Query(Struct, frozen=True):
    """One page of records, newest first: those before `before` that fit everything that is given."""

    filters: Mapping[str, str] = field(default_factory=dict)  # a name of `FILTERS` -> what it has to equal
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""  # words that all have to occur, see `core/search.py`
    principal: str = ""  # the only one whose records may be seen; empty: everybody's
    before: int | None = None  # a sequence number: where the page before ended
    limit: int = 50


def moment(text: str, now: datetime) -> datetime:
    """The time that a person means: an RFC 3339 time, a date (its midnight in UTC), or how long ago, such as `2h`.

    Raises `ValueError`, which says what was expected, for anything else.
    """
    from gateway.core.section import seconds  # imported late: it reads TOML

    try:
        if (ago := seconds(text)) is not None:
            return now - timedelta(seconds=ago)
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # a day or a time that there never was
    example = "a time such as `2026-11-22T12:00:00Z`, a date, or how long ago, such as `2h` or `7d`"
    raise ValueError(f"expected {example}, found `{text}`")


def objection(name: str, value: str) -> str:
    """What is wrong with the value of a filter, and the nearest right one; empty if it can be asked for."""
    right = VOCABULARIES.get(name)
    if right is None or value in right:
        return ""
    near = nearest(value, right)
    hint = f"; did you mean `{near}`?" if near else ""
    expected = f"one of {', '.join(right)}" if len(right) <= MOST_TOLD else "a code of docs/reference.md"
    return f"expected {expected}, found `{value}`{hint}"
