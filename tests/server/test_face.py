"""Every method through the face, from clients of both eras: what reaches the enforcer, and what comes back."""

from typing import Any

import anyio
import pytest
from mcp_types import TextContent
from msgspec.structs import replace

from gateway.config import Limits
from gateway.core.model import Answer, Call, Done, Failure, Held, Reason, Refused, Verdict
from gateway.ports import Caller
from gateway.server import face
from tests.core.test_card import approval
from tests.server.room import ALL, PARAMS, PEER, RESULTS, Room, Wire, a_thing, only

ERAS = ("legacy", "modern")
CALLS = tuple(PARAMS)


def served(era: str, method: str) -> bool:
    """Whether a method exists in an era."""
    return era == "legacy" or not method.endswith("subscribe")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("method", CALLS)
async def test_a_call_of_each_method_goes_its_path_and_comes_back_whole(era: str, method: str) -> None:
    room, vendor = Room(), {"vendor/x": {"n": None}}
    room.enforcer.always(Done({**RESULTS[method], "vendorField": None, "_meta": vendor}))
    async with room.wire(era) as wire:
        answer = await wire.ask(method, PARAMS[method])
    if not served(era, method):
        assert answer["error"]["code"] == -32601
        assert room.enforcer.calls == []
        return
    (call,) = room.enforcer.calls
    assert (call.method, call.context.era, call.context.seat) == (method, era, "os:ada/claude-code/s_1")
    assert (call.context.capabilities, call.context.workspace) == (ALL, "/work")
    assert call.client.claimed == "probe 1"
    assert answer["vendorField"] is None
    assert answer["_meta"]["vendor/x"] == {"n": None}
    assert ("resultType" in answer) == (era == "modern")
    assert ("ttlMs" in answer) == (era == "modern" and method == "resources/read")
    assert {key: answer[key] for key in RESULTS[method]} == RESULTS[method]


@pytest.mark.parametrize(
    ("method", "exposed", "arguments"),
    [
        ("tools/call", "up__echo", {"a": 1}),
        ("prompts/get", "up__greet", {"who": "Bob"}),
        ("resources/read", "memo://a", {"uri": "memo://a"}),
        ("resources/subscribe", "memo://a", {"uri": "memo://a"}),
        ("completion/complete", "up__greet", PARAMS["completion/complete"]),
    ],
)
async def test_a_call_names_what_it_is_for(method: str, exposed: str, arguments: Any) -> None:
    room = Room()
    async with room.wire("legacy") as wire:
        await wire.ask(method, PARAMS[method])
    assert (room.enforcer.calls[0].exposed, room.enforcer.calls[0].arguments) == (exposed, arguments)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("method", [method for method in CALLS if method != "tools/call"])
async def test_params_of_the_wrong_shape_reach_nobody(era: str, method: str) -> None:
    room = Room()
    async with room.wire(era) as wire:
        answer = await wire.ask(method, {"uri": 3, "name": 3})
    assert answer["error"]["code"] == (-32602 if served(era, method) else -32601)
    assert room.enforcer.calls == []


@pytest.mark.parametrize("method", CALLS)
async def test_nothing_is_served_before_the_handshake(method: str) -> None:
    room = Room()
    async with room.streams() as (read, write):
        answer = await Wire(read, write, "legacy", {}, {}).ask(method, PARAMS[method])
    assert answer["error"]["code"] == -32602
    assert room.enforcer.calls == []


async def test_the_sdk_client_finds_every_kind_of_thing_in_both_eras() -> None:
    room = Room()
    for era in ERAS:
        async with room.client(era) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["up__echo"]
            assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["up__greet"]
            assert [str(found.uri) for found in (await client.list_resources()).resources] == ["memo://a"]
            assert len((await client.list_resource_templates()).resource_templates) == 1
            (block,) = (await client.call_tool("up__echo", {"a": 1})).content
            assert isinstance(block, TextContent)
            assert (await client.get_prompt("up__greet", {"who": "Bob"})).messages
            assert (await client.read_resource("memo://a")).contents


