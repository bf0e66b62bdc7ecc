"""Records as CEF lines (ArcSight Common Event Format, version 0), and how severe each one is. No I/O here.

Nothing of what a call brought or got stands in a line: no arguments, no result.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.core.leaks import Stage
from gateway.core.model import Kind, Outcome, Reason, Record, Release, Tier
from gateway.core.record import stamp
from gateway.core.signals import Signal
from gateway.core.visible import visible

OPENING = "CEF:0|Wardgate|Wardgate|"
"""With what every line begins."""

MOST_SEVERE = 10
_WEIGHT = {"": 0, Tier.READ.value: 0, Tier.WRITE.value: 1, Tier.HIGH.value: 2}
_OUTCOME = {
    Outcome.OK.value: 1,
    Outcome.ERROR.value: 3,
    Outcome.BLOCKED.value: 5,
    Outcome.DENIED.value: 5,
    Outcome.UNKNOWN.value: 6,
}
_VERDICT = {"": 1, "allow": 1, "ask": 3, "block": 5}
_KIND = {
    Kind.APPROVAL: 3,
    Kind.KEY: 6,
    Kind.CLOCK: 6,
    Kind.PRUNING: 4,
    Kind.SIGNAL: 7,
    Kind.LEAK: 3,
}
_STAGE = {Stage.DUE.word: 5, Stage.OWNER.word: 6, Stage.OVERDUE.word: 8}
_GRAVE = frozenset(
    {Reason.SELF_PROTECTION, Reason.EXACT_SECRET, Reason.SCANNER_FAILED, Reason.RECORD_FAILED, Reason.INTERNAL}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " "})
_VALUE = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


def severity(record: Record) -> int:
    """How severe a record is, from 0 to 10 as in CEF: by kind, verdict and outcome, and heavier with the tier.

    A word that is not known counts as the heaviest one.
    """
    parts = [_KIND.get(record.kind, 1), _VERDICT.get(record.verdict, 5) if record.kind is not Kind.OUTCOME else 1]
    if record.kind is Kind.OUTCOME:
        parts.append(_OUTCOME.get(record.outcome, 6))
    if record.findings or (record.outcome == Outcome.OK.value and record.release == Release.WITHHELD.value):
        parts.append(5)
    if record.kind is Kind.LEAK:
        parts.append(_STAGE.get(str(record.extra.get("stage", "")), 3))
    if record.reason in _GRAVE:
        parts.append(8)
    if record.kind is Kind.SIGNAL and record.detail == Signal.HONEYTOKEN.value:
        parts.append(MOST_SEVERE)
    return min(MOST_SEVERE, max(parts) + _WEIGHT.get(record.tier, 2))


def unix_us(at: datetime) -> int:
    """A time as microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def event_class(record: Record) -> str:
    """What a record tells, in one word that is the same for all of its sort: `outcome:blocked`, `approval:waiting`,
    `leak:rotated`, `leak:overdue`.
    """
    detail = record.outcome if record.kind is Kind.OUTCOME else str(record.extra.get("state", ""))
    if record.kind is Kind.LEAK:
        detail = detail or str(record.extra.get("stage", ""))
    shown = detail if record.kind in (Kind.OUTCOME, Kind.APPROVAL, Kind.LEAK) else ""
    return f"{record.kind.value}:{shown}" if shown else record.kind.value


def line(gateway: str, seq: int, record: Record, version: str) -> str:
    """One record as a line without its end; `version` is that of the program that writes it."""
    kind = event_class(record)
    name = f"{record.kind.value} of {record.called}" if record.tool else kind.replace(":", " ")
    header = [version, kind, name, str(severity(record))]
    extension = [f"{key}={escape(value)}" for key, value in _values(gateway, seq, record) if value]
    return OPENING + "|".join(escape_header(part) for part in header) + "|" + " ".join(extension)


def escape_header(text: str) -> str:
    """A field of the header: `\\` and `|` escaped, on one line, hidden characters visible."""
    return _shown(text).translate(_HEADER)


def escape(text: str) -> str:
    """A value of the extension: `\\` and `=` escaped, line breaks as `\\n` and `\\r`, other hidden characters visible
    as `\\u{..}`, as CEF has no escape for them.
    """
    return _shown(text).translate(_VALUE)


def _shown(text: str) -> str:
    """Line breaks stay, every other character that a reader could take for an end of the line becomes visible."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in "\n\r" else visible(char) for char in text)


def _listed(values: Sequence[str]) -> str:
    """Several values in one: a JSON array, nothing for none."""
    return msgspec.json.encode([_shown(value) for value in values]).decode() if values else ""


def _values(gateway: str, seq: int, record: Record) -> list[tuple[str, str]]:
    """Keys of the standard's dictionary where it has one, `wardgate...` where it has none; labels before values."""
    labelled = (
        ("cs1", "tool", record.tool),
        ("cs2", "session", record.session),
        ("cs3", "id", record.id),
        ("cs4", "approval", record.approval),
        ("cs5", "rules", ",".join(record.rules)),
        ("cs6", "policyRevision", record.policy_revision),
        ("flexString1", "effect", record.effect),
        ("flexString2", "tier", record.tier),
    )
    return [
        ("rt", str(unix_us(record.at) // 1000)),
        ("wardgateAt", stamp(record.at)),
        ("externalId", str(seq)),
        ("deviceExternalId", gateway),
        ("cat", record.kind.value),
        ("suser", record.principal),
        ("sproc", record.client),
        ("destinationServiceName", record.upstream),
        ("requestMethod", record.method),
        ("act", record.verdict),
        ("outcome", record.outcome),
        ("reason", record.reason),
        *(
            (key, each)
            for name, label, value in labelled
            if value
            for key, each in ((f"{name}Label", label), (name, value))
        ),
        ("wardgateObligations", _listed(record.obligations)),
        ("wardgateRelease", record.release),
        ("wardgateFindings", _listed([f"{found.kind} at {found.place}" for found in record.findings])),
        *((f"wardgateLeak{name.capitalize()}", value) for name, value in of_leak(record)),
    ]


def of_leak(record: Record) -> list[tuple[str, str]]:
    """What is said of a leak, by name: the kind of the secret, whose it is, and by whom; nothing of another record."""
    names = ("kind", "owner", "by") if record.kind is Kind.LEAK else ()
    return [(name, str(record.extra[name])) for name in names if record.extra.get(name)]
