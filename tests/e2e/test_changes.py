"""Tools that change while clients are there: both eras hear of it, over stdio and over HTTP, and see the new list."""

from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp_types import ToolListChangedNotification

from tests.e2e.kit import PATIENCE, House, reason, text, until


async def _offers_the_new_tool(client: Client) -> bool:
    tools = [tool.name for tool in (await client.list_tools()).tools]
    assert tools == sorted(tools)
    return "ledger__extra" in tools


@pytest.mark.slow
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_a_legacy_client_is_notified_of_a_new_tool(door: str, house: House) -> None:
    notices, heard = anyio.create_memory_object_stream[None](100)

    async def on_message(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            notices.send_nowait(None)

    async with notices, heard, house.client(door, "legacy", message_handler=on_message) as client:
        assert not await _offers_the_new_tool(client)
        assert text(await client.call_tool("ledger__grow", {"text": "extra"})) == "grown"
        with anyio.fail_after(PATIENCE):  # the first notice may still be of the start
            await heard.receive()
            while not await _offers_the_new_tool(client):
                await heard.receive()


@pytest.mark.slow
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_a_modern_client_that_listens_hears_of_a_new_tool(door: str, house: House) -> None:
    async with house.client(door, "modern") as client:
        assert not await _offers_the_new_tool(client)
        async with client.listen(tools_list_changed=True) as events:
            assert text(await client.call_tool("ledger__grow", {"text": "extra"})) == "grown"
            with anyio.fail_after(PATIENCE):
                await anext(events)
                while not await _offers_the_new_tool(client):
                    await anext(events)


@pytest.mark.slow
async def test_a_new_tool_is_held_and_once_it_is_accepted_it_is_unlabelled_and_its_first_call_asks(
    house: House,
) -> None:
    house.configure(limits='hold = "100ms"')
    async with house.client("shim", "legacy") as client:
        await client.call_tool("ledger__grow", {"text": "extra"})

        async def listed() -> bool:
            return "ledger__extra" in [tool.name for tool in (await client.list_tools()).tools]

        await until(listed)
        assert reason(await client.call_tool("ledger__extra", {"text": "one"})) == "tool-changed"
        assert await house.items("approvals") == []
        assert (await house.run("accept", "--yes", "ledger__extra")).code == 0
        assert reason(await client.call_tool("ledger__extra", {"text": "one"})) == "approval-pending"
        (row,) = await house.items("approvals")
        assert (row["tool"], row["tier"], row["effect"]) == ("extra", "high", "destructive")
    assert house.forwarded == ["grow extra"]
    catalogues = await house.items("log", "--kind", "catalogue")
    assert len(catalogues) == 3  # what was listed at first, what came, and that it was accepted
