"""`accept policy@DIGEST` shows what a running gateway holds, and accepts exactly that; else the next start takes it."""

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.cli import accept
from gateway.people import user_name
from tests.app.test_reload import BASE, LOOSER, laid_out, started, write
from tests.cli.room import run_here, running

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
DIGEST = "cd" * 32


def row(what: str = "policy") -> dict[str, Any]:
    """What the gateway tells of one that is held."""
    return {
        "what": what,
        "digest": DIGEST,
        "differences": ["a.toml: new\x1b file"],
        "do": f"wardgate accept policy@{DIGEST}",
    }


async def test_it_shows_what_is_held_and_accepts_exactly_that(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.reload.rows.append(row())
        told = await room.run(accept, "policy")
        assert (told.code, room.reload.accepted) == (1, [])
        assert told.out.splitlines()[:2] == [f"policy@{DIGEST}", "  a.toml: new\\u{1b} file"]
        other = await room.run(accept, f"policy@{'0' * 64}")
        assert (other.code, room.reload.accepted) == (1, [])
        done = await room.run(accept, f"policy@{DIGEST}")
        assert (done.code, done.out.splitlines()[-1]) == (0, f"accepted: policy@{DIGEST}")
        assert room.reload.accepted == [(DIGEST, f"os:{user_name(os.getuid())}")]


async def test_what_counts_from_the_next_start_on_is_said_so(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.reload.rows.append(row("upstreams"))
        told = await room.run(accept, f"policy@{DIGEST}", "--json")
        assert json.loads(told.out)["items"] == [{"what": "upstreams", "digest": DIGEST, "restart": True}]
        assert (await room.run(accept, f"policy@{DIGEST}")).out.endswith("(it counts from the next start on)\n")


async def test_nothing_is_held(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        told = await room.run(accept, "policy")
        assert (told.code, told.out) == (1, "no policy is held\n")


async def _digest(folder: Path) -> str:
    async with started(folder) as desk:
        return next((held.digest for held in desk.held.values()), "")


async def _files(folder: Path) -> tuple[set[str], str]:
    async with started(folder) as desk:
        return desk.files, desk.in_force().accepted["accepted_how"]


def test_without_a_gateway_the_next_start_takes_what_was_accepted(tmp_path: Path, capsys: Capture) -> None:
    folder = laid_out(tmp_path, a=BASE)
    assert anyio.run(_digest, folder) == ""
    write(folder / "policies" / "more.toml", LOOSER)
    digest = anyio.run(_digest, folder)
    wrong = run_here(capsys, accept, [f"policy@{'0' * 64}", "--config", str(folder)])
    assert wrong.code == 1
    assert f"policy@{digest}" in wrong.err
    assert anyio.run(_files, folder)[0] == {"a"}
    done = run_here(capsys, accept, [f"policy@{digest}", "--config", str(folder)])
    assert (done.code, done.out.splitlines()[-1]) == (0, f"accepted: policy@{digest}")
    assert "  policies/more.toml: new rule `more` (allow up/send) (may loosen)" in done.out
    assert anyio.run(_files, folder) == ({"a", "more"}, "accepted by digest")


def test_without_a_gateway_a_bad_policy_is_not_accepted(tmp_path: Path, capsys: Capture) -> None:
    folder = laid_out(tmp_path, a=BASE + "other = 1\n")
    told = run_here(capsys, accept, [f"policy@{DIGEST}", "--config", str(folder)])
    assert (told.code, "policies/a.toml" in told.err) == (1, True)
