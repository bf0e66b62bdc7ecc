"""`grants`: what is listed, what is revoked, and what it says where nothing fits."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.cli import grants
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Choice, Proof, Reason
from tests.cli.room import LOCAL, Room, configure, run_here, running
from tests.fakes import FakeClock, a_call

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
BOB = Voter("os:bob", Proof.LOCAL)


def today() -> FakeClock:
    """A clock that shows what the command's own does."""
    return FakeClock(datetime.now(UTC))


async def given(room: Room, choice: Choice, number: int = 1, **more: Any) -> str:
    """The id of a grant that was given on a card."""
    decision = LOCAL if choice is not Choice.VOUCH else replace(LOCAL, reason=Reason.UNPROVEN)
    vouchable = ("a.txt",) if choice is Choice.VOUCH else ()
    row = await room.asks(a_call(number, path="a.txt", text=str(number)), decision=decision, vouchable=vouchable)
    until = room.clock.now() + timedelta(hours=1)
    await room.approvals.settle(row.id, Chosen(choice, until=until, values=vouchable, **more), BOB)
    newest, *_ = await room.approvals.standings.grants()
    room.clock.advance(1)
    return newest.id


async def test_a_list_says_in_words_what_is_allowed_until_when_and_by_whom(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, today()) as room:
        assert (await room.run(grants)).out == "no grant stands\n"
        for number, choice in enumerate((Choice.ARGUMENTS, Choice.PATTERN, Choice.SESSION, Choice.VOUCH)):
            await given(room, choice, number, uses=5)
        lines = (await room.run(grants)).out.splitlines()
        for line, words in zip(
            reversed(lines),
            ("these exact arguments", "the same path, any text", "this tool in session s1", "the value 'a.txt'"),
            strict=True,
        ):
            assert words in line
            assert "files/write_file  os:alice with claude-code  0 of 5 uses  until " in line
            assert line.endswith("by os:bob")


async def test_json_has_the_shape_that_is_promised(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, today()) as room:
        id = await given(room, Choice.PATTERN)
        printed = json.loads((await room.run(grants, "list", "--json")).out)
        (item,) = printed["items"]
        assert (printed["schema"], printed["next"], item["id"], item["pinned"]) == (1, None, id, ["path"])
        assert set(item) == {
            *("id", "scope", "owner", "proof", "approval", "principal", "client", "session", "upstream", "tool"),
            *("effect", "tier", "reason", "rules", "free", "pinned", "value", "created_at", "expires_at", "uses"),
            *("used", "ended", "note"),
        }


async def test_a_revoked_grant_counts_no_more_and_is_listed_only_with_all(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, today()) as room:
        id = await given(room, Choice.ARGUMENTS)
        ended = await room.run(grants, "revoke", id[:8].lower())
        assert (ended.code, ended.out) == (0, f"revoked: {id}\n")
        again = await room.run(grants, "revoke", id)
        assert again.code == 1
        assert id in again.err
        assert (await room.run(grants)).out == "no grant stands\n"
        assert "revoked by os:" in (await room.run(grants, "--all")).out


async def test_what_has_expired_or_is_used_up_is_told(tmp_path: Path, capsys: Capture) -> None:
    clock = today()
    async with running(tmp_path / "c", capsys, clock) as room:
        clock.wall -= timedelta(hours=2)
        await given(room, Choice.ARGUMENTS)
        assert "expired" in (await room.run(grants, "--all")).out
        assert (await room.run(grants)).out == "no grant stands\n"
    assert grants.ended({"ended": "", "expires_at": "2999-01-01T00:00:00Z", "used": 2, "uses": 2}) == "used up"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["revoke"], 2),
        (["list", "g_1"], 2),
        (["other"], 2),
        (["revoke", "g_0000000000"], 1),
        (["revoke", "g_"], 1),
    ],
    ids=["no-id", "list-with-id", "other", "unknown", "short"],
)
async def test_wrong_words_revoke_nothing(tmp_path: Path, capsys: Capture, words: list[str], code: int) -> None:
    async with running(tmp_path / "c", capsys, today()) as room:
        await given(room, Choice.ARGUMENTS)
        assert (await room.run(grants, *words)).code == code
        (grant,) = await room.approvals.standings.grants()
        assert not grant.ended


def test_without_a_gateway_it_ends_with_3(tmp_path: Path, capsys: Capture) -> None:
    configure(tmp_path / "c")
    for words in (["list"], ["revoke", "g_0000000000"]):
        ended = run_here(capsys, grants, [*words, "--config", str(tmp_path / "c")])
        assert (ended.code, ended.out) == (3, "")
