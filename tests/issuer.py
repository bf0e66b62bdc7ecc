"""A real authorization server for tests (`tests/servers/issuer.mjs`), tokens that it never made, and a person who signs
in at it.

Its keys are made here, so that a token can be forged with the right key and one thing wrong.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
from anyio.streams.buffered import BufferedByteReceiveStream
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.real import missing

ROOT = Path(__file__).parents[1]
NODE = ROOT / ".upstreams" / "node" / "node"
MODULES = ROOT / ".upstreams" / "npm" / "node_modules"
SCRIPT = ROOT / "tests" / "servers" / "issuer.mjs"
START = 20.0  # seconds
MACHINE = "machine"  # the client with a secret of its own
TESTER = "tester"  # the client that is known by its name, for people


@dataclass
class SigningKey:
    """One key of an issuer."""

    kid: str
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def jwk(self) -> dict[str, Any]:
        """The key as the issuer's configuration takes it, private part included."""
        made: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private))
        return {**made, "kid": self.kid, "use": "sig", "alg": "RS256"}

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The key as the issuer publishes it."""
        made: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return {**made, "kid": self.kid, "use": "sig", "alg": "RS256"}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token with these claims."""
        return jwt.encode(dict(claims), self.private, "RS256", {"kid": self.kid, "typ": "at+jwt", **header})

    def confused(self, claims: Mapping[str, Any]) -> str:
        """A token whose HMAC was made with the public key, as everybody can."""
        pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head = _part({"alg": "HS256", "kid": self.kid, "typ": "at+jwt"}) + b"." + _part(claims)
        return (head + b"." + _text(hmac.new(pem, head, hashlib.sha256).digest())).decode()


def unsigned(claims: Mapping[str, Any]) -> str:
    """A token of algorithm `none`."""
    return (_part({"alg": "none", "typ": "at+jwt"}) + b"." + _part(claims) + b".").decode()


def claims_for(issuer: str, audience: str, **more: Any) -> dict[str, Any]:
    """The claims of a good access token."""
    now = int(time.time())
    good = {"iss": issuer, "aud": audience, "sub": "alice", "client_id": TESTER, "iat": now, "exp": now + 300}
    return {**good, "jti": secrets.token_hex(8), **more}


def _part(value: Mapping[str, Any]) -> bytes:
    return _text(json.dumps(value).encode())


def _text(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass
class Issuer:
    """A running authorization server."""

    url: str
    key: SigningKey
    secret: str  # of the client MACHINE
    _process: Any
    _said: BufferedByteReceiveStream

    async def rotate(self, kid: str) -> SigningKey:
        """Give it another key; the old one is gone."""
        self.key = SigningKey(kid)
        await self._process.stdin.send(json.dumps({"jwks": {"keys": [self.key.jwk]}}).encode() + b"\n")
        assert await self._said.receive_until(b"\n", 1024) == b"rotated"
        return self.key

    def forge(self, audience: str, **more: Any) -> str:
        """A token with its key that it never made, with these claims other than they should be."""
        return self.key.sign(claims_for(self.url, audience, **more))

    async def machine_token(self, audience: str) -> str:
        """A token by the client's own credentials, made out for `audience`."""
        async with httpx2.AsyncClient() as http:
            form = {"grant_type": "client_credentials", "resource": audience, "scope": "tools"}
            answer = await http.post(f"{self.url}/token", data=form, auth=(MACHINE, self.secret))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def sign_in(self, url: str, *, refuse: bool = False) -> str:
        """Be the person with a browser: open the address, sign in, consent; returns where the browser is sent."""
        async with httpx2.AsyncClient() as browser:
            page = await browser.get(url)
            for _ in range(12):
                if page.is_redirect:
                    target = str(page.url.join(page.headers["location"]))
                    if not target.startswith(self.url):
                        return target
                    page = await browser.get(target)
                    continue
                form = re.search(r'action="([^"]+)"', page.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
                assert form is not None, (page.status_code, page.text)
                assert prompt is not None, page.text
                if refuse:
                    abort = re.search(r'href="([^"]*/abort)"', page.text)
                    assert abort is not None, page.text
                    page = await browser.get(str(page.url.join(abort[1])))
                    continue
                fields = {"prompt": prompt[1], "login": "alice", "password": "any"}
                page = await browser.post(str(page.url.join(form[1])), data=fields)
        raise AssertionError("the sign-in did not come to an end")


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An authorization server, from when it listens until the block ends."""
    for path in (NODE, MODULES / "oidc-provider"):
        if not path.exists():
            missing(f"`{path.relative_to(ROOT)}`")
    key, secret = SigningKey("first"), secrets.token_urlsafe(24)
    machine = {"client_id": MACHINE, "client_secret": secret, "grant_types": ["client_credentials"]}
    person = {"client_id": TESTER, "token_endpoint_auth_method": "none", "application_type": "native"}
    clients = [
        {**machine, "redirect_uris": [], "response_types": []},
        {
            **person,
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": ["http://127.0.0.1/callback"],
        },
    ]
    given = {"modules": str(MODULES), "jwks": {"keys": [key.jwk]}, "clients": clients}
    process = await anyio.open_process([str(NODE), str(SCRIPT)], stderr=subprocess.DEVNULL)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send(json.dumps(given).encode() + b"\n")
        said = BufferedByteReceiveStream(process.stdout)
        with anyio.fail_after(START):
            url = (await said.receive_until(b"\n", 1024)).decode()
        yield Issuer(url, key, secret, process, said)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
