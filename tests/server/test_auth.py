"""Tokens at the door: what a JWT must be to count, and whom it speaks for. Keys and metadata without a network."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.config import Auth, ClientEntry
from gateway.errors import UpstreamError
from gateway.server.auth import Admission, Denied
from gateway.server.jwts import Jwts, audiences
from gateway.server.keys import FRESH, PAUSE, STALE, IssuerKeys
from gateway.server.peer import Peer
from gateway.tokens import FILE_NAME, Tokens
from tests.issuer import SigningKey, claims_for, unsigned

ISSUER, AUDIENCE = "https://login.example.com", "https://wardgate.example.com/mcp"
METADATA, KEYS = f"{ISSUER}/.well-known/oauth-authorization-server", f"{ISSUER}/keys"
KEY, OTHER = SigningKey("one"), SigningKey("two")


class Web:
    """What the issuer answers, and how often it was asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.down = False
        self.pages: dict[str, Any] = {
            METADATA: {"issuer": ISSUER, "jwks_uri": KEYS},
            KEYS: {"keys": [KEY.public_jwk]},
        }

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await anyio.lowlevel.checkpoint()
        if self.down or url not in self.pages:
            raise UpstreamError("no answer")
        return json.dumps(self.pages[url]).encode()

    def keys(self) -> IssuerKeys:
        return IssuerKeys(ISSUER, self.fetch, lambda: self.now)


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def admission(web: Web, tmp_path: Path) -> Admission:
    trust = {"tester": frozenset({"session"}), "laptop": frozenset({"session", "prompt"})}
    clients = {name: ClientEntry(name, trust=trusted) for name, trusted in trust.items()}
    return Admission(Tokens(tmp_path), clients, Jwts(Auth(ISSUER, AUDIENCE, roles="groups"), web.keys()))


def good(**more: Any) -> dict[str, Any]:
    return claims_for(ISSUER, AUDIENCE, **more)


async def denied(admission: Admission, token: str, only: str = "") -> Denied:
    answer = await admission.admit(token, only)
    assert isinstance(answer, Denied), answer
    return answer


async def admitted(admission: Admission, token: str, only: str = "") -> Peer:
    answer = await admission.admit(token, only)
    assert isinstance(answer, Peer), answer
    return answer


async def test_a_good_token_speaks_for_its_subject_its_roles_and_a_registered_client(admission: Admission) -> None:
    peer = await admitted(admission, KEY.sign(good(groups=["mail-admin", "staff"])))
    assert (peer.principal.id, peer.principal.known_by) == ("jwt:alice", "jwt")
    assert peer.principal.roles == {"mail-admin", "staff"}
    assert (peer.client, peer.trust_session) == ("tester", True)
    assert (await admitted(admission, KEY.sign(good(groups="one two")))).principal.roles == {"one", "two"}


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "nobody-knows"}, "unknown"),
        ({"client_id": "tester", "azp": "laptop"}, "unknown"),
        ({"client_id": 7}, "unknown"),
        ({"client_id": None, "azp": "laptop"}, "laptop"),
    ],
    ids=["not registered", "two", "no text", "azp"],
)
async def test_only_a_registered_client_is_believed(
    admission: Admission, claims: Mapping[str, Any], client: str
) -> None:
    peer = await admitted(admission, KEY.sign(good(**claims)))
    assert peer.client == client
    assert peer.trust_session is (client != "unknown")
    assert peer.trust_prompt is (client == "laptop")


def _without(name: str) -> dict[str, Any]:
    claims = good()
    del claims[name]
    return claims


