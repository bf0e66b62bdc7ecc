"""Who gets in at `serve`, and how the gateway gets in elsewhere: against a real authorization server.

The tokens of clients and those for upstreams never meet.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from anyio.streams.text import TextReceiveStream
from mcp.shared.exceptions import MCPError

from tests.e2e.kit import DEADLINE, ERAS, LABELS, House, call, reason, text, until, upstream_table
from tests.issuer import MACHINE, Issuer, SigningKey, claims_for, issuing, unsigned
from tests.servers.guarded import Guarded, guarded

pytestmark = pytest.mark.slow
GOOD = Path(__file__).parents[1] / "servers" / "good.py"
POLICY = """\
upstream = "tracker"
owner = "alice@example.com"
[[tool]]
match = "*"
effect = "read"
"""


@pytest.fixture
def server() -> Iterator[Guarded]:
    with guarded() as made:
        yield made


def with_auth(house: House, issuer: str, **more: str) -> str:
    """Let the house take the tokens of an issuer; returns the audience."""
    audience = f"http://127.0.0.1:{house.port}/mcp"
    values = {"issuer": issuer, "audience": audience, **more}
    file = house.folder / "upstreams.toml"
    table = "\n".join(["[auth]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])
    house.write("upstreams.toml", f"{file.read_text(encoding='utf-8')}\n{table}")
    return audience


@asynccontextmanager
async def protected(house: House, **more: str) -> AsyncIterator[tuple[Issuer, str]]:
    """A gateway that takes the tokens of a running issuer."""
    with anyio.fail_after(DEADLINE):
        async with issuing() as issuer:
            audience = with_auth(house, issuer.url, **more)
            async with house.serving():
                yield issuer, audience


def headers(token: str) -> dict[str, str]:
    """What a client sends with each request."""
    accepted = {"Accept": "application/json, text/event-stream"}
    return {**accepted, "Authorization": f"Bearer {token}"} if token else accepted


def body(method: str, number: int = 1, **params: Any) -> dict[str, Any]:
    """One request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, **({"params": params} if params else {})}


async def status(url: str, token: str, method: str = "ping") -> httpx2.Response:
    """How the door answers to a token."""
    async with httpx2.AsyncClient(headers=headers(token)) as http:
        return await http.post(url, json=body(method))


FORGED: dict[str, Callable[[Issuer, str], str]] = {
    "wrong audience": lambda issuer, audience: issuer.forge("http://127.0.0.1:1/mcp"),
    "wrong issuer": lambda issuer, audience: issuer.forge(audience, iss="https://login.example.com"),
    "expired": lambda issuer, audience: issuer.forge(audience, exp=int(time.time()) - 60),
    "not yet": lambda issuer, audience: issuer.forge(audience, nbf=int(time.time()) + 90),
    "alg none": lambda issuer, audience: unsigned(claims_for(issuer.url, audience)),
    "HS256 with the public key": lambda issuer, audience: issuer.key.confused(claims_for(issuer.url, audience)),
    "unknown kid": lambda issuer, audience: SigningKey("nobody").sign(claims_for(issuer.url, audience)),
    "another key": lambda issuer, audience: SigningKey("first").sign(claims_for(issuer.url, audience)),
    "one upstream's": lambda issuer, audience: issuer.forge(f"{audience}/ledger"),
}


async def test_only_a_token_of_the_issuer_opens_the_door_and_who_has_none_is_told_where_to_get_it(house: House) -> None:
    async with protected(house) as (issuer, audience):
        tokens = [await issuer.machine_token(audience) for _ in ERAS]
        for era, token in zip(ERAS, tokens, strict=True):
            async with house.http_client(era, token) as client:
                assert text(await call(client, "ledger__look", {"text": era})) == f"look: {era}"
        await _forged_ones_open_nothing(house, issuer, audience)
        await _who_has_none_is_told(house, issuer, audience)
        await _a_rotated_key_is_found_and_the_old_one_counts_no_more(house, issuer, audience)
        rows = await house.items("log", "--kind", "outcome", "--tool", "look")
        assert [(row["principal"], row["client"]) for row in rows] == [(f"jwt:{MACHINE}", "unknown")] * len(ERAS)
    assert house.forwarded == [f"look {era}" for era in ERAS]
    for path in house.state.rglob("*"):
        assert not path.is_file() or not any(token.encode() in path.read_bytes() for token in tokens), path


async def _forged_ones_open_nothing(house: House, issuer: Issuer, audience: str) -> None:
    assert (await status(house.url, issuer.forge(audience))).status_code != 401
    for what, forge in FORGED.items():
        refused = await status(house.url, forge(issuer, audience))
        assert refused.status_code == 401, what
        assert 'error="invalid_token"' in refused.headers["www-authenticate"], what
        assert what != "expired" or "expired" in refused.headers["www-authenticate"]


