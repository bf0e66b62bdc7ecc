"""No secret leaves or rests: planted in files, arguments and errors, or handed to an upstream, on every surface."""

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    PromptReference,
)

from tests.e2e.kit import ERAS, LABELS, Ended, House, asked, call, reason, text, until, upstream_table
from tests.e2e.planted import RESULTS, Planted, among, answering, fake_token, found, leaking, records
from tests.e2e.real import RealUpstreams
from tests.notices.receiver import receiving

READS = 'upstream = "files"\nowner = "alice@example.com"\n[[tool]]\nmatch = "read_*"\neffect = "read"\n'

UNTOLD = ("image", "allowed", "asked", "blocked", "encoded", "hex", "blob")
TOLD = {  # surfaces whose text reaches the client, without its secret
    *(f"result-{name}" for name in RESULTS if name not in UNTOLD),
    *("tool-description", "tool-title", "tool-schema", "tool-enum", "tool-annotation", "tool-meta", "tool-output"),
    *("instructions", "progress", "notice", "notice-logger", "elicit", "elicit-title", "elicit-default"),
    *("elicit-description", "elicit-choice", "sample", "sample-system", "resource-name", "resource-listed"),
    *("resource-title", "resource-meta", "template-listed", "prompt-listed", "prompt-argument-listed"),
    *("resource-text", "resource-error", "resource-error-data", "prompt-description", "prompt-text"),
    *("prompt-resource", "completion"),
}
PASSING = ("result-image", "result-allowed")
LISTED = {  # where the record tells of secrets in what was listed
    *("tools.text.description", "tools.text.title", "tools.text.inputSchema.properties.x.default"),
    *("tools.text.annotations.title", "tools.text._meta.vendor/x", "tools.structured.outputSchema.description"),
    *("resources.leak://text.name", "resources.leak://text._meta.vendor/x", "templates.leak://t/{id}.description"),
    *("prompts.hello.description", "prompts.hello.arguments[0].description", "instructions", "detail"),
}
ASKED = {  # in questions, and in the answers that were not passed on
    *("question.message", "question.requestedSchema.properties.x.default", "question.systemPrompt"),
    *("question.messages[0].content.text", "answer.content.x", "answer.content.text", "answer.roots[0].uri"),
}
ANSWERED = {  # in what calls brought back, and what was said meanwhile
    *(
        "progress",
        "log.data.said",
        "log.logger",
        "content[0].text",
        "content[1].text",
        "structuredContent.deep[0].value",
    ),
    *("content[0].resource.text", "content[0].resource.blob", "content[0].uri", "_meta.vendor/x", "message"),
    *("data.why[0]", "contents[0].text", "contents[1].blob", "data.uri", "description", "messages[0].content.text"),
    *("messages[1].content.resource.text", "completion.values[0]"),
}
COMMANDS = (["doctor"], ["doctor", "--json"], ["log", "--limit", "1000", "--json"], ["leaks", "--state", "all"])
# Deprecated in the modern era, and still what legacy clients do.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


