"""`approvals watch`: at a terminal with its keys, as lines when piped, and across a restart of the gateway."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.acceptance import Held
from gateway.agreed import POLICY
from gateway.app.news import MOST, News
from gateway.app.reload import held_item
from gateway.cli import approvals
from gateway.cli.feed import Feed
from gateway.cli.watch import line
from gateway.core.approval import Chosen, Voter
from gateway.core.model import ApprovalState, Choice, Effect, Proof, Tier
from tests.cli.ptys import Pty, terminal
from tests.cli.room import Room, labelled, run_here, running
from tests.fakes import DEADLINE, FakeClock, a_call, a_row, a_tool, an_ask

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
BOB = Voter("os:bob", Proof.LOCAL)
READ = "read the card first"


async def armed(screen: Pty, key: str, *words: str) -> str:
    """Press a key until the card takes it: what is too fast for a person is told so."""
    while True:
        screen.clear()
        await screen.type(key)
        while True:
            seen = screen.shown
            if all(word in seen for word in words):
                return seen
            if READ in seen:
                break
            await screen._read()


@asynccontextmanager
async def watching(room: Room, **environment: str) -> AsyncIterator[Pty]:
    """The command on a terminal before a gateway."""
    words = ("approvals", "watch", "--config", str(room.folder))
    async with terminal(*words, environment=environment) as screen:
        yield screen


# --- at a terminal --------------------------------------------------------------------------------------------------


async def test_a_call_appears_is_read_and_approved_by_keys_alone(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        await screen.see("Nothing waits for a person.")
        assert b"\x1b[?1049h" in screen.raw  # a screen of its own
        row = await room.asks()
        await screen.see("1 waiting", row.id)
        await screen.type("\r")
        await screen.see("Allow files__write_file?", "a.txt", "Nothing has been executed yet.")
        await armed(screen, "a", f"approved: {row.id} by os:")
        assert (await room.row(row)).state is ApprovalState.APPROVED
        await screen.type("q")
        assert await screen.end() == 0
        assert b"\x1b[?1049l" in screen.raw  # and given back


async def test_ctrl_c_ends_it_with_0_and_gives_the_terminal_back(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        await screen.see("Nothing waits for a person.")
        os.kill(screen.process.pid, signal.SIGINT)
        assert await screen.end() == 0
        assert b"\x1b[?1049l" in screen.raw


async def test_a_call_is_denied_with_a_reason(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        row = await room.asks()
        await screen.see(row.id)
        await screen.type("\r")
        await screen.see("exactly this call")
        await screen.type("b")
        await screen.see("Why?")
        await screen.type("ask me first\r")
        await screen.see(f"denied: {row.id}")
        denied = await room.row(row)
        assert (denied.state, denied.note) == (ApprovalState.DENIED, "ask me first")
        assert room.approvals.standing(a_call(), a_tool()).barred


async def test_a_grant_settles_the_whole_plan_and_tells_what_it_would_have_covered(
    tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        rows = [await room.asks(a_call(number, path="a.txt", text=str(number))) for number in range(3)]
        await screen.see("3 waiting", *(row.id for row in rows))
        await screen.type("\r")
        await screen.see("also waiting in this session: 2")
        await armed(screen, "p", "For how long?", "It would have covered 3 of 3 questions")
        await screen.type("15m\r")
        await screen.see("approved", "Nothing waits for a person.")
        assert {(await room.row(row)).state for row in rows} == {ApprovalState.APPROVED}
        (grant,) = await room.approvals.standings.grants()
        assert (grant.scope, (grant.expires_at - grant.created_at).total_seconds()) == (Choice.PATTERN, 900)


async def test_the_tools_name_is_typed_for_what_is_destructive(tmp_path: Path, capsys: Capture) -> None:
    high = labelled(replace(a_tool(), tier=Tier.HIGH, effect=Effect.DESTRUCTIVE))
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        row = await room.asks(tool=high)
        await screen.see(row.id)
        await screen.type("\r")
        await screen.see("the tool's name is typed")
        await armed(screen, "a", "Type the tool's name")
        await screen.type("yes\r")
        await screen.see("that is not the tool's name")
        assert (await room.row(row)).state is ApprovalState.WAITING
        await screen.type("files__write_file\r")
        await screen.see("approved:")
        assert (await room.row(row)).state is ApprovalState.APPROVED


async def test_a_tool_that_nobody_labelled_is_asked_about_first(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        row = await room.asks(tool=a_tool(), labelled=False, proposed="write")
        await screen.see(row.id)
        await screen.type("\r")
        await screen.see("What does files__write_file do?", "write  (proposed)")
        await screen.type("\r")
        await armed(screen, "\r", "labelled as write: the call is decided again")
        assert (await room.row(row)).followed_by == "again"


async def test_edited_arguments_come_from_the_editor_and_what_is_no_json_changes_nothing(
    tmp_path: Path, capsys: Capture
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!{sys.executable}\nimport sys, pathlib\nfile = pathlib.Path(sys.argv[1])\n"
        "text = file.read_text()\nfile.write_text('{' if 'broken' in text else text.replace('hello', 'goodbye'))\n"
    )
    editor.chmod(0o700)
    async with running(tmp_path / "c", capsys) as room:

        async def reconsider(row: Any, arguments: Any) -> Any:
            return a_row("", a_call(1, **arguments), labelled(), an_ask(Proof.LOCAL), arguments)

        room.approvals.reconsider = reconsider
        async with watching(room, EDITOR=str(editor)) as screen:
            row = await room.asks()
            await screen.see(row.id)
            await screen.type("\r")
            await screen.see("hello")
            await armed(screen, "e", "goodbye", "edited", "A person changed the arguments.")
            waiting = await room.approvals.list(ApprovalState.WAITING)
            assert [(each.follows, each.arguments["text"]) for each in waiting] == [(row.id, "goodbye")]
            broken = await room.asks(a_call(9, path="a.txt", text="broken"))
            await screen.type("q")
            await screen.see(broken.id)
            await screen.type("j\r")
            await screen.see("broken")
            await armed(screen, "e", "these arguments are no JSON")
            assert (await room.row(broken)).state is ApprovalState.WAITING


async def test_a_card_that_is_settled_elsewhere_says_so_at_once(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        row = await room.asks()
        await screen.see(row.id)
        await screen.type("\r")
        await screen.see("exactly this call")
        await room.approvals.settle(row.id, Chosen(Choice.ONCE), BOB)
        await screen.fresh("settled: approved by os:bob")


async def test_upstream_text_can_not_steer_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        await room.asks(a_call(1, path="\x1b]0;owned\x07", text="[red]\u202e"))
        await screen.see("1 waiting")
        await screen.type("\r")
        await screen.see("\\u{1b}]0;owned\\u{7}", "[red]\\u{202e}")
        assert b"\x1b]0" not in screen.raw


async def test_it_outlives_a_restart_of_the_gateway(tmp_path: Path, capsys: Capture) -> None:
    clock = FakeClock()
    async with running(tmp_path / "c", capsys, clock) as room:
        row = await room.asks()
    with anyio.fail_after(DEADLINE):
        async with terminal("approvals", "watch", "--config", str(tmp_path / "c")) as screen:
            await screen.see("no gateway answers")
            async with running(tmp_path / "c", capsys, clock) as room:
                await screen.see("1 waiting", row.id)
            await screen.fresh("no gateway answers")
            async with running(tmp_path / "c", capsys, clock) as room:
                later = await room.asks(a_call(2, path="b.txt", text="x"))
                await screen.see("2 waiting", later.id)


# --- piped ----------------------------------------------------------------------------------------------------------


class Lines:
    """A command whose output is read line by line."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.process, self._rest = process, b""

    async def take(self) -> str:
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            self._rest += await self.process.stdout.receive()
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()


