"""Fake credentials of many kinds, made at run time from the formats that their vendors publish; no file holds one.

Knows nothing of the gateway. Checksums are right where a format has one, so that a rule may ask for them.
"""

import base64
import binascii
import json
import random
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.made import ALNUM, key_block, pick, web_token

LOWER, UPPER, DIGITS, HEX = ALNUM[26:52], ALNUM[:26], ALNUM[52:], "0123456789abcdef"
SMALL = LOWER + DIGITS
WORDY = ALNUM + "_-"
BASE62 = DIGITS + UPPER + LOWER


@dataclass(frozen=True, slots=True)
class Fake:
    """A fake credential: the key that it stands under in the wild, the value there, and what of it is secret.

    `bare`: the value is known by its shape alone; any other one only beside its key.
    """

    key: str
    value: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    bare: bool = True

    @property
    def text(self) -> str:
        """The least text in which it can be known."""
        return self.value if self.bare else f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of credentials. `vendor`: of a vendor's shape, or under a vendor's key; else a generic assignment."""

    name: str
    make: Callable[[random.Random], Fake]
    vendor: bool = True

    def fake(self, seed: int) -> Fake:
        """One of them; the same for the same seed."""
        return self.make(random.Random(f"{self.name} {seed}"))


def checked(rng: random.Random, prefix: str, count: int = 30) -> str:
    """A token as GitHub and npm make them: six digits of base 62 at its end are the CRC-32 of its random part."""
    body = pick(rng, count, BASE62)
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return prefix + body + digits.rjust(6, "0")


def grafana(rng: random.Random) -> str:
    """A token of a Grafana service account: its end is a CRC-32 in hex."""
    body = pick(rng, 32)
    return "gl" + f"sa_{body}_{zlib.crc32(body.encode()):08x}"


def macaroon(rng: random.Random) -> str:
    """An upload token of PyPI: a version 2 macaroon (location, identifier, one caveat, signature)."""

    def packet(number: int, data: bytes) -> bytes:
        return bytes([number, len(data)]) + data

    owner = str(uuid.UUID(bytes=rng.randbytes(16), version=4))
    caveat = json.dumps([3, owner]).encode()
    parts = [b"\x02", packet(1, b"pypi" + b".org"), packet(2, owner.encode()), b"\0", packet(2, caveat), b"\0\0"]
    return "pypi-" + base64.urlsafe_b64encode(b"".join([*parts, packet(6, rng.randbytes(32))])).decode().rstrip("=")


def sentry(rng: random.Random) -> str:
    """An organisation's token of Sentry: a JSON object in base64, and a secret."""
    about = {"iat": 1_790_000_000.5, "url": "https://sentry.io", "region_url": "https://us.sentry.io", "org": "acme"}
    told = base64.b64encode(json.dumps(about, separators=(",", ":")).encode()).decode()
    return "sntr" + f"ys_{told}_" + pick(rng, 43, ALNUM + "+/")


def azure_key(rng: random.Random) -> str:
    """A key of a storage account: 64 bytes."""
    return base64.b64encode(rng.randbytes(64)).decode()


def service_account(rng: random.Random) -> Fake:
    """The key file of a service account of Google's cloud."""
    block = key_block(rng, "PRIVATE", 24) + "\n"
    name = f"robot@{pick(rng, 12, SMALL)}.iam.gserviceaccount.com"
    about = {
        "type": "service_account",
        "project_id": "acme-" + pick(rng, 6, SMALL),
        "private_key_id": pick(rng, 40, HEX),
        "private_key": block,
        "client_email": name,
        "client_id": pick(rng, 21, DIGITS),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
    }
    return Fake("GOOGLE_CREDENTIALS", json.dumps(about, indent=2), tuple(block.split("\n")[1:-2]))


def key_file(name: str, lines: int) -> Callable[[random.Random], Fake]:
    """A private key in PEM's form: each line of it is secret."""

    def make(rng: random.Random) -> Fake:
        block = key_block(rng, name, lines)
        return Fake("private_key", block, tuple(block.split("\n")[1:-1]))

    return make


def bare(key: str, make: Callable[[random.Random], str]) -> Callable[[random.Random], Fake]:
    """A value that is known by its shape, and secret as a whole."""

    def whole(rng: random.Random) -> Fake:
        value = make(rng)
        return Fake(key, value, (value,))

    return whole


def under(key: str, make: Callable[[random.Random], str]) -> Callable[[random.Random], Fake]:
    """A value that is known only under its key."""

    def whole(rng: random.Random) -> Fake:
        value = make(rng)
        return Fake(key, value, (value,), bare=False)

    return whole


