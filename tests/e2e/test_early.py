"""What was accepted is listed while upstreams start, at the installed gateway; a call waits, and is decided on what is
there by then.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ToolListChangedNotification

from tests.e2e.kit import PATIENCE, House, reason, text, until
from tests.e2e.test_lock import BARE, PEEK, PUT, RUDE, furnish, offer, place

TOOLS = ["peek", "put", "turn"]
UPSTREAMS: Mapping[str, Mapping[str, Any]] = {"shifty": {}, "moved": BARE}


def hold_up(house: House, *upstreams: str) -> None:
    """Let upstreams not start before somebody lets them."""
    for upstream in upstreams:
        (place(house, upstream) / "wait").write_text("wait", encoding="utf-8")


def let_start(house: House, upstream: str) -> None:
    """Let an upstream start that is held up."""
    (place(house, upstream) / "wait").unlink()


def let_fail(house: House, upstream: str) -> None:
    """Let an upstream end, as often as it is started, that is held up."""
    (place(house, upstream) / "wait").write_text("fail", encoding="utf-8")


async def listed(client: Client, upstream: str) -> dict[str, str | None]:
    """The tools of an upstream that a client is offered, with their descriptions."""
    tools = (await client.list_tools()).tools
    prefix = f"{upstream}__"
    return {tool.name.removeprefix(prefix): tool.description for tool in tools if tool.name.startswith(prefix)}


def called(house: House, upstream: str) -> list[str]:
    """The calls that reached an upstream."""
    ledger = place(house, upstream) / "ledger.txt"
    return ledger.read_text(encoding="utf-8").split() if ledger.exists() else []


class Told:
    """Counts how often a legacy client was told that the list of tools changed."""

    def __init__(self) -> None:
        self.times = 0

    async def hear(self, message: Any) -> None:
        self.times += isinstance(message, ToolListChangedNotification)


@pytest.mark.slow
async def test_what_was_accepted_is_listed_and_called_before_its_upstream_is_there(house: House) -> None:
    """With `shifty` as it was accepted, and `moved` that is another one by its next start."""
    furnish(house, UPSTREAMS, locked=True)
    async with house.client("standalone", "modern") as client:  # a gateway hears of what was accepted, and ends
        for upstream in UPSTREAMS:
            assert list(await listed(client, upstream)) == TOOLS
        await until(lambda: len(list((house.state / "definitions").glob("*"))) == 6)  # with the instructions
    offer(house, upstream="moved", **{**BARE, "tools": [PEEK, RUDE]})
    await _at_the_doors_of_serve(house)
    await _at_a_standalone_gateway(house)
    offer(house, upstream="moved", **BARE)  # nobody is told of it from here on
    await _what_does_not_come_goes_from_the_list_and_a_call_of_it_is_refused(house)


async def _at_the_doors_of_serve(house: House) -> None:
    hold_up(house, *UPSTREAMS)
    shim, http = Told(), Told()
    async with house.serving(), AsyncExitStack() as stack:
        token = await house.token()
        enter = stack.enter_async_context
        clients = {
            "shim legacy": await enter(house.client("shim", "legacy", message_handler=shim.hear)),
            "http legacy": await enter(house.http_client("legacy", token, message_handler=http.hear)),
            "http modern": await enter(house.http_client("modern", token)),
        }
        await _tools_are_listed_before_their_upstream_is_there_and_a_call_waits_for_it(house, clients)
        assert (shim.times, http.times) == (0, 0)
        await _what_changed_meanwhile_is_held_and_a_legacy_client_is_told_once(house, clients["shim legacy"], shim)
        assert called(house, "moved") == ["peek"]
        await _one_that_listens_later_is_told_that_it_has_another_list(clients["http modern"])


async def _at_a_standalone_gateway(house: House) -> None:
    hold_up(house, *UPSTREAMS)
    told = Told()
    async with house.client("standalone", "modern", message_handler=told.hear) as client:
        clients = {"standalone modern": client}
        await _tools_are_listed_before_their_upstream_is_there_and_a_call_waits_for_it(house, clients)
        assert told.times == 0
        let_start(house, "moved")
        await _one_that_listens_later_is_told_that_it_has_another_list(client)


async def _tools_are_listed_before_their_upstream_is_there_and_a_call_waits_for_it(
    house: House, clients: Mapping[str, Client]
) -> None:
    before, early, results = called(house, "shifty"), {}, {}
    for case, client in clients.items():
        assert "Be kind." in (client.instructions or ""), case
        early[case] = await listed(client, "shifty")
        assert list(early[case]) == list(await listed(client, "moved")) == TOOLS, case
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        assert prompts == ["shifty__greet"], case
        templates = (await client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == ["note://{id}"], case

    async def call(case: str) -> None:
        results[case] = text(await clients[case].call_tool("shifty__put", {"text": "x"}))

    async with anyio.create_task_group() as tasks:
        for case in clients:
            tasks.start_soon(call, case)
        await anyio.wait_all_tasks_blocked()
        assert (results, called(house, "shifty")) == ({}, before)
        let_start(house, "shifty")
        await until(lambda: len(results) == len(clients))
    assert results == dict.fromkeys(clients, "did put")
    assert {case: await listed(client, "shifty") for case, client in clients.items()} == early
    assert called(house, "shifty") == before + ["put"] * len(clients)


async def _what_changed_meanwhile_is_held_and_a_legacy_client_is_told_once(
    house: House, client: Client, told: Told
) -> None:
    early = await listed(client, "moved")
    assert (list(early), early["put"]) == (TOOLS, PUT["description"])
    let_start(house, "moved")
    assert reason(await client.call_tool("moved__put", {"text": "x"})) == "tool-changed"
    await until(lambda: told.times)
    later = await listed(client, "moved")
    assert (list(later), later["put"]) == (TOOLS[:2], PUT["description"])
    assert text(await client.call_tool("moved__peek", {})) == "did peek"
    assert told.times == 1


async def _one_that_listens_later_is_told_that_it_has_another_list(client: Client) -> None:
    assert text(await client.call_tool("moved__peek", {})) == "did peek"
    async with client.listen(tools_list_changed=True) as events:
        with anyio.fail_after(PATIENCE):
            await anext(events)
    assert list(await listed(client, "moved")) == TOOLS[:2]
    async with client.listen(tools_list_changed=True) as events:
        with anyio.move_on_after(0.05) as nothing:
            await anext(events)
        assert nothing.cancelled_caught


async def _what_does_not_come_goes_from_the_list_and_a_call_of_it_is_refused(house: House) -> None:
    hold_up(house, "shifty")
    told, before = Told(), called(house, "shifty")
    async with house.client("standalone", "legacy", message_handler=told.hear) as client:
        assert list(await listed(client, "shifty")) == TOOLS
        results: list[Any] = []

        async def call() -> None:
            try:
                results.append(reason(await client.call_tool("shifty__put", {"text": "x"})))
            except MCPError:  # it reached the gateway when the tool had gone from the list
                results.append("unknown-tool")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            assert results == []
            let_fail(house, "shifty")
        assert results[0] in ("upstream-down", "unknown-tool")
        await until(lambda: told.times)
        assert await listed(client, "shifty") == {}
    assert called(house, "shifty") == before
