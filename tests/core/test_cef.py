"""CEF lines: a parser that knows only the standard gets every value back, and severity grows with what happened."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.json import decode

from gateway.core.cef import OPENING, escape, escape_header, event_class, line, severity, unix_us
from gateway.core.model import Finding, Kind, Reason, Record
from gateway.core.visible import visible
from tests.fakes import NOON, a_record

ESCAPES = {"n": "\n", "r": "\r"}
KEYS = {
    "principal": "suser",
    "client": "sproc",
    "session": "cs2",
    "upstream": "destinationServiceName",
    "method": "requestMethod",
    "tool": "cs1",
    "reason": "reason",
    "approval": "cs4",
    "effect": "flexString1",
}
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text)


def parse(text: str) -> tuple[list[str], Mapping[str, str]]:
    """Header fields and extension of one line, as the standard reads them: keys stand before unescaped `=`, and of the
    spaces before a key only the last one is no part of the value.
    """
    fields: list[str] = []
    field, at = "", 0
    while len(fields) < 7:
        if text[at] == "\\":
            field, at = field + text[at + 1], at + 2
        elif text[at] == "|":
            fields, field, at = [*fields, field], "", at + 1
        else:
            field, at = field + text[at], at + 1
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", rest := text[at:]))
    keys = [key for key in keys if not _escaped(rest, key.end() - 1)]
    ends = [*(key.start() for key in keys[1:]), len(rest)]
    return fields, {key[1]: unescaped(rest[key.end() : end]) for key, end in zip(keys, ends, strict=True)}


def _escaped(text: str, at: int) -> bool:
    return (at - len(text[:at].rstrip("\\"))) % 2 == 1


def seen(text: str) -> str:
    """How a value reads that holds characters for which CEF has no escape."""
    return "".join(char if char in "\n\r" else visible(char) for char in text)


def test_a_line_of_a_call_is_exact() -> None:
    record = a_record(3, Kind.OUTCOME, outcome="ok", release="full", rules=("a.b", "c"), policy_revision="00ff")
    assert line("feed", 7, record, "1.2") == (
        "CEF:0|Wardgate|Wardgate|1.2|outcome:ok|outcome of files/write_file|2|"
        "rt=1795348803000 wardgateAt=2026-11-22T12:00:03.000000Z externalId=7 deviceExternalId=feed cat=outcome "
        "suser=os:alice sproc=claude-code destinationServiceName=files act=allow outcome=ok reason=rule cs1Label=tool "
        "cs1=write_file cs2Label=session cs2=s1 cs3Label=id cs3=d_0000000003 cs5Label=rules cs5=a.b,c "
        "cs6Label=policyRevision cs6=00ff flexString1Label=effect flexString1=write flexString2Label=tier "
        "flexString2=write wardgateRelease=full"
    )


@given(
    st.fixed_dictionaries(dict.fromkeys(KEYS, TEXT)),
    st.lists(TEXT, max_size=3),
)
def test_a_conforming_parser_gets_every_value_back(values: Mapping[str, str], duties: list[str]) -> None:
    findings = tuple(Finding(text, text, "f") for text in duties)
    record = a_record(1, Kind.SIGNAL, **values, obligations=tuple(duties), findings=findings)
    written = line("feed", 1, record, "1")
    assert len(written.splitlines()) == 1
    fields, extension = parse(written)
    assert fields[:3] == ["CEF:0", "Wardgate", "Wardgate"]
    assert {name: extension.get(key, "") for name, key in KEYS.items()} == {
        name: seen(text) for name, text in values.items()
    }
    if duties:
        assert decode(extension["wardgateObligations"]) == [seen(text) for text in duties]
        assert decode(extension["wardgateFindings"]) == [f"{seen(text)} at {seen(text)}" for text in duties]


@pytest.mark.parametrize(
    ("text", "written"),
    [("a|b", "a\\|b"), ("a\\b", "a\\\\b"), ("a=b", "a=b"), ("a\r\nb", "a  b"), ("\x1b[1m", "\\\\u{1b}[1m")],
    ids=["pipe", "backslash", "equals", "break", "escape"],
)
def test_a_field_of_the_header_is_escaped(text: str, written: str) -> None:
    assert escape_header(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [("a|b", "a|b"), ("a\\b", "a\\\\b"), ("a=b", "a\\=b"), ("a\r\nb", "a\\r\\nb"), ("a\u2028b", "a\\\\u{2028}b")],
    ids=["pipe", "backslash", "equals", "break", "separator"],
)
def test_a_value_of_the_extension_is_escaped(text: str, written: str) -> None:
    assert escape(text) == written


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (a_record(tier="read"), 1),
        (a_record(tier="high"), 3),
        (a_record(tier="no-such-tier"), 3),
        (a_record(kind=Kind.OUTCOME, tier="read", outcome="ok"), 1),
        (a_record(kind=Kind.OUTCOME, outcome="error"), 4),
        (a_record(kind=Kind.OUTCOME, outcome="blocked"), 6),
        (a_record(kind=Kind.OUTCOME, tier="high", outcome="denied"), 7),
        (a_record(kind=Kind.OUTCOME, tier="high", outcome="unknown"), 8),
        (a_record(kind=Kind.OUTCOME, tier="", outcome="no-such-outcome"), 6),
        (a_record(kind=Kind.OUTCOME, outcome="ok", release="withheld"), 6),
        (a_record(kind=Kind.OUTCOME, outcome="ok", findings=(Finding("k", "p", "f"),)), 6),
        (a_record(kind=Kind.OUTCOME, outcome="blocked", reason=Reason.SELF_PROTECTION.value), 9),
        (a_record(kind=Kind.OUTCOME, tier="high", outcome="unknown", reason=Reason.INTERNAL.value), 10),
        (a_record(kind=Kind.QUESTION, tier="read", verdict="block"), 5),
        (a_record(kind=Kind.QUESTION, tier="read", verdict="no-such-verdict"), 5),
        (Record(Kind.APPROVAL, "a_1", NOON), 3),
        (Record(Kind.SIGNAL, "l_1", NOON), 7),
        (Record(Kind.SIGNAL, "l_1", NOON, detail="honeytoken", tier="read"), 10),
        (Record(Kind.START, "l_1", NOON), 1),
    ],
)
def test_severity_grows_with_what_happened_and_with_the_tier(record: Record, expected: int) -> None:
    assert severity(record) == expected


def test_a_sort_of_event_has_one_word() -> None:
    assert event_class(a_record(kind=Kind.OUTCOME, outcome="denied")) == "outcome:denied"
    waiting = Record(Kind.APPROVAL, "a_1", NOON, extra={"state": "waiting"})
    assert event_class(waiting) == "approval:waiting"
    assert event_class(structs.replace(waiting, extra={})) == "approval"
    assert event_class(structs.replace(waiting, kind=Kind.SIGNAL)) == "signal"


def test_a_record_of_no_tool_is_named_by_its_kind() -> None:
    assert line("g", 1, Record(Kind.START, "l_1", NOON), "1").startswith(f"{OPENING}1|start|start|1|rt=")


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_since_1970_are_exact(at: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=unix_us(at)) == at


def test_a_leak_is_told_by_what_became_of_it_and_by_its_days() -> None:
    said = a_record(kind=Kind.LEAK, extra={"state": "rotated", "kind": "github-pat", "by": "os:ada", "owner": ""})
    overdue = structs.replace(said, tier="", extra={"stage": "overdue", "kind": "github-pat", "owner": "ada|b"})
    assert (event_class(said), event_class(overdue)) == ("leak:rotated", "leak:overdue")
    assert (severity(overdue), severity(structs.replace(overdue, extra={"stage": "opened"}))) == (8, 3)
    printed = line("g", 7, said, "1")
    assert "wardgateLeakKind=github-pat wardgateLeakBy=os:ada" in printed
    assert "wardgateLeakOwner=ada|b" in line("g", 8, overdue, "1")
    assert "wardgateLeak" not in line("g", 9, a_record(extra={"kind": "x", "by": "y"}), "1")