def holding(folder: Path, secret: str) -> Mapping[str, int]:
    """Every file below the folder that holds the secret's bytes, and where."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (at := path.read_bytes().find(secret.encode())) >= 0:
            found[path.name] = at
    return found


@pytest.mark.slow
async def test_a_secret_is_redacted_or_withheld_wherever_it_comes_from_and_kept_nowhere(
    house: House, real_upstreams: RealUpstreams
) -> None:
    secret, sent, read = secrets.token_hex(16), fake_token(), fake_token()
    house.environment["LEDGER_PASSWORD"] = secret
    launch = real_upstreams.filesystem(house.world)
    files = upstream_table("files", [launch.command, *launch.args])
    ledger = house.ledger(env={"PASSWORD": "env:LEDGER_PASSWORD", "PLAIN": "shown"})
    house.configure(files, ledger, policies={"files": READS, "ledger": LABELS}, limits='hold = "100ms"')
    for era in ERAS:
        async with house.client("shim", era) as client:
            await client.list_tools()  # the SDK's client checks structured results against the schema from here on
            await a_token_in_a_file_is_redacted_on_every_surface(house, client, read)
            await a_secret_that_was_handed_to_an_upstream_does_not_come_back(client, secret)
            if era == "legacy":
                await a_token_in_arguments_is_forwarded_as_approved(house, client, sent)
    rows = await house.items("log", "--kind", "outcome", "--upstream", "files", "--outcome", "ok")
    assert len({row["session"] for row in rows}) == len(rows) == len(ERAS)
    for row in rows:
        assert row["release"] == "redacted"
        assert {finding["place"] for finding in row["findings"]} == {"content[0].text", "structuredContent.content"}
    for words in (["log"], ["log", "--json"], *(["explain", row["id"]] for row in rows)):
        shown = await house.run(*words)
        assert read not in shown.out + shown.err, words
    assert house.forwarded.count(f"note use {sent}") == 1  # what was approved is what ran
    assert not any(line.startswith("note") for line in house.forwarded if line != f"note use {sent}")
    for each in (secret, sent, read):
        assert holding(house.state, each) == {}
    assert holding(house.place, secret) == {}


async def a_token_in_a_file_is_redacted_on_every_surface(house: House, client: Client, token: str) -> None:
    planted = house.world / "deploy.env"
    planted.write_text(f"REGION=eu-1\nGITHUB_TOKEN={token}\n", encoding="utf-8")
    read = await client.call_tool("files__read_text_file", {"path": str(planted)})
    assert not read.is_error, read
    content = (read.structured_content or {})["content"]
    for surface in (text(read), content):
        assert "REGION=eu-1" in surface
        assert "[REDACTED:" in surface
    assert token not in read.model_dump_json()
    failed = await client.call_tool("files__read_text_file", {"path": str(house.world / token)})
    assert failed.is_error
    assert token not in failed.model_dump_json()


async def a_token_in_arguments_is_forwarded_as_approved(house: House, client: Client, token: str) -> None:
    held = asked(await client.call_tool("ledger__note", {"text": f"use {token}"}))
    shown = await house.run("approvals", "show", held)
    assert "[REDACTED:" in shown.out
    assert token not in shown.out
    assert holding(house.state, token) == {}
    assert (await house.run("approve", held)).code == 0
    done = await client.call_tool("ledger__note", {"text": f"use {token}"})
    assert not done.is_error, done
    assert token not in text(done)  # the upstream says it back


async def a_secret_that_was_handed_to_an_upstream_does_not_come_back(client: Client, secret: str) -> None:
    plain = await client.call_tool("ledger__reveal", {"text": "PLAIN"})
    assert plain.structured_content == {"found": "shown"}
    revealed = await client.call_tool("ledger__reveal", {"text": "PASSWORD"})
    assert revealed.is_error, revealed
    assert (reason(revealed), text(revealed)[:15]) == ("exact-secret", "RESULT WITHHELD")
    assert secret not in revealed.model_dump_json()
    inherited = await client.call_tool("ledger__reveal", {"text": "LEDGER_PASSWORD"})
    assert inherited.structured_content == {"found": ""}  # nothing is inherited but what is named


@pytest.fixture
def planted() -> Planted:
    """Secrets, made up for one test."""
    return Planted()


def surfaces(house: House, session: str = "") -> Mapping[str, set[str]]:
    """Where something was found, as the record tells it of one session or of all: kind of record -> places."""
    told: dict[str, set[str]] = {}
    for kind in ("catalogue", "question", "outcome", "intent", "approval"):
        for body in records(house, kind):
            if session in ("", body.get("session")):
                told.setdefault(kind, set()).update(one["place"] for one in body.get("findings", ()))
    return told


@pytest.mark.slow
async def test_of_all_that_an_upstream_says_no_secret_gets_out_on_any_surface(house: House, planted: Planted) -> None:
    said: dict[tuple[str, str], list[bytes]] = {(door, era): [] for door in ("shim", "http") for era in ERAS}
    leaking(house, planted)
    async with house.serving():
        token = await house.token("other")
        for (door, era), heard in said.items():
            options = {"heard": heard, **answering(planted), **({"log_level": "debug"} if era == "modern" else {})}
            shim = door == "shim"
            opened = house.client(door, era, **options) if shim else house.http_client(era, token, **options)
            async with opened as client:
                await everything_is_asked_for(client, era, heard)
        await until(lambda: "detail" in surfaces(house).get("catalogue", ()))
        shown = [await house.run(*words) for words in COMMANDS]
        leaks = await house.items("leaks", "list", "--state", "all", "--limit", "500")
        assert found(house.state, planted) == {}
    out = {surface: secret for surface, secret in planted.items() if surface not in PASSING}
    for case, messages in said.items():
        whole = b"\n".join(messages)
        assert among([("client", whole)], out) == {}, case
        # All of it really came by, and stands in the record: what reaches the client is the text around the secret.
        assert {name for name in TOLD if f"at {name}: see [REDACTED:" not in whole.decode()} == set(), case
        for name in PASSING:  # what is out of reach, and what a label lets pass
            assert among([("client", whole)], {name: planted[name]}) == {name: ["client"]}, case
    assert among([("stderr", house.said().encode())], planted) == {}
    assert among([("command", (each.out + each.err).encode()) for each in shown], planted) == {}
    assert found(house.state, planted) == {}
    doctor = " ".join(shown[0].out.split())  # whatever the width
    for name in ("stderr-start", "list-error"):
        assert f"at {name}: see [REDACTED:" in doctor
    assert LISTED - surfaces(house)["catalogue"] == set()
    sessions = {body["session"] for body in records(house, "intent")}
    assert len(sessions) == len(said)
    for session in sessions:
        places = surfaces(house, session)
        assert ASKED - places["question"] == set()
        assert ANSWERED - places["outcome"] == set()
    seen = set(planted) - {"result-image", "server-version", "stdout-banner"}
    assert len(leaks) >= len(seen)
    assert {leak["owner"] for leak in leaks} == {"alice@example.com"}


async def everything_is_asked_for(client: Client, era: str, heard: Sequence[bytes]) -> None:
    if era == "legacy":
        await client.set_logging_level("debug")
    names = {tool.name for tool in (await client.list_tools()).tools}
    assert {"leaky__text", "leaky__structured"} <= names  # a definition with a secret is offered without it
    for name in (*RESULTS, "progress", "notice", "elicit", "sample", "roots"):
        with suppress(MCPError):
            await client.call_tool(f"leaky__{name}", {}, meta={"progressToken": 7})
    await everything_else(client, era, heard)
    with suppress(MCPError):
        await client.call_tool("leaky__crash", {})


async def everything_else(client: Client, era: str, heard: Sequence[bytes]) -> None:
    """Ask for everything that is no tool."""
    listed = await client.list_resources()
    assert [str(each.uri) for each in listed.resources] == ["leak://text"]  # what is called by a secret is left out
    assert [each.uri_template for each in (await client.list_resource_templates()).resource_templates] == [
        "leak://t/{id}"
    ]
    assert [each.name for each in (await client.list_prompts()).prompts] == ["leaky__hello"]
    for uri in ("leak://text", "leak://t/gone"):
        with suppress(MCPError):
            await client.read_resource(uri)
    await client.get_prompt("leaky__hello")
    await client.complete(PromptReference(type="ref/prompt", name="leaky__hello"), {"name": "who", "value": "A"})
    if era == "legacy":
        await client.session.subscribe_resource("leak://text")
        await client.call_tool("leaky__touch", {})
        await until(lambda: any(b"resources/updated" in each for each in heard))


@pytest.mark.slow
async def test_a_secret_that_a_call_would_send_out_is_put_to_a_person_and_no_notice_tells_it(
    house: House, planted: Planted
) -> None:
    heard: list[bytes] = []
    shown: list[Ended] = []
    with receiving() as receiver:
        leaking(house, planted, notify=f'desktop = false\nto = ["{receiver.url("x")}"]')
        for era in ERAS:
            async with house.client("shim", era, heard=heard) as client:
                free = await call(client, "leaky__post", {"text": "a plain word"})
                assert text(free) == '{"text": "a plain word"}'  # a rule allows it
                arguments = {"text": f"use {planted[f'egress-{era}']}", "deep": [planted[f"egress-deep-{era}"]]}
                waiting = asked(await call(client, "leaky__post", arguments))
                (row,) = await house.items("approvals")
                assert (row["id"], row["reason"]) == (waiting, "secret-found")
                card = await house.run("approvals", "show", waiting)
                assert "it would send out" in card.out
                assert "arguments.text" in card.out
                assert "arguments.deep[0]" in card.out
                shown.append(card)
                await until(lambda held=waiting: any(held in json.dumps(got) for got in receiver.got))
                assert (await house.run("approve", waiting)).code == 0
                done = await call(client, "leaky__post", arguments)
                assert "[REDACTED:" in text(done)  # it ran, with what was approved, and its upstream says it back
        shown += [await house.run(*words) for words in COMMANDS]
    assert among([("notice", json.dumps(each).encode()) for each in receiver.got], planted) == {}
    assert among([("client", b"\n".join(heard))], planted) == {}
    assert among([("stderr", house.said().encode())], planted) == {}
    assert among([("command", (each.out + each.err).encode()) for each in shown], planted) == {}
    assert found(house.state, planted) == {}
    sessions = {body["session"] for body in records(house, "intent")}
    assert len(sessions) == len(ERAS)
    for session in sessions:
        assert {"arguments.text", "arguments.deep[0]"} <= surfaces(house, session)["intent"]
