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
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from anyio.streams.text import TextReceiveStream
from mcp.shared.exceptions import MCPError

from tests.e2e.kit import DEADLINE, ERAS, House, call, text, until, upstream_table
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


async def status(url: str, token: str, method: str = "ping") -> httpx2.Response:
    """How the door answers to a token."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method}
    headers = {"Accept": "application/json, text/event-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx2.AsyncClient(headers=headers) as http:
        return await http.post(url, json=body)


@pytest.mark.parametrize("era", ERAS)
async def test_a_token_of_the_issuer_opens_the_door_and_names_its_principal(era: str, house: House) -> None:
    async with protected(house) as (issuer, audience):
        token = await issuer.machine_token(audience)
        async with house.http_client(era, token) as client:
            assert text(await call(client, "ledger__look", {"text": "one"})) == "look: one"
        (row,) = await house.items("log", "--kind", "outcome", "--tool", "look")
        assert (row["principal"], row["client"]) == (f"jwt:{MACHINE}", "unknown")
    assert house.forwarded == ["look one"]
    for path in house.state.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


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


async def test_a_forged_token_opens_nothing(house: House) -> None:
    async with protected(house) as (issuer, audience):
        assert (await status(house.url, issuer.forge(audience))).status_code != 401
        for what, forge in FORGED.items():
            refused = await status(house.url, forge(issuer, audience))
            assert refused.status_code == 401, what
            assert 'error="invalid_token"' in refused.headers["www-authenticate"], what
        assert "expired" in (await status(house.url, FORGED["expired"](issuer, audience))).headers["www-authenticate"]
    assert house.forwarded == []


async def test_a_rotated_key_is_found_and_the_old_one_counts_no_more(house: House) -> None:
    async with protected(house) as (issuer, audience):
        old = issuer.forge(audience)
        assert (await status(house.url, old)).status_code != 401
        await issuer.rotate("second")
        new = await issuer.machine_token(audience)

        async def found() -> bool:
            return (await status(house.url, new)).status_code != 401

        await until(found)  # the issuer is asked again once in ten seconds
        assert (await status(house.url, old)).status_code == 401


async def test_without_its_issuer_the_gateway_lets_no_jwt_in_and_client_tokens_on(house: House) -> None:
    key = SigningKey("first")
    with anyio.fail_after(DEADLINE):
        audience = with_auth(house, "http://127.0.0.1:9")
        async with house.serving():
            answer = await status(house.url, key.sign(claims_for("http://127.0.0.1:9", audience)))
            assert answer.status_code == 503
            assert (await status(house.url, await house.token())).status_code not in (401, 503)


async def test_a_client_without_a_token_finds_the_way_to_one(house: House) -> None:
    async with protected(house) as (issuer, audience):
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


async def test_roles_and_clients_come_from_the_claims_that_the_configuration_names(house: House) -> None:
    async with protected(house, principal="email", roles="groups") as (issuer, audience):
        token = issuer.forge(audience, email="bob@example.com", groups=["staff"], client_id="tester")
        async with house.http_client("modern", token) as client:
            await call(client, "ledger__look", {"text": "one"})
        (row,) = await house.items("log", "--kind", "outcome", "--tool", "look")
        assert (row["principal"], row["client"]) == ("jwt:bob@example.com", "tester")
        assert (await status(house.url, issuer.forge(audience))).status_code == 401


@pytest.mark.parametrize("era", ERAS)
async def test_the_user_of_a_client_is_told_what_is_wrong_with_the_token(era: str, house: House) -> None:
    async with house.serving():
        with pytest.raises(BaseException) as wrong:
            async with house.http_client(era, "wrong"):
                pass
        assert "token" in str(_told(wrong.value))
        soon = await house.run("client", "add", "brief", "--expires", "1m")
        async with house.http_client(era, soon.out.strip()) as client:
            assert not (await call(client, "ledger__look", {"text": "one"})).is_error
            file = house.state / "clients.json"
            (row,) = json.loads(file.read_text(encoding="utf-8"))
            row["expires_at"] = "2026-01-01T00:00:00Z"
            file.write_text(json.dumps([row]), encoding="utf-8")
            await anyio.sleep(0.1)  # the file is looked at again after 50 ms
            with pytest.raises(MCPError, match="expired"):
                await client.call_tool("ledger__look", {"text": "two"})
        (listed,) = await house.items("client", "list")
        assert (listed["name"], listed["state"]) == ("brief", "expired")
        assert "EXPIRED" in (await house.run("client", "list")).out
    assert house.forwarded == ["look one"]


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


@pytest.mark.parametrize("era", ERAS)
async def test_no_token_of_a_client_reaches_an_upstream(era: str, house: House, server: Guarded) -> None:
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
                for token in tokens:
                    async with house.http_client(era, token) as client:
                        assert text(await call(client, "tracker__echo", {"text": "hello"})) == "hello"
            sent = json.dumps(server.seen)
            for token in tokens:
                assert token not in sent
            (own,) = server.tokens
            assert server.accepts(own)
            assert own not in house.said()


async def test_an_output_in_which_an_upstream_says_a_token_of_the_gateway_is_withheld(
    house: House, server: Guarded
) -> None:
    with anyio.fail_after(DEADLINE):
        async with issuing() as issuer:
            trust(server, issuer)
            house.environment["SECRET"] = issuer.secret
            grant = f'grant = "client_credentials", client_id = "{MACHINE}", client_secret = "env:SECRET"'
            track(house, server, f'{{ {grant}, scopes = ["tools"] }}')
            async with house.serving(), house.http_client("modern", await house.token()) as client:
                assert not (await call(client, "tracker__echo", {"text": "hello"})).is_error
                (own,) = server.tokens
                told = await call(client, "tracker__echo", {"text": f"it is {own}."})
                assert own not in text(told)
                assert told.is_error
                assert told.meta is not None
                assert told.meta["dev.wardgate/decision"]["reason"] == "exact-secret"
    for path in house.state.rglob("*"):
        if path.is_file() and path.parent.name != "tokens":
            assert own.encode() not in path.read_bytes(), path


async def test_a_login_on_the_command_line_makes_an_upstream_usable(house: House, server: Guarded) -> None:
    with anyio.fail_after(DEADLINE):
        async with issuing() as issuer:
            trust(server, issuer)
            track(house, server, '{ scopes = ["tools"] }')
            unknown = await house.run("login", "trakcer")
            assert unknown.code == 1
            assert "tracker" in unknown.err
            async with house.serving(), house.http_client("modern", await house.token()) as client:
                refused = await client.session.list_tools()
                assert refused.tools == []
            async with logging_in(house, issuer) as ended:
                assert await ended() == 0
            async with house.serving(), house.http_client("modern", await house.token("other")) as client:
                assert text(await call(client, "tracker__echo", {"text": "hello"})) == "hello"
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


async def test_a_gateway_that_was_told_to_stop_finishes_what_runs_and_refuses_what_is_new(house: House) -> None:
    table = upstream_table("good", [sys.executable, str(GOOD)])
    house.configure(table, policies={"good": POLICY.replace("tracker", "good")}, limits='drain = "30s"')
    answers: list[str] = []
    with anyio.fail_after(DEADLINE):
        async with house.serving() as process:
            token = await house.token()
            async with house.http_client("modern", token) as client, house.http_client("modern", token) as other:
                assert not (await call(other, "good__echo", {"text": "warm"})).is_error
                await (
                    client.list_tools()
                )  # else it would ask for them to check the last answer, of a gateway that is gone

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


async def test_what_runs_too_long_does_not_keep_a_gateway_that_was_told_to_stop(house: House) -> None:
    table = upstream_table("good", [sys.executable, str(GOOD)])
    house.configure(table, policies={"good": POLICY.replace("tracker", "good")}, limits='drain = "500ms"')
    with anyio.fail_after(DEADLINE):
        async with house.serving() as process:
            token = await house.token()
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
            async with httpx2.AsyncClient(headers=headers, timeout=60) as http, anyio.create_task_group() as tasks:
                opened = await http.post(house.url, json={**body, "params": hello})
                http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
                await http.post(house.url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})

                async def slow() -> None:
                    params = {"name": "good__slow", "arguments": {"ms": 30_000}}
                    with suppress(httpx2.HTTPError):
                        await http.post(
                            house.url, json={"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
                        )

                tasks.start_soon(slow)
                await until(lambda: house.items("log", "--kind", "intent", "--tool", "slow"))
                process.terminate()
                with anyio.fail_after(15):
                    assert await process.wait() == 0
    assert [outcome for outcome, _ in await house.outcomes("slow")] == ["unknown"]
