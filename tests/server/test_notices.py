"""Who is told that a list or a resource changed, and who is not."""

from typing import Any

import anyio
import pytest
from mcp.client.subscriptions import Subscription
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest
from msgspec.structs import replace

from gateway.config import Limits
from gateway.core.model import Answer, Call, Done, Failure, Reason, Refused, Verdict
from gateway.ports import Caller
from gateway.server import notices
from gateway.server.notices import CHANGED, Notices, Watcher
from gateway.transport.resume import REPLAY_ID
from tests.fakes import DEADLINE
from tests.server.room import INFO, LEGACY, PEER, RESULTS, Room, Wire, a_thing, only

KINDS = {
    "tools": "notifications/tools/list_changed",
    "prompts": "notifications/prompts/list_changed",
    "resources": "notifications/resources/list_changed",
    "templates": "notifications/resources/list_changed",
}
UPDATED = "notifications/resources/updated"


async def methods(wire: Wire) -> list[str]:
    """What a client was told so far."""
    await wire.settle()
    told = [method for method, _ in wire.told]
    wire.told.clear()
    return told


@pytest.mark.parametrize("kind", KINDS)
async def test_a_legacy_session_is_told_of_each_change_once(kind: str) -> None:
    room = Room()
    async with room.wire("legacy") as wire:
        await wire.ask("tools/list")
        room.catalogue.put(kind, [a_thing(kind, "new")])
        await room.face.changed({kind})
        assert await methods(wire) == [KINDS[kind]]
        await room.face.changed({kind})
        assert await methods(wire) == []
        room.catalogue.put(kind, [])
        await room.face.changed(set(KINDS))
        assert await methods(wire) == [KINDS[kind]]


async def test_resources_and_templates_that_change_together_are_one_notice() -> None:
    room = Room()
    async with room.wire("legacy") as wire:
        await wire.ask("tools/list")
        for kind in ("resources", "templates"):
            room.catalogue.put(kind, [])
        await room.face.changed({"resources", "templates"})
        assert await methods(wire) == [KINDS["resources"]]


async def test_a_change_that_a_client_has_listed_already_is_none_to_it() -> None:
    room = Room()
    async with room.wire("legacy") as wire:
        await wire.ask("tools/list")
        room.catalogue.put("tools", [])
        assert (await wire.ask("tools/list"))["tools"] == []
        await room.face.changed({"tools"})
        assert await methods(wire) == []


async def test_a_change_of_another_upstream_is_none_on_the_endpoint_of_one() -> None:
    room = Room()
    async with room.wire("legacy", peer=only("up")) as wire:
        await wire.ask("tools/list")
        room.catalogue.put("tools", [a_thing("tools", "echo"), a_thing("tools", "x", "other")])
        await room.face.changed({"tools"})
        assert await methods(wire) == []


async def test_a_client_that_connects_while_the_gateway_starts_is_told_of_no_change() -> None:
    room = Room(settled=False)
    room.catalogue.put("tools", [])
    async with room.wire("legacy") as wire, anyio.create_task_group() as tasks:
        listed = await wire.send("tools/list")
        await anyio.wait_all_tasks_blocked()
        room.catalogue.put("tools", [a_thing("tools", "echo")])
        await room.face.changed({"tools"})
        room.settled.set()
        assert len((await wire.answer(listed))["tools"]) == 1
        await room.face.changed(set(KINDS))
        assert await methods(wire) == []
        room.catalogue.put("prompts", [])
        await room.face.changed({"prompts"})
        assert await methods(wire) == [KINDS["prompts"]]
        tasks.cancel_scope.cancel()


