"""A gateway is killed (kill -9) and its shim hands the client's pipes to the next one: nothing that was on them is
taken for something else, and every request gets its answer.
"""

import json
import os
import signal
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest

from tests.e2e.kit import DEADLINE, House, Wire, until, wire
from tests.e2e.test_approvals import READING

FLOOD = 3  # MiB: more than the pipe holds and this client reads ahead
PARSE_ERROR = -32700

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


def has_followed(house: House, pid: int) -> bool:
    """Whether there is a gateway after the one that was killed; what it says of itself may be half written."""
    with suppress(ValueError):
        return house.gateway() != pid
    return False


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


async def test_a_question_that_a_killed_gateway_left_is_withdrawn(house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet("legacy", {"elicitation": {}})
        await pipes.put(call(1, "note", meta, text="x"))
        asked = await pipes.take()
        kill(house)
        assert is_unknown(await pipes.take(), 1)
        await looks(pipes, meta)
    withdrawn = [each["params"] for each in pipes.notices if each["method"] == "notifications/cancelled"]
    assert [each["requestId"] for each in withdrawn] == [asked["id"]]


@pytest.mark.parametrize("kills", [1, 2])
async def test_an_answer_that_a_kill_cut_off_is_a_line_of_its_own_and_its_call_is_answered(
    house: House, kills: int
) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet("modern")
        await pipes.put(call(1, "flood", meta, mib=FLOOD))
        await pipes.peek()
        for _ in range(kills):
            killed = kill(house)
            await until(partial(has_followed, house, killed))
        with pytest.raises(json.JSONDecodeError):
            json.loads(await pipes.line())
        answer = await pipes.line() or await pipes.line()
        assert is_unknown(json.loads(answer), 1)
        await looks(pipes, meta)


async def test_a_request_that_was_read_in_part_is_answered_and_the_next_one_works(house: House) -> None:
    async with wire(house) as pipes:
        meta = await pipes.greet("modern")
        line = json.dumps(call(1, "look", meta, text="x" * 400_000)).encode() + b"\n"
        await pipes.write(line[:300_000])
        kill(house)
        with anyio.fail_after(DEADLINE):
            await pipes.write(line[300_000:])
        answer = await pipes.take()
        assert (answer["id"], answer["error"]["code"]) == (1, PARSE_ERROR)
        await looks(pipes, meta)
    assert house.forwarded == ["look after"]
