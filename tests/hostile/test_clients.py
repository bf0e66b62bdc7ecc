"""Each way in which a client can misbehave: one correct answer each, nobody else hurt, memory bounded (R7, R9)."""

import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from tests.e2e.kit import ERAS, House, case, until
from tests.hostile.client import (
    HELLO,
    MODERN,
    Pest,
    Reply,
    call,
    connection,
    exchange,
    gateway_of,
    line,
    pest,
    post,
)
from tests.processes import resident

GROWTH = 96 << 10  # kB that the gateway may grow by, whatever a client does
IDS: list[Any] = [0, -1, 2**53 + 1, 2**63 - 1, "", "0", "x" * 1_000, "\x00\u202e"]
NO_IDS: list[Any] = [1.5, True, [1], {"a": 1}]
METHODS = ["tools/list", "tools/call", "resources/list", "prompts/list", "completion/complete", "logging/setLevel"]

pytestmark = pytest.mark.slow


async def told(client: Pest, data: bytes, id: Any, times: int = 1) -> list[dict[str, Any]]:
    """Write, wait for the answers, and see that no more come than that."""
    await client.write(data)
    await client.answered(id, times)
    await client.served()
    assert len(client.answers(id)) == times
    return client.answers(id)


def code(answer: Mapping[str, Any]) -> int:
    """The code of an answer that is an error."""
    return int(answer["error"]["code"])


async def _every_id_is_answered_once_as_it_was_written(house: House, era: str) -> None:
    async with pest(house, era) as client:
        for id in IDS:
            (answer,) = await told(client, call(id, f"good {era}", meta=client.meta), id)
            assert answer["result"]["content"][0]["text"] == f"look: good {era}"
        for number, id in enumerate(NO_IDS, 1):
            answers = await told(client, call(id, f"good {era}", meta=client.meta), None, number)
            assert code(answers[-1]) == -32600
    assert house.forwarded.count(f"look good {era}") == len(IDS)


async def _an_id_that_is_used_twice_at_once_gets_two_answers_and_no_mixture(house: House, era: str) -> None:
    async with pest(house, era) as client:
        both = call(7, "one", meta=client.meta) + call(7, "two", meta=client.meta)
        answers = await told(client, both, 7, 2)
        texts = [answer["result"]["content"][0]["text"] for answer in answers if "result" in answer]
        assert len(texts) == len(set(texts))
        assert set(texts) <= {"look: one", "look: two"}
        assert all(code(answer) == -32600 for answer in answers if "error" in answer)
        assert len(await told(client, call(7, "three", meta=client.meta), 7, 3)) == 3


async def _a_cancellation_hits_its_own_call_only(house: House, era: str) -> None:
    async with pest(house, era) as client:

        def cancel(id: Any) -> bytes:
            return line("notifications/cancelled", requestId=id, _meta=dict(client.meta))

        await told(client, cancel(900) + call(900, "late", meta=client.meta), 900)  # before: nothing to cancel
        await told(client, call(901, meta=client.meta), 901)
        await told(client, cancel(901) * 3, 901)  # after: no second answer
        for odd in (None, [1], {}, 1.5, True, "900", 10**30):
            await client.write(cancel(odd))
        await client.write(line("notifications/cancelled"))
        await client.served()
        await client.write(call("s", era, "stall", client.meta))
        await until(lambda: f"stall {era}" in house.forwarded)
        await client.write(cancel("s") * 2)
        await until(lambda: f"cancelled {era}" in house.forwarded)
        await client.served()
        assert len(client.answers("s")) <= 1
        assert all("error" in answer for answer in client.answers("s"))


async def _a_call_cancelled_at_once_is_answered_or_silent_but_never_twice(house: House) -> None:
    async with pest(house, "legacy") as client:
        for number in range(50):
            await client.write(call(number) + line("notifications/cancelled", requestId=number))
        await client.served()
        assert all(len(client.answers(number)) <= 1 for number in range(50))


async def _nothing_but_a_ping_is_served_before_the_handshake(house: House) -> None:
    async with pest(house) as client:
        for method in METHODS:
            await client.write(line(method, method, name="ledger__look", arguments={"text": "early"}))
            (answer,) = await client.answered(method)
            assert code(answer) in (-32602, -32601), method
        await client.write(line("initialize", "hello", **HELLO))
        assert "result" in (await client.answered("hello"))[0]
        await client.write(line("notifications/initialized"))
        await client.served()
    assert all("early" not in each for each in house.forwarded)


