"""The secret scanner in this process: a vendor catalogue and rules of ours, compiled once and cached.

It finds and nothing else: no request ever leaves because of a finding, and no comment in a text switches it off.
"""

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread
from msgspec import Struct

from gateway.core.plausible import KEY, kind_of, surest
from gateway.core.secrets import Span, slug
from gateway.errors import GatewayError
from gateway.place import rules_folder

if TYPE_CHECKING:
    from kingfisher_sdk import Scanner

RULES = Path(__file__).parent.parent / "rules" / "wardgate.yml"
UNTIMED = 256 * 1024  # bytes up to which a scan takes some 2 ms and isn't timed: a timed one takes half as long again
MOST_FINDINGS = 10_000  # of one scan, several of them of one secret; each takes some 30 us to judge
MOST_KEYS = 1_000  # headers and ends of key blocks; the catalogue's rule for them takes the square of their number
OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")  # how texts begin that the scanner takes for UTF-16 or 32
RETRY = (1.0, 5.0, 30.0, 60.0)  # seconds until the rules are loaded again after a failure; the last one stays
# What the catalogue finds only to complete a pair, and is no secret: names, ids, hosts. Everything else that it
# marks as not visible (the AWS secret half is one) is redacted.
# fmt: off
IDENTIFIERS = frozenset({
    "aikido-client-id", "algolia-application-id", "artifactory-jfrog-url", "auth0-client-id", "auth0-domain",
    "azure-client-id", "azure-storage-account-name", "azure-tenant-id", "browserstack-username", "canva-client-id",
    "clickhouse-cloud-key-id", "cloudflare-account-id", "cloudinary-cloud-name", "ebay-client-id", "lark-app-id",
    "langfuse-public-key", "miro-client-id", "mongodb-atlas-service-account-id", "mux-access-token-id",
    "paypal-client-id", "planetscale-id", "plivo-auth-id", "polymarket-address", "ramp-client-id",
    "salesforce-instance-url", "snowflake-account-host", "supabase-project-url",
    "tableau-personal-access-token-name", "tableau-server-host", "upstash-redis-rest-url", "wiz-client-id",
    "zoho-client-id", "hcpclientcredentials-client-id", "packagistorgreadtoken-repository",
    "packagistorgupdatetoken-repository",
})
# fmt: on


class Engine(Protocol):
    """What finds secrets by their shape."""

    @property
    def loaded(self) -> bool:
        """Whether `scan` can be called."""

    async def ready(self) -> None:
        """Wait until it is loaded; raises `GatewayError` if loading has failed (it is tried again meanwhile)."""

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        """Find secrets in UTF-8 bytes. Blocks; raises after `timeout` seconds, later where nothing interrupts it."""


class Loaded(Struct, frozen=True):
    """What loading did: cache is loaded | stored | bypassed."""

    cache: str
    rules: int
    milliseconds: int


class Kingfisher:
    """The engine on `kingfisher_sdk`. `cache`: a private folder for the compiled rules, or None for none."""

    def __init__(self, cache: Path | None, rules: Path = RULES) -> None:
        self._cache, self._rules = cache, rules
        self._scanner: Scanner | None = None
        self._tried = anyio.Event()

    @property
    def loaded(self) -> bool:
        """Whether `scan` can be called."""
        return self._scanner is not None

    async def ready(self) -> None:
        """Wait for the first attempt to load; raises `GatewayError` if there is no scanner after it."""
        if self._scanner is None:
            await self._tried.wait()
        if self._scanner is None:
            raise GatewayError("the secret scanner could not load its rules; it is tried again")

    async def load(self) -> None:
        """Load off the loop, again and again until it succeeds. Run it in a task group when the gateway starts."""
        failures = 0
        while self._scanner is None:
            try:
                await anyio.to_thread.run_sync(self.build, abandon_on_cancel=True)
            except GatewayError:
                delay = RETRY[min(failures, len(RETRY) - 1)]
                failures += 1
                self._tried.set()
                await anyio.sleep(delay)
        self._tried.set()

    def build(self) -> Loaded:
        """Load the rules here and now (0.3 s from the cache, 5 s without); raises `GatewayError` if they can't be."""
        began = time.perf_counter()
        try:
            from kingfisher_sdk import DetectionPolicy, Rules, Scanner  # 36 MB of native code: not on the loop

            folder = None if self._cache is None else str(self._cache)
            rules = Rules([self._rules], confidence="medium", cache=folder is not None, cache_dir=folder)
            policy = DetectionPolicy(inline_ignores=False, markup_context=False, cli_match_semantics=False)
            self._scanner = Scanner(rules, base64=False, dedup=False, policy=policy)
        except (ImportError, OSError, ValueError, TypeError, RuntimeError) as problem:
            raise GatewayError(f"the secret scanner could not load its rules: {type(problem).__name__}") from None
        return Loaded(rules.cache_status, len(rules), int((time.perf_counter() - began) * 1000))

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        """Find secrets in UTF-8 bytes. Raises `GatewayError` if it is not loaded, is interrupted or breaks."""
        if self._scanner is None:
            raise GatewayError("the secret scanner is not loaded")
        if data.count(b"PRIVATE KEY-----") > MOST_KEYS:
            raise GatewayError("the secret scanner does not take so many key blocks")
        if data.startswith(OTHER_ENCODINGS):
            data = b"  " + data[2:]  # else it is read as UTF-16, and nothing is found
        try:
            found = self._scanner.scan(data, timeout=timeout if len(data) > UNTIMED else None)
        except (TimeoutError, RuntimeError, ValueError) as problem:
            raise GatewayError(f"the secret scanner failed: {type(problem).__name__}") from None
        except BaseException as problem:
            if type(problem).__name__ == "PanicException":  # native code panicked; it is no Exception in Python
                raise GatewayError("the secret scanner panicked") from None
            raise
        if len(found) > MOST_FINDINGS:
            raise GatewayError("the secret scanner found more than can be told")
        spans = []
        for finding in found:
            kind, where = slug(finding.rule_id), finding.location
            secret, start, end = finding.secret.encode(), where["start_offset"], where["end_offset"]
            if end > start and secret and (finding.visible or kind not in IDENTIFIERS):
                kind = kind_of(kind, data[max(0, start - KEY) : start], secret)
                if kind:
                    spans.append(Span(start, end, kind, secret))
        return surest(spans) if len(spans) > 1 else spans


def cache_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """The folder for compiled rules: `WARDGATE_CACHE`, else the user's cache folder. Made with mode 0700 if missing.

    None (no cache: a slower start) if it isn't ours alone to write: what is loaded from it is run.
    """
    folder = rules_folder(os.environ if environ is None else environ)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022
    return folder if private else None
