"""Everything that upstreams offer and ask, through the whole gateway: both eras on both sides, at each door."""

import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

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

from tests.e2e.kit import ERAS, House, case, reason, text, until, upstream_table

ASKS = Path(__file__).parents[1] / "servers" / "asks.py"
POLICY = """
upstream = "UP"
owner = "alice@example.com"
[[tool]]
match = "*"
effect = "read"
[[resource]]
match = "UP://one"
output = { trust = "neutral" }
[[rule]]
id = "UP.private"
resources = "UP://two"
decide = "block"
"""
ASKING = """
[[rule]]
id = "UP.asks"
methods = ["sampling/createMessage", "roots/list"]
decide = "allow"
"""
HIDING = """
[[rule]]
id = "UP.hide"
tools = ["die", "hush"]
decide = "block"
"""
# Deprecated in the modern era, and still what legacy clients do.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
NOWHERE = "y://nowhere"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333{}-01"
# Upstreams of a gateway, by how they are configured; the shut ones may ask nobody.
OWN = {"up": "both", "modern": "modern", "legacy": "legacy"}  # one for each client
SHARED = {"shared": "both", "modernshut": "modern", "legacyshut": "legacy"}


def asking(house: House, name: str, era: str = "both", *options: str, **more: Any) -> str:
    """The table of an upstream that asks. Each has URIs of its own: what two of them claim, neither offers."""
    own = house.world / f"{name}.py"
    own.write_text(ASKS.read_text(encoding="utf-8").replace("x://", f"{name}://"), encoding="utf-8")
    keys = {"per": "client", "elicit": "form", **more}
    return upstream_table(name, [sys.executable, str(own), "--era", era, *options], **keys)


@dataclass
class End:
    """One client, who answers whatever is asked, and what it heard."""

    door: str
    era: str
    client: Client = field(init=False)
    asked: list[Any] = field(default_factory=list)
    logged: list[Any] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)  # method of a notice, URI

    @property
    def callbacks(self) -> dict[str, Any]:
        """What the SDK's client is to do with what comes."""
        return {
            "elicitation_callback": self._person,
            "sampling_callback": self._model,
            "list_roots_callback": self._roots,
            "logging_callback": self._log,
            "message_handler": self._listen,
        }

    async def _person(self, context: ClientRequestContext, params: Any) -> ElicitResult:
        self.asked.append(params)
        return ElicitResult(action="accept", content={"x": "blue"})

    async def _model(self, context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
        self.asked.append(params)
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="four"), model="m")

    async def _roots(self, context: ClientRequestContext) -> ListRootsResult:
        self.asked.append(None)
        return ListRootsResult(roots=[Root(uri="file:///work")])

    async def _log(self, params: Any) -> None:
        self.logged.append(params.data)

    async def _listen(self, message: Any) -> None:
        uri = getattr(getattr(message, "params", None), "uri", "")
        self.told.append((getattr(message, "method", ""), str(uri)))


def configure(house: House, shared: Mapping[str, str]) -> None:
    """A gateway before upstreams of both eras: a set for each client, and the `shared` ones."""
    tables = [asking(house, name, era) for name, era in OWN.items()]
    for name, era in shared.items():
        shut = name.endswith("shut")
        more = {"elicit": "block"} if shut else {"instructions": True}
        tables.append(asking(house, name, era, per="gateway", **more))
    added = {"modern": ASKING, "legacy": ASKING, "shared": HIDING}
    texts = {name: (POLICY + added.get(name, "")).replace("UP", name) for name in (*OWN, *shared)}
    house.configure(*tables, policies=texts)


@asynccontextmanager
async def before(house: House, door: str, era: str, token: str = "") -> AsyncIterator[End]:
    """A client of an era behind a door of a gateway that runs, or of one of its own."""
    end = End(door, era)
    with case(door, era):
        opened = house.http_client(era, token, **end.callbacks) if token else house.client(door, era, **end.callbacks)
        async with opened as end.client:
            yield end


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_all_that_upstreams_offer_and_ask_passes_a_gateway_of_the_clients_own(era: str, house: House) -> None:
    configure(house, {})
    async with before(house, "standalone", era) as end:
        await whatever_a_door_is_for(end)
    the_record_tells_of_it_in_each_session(await house.items("log", "--limit", "1000"), 1)


