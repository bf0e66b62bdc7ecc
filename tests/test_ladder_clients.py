"""The hold ladder before clients of every kind, scripted on the wire: the real face, path, desk and store, and a clock
that the test turns. Only what stands upstream is a fake.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.core.canon import canonical
from gateway.core.model import Approval, ApprovalState, Kind, Proof, Result
from gateway.core.view import History, view
from gateway.enforce import Enforcer
from gateway.inquire import Inquiry
from gateway.records import Records
from gateway.server.answers import APPROVAL_KEY, DECISION_KEY
from gateway.server.caller import QUESTION
from gateway.store import SqliteStore, open_store, rows
from tests.fakes import FakeClock
from tests.house import KEY, Model
from tests.server.room import PEER, Room, Wire
from tests.store.keep import AT_ONCE, on_disk, whole

WRITE: Mapping[str, Any] = {"name": "up__write", "arguments": {"path": "a.txt"}}
SEND: Mapping[str, Any] = {"name": "up__send", "arguments": {"to": "bob"}}
FORMS: Mapping[str, Any] = {"elicitation": {"form": {}}}
YES: Mapping[str, Any] = {"action": "accept", "content": {"approve": True}}
NO: Mapping[str, Any] = {"action": "decline"}
SILENT, HEARD = 25, 50  # seconds for which an unknown client is held without and with a progress token


@dataclass
class Stage:
    """A gateway without upstreams, and what the test does with it."""

    room: Room
    clock: FakeClock
    desk: Approvals
    store: SqliteStore
    model: Model
    state: Path

    @property
    def sent(self) -> list[bytes]:
        """What was forwarded."""
        return self.model.upstreams.sent

    async def waits(self) -> None:
        """Wait until a call is held."""
        await self.clock.asleep(2)

    async def row(self) -> Approval:
        (row,) = await self.desk.list()
        return row

    async def approve(self) -> None:
        """A person approves at another door, as the user of this machine."""
        await self.desk.vote((await self.row()).id, True, "os:bob", Proof.LOCAL)

    async def held(self, wire: Wire, seconds: float, call: Mapping[str, Any] = WRITE) -> dict[str, Any]:
        """What a call is answered after so many seconds in which nobody decides, and not before."""
        found: list[dict[str, Any]] = []

        async def listen() -> None:
            found.append(await wire.ask("tools/call", call))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await self.waits()
            self.clock.advance(seconds - 1)
            await self.waits()
            assert found == []
            self.clock.advance(1)
        return found[0]


@asynccontextmanager
async def a_stage(tmp_path: Path, holds: Mapping[str, float] | None = None) -> AsyncIterator[Stage]:
    state = tmp_path / "state"
    async with open_store(state, AT_ONCE) as store:
        clock, room, model = FakeClock(), Room(), Model()
        desk = Approvals(store, clock, KEY)
        model.upstreams.reply = Result({"content": [{"type": "text", "text": "wrote it"}]})
        house = model.house._replace(clock=clock, approvals=desk, records=Records(store, clock))
        room.face._enforcer = Enforcer(house, Inquiry(house, patience=1, most_rounds=3))
        room.face._settings = replace(room.face._settings, holds=holds or {})
        yield Stage(room, clock, desk, store, model, state)
    await whole(state)


def again(result: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The same call with the handle that the gateway gave, and the user's answer if there is one."""
    answers = {} if answer is None else {"inputResponses": {QUESTION: answer}}
    return {**WRITE, "requestState": result["requestState"], **answers}


def ran(result: Mapping[str, Any]) -> bool:
    return not result.get("isError") and result["content"][0]["text"] == "wrote it"


def pending(result: Mapping[str, Any]) -> bool:
    """Whether the model is told that it waits, with the ids that a program can read."""
    told = result["content"][0]["text"].startswith("NOT EXECUTED YET - waiting for a person")
    meta = result["_meta"]
    assert meta[DECISION_KEY]["verdict"] == "ask"
    assert meta[DECISION_KEY]["reason"] == "approval-pending"
    assert meta[APPROVAL_KEY]["id"] in result["content"][0]["text"]
    assert "T" in meta[APPROVAL_KEY]["expires_at"]
    return bool(result["isError"] and told)


# --- modern ----------------------------------------------------------------------------------------------------------


