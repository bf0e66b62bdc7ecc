"""Everything that upstreams offer and ask, through the whole gateway: both eras on both sides, at each door."""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsResult,
    PromptReference,
    ResourceTemplateReference,
    Root,
    TextContent,
    TextResourceContents,
)

from tests.e2e.kit import DOORS, ERAS, House, reason, text, until, upstream_table

ASKS = Path(__file__).parents[1] / "servers" / "asks.py"
POLICY = """
upstream = "up"
owner = "alice@example.com"
[[tool]]
match = "*"
effect = "read"
[[resource]]
match = "x://one"
output = { trust = "neutral" }
[[rule]]
id = "up.private"
resources = "x://two"
decide = "block"
"""
ASKING = """
[[rule]]
id = "up.asks"
methods = ["sampling/createMessage", "roots/list"]
decide = "allow"
"""
# Deprecated in the modern era, and still what legacy clients do.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
ANSWER = ElicitResult(action="accept", content={"x": "blue"})


def up(era: str = "both", *options: str, **more: Any) -> str:
    """The table of the upstream that asks."""
    keys = {"per": "client", "elicit": "form", **more}
    return upstream_table("up", [sys.executable, str(ASKS), "--era", era, *options], **keys)


def person(seen: list[Any], answer: ElicitResult = ANSWER) -> Callable[..., Any]:
    """Somebody who answers every form alike."""

    async def callback(context: ClientRequestContext, params: Any) -> ElicitResult:
        seen.append(params)
        return answer

    return callback


async def sample(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
    """A model that says one word."""
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="four"), model="m")


async def roots(context: ClientRequestContext) -> ListRootsResult:
    """One root."""
    return ListRootsResult(roots=[Root(uri="file:///work")])


def said(result: Any) -> Any:
    """What a tool of that upstream said, as a value."""
    assert not result.is_error, result
    return json.loads(text(result))


@asynccontextmanager
async def before(
    house: House, table: str, door: str = "shim", era: str = "modern", policy: str = "", **more: Any
) -> AsyncIterator[Client]:
    """A client before a gateway that stands before that upstream."""
    house.configure(table, policies={"up": POLICY + policy})
    async with house.client(door, era, **more) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("upstream", ["modern", "legacy"])
async def test_an_upstream_asks_the_person_behind_the_call(upstream: str, era: str, door: str, house: House) -> None:
    seen: list[Any] = []
    async with before(house, up(upstream), door, era, elicitation_callback=person(seen)) as client:
        (one,) = said(await client.call_tool("up__ask", {}))
        assert one["content"] == {"x": "blue"}
        assert len(said(await client.call_tool("up__chain", {"times": 2}))) == 2
        assert len(seen) == 3
        assert isinstance(seen[0], ElicitRequestFormParams)
        lines = seen[0].message.splitlines()
        assert lines[0].startswith("[Wardgate] The server `up` asks this")
        assert "> Which?" in lines
        questions = await house.items("log", "--kind", "question")
        assert {(row["verdict"], row["reason"]) for row in questions} == {("allow", "tier-default")}
        intents = await house.items("log", "--kind", "intent", "--tool", "chain")
        assert len(intents) == 3
        assert await house.outcomes("chain") == [("ok", "tier-default")]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("upstream", ["modern", "legacy"])
