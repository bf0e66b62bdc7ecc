"""What a reader asks of the record, as a value. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

FILTERS = ("kind", "session", "tool", "upstream", "verdict", "outcome", "principal", "client", "reason")
PAGE_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Query:
    """One page of records, newest first: those before `before` that fit everything that is given."""

    filters: Mapping[str, str] = field(default_factory=dict)  # a name of `FILTERS` -> what it has to equal
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""  # words that all have to occur
    principal: str = ""  # the only one whose records may be seen; empty: everybody's
    before: int | None = None  # a sequence number: where the page before ended
    limit: int = 50
