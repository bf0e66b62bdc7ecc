"""`leaks`: what is listed and shown with a gateway or without, what is said of one, and what is refused."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from gateway import reading
from gateway.cli import leaks
from gateway.cli.talk import Unreachable, ask
from gateway.core.leaks import leak_id
from gateway.core.model import Act, Finding, Kind
from tests.cli.room import Ended, Room, configure, run_here, running
from tests.fakes import FakeClock, a_record

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
TOKEN, KEY = Finding("github-pat", "content[0].text", "ab" * 8), Finding("private-key", "content[0].text", "cd" * 8)
LEAK, OTHER = (leak_id(found.kind, found.fingerprint) for found in (TOKEN, KEY))


def ago(**time: float) -> FakeClock:
    """A clock that shows so long before what the command's own does."""
    return FakeClock(datetime.now(UTC) - timedelta(**time))


async def read(room: Room, number: int, *findings: Finding) -> None:
    """Record an answer in which this was found."""
    about = {"outcome": "ok", "release": "redacted", "at": room.clock.now(), "findings": findings}
    await room.records.append(a_record(number, Kind.OUTCOME, **about))


async def items(room: Room, *words: str) -> list[dict[str, object]]:
    """What a command prints with `--json`."""
    ended = await room.run(leaks, *words, "--json")
    assert ended.code == 0, ended
    printed = json.loads(ended.out)
    assert printed["schema"] == 1
    return list(printed["items"])


async def test_a_list_says_what_is_to_be_done_first(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, ago(days=15)) as room:
        assert (await room.run(leaks)).out == "no leak is open\n"
        await read(room, 1, Finding(TOKEN.kind, TOKEN.place, TOKEN.fingerprint, act=Act.FLAGGED))
        room.clock.advance(86_400 * 10)
        await read(room, 2, KEY)
        first, second = (await room.run(leaks)).out.splitlines()
        assert first.split()[:7] == [LEAK, "open", "15/27", "days", "owner", "github-pat", "files/write_file"]
        assert first.endswith("seen once, passed once  read again without it  -")
        assert second.split()[:6] == [OTHER, "open", "5/27", "days", "private-key", "files/write_file"]
        assert "exposed" in second


async def test_one_is_shown_with_the_steps_of_its_kind(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, ago(days=1)) as room:
        await read(room, 1, TOKEN)
        out = (await room.run(leaks, "show", LEAK[:6].lower())).out
        assert out.startswith(f"{LEAK}\n")
        assert "open for 1 of 27 days" in out
        assert "1. GitHub" in out
        assert f"wardgate leaks resolve {LEAK}" in out
        await room.run(leaks, "resolve", LEAK, "--proof", "the secret is revoked")
        out = (await room.run(leaks, "show", LEAK)).out
        assert "the [R] is revoked" in out  # screened like every word that is recorded
        assert "To rotate it" not in out
        assert (await room.run(leaks, "show", "l_9999")) == Ended(1, "", "wardgate: unknown leak `l_9999`\n")


async def test_json_has_the_shape_that_is_promised(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, ago(days=1)) as room:
        await read(room, 1, TOKEN, KEY)
        (item,) = await items(room, "show", LEAK)
        assert set(item) == {
            *("id", "kind", "grade", "fingerprint", "generation", "state", "stage", "owner", "first_seen", "last_seen"),
            *("times", "passed", "days", "opened_at", "due_at", "owner_told_at", "overdue_at", "reopened", "exposed"),
            *("clean_at", "source", "place", "first_call", "last_call", "upstreams", "tools", "sessions", "clients"),
            *("acts", "by", "known_by", "at", "note", "until", "false_positive", "steps"),
        }
        page = json.loads((await room.run(leaks, "--json", "--limit", "1")).out)
        assert page["next"] == page["items"][0]["id"]
        assert "--after" in (await room.run(leaks, "--limit", "1")).out
        rest = json.loads((await room.run(leaks, "--json", "--after", page["next"])).out)
        assert {page["items"][0]["id"], rest["items"][0]["id"]} == {LEAK, OTHER}
        assert rest["next"] is None