def within(
    key: str, shape: str, make: Callable[[random.Random], str], *, known: bool = True
) -> Callable[[random.Random], Fake]:
    """A value of which one part is secret: `shape` has `{}` in the place of it."""

    def part(rng: random.Random) -> Fake:
        secret = make(rng)
        return Fake(key, shape.format(secret), (secret,), bare=known)

    return part


def password(rng: random.Random) -> str:
    """A password as generators make them: letters of both cases, digits, and a mark that needs no escape."""
    body = [*pick(rng, 6, LOWER), *pick(rng, 4, UPPER), *pick(rng, 4, DIGITS), *pick(rng, 2, "-_.!*")]
    rng.shuffle(body)
    return "k" + "".join(body) + "7"


def plain_password(rng: random.Random) -> str:
    """A password of letters and digits."""
    body = [*pick(rng, 8, LOWER), *pick(rng, 4, UPPER), *pick(rng, 4, DIGITS)]
    rng.shuffle(body)
    return "".join(body)


def discord_bot(rng: random.Random) -> str:
    """A token of a Discord bot: its id in base64, a time, a MAC."""
    return (
        base64.b64encode(("1" + pick(rng, 17, DIGITS)).encode()).decode()
        + "."
        + pick(rng, 6)
        + "."
        + pick(rng, 38, WORDY)
    )


def basic(rng: random.Random) -> str:
    """A user and a password as a header has them."""
    return base64.b64encode(f"deploy:{plain_password(rng)}".encode()).decode()


def hexes(count: int) -> Callable[[random.Random], str]:
    """Some hex digits."""
    return lambda rng: pick(rng, count, HEX)


def some(prefix: str, count: int, alphabet: str = ALNUM, end: str = "") -> Callable[[random.Random], str]:
    """A prefix, some characters, an end."""
    return lambda rng: prefix + pick(rng, count, alphabet) + end


def of_uuid(prefix: str = "") -> Callable[[random.Random], str]:
    """A random UUID behind a prefix."""
    return lambda rng: prefix + str(uuid.UUID(bytes=rng.randbytes(16), version=4))


def crc_hex(rng: random.Random) -> str:
    """A token of Cloudflare's newer form: forty characters and a CRC-32 in hex."""
    body = pick(rng, 40)
    return "cf" + f"ut_{body}{binascii.crc32(body.encode()):08x}"


def _slack(kind: str, parts: int) -> Callable[[random.Random], str]:
    def make(rng: random.Random) -> str:
        numbers = "-".join("1" + pick(rng, 11, DIGITS) for _ in range(parts))
        return f"xox{kind}-{numbers}-" + (pick(rng, 24) if kind == "b" else pick(rng, 32, HEX))

    return make