async def test_a_modern_client_that_can_ask_is_asked_at_once_and_its_users_yes_runs_the_call(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("modern", FORMS) as wire:
        asked = await wire.ask("tools/call", WRITE)
        question = asked["inputRequests"][QUESTION]["params"]
        assert (asked["resultType"], question["mode"]) == ("input_required", "form")
        assert stage.sent == []
        stage.clock.advance(5)
        assert ran(await wire.ask("tools/call", again(asked, YES)))
        assert len(stage.sent) == 1


async def test_a_forged_and_a_replayed_state_run_nothing(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("modern", FORMS) as wire:
        asked = await wire.ask("tools/call", WRITE)
        stage.clock.advance(5)
        other = {**again(asked, YES), "arguments": {"path": "b.txt"}}
        forged = again({"requestState": "h_" + "A" * 22}, YES)
        assert ran(await wire.ask("tools/call", again(asked, YES)))
        for call in (forged, other, again(asked, YES)):
            refused = await wire.ask("tools/call", call)
            assert refused["error"]["data"][DECISION_KEY]["reason"] == "handle-invalid"
        assert len(stage.sent) == 1


async def test_a_modern_client_that_can_not_ask_is_held_and_told_to_call_again(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("modern", {}) as wire:
        asked = await stage.held(wire, SILENT)
        assert (asked["resultType"], "inputRequests" in asked) == ("input_required", False)
        await stage.approve()
        assert ran(await wire.ask("tools/call", again(asked)))
        assert len(stage.sent) == 1


async def test_an_answer_at_another_door_ends_the_hold_of_a_modern_client(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("modern", {}) as wire:
        number = await wire.send("tools/call", WRITE)
        await stage.waits()
        await stage.approve()
        assert ran(await wire.answer(number))


# --- legacy ----------------------------------------------------------------------------------------------------------


async def test_a_legacy_client_that_can_ask_is_asked_while_its_call_waits(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", FORMS) as wire:
        wire.replies = {"elicitation/create": YES}
        assert ran(await wire.ask("tools/call", WRITE))
        assert [method for method, _ in wire.told] == ["elicitation/create"]
        assert (await stage.row()).decided_by == "client:claude-code"


async def test_a_legacy_client_that_can_not_ask_is_told_that_it_waits_and_the_same_call_again_runs_once(
    tmp_path: Path,
) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", {}) as wire:
        assert pending(await stage.held(wire, SILENT))
        await stage.approve()
        assert ran(await wire.ask("tools/call", WRITE))
        assert len(stage.sent) == 1
        assert pending(await stage.held(wire, SILENT))  # a call of its own, which asks anew
        assert len(stage.sent) == 1


async def test_the_question_in_a_client_tells_what_was_decided_before(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", FORMS) as wire:
        wire.replies = {"elicitation/create": YES}
        for arguments in ({"path": "a.txt"}, {"path": "b.txt"}):
            assert ran(await wire.ask("tools/call", {**WRITE, "arguments": arguments}))
        first, second = (params["message"] for _, params in wire.told)
        assert "Before:" not in first
        assert (
            "Before: approved once, denied 0 times (by client:claude-code); not as at the last approval: path" in second
        )


async def test_hidden_characters_and_100_kb_of_a_value_are_shown_for_what_they_are_and_run_as_they_were(
    tmp_path: Path,
) -> None:
    long = "x" * 100_000
    arguments = {"path": "a\u202etxt.exe\u200b", "text": long}
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", FORMS) as wire:
        wire.replies = {"elicitation/create": YES}
        assert ran(await wire.ask("tools/call", {**WRITE, "arguments": arguments}))
        message = wire.told[0][1]["message"]
        assert "path: a\\u{202e}txt.exe\\u{200b}" in message
        assert "(100000 characters in all, sha256 " in message
        assert len(message) < 10_000
        assert not {"\u202e", "\u200b"} & set(message)
        (path, text) = view(await stage.row(), History(), (), stage.clock.now()).arguments
        assert (path.hidden, text.folded, text.length, text.text) == (True, True, 100_000, long)
        assert stage.sent == [canonical(arguments)]


# --- patience --------------------------------------------------------------------------------------------------------


async def test_a_client_without_a_progress_token_hears_nothing_and_is_held_for_less(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", {}) as wire:
        assert pending(await stage.held(wire, SILENT))
        assert wire.told == []
        heard = {**WRITE, "_meta": {"progressToken": "t"}}
        assert pending(await stage.held(wire, HEARD, heard))
        told = [params["message"] for method, params in wire.told if method == "notifications/progress"]
        assert told
        assert set(told) == {f"waiting for approval {(await stage.row()).id}"}


async def test_a_client_that_gives_up_at_30_s_is_answered_before_that_once_it_was_seen_twice(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", {}) as wire:
        heard = {**WRITE, "_meta": {"progressToken": "t"}}
        for _ in range(2):
            number = await wire.send("tools/call", heard)
            await wire.next()  # it hears that a person is awaited
            await stage.waits()
            stage.clock.advance(30)
            await wire.tell("notifications/cancelled", {"requestId": number})
            await wire.settle()
            while not (await stage.row()).told:  # it is kept for the same call
                await anyio.lowlevel.checkpoint()
        assert pending(await stage.held(wire, 24, heard))
        assert stage.sent == []


async def test_a_client_that_gives_up_at_60_s_is_answered_before_that(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", {}) as wire:
        heard = {**WRITE, "_meta": {"progressToken": "t"}}
        assert pending(await stage.held(wire, HEARD, heard))
        assert HEARD < 60


async def test_a_registered_client_is_held_as_its_configuration_says(tmp_path: Path) -> None:
    async with a_stage(tmp_path, {PEER.client: 90.0}) as stage, stage.room.wire("legacy", {}) as wire:
        assert pending(await stage.held(wire, 90))


async def test_what_is_waited_for_a_person_takes_nothing_of_the_upstreams_time(tmp_path: Path) -> None:
    """The upstream has 60 s for a call; a person takes longer than that, and the upstream still has all of it."""
    given: list[float] = []
    async with a_stage(tmp_path, {PEER.client: 3600.0}) as stage, stage.room.wire("legacy", {}) as wire:
        screen = stage.model.screener.screen

        async def keep(value: Any, tool: Any, deadline: float, **more: Any) -> Any:
            given.append(deadline - stage.clock.monotonic())
            return await screen(value, tool, deadline, **more)

        stage.model.screener.screen = keep  # type: ignore[method-assign]  # it notes what time is left
        number = await wire.send("tools/call", WRITE)
        await stage.waits()
        stage.clock.advance(500)
        await stage.waits()
        await stage.approve()
        assert ran(await wire.answer(number))
        assert given == [60.0]


# --- answers of nobody -----------------------------------------------------------------------------------------------


async def test_a_modern_client_that_declines_by_itself_denies_nothing(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("modern", FORMS) as wire:
        asked = await wire.ask("tools/call", WRITE)
        number = await wire.send("tools/call", again(asked, NO))
        await stage.waits()  # it is held on, for another door
        assert (await stage.row()).state is ApprovalState.WAITING
        await stage.approve()
        assert ran(await wire.answer(number))


async def test_a_legacy_client_that_declines_by_itself_denies_nothing(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", FORMS) as wire:
        wire.replies = {"elicitation/create": NO}
        number = await wire.send("tools/call", WRITE)
        await wire.next()  # it is asked, and has answered
        await wire.settle()
        assert (await stage.row()).state is ApprovalState.WAITING
        await stage.approve()
        assert ran(await wire.answer(number))


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_client_that_accepts_by_itself_approves_writes_and_nothing_of_tier_high(
    tmp_path: Path, era: str
) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire(era, FORMS) as wire:
        wire.replies = {"elicitation/create": YES}
        first = await wire.ask("tools/call", WRITE)
        assert ran(first if era == "legacy" else await wire.ask("tools/call", again(first, YES)))
        wire.told.clear()
        assert pending(await stage.held(wire, SILENT, SEND))
        assert wire.told == []  # nobody asks it
        (row,) = [row for row in await stage.desk.list() if row.tool == "send"]
        assert row.state is ApprovalState.WAITING
        assert len(stage.sent) == 1


# --- two at once, and too many ----------------------------------------------------------------------------------------


async def test_two_equal_calls_in_flight_are_two_rows_that_one_card_shows(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", {}) as wire:
        numbers = [await wire.send("tools/call", WRITE) for _ in range(2)]
        await stage.clock.asleep(4)
        one, other = await stage.desk.list()
        assert one.arguments_digest == other.arguments_digest
        card = view(one, History(), await rows.waiting_in(stage.store, one, 100), stage.clock.now())
        assert [dict(each) for each in card.also] == [{"id": other.id, "exposed": "up__write", "same": "yes"}]
        await stage.desk.vote(one.id, True, "os:bob", Proof.LOCAL)
        await stage.desk.vote(other.id, False, "os:bob", Proof.LOCAL)
        answers = [(await wire.next()).result for _ in numbers]  # in whatever order they come
        assert sorted(ran(answer) for answer in answers) == [False, True]
        assert len(stage.sent) == 1


async def test_more_questions_than_an_hour_takes_are_refused_as_busy_and_recorded(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage, stage.room.wire("legacy", {}) as wire:
        stage.desk._limit = 1
        assert pending(await stage.held(wire, SILENT))
        other = {**WRITE, "arguments": {"path": "b.txt"}}
        refused = await wire.ask("tools/call", other)
        assert refused["_meta"][DECISION_KEY]["reason"] == "busy"
        assert "busy" in refused["content"][0]["text"]
        assert len(await stage.desk.list()) == 1
        (ended,) = [record for record in on_disk(stage.state) if record.kind is Kind.OUTCOME]
        assert (ended.outcome, ended.reason, ended.tool) == ("blocked", "busy", "write")