async def test_an_upstream_gets_samples_and_roots_where_a_rule_allows_it(upstream: str, era: str, house: House) -> None:
    clients = {"sampling_callback": sample, "list_roots_callback": roots}
    async with before(house, up(upstream), era=era, policy=ASKING, **clients) as client:
        (one,) = said(await client.call_tool("up__ask", {"method": "sampling/createMessage"}))
        assert one["content"]["text"] == "four"
        (two,) = said(await client.call_tool("up__ask", {"method": "roots/list"}))
        assert [root["uri"] for root in two["roots"]] == ["file:///work"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("upstream", ["modern", "legacy"])
async def test_nobody_is_asked_by_default(upstream: str, era: str, house: House) -> None:
    seen: list[Any] = []
    table = up(upstream, per="gateway", elicit="block")
    async with before(house, table, era=era, elicitation_callback=person(seen), sampling_callback=sample) as client:
        for method in ("elicitation/create", "sampling/createMessage"):
            refused = await client.call_tool("up__ask", {"method": method})
            assert refused.is_error
        assert seen == []
        (one, *_) = await house.items("log", "--kind", "question")
        assert one["verdict"] == "block"
        assert said(await client.call_tool("up__who", {}))["declared"] == {}


@pytest.mark.slow
async def test_a_retry_whose_parked_call_is_gone_is_unknown_and_sent_no_second_time(house: House) -> None:
    ledger = house.world / "asks.txt"
    house.configure(up("legacy", "--ledger", str(ledger)), policies={"up": POLICY})
    async with house.client("shim", "modern", elicitation_callback=person([])) as client:
        asked = await client.session.call_tool("up__ask", {}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        old = house.gateway()
        os.kill(old, signal.SIGKILL)
        gone = await client.session.call_tool(
            "up__ask", {}, request_state=asked.request_state, input_responses={}, allow_input_required=True
        )
        assert house.gateway() != old
        assert text(gone).startswith("OUTCOME UNKNOWN")
        calls = [line for line in ledger.read_text(encoding="utf-8").splitlines() if line.startswith("call ask")]
        assert calls == ["call ask"]


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("era", ERAS)
async def test_resources_prompts_and_completions_pass_and_are_policed(era: str, door: str, house: House) -> None:
    async with before(house, up(), door, era) as client:
        assert [str(each.uri) for each in (await client.list_resources()).resources] == ["x://one"]
        templates = (await client.list_resource_templates()).resource_templates
        assert [each.uri_template for each in templates] == ["x://t/{id}"]
        (prompt,) = (await client.list_prompts()).prompts
        assert prompt.name == "up__hello"
        for uri in ("x://one", "x://t/7"):
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, TextResourceContents)
            assert json.loads(content.text)["uri"] == uri
            assert content.meta == {"vendor/x": 1}
        got = await client.get_prompt("up__hello", {"who": "Ada"})
        assert isinstance(got.messages[0].content, TextContent)
        assert got.messages[0].content.text == "Hello Ada!"
        by_prompt = await client.complete(
            PromptReference(type="ref/prompt", name="up__hello"), {"name": "who", "value": "A"}
        )
        assert json.loads(by_prompt.completion.values[0])["name"] == "hello"
        reference = ResourceTemplateReference(type="ref/resource", uri="x://t/{id}")
        assert (await client.complete(reference, {"name": "id", "value": "1"})).completion.values[1] == "1"
        for uri, code in (("x://two", -32010), ("y://nowhere", -32602 if era == "modern" else -32002)):
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            assert refused.value.error.code == code
        rows = await house.items("log", "--kind", "outcome")
        assert {row["reason"] for row in rows} == {"tier-default", "rule", "unknown-resource"}


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_change_of_a_resource_reaches_who_subscribed_to_it(era: str, house: House) -> None:
    heard: list[str] = []
    come = anyio.Event()

    async def listen(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            heard.append(str(message.params.uri))
            come.set()

    async with before(house, up(per="gateway"), era=era, message_handler=listen) as client:
        if era == "legacy":
            await client.subscribe_resource("x://one")
            await client.call_tool("up__touch", {"uri": "x://one"})
            await come.wait()
        else:
            async with client.listen(resource_subscriptions=["x://one", "x://two"]) as events:
                await client.call_tool("up__touch", {"uri": "x://two"})
                await client.call_tool("up__touch", {"uri": "x://one"})
                async for event in events:
                    heard.append(str(event.uri))
                    break
        assert heard == ["x://one"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_new_resources_and_tools_are_told(era: str, house: House) -> None:
    told: set[str] = set()

    async def listen(message: Any) -> None:
        told.add(getattr(message, "method", ""))

    async with before(house, up(per="gateway"), era=era, message_handler=listen) as client:
        await client.call_tool("up__grow", {"name": "x://new", "resource": True})
        await until(lambda: _offers(client, "x://new"))
        if era == "legacy":
            await until(lambda: "notifications/resources/list_changed" in told)


async def _offers(client: Client, uri: str) -> bool:
    return uri in [str(each.uri) for each in (await client.list_resources()).resources]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_log_notices_pass_screened(era: str, house: House) -> None:
    notices: list[Any] = []
    come = anyio.Event()
    token = "ghp_" + "x7Kd93mQz1" * 3 + "aB4cD5"

    async def hear(params: Any) -> None:
        notices.append(params.data)
        come.set()

    async with before(house, up(era), era=era, logging_callback=hear) as client:
        options = {"meta": {"io.modelcontextprotocol/logLevel": "debug"}} if era == "modern" else {}
        if era == "legacy":
            await client.set_logging_level("debug")
        await client.call_tool("up__log", {"data": f"token {token}"}, **options)
        with anyio.fail_after(10):
            await come.wait()
        assert token not in str(notices)
        assert "[REDACTED:" in str(notices)


@pytest.mark.slow
async def test_an_endpoint_of_one_upstream_shows_that_one_only(house: House) -> None:
    house.configure(up(per="gateway"), house.ledger(), policies={"up": POLICY})
    async with house.serving():
        token = await house.token()
        async with house.http_client("modern", token) as everything:
            names = {tool.name for tool in (await everything.list_tools()).tools}
        assert any(name.startswith("ledger__") for name in names)
        async with house.http_client("modern", token, path="/up") as one:
            assert {tool.name for tool in (await one.list_tools()).tools} == {n for n in names if n.startswith("up__")}
            refused = await _error(one, "ledger__note")
            assert refused == -32602


async def _error(client: Client, tool: str) -> int:
    with pytest.raises(MCPError) as refused:
        await client.call_tool(tool, {"text": "x"})
    return refused.value.error.code


@pytest.mark.slow
async def test_instructions_pass_of_believed_upstreams_and_hidden_tools_are_told(house: House) -> None:
    hiding = POLICY + '[[rule]]\nid = "up.hide"\ntools = ["die", "hush"]\ndecide = "block"\n'
    house.configure(up(per="gateway", instructions=True), policies={"up": hiding})
    async with house.client("shim", "legacy") as client:
        said_so = client.instructions or ""
        assert "Instructions of the server `up`:\nBe kind." in said_so
        assert "2 of their tools are hidden by policy" in said_so
        listed = await client.list_tools()
        assert (listed.meta or {})["dev.wardgate/hidden"] == 2
        assert "up__die" not in {tool.name for tool in listed.tools}
        assert reason(await client.call_tool("up__die", {})) == "rule"


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_the_trace_of_a_call_is_on_the_record(era: str, house: House) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with before(house, up(per="gateway"), era=era) as client:
        await client.call_tool("up__touch", {"uri": "x://one"}, meta={"traceparent": trace, "vendor/key": 1})
        await until(lambda: house.outcomes("touch"))
        with closing(sqlite3.connect(f"file:{house.state / 'record.db'}?mode=ro", uri=True)) as store:
            bodies = [json.loads(body) for (body,) in store.execute("SELECT body FROM record WHERE tool = 'touch'")]
        assert [body["trace"] for body in bodies] == [trace, trace]
