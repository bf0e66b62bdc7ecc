"""Records as OpenTelemetry has them: a log record for each, and a span for each call that ended. No I/O here.

The names are those of the conventions for MCP and generative AI (in development), and `wardgate.*` where they have
none. What a call brought or got is left out unless it is asked for. All ids are made of ids of the record: the same
each time.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.core.cef import event_class, of_leak, severity
from gateway.core.measures import spent
from gateway.core.model import CALL_TOOL, Kind, Outcome, Reason, Record, Release

Attribute = str | int | tuple[str, ...]
MODERN_PROTOCOL = "2026-07-28"  # what the era `modern` speaks; of a legacy session the record doesn't hold the version
TOOL_ERROR = "tool_error"
GET_PROMPT = "prompts/get"
SERVER_DURATION, CLIENT_DURATION = "mcp.server.operation.duration", "mcp.client.operation.duration"
_MEASURED = frozenset(  # of the attributes of a span; a session's id or a URI makes too many series
    (
        *("gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.prompt.name"),
        *("network.transport", "mcp.protocol.version"),
    )
)
_GROUPED = ("upstream", "tier", "verdict", "outcome")
_HERE = frozenset(("network.transport", "mcp.protocol.version", "wardgate.verdict"))  # of the client's side alone
_TOLD = (
    *("id", "principal", "client", "session", "upstream", "tool", "tier", "effect", "verdict", "reason", "rules"),
    *("obligations", "policy_revision", "approval", "outcome", "release"),
)
_TRACE = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_OF_THE_WIRE = frozenset(  # of an outcome `error`: what it was, where it wasn't the tool that said so
    {
        Reason.UPSTREAM_ERROR,
        Reason.RESULT_INVALID,
        Reason.METHOD_BLOCKED,
        Reason.QUESTION_SHARED,
        Reason.QUESTION_UNFIT,
        Reason.CLIENT_UNABLE,
        Reason.TOO_MANY_ROUNDS,
        Reason.BUSY,
    }
)


class Place(Struct, frozen=True):
    """Where in which trace something stands; `parent` is empty where there is none."""

    trace: bytes
    span: bytes
    parent: bytes = b""
    flags: int = 1


class Event(Struct, frozen=True):
    """Something that happened in a span."""

    name: str
    at: datetime
    attributes: Mapping[str, Attribute]


class Span(Struct, frozen=True):
    """One call, from what stands of it first to its outcome; `error` is empty for one that ended well."""

    place: Place
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, Attribute]
    events: tuple[Event, ...] = ()
    error: str = ""


class Duration(Struct, frozen=True):
    """One value of a histogram of the conventions, in seconds."""

    name: str
    attributes: Mapping[str, Attribute]
    seconds: float


class Note(Struct, frozen=True):
    """One record as a log record; `place` is None for one that belongs to no call."""

    place: Place | None
    name: str
    at: datetime
    severity: int  # 0 to 10
    text: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def note_of(gateway: str, seq: int, record: Record, *, content: bool = False) -> Note:
    """The log record of one record. `log.record.uid` is what a receiver can tell doubles by."""
    what = event_class(record)
    where = record.called or record.id
    why = f" ({record.reason})" if record.reason else ""
    attributes: dict[str, Attribute] = {"log.record.uid": f"{gateway}/{seq}", "wardgate.seq": seq}
    attributes |= {"wardgate.kind": record.kind.value, **_about(record), **(_content(record) if content else {})}
    return Note(
        _place(gateway, record) if record.kind in (Kind.INTENT, Kind.OUTCOME, Kind.QUESTION) else None,
        f"wardgate.{record.kind.value}",
        record.at,
        severity(record),
        f"{what} {where}{why}",
        attributes,
    )


def span_of(gateway: str, rows: Sequence[Record], *, content: bool = False) -> Span:
    """The span of a call that ended: of its records and those of its approvals, in order, the outcome last."""
    last = rows[-1]
    method, target = _method(last)
    attributes: dict[str, Attribute] = {"mcp.method.name": method, **_protocol(last, method), **_about(last)}
    error = error_type(last)
    if error:
        attributes["error.type"] = error
    attributes |= {f"wardgate.us.{step}": spent for step, spent in last.timings_us.items()}
    if content:
        for row in rows:
            attributes |= _content(row)
    before = timedelta(microseconds=sum(last.timings_us.values())) if len(rows) == 1 else timedelta(0)
    start = min(row.at for row in rows) - before
    name = f"{method} {target}" if target else method
    return Span(_place(gateway, last), name, start, last.at, attributes, _events(rows[:-1]), error)


def durations_of(record: Record) -> tuple[Duration, ...]:
    """What metrics hold of a call that ended: how long it took here, and at its upstream if it was sent there.

    Attributes are words of few; a tool or prompt that nothing offers is not named.
    """
    method, _ = _method(record)
    about = {name: value for name, value in _protocol(record, method).items() if name in _MEASURED}
    if not record.upstream:
        about = {name: value for name, value in about.items() if not name.endswith((".tool.name", ".prompt.name"))}
    about = {"mcp.method.name": method, **about, **{f"wardgate.{name}": getattr(record, name) for name in _GROUPED}}
    error = error_type(record)
    here = {**about, **({"error.type": error} if error else {})}
    found = [
        Duration(SERVER_DURATION, {name: value for name, value in here.items() if value}, spent(record.timings_us))
    ]
    if "upstream" in record.timings_us:
        failed = {"error.type": error} if record.outcome in (Outcome.ERROR.value, Outcome.UNKNOWN.value) else {}
        there = {name: value for name, value in about.items() if value and name not in _HERE} | failed
        found.append(Duration(CLIENT_DURATION, there, record.timings_us["upstream"] / 1e6))
    return tuple(found)


def error_type(record: Record) -> str:
    """Of which sort the failure of a call is, in few different words; empty where the caller got its result."""
    if record.outcome == Outcome.OK.value and record.release != Release.WITHHELD.value:
        return ""
    if record.outcome == Outcome.ERROR.value and record.reason not in _OF_THE_WIRE:
        return TOOL_ERROR
    return record.reason or record.outcome


def parent_of(trace: str) -> tuple[bytes, bytes, int] | None:
    """Trace, parent and flags of a `traceparent` (W3C Trace Context, 3.2); None where it is none."""
    found = _TRACE.fullmatch(trace)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return bytes.fromhex(found[2]), bytes.fromhex(found[3]), int(found[4], 16)


def _place(gateway: str, record: Record) -> Place:
    """Where a call's span stands: below the caller's own, or in a trace of its own."""
    span = _derived("span", gateway, record.id, 8)
    given = parent_of(record.trace)
    if given is None:
        return Place(_derived("trace", gateway, record.id, 16), span)
    trace, parent, flags = given
    return Place(trace, span, parent, flags)


def _derived(what: str, gateway: str, call: str, size: int) -> bytes:
    return hashlib.sha256(f"wardgate {what}\n{gateway}\n{call}".encode()).digest()[:size]


def _method(record: Record) -> tuple[str, str]:
    """The request that a call was, and its target where that is a word of few: a URI stands in an attribute."""
    method = record.method or CALL_TOOL
    return method, record.tool if method in (CALL_TOOL, GET_PROMPT) else ""


def _protocol(record: Record, method: str) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    if method == CALL_TOOL:
        found |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": record.tool}
        found |= {"gen_ai.tool.call.id": record.tool_use} if record.tool_use else {}
    elif method == GET_PROMPT:
        found["gen_ai.prompt.name"] = record.tool
    elif method.startswith("resources/"):
        found["mcp.resource.uri"] = record.tool
    if record.session:
        found["mcp.session.id"] = record.session
    if record.transport:
        found["network.transport"] = "tcp" if record.transport == "http" else "pipe"
    if record.era == "modern":
        found["mcp.protocol.version"] = MODERN_PROTOCOL
    return found


def _about(record: Record) -> dict[str, Attribute]:
    """What `log` says of a record; empty values are left out."""
    found: dict[str, Attribute] = {f"wardgate.{name}": getattr(record, name) for name in _TOLD}
    found["wardgate.findings"] = tuple(f"{one.kind} at {one.place}" for one in record.findings)
    found |= {f"wardgate.leak.{name}": value for name, value in of_leak(record)}
    return {name: value for name, value in found.items() if value}


def _content(record: Record) -> dict[str, Attribute]:
    """What a call brought and got, as far as the record keeps it: redacted, as JSON."""
    found: dict[str, Any] = {"gen_ai.tool.call.arguments": record.arguments, "gen_ai.tool.call.result": record.result}
    told: dict[str, Attribute] = {
        name: msgspec.json.encode(value).decode() for name, value in found.items() if value is not None
    }
    return {**told, "wardgate.detail": record.detail} if record.detail else told


def _events(rows: Sequence[Record]) -> tuple[Event, ...]:
    """What became of the approvals, and what the upstream asked."""
    events: list[Event] = []
    for row in rows:
        if row.kind is Kind.APPROVAL:
            said = {name: str(row.extra.get(name, "")) for name in ("state", "decided_by", "proof")}
            about: dict[str, Attribute] = {f"wardgate.approval.{name}": text for name, text in said.items() if text}
            events.append(Event("wardgate.approval", row.at, {"wardgate.approval": row.id, **about}))
        elif row.kind is Kind.QUESTION:
            asked: dict[str, Attribute] = {"wardgate.verdict": row.verdict, "wardgate.reason": row.reason}
            events.append(
                Event("wardgate.question", row.at, {"mcp.method.name": str(row.extra.get("method", "")), **asked})
            )
    return tuple(events)
