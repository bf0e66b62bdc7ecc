"""Notices of leaks and honeytokens: who is told at which stage, how often, and never what the secret is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.leaks import Leak, LeakState, Seen, Source, Stage
from gateway.core.model import Grade, Kind
from gateway.core.notice import Group, Notice
from gateway.errors import GatewayError
from gateway.notices.board import MOST_GROUPS, PER_HOUR, Hours
from tests.fakes import DEADLINE, NOON, a_record
from tests.notices.test_desktop import Programs
from tests.notices.test_room import Room, Told, a_room

MARK = "0123456789abcdef"  # a fingerprint


def a_leak(number: int = 1, days: int = 0, **more: Any) -> Leak:
    """A leak that was opened so many days before noon."""
    at = NOON - timedelta(days=days)
    leak = Leak(
        *(f"l_{number}", "github", MARK, "k1", Grade.VENDOR, LeakState.OPEN, "ada@x.example", at, NOON, 1, at),
        source=Source("files", "read", "digest"),
        seen=Seen({"files": 1}),
    )
    return replace(leak, **more)


@asynccontextmanager
async def told_to(**more: Any) -> AsyncIterator[tuple[Room, Told, Told, Told]]:
    """Notices with a first target, a second one, and the business owner of `files`."""
    first, second, mail = Told("first"), Told("second"), Told("owner")
    owner = {"files": mail}.get
    async with a_room(first, second=(second,), owner=owner, **more) as room:
        room.notices.page = lambda path: f"http://localhost:1/{path}"
        yield room, first, second, mail


@pytest.mark.parametrize(
    ("stage", "days", "all_of_them"),
    [(Stage.OPENED, 0, False), (Stage.DUE, 7, False), (Stage.OWNER, 14, True), (Stage.OVERDUE, 27, True)],
    ids=["new", "due", "owner", "overdue"],
)
async def test_the_business_owner_is_told_from_the_fourteenth_day_on(
    stage: Stage, days: int, all_of_them: bool
) -> None:
    async with told_to() as (room, first, second, mail):
        room.notices.tell_leak(a_leak(days=days), stage)
        await first.heard(1)
        if all_of_them:
            await second.heard(1)
            await mail.heard(1)
        room.opens()  # what comes after it is told after it
        await first.heard(2)
        assert [len(each.said) for each in (second, mail)] == [int(all_of_them)] * 2


async def test_a_leak_without_a_source_is_told_the_owner_of_where_it_was_seen() -> None:
    async with told_to() as (room, first, _, mail):
        room.notices.tell_leak(a_leak(days=14, source=None), Stage.OWNER)
        await mail.heard(1)
        room.notices.tell_leak(a_leak(2, days=14, source=None, seen=Seen()), Stage.OWNER)
        await first.heard(2)
        room.opens()
        await first.heard(3)
        assert len(mail.said) == 1


async def test_an_hour_takes_so_many_of_one_stage_and_one_word_on_the_record_beyond() -> None:
    async with told_to() as (room, first, _, _):
        for number in range(PER_HOUR + 3):
            room.notices.tell_leak(a_leak(number), Stage.OPENED)
        record = await room.signal()
        assert (record.kind, record.detail, record.extra) == (
            Kind.SIGNAL,
            "notices-limited",
            {"leaks": "opened", "leak": f"l_{PER_HOUR}"},
        )
        room.notices.tell_leak(a_leak(99, 27), Stage.OVERDUE)
        assert len(await first.heard(PER_HOUR + 1)) == PER_HOUR + 1
        assert len(room.reported) == 1
        room.clock.advance(3600)
        room.notices.tell_leak(a_leak(100), Stage.OPENED)
        assert len(await first.heard(PER_HOUR + 2)) == PER_HOUR + 2


async def test_a_target_that_fails_is_named_with_the_leak_and_not_with_the_secret() -> None:
    async with a_room(Told("to[1]", fails=GatewayError("no"))) as room:
        room.notices.tell_leak(a_leak(), Stage.OPENED)
        record = await room.signal()
        assert (record.detail, record.extra) == ("notice-failed", {"target": "to[1]", "why": "no", "leak": "l_1"})
        assert MARK not in f"{record}"


async def test_a_honeytoken_is_told_everybody_at_once_and_other_signals_nobody() -> None:
    async with told_to() as (room, first, second, mail):
        room.notices.hear_signal(a_record(1, Kind.SIGNAL, detail="repeated-refusal", extra={"effect": "note"}))
        room.notices.hear_signal(a_record(2, Kind.SIGNAL, detail="honeytoken", extra={"call": "d_2"}))
        for each in (first, second, mail):
            await each.heard(1)
            assert each.said == [("tell", "Wardgate: INCIDENT: a honeytoken was used")]


@pytest.mark.parametrize("effect", ["notify", "raise"])
async def test_a_signal_that_policy_says_to_tell_is_told_people_and_not_the_owner_of_the_upstream(effect: str) -> None:
    async with told_to() as (room, first, second, mail):
        told = {"call": "d_2", "effect": effect, "explanation": "first egress to email `eve@evil.example`"}
        room.notices.hear_signal(a_record(2, Kind.SIGNAL, detail="new-sink", extra=told))
        for each in (first, second):
            await each.heard(1)
            assert each.said == [("tell", "Wardgate: signal new-sink")]
        room.notices.hear_signal(a_record(3, Kind.SIGNAL, detail="honeytoken", extra={"call": "d_3"}))
        await mail.heard(1)
        assert mail.said == [("tell", "Wardgate: INCIDENT: a honeytoken was used")]


async def test_honeytokens_are_bounded_by_the_hour_too_and_a_target_that_fails_is_on_the_record() -> None:
    async with a_room(told := Told("to[1]", fails=GatewayError("no"))) as room:
        for number in range(PER_HOUR + 2):
            room.notices.hear_signal(a_record(number, Kind.SIGNAL, detail="honeytoken", session=f"s{number}"))
        await told.heard(PER_HOUR)
        while len(room.reported) < PER_HOUR + 1:
            await room.come.wait()
        limited = [record for record in room.reported if record.detail == "notices-limited"]
        assert [record.extra["leaks"] for record in limited] == ["honeytoken"]
        assert {record.session for record in room.reported} == {f"s{number}" for number in range(PER_HOUR + 1)}


def test_names_that_are_counted_by_the_hour_are_bounded() -> None:
    hours = Hours()
    assert all(hours.counts(str(number), NOON) for number in range(MOST_GROUPS + 5))
    assert len(hours) == MOST_GROUPS


@pytest.mark.may_block(reason="looking for the programs is done once, at start")
@pytest.mark.parametrize("by", ["notify-send", "gdbus", "busctl"])
async def test_on_a_desktop_a_leak_goes_by_itself_and_is_exchanged_by_nothing(by: str, tmp_path: Path) -> None:
    programs = Programs(tmp_path / "programs")
    programs.put(by, "u 7")
    desktop, group = programs.desktop(), Group("", "", "l_1")
    with anyio.fail_after(DEADLINE):
        for _ in range(2):
            await desktop.tell(group, Notice("a", "b", stays=False), anew=True)
        await desktop.withdraw(group)
    assert len(programs.ran) == 2, "there is nothing to take away"
    for ran in programs.ran:
        assert "30000" in " ".join(ran)
        assert "--replace-id=7" not in ran