@pytest.mark.slow
async def test_all_that_upstreams_offer_and_ask_passes_one_gateway_at_each_of_its_doors(house: House) -> None:
    configure(house, SHARED)
    cases = {(door, era): TRACE.format(number) for number, (door, era) in enumerate(product(("shim", "http"), ERAS))}
    async with house.serving():
        token = await house.token("other")
        for (door, era), trace in cases.items():
            async with before(house, door, era, token if door == "http" else "") as end:
                await whatever_a_door_is_for(end)
                await nobody_is_asked_by_default(end)
                await instructions_pass_of_believed_upstreams_and_hidden_tools_are_told(end)
                await a_change_of_a_resource_reaches_who_subscribed_to_it(end)
                await new_resources_are_told(end)
                await end.client.call_tool("shared__slow", {"ms": 0}, meta={"traceparent": trace, "vendor/key": 1})
        await an_endpoint_of_one_upstream_shows_that_one_only(house, token)
    rows = await house.items("log", "--limit", "1000")
    the_record_tells_of_it_in_each_session(rows, len(cases))
    shut = [row for row in rows if row["kind"] == "question" and row["upstream"].endswith("shut")]
    assert Counter((row["upstream"], row["verdict"]) for row in shut) == {
        ("modernshut", "block"): 2 * len(cases),
        ("legacyshut", "block"): 2 * len(cases),
    }
    with closing(sqlite3.connect(f"file:{house.state / 'record.db'}?mode=ro", uri=True)) as store:
        bodies = [json.loads(body) for (body,) in store.execute("SELECT body FROM record WHERE tool = 'slow'")]
    assert sorted(body["trace"] for body in bodies) == sorted([*cases.values()] * 2)  # with each intent and outcome


async def whatever_a_door_is_for(end: End) -> None:
    """What holds at each door, in each era, before upstreams of each era."""
    for upstream in ("modern", "legacy"):
        with case(upstream):
            await an_upstream_asks_the_person_behind_the_call(end, upstream)
            await an_upstream_gets_samples_and_roots_where_a_rule_allows_it(end, upstream)
            await log_notices_pass_screened(end, upstream)
    await resources_prompts_and_completions_pass_and_are_policed(end)


def the_record_tells_of_it_in_each_session(rows: Sequence[Mapping[str, Any]], clients: int) -> None:
    """What is on the record of that, for each client alike."""
    sessions = {row["session"] for row in rows if row["kind"] == "intent"}
    assert len(sessions) == clients
    for session, upstream in product(sessions, ("modern", "legacy")):
        with case(session, upstream):
            mine = [row for row in rows if (row["session"], row["upstream"]) == (session, upstream)]
            questions = Counter((row["verdict"], row["reason"]) for row in mine if row["kind"] == "question")
            assert questions == {("allow", "tier-default"): 3, ("allow", "rule"): 2}  # forms; samples and roots
            chain = [row for row in mine if row["tool"] == "chain"]
            assert len([row for row in chain if row["kind"] == "intent"]) == 3
            ended = [(row["outcome"], row["reason"]) for row in chain if row["kind"] == "outcome"]
            assert ended == [("ok", "tier-default")]
    for session in sessions:
        outcomes = [row for row in rows if (row["kind"], row["session"]) == ("outcome", session)]
        read = [row for row in outcomes if row["upstream"] == "up" or row["tool"] == NOWHERE]
        assert {row["reason"] for row in read} == {"tier-default", "rule", "unknown-resource"}, session


def said(result: Any) -> Any:
    """What a tool of those upstreams said, as a value."""
    assert not result.is_error, result
    return json.loads(text(result))


async def an_upstream_asks_the_person_behind_the_call(end: End, upstream: str) -> None:
    end.asked.clear()
    (one,) = said(await end.client.call_tool(f"{upstream}__ask", {}))
    assert one["content"] == {"x": "blue"}
    assert len(said(await end.client.call_tool(f"{upstream}__chain", {"times": 2}))) == 2
    assert len(end.asked) == 3
    assert isinstance(end.asked[0], ElicitRequestFormParams)
    lines = end.asked[0].message.splitlines()
    assert lines[0].startswith(f"[Wardgate] The server `{upstream}` asks this")
    assert "> Which?" in lines


async def an_upstream_gets_samples_and_roots_where_a_rule_allows_it(end: End, upstream: str) -> None:
    (one,) = said(await end.client.call_tool(f"{upstream}__ask", {"method": "sampling/createMessage"}))
    assert one["content"]["text"] == "four"
    (two,) = said(await end.client.call_tool(f"{upstream}__ask", {"method": "roots/list"}))
    assert [root["uri"] for root in two["roots"]] == ["file:///work"]


async def nobody_is_asked_by_default(end: End) -> None:
    end.asked.clear()
    for upstream in ("modernshut", "legacyshut"):
        with case(upstream):
            for method in ("elicitation/create", "sampling/createMessage"):
                refused = await end.client.call_tool(f"{upstream}__ask", {"method": method})
                assert refused.is_error, method
            assert end.asked == []
            assert said(await end.client.call_tool(f"{upstream}__who", {}))["declared"] == {}