_VENDORS: Mapping[str, Callable[[random.Random], Fake]] = {
    "aws-access-key-id": bare("aws_access_key_id", some("AK" + "IA", 16, UPPER + "234567")),
    "aws-secret-access-key": under("aws_secret_access_key", some("", 40, ALNUM + "+/")),
    "aws-session-token": under("AWS_SESSION_TOKEN", some("IQoJb3JpZ2luX2VjE", 300, ALNUM + "+/")),
    "github-pat": bare("GITHUB_TOKEN", lambda rng: checked(rng, "gh" + "p_")),
    "github-oauth": bare("GH_OAUTH", lambda rng: checked(rng, "gh" + "o_")),
    "github-app-server": bare("GITHUB_TOKEN", lambda rng: checked(rng, "gh" + "s_")),
    "github-app-user": bare("GITHUB_TOKEN", lambda rng: checked(rng, "gh" + "u_")),
    "github-refresh": bare("refresh_token", lambda rng: checked(rng, "gh" + "r_", 70)),
    "github-fine-grained": bare("GH_PAT", lambda rng: "github" + "_pat_" + pick(rng, 22) + "_" + pick(rng, 59)),
    "gitlab-pat": bare("GITLAB_TOKEN", some("gl" + "pat-", 20)),
    "gitlab-runner": bare("RUNNER_TOKEN", some("gl" + "rt-", 20)),
    "slack-bot": bare("SLACK_BOT_TOKEN", _slack("b", 2)),
    "slack-user": bare("SLACK_TOKEN", _slack("p", 3)),
    "slack-app": bare(
        "SLACK_APP_TOKEN",
        lambda rng: "xap" + f"p-1-A0{pick(rng, 9, UPPER)}-{pick(rng, 13, DIGITS)}-" + pick(rng, 64, HEX),
    ),
    "slack-webhook": bare(
        "SLACK_WEBHOOK",
        lambda rng: (
            "https://hooks.slack.com/services/T"
            + pick(rng, 10, UPPER)
            + "/B"
            + pick(rng, 10, UPPER)
            + "/"
            + pick(rng, 24)
        ),
    ),
    "stripe-secret": bare("STRIPE_SECRET_KEY", some("sk" + "_live_", 99)),
    "stripe-restricted": bare("STRIPE_KEY", some("rk" + "_live_", 24)),
    "stripe-webhook": bare("STRIPE_WEBHOOK_SECRET", some("whse" + "c_", 32)),
    "openai-project": bare(
        "OPENAI_API_KEY", lambda rng: "sk" + "-proj-" + pick(rng, 74) + "T3Blbk" + "FJ" + pick(rng, 74)
    ),
    "openai-user": bare("OPENAI_API_KEY", lambda rng: "sk" + "-" + pick(rng, 20) + "T3Blbk" + "FJ" + pick(rng, 20)),
    "anthropic": bare("ANTHROPIC_API_KEY", some("sk" + "-ant-api03-", 93, WORDY, "AA")),
    "google-api-key": bare("GOOGLE_API_KEY", some("AI" + "zaSy", 33, WORDY)),
    "google-client-secret": bare("client_secret", some("GOC" + "SPX-", 28)),
    "google-service-account": service_account,
    "azure-storage": within(
        "AZURE_STORAGE_CONNECTION_STRING",
        "DefaultEndpointsProtocol=https;AccountName=corpdata;AccountKey={};EndpointSuffix=core.windows.net",
        azure_key,
    ),
    "azure-client-secret": bare("AZURE_CLIENT_SECRET", lambda rng: pick(rng, 3) + "8Q" + "~" + pick(rng, 34)),
    "npm": bare("NPM_TOKEN", lambda rng: checked(rng, "np" + "m_")),
    "pypi": bare("TWINE_PASSWORD", macaroon),
    "docker-hub": bare("DOCKER_PAT", some("dckr" + "_pat_", 27)),
    "hugging-face": bare("HF_TOKEN", some("hf" + "_", 34, LOWER + UPPER)),
    "databricks": bare("DATABRICKS_TOKEN", some("dap" + "i", 32, HEX)),
    "notion": bare("NOTION_TOKEN", lambda rng: "nt" + "n_" + pick(rng, 11, DIGITS) + pick(rng, 35)),
    "atlassian": bare(
        "ATLASSIAN_API_TOKEN", lambda rng: "ATA" + "TT3x" + pick(rng, 186, WORDY) + "=" + pick(rng, 8, HEX.upper())
    ),
    "discord-webhook": bare(
        "DISCORD_WEBHOOK",
        lambda rng: "https://discord.com/api/webhooks/1" + pick(rng, 17, DIGITS) + "/" + pick(rng, 68),
    ),
    "discord-bot": bare("DISCORD_TOKEN", discord_bot),
    "telegram-bot": bare(
        "TELEGRAM_BOT_TOKEN", lambda rng: "7" + pick(rng, 9, DIGITS) + ":A" + "A" + pick(rng, 33, WORDY)
    ),
    "twilio-api-key": bare("TWILIO_API_KEY", some("S" + "K", 32, HEX)),
    "twilio-auth-token": under("TWILIO_AUTH_TOKEN", hexes(32)),
    "sendgrid": bare("SENDGRID_API_KEY", lambda rng: "SG" + "." + pick(rng, 22) + "." + pick(rng, 43)),
    "mailgun": under("MAILGUN_API_KEY", some("ke" + "y-", 32, HEX)),
    "mailchimp": under("MAILCHIMP_API_KEY", some("", 32, HEX, "-us14")),
    "shopify": bare("SHOPIFY_ACCESS_TOKEN", some("shp" + "at_", 32, HEX)),
    "vault": bare("VAULT_TOKEN", some("hv" + "s.", 92)),
    "jwt": bare("id_token", web_token),
    "private-key": key_file("PRIVATE", 24),
    "rsa-private-key": key_file("RSA PRIVATE", 24),
    "ec-private-key": key_file("EC PRIVATE", 4),
    "openssh-private-key": key_file("OPENSSH PRIVATE", 6),
    "postgres-url": within("DATABASE_URL", "postgresql://app:{}@db.corp.internal:5432/main", plain_password),
    "mysql-url": within("DB_DSN", "mysql://root:{}@10.1.2.3/shop", plain_password),
    "mongodb-url": within(
        "MONGO_URI", "mongodb+srv://svc:{}@cluster0.ab1cd.mongodb.net/prod?retryWrites=true", plain_password
    ),
    "redis-url": within("REDIS_URL", "redis://:{}@cache.corp.internal:6379/0", plain_password),
    "amqp-url": within("BROKER_URL", "amqps://worker:{}@mq.corp.internal/jobs", plain_password),
    "git-url": within("REMOTE", "https://ci-bot:{}@git.corp.internal/team/app.git", plain_password),
    "digitalocean": bare("DIGITALOCEAN_TOKEN", some("do" + "p_v1_", 64, HEX)),
    "linear": bare("LINEAR_API_KEY", some("lin" + "_api_", 40)),
    "sentry-org": bare("SENTRY_AUTH_TOKEN", sentry),
    "sentry-user": bare("SENTRY_AUTH_TOKEN", some("sntr" + "yu_", 64, HEX)),
    "new-relic": bare("NEW_RELIC_API_KEY", some("NR" + "AK-", 27, UPPER + DIGITS)),
    "doppler": bare("DOPPLER_TOKEN", some("d" + "p.pt.", 43)),
    "grafana": bare("GRAFANA_TOKEN", grafana),
    "heroku": bare("HEROKU_API_KEY", some("HRK" + "U-AA", 58)),
    "cloudflare": bare("CLOUDFLARE_API_TOKEN", crc_hex),
    "cloudflare-classic": under("CLOUDFLARE_API_TOKEN", some("", 40, WORDY)),
    "datadog": under("DATADOG_API_KEY", hexes(32)),
    "pulumi": bare("PULUMI_ACCESS_TOKEN", some("pu" + "l-", 40, HEX)),
    "terraform-cloud": bare("TFE_TOKEN", lambda rng: pick(rng, 14) + ".atlas" + "v1." + pick(rng, 67)),
    "postman": bare("POSTMAN_API_KEY", lambda rng: "PMA" + "K-" + pick(rng, 24, HEX) + "-" + pick(rng, 34, HEX)),
    "airtable": bare("AIRTABLE_TOKEN", lambda rng: "pat" + pick(rng, 14) + "." + pick(rng, 64, HEX)),
    "figma": bare("FIGMA_TOKEN", some("fig" + "d_", 40, WORDY)),
    "groq": bare("GROQ_API_KEY", some("gs" + "k_", 52)),
    "xai": bare("XAI_API_KEY", some("xa" + "i-", 80)),
    "perplexity": bare("PERPLEXITY_API_KEY", some("ppl" + "x-", 48)),
    "replicate": bare("REPLICATE_API_TOKEN", some("r8" + "_", 37)),
    "square": bare("SQUARE_ACCESS_TOKEN", some("EAA" + "A", 60)),
    "rubygems": bare("GEM_HOST_API_KEY", some("rubygems" + "_", 48, HEX)),
    "supabase": bare("SUPABASE_ACCESS_TOKEN", some("sb" + "p_", 40, HEX)),
    "tailscale": bare("TS_AUTHKEY", lambda rng: "tskey" + "-auth-" + pick(rng, 17) + "-" + pick(rng, 32)),
    "planetscale": bare("PLANETSCALE_TOKEN", some("pscale" + "_tkn_", 43)),
    "buildkite": bare("BUILDKITE_TOKEN", some("bk" + "ua_", 40, HEX)),
    "circleci": bare("CIRCLE_TOKEN", lambda rng: "CCI" + "PAT_" + pick(rng, 22) + "_" + pick(rng, 40, HEX)),
    "age": bare("SOPS_AGE_KEY", some("AGE-SECRET" + "-KEY-1", 58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
    "contentful": bare("CONTENTFUL_PAT", some("CFP" + "AT-", 43, WORDY)),
    "okta": under("OKTA_API_TOKEN", some("00", 40, WORDY)),
    "snyk": under("SNYK_TOKEN", of_uuid()),
    "algolia": under("ALGOLIA_ADMIN_API_KEY", hexes(32)),
    "pagerduty": under("PAGERDUTY_API_KEY", some("u+", 18)),
    "azure-devops": under("AZURE_DEVOPS_PAT", some("", 52, LOWER + "234567")),
    "jenkins": under("JENKINS_API_TOKEN", hexes(34)),
    "hubspot": bare("HUBSPOT_TOKEN", of_uuid("pat" + "-na1-")),
    "braintree": bare(
        "BRAINTREE_TOKEN", lambda rng: "access_" + "token$production$" + pick(rng, 16, SMALL) + "$" + pick(rng, 32, HEX)
    ),
    "amazon-mws": bare("MWS_TOKEN", of_uuid("amzn" + ".mws.")),
    "deepseek": bare("DEEPSEEK_API_KEY", some("s" + "k-", 32, HEX)),
    "azure-devops-signed": bare("AZDO_PAT", some("", 76, end="AZ" + "DOab3d")),
    "trello": bare("TRELLO_TOKEN", some("AT" + "TA", 72, HEX)),
    "dropbox": bare("DROPBOX_TOKEN", some("s" + "l.", 140, WORDY)),
    "firebase-messaging": bare(
        "FCM_KEY", lambda rng: "AAAA" + pick(rng, 7, WORDY) + ":AP" + "A91b" + pick(rng, 134, WORDY)
    ),
    "openrouter": bare("OPENROUTER_API_KEY", some("sk" + "-or-v1-", 64, HEX)),
    "nvidia": bare("NVIDIA_API_KEY", some("nva" + "pi-", 64, WORDY)),
    "resend": bare("RESEND_API_KEY", lambda rng: "r" + "e_" + pick(rng, 8) + "_" + pick(rng, 24)),
    "brevo": bare("BREVO_API_KEY", lambda rng: "xkey" + "sib-" + pick(rng, 64, HEX) + "-" + pick(rng, 16)),
    "dynatrace": bare(
        "DT_API_TOKEN", lambda rng: "dt0" + "c01." + pick(rng, 24, UPPER + DIGITS) + "." + pick(rng, 64, UPPER + DIGITS)
    ),
    "nuget": bare("NUGET_API_KEY", some("oy" + "2", 43, SMALL)),
    "alibaba": bare("ALIBABA_KEY", some("LT" + "AI5t", 18)),
    "asana": bare(
        "ASANA_PAT", lambda rng: "2/1" + pick(rng, 15, DIGITS) + "/1" + pick(rng, 15, DIGITS) + ":" + pick(rng, 32, HEX)
    ),
    "azure-sas": within(
        "BLOB_URL",
        "https://corpdata.blob.core.windows.net/c?sv=2024-11-04&se=2027-01-01&sr=c&sp=rl&sig={}",
        lambda rng: pick(rng, 20) + "%2F" + pick(rng, 20) + "%3D",
    ),
    "session-cookie": within("cookie", "Cookie: theme=dark; session={}; lang=en", some("", 40)),
    "wireguard": under("PrivateKey", lambda rng: base64.b64encode(rng.randbytes(32)).decode()),
    "basic-header": within("Authorization", "Authorization: Basic {}", basic),
    "bearer-header": within("Authorization", "Authorization: Bearer {}", some("", 40)),
}

_GENERIC: Mapping[str, Callable[[random.Random], Fake]] = {
    "password": under("password", password),
    "db-password": under("DB_PASSWORD", password),
    "client-secret": under("client_secret", some("", 32, SMALL)),
    "api-key": under("api_key", some("", 32)),
    "secret-key": under("SECRET_KEY", some("", 50, SMALL + "-_")),
    "auth-token": under("auth_token", hexes(40)),
    "app-key": under("appSecret", some("", 24)),
    "jdbc": within("JDBC_URL", "jdbc:postgresql://db:5432/app?user=app&password={}&ssl=true", plain_password),
    "connection-string": within("DSN", "Server=db;User ID=sa;Password={};Encrypt=True", plain_password),
    "netrc": within("netrc", "machine api.example.com login bob password {}", plain_password),
    "npmrc": within("npmrc", "//npm.example.com/:_authToken={}", of_uuid()),
    "sql": within("statement", "CREATE USER app IDENTIFIED BY '{}'", plain_password),
    "option": within("command", "tool --user bob --password {} run", plain_password),
    "prose": within("message", "The password is {} and the user is bob", plain_password),
    "password-hash": within(
        "passwd", "bob:{}:19000:0:99999:7:::", lambda rng: "$" + "6$" + pick(rng, 16) + "$" + pick(rng, 86)
    ),
}

KINDS = (
    *(Kind(name, make) for name, make in _VENDORS.items()),
    *(Kind(f"generic-{name}", make, vendor=False) for name, make in _GENERIC.items()),
)