async def _who_has_none_is_told(house: House, issuer: Issuer, audience: str) -> None:
    for path in ("", "/ledger"):
        refused = await status(house.url + path, "")
        assert refused.status_code == 401
        assert "error=" not in refused.headers["www-authenticate"]
        where = re.search(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        assert where is not None
        async with httpx2.AsyncClient() as http:
            told = (await http.get(where[1])).json()
        assert told["resource"] == audience + path
        assert told["authorization_servers"] == [issuer.url]
    narrow = await issuer.machine_token(f"{audience}/ledger")
    assert (await status(f"{house.url}/ledger", narrow)).status_code != 401
    assert (await status(house.url, narrow)).status_code == 401


async def _a_rotated_key_is_found_and_the_old_one_counts_no_more(house: House, issuer: Issuer, audience: str) -> None:
    old = issuer.forge(audience)
    assert (await status(house.url, old)).status_code != 401
    await issuer.rotate("second")
    async with httpx2.AsyncClient(headers=headers(await issuer.machine_token(audience))) as http:

        async def found() -> bool:
            return (await http.post(house.url, json=body("ping"))).status_code != 401

        await until(found)  # the issuer is asked again once in ten seconds
    assert (await status(house.url, old)).status_code == 401


async def _who_has_a_wrong_or_expired_one_is_told(house: House, era: str) -> None:
    with pytest.raises(BaseException) as wrong:
        async with house.http_client(era, "wrong"):
            pass
    assert "token" in str(_told(wrong.value)), era
    name = f"brief-{era}"
    soon = await house.run("client", "add", name, "--expires", "1m")
    async with house.http_client(era, soon.out.strip()) as client:
        assert not (await call(client, "ledger__look", {"text": era})).is_error
        file = house.state / "clients.json"
        rows = json.loads(file.read_text(encoding="utf-8"))
        (row,) = (row for row in rows if row["name"] == name)
        row["expires_at"] = "2026-01-01T00:00:00Z"
        file.write_text(json.dumps(rows), encoding="utf-8")
        await anyio.sleep(0.1)  # the file is looked at again after 50 ms
        with pytest.raises(MCPError, match="expired"):
            await client.call_tool("ledger__look", {"text": "too late"})


def _told(problem: BaseException) -> BaseException:
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def track(house: House, server: Guarded, oauth: str) -> None:
    """Put the server behind the gateway."""
    table = f'[upstreams.tracker]\nurl = "{server.url}"\nowner = "alice@example.com"\noauth = {oauth}\n'
    house.configure(table, policies={"tracker": POLICY})


def trust(server: Guarded, issuer: Issuer) -> None:
    """Let the server accept what the issuer made for it, and nothing else."""
    server.issuer = issuer.url

    def accepts(token: str) -> bool:
        try:
            jwt.decode(token, issuer.key.private.public_key(), ["RS256"], audience=server.url, issuer=issuer.url)
        except jwt.PyJWTError:
            return False
        return True

    server.accepts = accepts


async def test_no_token_of_a_client_reaches_an_upstream_and_no_client_reads_one_of_the_gateway(
    house: House, server: Guarded
) -> None:
    with anyio.fail_after(DEADLINE):
        async with issuing() as issuer:
            trust(server, issuer)
            house.environment["SECRET"] = issuer.secret
            grant = f'grant = "client_credentials", client_id = "{MACHINE}", client_secret = "env:SECRET"'
            track(house, server, f'{{ {grant}, scopes = ["tools"] }}')
            audience = with_auth(house, issuer.url)
            tokens = [issuer.forge(audience), await issuer.machine_token(audience)]
            async with house.serving():
                tokens.append(await house.token())
                for era, token in product(ERAS, tokens):
                    async with house.http_client(era, token) as client:
                        assert text(await call(client, "tracker__echo", {"text": era})) == era
                (own,) = server.tokens
                async with house.http_client("modern", tokens[-1]) as client:
                    told = await call(client, "tracker__echo", {"text": f"it is {own}."})
            assert own not in text(told)
            assert (told.is_error, reason(told)) == (True, "exact-secret")
            sent = json.dumps(server.seen)
            for token in tokens:
                assert token not in sent
            assert server.tokens == [own]
            assert server.accepts(own)
            assert own not in house.said()
    for path in house.state.rglob("*"):
        if path.is_file() and path.parent.name != "tokens":
            assert own.encode() not in path.read_bytes(), path


async def test_a_login_on_the_command_line_makes_an_upstream_usable_by_whom_the_configured_claims_name(
    house: House, server: Guarded
) -> None:
    with anyio.fail_after(DEADLINE):
        async with issuing() as issuer:
            trust(server, issuer)
            track(house, server, '{ scopes = ["tools"] }')
            audience = with_auth(house, issuer.url, principal="email", roles="groups")
            bob = issuer.forge(audience, email="bob@example.com", groups=["staff"], client_id="tester")
            unknown = await house.run("login", "trakcer")
            assert unknown.code == 1
            assert "tracker" in unknown.err
            async with house.serving(), house.http_client("modern", await house.token()) as client:
                refused = await client.session.list_tools()
                assert refused.tools == []
            async with logging_in(house, issuer) as ended:
                assert await ended() == 0
            async with house.serving():
                for token in (await house.token("other"), bob):
                    async with house.http_client("modern", token) as client:
                        assert text(await call(client, "tracker__echo", {"text": "hello"})) == "hello"
                rows = await house.items("log", "--kind", "outcome", "--tool", "echo")
                named = {(row["principal"], row["client"]) for row in rows}
                assert named == {("client:other", "other"), ("jwt:bob@example.com", "tester")}
                assert (await status(house.url, issuer.forge(audience))).status_code == 401
            assert len(server.tokens) == 1


@asynccontextmanager
async def logging_in(house: House, issuer: Issuer) -> AsyncIterator[Callable[[], Any]]:
    """`wardgate login tracker`, with a person at the address that it prints."""
    words = [house.command, "login", "tracker", "--no-browser", "--config", str(house.folder)]
    process = await anyio.open_process(words, stdin=subprocess.DEVNULL, env=house.environment)
    try:
        assert process.stderr is not None
        said = ""
        async for part in TextReceiveStream(process.stderr):
            said += part
            if found := re.search(r"(http://\S+)\n", said):
                break
        else:
            raise AssertionError(said)
        target = await issuer.sign_in(found[1])
        async with httpx2.AsyncClient() as browser:
            strange = httpx2.URL(target).copy_set_param("state", "another")
            assert (await browser.get(strange)).status_code == 400
            assert (await browser.get(target, headers={"host": "evil.example"})).status_code == 404
            assert (await browser.get(target)).status_code == 200
        yield process.wait
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


def drains(house: House, within: str) -> None:
    """The ledger and the server that can be slow, before a gateway that waits so long for what runs."""
    policies = {"ledger": LABELS, "good": POLICY.replace("tracker", "good")}
    good = upstream_table("good", [sys.executable, str(GOOD)])
    house.configure(house.ledger(), good, policies=policies, limits=f'drain = "{within}"')


async def test_the_user_of_a_client_is_told_of_a_wrong_token_and_a_gateway_that_is_to_stop_finishes_what_runs(
    house: House,
) -> None:
    drains(house, "30s")
    answers: list[str] = []
    with anyio.fail_after(DEADLINE):
        async with house.serving() as process:
            for era in ERAS:
                await _who_has_a_wrong_or_expired_one_is_told(house, era)
            states = {row["name"]: row["state"] for row in await house.items("client", "list")}
            assert states == {f"brief-{era}": "expired" for era in ERAS}
            assert (await house.run("client", "list")).out.count("EXPIRED") == len(ERAS)
            token = await house.token()
            async with house.http_client("modern", token) as client, house.http_client("modern", token) as other:
                assert not (await call(other, "good__echo", {"text": "warm"})).is_error
                # else it would ask for them to check the last answer, of a gateway that is gone
                await client.list_tools()

                async def slow() -> None:
                    answers.append(text(await call(client, "good__slow", {"ms": 9_000})))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(slow)
                    await until(lambda: house.items("log", "--kind", "intent", "--tool", "slow"))
                    process.terminate()

                    async def refused() -> bool:
                        return (await status(house.url, token, "tools/call")).status_code == 503

                    await until(refused)
                    assert answers == []
            assert await process.wait() == 0
    assert answers == ["done"]
    assert house.forwarded == [f"look {era}" for era in ERAS]


async def test_a_gateway_without_its_issuer_takes_the_tokens_of_clients_and_stops_before_what_runs_too_long(
    house: House,
) -> None:
    drains(house, "500ms")
    gone = "http://127.0.0.1:9"
    audience = with_auth(house, gone)
    with anyio.fail_after(DEADLINE):
        async with house.serving() as process:
            assert (await status(house.url, SigningKey("first").sign(claims_for(gone, audience)))).status_code == 503
            token = await house.token()
            assert (await status(house.url, token)).status_code not in (401, 503)
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
            async with (
                httpx2.AsyncClient(headers=headers(token), timeout=60) as http,
                anyio.create_task_group() as tasks,
            ):
                opened = await http.post(house.url, json=body("initialize", **hello))
                http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
                await http.post(house.url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})

                async def slow() -> None:
                    with suppress(httpx2.HTTPError):
                        asked = body("tools/call", 2, name="good__slow", arguments={"ms": 30_000})
                        await http.post(house.url, json=asked)

                tasks.start_soon(slow)
                await until(lambda: house.items("log", "--kind", "intent", "--tool", "slow"))
                process.terminate()
                with anyio.fail_after(15):
                    assert await process.wait() == 0
    assert [outcome for outcome, _ in await house.outcomes("slow")] == ["unknown"]
