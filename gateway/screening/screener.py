"""The `Screener` of the path: finds secrets in what upstreams answer, redacts them, and withholds where it can't.

It does not decide about calls. Whatever fails here withholds; nothing is released because a check broke.
"""

import hmac
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from gateway.core import posing
from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Finding, Reason, Release, Screened, SecretAction, Tool
from gateway.core.render import LimitError
from gateway.core.screen import Cleaned, Screening, screen
from gateway.core.secrets import FINGERPRINT, Span
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.screening.engine import Engine
from gateway.screening.exact import KnownSecrets
from gateway.screening.schema import stays_valid

INLINE = 16 * 1024  # bytes that are scanned on the loop: some 150 us; the way to a thread and back costs 300
INLINE_ALONE = 128 * 1024  # bytes that are scanned on the loop (some 0.6 ms) while no other call is in flight
AT_ONCE = 4 * 1024  # bytes of JSON that are redacted on the loop, whatever they become as lines with their paths
LIMIT = 16 * 1024 * 1024  # bytes of one value that are scanned at all
SHORT = 8 * 1024  # bytes of a short text
THREADS = 4  # scans at a time; an overrun one keeps its thread until it ends
INLINE_SECONDS = 0.25  # what one scan on the loop may take
TAIL = 512  # characters dropped where a short text was cut: a secret may have been cut with it

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A screened value with what its record needs; see `Screened`. `value` is what was screened, with what poses as
    the gateway's own words marked.
    """

    value: Mapping[str, Any]
    poses: bool
    cleaned: Cleaned
    digest: str
    data: bytes
    recorded: Any


class Screener:
    """Screens with an engine and the exact search; implements `gateway.ports.Screener`.

    `key` makes the fingerprints: the same secret has the same one, and without the key it can't be guessed from it.
    """

    def __init__(self, engine: Engine, clock: Clock, key: bytes) -> None:
        self._engine, self._clock, self._key = engine, clock, key
        self._known = KnownSecrets()
        self._limiter = anyio.CapacityLimiter(THREADS)
        self.crowd: Callable[[], int] = lambda: THREADS  # calls in flight; who builds the gateway knows better

    def know(self, name: str, value: str) -> None:
        """Redact a secret of the gateway itself wherever it turns up, under every label."""
        self._known.know(name, value)

    @property
    def known(self) -> int:
        """How many secrets of the gateway itself are searched for; it only grows."""
        return len(self._known)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Names of known secrets that are too weak to be searched for, and why; for `check` and `doctor`."""
        return self._known.left_out

    async def screen(self, value: Mapping[str, Any], tool: Tool | None, deadline: float) -> Screened:
        """Screen a result (or an error as a mapping) on every surface, at the latest by `deadline` (monotonic)."""
        action = SecretAction.REDACT if tool is None else tool.labels.output.secrets
        try:
            sealed = await self._sealed(value, tool, deadline, allowed=action is SecretAction.ALLOW)
            screened = await self._release(sealed.value, sealed.cleaned, action, tool, deadline)
        except Exception:  # noqa: BLE001 - whatever breaks in a scanner, the answer is the same: nothing is released
            return Screened(Release.WITHHELD, None, (), Reason.SCANNER_FAILED)
        data = b"" if screened.value is None else sealed.data
        return replace(screened, digest=sealed.digest, data=data, recorded=sealed.recorded, poses=sealed.poses)

    async def redact(self, value: Any, deadline: float) -> tuple[Any, tuple[Finding, ...]]:
        """A copy of any JSON value with every finding redacted, and what was found; raises `GatewayError` if it can't
        be had in time.
        """
        try:
            cleaned = await self._worked(partial(screen, value, self._how(deadline, media=True)), deadline)
        except Exception as problem:  # noqa: BLE001 - as above; the text of the error may hold what was scanned
            raise GatewayError(f"the value could not be screened: {type(problem).__name__}") from None
        return _proven(cleaned)

    def redacts_at_once(self, size: int) -> bool:
        """Whether the scanner is loaded, and a value of `size` bytes as JSON is small enough for `redact_now`."""
        return size <= AT_ONCE and self._engine.loaded

    def redact_now(self, value: Any) -> tuple[Any, tuple[Finding, ...]]:
        """As `redact`, on the loop: for what `redacts_at_once`."""
        try:
            cleaned = screen(value, self._how(self._clock.monotonic() + INLINE_SECONDS), LIMIT)
        except Exception as problem:  # noqa: BLE001 - as above
            raise GatewayError(f"the value could not be screened: {type(problem).__name__}") from None
        return _proven(cleaned)

    async def clean(self, value: Any, deadline: float) -> Any:
        """The first part of `redact`: the copy alone."""
        return (await self.redact(value, deadline))[0]

    def clean_text(self, text: str) -> str:
        """A short text with every finding redacted; cut to 8 KiB, empty if it can't be screened now."""
        short = text.encode("utf-8", "replace")[:SHORT].decode("utf-8", "ignore")
        if not self._engine.loaded:
            return ""
        try:
            cleaned = screen(short, self._how(self._clock.monotonic() + INLINE_SECONDS), INLINE)
        except Exception:  # noqa: BLE001 - as above: what can't be screened is dropped
            return ""
        if not cleaned.proven:
            return ""
        kept = str(cleaned.value)
        return kept if len(short) == len(text) else kept[:-TAIL]

    async def _sealed(
        self, value: Mapping[str, Any], tool: Tool | None, deadline: float, *, allowed: bool
    ) -> "_Sealed":
        """Screen a value and make the digests that its record needs; `allowed`: findings may leave, but for our own."""
        every = self._how(deadline, media=False)
        how = self._how(deadline, media=False, exact_only=True) if allowed else every

        def work(limit: int) -> _Sealed:
            cleaned = screen(value, how, limit)
            sealed, told, poses = canonical(value), value, False
            if posing.suspect(sealed):
                if limit != LIMIT:
                    raise LimitError("expected nothing to mark, found words of ours")  # rare: marked in a thread
                told, poses = posing.tell_apart(value, partial(_keeps, _schema(tool, value)))
                cleaned, told = _marked(cleaned, screen(told, how, limit), value, told)
            seen = screen(told, every, limit) if allowed and cleaned.findings else cleaned
            data = sealed if cleaned.value is value else canonical(cleaned.value)
            recorded = seen.value if seen.proven else None
            return _Sealed(told, poses, cleaned, keyed_digest(self._key, sealed), data, recorded)

        return await self._worked(work, deadline)

    async def _worked(self, work: Callable[[int], T], deadline: float) -> T:
        """Work that takes a limit in bytes: on the loop where little has to be scanned, else in a thread."""
        if not self._engine.loaded:
            with anyio.fail_after(self._remaining(deadline)):
                await self._engine.ready()
        try:
            return work(INLINE if self.crowd() > 1 else INLINE_ALONE)
        except LimitError:
            pass  # more than is scanned on the loop: all of it goes to a thread
        return await self._threaded(partial(work, LIMIT), deadline)

    async def _threaded(self, work: Callable[[], T], deadline: float) -> T:
        """Work in a thread that is left to itself when the time is over: its own timeout is only cooperative."""
        with anyio.fail_after(self._remaining(deadline)):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)

    async def _release(
        self, value: Mapping[str, Any], cleaned: Cleaned, action: SecretAction, tool: Tool | None, deadline: float
    ) -> Screened:
        findings = cleaned.findings
        if not cleaned.proven:
            exact = any(finding.exact for finding in findings)
            return Screened(Release.WITHHELD, None, findings, Reason.EXACT_SECRET if exact else Reason.SECRET_FOUND)
        if findings and action in (SecretAction.BLOCK, SecretAction.ASK):
            return Screened(Release.WITHHELD, None, findings, Reason.SECRET_FOUND)
        if cleaned.value is value:
            return Screened(Release.FULL, value, findings)
        schema = _schema(tool, value)
        structured = cleaned.value.get("structuredContent")
        if (
            schema is not None
            and structured is not value.get("structuredContent")
            and not await self._threaded(partial(stays_valid, structured, schema), deadline)
        ):
            return Screened(Release.WITHHELD, None, findings, Reason.RESULT_INVALID)
        return Screened(Release.REDACTED, cleaned.value, findings)

    def _how(self, deadline: float, *, media: bool = True, exact_only: bool = False) -> Screening:
        def find(data: bytes) -> list[Span]:
            timeout = min(self._remaining(deadline), INLINE_SECONDS if len(data) <= INLINE else math.inf)
            return [*self._known.find(data), *self._engine.scan(data, timeout)]

        return Screening(find, self._fingerprint, media, exact_only)

    def _remaining(self, deadline: float) -> float:
        remaining = deadline - self._clock.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return min(remaining, 3600.0)

    def _fingerprint(self, secret: bytes) -> str:
        return hmac.digest(self._key, secret, "sha256").hex()[:FINGERPRINT]


def _proven(cleaned: Cleaned) -> tuple[Any, tuple[Finding, ...]]:
    if not cleaned.proven:
        raise GatewayError("the value could not be screened: secrets remain")
    return cleaned.value, cleaned.findings


def _schema(tool: Tool | None, value: Mapping[str, Any]) -> Any:
    """What the structured content of a result has to fit; None: nothing."""
    return None if tool is None or value.get("isError") else tool.definition.get("outputSchema")


def _keeps(schema: Any, structured: Any) -> bool:
    """Whether structured content fits."""
    return schema is None or stays_valid(structured, schema)


def _marked(
    plain: Cleaned, marked: Cleaned, value: Mapping[str, Any], told: Mapping[str, Any]
) -> tuple[Cleaned, Mapping[str, Any]]:
    """What was found with marks and the value that it was found in, or without: no mark may hide a secret."""
    before, after = ({finding.fingerprint for finding in each.findings} for each in (plain, marked))
    return (marked, told) if before <= after else (plain, value)
