"""Records as log records and spans: names, places in traces, what is left out, and the same ids each time."""

from datetime import timedelta

import pytest
from inline_snapshot import snapshot

from gateway.core.model import Finding, Kind, Reason, Record
from gateway.core.telemetry import (
    CLIENT_DURATION,
    SERVER_DURATION,
    durations_of,
    error_type,
    note_of,
    parent_of,
    span_of,
)
from tests.fakes import NOON, a_record

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


def an_end(**more: object) -> Record:
    return a_record(9, Kind.OUTCOME, **{"outcome": "ok", "release": "full", **more})


def test_a_call_is_a_span_with_the_names_of_the_conventions() -> None:
    more = {"trace": GIVEN, "transport": "stdio", "era": "modern", "tool_use": "toolu_1", "timings_us": {"decide": 12}}
    span = span_of("feed", [a_record(2), an_end(**more, rules=("a.b",), findings=(Finding("token", "at", "f"),))])
    assert (span.name, span.start, span.end) == (
        "tools/call write_file",
        NOON + timedelta(seconds=2),
        NOON + timedelta(seconds=9),
    )
    assert (span.place.trace.hex(), span.place.parent.hex(), span.place.flags) == (TRACE, PARENT, 1)
    assert span.attributes == snapshot(
        {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "write_file",
            "gen_ai.tool.call.id": "toolu_1",
            "mcp.session.id": "s1",
            "network.transport": "pipe",
            "mcp.protocol.version": "2026-07-28",
            "wardgate.id": "d_0000000009",
            "wardgate.principal": "os:alice",
            "wardgate.client": "claude-code",
            "wardgate.session": "s1",
            "wardgate.upstream": "files",
            "wardgate.tool": "write_file",
            "wardgate.tier": "write",
            "wardgate.effect": "write",
            "wardgate.verdict": "allow",
            "wardgate.reason": "rule",
            "wardgate.rules": ("a.b",),
            "wardgate.outcome": "ok",
            "wardgate.release": "full",
            "wardgate.findings": ("token at at",),
            "wardgate.us.decide": 12,
        }
    )


def test_ids_are_the_same_each_time_and_others_for_others() -> None:
    first, again = span_of("feed", [an_end()]), span_of("feed", [an_end()])
    assert first == again
    assert (len(first.place.trace), len(first.place.span), first.place.parent) == (16, 8, b"")
    other, elsewhere = span_of("feed", [an_end(id="d_0000000008")]), span_of("food", [an_end()])
    assert len({each.place.span for each in (first, other, elsewhere)}) == 3
    assert note_of("feed", 4, an_end()).place == first.place
    assert note_of("feed", 4, an_end()).attributes["log.record.uid"] == "feed/4"


def test_a_call_that_never_began_starts_when_it_was_weighed() -> None:
    assert span_of("feed", [an_end(timings_us={"decide": 40, "arguments": 2})]).start == NOON + timedelta(
        seconds=9, microseconds=-42
    )


@pytest.mark.parametrize(
    ("trace", "fits"),
    [
        (GIVEN, True),
        (GIVEN.replace("00-", "01-", 1) + "-more", True),
        (GIVEN + "-more", False),
        ("", False),
        (GIVEN.replace("00-", "ff-", 1), False),
        (GIVEN.replace(TRACE, "0" * 32), False),
        (GIVEN.replace(PARENT, "0" * 16), False),
        (GIVEN.upper(), False),
        (GIVEN + "\n", False),
    ],
)
def test_only_a_whole_traceparent_is_a_parent(trace: str, fits: bool) -> None:
    assert (parent_of(trace) is not None) == fits
    assert bool(span_of("feed", [an_end(trace=trace)]).place.parent) == fits


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (an_end(), ""),
        (an_end(release="redacted"), ""),
        (an_end(release="withheld", reason=Reason.SECRET_FOUND.value), "secret-found"),
        (an_end(outcome="error"), "tool_error"),
        (an_end(outcome="error", reason=Reason.UPSTREAM_ERROR.value), "upstream-error"),
        (an_end(outcome="blocked", reason=Reason.SELF_PROTECTION.value), "self-protection"),
        (an_end(outcome="denied", reason=Reason.APPROVAL_DENIED.value), "approval-denied"),
        (an_end(outcome="unknown", reason=""), "unknown"),
    ],
)
def test_a_failure_has_a_sort(end: Record, error: str) -> None:
    assert error_type(end) == error
    span = span_of("feed", [end])
    assert span.error == error
    assert span.attributes.get("error.type", "") == error


