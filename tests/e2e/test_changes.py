"""Tools that change while clients are there: both eras hear of it, over stdio and over HTTP, and see the new list."""

from typing import Any

import anyio
import pytest
from mcp_types import ToolListChangedNotification

from tests.e2e.kit import House, text, until


async def _calls_the_new_tool(client: Any) -> None:
    tools = [tool.name for tool in (await client.list_tools()).tools]
    assert tools == sorted(tools)
    assert "ledger__extra" in tools
    assert (await client.call_tool("ledger__look", {"text": "still"})).is_error is False


@pytest.mark.slow
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_a_legacy_client_is_notified_of_a_new_tool(door: str, house: House) -> None:
    heard = anyio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            heard.set()

    async with house.client(door, "legacy", message_handler=on_message) as client:
        await client.list_tools()
        # Over HTTP the notice needs the stream that the client opens after its handshake: grow until it is heard.
        grown = await client.call_tool("ledger__grow", {"text": "extra"})
        assert text(grown) == "grown"
        with anyio.fail_after(20):
            await heard.wait()
        await _calls_the_new_tool(client)


@pytest.mark.slow
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_a_modern_client_that_listens_hears_of_a_new_tool(door: str, house: House) -> None:
    async with house.client(door, "modern") as client:
        await client.list_tools()
        async with client.listen(tools_list_changed=True) as events:
            await client.call_tool("ledger__grow", {"text": "extra"})
            with anyio.fail_after(20):
                await anext(events)
            await _calls_the_new_tool(client)


@pytest.mark.slow
async def test_a_new_tool_is_unlabelled_and_its_first_call_asks(house: House) -> None:
    house.configure(limits='hold = "100ms"')
    async with house.client("shim", "legacy") as client:
        await client.call_tool("ledger__grow", {"text": "extra"})

        async def listed() -> bool:
            return "ledger__extra" in [tool.name for tool in (await client.list_tools()).tools]

        await until(listed)
        assert (await client.call_tool("ledger__extra", {"text": "one"})).is_error
        (row,) = await house.items("approvals")
        assert (row["tool"], row["tier"], row["effect"]) == ("extra", "high", "destructive")
    assert house.forwarded == ["grow extra"]
    catalogues = await house.items("log", "--kind", "catalogue")
    assert len(catalogues) == 2
