"""OAuth towards upstreams, against a real authorization server: how a token is had, renewed, kept, and kept in."""

import json
import stat
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import jwt
import pytest
from msgspec.structs import replace

from gateway.config.nouns import OAuth, Upstream
from gateway.core.model import Owner
from gateway.errors import ConfigurationError, UpstreamError
from gateway.upstreams.oauth import UpstreamAuth, auth_of, sign_in
from gateway.upstreams.vault import Kept, Vault
from tests.issuer import MACHINE, TESTER, Issuer, issuing
from tests.servers.guarded import Guarded, guarded

WAIT = 30
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture
def server() -> Iterator[Guarded]:
    with guarded() as made:
        yield made


class Learned:
    """What the screener was told."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def __call__(self, upstream: str, values: Mapping[str, str]) -> None:
        assert upstream == "tracker"
        self.values += values.values()


def upstream(server: Guarded, base: Path, **oauth: Any) -> Upstream:
    owner = Owner("alice@example.com", "alice@example.com")
    return Upstream("tracker", owner, base, 10.0, url=server.url, oauth=OAuth(**oauth))


def machine(server: Guarded, base: Path) -> Upstream:
    return upstream(
        server, base, grant="client_credentials", client_id=MACHINE, client_secret="env:SECRET", scopes=("tools",)
    )


@asynccontextmanager
async def trusting(server: Guarded) -> AsyncIterator[Issuer]:
    """An issuer whose tokens for this server the server accepts."""
    with anyio.fail_after(WAIT):
        async with issuing() as issuer:
            server.issuer = issuer.url

            def accepts(token: str) -> bool:
                try:
                    jwt.decode(
                        token, issuer.key.private.public_key(), ["RS256"], audience=server.url, issuer=issuer.url
                    )
                except jwt.PyJWTError:
                    return False
                return True

            server.accepts = accepts
            yield issuer


async def ask(auth: httpx2.Auth | None, server: Guarded) -> int:
    """One request as a connection to the upstream would send it."""
    assert auth is not None
    async with httpx2.AsyncClient(auth=auth) as http:
        return (await http.post(server.url, json=PING)).status_code


class Browser:
    """Signs in for the one who was shown the address."""

    def __init__(self, issuer: Issuer, tasks: Any, **how: Any) -> None:
        self.issuer, self.tasks, self.how = issuer, tasks, how
        self.shown = ""

    def __call__(self, url: str) -> None:
        self.shown = url
        self.tasks.start_soon(self.follow, url)

    async def follow(self, url: str) -> None:
        target = await self.issuer.sign_in(url, **self.how)
        async with httpx2.AsyncClient() as http:
            assert (await http.get(target)).status_code == 200


async def logged_in(issuer: Issuer, made: Upstream, state: Path, **how: Any) -> Browser:
    async with anyio.create_task_group() as tasks:
        browser = Browser(issuer, tasks, **how)
        assert await sign_in(made, state, {}, browser) == issuer.url
    return browser


def kept_in(state: Path) -> dict[str, Any]:
    return dict(json.loads((state / "tokens" / "tracker.json").read_text(encoding="utf-8")))


async def test_credentials_of_the_client_get_a_token_that_is_used_again(server: Guarded, tmp_path: Path) -> None:
    learned = Learned()
    async with trusting(server) as issuer:
        made, environ = machine(server, tmp_path), {"SECRET": issuer.secret}
        sign = auth_of(made, tmp_path / "state", environ, learned)
        assert sign is not None
        assert sign() is sign()
        assert [await ask(sign(), server) for _ in range(2)] == [200, 200]
        (token,) = server.tokens
        again = auth_of(made, tmp_path / "state", environ, learned)
        assert again is not None
        assert await ask(again(), server) == 200
        assert server.tokens == [token]
    assert {issuer.secret, token} <= set(learned.values)
    said = jwt.decode(token, options={"verify_signature": False})
    assert (said["sub"], said["aud"], said["scope"]) == (MACHINE, server.url, "tools")
    file = tmp_path / "state" / "tokens" / "tracker.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert issuer.secret not in file.read_text(encoding="utf-8")
    assert not any(issuer.secret in str(headers) for headers in server.seen)


async def test_a_token_that_the_upstream_refuses_is_replaced_once(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        sign = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": issuer.secret}, Learned())
        assert sign is not None
        assert await ask(sign(), server) == 200
        server.accepts = lambda token: False
        before = len(server.seen)
        assert await ask(sign(), server) == 401  # the last try was a moment ago
        assert len(server.seen) == before + 1


async def test_concurrent_requests_get_one_token_and_do_not_wait_for_each_other(
    server: Guarded, tmp_path: Path
) -> None:
    async with trusting(server) as issuer:
        sign = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": issuer.secret}, Learned())
        assert sign is not None
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask, sign(), server)
        assert len(server.tokens) == 1


async def test_wrong_credentials_are_told_and_only_a_person_can_mend_them(server: Guarded, tmp_path: Path) -> None:
    learned = Learned()
    async with trusting(server):
        sign = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": "wrong-" * 4}, learned)
        with pytest.raises(ConfigurationError) as refused:
            await ask(sign() if sign else None, server)
    assert "invalid_client" in str(refused.value)
    assert "wrong-" not in str(refused.value)
    assert not (tmp_path / "tokens").exists()


async def test_a_person_signs_in_with_pkce_and_the_gateway_goes_on_alone(server: Guarded, tmp_path: Path) -> None:
    learned = Learned()
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER, scopes=("tools",))
        browser = await logged_in(issuer, made, tmp_path)
        asked = httpx2.URL(browser.shown).params
        assert asked["code_challenge_method"] == "S256"
        assert asked["resource"] == server.url
        assert asked["scope"].split()[0] == "tools"
        assert asked["redirect_uri"].startswith("http://127.0.0.1:")
        sign = auth_of(made, tmp_path, {}, learned)
        assert await ask(sign() if sign else None, server) == 200
    kept = kept_in(tmp_path)
    assert kept["issuer"] == issuer.url
    assert {kept["tokens"]["access_token"], kept["tokens"]["refresh_token"]} <= set(learned.values)
    assert [kept["tokens"]["access_token"]] == server.tokens


async def test_a_gateway_that_is_nobody_registers_itself(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, scopes=("tools",))
        await logged_in(issuer, made, tmp_path)
        first = kept_in(tmp_path)["client"]["client_id"]
        sign = auth_of(made, tmp_path, {}, Learned())
        assert await ask(sign() if sign else None, server) == 200
        await logged_in(issuer, made, tmp_path)
    assert kept_in(tmp_path)["client"]["client_id"] != first


async def test_an_ended_token_is_renewed_at_run_time(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER)
        await logged_in(issuer, made, tmp_path)
        kept = kept_in(tmp_path)
        before = kept["tokens"]
        assert kept["expires_at"] > time.time()
        (tmp_path / "tokens" / "tracker.json").write_text(json.dumps({**kept, "expires_at": time.time()}), "utf-8")
        learned = Learned()
        sign = auth_of(made, tmp_path, {}, learned)
        assert await ask(sign() if sign else None, server) == 200
        after = kept_in(tmp_path)["tokens"]
    assert after["access_token"] != before["access_token"]
    assert server.tokens == [after["access_token"]]
    assert after["access_token"] in learned.values


async def test_a_token_that_was_revoked_early_is_renewed(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER)
        await logged_in(issuer, made, tmp_path)
        old, accepts = kept_in(tmp_path)["tokens"]["access_token"], server.accepts
        server.accepts = lambda token: token != old and accepts(token)
        sign = auth_of(made, tmp_path, {}, Learned())
        assert await ask(sign() if sign else None, server) == 200
        assert server.tokens[0] == old
        assert len(server.tokens) == 2


async def test_without_a_usable_token_a_person_is_told_to_log_in(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER)
        for lost in ("no login", "no refresh token", "refused refresh token", "another address"):
            state = tmp_path / lost
            if lost != "no login":
                await logged_in(issuer, made, state)
                await anyio.to_thread.run_sync(spoil, state, server.url, lost)
            sign = auth_of(made, state, {}, Learned())
            before = len(server.seen)
            with pytest.raises(ConfigurationError) as refused:
                await ask(sign() if sign else None, server)
            assert "wardgate login tracker" in str(refused.value), lost
            assert len(server.seen) == before, lost


async def test_a_login_is_found_by_a_gateway_that_runs(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER)
        sign = auth_of(made, tmp_path, {}, Learned())
        assert sign is not None
        with pytest.raises(ConfigurationError):
            await ask(sign(), server)
        await logged_in(issuer, made, tmp_path)
        assert await ask(sign(), server) == 200


async def test_an_authorization_server_that_is_down_costs_a_call_and_no_login(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER)
        await logged_in(issuer, made, tmp_path)
    await anyio.to_thread.run_sync(spoil, tmp_path, server.url, "")
    before = kept_in(tmp_path)["tokens"]
    sign = auth_of(made, tmp_path, {}, Learned())
    server.accepts = lambda token: False
    with anyio.fail_after(WAIT):
        assert await ask(sign() if sign else None, server) == 401
    assert kept_in(tmp_path)["tokens"] == before


def spoil(state: Path, url: str, what: str) -> None:
    """Let the kept token be over, and one thing more be wrong with it."""
    vault = Vault(state, "tracker")
    kept = vault.load(url)
    assert kept is not None
    assert kept.tokens is not None
    kept.expires_at = time.time() - 1
    if what == "no refresh token":
        del kept.tokens["refresh_token"]
    elif what == "refused refresh token":
        kept.tokens["refresh_token"] = "x" * 30
    elif what == "another address":
        kept.url = "http://127.0.0.1:1/mcp"
    vault.save(kept)


async def test_a_person_who_refuses_leaves_no_token(server: Guarded, tmp_path: Path) -> None:
    async with trusting(server) as issuer:
        made = upstream(server, tmp_path, client_id=TESTER)
        refused = ""
        async with anyio.create_task_group() as tasks:
            try:
                await sign_in(made, tmp_path, {}, Browser(issuer, tasks, refuse=True))
            except ConfigurationError as problem:
                refused = str(problem)
    assert "access_denied" in refused
    assert not (tmp_path / "tokens").exists()


class TestWhereItMayGo:
    """What an upstream names is believed only as far as it may be."""

    async def test_no_secret_goes_to_another_issuer_than_before(self, server: Guarded, tmp_path: Path) -> None:
        async with trusting(server) as issuer:
            sign = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": issuer.secret}, Learned())
            assert await ask(sign() if sign else None, server) == 200
            with guarded() as thief:
                server.issuer = thief.url.removesuffix("/mcp")
                server.accepts = lambda token: False
                again = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": issuer.secret}, Learned())
                assert await ask(again() if again else None, server) == 401
                assert not any(path == "/token" for path in thief.paths)
                assert not any("authorization" in headers for headers in thief.seen)

    async def test_another_resource_than_the_upstream_is_refused(self, server: Guarded, tmp_path: Path) -> None:
        async with trusting(server) as issuer:
            server.resource = "https://another.example.com/mcp"
            sign = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": issuer.secret}, Learned())
            assert await ask(sign() if sign else None, server) == 401
            assert server.tokens == []

    async def test_plain_http_off_this_machine_is_never_asked(self, server: Guarded, tmp_path: Path) -> None:
        server.issuer, server.accepts = "http://auth.example.com", lambda token: False
        sign = auth_of(machine(server, tmp_path), tmp_path, {"SECRET": "s" * 20}, Learned())
        assert await ask(sign() if sign else None, server) == 401
        with pytest.raises(UpstreamError, match=r"auth\.example\.com"):
            await sign_in(machine(server, tmp_path), tmp_path, {"SECRET": "s" * 20}, lambda url: None)

    async def test_a_remote_upstream_can_not_lead_to_this_machine(self, server: Guarded, tmp_path: Path) -> None:
        made = replace(machine(server, tmp_path), url="https://upstream.invalid/mcp")
        auth = UpstreamAuth(made, tmp_path, {"SECRET": "s" * 20}, Learned())
        where = server.url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
        flow = auth.async_auth_flow(httpx2.Request("POST", made.url, json=PING))
        await anext(flow)
        told = {"WWW-Authenticate": f'Bearer resource_metadata="{where}"'}
        with pytest.raises(StopAsyncIteration):
            await flow.asend(httpx2.Response(401, headers=told))
        assert server.seen == []


class TestTheVault:
    """The file that holds the tokens."""

    def test_a_readable_file_is_refused(self, tmp_path: Path) -> None:
        vault = Vault(tmp_path, "tracker")
        vault.save(Kept("https://x.example.com/mcp", tokens={"access_token": "t"}))
        (tmp_path / "tokens" / "tracker.json").chmod(0o640)
        with pytest.raises(ConfigurationError):
            vault.load("https://x.example.com/mcp")

    def test_an_open_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "tokens").mkdir(mode=0o755)
        (tmp_path / "tokens").chmod(0o755)
        vault = Vault(tmp_path, "tracker")
        for use in (lambda: vault.load("x"), lambda: vault.save(Kept("x"))):
            with pytest.raises(ConfigurationError):
                use()

    def test_a_symlink_in_the_place_of_file_or_folder_is_refused(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "tokens").symlink_to(elsewhere)
        with pytest.raises(ConfigurationError):
            Vault(tmp_path / "one", "tracker").save(Kept("x"))
        Vault(tmp_path / "two", "other").save(Kept("x"))
        target = elsewhere / "target"
        target.write_text("mine", encoding="utf-8")
        (tmp_path / "two" / "tokens" / "tracker.json").symlink_to(target)
        with pytest.raises(ConfigurationError):
            Vault(tmp_path / "two", "tracker").load("x")
        assert target.read_text(encoding="utf-8") == "mine"

    def test_what_is_no_json_is_told_with_the_remedy(self, tmp_path: Path) -> None:
        vault = Vault(tmp_path, "tracker")
        vault.save(Kept("x"))
        (tmp_path / "tokens" / "tracker.json").write_text("{", encoding="utf-8")
        with pytest.raises(ConfigurationError, match="wardgate login tracker"):
            vault.load("x")

    def test_nothing_shows_a_token(self) -> None:
        assert "hidden" not in repr(Kept("x", tokens={"access_token": "hidden"}))

    def test_no_draft_is_left(self, tmp_path: Path) -> None:
        Vault(tmp_path, "tracker").save(Kept("x"))
        assert [path.name for path in (tmp_path / "tokens").iterdir()] == ["tracker.json"]

    def test_the_keyring_holds_it_where_that_was_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ring = Ring()
        monkeypatch.setattr("gateway.upstreams.vault._keyring", lambda: (ring, ring))
        vault = Vault(tmp_path, "tracker")
        vault.save(Kept("x", tokens={"access_token": "hidden"}), keyring=True)
        assert "hidden" not in (tmp_path / "tokens" / "tracker.json").read_text(encoding="utf-8")
        vault.save(Kept("x", tokens={"access_token": "newer"}))
        kept = vault.load("x")
        assert kept is not None
        assert kept.tokens == {"access_token": "newer"}
        assert len(ring.entries) == 1


class Ring:
    """A keyring."""

    class KeyringError(Exception):
        pass

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.entries.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        self.entries[service, name] = value