async def _a_second_handshake_and_a_foreign_era_get_an_answer_and_change_nothing(house: House) -> None:
    async with pest(house, "legacy") as client:
        await told(client, line("initialize", "again", **HELLO), "again")
        await told(client, line("initialize", "old", **{**HELLO, "protocolVersion": "1999-01-01"}), "old")
        await told(client, line("server/discover", "other", _meta=dict(MODERN)), "other")
        await told(client, call("modern", meta=MODERN), "modern")
    async with pest(house, "modern") as client:
        await told(client, line("initialize", "late", **HELLO), "late")
        for name, wrong in {"unknown": "1999-01-01", "legacy": "2025-11-25", "no text": 5}.items():
            meta = {**MODERN, "io.modelcontextprotocol/protocolVersion": wrong}
            (answer,) = await told(client, call(name, "wrong", meta=meta), name)
            assert "error" in answer or wrong == "2025-11-25", answer


async def test_messages_ids_and_handshakes_on_the_pipes_get_one_right_answer_each(house: House) -> None:
    """One gateway before clients of both eras, each of which is a nuisance in another way."""
    async with pest(house, "legacy") as other:
        for era in ERAS:
            for nuisance in (
                _every_id_is_answered_once_as_it_was_written,
                _an_id_that_is_used_twice_at_once_gets_two_answers_and_no_mixture,
                _a_cancellation_hits_its_own_call_only,
            ):
                with case(nuisance.__name__, era):
                    await nuisance(house, era)
        for nuisance in (
            _a_call_cancelled_at_once_is_answered_or_silent_but_never_twice,
            _nothing_but_a_ping_is_served_before_the_handshake,
            _a_second_handshake_and_a_foreign_era_get_an_answer_and_change_nothing,
        ):
            await nuisance(house)
        await other.served()


async def _a_flood_of_stray_messages_is_survived(house: House, other: Pest, before: int, era: str) -> None:
    strays = [
        line("notifications/unheard-of", _meta={}),
        line("notifications/progress", progressToken="nobody's", progress=1),
        line("notifications/roots/list_changed"),
        b'{"jsonrpc": "2.0", "id": 77, "result": {}}\n',
        b'{"jsonrpc": "2.0", "id": "q", "error": {"code": 1, "message": "no"}}\n',
        b'{"jsonrpc": "2.0", "id": 1, "result": null, "error": null}\n',
        b"\n \t\n",
    ]
    async with pest(house, era) as client:
        for _ in range(40):
            await client.write(b"".join(strays) * 20)
            await other.served()
        await client.served()
        assert resident(await gateway_of(house)) < before + GROWTH
        assert [
            each for each in client.told if "id" in each and not str(each["id"]).startswith(("hello", "served"))
        ] == []


async def _a_flood_of_garbage_gets_an_error_each_and_hurts_nobody(house: House, other: Pest, before: int) -> None:
    async with pest(house, "legacy") as client:
        for _ in range(20):
            await client.write(b"{garbage\n" * 50 + b"\x00\xff\n" * 50)
            await other.served()
        answers = await client.answered(None, 2_000)
        assert {code(answer) for answer in answers} == {-32700}
        await client.served()
        assert resident(await gateway_of(house)) < before + GROWTH


async def _a_line_that_never_ends_costs_its_writer_the_connection_and_nobody_memory(
    house: House, other: Pest, before: int
) -> None:
    async with pest(house, "legacy") as client:

        async def write() -> None:
            for _ in range(200):
                await client.write(b"x" * (1 << 20))
                await other.served()

        with pytest.raises((anyio.BrokenResourceError, TimeoutError)):
            await write()
    await other.served()
    assert resident(await gateway_of(house)) < before + GROWTH


async def test_a_flood_on_the_pipes_is_survived_and_costs_nobody_else_anything(house: House) -> None:
    """One gateway: all floods together may not let it grow by more than one may."""
    house.configure(limits='line = "1MiB"')
    async with pest(house, "legacy") as legacy, pest(house, "modern") as modern:
        before = resident(await gateway_of(house))
        for era in ERAS:
            with case("stray messages", era):
                await _a_flood_of_stray_messages_is_survived(house, legacy, before, era)
        await _a_flood_of_garbage_gets_an_error_each_and_hurts_nobody(house, modern, before)
        await _a_line_that_never_ends_costs_its_writer_the_connection_and_nobody_memory(house, legacy, before)


