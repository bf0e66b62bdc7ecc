"""The table of `[limits]`: each limit's key, its range and what becomes of the one that is too many; and its reader.

Enforces none of them. The defaults stand in `nouns.Limits`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from gateway.config.nouns import Limits
from gateway.core.section import Section

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Kind(Enum):
    """How a limit is written."""

    SIZE = "size"  # `16MiB`
    NUMBER = "number"
    DURATION = "duration"  # `30s`


class Limit(Struct, frozen=True):
    """One limit: a field of `nouns.Limits`, its key, and its range (bytes, a number or seconds)."""

    field: str
    kind: Kind
    low: float
    high: float
    of: str  # what is limited
    beyond: str  # what happens at the limit + 1
    key: str = ""  # where it is another than the field

    @property
    def name(self) -> str:
        """The key as one writes it below `[limits]`, a dot for a table inside."""
        return self.key or self.field

    @property
    def default(self) -> float | None:
        """The default; None for one that depends on the client."""
        value: float | None = getattr(Limits(), self.field)
        return value


NONE_OF_THEM = "none of them is offered, and the upstream's state says so"
HOLD = (0.1, 3600.0)  # seconds, from and to; of `[clients.NAME] hold` too
TABLE = (
    Limit("line", Kind.SIZE, 64 * KIB, GIB, "one message of a client or an upstream, one HTTP body",
          "skipped to its end: a request is answered with -32700 (HTTP: 413), a call that it answers with an error"),
    Limit("nesting", Kind.NUMBER, 4, 128, "levels of objects and arrays in a call's arguments", "-32602"),
    Limit("calls_per_client", Kind.NUMBER, 1, 10_000, "calls in flight of one principal and client",
          "`busy`, or it waits in the `queue`", key="calls_in_flight.client"),
    Limit("calls_per_upstream", Kind.NUMBER, 1, 10_000, "calls in flight at one upstream",
          "`busy`", key="calls_in_flight.upstream"),
    Limit("queue", Kind.NUMBER, 0, 100_000,
          "calls of one client that wait for a place in flight; 0 where `calls_in_flight.client` is set", "`busy`"),
    Limit("queue_time", Kind.DURATION, 0.1, 600, "how long one of them waits", "`busy`"),
    Limit("rate", Kind.NUMBER, 1, 1_000_000, "calls per second of one client", "`busy`"),
    Limit("connections", Kind.NUMBER, 1, 10_000, "clients at a time: pipes and HTTP sessions",
          "turned away (HTTP: 503)"),
    Limit("prompts_per_hour", Kind.NUMBER, 1, 10_000, "questions to people, by principal", "`busy`"),
    Limit("grant", Kind.DURATION, 60, 30 * 86_400, "how long a grant may stand", "it can't be given"),
    Limit("hold", Kind.DURATION, *HOLD, "how long a call that waits for a person is held",
          "answered as `approval-pending`"),
    Limit("question", Kind.DURATION, 1, 86_400, "how long an upstream's question waits for its answer",
          "`question-expired`: the outcome is unknown"),
    Limit("rounds", Kind.NUMBER, 1, 100, "questions of an upstream within one call", "`too-many-rounds`"),
    Limit("waiting", Kind.NUMBER, 1, 10_000, "calls that wait for a modern client to come back with answers", "`busy`"),
    Limit("tools_per_upstream", Kind.NUMBER, 1, 100_000, "tools that one upstream may list",
          "the upstream is not used, and its state says so"),
    Limit("resources_per_upstream", Kind.NUMBER, 1, 1_000_000, "resources that it may list", NONE_OF_THEM),
    Limit("templates_per_upstream", Kind.NUMBER, 1, 100_000, "resource templates that it may list", NONE_OF_THEM),
    Limit("prompts_per_upstream", Kind.NUMBER, 1, 100_000, "prompts that it may list", NONE_OF_THEM),
    Limit("definition", Kind.SIZE, KIB, 16 * MIB, "one tool's, resource's or prompt's definition",
          "this one is left out"),
    Limit("list", Kind.SIZE, 64 * KIB, GIB, "all definitions of one kind of an upstream",
          "tools: the upstream is not used; else none of them is offered"),
    Limit("page", Kind.NUMBER, 1, 100_000, "entries in one page of a list that clients get", "the next page"),
    Limit("instances", Kind.NUMBER, 1, 1_000, "connections of an upstream that is run per client or workspace",
          "`busy`"),
    Limit("subscriptions", Kind.NUMBER, 0, 100_000, "resources that one client may be told of at a time",
          "`busy`"),
    Limit("instructions", Kind.NUMBER, 0, 100_000, "characters of an upstream's instructions", "left out whole"),
    Limit("start", Kind.DURATION, 0.1, 3600, "an upstream's start and handshake", "ended, and started again later"),
    Limit("drain", Kind.DURATION, 0, 600, "what running calls get when the gateway is told to stop",
          "they are cut, their outcome is unknown"),
)  # fmt: skip  # one limit is one row


def read_limits(section: Section) -> Limits:
    """Read `[limits]`, noting every problem; a default stands in for what is wrong or missing.

    Whoever says how many calls of a client may be in flight gets just that: a queue before it has to be asked for.
    """
    tables = {"": section, "calls_in_flight": section.section("calls_in_flight")}
    values: dict[str, Any] = {}  # a field's type is what its kind says: number and size whole, duration not
    for limit in TABLE:
        table, _, key = limit.name.rpartition(".")
        values[limit.field] = _read(tables[table], key, limit)
    if "client" in tables["calls_in_flight"] and "queue" not in section:
        values["queue"] = 0
    for table_section in reversed(tables.values()):
        table_section.close()
    return Limits(**values)


def _read(section: Section, key: str, limit: Limit) -> float | None:
    match limit.kind:
        case Kind.SIZE:
            return section.size(key, int(limit.default or 0), int(limit.low), int(limit.high))
        case Kind.NUMBER:
            return section.number(key, int(limit.default or 0), int(limit.low), int(limit.high))
        case Kind.DURATION:
            value = section.duration(key, -1.0, limit.low, limit.high)
            return limit.default if value < 0 else value


def as_written(value: float | None, kind: Kind) -> str:
    """A value of a limit as one writes it in the file: `16MiB`, `5000`, `30s`; empty for None."""
    if value is None:
        return ""
    if kind is Kind.DURATION:
        return f"{value:.10g}s"
    units: Mapping[str, int] = {"GiB": GIB, "MiB": MIB, "KiB": KIB} if kind is Kind.SIZE else {}
    for unit, size in units.items():
        if value >= size and value % size == 0:
            return f"{value // size:g}{unit}"
    return f"{value:.0f}"
