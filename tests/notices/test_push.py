"""Notices to addresses: what arrives there, and that an address is told to nobody when it fails."""

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.core.notice import Group, Notice
from gateway.errors import GatewayError
from gateway.notices import send
from gateway.notices.push import OwnerMail, Push, resolved
from tests.fakes import DEADLINE
from tests.made import token
from tests.notices.receiver import receiving

GROUP = Group("os:alice", "claude-code", "s1")
NOTICE = Notice(
    "Wardgate: a call waits for a person", "files/x, asked by claude-code\nhttp://localhost:1/approvals/a_1"
)


def a_push(target: str, base: Path) -> Push:
    return Push("to[1]", target, base, anyio.CapacityLimiter(1))


async def test_a_notice_arrives_as_it_is_and_what_is_renewed_is_not_sent_again(tmp_path: Path) -> None:
    with receiving() as receiver, anyio.fail_after(DEADLINE):
        target = a_push(receiver.url("hook"), tmp_path)
        await target.tell(GROUP, NOTICE, anew=True)
        await target.tell(GROUP, NOTICE, anew=False)
        await target.withdraw(GROUP)
    (got,) = receiver.got
    assert (got["title"], got["message"]) == (NOTICE.title, NOTICE.text)


@pytest.mark.parametrize("how", ["env", "file"])
async def test_an_address_may_be_a_reference_that_is_resolved_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with receiving() as receiver, anyio.fail_after(DEADLINE):
        (tmp_path / "address").write_text(receiver.url(), encoding="utf-8")
        (tmp_path / "address").chmod(0o600)
        monkeypatch.setenv("NOTIFY_HERE", receiver.url())
        target = a_push("env:NOTIFY_HERE" if how == "env" else "file:address", tmp_path)
        await target.tell(GROUP, NOTICE, anew=True)
        assert len(receiver.got) == 1


async def test_a_target_that_refuses_is_an_error_without_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = token(1)
    with receiving() as receiver, anyio.fail_after(DEADLINE), caplog.at_level(logging.DEBUG):
        receiver.status = 500
        with pytest.raises(GatewayError) as failed:
            await a_push(receiver.url(secret, f"me:{secret}@"), tmp_path).tell(GROUP, NOTICE, anew=True)
    assert len(receiver.got) == 1
    said = capfd.readouterr()
    assert secret not in f"{failed.value}{caplog.text}{said.out}{said.err}"


@pytest.mark.parametrize("target", ["nonsense", "nonsense://x", "env:NOT_SET_ANYWHERE", "file:none"])
async def test_an_address_that_is_none_is_an_error_in_words(tmp_path: Path, target: str) -> None:
    with pytest.raises(GatewayError):
        await a_push(target, tmp_path).tell(GROUP, NOTICE, anew=True)


def test_a_reference_that_can_not_be_resolved_says_which() -> None:
    with pytest.raises(GatewayError, match="NOT_SET_ANYWHERE"):
        resolved("env:NOT_SET_ANYWHERE", Path("/"))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(send.importlib, "import_module", missing)
    assert "pip install 'wardgate[notify]'" in send.deliver("json://127.0.0.1", "", "")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # a plugin of apprise's imports it
def test_whatever_a_plugin_raises_is_told_by_its_kind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    def broken(*given: Any, **more: Any) -> Any:
        raise RuntimeError("json://me:secret@127.0.0.1")

    monkeypatch.setattr(apprise.Apprise, "notify", broken)
    assert send.deliver("json://127.0.0.1", "", "") == "RuntimeError"


async def test_a_target_that_hangs_is_ended_with_its_program(tmp_path: Path) -> None:
    with receiving() as receiver, anyio.fail_after(DEADLINE):
        receiver.gate.clear()
        async with anyio.create_task_group() as tasks:

            async def tell() -> None:
                await a_push(receiver.url(), tmp_path).tell(GROUP, NOTICE, anew=True)

            tasks.start_soon(tell)
            await anyio.to_thread.run_sync(receiver.begun.wait, DEADLINE)
            tasks.cancel_scope.cancel()


async def test_the_business_owner_is_written_to_from_the_first_mailbox_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = "mailtos://me@mail.example.com?to=ada%40x.example"
    limiter = anyio.CapacityLimiter(1)
    box = "mailtos://me@mail.example.com?to=first@x.example"
    monkeypatch.setenv("MAILBOX", box)
    for owner, targets, address in (
        ("ada@x.example", ("ntfy://topic", box), made),
        ("ada@x.example", ("env:MAILBOX",), made),
        ("the mail team", (box,), ""),
        ("ada@x.example", ("ntfy://topic",), ""),
    ):
        channel = OwnerMail(owner, targets, tmp_path, limiter)
        assert channel._address() == address
        if not address:
            await channel.tell(GROUP, NOTICE, anew=True)  # nobody is told, and nothing is run


async def test_a_notice_is_never_read_as_markup(tmp_path: Path) -> None:
    """A mail is, unless somebody says that a text is none."""
    with receiving() as receiver, anyio.fail_after(DEADLINE):
        notice = Notice(NOTICE.title, "files/<img src=//evil.example/p>, asked by a&b")
        await a_push(f"{receiver.url('hook')}?format=html", tmp_path).tell(GROUP, notice, anew=True)
    (got,) = receiver.got
    assert "<img" not in got["message"]
    assert "&lt;img" in got["message"]
