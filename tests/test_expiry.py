"""Approvals end when their time is over, though nobody asks: also those from before a start, and after trouble."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from gateway.approvals.expiry import LOOK, Expiry
from gateway.core.model import Proof
from gateway.errors import RecordError
from tests.fakes import a_call, an_ask
from tests.test_approvals import Desk, a_desk


@asynccontextmanager
async def expiring(desk: Desk) -> AsyncIterator[None]:
    """What ends rows runs, and has had its first look."""
    expiry = Expiry(desk.approvals, desk.clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(expiry.run)
        await desk.clock.asleep(1)
        yield
        tasks.cancel_scope.cancel()


async def passes(desk: Desk, seconds: float) -> list[str]:
    """Let time pass; the states of approvals on the record then."""
    desk.clock.advance(seconds)
    await desk.clock.asleep(1)
    return desk.history()


async def test_each_row_ends_when_its_time_is_over_also_one_from_before_a_start(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.approve(await desk.told(a_call(path="a"), an_ask(Proof.LOCAL, timeout=timedelta(minutes=9))))
        await desk.told(a_call(path="b"), an_ask(Proof.LOCAL, timeout=timedelta(minutes=5)))
        before = ["waiting", "approved", "waiting"]
        async with expiring(desk):
            await desk.told(a_call(path="c"), an_ask(Proof.LOCAL, timeout=timedelta(minutes=7)))
            assert await passes(desk, 4 * 60) == [*before, "waiting"]
            assert await passes(desk, 60) == [*before, "waiting", "expired"]
            assert await passes(desk, 2 * 60) == [*before, "waiting", *["expired"] * 2]
            assert await passes(desk, 2 * 60) == [*before, "waiting", *["expired"] * 3]


async def test_a_settled_row_is_looked_for_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    async def counted() -> int:
        asked.append(None)
        return 0

    async with a_desk(tmp_path) as desk, expiring(desk):
        await desk.approvals.vote((await desk.told()).id, False, "os:bob", Proof.LOCAL)
        monkeypatch.setattr(desk.approvals, "expire_due", counted)
        await passes(desk, 3600)
        assert asked == []
        await desk.told(a_call(path="b"))
        await passes(desk, 3600)
        await passes(desk, 3600)
        assert asked == [None]


async def test_what_can_not_be_recorded_now_ends_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object) -> None:
        raise RecordError("the disk is full")

    async with a_desk(tmp_path) as desk, expiring(desk):
        await desk.told()
        with monkeypatch.context() as patch:
            patch.setattr(desk.store, "append", full)
            assert await passes(desk, 600) == ["waiting"]
        assert "can't be ended now: the disk is full" in caplog.text
        assert await passes(desk, LOOK) == ["waiting", "expired"]
