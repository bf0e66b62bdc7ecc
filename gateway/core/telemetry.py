"""Records as OpenTelemetry has them: a log record for each, and a span for each call that ended. No I/O here.

The names are those of the conventions for MCP and generative AI (in development), and `wardgate.*` where they have
none. What a call brought or got is left out unless it is asked for. All ids are made of ids of the record: the same
each time.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core.cef import event_class, of_leak, severity
from gateway.core.model import CALL_TOOL, Kind, Outcome, Reason, Record, Release

Attribute = str | int | tuple[str, ...]
MODERN_PROTOCOL = "2026-07-28"  # what the era `modern` speaks; of a legacy session the record doesn't hold the version
TOOL_ERROR = "tool_error"
GET_PROMPT = "prompts/get"
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which trace something stands; `parent` is empty where there is none."""

    trace: bytes
    span: bytes
    parent: bytes = b""
    flags: int = 1


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a span."""

    name: str
    at: datetime
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Span:
    """One call, from what stands of it first to its outcome; `error` is empty for one that ended well."""

    place: Place
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, Attribute]
    events: tuple[Event, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Note:
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
