"""Turns: prompts on the record, calls tied to them by tool-use id, what was delivered before, and all of it bounded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway import turns as room
from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import name_digest
from gateway.core.hooks import Happened, HookEvent
from gateway.core.model import Call, Context, Kind, Principal, Record, Resume
from gateway.errors import RecordError
from gateway.turns import ANNOUNCED, ANNOUNCED_SECONDS, CAPTURED, Turns
from tests.fakes import DEADLINE, KEY, FakeClock, a_call
from tests.house import FakeScreener

CLIENT, USER, SESSION = "claude-code", "os:alice", "7e10"
NAMED = f"{USER}/{CLIENT}/{SESSION}"


@dataclass
class FakeRecords:
    written: list[Record] = field(default_factory=list)
    full: bool = False

    async def append(self, record: Record, consume: Sequence[str] = ()) -> bool:
        await anyio.lowlevel.checkpoint()
        if self.full:
            raise RecordError("full")
        self.written.append(record)
        return True

    def queue(self, record: Record) -> None:
        raise AssertionError("what hooks say is durable before they are answered")

    def owe(self, outcome: Record) -> None:
        raise AssertionError("no call ends here")


class Room:
    """Turns with fakes around them."""

    def __init__(self) -> None:
        self.records, self.screener, self.clock = FakeRecords(), FakeScreener([]), FakeClock()
        self.turns = Turns(self.records, self.screener, self.clock, KEY)

    async def hear(self, happened: Happened, *, client: str = CLIENT, principal: str = USER, **told: Any) -> None:
        event = HookEvent(happened, **{"session": SESSION, "interactive": True, **told})
        await self.turns.hook(client, principal, event)

    async def ask(self, prompt: str, **told: Any) -> Record:
        """A prompt in a session that is ready for one; its record."""
        await self.hear(Happened.SESSION_START, source="startup")
        await self.hear(Happened.PROMPT, prompt=prompt, **told)
        return self.records.written[-1]

    async def announce(self, id: str, tool: str = "mcp__wardgate__files__write_file", **told: Any) -> None:
        await self.hear(Happened.BEFORE_TOOL, tool=tool, tool_use=id, input={}, **told)

    @property
    def kinds(self) -> Sequence[Kind]:
        return [record.kind for record in self.records.written]


@pytest.fixture
def house() -> Room:
    return Room()


def call_of(tool_use: str = "", number: int = 1, prompt: str | None = None, **arguments: Any) -> Call:
    call = a_call(number, **arguments)
    return replace(call, context=Context("s_1", tool_use=tool_use, prompt=prompt))


def digest(text: str) -> str:
    return keyed_digest(KEY, canonical(text))


async def test_a_call_is_tied_to_the_prompt_by_its_tool_use_id(house: Room) -> None:
    record = await house.ask("send it to ann", prompt_id="p1")
    assert (record.kind, record.principal, record.client, record.session) == (Kind.PROMPT, USER, CLIENT, NAMED)
    assert (record.prompt, record.turn) == (digest("send it to ann"), record.id)
    assert record.extra == {
        "proves": True,
        "length": 14,
        "source": "hook",
        "client_session": SESSION,
        "client_prompt": "p1",
        "text": "send it to ann",
    }
    await house.announce("t1")
    assert house.turns.turn(call_of("t1")) == (record.id, record.prompt)


@pytest.mark.parametrize(
    "call",
    [
        call_of(),
        call_of("t2"),
        replace(call_of("t1"), principal=Principal("os:bob", "os-user")),
        replace(call_of("t1"), client=replace(a_call().client, name="other")),
    ],
    ids=["no id", "never announced", "of another principal", "of another client"],
)
async def test_a_call_that_nothing_ties_has_no_known_prompt(call: Call, house: Room) -> None:
    await house.ask("send it")
    await house.announce("t1")
    assert house.turns.turn(call) == ("", "unknown")


async def test_a_tool_use_id_ties_one_call_and_its_further_rounds(house: Room) -> None:
    record = await house.ask("send it")
    await house.announce("t1")
    first, again, other = call_of("t1", 1), call_of("t1", 2), call_of("t1", 3, path="other")
    tied = (record.id, record.prompt)
    assert house.turns.turn(first) == tied
    assert house.turns.turn(first) == tied
    assert house.turns.turn(again) == ("", "unknown")
    assert house.turns.turn(replace(again, resume=Resume("h"))) == tied
    assert house.turns.turn(replace(other, resume=Resume("h"))) == ("", "unknown")
    assert house.turns.turn(replace(other, id=first.id)) == tied  # its arguments were changed by a rule


async def test_an_id_that_came_before_its_announcement_ties_nothing(house: Room) -> None:
    await house.ask("send it")
    assert house.turns.turn(call_of("t1")) == ("", "unknown")
    await house.announce("t1")
    assert house.turns.turn(call_of("t1")) == ("", "unknown")


async def test_an_announcement_expires(house: Room) -> None:
    await house.ask("send it")
    await house.announce("t1")
    house.clock.advance(ANNOUNCED_SECONDS + 1)
    assert house.turns.turn(call_of("t1")) == ("", "unknown")


async def test_only_so_many_announcements_are_kept(house: Room) -> None:
    await house.ask("send it")
    for number in range(ANNOUNCED + 1):
        await house.announce(f"t{number}")
    assert house.turns.turn(call_of("t1"))[0]
    assert house.turns.turn(call_of("t0")) == ("", "unknown")


async def test_a_call_belongs_to_the_prompt_that_its_announcement_names(house: Room) -> None:
    first = await house.ask("one", prompt_id="p1")
    await house.announce("t1", prompt_id="p1")
    second = await house.ask("two", prompt_id="p2")
    await house.announce("t2", prompt_id="p2")
    await house.announce("t3", prompt_id="never told")
    assert house.turns.turn(call_of("t1"))[0] == first.id
    assert house.turns.turn(call_of("t2", 2))[0] == second.id
    assert house.turns.turn(call_of("t3", 3)) == ("", "unknown")


async def test_a_prompt_inside_an_open_turn_is_recorded_and_proves_nothing(house: Room) -> None:
    first = await house.ask("one")
    await house.hear(Happened.PROMPT, prompt="and now for something else")
    second = house.records.written[-1]
    assert (second.extra["proves"], second.extra["why_not"], second.extra["inside"]) == (False, "open-turn", first.id)
    await house.announce("t1")
    assert house.turns.turn(call_of("t1"))[0] == second.id


async def test_a_prompt_that_nobody_attends_is_recorded_and_proves_nothing(house: Room) -> None:
    record = await house.ask("one", interactive=False)
    assert (record.extra["proves"], record.extra["why_not"]) == (False, "not-interactive")


async def test_a_prompt_that_can_not_be_recorded_leaves_the_turn_unknown(house: Room) -> None:
    await house.ask("one")
    house.records.full = True
    with pytest.raises(RecordError):
        await house.hear(Happened.PROMPT, prompt="two")
    await house.announce("t1")
    assert house.turns.turn(call_of("t1")) == ("", "unknown")


async def test_secrets_in_prompts_and_inputs_are_not_recorded(house: Room) -> None:
    record = await house.ask("use my secret")
    assert record.extra["text"] == "use my [R]"
    assert record.prompt == digest("use my secret")
    assert len(record.findings) == 1
    await house.hear(
        Happened.AFTER_TOOL, tool="Bash", tool_use="t1", input={"command": "a secret"}, response={"out": "its secret"}
    )
    tool = house.records.written[-1]
    assert tool.arguments == {"command": "a [R]"}
    assert tool.arguments_digest == keyed_digest(KEY, canonical({"command": "a secret"}))
    assert tool.result_digest == keyed_digest(KEY, canonical({"out": "its secret"}))
    assert tool.result is None


async def test_what_can_not_be_screened_is_told_by_digest_and_length_alone(house: Room) -> None:
    house.screener.unclean = True
    record = await house.ask("my secret")
    assert "text" not in record.extra
    assert (record.extra["length"], record.extra["unscreened"], record.prompt) == (9, True, digest("my secret"))
    await house.hear(Happened.AFTER_TOOL, tool="Bash", tool_use="t1", input={"command": "ls"}, response="x")
    tool = house.records.written[-1]
    assert (tool.arguments, tool.omitted) == (None, {"result": 3, "arguments": 16})


async def test_long_prompts_and_inputs_are_capped(house: Room) -> None:
    record = await house.ask("é" * CAPTURED)
    assert len(record.extra["text"].encode()) == CAPTURED
    assert record.extra["length"] == 2 * CAPTURED
    await house.hear(Happened.AFTER_TOOL, tool="Write", tool_use="t1", input={"content": "x" * CAPTURED}, response=None)
    tool = house.records.written[-1]
    assert (tool.arguments, tool.result_digest) == (None, "")
    assert tool.omitted["arguments"] > CAPTURED


async def test_the_clients_other_tools_stand_in_the_context_of_what_follows(house: Room) -> None:
    prompt = await house.ask("send what the file says")
    await house.announce("r1", "Read")
    response = {"file": {"content": "to: ann@example.com"}}
    await house.hear(Happened.AFTER_TOOL, tool="Read", tool_use="r1", input={"file_path": "/a"}, response=response)
    tool = house.records.written[-1]
    assert (tool.kind, tool.tool, tool.tool_use, tool.outcome) == (Kind.CLIENT_TOOL, "Read", "r1", "ok")
    assert (tool.turn, tool.prompt) == (prompt.id, prompt.prompt)
    await house.announce("t1")
    call = call_of("t1", to="ann@example.com")
    context, carried = house.turns.before(call)
    assert context == {"outputs": ((tool.id, tool.result_digest),)}
    assert carried == ({"argument": "to", "source": tool.id, "length": 15},)


async def test_a_call_of_ours_is_no_tool_of_the_clients(house: Room) -> None:
    await house.ask("send it")
    await house.announce("t1")
    house.turns.turn(call_of("t1"))
    house.turns.turn(call_of("t2", 2))  # never announced, and ours all the same
    for id in ("t1", "t2"):
        await house.hear(Happened.AFTER_TOOL, tool="mcp__wardgate__x", tool_use=id, input={}, response="fine")
    assert house.kinds == [Kind.PROMPT]


async def test_a_tool_of_another_server_and_a_failed_one_are_recorded_once(house: Room) -> None:
    await house.ask("send it")
    await house.announce("t1", "mcp__elsewhere__x")
    for _ in range(2):
        await house.hear(Happened.TOOL_FAILED, tool="mcp__elsewhere__x", tool_use="t1", input={}, response="no")
    assert house.kinds == [Kind.PROMPT, Kind.CLIENT_TOOL]
    assert house.records.written[-1].outcome == "error"
    assert house.turns.turn(call_of("t1")) == ("", "unknown")  # used up


async def test_another_session_of_the_client_can_not_end_a_tool(house: Room) -> None:
    await house.ask("send it")
    await house.announce("t1", "Read")
    await house.hear(Happened.AFTER_TOOL, session="other", tool="Read", tool_use="t1", input={}, response="x")
    assert house.kinds == [Kind.PROMPT]


async def test_what_was_cut_has_no_digest_and_is_not_searched(house: Room) -> None:
    await house.ask("send it")
    cut = {"tool_response": 9_000_000, "tool_input": 8_000_000}
    await house.hear(Happened.AFTER_TOOL, tool="Read", tool_use="r1", input=None, response=None, cut=cut)
    tool = house.records.written[-1]
    assert (tool.arguments_digest, tool.result_digest, tool.arguments) == ("", "", None)
    assert tool.omitted == {"result": 9_000_000, "arguments": 8_000_000}


async def test_outputs_of_calls_are_listed_once_and_linked(house: Room) -> None:
    for number in (1, 2):
        house.turns.delivered(call_of(number=number), f"digest {number}", canonical({"found": f"AB-{number}000"}))
    first = house.turns.before(call_of(number=3, id="AB-2000", other="AB-9000"))
    assert first.context == {"outputs": (("d_0000000001", "digest 1"), ("d_0000000002", "digest 2"))}
    assert first.carried == ({"argument": "id", "source": "d_0000000002", "length": 7},)
    house.turns.delivered(call_of(number=3), "digest 3", b"")
    second = house.turns.before(call_of(number=4))
    assert second.context == {"after": "d_0000000003", "outputs": (("d_0000000003", "digest 3"),)}


async def test_sessions_do_not_see_each_others_outputs(house: Room) -> None:
    house.turns.delivered(call_of(), "digest", canonical({"found": "AB-1000"}))
    for stranger in (
        replace(call_of(id="AB-1000"), context=Context("s_2")),
        replace(call_of(id="AB-1000"), principal=Principal("os:bob", "os-user")),
    ):
        assert house.turns.before(stranger) == ({}, ())


async def test_a_place_that_may_hold_a_secret_is_told_by_number(house: Room) -> None:
    house.turns.delivered(call_of(), "digest", canonical("AB-1000"))
    assert house.turns.before(call_of(number=2, secret="AB-1000")).carried == (
        {"argument": "#0", "source": "d_0000000001", "length": 7},
    )


async def test_a_handed_over_prompt_of_a_trusted_client_is_recorded_once_and_proves_what_was_asked(house: Room) -> None:
    first, second = call_of(number=1, prompt="do a secret thing"), call_of(number=2, prompt="do a secret thing")
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.turns.prompted, first)
            tasks.start_soon(house.turns.prompted, second)
    (record,) = house.records.written
    assert (record.kind, record.session, record.transport) == (Kind.PROMPT, "s_1", "stdio")
    assert record.extra == {
        "proves": True,
        "source": "meta",
        "length": 17,
        "text": "do a [R] thing",
    }
    assert house.turns.turn(second) == (record.id, digest("do a secret thing"))
    house.turns.delivered(first, "digest", b"1")
    await house.turns.prompted(call_of(number=3, prompt="another"))
    assert len(house.records.written) == 2
    assert house.turns.before(call_of(number=3)).context == {}  # a new turn: nothing was delivered in it


async def test_a_handed_over_prompt_that_can_not_be_recorded_stops_the_call(house: Room) -> None:
    house.records.full = True
    with pytest.raises(RecordError):
        await house.turns.prompted(call_of(prompt="x"))
    assert house.turns.turn(call_of()) == ("", "unknown")


async def test_what_a_hook_said_stands_before_what_the_call_says(house: Room) -> None:
    told = await house.ask("from the hook")
    await house.announce("t1")
    call = call_of("t1", prompt="from the call")
    await house.turns.prompted(call)
    assert house.turns.turn(call)[0] == told.id
    assert len(house.records.written) == 1


async def test_a_call_of_an_unknown_turn_takes_the_prompt_that_it_brings(house: Room) -> None:
    await house.announce("t1")
    call = call_of("t1", prompt="from the call")
    await house.turns.prompted(call)
    assert house.turns.turn(call) == (house.records.written[-1].id, digest("from the call"))


async def test_a_session_that_is_named_by_both_is_one(house: Room) -> None:
    """A client that is trusted with its session's name may name it as its hooks do."""
    record = await house.ask("send it")
    call = replace(call_of(), context=Context(NAMED))
    assert house.turns.turn(call) == (record.id, record.prompt)


