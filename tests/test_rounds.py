"""Rounds that wait for a modern client: bound, used once, ended in time, and never forgotten silently."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.model import Asked, Call, Kind, Principal, Question, Record, Resume, Round
from gateway.errors import BusyError, RecordError
from gateway.records import Records
from gateway.rounds import Rounds
from gateway.store import Limits, SqliteStore, open_store
from tests.fakes import FakeClock, a_call, a_record

ASKED = Asked((Question("q", "elicitation/create", {}),), "s1", "t1")


@dataclass
class Bench:
    """Rounds over a store of the test's own."""

    store: SqliteStore
    clock: FakeClock
    rounds: Rounds
    dropped: list[str] = field(default_factory=list)


@asynccontextmanager
async def bench(place: Path, limit: int = 2) -> AsyncIterator[Bench]:
    """A store, a clock and the rounds in them."""
    async with open_store(place, Limits()) as store:
        clock = FakeClock()
        dropped: list[str] = []

        async def drop(parked: str) -> None:
            dropped.append(parked)

        yield Bench(store, clock, Rounds(store, clock, Records(store, clock), drop, 60.0, limit), dropped)


def kept(asked: Asked | None = ASKED) -> Round:
    """What is kept of a call."""
    return Round("d_0000000001", "d1", 1, "k1", asked)


def closing() -> Record:
    """The outcome of a call that nobody comes back to."""
    return a_record(1, Kind.OUTCOME, outcome="unknown", reason="question-expired")


def back(call: Call, handle: str) -> Call:
    """The same call again, with a handle."""
    return replace(call, resume=Resume(handle))


async def test_a_round_is_taken_once_by_the_call_that_it_was_given_to(tmp_path: Path) -> None:
    async with bench(tmp_path / "state") as house:
        call = a_call()
        handle = await house.rounds.open(call, kept(), closing())
        assert house.rounds.owns(back(call, handle))
        assert not house.rounds.owns(back(call, "AbCd"))
        assert not house.rounds.owns(call)
        assert await house.rounds.take(back(call, handle)) == kept()
        assert await house.rounds.take(back(call, handle)) is None


@pytest.mark.parametrize("what", ["principal", "client", "session", "method", "arguments"])
async def test_a_round_is_nobody_elses(tmp_path: Path, what: str) -> None:
    async with bench(tmp_path / "state") as house:
        call = a_call()
        handle = await house.rounds.open(call, kept(), closing())
        others = {
            "principal": replace(call, principal=Principal("os:eve", "os-user")),
            "client": replace(call, client=replace(call.client, name="other")),
            "session": replace(call, context=replace(call.context, session="s2")),
            "method": replace(call, method="prompts/get"),
            "arguments": a_call(path="b.txt"),
        }
        assert await house.rounds.take(back(others[what], handle)) is None
        assert await house.rounds.take(back(call, handle)) == kept()


async def test_one_round_more_than_the_limit_is_busy(tmp_path: Path) -> None:
    async with bench(tmp_path / "state") as house:
        for number in (1, 2):
            await house.rounds.open(a_call(number), kept(), closing())
        with pytest.raises(BusyError):
            await house.rounds.open(a_call(3), kept(), closing())


async def test_a_round_that_nobody_comes_back_to_ends_as_unknown(tmp_path: Path) -> None:
    async with bench(tmp_path / "state") as house:
        call = a_call()
        handle = await house.rounds.open(call, kept(), closing())
        house.clock.advance(59)
        await house.rounds.end_due()
        assert house.dropped == []
        house.clock.advance(1)
        await house.rounds.end_due()
        assert house.dropped == ["t1"]
        assert house.store.size == 1
        gone = await house.rounds.take(back(call, handle))
        assert gone is not None
        assert (gone.call, gone.asked) == ("d_0000000001", None)


async def test_a_gateway_that_started_anew_knows_that_the_round_is_gone(tmp_path: Path) -> None:
    call = a_call()
    async with bench(tmp_path / "state") as before:
        handle = await before.rounds.open(call, kept(), closing())
    async with bench(tmp_path / "state") as after:
        gone = await after.rounds.take(back(call, handle))
        assert gone is not None
        assert gone.asked is None
        assert await after.rounds.take(back(call, "r_never")) is None


async def test_what_cannot_be_kept_is_not_given_out(tmp_path: Path) -> None:
    async with bench(tmp_path / "state", limit=1) as house:
        (tmp_path / "state" / "record.db").unlink()
        with pytest.raises(RecordError):
            await house.rounds.open(a_call(), kept(), closing())
        assert house.rounds._waiting == {}
