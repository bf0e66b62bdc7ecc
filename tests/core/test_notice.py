"""What notices say."""

from datetime import timedelta

import pytest
from msgspec import structs
from msgspec.structs import replace

from gateway.core.leaks import Leak, LeakState, Seen, Stage
from gateway.core.model import Grade, Kind, ToolRef
from gateway.core.notice import (
    LONGEST,
    MOST_DUE,
    Group,
    due_notice,
    group_of,
    incident_notice,
    leak_notice,
    notice_of,
    short,
    signal_notice,
)
from tests.fakes import NOON, a_call, a_record, a_row, a_tool, an_ask

ROW = a_row("a_1", a_call(path="/the/argument"), a_tool(), an_ask(), {"path": "/the/argument"})


def test_a_notice_names_the_tool_the_client_the_time_and_the_card_and_no_argument() -> None:
    notice = notice_of([ROW], "http://localhost:8765/approvals/a_1")
    assert notice.title == "Wardgate: a call waits for a person"
    assert notice.text.splitlines() == [
        "files/write_file, asked by claude-code, until 12:10 UTC",
        "http://localhost:8765/approvals/a_1",
    ]
    assert "argument" not in f"{notice}"


def test_many_calls_are_one_notice_until_the_first_of_them_expires() -> None:
    sooner = replace(ROW, id="a_2", expires_at=NOON + timedelta(minutes=1))
    notice = notice_of([ROW, sooner], "")
    assert notice.title == "Wardgate: 2 calls wait for a person"
    assert notice.text == (
        "files/write_file and 1 more, asked by claude-code, until 12:01 UTC\nwardgate approvals watch"
    )


def test_names_of_an_upstream_are_bounded_and_hide_nothing() -> None:
    tool = replace(a_tool(), ref=ToolRef("files", "x\u202e\n" + "y" * 300))
    text = notice_of([a_row("a_1", a_call(), tool, an_ask())], "").text
    assert "files/x\\u{202e}\\n" in text
    assert len(text.splitlines()[0]) < 2 * LONGEST + 40
    assert len(short("z" * 99)) == LONGEST


def test_a_group_is_who_asks_with_what_in_which_session() -> None:
    assert group_of(ROW) == Group("os:alice", "claude-code", "s1")


@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "completion/complete"])
def test_an_address_that_the_agent_asks_for_is_an_argument_and_in_no_notice(method: str) -> None:
    """It would stand there as a link, beside that of the card."""
    tool = replace(a_tool(), ref=ToolRef("files", "https://evil.example/approve"))
    text = notice_of([a_row("a_1", replace(a_call(), method=method), tool, an_ask())], "").text
    assert "evil" not in text
    assert text.startswith(f"files/({method}), asked by claude-code")


def test_a_prompt_is_named_as_its_upstream_names_it() -> None:
    row = a_row("a_1", replace(a_call(), method="prompts/get"), a_tool(), an_ask())
    assert notice_of([row], "").text.startswith("files/write_file, ")


MARK = "0123456789abcdef"  # a fingerprint
LEAK = Leak(
    *("l_0000000001", "github", MARK, "k1", Grade.VENDOR, LeakState.OPEN, "ada@x.example"),
    *(NOON - timedelta(days=15), NOON, 3, NOON - timedelta(days=15)),
    place="content[0].text",
    note="a word about it",
    seen=Seen({"files": 2, "mail": 1}, {"files/read": 3}, {"s1": 3}, {"tester": 3}, {"redacted": 2, "flagged": 1}),
)


@pytest.mark.parametrize(
    ("leak", "stage", "title", "when"),
    [
        (LEAK, Stage.OPENED, "a secret was seen", "to be taken up by 2026-11-14"),
        (replace(LEAK, reopened=1), Stage.OPENED, "a secret that was dealt with was seen again", "to be taken up by"),
        (LEAK, Stage.DUE, "a leaked secret is due: nobody took it up", "day 15 of 27"),
        (LEAK, Stage.OWNER, "a leaked secret still counts", "day 15 of 27"),
        (LEAK, Stage.OVERDUE, "a leaked secret is overdue", "day 15 of 27"),
    ],
    ids=["new", "again", "due", "owner", "overdue"],
)
def test_a_leak_is_told_by_its_kind_its_source_and_how_long_it_has_waited(
    leak: Leak, stage: Stage, title: str, when: str
) -> None:
    notice = leak_notice(leak, stage, NOON, "http://localhost:1/leaks/l_0000000001")
    assert (notice.title, notice.stays) == (f"Wardgate: {title}", False)
    first, second, link = notice.text.splitlines()
    assert first == "github from files and 1 more, seen 3 times, let through once"
    assert second.startswith(when)
    assert second.endswith("owner: ada@x.example")
    assert link == "http://localhost:1/leaks/l_0000000001"