async def test_only_so_much_is_remembered(house: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "REMEMBERED", 3)
    monkeypatch.setattr(room, "KEPT", 100)
    value = canonical("a value of sixty bytes: " + "x" * 34)

    def session(number: int) -> Call:
        return replace(call_of(number=number, v="value"), context=Context(f"s_{number}"))

    for number in range(2):
        house.turns.delivered(session(number), "digest", value)
    assert house.turns.before(session(1)).carried
    assert not house.turns.before(session(0)).carried  # its bytes are gone, its list is not
    for number in (2, 3, 4):
        house.turns.delivered(session(number), "digest", b"")
    assert house.turns.before(session(1)) == ({}, ())  # forgotten


async def test_an_ended_session_keeps_no_bytes(house: Room) -> None:
    await house.ask("x")
    await house.hear(Happened.AFTER_TOOL, tool="Read", tool_use="r1", input={}, response="AB-1000")
    await house.hear(Happened.SESSION_END)
    await house.announce("t1")
    assert house.turns.before(call_of("t1", id="AB-1000")).carried == ()


async def test_values_that_were_not_looked_for_everywhere_are_counted(
    house: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.carried.MOST_SEARCHED", 10)
    house.turns.delivered(call_of(), "digest", canonical("more than ten bytes"))
    assert house.turns.before(call_of(number=2)).context["unsearched"] == 1


async def test_only_so_many_clients_are_heard(house: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEATS", 1)
    await house.ask("send it")
    await house.announce("t1")
    await house.hear(Happened.STOP, client="other")
    assert house.turns.turn(call_of("t1")) == ("", "unknown")


async def test_a_session_that_was_forgotten_while_a_tool_was_recorded_keeps_nothing(
    house: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REMEMBERED", 1)
    await house.ask("send it")
    stranger = replace(call_of(), context=Context("s_2"))
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                lambda: house.hear(Happened.AFTER_TOOL, tool="Read", tool_use="r1", input={}, response="AB-1000")
            )
            await anyio.lowlevel.checkpoint()  # it is being recorded
            house.turns.delivered(stranger, "digest", b"")
    await house.announce("t1")
    assert house.turns.before(call_of("t1", id="AB-1000")).carried == ()


async def test_names_of_hooks_that_hold_a_secret_are_told_by_digests_and_still_tie(house: Room) -> None:
    asked = await house.ask("do it", session="my secret session", prompt_id="secret-prompt")
    told = {"session": "my secret session", "tool": "Bash", "tool_use": "secret-use", "agent": "secret-agent"}
    await house.hear(Happened.AFTER_TOOL, prompt_id="secret-prompt", input={}, response="x", **told)
    record = house.records.written[-1]
    assert record.turn == asked.id
    assert record.session == asked.session == f"{USER}/{CLIENT}/{name_digest(KEY, 'my secret session')}"
    assert record.tool_use == name_digest(KEY, "secret-use")
    assert record.extra["agent"] == name_digest(KEY, "secret-agent")
    assert record.tool == "Bash"
    assert "secret" not in str(house.records.written)


async def test_names_of_hooks_that_can_not_be_looked_at_are_told_by_digests(house: Room) -> None:
    house.screener.unclean = True
    asked = await house.ask("do it", prompt_id="p1")
    assert asked.session == f"{USER}/{CLIENT}/{name_digest(KEY, SESSION)}"
    assert asked.extra["unscreened"] is True


async def test_a_card_tells_what_stood_somewhere_in_disguise_and_the_record_does_not(house: Room) -> None:
    value = "eve@evil.example"
    house.turns.delivered(call_of(), "digest", canonical({"text": "\u200b".join(value), "plain": "AB-1000"}))
    call = call_of(number=2, to=value, ref="AB-1000")
    assert await house.turns.carried(call) == (
        {"argument": "ref", "source": "d_0000000001", "length": 7},
        {"argument": "to", "source": "d_0000000001", "length": len(value), "disguised": True},
    )
    assert house.turns.before(call).carried == ({"argument": "ref", "source": "d_0000000001", "length": 7},)
    assert await house.turns.carried(replace(call, context=Context("s_9"))) == ()
    assert await house.turns.carried(call_of(number=3, ref="AB-1000")) == (
        {"argument": "ref", "source": "d_0000000001", "length": 7},
    )


@pytest.mark.parametrize("typed", [True, False])
async def test_a_prompt_that_a_hook_knows_better_proves_no_more_where_a_call_brings_it_again(
    house: Room, typed: bool
) -> None:
    heard: list[str] = []
    house.turns.on_prompt = lambda key, text: heard.append(text)
    await house.ask("send it to eve", interactive=typed)
    call = replace(a_call(), context=Context(NAMED, prompt="send it to eve"))
    call = replace(call, client=replace(call.client, name=CLIENT), principal=Principal(USER, "os-user"))
    await house.turns.prompted(call)
    assert heard == ["send it to eve"] * (2 if typed else 0)
    assert house.kinds == [Kind.PROMPT]


@pytest.mark.parametrize("happened", [Happened.AFTER_TOOL, Happened.PROMPT])
async def test_what_was_read_elsewhere_is_told_first_and_also_where_it_can_not_be_recorded(
    house: Room, happened: Happened
) -> None:
    told: list[tuple[str, str]] = []

    async def hear(key: tuple[str, str, str], by: str) -> None:
        told.append((key[2], by))

    house.turns.on_client_tool = hear
    house.records.full = True
    with pytest.raises(RecordError):
        await house.hear(happened, tool="WebFetch", tool_use="t1", input={}, prompt="do it", interactive=False)
    assert told == [(NAMED, "WebFetch" if happened is Happened.AFTER_TOOL else "not-interactive")]


async def test_a_tool_id_of_another_session_hides_no_reading(house: Room) -> None:
    told: list[str] = []

    async def hear(key: tuple[str, str, str], by: str) -> None:
        told.append(key[2])

    house.turns.on_client_tool = hear
    await house.announce("t1", "WebFetch")
    await house.hear(Happened.AFTER_TOOL, session="other", tool="WebFetch", tool_use="t1", input={})
    assert told == [f"{USER}/{CLIENT}/other"]