async def log_notices_pass_screened(end: End, upstream: str) -> None:
    token = "ghp_" + "x7Kd93mQz1" * 3 + "aB4cD5"
    end.logged.clear()
    options = {"meta": {"io.modelcontextprotocol/logLevel": "debug"}} if end.era == "modern" else {}
    if end.era == "legacy":
        await end.client.set_logging_level("debug")
    await end.client.call_tool(f"{upstream}__log", {"data": f"token {token}"}, **options)
    await until(lambda: end.logged)
    assert token not in str(end.logged)
    assert "[REDACTED:" in str(end.logged)


async def resources_prompts_and_completions_pass_and_are_policed(end: End) -> None:
    client = end.client
    listed = [str(each.uri) for each in (await client.list_resources()).resources]
    assert [uri for uri in listed if uri.startswith("up:")] == ["up://one"]
    templates = [each.uri_template for each in (await client.list_resource_templates()).resource_templates]
    assert [uri for uri in templates if uri.startswith("up:")] == ["up://t/{id}"]
    prompts = [each.name for each in (await client.list_prompts()).prompts]
    assert [name for name in prompts if name.startswith("up__")] == ["up__hello"]
    for uri in ("up://one", "up://t/7"):
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
    reference = ResourceTemplateReference(type="ref/resource", uri="up://t/{id}")
    assert (await client.complete(reference, {"name": "id", "value": "1"})).completion.values[1] == "1"
    for uri, code in (("up://two", -32010), (NOWHERE, -32602 if end.era == "modern" else -32002)):
        with pytest.raises(MCPError) as refused:
            await client.read_resource(uri)
        assert refused.value.error.code == code


async def instructions_pass_of_believed_upstreams_and_hidden_tools_are_told(end: End) -> None:
    said_so = end.client.instructions or ""
    assert "Instructions of the server `shared`:\nBe kind." in said_so
    assert said_so.count("Be kind.") == 1
    assert "2 of their tools are hidden by policy" in said_so
    listed = await end.client.list_tools()
    assert (listed.meta or {})["dev.wardgate/hidden"] == 2
    assert "shared__die" not in {tool.name for tool in listed.tools}
    assert reason(await end.client.call_tool("shared__die", {})) == "rule"


async def a_change_of_a_resource_reaches_who_subscribed_to_it(end: End) -> None:
    def heard() -> list[str]:
        return [uri for method, uri in end.told if method == "notifications/resources/updated"]

    one, two = "shared://one", "shared://two"
    if end.era == "legacy":
        await end.client.subscribe_resource(one)
        await end.client.call_tool("shared__touch", {"uri": two})
        await end.client.call_tool("shared__touch", {"uri": one})
        await until(heard)
    else:
        async with end.client.listen(resource_subscriptions=[one, two]) as events:
            await end.client.call_tool("shared__touch", {"uri": two})
            await end.client.call_tool("shared__touch", {"uri": one})
            async for event in events:
                assert str(event.uri) == one
                break
    assert {*heard()} <= {one}  # a modern client's own handler may have heard it, too


async def new_resources_are_told(end: End) -> None:
    new = f"shared://new-{end.door}-{end.era}"

    async def offered() -> bool:
        return new in [str(each.uri) for each in (await end.client.list_resources()).resources]

    end.told.clear()
    await end.client.call_tool("shared__grow", {"name": new, "resource": True})
    if end.era == "legacy":  # before it asks: who has the new list already is told of no change
        await until(lambda: ("notifications/resources/list_changed", "") in end.told)
    await until(offered)


async def an_endpoint_of_one_upstream_shows_that_one_only(house: House, token: str) -> None:
    async with house.http_client("modern", token) as everything:
        names = {tool.name for tool in (await everything.list_tools()).tools}
    assert {name.partition("__")[0] for name in names} == {*OWN, *SHARED}
    async with house.http_client("modern", token, path="/shared") as one:
        assert {tool.name for tool in (await one.list_tools()).tools} == {n for n in names if n.startswith("shared__")}
        with pytest.raises(MCPError) as refused:
            await one.call_tool("up__who", {"text": "x"})
        assert refused.value.error.code == -32602


@pytest.mark.slow
async def test_a_retry_whose_parked_call_is_gone_is_unknown_and_sent_no_second_time(house: House) -> None:
    ledger = house.world / "asks.txt"
    table = asking(house, "up", "legacy", "--ledger", str(ledger))
    house.configure(table, policies={"up": POLICY.replace("UP", "up")})
    async with house.client("shim", "modern", **End("shim", "modern").callbacks) as client:
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