def test_a_notice_of_a_leak_holds_no_fingerprint_no_place_and_no_word_of_a_person() -> None:
    told = f"{leak_notice(LEAK, Stage.OWNER, NOON, '')}"
    assert not any(text in told for text in (MARK, "content[0]", "a word about it"))
    assert "wardgate leaks show l_0000000001" in told


def test_a_leak_without_an_owner_that_stood_in_what_a_client_sent_says_so() -> None:
    bare = replace(LEAK, owner="", seen=Seen(), times=1)
    assert leak_notice(bare, Stage.OPENED, NOON, "").text.splitlines()[:2] == [
        "github from a client, seen once",
        "to be taken up by 2026-11-14; owner: nobody",
    ]


def test_a_honeytoken_is_an_incident_that_names_who_carried_it_and_not_what() -> None:
    signal = a_record(1, Kind.SIGNAL, detail="honeytoken", extra={"call": "d_0000000009", "honeytokens": "files-aws"})
    notice = incident_notice(signal, "")
    assert notice.title == "Wardgate: INCIDENT: a honeytoken was used"
    assert notice.text.splitlines() == [
        "in files/write_file, by claude-code for os:alice",
        "its session is held until somebody thaws it",
        "wardgate explain d_0000000009",
    ]
    assert notice.stays
    bare = a_record(1, Kind.SIGNAL, id="l_1", upstream="", tool="", client="", principal="")
    assert incident_notice(bare, "").text.startswith("in a call, by a client for nobody known")
    assert incident_notice(bare, "").text.endswith("wardgate explain l_1")
    assert incident_notice(a_record(1, tool=""), "here").text.startswith("in files, by")


def test_a_signal_is_told_by_its_name_and_never_with_a_value_of_the_call() -> None:
    told = {"call": "d_7", "effect": "notify", "explanation": "first egress to email `eve@evil.example`"}
    signal = a_record(1, Kind.SIGNAL, detail="new-sink", extra=told)
    notice = signal_notice(signal, "")
    assert notice.title == "Wardgate: signal new-sink"
    assert notice.text == "in files/write_file, by claude-code for os:alice\nwardgate explain d_7"
    raised = a_record(1, Kind.SIGNAL, method="resources/read", tool="mail://x", client="", extra={"effect": "raise"})
    assert signal_notice(raised, "here").text == (
        "in files, by a client for os:alice\nits session is asked about every call above tier read from now on\nhere"
    )
    bare = a_record(1, Kind.SIGNAL, tool="", upstream="", principal="")
    assert signal_notice(bare, "").text == "in a call, by claude-code for nobody known\nwardgate explain d_0000000001"


DUE = a_record(
    1,
    Kind.SIGNAL,
    detail="permissions-due",
    extra={"owner": "ada@corp.dev", "count": 1, "what": [["mail/send\u202e", "unused for 90 days"]]},
)


def test_an_owner_reads_what_to_look_at_and_how_to_list_it() -> None:
    notice = due_notice(DUE)
    assert (notice.title, notice.stays) == ("Wardgate: a permission is to be looked at", False)
    assert notice.text.splitlines() == [
        "of ada@corp.dev:",
        "mail/send\\u{202e}: unused for 90 days",
        "wardgate tools --kind all --owner ada@corp.dev",
    ]


def test_of_many_permissions_some_are_named() -> None:
    many = [[f"mail/t{number}", "new"] for number in range(20)]
    notice = due_notice(structs.replace(DUE, extra={"owner": "ada", "count": 25, "what": many}))
    assert notice.title == "Wardgate: 25 permissions are to be looked at"
    assert notice.text.splitlines()[MOST_DUE : MOST_DUE + 2] == ["mail/t9: new", "and 15 more"]
