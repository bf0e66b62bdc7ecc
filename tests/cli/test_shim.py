"""The shim by itself: what it does when a gateway is gone, and when descriptors can't be passed."""

import errno
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.shim import Shim


class Link:
    """A connection on which handing over descriptors fails."""

    def __init__(self, problem: OSError) -> None:
        self._problem = problem

    def sendmsg(self, *ignored: Any) -> int:
        raise self._problem


@pytest.mark.parametrize(
    ("problem", "relays"),
    [
        (BrokenPipeError(errno.EPIPE, "gone"), False),
        (ConnectionResetError(errno.ECONNRESET, "gone"), False),
        (OSError(errno.EPERM, "not permitted"), True),
        (OSError(errno.EINVAL, "no such control message"), True),
    ],
    ids=["gone", "reset", "not permitted", "not known"],
)
def test_bytes_are_relayed_only_where_descriptors_can_not_be_passed(problem: OSError, relays: bool) -> None:
    shim = Shim(None, None, relay=False)
    assert shim._pass(Link(problem)) is None  # type: ignore[arg-type]  # a fake of a socket
    assert shim.relay is relays


def test_a_configuration_that_can_not_be_read_ends_with_1(capfd: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert Shim(str(tmp_path), None, relay=False).run() == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "can't be read" in err


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("first\nwardgate: change `listen`\n", "wardgate: change `listen`"),
        ('{"level": "critical", "message": "change `listen`"}\n', "change `listen`"),
        ('{"message": "\\u001b[2Jodd"}\n', "\\u{1b}[2Jodd"),
        ("\x1b[2Jodd\n", "\\u{1b}[2Jodd"),
        ("[1]\n", "[1]"),
        ('{"other": 1}\n', '{"other": 1}'),
        ("", ""),
        (None, ""),
    ],
    ids=["text", "json", "json with an escape", "text with an escape", "a list", "no message", "empty", "no log"],
)
def test_the_last_words_of_a_gateway_that_did_not_start_are_shown(log: str | None, words: str, tmp_path: Path) -> None:
    shim = Shim(None, None, relay=False)
    shim.state = tmp_path
    if log is not None:
        (tmp_path / "gateway.log").write_text(log, encoding="utf-8")
    assert shim._last_words() == words
