"""Fake credentials, made at run time from published formats, so that no file holds one.

Knows nothing of the gateway.
"""

import base64
import json
import random
from collections.abc import Mapping

ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
BASE32 = ALNUM[:26] + "234567"


def pick(rng: random.Random, count: int, alphabet: str = ALNUM) -> str:
    """Some characters of an alphabet."""
    return "".join(rng.choice(alphabet) for _ in range(count))


def key_block(rng: random.Random, name: str, lines: int = 12) -> str:
    """A private key in PEM's form, of random bytes."""
    body = "\n".join(base64.b64encode(rng.randbytes(48)).decode() for _ in range(lines))
    return f"-----BEGIN {name} KEY-----\n{body}\n-----END {name} KEY-----"


def web_token(rng: random.Random) -> str:
    """A JSON Web Token with a random signature."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": pick(rng, 10), "iat": 1_790_000_000, "name": pick(rng, 8)})
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), pick(rng, 43)]
    )


def credentials(seed: int) -> Mapping[str, tuple[str, str]]:
    """Per kind a text as it stands in the wild, and in it the part that is secret."""
    rng = random.Random(seed)
    bare = {
        "github": "gh" + "p_" + pick(rng, 36),
        "github-oauth": "gh" + "o_" + pick(rng, 36),
        "github-fine-grained": "github" + "_pat_" + pick(rng, 22) + "_" + pick(rng, 59),
        "gitlab": "gl" + "pat-" + pick(rng, 20),
        "slack": "xox" + "b-" + pick(rng, 12, "123456789") + "-" + pick(rng, 12, "123456789") + "-" + pick(rng, 24),
        "stripe": "sk" + "_live_" + pick(rng, 24),
        "openai": "sk" + "-proj-" + pick(rng, 74) + "T3Blbk" + "FJ" + pick(rng, 74),
        "anthropic": "sk" + "-ant-api03-" + pick(rng, 93) + "AA",
        "google": "AI" + "za" + pick(rng, 35),
        "npm": "npm" + "_" + pick(rng, 36),
        "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + pick(rng, 70),
        "sendgrid": "SG" + "." + pick(rng, 22) + "." + pick(rng, 43),
        "aws-id": "AK" + "IA" + pick(rng, 16, BASE32),
        "jwt": web_token(rng),
        "hugging-face": "hf" + "_" + pick(rng, 34, ALNUM[:52]),
        "vault": "hvs" + "." + pick(rng, 90),
        "databricks": "dap" + "i" + pick(rng, 32, "0123456789abcdef"),
        "notion": "nt" + "n_" + pick(rng, 11, "0123456789") + pick(rng, 35),
        "atlassian": "ATA" + "TT3" + pick(rng, 186) + "=" + pick(rng, 8, "0123456789ABCDEF"),
        "telegram": pick(rng, 9, "123456789") + ":A" + "A" + pick(rng, 33),
        "rsa-key": key_block(rng, "RSA PRIVATE"),
        "ssh-key": key_block(rng, "OPENSSH PRIVATE", 6),
        "cut-key": key_block(rng, "PRIVATE").rpartition("\n-----")[0],
    }
    secret, password, azure = pick(rng, 40, ALNUM + "/+"), pick(rng, 16), base64.b64encode(rng.randbytes(64)).decode()
    basic = base64.b64encode(f"bob:{pick(rng, 14)}".encode()).decode()
    bearer = pick(rng, 40) + "7a1"
    framed = {
        "aws-secret": (f"aws_secret_access_key = {secret}", secret),
        "postgres": (f"postgresql://app:{password}@db.corp.internal:5432/main", password),
        "redis": (f"redis://:{password}@cache.corp.internal:6379/0", password),
        "git-url": (f"https://bob:{password}@git.corp.internal/x.git", password),
        "azure-storage": (f"DefaultEndpointsProtocol=https;AccountName=data;AccountKey={azure};", azure),
        "bearer": (f"Authorization: Bearer {bearer}", bearer),
        "basic": (f"Authorization: Basic {basic}", basic),
    }
    return {**{kind: (value, value) for kind, value in bare.items()}, **framed}


KINDS = tuple(credentials(0))


def token(seed: int = 0) -> str:
    """One fake token that any scanner knows."""
    return credentials(seed)["github"][1]
