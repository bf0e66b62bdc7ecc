"""A gateway is killed (kill -9) and its shim hands the client's pipes to the next one: nothing that was on them is
taken for something else, and every request gets its answer.
"""

import os
import signal
from typing import Any

import anyio
import pytest

from tests.e2e.kit import House, Wire, wire
from tests.e2e.test_approvals import READING

pytestmark = pytest.mark.slow


def call(id: int, tool: str, meta: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """A request that calls a tool of the ledger's."""
    params = {"name": f"ledger__{tool}", "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}


def kill(house: House) -> int:
    """Kill the gateway of a house, and say which one that was."""
    pid = house.gateway()
    os.kill(pid, signal.SIGKILL)
    return pid


def is_unknown(answer: dict[str, Any], id: int) -> bool:
    """Whether this tells that nobody knows what became of a call."""
    return answer["id"] == id and "OUTCOME UNKNOWN" in answer["result"]["content"][0]["text"]


async def looks(pipes: Wire, meta: dict[str, Any]) -> None:
    """A call as any other gets its answer, and it is the next message."""
    await pipes.put(call(99, "look", meta, text="after"))
    answer = await pipes.take()
    assert (answer["id"], answer["result"]["content"][0]["text"]) == (99, "look: after")


async def test_a_late_answer_to_a_killed_gateways_question_approves_nothing(house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet("legacy", {"elicitation": {}})
        await pipes.put(call(1, "note", meta, text="shown"))
        shown = await pipes.take()
        assert shown["method"] == "elicitation/create"
        kill(house)
        assert is_unknown(await pipes.take(), 1)
        await pipes.put(call(2, "note", meta, text="hidden"))
        hidden = await pipes.take()
        assert hidden["method"] == "elicitation/create"
        yes = {"action": "accept", "content": {"approve": True}}
        await pipes.put({"jsonrpc": "2.0", "id": shown["id"], "result": yes})
        await looks(pipes, meta)
        await anyio.sleep(READING)  # a decline that comes sooner was never shown to a person
        await pipes.put({"jsonrpc": "2.0", "id": hidden["id"], "result": {"action": "decline"}})
        denied = await pipes.take()
        assert denied["id"] == 2
        assert denied["result"]["_meta"]["dev.wardgate/decision"]["reason"] == "approval-denied"
    assert house.forwarded == ["look after"]