async def _a_client_that_does_not_read_holds_up_only_itself(house: House, other: Pest) -> None:
    before = resident(await gateway_of(house))
    async with pest(house, "legacy", reads=False) as client:
        for id in range(40):
            flood = line("tools/call", id, name="ledger__flood", arguments={"mib": 1})
            with anyio.move_on_after(0.5) as blocked:
                await client.write(flood)
            await other.served()
            if blocked.cancelled_caught:
                break
        assert resident(await gateway_of(house)) < before + 4 * GROWTH
    await other.served()


async def _a_client_that_leaves_with_calls_in_flight_leaves_nothing_behind(house: House, other: Pest, how: str) -> None:
    def noted(word: str) -> int:
        return sum(each.startswith(f"{word} {how}") for each in house.forwarded)

    async def ended() -> list[tuple[str, str]]:
        rows = await house.items("log", "--kind", "outcome", "--tool", "stall", "--limit", "100")
        return [(row["outcome"], row["reason"]) for row in rows][: len(rows) - earlier]

    earlier = 0
    earlier = len(await ended())
    async with pest(house, "legacy") as client:
        for number in range(30):
            await client.write(call(number, f"{how} {number}", "stall"))
        await until(lambda: noted("stall") == 30)
        if how == "closes":
            await client.stdin.aclose()
        else:
            client.process.kill()
        await until(lambda: noted("cancelled") == 30)
    await other.served()
    assert await until(ended) == [("unknown", "cancelled")] * 30


async def _clients_that_connect_and_say_nothing_hold_nobody_up(house: House, other: Pest) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(pest(house))
        for _ in range(5):
            await other.served()


async def test_clients_that_leave_say_nothing_or_do_not_read_hold_up_only_themselves(house: House) -> None:
    async with pest(house, "legacy") as legacy, pest(house, "modern") as modern:
        for how in ("closes", "is killed"):
            with case(how):
                await _a_client_that_leaves_with_calls_in_flight_leaves_nothing_behind(house, legacy, how)
        await _clients_that_connect_and_say_nothing_hold_nobody_up(house, modern)
        await _a_client_that_does_not_read_holds_up_only_itself(house, legacy)


def modern(id: Any = 1, text: str = "good", tool: str = "look") -> bytes:
    """The body of a modern call."""
    return call(id, text, tool, MODERN).rstrip()


def named(method: str = "tools/call", name: str = "ledger__look", version: str = "2026-07-28") -> tuple[str, ...]:
    """The headers of a modern call."""
    return (f"MCP-Protocol-Version: {version}", f"Mcp-Method: {method}", f"Mcp-Name: {name}")


async def good(house: House, token: str) -> None:
    """One call over HTTP in good faith: it is served."""
    reply = await exchange(house, post(house, modern(), f"Authorization: Bearer {token}", *named()))
    assert reply.status == 200, reply
    assert reply.json()["result"]["content"][0]["text"] == "look: good"


DISAGREE: Mapping[str, tuple[str, ...]] = {
    "another method": named(method="tools/list"),
    "another tool": named(name="ledger__note"),
    "another revision": named(version="2025-11-25"),
    "an unknown revision": named(version="1999-01-01"),
    "no method": named()[:1] + named()[2:],
    "no name": named()[:2],
    "a method in capitals": named(method="TOOLS/CALL"),
}


async def _a_header_that_disagrees_with_the_body_is_refused_and_nothing_is_forwarded(house: House, token: str) -> None:
    for name, headers in DISAGREE.items():
        body = modern(text="disagrees")
        reply = await exchange(house, post(house, body, f"Authorization: Bearer {token}", *headers))
        assert reply.status == 400, (name, reply)
        assert "error" in reply.json(), (name, reply)
        await good(house, token)
    assert set(house.forwarded) == {"look good"}


