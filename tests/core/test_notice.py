"""What notices say, and whom a mailbox may write to."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.core.model import ToolRef
from gateway.core.notice import LONGEST, Group, group_of, mail_to, notice_of, short
from tests.fakes import NOON, a_call, a_row, a_tool, an_ask

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


BOX = "mailtos://me@mail.example.com?to=first@x.example&cc=all@x.example&from=gate@x.example"


def test_a_mailbox_is_made_out_to_one_address() -> None:
    made = mail_to("ada@x.example", ["ntfy://topic", BOX])
    assert made == "mailtos://me@mail.example.com?from=gate%40x.example&to=ada%40x.example"


@pytest.mark.parametrize(
    ("address", "targets"),
    [
        ("ada@x.example", ["ntfy://topic", "json://127.0.0.1"]),
        ("ada@x.example", []),
        ("ada@x.example", ["mailto://"]),
        ("the mail team", [BOX]),
        ("ada", [BOX]),
        ("ada@localhost", [BOX]),
        ("ada@x.example,eve@y.example", [BOX]),
        ("ada@x.example bcc:eve@y.example", [BOX]),
        ("ada@eve@y.example", [BOX]),
    ],
)
def test_nobody_is_written_to_without_a_mailbox_or_one_plain_address(address: str, targets: list[str]) -> None:
    assert mail_to(address, targets) == ""


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