@asynccontextmanager
async def piped(folder: Path, *words: str) -> AsyncIterator[Lines]:
    command = [str(Path(sys.executable).with_name("wardgate")), "approvals", "watch", *words, "--config", str(folder)]
    process = await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Lines(process)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()


async def test_piped_it_prints_a_line_for_each_that_opens_and_is_settled(tmp_path: Path, capsys: Capture) -> None:
    clock = FakeClock()
    async with running(tmp_path / "c", capsys, clock) as room:
        early = await room.asks(a_call(1, path="\x1b[31m", text="x"))
        async with piped(room.folder) as lines:
            assert f"waiting  {early.id}  files/write_file  tier write  os:alice" in await lines.take()
            row = await room.asks(a_call(2, path="b.txt", text="x"))
            assert row.id in await lines.take()
            await room.approvals.settle(row.id, Chosen(Choice.DENY), BOB)
            assert f"denied by os:bob  {row.id}" in await lines.take()
            lines.process.send_signal(signal.SIGINT)
            assert await lines.process.wait() == 0


def heard(feed: Feed) -> list[Any]:
    """What is new, once there is something."""
    link = feed.listen()
    assert link is not None
    events = feed.hear(link)
    assert events is not None
    return events


async def test_a_policy_that_is_held_is_told_once_also_to_who_comes_later(tmp_path: Path, capsys: Capture) -> None:
    held = Held(POLICY, "ab" * 32, {}, ("rule `more` (may loosen)",))
    async with running(tmp_path / "c", capsys) as room:
        early, late = Feed(str(room.folder)), Feed(str(room.folder))
        assert await anyio.to_thread.run_sync(heard, early) == []
        room.reload.rows.append(held_item(held))
        for hear in room.reload.on_held * 2:
            hear(held)
        (told,) = await anyio.to_thread.run_sync(heard, early)
        assert (told["event"], told["item"]) == ("held", held_item(held))
        assert f"held     policy  1 differences  wardgate accept policy@{'ab' * 32}" in line(told)
        (told,) = await anyio.to_thread.run_sync(heard, late)
        assert (told["event"], told["item"]) == ("held", held_item(held))
        row = await room.asks()
        for feed in (early, late):
            assert [event["item"]["id"] for event in await anyio.to_thread.run_sync(heard, feed)] == [row.id]


