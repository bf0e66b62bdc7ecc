"""What is told of one id, from its records alone: how it stands, its checks, its sections, and `--json`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from gateway.core.explain import ARGUMENTS, MOST, OUTPUTS, VALUE, headline, sections
from gateway.core.model import Finding, Kind, Record
from gateway.core.record import stamp
from gateway.core.told import Before, Brief, Check, Telling, checks, decided, ended, findings, item
from tests.fakes import NOON, a_record

ID = "d_0000000001"
LATER = NOON + timedelta(minutes=10)


def intent(**more: Any) -> Record:
    return a_record(1, facts={"upstream": "ready", "tainted": True, "private": False}, **more)


def outcome(kept: str = "ok", **more: Any) -> Record:
    return a_record(1, Kind.OUTCOME, outcome=kept, **more)


def approval(state: str = "waiting", **more: Any) -> Record:
    extra = {"state": state, "call": ID, "proof_required": "local", "approvers_required": 1, "expires_at": stamp(LATER)}
    extra |= {"decided_by": "os:bob", "proof": "local"} if state in ("approved", "denied") else {}
    told = {"verdict": "", "known_by": "", "reason": "tier-default", "approval": "a_1", **more}
    return a_record(1, Kind.APPROVAL, **{"id": "a_1", **told, "extra": {**extra, **more.get("extra", {})}})


def telling(*records: Record, id: str = ID, **more: Any) -> Telling:
    rows = tuple(enumerate(records, 4))
    return Telling(id, rows, 20, "ab" * 32, NOON, **more)


def told(about: Telling) -> Mapping[str, Sequence[str]]:
    return dict(sections(about))


def text(about: Telling) -> str:
    return "\n".join(line for lines in told(about).values() for line in lines)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([intent(), outcome()], "executed"),
        ([intent(), outcome(release="redacted")], "executed, its result was redacted"),
        ([intent(), outcome(release="withheld")], "executed, its result was withheld"),
        ([intent(), outcome("error", release="full")], "executed, and it failed"),
        ([intent(), outcome("error", reason="client-unable")], "not completed: its upstream asked for"),
        ([intent(), outcome("unknown", reason="upstream-lost")], "unknown: it was sent"),
        ([outcome("denied", reason="approval-denied")], "refused by a person"),
        ([outcome("denied", reason="approval-expired")], "refused: nobody answered in time"),
        ([outcome("blocked")], "refused: nothing was forwarded"),
        ([intent(), outcome("blocked", reason="client-gone")], "refused: nothing was forwarded"),
        (
            [intent(), outcome("blocked", reason="upstream-down", release="withheld")],
            "refused: nothing was forwarded",
        ),
        (
            [intent(), outcome("blocked", reason="approval-void", release="withheld")],
            "refused: its first round had been forwarded",
        ),
        ([intent()], "not ended"),
        ([intent(), a_record(1, Kind.QUESTION, verdict="allow")], "not ended"),
        ([approval()], "waits for a person"),
        ([approval(extra={"expires_at": stamp(NOON)})], "expired"),
        ([approval(), approval("approved")], "approved, and not executed yet"),
        ([approval(), approval("denied")], "refused by a person"),
        ([approval(), approval("withdrawn")], "refused: its approval was withdrawn"),
        ([approval("of-tomorrow")], "not known"),
        (
            [approval(), approval("approved"), a_record(2), a_record(2, Kind.OUTCOME, outcome="ok")],
            "ran as d_0000000002",
        ),
    ],
)
def test_how_a_call_stands_is_told_in_words(records: list[Record], expected: str) -> None:
    about = telling(*records)
    assert ended(about).startswith(expected)
    assert headline(about).startswith(f"{ID}  files/write_file  {expected}")
    assert item(about)["ended"] == ended(about)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([intent(), outcome("unknown", reason="upstream-lost")], ("allow", "rule")),
        ([outcome("blocked", verdict="block")], ("block", "rule")),
        ([outcome("blocked", verdict="allow", reason="record-failed")], ("allow", "")),
        ([outcome("blocked", verdict="", reason="busy")], ("", "")),
        ([approval(), outcome("denied", verdict="ask", reason="approval-denied")], ("ask", "tier-default")),
        ([outcome("blocked", verdict="ask", reason="busy")], ("ask", "")),
        ([approval()], ("ask", "tier-default")),
    ],
)
def test_the_decision_is_told_apart_from_the_end(records: list[Record], expected: tuple[str, str]) -> None:
    assert decided(telling(*records)) == expected


def test_what_ended_it_stands_below_the_decision_where_it_is_another_reason() -> None:
    about = telling(intent(policy_revision="c" * 64), outcome("unknown", reason="upstream-lost"))
    first, second = told(about)["verdict"]
    assert first == "allow under policy cccccccccccc: rule, a rule matched and decided"
    assert second == "then unknown: upstream-lost, sent, then the connection was lost"
    assert len(told(telling(intent(), outcome()))["verdict"]) == 1
    assert told(telling(outcome("blocked", verdict="", reason="busy")))["verdict"][0] == "none"
    assert told(telling(intent(reason="of-tomorrow")))["verdict"] == ["allow: of-tomorrow"]


def test_checks_stand_in_the_order_of_the_path_with_what_came_of_each() -> None:
    found = (Finding("token", "arguments.text", "00"), Finding("token", "content[0].text", "01"))
    times = {
        "approval": 2_500_000,
        "arguments": 9,
        "decide": 12,
        "intent": 1_500,
        "more": 1,
        "screen": 3,
        "upstream": 7,
    }
    ends = outcome(timings_us=times, release="redacted", findings=found, approval="a_1", reason="approved")
    about = telling(approval(), approval("approved"), intent(reason="approved"), ends)
    assert checks(about) == (
        Check("decide", "allow (approved)", 12),
        Check("arguments", "1 redacted", 9),
        Check("approval", "approved by os:bob", 2_500_000),
        Check("intent", "on disk before it was forwarded", 1_500),
        Check("upstream", "ok", 7),
        Check("screen", "redacted", 3),
        Check("more", "done", 1),
    )
    lines = told(about)["checks"]
    assert [line.split()[0] for line in lines][:3] == ["decide", "arguments", "approval"]
    assert [line.split("  ")[-1].strip() for line in lines][:4] == ["12 us", "9 us", "2.5 s", "1.5 ms"]
    assert item(about)["checks"][0] == {"name": "decide", "result": "allow (approved)", "us": 12}


def test_a_read_is_queued_and_an_approval_may_have_no_answer() -> None:
    read = outcome(tier="read", timings_us={"intent": 1, "approval": 2, "decide": 3}, verdict="", reason="busy")
    assert [check.result for check in checks(telling(read))] == ["", "nobody answered", "queued for the disk"]


def test_who_is_told_with_how_that_is_known() -> None:
    whole = outcome(claimed="agent 2.1", transport="stdio", era="modern")
    assert told(telling(whole))["who"] == [
        "os:alice (known by os-user) with claude-code (says `agent 2.1`), session s1, stdio, modern"
    ]
    assert told(telling(outcome(client="", session="", known_by="")))["who"] == ["os:alice"]


def test_what_is_told_of_a_tool_leaves_out_what_is_not_known() -> None:
    whole = outcome(definition="d" * 64, owner="bob@example.com", acts_as="human alice")
    assert told(telling(whole))["what"] == [
        "effect write, tier write, definition dddddddddddd, owner bob@example.com, acts as human alice"
    ]
    assert "what" not in told(telling(outcome(tier="", effect="", upstream="", verdict="", reason="busy")))


def test_the_rule_has_its_file_and_line() -> None:
    blocked = outcome("blocked", verdict="block", rules=("a.b",), places=("policies/a.toml:3",), detail="why")
    about = told(telling(blocked))
    assert (about["rule"], about["detail"]) == (["`a.b` at policies/a.toml:3"], ["why"])
    assert item(telling(blocked))["rule_at"] == "policies/a.toml:3"
    held = telling(approval(rules=("a.b",)))
    assert told(held)["rule"] == ["`a.b`"]
    assert item(held)["rule_at"] == ""


def test_who_approved_stands_with_the_proof_and_what_was_said() -> None:
    second = approval("approved", detail="fine", extra={"votes": [{"by": "os:bob"}], "statement": {"call": ID}})
    about = telling(approval(), second, intent(authorised={"approved_by": "os:bob"}), outcome())
    shown = told(about)
    assert shown["asked"][0] == "approval a_1: needs proof local, until 2026-11-22 12:10:00 UTC"
    assert shown["asked"][1].startswith("because of tier-default, no rule spoke")
    assert shown["answer"] == ["approved by os:bob (proof local), 2026-11-22 12:00:01 UTC: fine"]
    assert "allowed by" not in shown
    proof = item(about)["proof_of_approval"]
    assert (proof["by"], proof["proof"], proof["state"], proof["note"]) == ("os:bob", "local", "approved", "fine")
    assert proof["statement"] == {"call": ID}
    plain = told(telling(approval("denied", extra={"expires_at": "", "approvers_required": 2})))
    assert plain["asked"][0] == "approval a_1: needs proof local of 2 people"
    assert plain["answer"] == ["denied by os:bob (proof local), 2026-11-22 12:00:01 UTC"]


def test_an_allow_by_rule_names_who_answers_for_it() -> None:
    allowed = intent(authorised={"owner": "bob@example.com", "accepted_by": "alice", "accepted_how": ""})
    about = telling(allowed, outcome())
    assert told(about)["allowed by"] == ["owner bob@example.com, accepted by alice"]
    assert item(about)["authorised"]["owner"] == "bob@example.com"
    assert item(about)["proof_of_approval"] is None


def test_facts_are_told_in_words() -> None:
    assert told(telling(intent(), outcome()))["facts"] == ["upstream ready, tainted, not private"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (outcome(arguments={"b": "x", "a": {"n": 1}}), ['a: {"n":1}', "b: x"]),
        (outcome(arguments={}), ["none"]),
        (outcome(omitted={"arguments": 70_000}), ["not kept, 70000 bytes: digest 000000000000"]),
        (outcome(leaves={"a": "00", "b": "01"}), ["kept as digests of 2 values: digest 000000000000"]),
        (outcome(), ["not kept: digest 000000000000"]),
        (outcome(arguments_digest=""), None),
    ],
    ids=["kept", "none", "too large", "digests", "not screened", "unknown"],
)
def test_arguments_are_told_as_far_as_they_are_kept(record: Record, expected: list[str] | None) -> None:
    assert told(telling(record)).get("arguments") == expected


def test_long_and_many_values_are_folded_and_say_so() -> None:
    many = {f"k{number}": "x" for number in range(ARGUMENTS + 2)}
    lines = told(telling(outcome(arguments=many)))["arguments"]
    assert len(lines) == ARGUMENTS + 1
    assert lines[-1] == "and 2 more: `--json` has them"
    (long,) = told(telling(outcome(arguments={"k": "y" * (VALUE + 1)})))["arguments"]
    assert long == f"k: {'y' * VALUE}… ({VALUE + 1} characters in all)"
    found = tuple(Finding("token", f"content[{number}].text", "00") for number in range(MOST + 3))
    lines = told(telling(outcome(findings=found)))["found"]
    assert len(lines) == MOST + 1
    assert lines[-1] == "and 3 more: `--json` has them"


def test_what_would_steer_a_terminal_is_visible() -> None:
    sly = "\u202e\x1b[31m\nverdict allow"
    about = telling(outcome("blocked", tool=sly, detail=sly, arguments={sly: sly}, claimed=sly))
    everything = headline(about) + text(about)
    assert "\\u{202e}\\u{1b}[31m\\nverdict" in everything
    assert not set(everything) & {"\u202e", "\x1b"}
    assert all("\n" not in line for lines in told(about).values() for line in lines)


def test_arguments_that_were_carried_name_the_call_whose_output_they_stood_in() -> None:
    source = Brief("d_2", "outcome", stamp(NOON), "mail", "read")
    values = ({"argument": "to", "source": "d_2", "length": 9}, {"argument": "cc", "source": "d_3", "length": 8})
    about = telling(intent(carried=values, context={"unsearched": 4}), outcome(), sources={"d_2": source})
    assert told(about)["carried"] == [
        "to (9 characters) stood in d_2  mail/read  2026-11-22 12:00:00",
        "cc (8 characters) stood in d_3, which is not on the record any more",
        "4 values were not looked for everywhere: that would have taken too long",
    ]
    known, gone = item(about)["carried"]
    assert known == {**values[0], "upstream": "mail", "tool": "read", "at": stamp(NOON)}
    assert gone == values[1]


def test_how_far_the_caller_was_is_told_in_words() -> None:
    about = telling(intent(isolation=2), outcome())
    assert told(about)["who"][1] == "isolation 2: the gateway runs as a user of its own"
    assert item(about)["isolation"] == 2
    assert told(telling(intent(isolation=9), outcome()))["who"][1] == "isolation 9: a level of another version"
    assert len(told(telling(intent(), outcome()))["who"]) == 1


def test_a_granted_call_names_its_grant_and_who_gave_it() -> None:
    by = {"granted_by": "os:bob", "grant": "g_0000000001", "proof": "local", "approval": "a_1"}
    about = telling(
        intent(reason="granted", tier="read", authorised=by), outcome(tier="read", timings_us={"intent": 5})
    )
    assert told(about)["allowed by"] == ["granted by os:bob, grant g_0000000001, proof local, approval a_1"]
    assert item(about)["authorised"]["grant"] == "g_0000000001"
    assert checks(about) == (Check("intent", "on disk before it was forwarded", 5),)


def test_arguments_that_a_person_edited_are_said_to_be_so() -> None:
    about = telling(intent(arguments={"path": "b.txt"}, extra={"origin": "person"}), outcome())
    assert told(about)["arguments"] == ["path: b.txt", "a person put them in the place of the agent's"]


def test_the_outputs_before_a_call_are_counted_and_the_newest_named() -> None:
    latest = tuple(Brief(f"l_{number}", "client-tool", stamp(NOON)) for number in range(OUTPUTS + 1))
    lines = told(telling(intent(), outcome(), before=Before(9, latest, cut=True)))["before"]
    assert lines[0] == "outputs in its turn: 9 or more; the newest:"
    assert lines[1:] == [f"l_{number}  client-tool  2026-11-22 12:00:00" for number in range(OUTPUTS)]
    assert told(telling(outcome(), before=Before(1, latest[:1])))["before"][0] == "outputs in its turn: 1; the newest:"
    assert told(telling(outcome()))["before"] == ["no output is known that came before it in its turn"]
    assert told(telling(approval()))["before"] == ["not recorded until the call runs or ends"]
    assert "before" not in told(telling(outcome(tier="read")))
    context = item(telling(outcome(), before=Before(9, latest[:1], cut=True)))["context"]
    named = {"id": "l_0", "kind": "client-tool", "at": stamp(NOON)}
    assert context == {"count": 9, "latest": [named], "cut": True}


def test_the_prompt_is_told_as_far_as_it_is_known() -> None:
    def prompt(**extra: Any) -> Record:
        return a_record(0, Kind.PROMPT, id="l_1", extra={"source": "hook", **extra})

    def line(prompt: Record | None, turn: str = "l_1") -> str:
        (said,) = told(telling(intent(turn=turn), outcome(turn=turn), prompt=prompt))["prompt"]
        return said

    typed = prompt(proves=True, text="send it")
    assert line(typed) == "l_1  2026-11-22 12:00:00 UTC  by hook (a person typed it)  send it"
    assert "(proves nothing: open-turn)  not kept" in line(prompt(proves=False, why_not="open-turn"))
    assert line(None) == "l_1, which is not on the record any more"
    assert line(None, turn="") == "unknown: nobody handed it over"
    assert "prompt" not in told(telling(approval()))
    about = telling(intent(turn="l_1", prompt="ff"), outcome(), prompt=typed)
    named = {"id": "l_1", "digest": "ff", "at": stamp(NOON)}
    assert item(about)["prompt"] == named | {"source": "hook", "proves": True, "text": "send it"}


def test_findings_of_arguments_and_of_the_result_are_told_once() -> None:
    first, second = Finding("token", "arguments.text", "00"), Finding("key", "content[0].text", "01")
    about = telling(intent(findings=(first,)), outcome(findings=(first, second)))
    assert findings(about) == (first, second)
    assert told(about)["found"] == ["token at arguments.text", "key at content[0].text"]
    assert item(about)["findings"] == [
        {"kind": "token", "place": "arguments.text"},
        {"kind": "key", "place": "content[0].text"},
    ]


def test_what_was_released_has_its_digest_and_what_is_not_kept_its_size() -> None:
    ends = outcome(release="full", result_digest="e" * 64, omitted={"result": 70_000})
    assert told(telling(ends))["released"] == ["full, digest eeeeeeeeeeee, 70000 bytes are more than is kept"]
    assert told(telling(outcome(release="withheld")))["released"] == ["withheld"]
    assert "released" not in told(telling(outcome("blocked")))


def test_the_records_of_a_call_are_told_in_order() -> None:
    asked = a_record(
        1, Kind.QUESTION, verdict="block", reason="method-blocked", extra={"method": "roots/list", "round": 1}
    )
    voted = approval(extra={"votes": [{"by": "os:ann"}]})
    other = a_record(2, Kind.OUTCOME, approval="a_1", outcome="ok")
    about = telling(approval(), voted, approval("approved"), intent(extra={"round": 2}), asked, outcome(), other)
    lines = [line.split("  ", 2)[2] for line in told(about)["records"]]
    assert lines == [
        "approval waiting",
        "approval waiting, 1 votes",
        "approval approved by os:bob (proof local)",
        "intent allow (rule), round 2",
        "question roots/list block (method-blocked), round 1",
        "outcome ok (rule)",
        "outcome ok (rule) of d_0000000002",
    ]


def test_similar_calls_tell_how_they_ended_and_who_approved() -> None:
    approved = Brief(
        *("d_3", "outcome", stamp(NOON), "files", "write_file", "s1", "allow", "approved", "ok"),
        *("a_3", "os:bob", "local"),
    )
    other = Brief("d_4", "outcome", stamp(NOON), "files", "write_file", "s2", "block", "rule", "blocked")
    about = telling(outcome(), similar=(approved, other))
    assert told(about)["similar"] == [
        "d_3  2026-11-22 12:00:00  ok (approved) by os:bob (proof local), this session",
        "d_4  2026-11-22 12:00:00  blocked (rule), another session",
    ]
    assert item(about)["similar"][0]["by"] == "os:bob"
    assert "approval" not in item(about)["similar"][1]


def test_its_place_in_the_tree_is_that_of_the_record_that_says_most() -> None:
    about = telling(intent(), outcome())
    assert item(about)["tree"] == {"index": 4, "size": 20, "root": "ab" * 32}
    assert item(about)["checkpoint"] is None
    assert told(about)["tree"] == [f"leaf 4 of 20, root {'ab' * 32}", "no checkpoint covers it yet"]
    note = a_record(9, Kind.CHECKPOINT, id="l_9", extra={"size": 12})
    covered = telling(intent(), outcome(), checkpoint=note)
    assert told(covered)["tree"][1] == "covered by checkpoint l_9 over 12 records, 2026-11-22 12:00:09 UTC"
    assert item(covered)["checkpoint"] == {"id": "l_9", "size": 12}


def test_the_time_between_the_first_record_and_the_last_is_told() -> None:
    late = a_record(61, Kind.OUTCOME, id=ID, outcome="ok")
    assert told(telling(intent(), late))["when"] == ["2026-11-22 12:00:01 UTC, last step 2026-11-22 12:01:01 UTC"]


def test_what_would_have_changed_the_answer_is_told_or_said_to_be_unknown() -> None:
    blocked = telling(outcome("blocked", verdict="block", rules=("a.b",)))
    assert told(blocked)["otherwise"] == item(blocked)["changed_by"] != []
    strange = telling(outcome("blocked", reason="of-tomorrow"))
    assert item(strange)["changed_by"] == []
    assert told(strange)["otherwise"] == ["the record doesn't tell what would have changed the answer"]


def test_a_record_of_the_gateways_own_is_told_as_it_stands() -> None:
    extra = {"size": 3, "note": "wardgate/x\n3\n", "before": ""}
    own = Record(Kind.CHECKPOINT, "l_1", NOON, policy_revision="c" * 64, extra=extra)
    about = telling(own, id="l_1")
    assert headline(about) == "l_1  checkpoint"
    assert told(about)["holds"] == ["size: 3", "note: wardgate/x\\n3\\n"]
    assert told(about)["policy"] == ["cccccccccccc"]
    assert set(told(about)) == {"when", "policy", "holds", "tree"}
    assert item(about)["changed_by"] == []
    assert item(about)["extra"]["size"] == 3


def test_a_tool_of_the_clients_own_is_told_with_its_arguments() -> None:
    own = a_record(1, Kind.CLIENT_TOOL, id="l_1", upstream="", tool="Bash", outcome="ok", arguments={"command": "ls"})
    about = telling(own, id="l_1")
    assert headline(about) == "l_1  Bash  client-tool ok"
    assert told(about)["arguments"] == ["command: ls"]


def test_origins_of_values_are_told_where_there_are_any() -> None:
    values = (("to[0]", "prompt trusted", "email"), ("to[1]", "", "email"))
    made_on = structs.replace(intent(), facts={"tainted": True, "values": values})
    assert told(telling(made_on, outcome()))["origins"] == ["to[0]: prompt trusted", "to[1]: no good origin"]
    assert "origins" not in told(telling(intent(), outcome()))