async def test_a_session_that_an_earlier_gateway_opened_is_told_that_its_lists_may_have_changed() -> None:
    room = Room()
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": INFO}
    async with room.streams() as (read, write):
        await write.send(
            SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=REPLAY_ID, method="initialize", params=params))
        )
        assert (await read.receive()).message.id == REPLAY_ID
        wire = Wire(read, write, "legacy", {}, {})
        await wire.tell("notifications/initialized")
        for _ in range(3):
            await wire.next()
        assert sorted(method for method, _ in wire.told) == sorted(set(KINDS.values()))
        wire.told.clear()
        await room.face.changed(set(KINDS))
        assert await methods(wire) == []


async def test_a_session_that_is_gone_is_told_nothing() -> None:
    room = Room()
    async with room.wire("legacy") as wire:
        await wire.ask("tools/list")
    room.catalogue.put("tools", [])
    await room.face.changed({"tools"})
    assert room.face._notices._watchers == {}


async def test_only_a_session_that_subscribed_is_told_of_a_resource() -> None:
    room = Room()
    async with room.wire("legacy") as wire, room.wire("legacy", peer=PEER.at("s_2")) as other:
        await wire.ask("resources/subscribe", {"uri": "memo://a"})
        for uri in ("memo://a", "memo://b", "memo://a/part", "memo://ab"):
            await room.face.updated(uri, "")
            await wire.settle()
        assert wire.told == [(UPDATED, {"uri": "memo://a"}), (UPDATED, {"uri": "memo://a/part"})]
        wire.told.clear()
        await room.face.updated("memo://a", PEER.at("s_2").seat)
        assert (await methods(wire), await methods(other)) == ([], [])
        await room.face.updated("memo://a", PEER.seat)
        assert await methods(wire) == [UPDATED]
        await wire.ask("resources/unsubscribe", {"uri": "memo://a"})
        await room.face.updated("memo://a", "")
        assert await methods(wire) == []


@pytest.mark.parametrize(
    "answer", [Done(None, Failure(-32010, "no")), Refused("d_1", Verdict.BLOCK, Reason.RULE, "NOT EXECUTED")]
)
async def test_a_subscription_that_was_refused_is_none(answer: Answer) -> None:
    room = Room()
    room.enforcer.always(answer)
    async with room.wire("legacy") as wire:
        assert "error" in await wire.ask("resources/subscribe", {"uri": "memo://a"})
        await room.face.updated("memo://a", "")
        assert await methods(wire) == []


async def heard(stream: Subscription) -> Any:
    with anyio.fail_after(DEADLINE):
        return await anext(stream)


async def test_a_listen_stream_tells_what_was_asked_for_and_nothing_else() -> None:
    room = Room()
    async with room.client("modern") as client, client.listen(tools_list_changed=True) as stream:
        room.catalogue.put("prompts", [])
        await room.face.changed({"prompts"})
        room.catalogue.put("tools", [])
        await room.face.changed({"tools"})
        assert await heard(stream) == CHANGED["tools"]


async def subscribed(room: Room) -> list[tuple[str, str]]:
    return [(call.method, call.exposed) for call in room.enforcer.calls]


async def test_resources_of_a_stream_are_subscribed_on_the_path_and_given_up_at_its_end() -> None:
    room = Room()

    async def judge(call: Call, caller: Caller) -> Answer:
        assert (caller.asks, caller.modern) == ("none", False)
        if call.exposed == "memo://denied":
            return Refused(call.id, Verdict.BLOCK, Reason.RULE, "NOT EXECUTED")
        if call.exposed == "memo://unknown":
            return Done(None, Failure(-32602, "unknown"))
        return Done(RESULTS[call.method])

    room.enforcer.answer = judge
    uris = ["memo://a", "memo://denied", "memo://unknown", "memo://a"]
    async with room.client("modern") as client:
        async with client.listen(resource_subscriptions=uris) as stream:
            assert stream.honored.resource_subscriptions == ["memo://a"]
            await room.face.updated("memo://denied", "")
            await room.face.updated("memo://a/part", "")
            event = await heard(stream)
            assert event.uri == "memo://a"
        await room.face.idle()
        with anyio.fail_after(DEADLINE):
            while len(room.enforcer.calls) < 4:
                await anyio.lowlevel.checkpoint()
    assert await subscribed(room) == [
        ("resources/subscribe", "memo://a"),
        ("resources/subscribe", "memo://denied"),
        ("resources/subscribe", "memo://unknown"),
        ("resources/unsubscribe", "memo://a"),
    ]
    assert {call.context.seat for call in room.enforcer.calls} == {PEER.seat}
    assert room.face._listening._seats == {}