async def test_a_leak_is_resolved_step_by_step_by_who_sits_there(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, ago(days=1)) as room:
        await read(room, 1, TOKEN)
        assert (await room.run(leaks, "resolve", LEAK, "--state", "rotating")).out == f"rotating: {LEAK}\n"
        (item,) = await items(room, "resolve", LEAK, "--proof", "key 7 is gone")
        assert (item["state"], item["note"], item["known_by"]) == ("rotated", "key 7 is gone", "local")
        assert str(item["by"]).startswith("os:")
        assert await items(room) == []
        assert [item["id"] for item in await items(room, "--state", "rotated")] == [LEAK]
        assert [item["id"] for item in await items(room, "list", "--state", "all")] == [LEAK]
        ended = await room.run(leaks, "resolve", LEAK, "--state", "rotating")
        assert (ended.code, "can't become" in ended.err) == (1, True)
        assert (await room.run(leaks, "resolve", LEAK, "--state", "open")).code == 0
        assert [item["state"] for item in await items(room)] == ["open"]


async def test_a_false_positive_is_accepted_for_a_while_and_passes(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, ago(days=0)) as room:
        await read(room, 1, TOKEN)
        ended = await room.run(leaks, "accept", LEAK, "--false-positive", "--for", "12h")
        assert (ended.code, ended.out.startswith("accepted until ")) == (0, True)
        assert room.leaks.allows(TOKEN.fingerprint)
        (item,) = await items(room, "accept", LEAK, "--reason", "a test account")
        assert (item["false_positive"], item["note"]) == (False, "a test account")
        assert not room.leaks.allows(TOKEN.fingerprint)
        assert "until" in (await room.run(leaks, "show", LEAK)).out
        ended = await room.run(leaks, "accept", LEAK, "--reason", "for good", "--for", "91d")
        assert (ended.code, "90 days" in ended.err) == (1, True)


async def test_what_is_kept_is_read_without_a_gateway_and_nothing_is_said_without_one(
    tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys, ago(days=1)) as room:
        await read(room, 1, TOKEN)
    assert [item["id"] for item in await items(room)] == [LEAK]
    for words in (("resolve", LEAK, "--proof", "x"), ("accept", LEAK, "--reason", "x")):
        assert (await room.run(leaks, *words)).code == 3


async def test_only_auditors_see_the_leaks(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path / "c", capsys, ago(days=1)) as room:
        await read(room, 1, TOKEN)
        monkeypatch.setattr(reading, "viewer_in", lambda config, state: reading.Viewer("os:alice", auditor=False))
        ended = await room.run(leaks)
        assert (ended.code, ended.out, "only auditors" in ended.err) == (1, "", True)


async def test_what_a_command_should_not_send_is_refused(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys, ago(days=1)) as room:
        await read(room, 1, TOKEN)
        asked: tuple[tuple[str, dict[str, Any]], ...] = (
            ("leak-resolve", {"id": LEAK, "state": "forgotten"}),
            ("leak-accept", {"id": LEAK, "note": "x", "minutes": True}),
            ("leak-accept", {"id": LEAK, "note": "x"}),
        )
        for op, about in asked:
            with pytest.raises(Unreachable):
                await anyio.to_thread.run_sync(partial(ask, str(room.folder), op, **about))
        assert (await room.run(leaks, "show", "l_")).code == 1


def test_without_a_record_there_is_nothing_to_read(tmp_path: Path, capsys: Capture) -> None:
    folder = configure(tmp_path / "c")
    assert run_here(capsys, leaks, ["--config", str(folder)]).code == 3


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("list", "l_1234"),
        ("resolve", "l_1234"),
        ("resolve", "l_1234", "--proof", " "),
        ("resolve", "l_1234", "--state", "accepted"),
        ("accept", "l_1234"),
        ("accept", "l_1234", "--reason", "x", "--for", "soon"),
        ("--limit", "0"),
        ("forget", "l_1234"),
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...], tmp_path: Path, capsys: Capture) -> None:
    assert run_here(capsys, leaks, [*words, "--config", str(tmp_path)]).code == 2


def test_it_starts_light_and_reads_without_the_gateways_rooms() -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic'"
    for code in ("gateway.cli.leaks", "gateway.core.leaks, gateway.ledger, gateway.reading, gateway.core.card"):
        look = f"import {code}, sys; print([each for each in ({heavy}) if each in sys.modules])"
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
