"""`approve` and `deny`: what their options send, what a terminal asks first, and how they end."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.cli import approvals, approve, deny
from gateway.cli.decide import READING
from gateway.cli.talk import Unreachable, ask
from gateway.core.model import Approval, ApprovalState, Choice, Effect, Reason, Tier
from tests.cli.ptys import Pty, terminal
from tests.cli.room import LOCAL, Room, labelled, running
from tests.fakes import a_call, a_row, a_tool

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
HIGH = labelled(replace(a_tool(), tier=Tier.HIGH, effect=Effect.DESTRUCTIVE))


async def state(room: Room, row: Approval) -> str:
    """What became of a row."""
    return (await room.row(row)).state.value


# --- without a terminal ---------------------------------------------------------------------------------------------


async def test_without_a_terminal_a_vote_counts_at_once(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row, other = await room.asks(), await room.asks(a_call(2, path="b.txt", text="x"))
        ended = await room.run(approve, row.id[:7], "--reason", "seen")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines()[0].startswith("Allow `files__write_file`")
        assert ended.out.splitlines()[-1] == f"approved: {row.id} by {(await room.row(row)).decided_by}"
        assert (await room.row(row)).note == "seen"
        assert (await room.run(deny, other.id, "--reason", "no")).code == 0
        assert (await room.row(other)).note == "no"
        for again in (await room.run(approve, row.id), await room.run(deny, row.id), await room.run(approve, "a_0000")):
            assert again.code == 1


@pytest.mark.parametrize(
    ("words", "choice", "lasts", "uses"),
    [
        (["--arguments"], Choice.ARGUMENTS, 60, 100),
        (["--pattern", "--for", "15m"], Choice.PATTERN, 15, 100),
        (["--session", "--for", "2h", "--uses", "3"], Choice.SESSION, 120, 3),
        (["--vouch", "a.txt", "--for", "1h"], Choice.VOUCH, 60, 100),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
async def test_a_grant_is_given_for_as_long_and_as_often_as_said(
    tmp_path: Path, capsys: Capture, words: Sequence[str], choice: Choice, lasts: int, uses: int
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks(decision=replace(LOCAL, reason=Reason.UNPROVEN), vouchable=("a.txt",))
        ended = await room.run(approve, row.id, *words)
        assert (ended.code, f"unasked, up to {uses} times in {lasts} min: " in ended.out) == (0, True)
        assert ("with any value of `text`" in ended.out) is (choice is Choice.PATTERN)
        (grant,) = await room.approvals.standings.grants()
        assert (grant.scope, grant.expires_at - grant.created_at, grant.uses) == (
            choice,
            timedelta(minutes=lasts),
            uses,
        )
        assert await state(room, row) == "approved"


@pytest.mark.parametrize(
    "words",
    [
        ["--for", "1h"],
        ["--uses", "3"],
        ["--pattern", "--for", "soon"],
        ["--pattern", "--uses", "0"],
        ["--pattern", "--session"],
        ["--arguments", "--edit", "x.json"],
        ["--bar"],
    ],
    ids=" ".join,
)
async def test_options_that_do_not_go_together_send_nothing(
    tmp_path: Path, capsys: Capture, words: Sequence[str]
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        assert (await room.run(approve, row.id, *words)).code == 2
        assert await state(room, row) == "waiting"


@pytest.mark.parametrize("words", [["--vouch", "eve@x.example"], ["--pattern", "--for", "9h"]], ids=["value", "time"])
async def test_what_the_card_does_not_offer_is_exit_code_1(
    tmp_path: Path, capsys: Capture, words: Sequence[str]
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        ended = await room.run(approve, row.id, *words)
        assert ended.code == 1
        assert row.id in ended.err
        assert await state(room, row) == "waiting"


async def test_a_denial_may_bar_the_tool_for_its_session(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        assert (await room.run(deny, row.id, "--bar", "--reason", "never")).code == 0
        assert "never" in room.approvals.standing(a_call(), a_tool()).barred


@asynccontextmanager
async def editing(tmp_path: Path, capsys: Capture) -> AsyncIterator[Room]:
    """A gateway that lets arguments be edited."""
    async with running(tmp_path / "c", capsys) as room:

        async def reconsider(row: Approval, arguments: Any) -> Approval:
            return a_row("", a_call(1, **arguments), labelled(), LOCAL, arguments)

        room.approvals.reconsider = reconsider
        yield room


@pytest.mark.parametrize("given", ["file", "stdin"])
async def test_edited_arguments_are_what_is_approved(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    file = tmp_path / "arguments.json"
    file.write_text('{"path": "b.txt"}', encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(file.read_text(encoding="utf-8")))
    async with editing(tmp_path, capsys) as room:
        row = await room.asks()
        ended = await room.run(approve, row.id, "--edit", str(file) if given == "file" else "-", "--json")
        (item,) = json.loads(ended.out)["items"]
        assert (ended.code, item["state"], item["arguments"]) == (0, "approved", {"path": "b.txt"})
        assert item["id"] != row.id
        assert await state(room, row) == "withdrawn"


@pytest.mark.parametrize("text", ["[1]", "{", None], ids=["list", "broken", "missing"])
async def test_arguments_that_can_not_be_read_change_nothing(tmp_path: Path, capsys: Capture, text: str | None) -> None:
    file = tmp_path / "arguments.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    async with editing(tmp_path, capsys) as room:
        row = await room.asks()
        ended = await room.run(approve, row.id, "--edit", str(file))
        assert ended.code == 1
        assert "arguments.json" in ended.err
        assert await state(room, row) == "waiting"


async def test_show_prints_the_card_and_list_what_is_asked_for(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks(a_call(1, path="\x1b[31m", text="x"))
        assert "Wardgate, approval" in (await room.run(approvals, "show", row.id)).out
        listed = (await room.run(approvals)).out
        assert row.id in listed
        await room.run(deny, row.id)
        assert (await room.run(approvals)).out == "nothing waits for a person\n"
        assert "denied" in (await room.run(approvals, "list", "--state", "all")).out
        (item,) = json.loads((await room.run(approvals, "show", row.id, "--json")).out)["items"]
        assert (item["id"], item["view"]["state"]) == (row.id, "denied")


# --- at a terminal --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def at(room: Room, *words: str) -> AsyncIterator[Pty]:
    """A command on a terminal."""
    async with terminal(*words, "--config", str(room.folder)) as screen:
        yield screen


async def answer(screen: Pty, text: str, question: str) -> None:
    """Read the question as a person does, and type an answer."""
    await screen.see(question)
    await anyio.sleep(READING * 1.2)  # it is a person's time, not a wait for the command
    screen.clear()
    await screen.type(f"{text}\r")


async def test_a_terminal_shows_the_card_before_it_asks_and_takes_no_hasty_yes(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        async with at(room, "approve", row.id) as screen:
            seen = await screen.see("Type `yes` to approve exactly this call")
            assert "Allow files__write_file?" in seen
            await screen.type("yes\r")
            await screen.see("once more, please")
            assert await state(room, row) == "waiting"
            await answer(screen, "yes", "Type `yes`")
            assert await screen.end() == 0
        assert await state(room, row) == "approved"


async def test_anything_but_yes_decides_nothing(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        async with at(room, "approve", row.id) as screen:
            await answer(screen, "y", "Type `yes`")
            assert await screen.end() == 1
        assert await state(room, row) == "waiting"


async def test_the_tools_name_is_typed_for_what_is_destructive(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks(tool=HIGH)
        for said, code in (("yes", 1), ("files__write_file", 0)):
            async with at(room, "approve", row.id) as screen:
                await answer(screen, said, "Type `files__write_file` to approve")
                assert await screen.end() == code
        assert await state(room, row) == "approved"


async def test_yes_as_an_option_asks_nothing(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks(tool=HIGH)
        async with at(room, "approve", row.id, "--yes") as screen:
            assert await screen.end() == 0
        assert await state(room, row) == "approved"


async def test_a_grant_says_at_the_terminal_what_it_allows(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        async with at(room, "approve", row.id, "--pattern") as screen:
            await answer(screen, "yes", "Type `yes` to approve this pattern")
            assert await screen.end() == 0
        assert len(await room.approvals.standings.grants()) == 1
        high = await room.asks(a_call(2, path="b", text="x"), tool=HIGH)
        async with at(room, "approve", high.id, "--session") as screen:
            await screen.see("this can't be chosen here: this tool in this session")
            assert await screen.end() == 1


async def test_a_tool_that_nobody_labelled_is_asked_about_first(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks(tool=a_tool(), labelled=False, proposed="write")
        async with at(room, "approve", row.id) as screen:
            await answer(screen, "nonsense", "What does it do? (Enter: write")
            await screen.see("expected one of them")
            await answer(screen, "", "What does it do? (Enter: write")
            assert await screen.end() == 0
        assert (await room.row(row)).followed_by == "again"
        other = await room.asks(a_call(2, path="b", text="x"), tool=a_tool(), labelled=False, proposed="write")
        async with at(room, "approve", other.id) as screen:
            await answer(screen, "skip", "What does it do?")
            await answer(screen, "yes", "Type `yes`")
            assert await screen.end() == 0
        assert await state(room, other) == ApprovalState.APPROVED.value


async def test_show_lays_the_card_out_at_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        async with at(room, "approvals", "show", row.id) as screen:
            assert await screen.end() == 0
            assert "who      os:alice (os-user) with claude-code" in screen.shown


@pytest.mark.parametrize(
    ("op", "choice"), [("deny", "once"), ("deny", "pattern"), ("approve", "deny"), ("approve", [])]
)
async def test_no_word_means_its_opposite_at_the_control_socket(
    tmp_path: Path, capsys: Capture, op: str, choice: Any
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        with pytest.raises(Unreachable):
            await anyio.to_thread.run_sync(partial(ask, str(room.folder), op, id=row.id, choice=choice))
        assert await state(room, row) == "waiting"