REFUSED: dict[str, Callable[[], str]] = {
    "expired": lambda: KEY.sign(good(exp=int(time.time()) - 60)),
    "not yet": lambda: KEY.sign(good(nbf=int(time.time()) + 120)),
    "from the future": lambda: KEY.sign(good(iat=int(time.time()) + 120)),
    "no exp": lambda: KEY.sign(_without("exp")),
    "no iat": lambda: KEY.sign(_without("iat")),
    "no aud": lambda: KEY.sign(_without("aud")),
    "no iss": lambda: KEY.sign(_without("iss")),
    "no subject": lambda: KEY.sign(_without("sub")),
    "empty subject": lambda: KEY.sign(good(sub="")),
    "subject with a line end": lambda: KEY.sign(good(sub="a\nb")),
    "subject that is no text": lambda: KEY.sign(good(sub=["alice"])),
    "another audience": lambda: KEY.sign(good(aud="https://other.example.com/mcp")),
    "audience with more behind": lambda: KEY.sign(good(aud=f"{AUDIENCE}/")),
    "another issuer": lambda: KEY.sign(good(iss="https://evil.example.com")),
    "issuer with more behind": lambda: KEY.sign(good(iss=f"{ISSUER}/")),
    "alg none": lambda: unsigned(good()),
    "HS256 with the public key": lambda: KEY.confused(good()),
    "another key under the same id": lambda: SigningKey("one").sign(good()),
    "unknown key": lambda: OTHER.sign(good()),
    "unknown critical header": lambda: KEY.sign(good(), crit=["b64"], b64=True),
    "another kind of token": lambda: KEY.sign(good(), typ="logout+jwt"),
    "bound to a key": lambda: KEY.sign(good(cnf={"jkt": "x"})),
    "another algorithm than the key's": lambda: jwt.encode(good(), KEY.private, "RS512", {"kid": "one"}),
    "roles of another shape": lambda: KEY.sign(good(groups={"admin": True})),
    "too long": lambda: KEY.sign(good(filler="x" * 20_000)),
    "cut": lambda: KEY.sign(good())[:-10],
    "no JWT": lambda: "opaque",
    "empty parts": lambda: "..",
    "array": lambda: "W10.W10.",
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_token_with_one_thing_wrong_is_nobodys(admission: Admission, what: str) -> None:
    answer = await denied(admission, REFUSED[what]())
    assert (answer.status, answer.error) == (401, "invalid_token")
    assert (what == "expired") is ("expired" in answer.text)


async def test_a_token_that_does_not_say_that_it_is_of_the_issuer_asks_nobody(admission: Admission, web: Web) -> None:
    await denied(admission, KEY.sign(good(iss="https://evil.example.com")))
    await denied(admission, unsigned(good()))
    assert web.asked == []


async def test_a_token_for_one_upstream_opens_that_one_only(admission: Admission) -> None:
    token = KEY.sign(good(aud=f"{AUDIENCE}/ledger"))
    assert (await admitted(admission, token, "ledger")).only == "ledger"
    for elsewhere in ("", "files"):
        await denied(admission, token, elsewhere)
    assert audiences(AUDIENCE, "") == (AUDIENCE,)
    assert (await admitted(admission, KEY.sign(good()), "files")).only == "files"


async def test_a_token_that_was_found_good_is_checked_again_once_its_time_is_up(web: Web) -> None:
    now = [datetime.now(UTC)]
    jwts = Jwts(Auth(ISSUER, AUDIENCE), web.keys(), lambda: now[0])
    token = KEY.sign(good(exp=int(time.time()) - 20))  # within the leeway
    assert not isinstance(await jwts.verify(token, ""), Denied)
    first = await jwts.verify(token, "")
    assert await jwts.verify(token, "") is first
    now[0] += timedelta(seconds=20)
    assert await jwts.verify(token, "") is not first


async def test_the_keys_are_asked_for_once(admission: Admission, web: Web) -> None:
    for _ in range(3):
        await admitted(admission, KEY.sign(good()))
    assert web.asked == [METADATA, KEYS]


async def test_a_rotated_key_is_found_and_the_old_one_counts_no_more(admission: Admission, web: Web) -> None:
    old = KEY.sign(good())
    await admitted(admission, old)
    web.pages[KEYS] = {"keys": [OTHER.public_jwk]}
    web.now += PAUSE
    await admitted(admission, OTHER.sign(good()))
    await denied(admission, old)


async def test_unknown_keys_are_asked_for_at_most_once_in_a_while(admission: Admission, web: Web) -> None:
    await admitted(admission, KEY.sign(good()))
    for number in range(5):
        await denied(admission, SigningKey(f"made up {number}", OTHER.private).sign(good()))
    assert len(web.asked) == 2
    web.now += PAUSE
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(denied, admission, OTHER.sign(good()))
    assert len(web.asked) == 4


async def test_an_issuer_that_can_not_be_reached_lets_nobody_in(admission: Admission, web: Web) -> None:
    web.down = True
    answer = await denied(admission, KEY.sign(good()))
    assert answer.status == 503
    web.down = False
    assert (await denied(admission, KEY.sign(good()))).status == 503  # not asked again at once
    web.now += PAUSE
    await admitted(admission, KEY.sign(good()))


async def test_keys_are_used_for_a_while_without_the_issuer_and_then_no_more(admission: Admission, web: Web) -> None:
    token = KEY.sign(good())
    await admitted(admission, token)
    web.down = True
    web.now += FRESH
    await admitted(admission, token)
    web.now += STALE
    assert (await denied(admission, token)).status == 503


@pytest.mark.parametrize(
    "pages",
    [
        {METADATA: {"issuer": "https://evil.example.com", "jwks_uri": KEYS}},
        {METADATA: {"issuer": ISSUER}},
        {METADATA: {"issuer": ISSUER, "jwks_uri": "http://login.example.com/keys"}},
        {METADATA: {"issuer": ISSUER, "jwks_uri": "https://127.0.0.1/keys"}},
        {METADATA: {"issuer": ISSUER, "jwks_uri": "file:///etc/keys"}},
        {METADATA: [ISSUER]},
        {KEYS: {"keys": "none"}},
        {KEYS: {"keys": [KEY.public_jwk] * 101}},
        {KEYS: []},
    ],
    ids=["another issuer", "no keys", "http", "this machine", "file", "list", "text", "too many", "no object"],
)
async def test_metadata_that_is_not_right_lets_nobody_in(admission: Admission, web: Web, pages: dict[str, Any]) -> None:
    web.pages.update(pages)
    assert (await denied(admission, KEY.sign(good()))).status == 503


async def test_metadata_in_the_manner_of_openid_is_found(admission: Admission, web: Web) -> None:
    web.pages[f"{ISSUER}/.well-known/openid-configuration"] = web.pages.pop(METADATA)
    await admitted(admission, KEY.sign(good()))


@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0"}, {"alg": "RS512"}, {"n": "!"}, {"n": 7}],
    ids=["for encryption", "a shared secret", "another algorithm", "not base64", "no text"],
)
async def test_a_key_that_is_not_for_this_is_none(admission: Admission, web: Web, change: Mapping[str, Any]) -> None:
    web.pages[KEYS] = {"keys": [{**KEY.public_jwk, **change}]}
    assert (await denied(admission, KEY.sign(good()))).status == 401