Bytes = Callable[[House, str], bytes]
BAD_HTTP: Mapping[str, Bytes] = {
    "garbage": lambda house, token: b"\x00\x01\x02 garbage\r\n\r\n",
    "another protocol": lambda house, token: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no host": lambda house, token: b"POST /mcp HTTP/1.1\r\n" + token.encode() + b"\r\nContent-Length: 0\r\n\r\n",
    "a length that is none": lambda house, token: post(house, modern(), token, "Content-Length: many"),
    "a negative length": lambda house, token: post(house, modern(), token, "Content-Length: -1"),
    "two lengths": lambda house, token: post(house, modern(), token, "Content-Length: 5", "Content-Length: 7"),
    "length and chunks": lambda house, token: post(
        house, modern() + b"\r\n0\r\n\r\n", token, "Transfer-Encoding: chunked"
    ),
    "a chunk of no size": lambda house, token: post(
        house, b"zz\r\nhello\r\n0\r\n\r\n", token, "Transfer-Encoding: chunked", "Content-Length: 0"
    ),
    "a head that is too large": lambda house, token: post(house, modern(), token, "X-Large: " + "x" * (1 << 20)),
    "a body that is no JSON": lambda house, token: post(house, b"{no json", token, *named()),
    "an empty body": lambda house, token: post(house, b"", token, *named()),
    "a batch": lambda house, token: post(house, b"[" + modern() + b"]", token, *named()),
    "no utf-8": lambda house, token: post(house, b'{"\xff\xfe": 1}', token, *named()),
    "too deep": lambda house, token: post(house, b"[" * 100_000, token, *named()),
    "another type": lambda house, token: post(house, modern(), token, *named(), "Content-Type: text/html"),
    "an unknown session": lambda house, token: post(
        house, call(1).rstrip(), token, "Mcp-Session-Id: nobody's", "MCP-Protocol-Version: 2025-11-25"
    ),
    "no session": lambda house, token: post(house, call(1).rstrip(), token, "MCP-Protocol-Version: 2025-11-25"),
}


def refused(reply: Reply) -> bool:
    """Whether nothing was served: an error of HTTP, or the connection closed."""
    return reply.status == 0 or 400 <= reply.status < 500


async def _bad_http_is_refused_and_the_next_good_call_is_served(house: House, token: str) -> None:
    for name, made in BAD_HTTP.items():
        reply = await exchange(house, made(house, f"Authorization: Bearer {token}"))
        assert refused(reply), (name, reply)
        assert b"Traceback" not in reply.body, name
        assert len(reply.body) < 2_000, name
        await good(house, token)
    assert set(house.forwarded) == {"look good"}
    assert "Traceback" not in house.said()


async def _half_open_connections_hold_nobody_up(house: House, token: str) -> None:
    async with AsyncExitStack() as stack:
        whole = post(house, modern(), f"Authorization: Bearer {token}", *named())
        for at in range(60):
            stream = await stack.enter_async_context(connection(house))
            await stream.send(whole[: (0, 10, len(whole) // 2, len(whole) - 1)[at % 4]] or b"P")
        for _ in range(5):
            await good(house, token)
    assert set(house.forwarded) == {"look good"}


async def _a_connection_that_is_gone_in_mid_call_cancels_its_call_only(house: House, token: str) -> None:
    stalls = post(house, modern(1, "gone", "stall"), f"Authorization: Bearer {token}", *named(name="ledger__stall"))
    async with connection(house) as one:
        await one.send(stalls)
        await until(lambda: "stall gone" in house.forwarded)
        await good(house, token)
    await until(lambda: "cancelled gone" in house.forwarded)
    assert await until(lambda: house.outcomes("stall")) == [("unknown", "cancelled")]
    await good(house, token)


async def _nobody_learns_anything_of_a_request_without_a_token(house: House) -> None:
    for body in (modern(), line("initialize", 1, **HELLO).rstrip(), b"{no json", b""):
        reply = await exchange(house, post(house, body, *named()))
        assert reply.status == 401
        assert "ledger" not in json.dumps([reply.head, reply.body.decode()])
    assert house.forwarded == []


@pytest.mark.timeout(240)
async def test_bad_http_is_refused_and_half_open_or_lost_connections_hold_nobody_up(house: House) -> None:
    """One gateway: all of it together may not let it grow by more than one may."""
    async with house.serving() as gateway:
        before = resident(gateway.pid)
        await _nobody_learns_anything_of_a_request_without_a_token(house)
        token = await house.token()
        for nuisance in (
            _a_header_that_disagrees_with_the_body_is_refused_and_nothing_is_forwarded,
            _bad_http_is_refused_and_the_next_good_call_is_served,
            _half_open_connections_hold_nobody_up,
        ):
            await nuisance(house, token)
            assert resident(gateway.pid) < before + GROWTH, nuisance.__name__
        await _a_connection_that_is_gone_in_mid_call_cancels_its_call_only(house, token)
