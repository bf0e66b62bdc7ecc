"""Bad input on a client's pipes, in both eras: a clear error each, and the next good call works."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from tests.e2e.kit import ERAS, House, wire

LONG = "x" * (70 << 10)  # over `line` below
Line = Callable[[dict[str, Any]], bytes]


def call(meta: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A good call with the id 5, with what is wrong put into its params."""
    params = {"name": "ledger__look", "arguments": {"text": "good"}, "_meta": dict(meta), **more}
    return {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}


def encoded(message: Any) -> bytes:
    """As the SDK for Python writes it: the id stands before what it asks."""
    return json.dumps(message).encode()


def id_last(message: dict[str, Any]) -> bytes:
    """As the SDK for TypeScript writes it: the id is the last member."""
    return encoded({key: message[key] for key in ("method", "params", "jsonrpc", "id")})


BAD: dict[str, tuple[Line, int, int | None]] = {  # name: (what is written, the code and the id of the answer)
    "malformed": (lambda meta: b"{not json", -32700, None),
    "no utf-8": (lambda meta: b'\xff\xfe{"jsonrpc": "2.0"}', -32700, None),
    "no object": (lambda meta: b"5", -32600, None),
    "a batch": (lambda meta: encoded([call(meta)]), -32600, None),
    "too long": (lambda meta: encoded(call(meta, arguments={"text": LONG})), -32700, 5),
    "too long, id last": (lambda meta: id_last(call(meta, arguments={"text": LONG})), -32700, 5),
    "a lone surrogate": (lambda meta: encoded(call(meta, arguments={"text": "\ud800"})), -32700, 5),
    "a lone surrogate, id last": (lambda meta: id_last(call(meta, arguments={"text": "\ud800"})), -32700, 5),
    "no number": (lambda meta: encoded(call(meta, arguments={"text": float("nan")})), -32700, 5),
    "too deep": (lambda meta: encoded(call(meta)).replace(b'"good"', b"[" * 9_000 + b"]" * 9_000), -32700, 5),
    "another version": (lambda meta: encoded({**call(meta), "jsonrpc": "1.0"}), -32600, 5),
    "an id of no type": (lambda meta: encoded({**call(meta), "id": 1.5}), -32600, None),
    "a method of no type": (lambda meta: encoded({**call(meta), "method": 5}), -32600, 5),
    "params of no type": (lambda meta: encoded({**call(meta), "params": [1]}), -32600, 5),
    "an unknown method": (lambda meta: encoded({**call(meta), "method": "tools/cal"}), -32601, 5),
    "arguments of no type": (lambda meta: encoded(call(meta, arguments="text")), -32602, 5),
    "a name of no type": (lambda meta: encoded(call(meta, name=5)), -32602, 5),
    "an unknown cursor": (
        lambda meta: encoded({**call(meta), "method": "tools/list", "params": {"_meta": meta, "cursor": "2"}}),
        -32602,
        5,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_bad_input_gets_a_clear_error_and_the_next_good_call_works(era: str, house: House) -> None:
    house.configure(limits='line = "64KiB"')
    async with wire(house) as pipes:
        meta = await pipes.greet(era)
        for name, (line, code, id) in BAD.items():
            await pipes.put(line(meta))
            answer = await pipes.take()
            assert (answer["error"]["code"], answer["id"]) == (code, id), name
            assert answer["error"]["message"], name
            assert len(json.dumps(answer)) < 1000, name
            good = await pipes.ask("tools/call", call(meta)["params"], name)
            assert good["result"]["content"][0]["text"] == "look: good", name
    assert house.forwarded == ["look good"] * len(BAD)


@pytest.mark.slow
async def test_lines_that_need_no_answer_get_none(house: House) -> None:
    async with wire(house) as pipes:
        await pipes.greet("legacy")
        stray: list[bytes | dict[str, Any]] = [
            b"",
            b"   ",
            {"jsonrpc": "2.0", "method": "notifications/unheard-of"},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 999}},
            {"jsonrpc": "2.0", "id": 77, "result": {}},
        ]
        for line in stray:
            await pipes.put(line)
        assert "result" in await pipes.ask("ping", {}, "after")


@pytest.mark.slow
async def test_a_call_before_the_handshake_is_refused_in_the_legacy_era(house: House) -> None:
    async with wire(house) as pipes:
        early = await pipes.ask("tools/call", {"name": "ledger__look", "arguments": {"text": "early"}})
        assert early["error"]["code"] == -32602
        await pipes.greet("legacy")
        assert "result" in await pipes.ask("tools/list", {}, 2)
    assert house.forwarded == []


@pytest.mark.slow
@pytest.mark.parametrize("relay", [False, True], ids=["passed", "relayed"])
async def test_many_calls_in_flight_are_each_answered_once(relay: bool, house: House) -> None:
    async with wire(house, *["--relay"] * relay) as pipes:
        meta = await pipes.greet("legacy")
        wanted = {f"c{number}" for number in range(200)}

        async def send() -> None:
            for id in sorted(wanted):
                await pipes.put({**call(meta, arguments={"text": id}), "id": id})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            answers = [await pipes.take() for _ in wanted]
        said = {answer["id"]: answer["result"]["content"][0]["text"] for answer in answers}
    assert said == {id: f"look: {id}" for id in wanted}