async def test_two_streams_of_a_seat_give_a_resource_up_with_the_second() -> None:
    room = Room()
    async with room.client("modern") as client:
        async with client.listen(resource_subscriptions=["memo://a"]):
            async with client.listen(resource_subscriptions=["memo://a"]):
                pass
            await client.list_tools()
            await anyio.wait_all_tasks_blocked()
            assert [method for method, _ in await subscribed(room)] == ["resources/subscribe"] * 2
        await client.list_tools()
        await anyio.wait_all_tasks_blocked()
    assert [method for method, _ in await subscribed(room)][2:] == ["resources/unsubscribe"]


async def test_a_connection_that_breaks_off_gives_its_streams_up() -> None:
    room = Room()
    async with room.wire("modern") as wire:
        await wire.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["memo://a"]}})
        await wire.next()
        await wire.settle()
    assert [method for method, _ in await subscribed(room)] == ["resources/subscribe", "resources/unsubscribe"]
    assert room.left == [PEER.seat]


async def test_a_stream_tells_of_as_many_resources_as_the_limit() -> None:
    room = Room(Limits(subscriptions=2))
    async with room.wire("modern") as wire:
        for count in (2, 3):
            uris = [f"memo://{number}" for number in range(count)]
            number = await wire.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
            if count == 2:
                await wire.next()
                assert wire.told[-1][1]["notifications"]["resourceSubscriptions"] == uris
        assert (await wire.answer(number))["error"]["code"] == -32010
        assert len(room.enforcer.calls) == 2


async def test_only_the_seat_that_is_meant_hears_of_its_own_copy() -> None:
    room = Room()
    bob = replace(PEER, principal=replace(PEER.principal, id="os:bob"), seat="")
    async with room.client("modern") as ada, room.client("modern", peer=bob) as other:
        wanted = ["memo://a"]
        async with (
            ada.listen(resource_subscriptions=wanted) as mine,
            other.listen(resource_subscriptions=wanted) as his,
        ):
            await room.face.updated("memo://a", bob.seat)
            assert (await heard(his)).uri == "memo://a"
            with anyio.move_on_after(0.01) as nothing:
                await anext(mine)
            assert nothing.cancelled_caught


async def test_streams_end_in_good_order_when_the_gateway_drains() -> None:
    room = Room()
    async with room.client("modern") as client, client.listen(tools_list_changed=True) as stream:
        room.face.drain()
        with anyio.fail_after(DEADLINE):
            assert [event async for event in stream] == []


async def test_a_client_that_takes_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "SEND_DEADLINE", 0.01)
    told: list[Any] = []

    async def stuck(event: Any) -> None:
        await anyio.sleep_forever()

    async def fine(event: Any) -> None:
        told.append(event)

    lists = {"n": 0}
    everybody = Notices(lambda kind, only, client: f"{kind}{lists['n']}")
    deaf, other = Watcher("s_1", "", "", stuck), Watcher("s_2", "", "", fine)
    everybody.settle()
    for watcher in (deaf, other):
        everybody.add(watcher)
    with anyio.fail_after(DEADLINE):
        for number in (1, 2):
            lists["n"] = number
            await everybody.changed({"tools"})
    assert (told, deaf.deaf) == ([CHANGED["tools"]] * 2, True)
    deaf.deaf, deaf.tell = False, fine
    await everybody.changed({"tools"})
    assert told == [CHANGED["tools"]] * 3