async def test_a_policy_that_is_held_is_told_on_the_screen(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room, watching(room) as screen:
        await screen.see("Nothing waits for a person.")
        held = Held(POLICY, "ab" * 32, {}, ())
        room.reload.rows.append(held_item(held))
        for hear in room.reload.on_held:
            hear(held)
        await screen.see("held: policy waits for a person", "policy@abab")


async def test_as_json_each_line_is_an_object_across_a_restart(tmp_path: Path, capsys: Capture) -> None:
    clock = FakeClock()
    async with running(tmp_path / "c", capsys, clock) as room:
        row = await room.asks()
        clock.advance(1)
        later = await room.asks(a_call(2, path="b.txt", text="x"))
    with anyio.fail_after(DEADLINE):
        async with piped(tmp_path / "c", "--json") as lines:
            async with running(tmp_path / "c", capsys, clock) as room:
                seen = [json.loads(await lines.take()) for _ in range(2)]
                assert [(each["schema"], each["event"], each["item"]["id"]) for each in seen] == [
                    (1, "opened", row.id),
                    (1, "opened", later.id),
                ]
            async with running(tmp_path / "c", capsys, clock) as room:
                await room.approvals.settle(row.id, Chosen(Choice.ONCE), BOB)
                told = json.loads(await lines.take())
                assert (told["event"], told["item"]["id"], told["item"]["state"]) == ("settled", row.id, "approved")


async def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, capsys: Capture) -> None:
    reader, writer = os.pipe()
    async with running(tmp_path / "c", capsys) as room:
        words = ["approvals", "watch", "--config", str(room.folder)]
        command = [str(Path(sys.executable).with_name("wardgate")), *words]
        async with await anyio.open_process(command, stdout=writer, stderr=subprocess.DEVNULL) as process:
            os.close(writer)
            row = await room.asks()
            await anyio.wait_readable(reader)
            assert row.id in os.read(reader, 4096).decode()
            os.close(reader)
            await room.asks(a_call(2, path="b.txt", text="x"))
            assert await process.wait() == 0


def test_a_configuration_that_can_not_be_read_is_exit_code_1(tmp_path: Path, capsys: Capture) -> None:
    ended = run_here(capsys, approvals, ["watch", "--config", str(tmp_path / "none")])
    assert ended.code == 1


@pytest.mark.parametrize("words", [["show"], ["list", "a_1"], ["watch", "a_1"]], ids=["show", "list", "watch"])
def test_only_show_takes_an_id_and_needs_one(tmp_path: Path, capsys: Capture, words: list[str]) -> None:
    assert run_here(capsys, approvals, words).code == 2


# --- the news that it lives on --------------------------------------------------------------------------------------


def a_change(number: int = 1) -> Any:
    return a_row(f"a_{number:010d}", a_call(number), a_tool(), an_ask(Proof.LOCAL))


async def test_news_are_told_in_order_from_where_one_left_off() -> None:
    news = News(FakeClock())
    first = await news.after("", -1)
    assert (first["missed"], first["number"], first["events"]) == (True, 0, [])
    news.note(a_change(1))
    news.note(replace(a_change(1), state=ApprovalState.DENIED))
    told = await news.after(news.epoch, 0)
    assert [(event["event"], event["item"]["id"]) for event in told["events"]] == [
        ("opened", "a_0000000001"),
        ("settled", "a_0000000001"),
    ]
    assert (told["number"], told["missed"]) == (2, False)
    assert (await news.after(news.epoch, 1))["events"] == told["events"][1:]


async def test_who_waits_for_news_is_woken_or_told_that_there_are_none() -> None:
    news = News(FakeClock(), patience=0.01)
    assert (await news.after(news.epoch, 0))["events"] == []
    news = News(FakeClock())
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            found: list[Any] = []

            async def wait() -> None:
                found.append(await news.after(news.epoch, 0))

            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            news.note(a_change())
        assert len(found[0]["events"]) == 1


@pytest.mark.parametrize("number", [-1, 1, MOST + 11], ids=["never", "too-long-ago", "ahead"])
async def test_who_missed_some_of_it_lists_anew(number: int) -> None:
    news = News(FakeClock())
    for each in range(MOST + 10):
        news.note(a_change(each))
    told = await news.after(news.epoch, number)
    assert (told["missed"], told["events"], told["number"]) == (True, [], MOST + 10)
    assert len((await news.after(news.epoch, 10))["events"]) == MOST
