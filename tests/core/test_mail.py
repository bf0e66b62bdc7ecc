"""Whom a mailbox may write to."""

import pytest

from gateway.core.mail import mail_to

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
        ("ada@x.example", ["mailto://[x"]),
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