def test_the_request_names_the_span_and_what_it_is_of() -> None:
    read = span_of(
        "feed", [an_end(method="resources/read", tool="file:///a b.txt", transport="http", era="legacy", session="")]
    )
    assert read.name == "resources/read"
    assert read.attributes["mcp.resource.uri"] == "file:///a b.txt"
    assert read.attributes["network.transport"] == "tcp"
    assert not {"gen_ai.tool.name", "mcp.session.id", "mcp.protocol.version"} & set(read.attributes)
    completed = span_of("feed", [an_end(method="completion/complete", tool="completion/complete", transport="")])
    assert (completed.name, "gen_ai.tool.name" in completed.attributes) == ("completion/complete", False)
    prompt = span_of("feed", [an_end(method="prompts/get", tool="greet")])
    assert (prompt.name, prompt.attributes["gen_ai.prompt.name"]) == ("prompts/get greet", "greet")
    assert "gen_ai.tool.name" not in prompt.attributes
    assert span_of("feed", [an_end(method="resources/subscribe", tool="x://y")]).name == "resources/subscribe"
    assert span_of("feed", [an_end(tool="x:y")]).name == "tools/call x:y"
    assert span_of("feed", [an_end(tool="")]).name == "tools/call"


def test_approvals_and_questions_are_events_of_the_span() -> None:
    rows = [
        Record(Kind.APPROVAL, "a_1", NOON, extra={"state": "waiting"}),
        Record(Kind.APPROVAL, "a_1", NOON, extra={"state": "approved", "decided_by": "os:bob", "proof": "local"}),
        a_record(9),
        a_record(9, Kind.QUESTION, extra={"method": "elicitation/create"}),
        an_end(),
    ]
    span = span_of("feed", rows)
    assert span.start == NOON
    assert [(event.name, event.attributes) for event in span.events] == snapshot(
        [
            ("wardgate.approval", {"wardgate.approval": "a_1", "wardgate.approval.state": "waiting"}),
            (
                "wardgate.approval",
                {
                    "wardgate.approval": "a_1",
                    "wardgate.approval.state": "approved",
                    "wardgate.approval.decided_by": "os:bob",
                    "wardgate.approval.proof": "local",
                },
            ),
            (
                "wardgate.question",
                {
                    "mcp.method.name": "elicitation/create",
                    "wardgate.verdict": "allow",
                    "wardgate.reason": "rule",
                },
            ),
        ]
    )


def test_content_is_left_out_unless_it_is_asked_for() -> None:
    rows = [a_record(9, arguments={"path": "secret"}), an_end(result={"content": []}, detail="secret")]
    for told in (span_of("feed", rows), *(note_of("feed", 1, row) for row in rows)):
        assert "secret" not in repr(told)
    whole = span_of("feed", rows, content=True).attributes
    assert whole["gen_ai.tool.call.arguments"] == '{"path":"secret"}'
    assert whole["gen_ai.tool.call.result"] == '{"content":[]}'
    assert whole["wardgate.detail"] == "secret"
    assert "gen_ai.tool.call.arguments" in note_of("feed", 1, rows[0], content=True).attributes


def test_a_record_of_no_call_is_a_note_of_no_trace() -> None:
    note = note_of("feed", 3, Record(Kind.SIGNAL, "l_1", NOON, detail="x"))
    assert (note.place, note.name, note.severity, note.text) == (None, "wardgate.signal", 7, "signal l_1")
    assert note_of("feed", 3, an_end(outcome="blocked")).text == "outcome:blocked files/write_file (rule)"
    nowhere = an_end(outcome="blocked", upstream="", tool="nope")
    assert note_of("feed", 3, nowhere).text == "outcome:blocked nope (rule)"


@pytest.mark.parametrize(
    ("more", "errors"),
    [
        ({}, [None, None]),
        ({"outcome": "error"}, ["tool_error", "tool_error"]),
        ({"outcome": "unknown", "reason": Reason.UPSTREAM_ERROR.value}, ["upstream-error", "upstream-error"]),
        ({"release": "withheld", "reason": Reason.SCANNER_FAILED.value}, ["scanner-failed", None]),
    ],
    ids=["ok", "the tool failed", "nobody knows", "withheld here"],
)
def test_a_duration_is_an_error_where_it_failed(more: dict[str, str], errors: list[str | None]) -> None:
    found = durations_of(an_end(timings_us={"decide": 1_000, "upstream": 4_000}, **more))
    assert [one.name for one in found] == [SERVER_DURATION, CLIENT_DURATION]
    assert [one.attributes.get("error.type") for one in found] == errors
    assert [one.seconds for one in found] == [pytest.approx(0.005), pytest.approx(0.004)]


def test_a_call_that_was_never_sent_has_no_time_at_its_upstream() -> None:
    (one,) = durations_of(an_end(outcome="blocked", upstream="", tool="made_up", timings_us={"decide": 10}))
    assert "gen_ai.tool.name" not in one.attributes
    assert one.attributes["gen_ai.operation.name"] == "execute_tool"