@pytest.mark.parametrize("era", ERAS)
async def test_everything_is_advertised_with_its_change_notices(era: str) -> None:
    async with Room().wire(era) as wire:
        said = wire.opened if era == "legacy" else await wire.ask("server/discover")
    assert said["capabilities"] == {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "resources": {"listChanged": True, "subscribe": True},
        "logging": {},
        "completions": {},
    }


@pytest.mark.parametrize("era", ERAS)
async def test_the_instructions_are_those_of_the_endpoint(era: str) -> None:
    room = Room(about="see")
    async with room.wire(era, peer=only("up")) as wire:
        said = wire.opened if era == "legacy" else await wire.ask("server/discover")
    assert said["instructions"] == "see up"
    async with Room().wire(era) as wire:
        said = wire.opened if era == "legacy" else await wire.ask("server/discover")
    assert "instructions" not in said


async def test_a_handshake_waits_only_a_while_for_upstreams_with_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanner may have its rules to compile, which takes longer than clients wait for a server to open."""
    monkeypatch.setattr(face, "OPENING", 0.01)
    room = Room(about="see", settled=False)
    async with room.streams() as (read, write):
        wire = Wire(read, write, "modern", {}, {})
        said = await wire.ask("server/discover")
        assert said["instructions"] == "see"
        waiting = await wire.send("tools/list")
        room.settled.set()
        assert len((await wire.answer(waiting))["tools"]) == 1


REFUSED = Refused("d_7", Verdict.BLOCK, Reason.RULE, "NOT EXECUTED", approval())


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("method", CALLS)
async def test_a_refusal_is_words_for_a_tool_and_an_error_for_everything_else(era: str, method: str) -> None:
    if not served(era, method):
        return
    room = Room()
    room.enforcer.always(REFUSED)
    async with room.wire(era) as wire:
        answer = await wire.ask(method, PARAMS[method])
    decision = {"id": "d_7", "verdict": "block", "reason": "rule"}
    if method == "tools/call":
        assert (answer["isError"], answer["content"][0]["text"]) == (True, "NOT EXECUTED")
        assert answer["_meta"]["dev.wardgate/decision"] == decision
        return
    assert (answer["error"]["code"], answer["error"]["message"]) == (-32010, "NOT EXECUTED")
    assert answer["error"]["data"]["dev.wardgate/decision"] == decision
    assert answer["error"]["data"]["dev.wardgate/approval"]["id"] == approval().id


@pytest.mark.parametrize(
    ("reason", "method", "legacy", "modern", "data"),
    [
        (Reason.UNKNOWN_TOOL, "tools/call", -32602, -32602, None),
        (Reason.UNKNOWN_PROMPT, "prompts/get", -32602, -32602, None),
        (Reason.UNKNOWN_PROMPT, "completion/complete", -32602, -32602, None),
        (Reason.UNKNOWN_RESOURCE, "resources/read", -32002, -32602, {"uri": "memo://a"}),
    ],
)
async def test_what_nothing_offers_is_the_error_of_the_protocol(
    reason: Reason, method: str, legacy: int, modern: int, data: Any
) -> None:
    room = Room()
    room.catalogue.near = "up__near"
    room.enforcer.always(Refused("d_1", Verdict.BLOCK, reason, "words"))
    for era, code in (("legacy", legacy), ("modern", modern)):
        async with room.wire(era) as wire:
            error = (await wire.ask(method, PARAMS[method]))["error"]
        assert (error["code"], error.get("data")) == (code, data)
        assert "did you mean `up__near`?" in error["message"]


@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
async def test_a_client_that_lacks_a_capability_is_told_which(method: str) -> None:
    room = Room()
    needed = {"elicitation": {"form": {}}}
    room.enforcer.always(Refused("d_1", Verdict.BLOCK, Reason.CLIENT_UNABLE, "words", requires=needed))
    async with room.wire("modern") as wire:
        error = (await wire.ask(method, PARAMS[method]))["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": needed})


@pytest.mark.parametrize("era", ERAS)
async def test_an_error_of_the_upstream_passes_as_it_is(era: str) -> None:
    room = Room()
    room.enforcer.always(Done(None, Failure(-32042, "m", {"d": 1})))
    async with room.wire(era) as wire:
        answer = await wire.ask("resources/read", PARAMS["resources/read"])
    assert answer["error"] == {"code": -32042, "message": "m", "data": {"d": 1}}


async def test_a_call_that_waits_for_a_person_is_an_error_where_no_result_can_say_so() -> None:
    room = Room()
    room.enforcer.always(Held(approval()))
    async with room.wire("legacy") as wire:
        told = await wire.ask("tools/call", PARAMS["tools/call"])
        error = (await wire.ask("resources/read", PARAMS["resources/read"]))["error"]
    assert told["_meta"]["dev.wardgate/decision"]["verdict"] == "ask"
    assert (error["code"], error["data"]["dev.wardgate/decision"]["reason"]) == (-32010, "approval-pending")


async def test_a_legacy_client_is_never_told_to_come_back() -> None:
    room = Room()
    room.enforcer.always(Held(approval(), "handle", ask=True))
    async with room.wire("legacy") as wire:
        answer = await wire.ask("tools/call", PARAMS["tools/call"])
    assert answer["error"]["code"] == -32603


async def test_a_session_hears_logs_from_the_level_that_it_set() -> None:
    room = Room()

    async def talk(call: Call, caller: Caller) -> Answer:
        for level in ("debug", "warning", "shout"):
            await caller.log(level, {"a": None}, "up")
        return Done(RESULTS[call.method])

    room.enforcer.answer = talk
    async with room.wire("legacy") as wire, room.wire("legacy", peer=PEER.at("s_2")) as other:
        await wire.ask("tools/call", PARAMS["tools/call"])
        assert [params["level"] for _, params in wire.told] == ["debug", "warning"]
        assert await wire.ask("logging/setLevel", {"level": "warning"}) == {}
        wire.told.clear()
        await wire.ask("tools/call", PARAMS["tools/call"])
        assert wire.told == [("notifications/message", {"level": "warning", "data": {"a": None}, "logger": "up"})]
        await other.ask("tools/call", PARAMS["tools/call"])
        assert (await wire.ask("logging/setLevel", {"level": "loud"}))["error"]["code"] == -32602
    assert [call.context.log_level for call in room.enforcer.calls] == ["", "warning", ""]


async def test_a_modern_request_hears_logs_only_if_it_asked() -> None:
    room = Room()

    async def talk(call: Call, caller: Caller) -> Answer:
        await caller.log("info", "x", None)
        await caller.log("error", "y", None)
        return Done(RESULTS[call.method])

    room.enforcer.answer = talk
    async with room.wire("modern") as wire:
        await wire.ask("tools/call", PARAMS["tools/call"])
        assert wire.told == []
        meta = {"io.modelcontextprotocol/logLevel": "error"}
        await wire.ask("tools/call", {**PARAMS["tools/call"], "_meta": meta})
        assert wire.told == [("notifications/message", {"level": "error", "data": "y"})]
        assert (await wire.ask("logging/setLevel", {"level": "info"}))["error"]["code"] == -32601
    assert [call.context.log_level for call in room.enforcer.calls] == ["", "error"]


async def test_calls_beyond_the_places_and_the_queue_are_turned_away_at_once() -> None:
    room, go = Room(Limits(calls_per_client=2, queue=1)), anyio.Event()
    running = anyio.Semaphore(0)

    async def wait(call: Call, caller: Caller) -> Answer:
        running.release()
        await go.wait()
        return Done(RESULTS[call.method])

    room.enforcer.answer = wait
    async with room.wire("modern") as wire:
        numbers = [await wire.send("tools/call", PARAMS["tools/call"]) for _ in range(4)]
        refused = await wire.answer(numbers[3])
        assert refused["_meta"]["dev.wardgate/decision"]["reason"] == "busy"
        assert (len(room.enforcer.calls), room.face.calls_in_flight) == (2, 2)
        go.set()
        for number in numbers[:3]:
            assert "isError" not in await wire.answer(number)
    assert [reason for _, reason in room.enforcer.turned_away] == [Reason.BUSY]
    assert room.face.calls_in_flight == 0


async def test_a_client_that_is_busy_keeps_no_other_one_waiting() -> None:
    room, go = Room(Limits(calls_per_client=1, queue=1)), anyio.Event()

    async def wait(call: Call, caller: Caller) -> Answer:
        if call.principal.id == "os:ada":
            await go.wait()
        return Done(RESULTS[call.method])

    room.enforcer.answer = wait
    bob = replace(PEER, principal=replace(PEER.principal, id="os:bob"), seat="")
    async with room.wire("modern") as ada, room.wire("modern", peer=bob) as wire:
        for _ in range(2):
            await ada.send("tools/call", PARAMS["tools/call"])
        assert "isError" not in await wire.ask("tools/call", PARAMS["tools/call"])


async def test_a_call_that_is_cancelled_gives_its_place_back() -> None:
    room, begun = Room(Limits(calls_per_client=1, queue=0)), anyio.Event()

    async def wait(call: Call, caller: Caller) -> Answer:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    room.enforcer.answer = wait
    async with room.wire("legacy") as wire:
        number = await wire.send("tools/call", PARAMS["tools/call"])
        await begun.wait()
        await wire.tell("notifications/cancelled", {"requestId": number})
        await room.face.idle()
        room.enforcer.answer = room.enforcer.fine
        assert "isError" not in await wire.ask("tools/call", PARAMS["tools/call"])


async def test_a_gateway_that_drains_finishes_what_runs_and_turns_away_what_is_new() -> None:
    room, begun, go = Room(Limits(calls_per_client=1, queue=1)), anyio.Event(), anyio.Event()

    async def wait(call: Call, caller: Caller) -> Answer:
        begun.set()
        await go.wait()
        return Done(RESULTS[call.method])

    room.enforcer.answer = wait
    async with room.wire("modern") as wire:
        first, waiting = [await wire.send("tools/call", PARAMS["tools/call"]) for _ in range(2)]
        await begun.wait()
        await wire.settle()
        room.face.drain()
        assert (await wire.answer(waiting))["isError"] is True
        assert (await wire.ask("tools/call", PARAMS["tools/call"]))["isError"] is True
        assert (await wire.ask("subscriptions/listen", {"notifications": {}}))["error"]["code"] == -32010
        go.set()
        assert "isError" not in await wire.answer(first)


async def test_a_connection_that_ends_gives_up_its_seat() -> None:
    room = Room()
    for era in ERAS:
        async with room.wire(era, peer=PEER.at(f"s_{era}")) as wire:
            await wire.settle()
    assert room.left == ["os:ada/claude-code/s_legacy", "os:ada/claude-code/s_modern"]


async def test_an_endpoint_shows_and_calls_one_upstream() -> None:
    room = Room()
    room.catalogue.put("tools", [a_thing("tools", "x", "one"), a_thing("tools", "x", "two")])
    async with room.wire("modern", peer=only("two")) as wire:
        tools = (await wire.ask("tools/list"))["tools"]
        await wire.ask("tools/call", PARAMS["tools/call"])
    assert [tool["name"] for tool in tools] == ["two__x"]
    assert room.enforcer.calls[0].context.only == "two"


async def test_an_unknown_method_is_none() -> None:
    for era in ERAS:
        async with Room().wire(era) as wire:
            assert (await wire.ask("tasks/get", {}))["error"]["code"] == -32601
