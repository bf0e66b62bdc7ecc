"""Leaks as the console is told of them: who may see which, the calls that saw one, and what people say of one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from gateway.app import tallies
from gateway.app.console import ConsoleGate
from gateway.app.definitions import Definitions
from gateway.console.ports import LeakChoice, LeakStory, LeakWord
from gateway.core.approval import Voter
from gateway.core.leaks import Leak, LeakState, leak_id
from gateway.core.model import Act, Finding, Grade, Kind, Proof
from gateway.errors import ApprovalError
from gateway.leaks import Leaks
from gateway.records import Records
from gateway.store import open_store
from tests.fakes import DEADLINE, KEY, FakeClock, a_record
from tests.store.keep import AT_ONCE

ONE = Finding("github", "content[0].text", "1" * 16, act=Act.FLAGGED)
TWO = Finding("gateway-secret", "content[0].text", "2" * 16, exact=True, grade=Grade.EXACT, act=Act.WITHHELD)
FIRST, SECOND = (leak_id(one.kind, one.fingerprint) for one in (ONE, TWO))
ADA = Voter("os:ada", Proof.LOCAL)


class Cleaner:
    """A screener that finds one word."""

    async def clean(self, value: Any, deadline: float) -> Any:
        return str(value).replace("hunter2", "[REDACTED:word:1]")


class Offering:
    """A catalogue of nothing."""

    def offered(self, kind: str, only: str = "") -> tuple[()]:
        return ()

    def on_change(self, watcher: object) -> None:
        pass


@dataclass
class Kept:
    """A gate before a store in which two calls of two principals saw two secrets."""

    gate: ConsoleGate
    records: Records
    leaks: Leaks

    async def saw(self, number: int, principal: str, *found: Finding) -> None:
        """Put a call on the record that saw something."""
        more = {"principal": principal, "findings": found, "release": "redacted", "outcome": "ok"}
        await self.records.append(a_record(number, principal=principal))
        await self.records.append(a_record(number, Kind.OUTCOME, **more))

    async def story(self, id: str, name: str = "os:root") -> LeakStory:
        """What somebody is told of a leak that they may see."""
        told = await self.gate.leak(name, id)
        assert told is not None
        return told


@asynccontextmanager
async def keeping(state: Path) -> AsyncIterator[Kept]:
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE) as store:
            leaks = Leaks(store, clock, {"k1": KEY})
            records = Records(store, clock, lambda upstream: "owner@example.com")
            entry = SimpleNamespace(roles=frozenset({"auditor"}))
            settings = SimpleNamespace(gateway=SimpleNamespace(state=state), approvers={"eve": entry})
            upstreams = SimpleNamespace(catalogue=Offering())
            gateway: Any = SimpleNamespace(
                clock=clock, store=store, settings=settings, upstreams=upstreams, leaks=leaks, screener=Cleaner()
            )
            kept = Kept(ConsoleGate(gateway, Definitions(gateway.upstreams.catalogue)), records, leaks)
            await kept.saw(1, "os:alice", ONE)
            await kept.saw(2, "os:bob", TWO)
            yield kept


async def ids(kept: Kept, name: str) -> list[str]:
    return [leak.id for leak in await kept.gate.leaks(name)]


async def test_who_may_see_all_records_sees_all_leaks_and_others_those_of_their_own_calls_or_upstreams(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as kept:
        for name in ("os:root", "eve"):
            assert sorted(await ids(kept, name)) == sorted((FIRST, SECOND))
        assert await ids(kept, "alice") == [FIRST]
        assert await ids(kept, "nobody") == []
        assert sorted(await ids(kept, "owner@example.com")) == sorted((FIRST, SECOND))
        assert await kept.gate.leak("alice", SECOND) is None
        assert await kept.gate.leak("os:root", "l_0000") is None
        told = [await kept.story(FIRST, name) for name in ("alice", "owner@example.com", "eve", "os:root")]
        assert [(each.known, each.may) for each in told] == [(False, False), (False, True), (True, True), (True, True)]


async def test_a_leak_is_told_with_the_newest_of_its_calls_once_each_and_no_others(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        for number in range(3, tallies.MOST_CALLS + 5):
            await kept.saw(number, "os:alice" if number % 2 else "os:bob", ONE, ONE)
        told = await kept.story(FIRST[:8])
        numbers = [int(row.record.id[2:]) for row in told.calls]
        assert numbers == list(range(tallies.MOST_CALLS + 4, 4, -1))
        assert (told.leak.id, told.known, told.history) == (FIRST, True, ())
        own = await kept.story(FIRST, "alice")
        assert {row.record.principal for row in own.calls} == {"os:alice"}


@pytest.mark.parametrize(
    ("word", "state", "note"),
    [
        (LeakWord(LeakChoice.ROTATING), LeakState.ROTATING, ""),
        (
            LeakWord(LeakChoice.ROTATED, "hunter2 is off"),
            LeakState.ROTATED,
            "[REDACTED:word:1] is off",
        ),
        (LeakWord(LeakChoice.ACCEPT, "a test's", timedelta(days=90)), LeakState.ACCEPTED, "a test's"),
        (LeakWord(LeakChoice.ALLOW, "", timedelta(days=30)), LeakState.ACCEPTED, ""),
    ],
    ids=["rotating", "rotated", "accept", "allow"],
)
async def test_what_is_said_is_on_the_record_without_secrets(
    word: LeakWord, state: LeakState, note: str, tmp_path: Path
) -> None:
    async with keeping(tmp_path) as kept:
        after = await kept.gate.settle_leak((await kept.story(FIRST)).leak, word, ADA)
        assert (after.state, after.note, after.by) == (state, note, "os:ada")
        assert kept.leaks.allows(ONE.fingerprint) is (word.choice is LeakChoice.ALLOW)
        told = await kept.story(FIRST)
        (row,) = told.history
        assert (row.record.kind, row.record.id, row.record.detail) == (Kind.LEAK, FIRST, note)
        assert (row.record.extra["state"], row.record.extra["by"]) == (state.value, "os:ada")
        assert told.leak == after


async def test_a_leak_is_opened_again_and_one_of_the_gateways_own_is_never_allowed(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        gate = kept.gate
        leak: Leak = (await kept.story(FIRST)).leak
        await gate.settle_leak(leak, LeakWord(LeakChoice.ALLOW, "", timedelta(days=1)), ADA)
        again = await gate.settle_leak(leak, LeakWord(LeakChoice.OPEN), ADA)
        assert (again.state, kept.leaks.allows(ONE.fingerprint)) == (LeakState.OPEN, False)
        own = (await kept.story(SECOND)).leak
        with pytest.raises(ApprovalError):
            await gate.settle_leak(own, LeakWord(LeakChoice.ALLOW, "", timedelta(days=1)), ADA)
        with pytest.raises(ApprovalError):
            await gate.settle_leak(own, LeakWord(LeakChoice.ROTATING), Voter("os:ada", Proof.CLIENT))


async def test_all_leaks_are_listed_page_by_page_and_no_more_than_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path) as kept:
        for number in range(30, 35):
            await kept.saw(number, "os:alice", Finding("github", "x", f"{number}" * 8))
        page = tallies.ledger.page
        monkeypatch.setattr(tallies.ledger, "page", lambda db, after="": page(db, after=after, limit=2))
        assert len(set(await ids(kept, "os:root"))) == 7
        monkeypatch.setattr(tallies, "MOST_LEAKS", 3)
        assert len(await ids(kept, "os:root")) == 4