async def test_a_small_key_and_two_keys_of_one_id_are_none(admission: Admission, web: Web) -> None:
    small = SigningKey("one", rsa.generate_private_key(65537, 1024))
    web.pages[KEYS] = {"keys": [small.public_jwk]}
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = small.sign(good())
    await denied(admission, token)
    web.pages[KEYS] = {"keys": [KEY.public_jwk, {**OTHER.public_jwk, "kid": "one"}]}
    web.now += PAUSE
    await denied(admission, KEY.sign(good()))


async def test_other_signatures_of_public_keys_count_too(admission: Admission, web: Web) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    web.pages[KEYS] = {"keys": [{**jwk, "kid": "curve"}]}
    await admitted(admission, jwt.encode(good(), private, "ES256", {"kid": "curve"}))
    await admitted(admission, jwt.encode(good(), private, "ES256"))  # the only one that fits


async def test_client_tokens_count_beside_jwts_and_say_that_they_have_expired(tmp_path: Path, web: Web) -> None:
    now = datetime.now(UTC)
    tokens = Tokens(tmp_path)
    admission = Admission(tokens, {}, Jwts(Auth(ISSUER, AUDIENCE), web.keys()), lambda: now)
    token = await anyio.to_thread.run_sync(tokens.add, "laptop", now + timedelta(days=1))
    peer = await admitted(admission, token, "files")
    assert (peer.principal.id, peer.principal.known_by, peer.client) == ("client:laptop", "token", "unknown")
    assert (peer.only, peer.transport) == ("files", "http")
    now += timedelta(days=2)
    answer = await denied(admission, token)
    assert (answer.status, answer.error) == (401, "invalid_token")
    assert "expired" in answer.text
    assert token not in answer.text
    assert (await denied(admission, token + "x")).text != answer.text
    assert web.asked == []


async def test_without_an_issuer_no_jwt_counts(tmp_path: Path) -> None:
    await denied(Admission(Tokens(tmp_path), {}), KEY.sign(good()))


async def test_a_token_file_that_can_not_be_trusted_lets_nobody_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = await anyio.to_thread.run_sync(tokens.add, "laptop")
    (tmp_path / FILE_NAME).chmod(0o644)
    assert (await denied(Admission(tokens, {}), token)).status == 503


async def test_an_address_counts_only_if_it_was_verified(web: Web, tmp_path: Path) -> None:
    admission = Admission(Tokens(tmp_path), {}, Jwts(Auth(ISSUER, AUDIENCE, principal="email"), web.keys()))
    mail = {"email": "alice@example.com"}
    assert (await admitted(admission, KEY.sign(good(**mail)))).principal.id == "jwt:alice@example.com"
    await denied(admission, KEY.sign(good(**mail, email_verified=False)))
