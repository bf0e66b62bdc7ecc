"""The `Screener` of the path: finds secrets in what upstreams answer, redacts them, and withholds where it can't.

It does not decide about calls. Whatever fails here withholds; nothing is released because a check broke.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import current_thread, main_thread
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from gateway.core import posing, words
from gateway.core.canon import canonical, keyed_digest
from gateway.core.mirror import mirrored
from gateway.core.model import Finding, OutputLabel, PersonalAction, Reason, Release, Screened, SecretAction, Tier, Tool
from gateway.core.personal import is_personal
from gateway.core.render import LimitError
from gateway.core.repair import Problem, Unfit, repair
from gateway.core.screen import MAX_SPANS, Cleaned, Screening, screen
from gateway.core.secrets import GATEWAY_SECRET, Span, fingerprint_of
from gateway.core.tiers import Judge, judged, needs_scan, nobody, passed, redacted, shown, withheld, withholds
from gateway.core.views import look
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.screening.engine import Engine
from gateway.screening.exact import KnownSecrets
from gateway.screening.pii import Personal, PersonalData
from gateway.screening.schema import problems, stays_valid
from gateway.screening.tails import Tails
from gateway.screening.windows import windowed

INLINE = 16 * 1024  # bytes that are scanned on the loop: some 150 us; the way to a thread and back costs 300
INLINE_ALONE = 128 * 1024  # bytes that are scanned on the loop (some 0.6 ms) while no other call is in flight
AT_ONCE = 4 * 1024  # bytes of JSON that are redacted on the loop, whatever they become as lines with their paths
LIMIT = 16 * 1024 * 1024  # bytes of one value that are scanned at all, window by window
SHORT = 8 * 1024  # bytes of a short text
THREADS = 4  # scans at a time; an overrun one keeps its thread until it ends
INLINE_SPANS = 200  # findings that are dealt with on the loop
INLINE_SECONDS = 0.25  # what one scan on the loop may take
EXACT_SECONDS = 2.0  # what the exact search alone may take once the deadline has passed
TAIL = 512  # characters dropped where a short text was cut: a secret may have been cut with it

MOST_SLOW = 100  # such words in what is scanned on the loop

_SLOW = (b"passw", b"secret", b"_key", b"_token")
_NO_LABEL = OutputLabel()

T = TypeVar("T")


class _Sealed(Struct, frozen=True):
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

    def __init__(self, engine: Engine, clock: Clock, key: bytes, personal: Personal | None = None) -> None:
        self._engine, self._clock, self._key = engine, clock, key
        self._personal = personal or PersonalData()  # asked only where a label asks for it
        self._known = KnownSecrets()
        self._tails = Tails(self._known)
        self._limiter = anyio.CapacityLimiter(THREADS)
        self._last = anyio.CapacityLimiter(THREADS)  # for the exact search when overrun scans hold all threads
        self.allowed: Callable[[str], bool] = nobody  # whether a person lets a finding pass, by fingerprint
        # Hears of each secret that is found and its fingerprint: so what was seen under an earlier key is known again.
        self.fingerprinted: Callable[[bytes, str], None] = lambda secret, fingerprint: None
        self.crowd: Callable[[], int] = lambda: THREADS  # calls in flight; who builds the gateway knows better

    def know(self, name: str, value: str, kind: str = GATEWAY_SECRET) -> None:
        """Look for a secret of the gateway itself, or a honeytoken, wherever it may turn up, under every label."""
        self._known.know(name, value, kind)

    def know_for_now(self, name: str, value: str) -> None:
        """As `know`, for a secret of the gateway's own that is made again and again, as the console's keys are."""
        self._known.know_for_now(name, value)

    def recognise(self, ours: Callable[[str], bool]) -> None:
        """Look for bearer tokens of clients too, of which only hashes are kept: `ours` knows one when it sees it."""
        self._known.ours = ours

    def exact(self, value: Any, sealed: bytes = b"") -> tuple[Finding, ...]:
        """The gateway's own secrets and honeytokens in a JSON value, as findings that block; see `ports.Screener`."""
        return self._known.carried(value, sealed or repr(value).encode("utf-8", "replace"), self._fingerprint)

    def completes(self, session: str, upstream: str, value: Mapping[str, Any]) -> tuple[Finding, ...]:
        """The exact secrets that a result completes with what the session read before; see `ports.Screener`."""
        return self._tails.completes(session, upstream, value, self._fingerprint)

    def name_of(self, fingerprint: str) -> str:
        """The name under which an exact secret is known; empty for none."""
        return self._known.name_of(fingerprint, self._fingerprint)

    @property
    def known(self) -> int:
        """How many secrets of the gateway itself are searched for; it only grows."""
        return len(self._known)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Names of known secrets that are too weak to be searched for, and why; for `check` and `doctor`."""
        return self._known.left_out

    async def screen(
        self, value: Mapping[str, Any], tool: Tool | None, deadline: float, *, tainted: bool = False
    ) -> Screened:
        """Screen a result (or an error as a mapping) on every surface, at the latest by `deadline` (monotonic)."""
        label = _label(tool)
        judge = partial(judged, replace(label, strict=True) if tainted else label, self.allowed)
        try:
            await self._equip(label, deadline)
            sealed = await self._sealed(value, tool, deadline, judge)
            screened = await self._release(sealed, label, judge, tool, deadline)
        except Exception as problem:  # noqa: BLE001 - whatever breaks in a scanner, nothing is released because of it
            return await self._unscanned(value, tool, self._why(problem, deadline))
        data = b"" if screened.value is None else screened.data or sealed.data
        return replace(screened, digest=sealed.digest, data=data, recorded=sealed.recorded, poses=sealed.poses)

    async def redact(self, value: Any, deadline: float, tool: Tool | None = None) -> tuple[Any, tuple[Finding, ...]]:
        """A copy of any JSON value with every finding redacted, and what was found; raises `GatewayError` if it can't
        be had in time. `tool`: the upstream says it in a call of this tool, whose label speaks of personal data.
        """
        label = _label(tool)
        try:
            await self._equip(label, deadline)
            how = self._how(deadline, media=True, judge=partial(shown, label), label=label)
            cleaned = await self._worked(partial(_screened, value, how), deadline)
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

    async def _sealed(self, value: Mapping[str, Any], tool: Tool | None, deadline: float, judge: Judge) -> "_Sealed":
        """Screen a value and make the digests that its record needs, in which everything is redacted."""
        label = _label(tool)
        how = self._how(deadline, media=False, judge=judge, label=label)

        def work(limit: int) -> _Sealed:
            if label.pii is not PersonalAction.OFF and limit != LIMIT:
                limit = INLINE  # the search for personal data takes some 15 us for 1 KiB, and ten times that at worst
            cleaned = _screened(value, how, limit)
            sealed, told, poses = canonical(value), value, False
            if posing.suspect(sealed):
                if limit != LIMIT:
                    raise LimitError("expected nothing to mark, found words of ours")  # rare: marked in a thread
                told, poses = posing.tell_apart(value, partial(_keeps, _schema(tool, value)))
                if told is not value:
                    cleaned, told = _marked(cleaned, screen(told, how, limit), value, told)
            seen = screen(told, replace(how, judge=redacted), limit) if passed(cleaned.findings) else cleaned
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
        self, sealed: "_Sealed", label: OutputLabel, judge: Judge, tool: Tool | None, deadline: float
    ) -> Screened:
        value, cleaned = sealed.value, sealed.cleaned
        findings = cleaned.findings
        reason = withholds(findings)
        if reason is not None or not cleaned.proven:
            return Screened(Release.WITHHELD, None, withheld(findings), reason or Reason.SECRET_FOUND)
        if cleaned.value is value:
            return Screened(Release.FULL, value, findings)
        secret = any(not is_personal(finding.kind) for finding in findings)
        asked = Reason.SECRET_FOUND if secret and label.secrets is SecretAction.ASK else None
        schema = _schema(tool, value)
        # A person is asked about secrets: where personal data has to be taken out besides, the whole is no question.
        whole = value if asked and not any(is_personal(one.kind) for one in findings) else None
        if schema is None or cleaned.value.get("structuredContent") is value.get("structuredContent"):
            return Screened(Release.REDACTED, cleaned.value, findings, asked, whole=whole)
        told, fits = await self._threaded(partial(self._fitted, value, cleaned.value, schema, deadline), deadline)
        if told is cleaned.value:
            return Screened(Release.REDACTED, told, findings, asked, whole=whole)
        proven = await self._threaded(
            partial(screen, told, self._how(deadline, media=False, judge=judge, label=label), LIMIT), deadline
        )
        if proven.value is not told:  # what was taken out uncovered another finding
            return Screened(Release.WITHHELD, None, withheld(findings), Reason.SECRET_FOUND)
        reason = asked if fits else Reason.RESULT_INVALID
        return Screened(Release.REDACTED, told, findings, reason, data=canonical(told), whole=whole)

    def _fitted(
        self, before: Mapping[str, Any], after: Mapping[str, Any], schema: Any, deadline: float
    ) -> tuple[Mapping[str, Any], bool]:
        """The redacted result with structured content that fits, or an error result in its place, and which."""

        def unfit(structured: Any) -> Sequence[Problem] | None:
            self._remaining(deadline)
            return problems(structured, schema)

        structured = after["structuredContent"]
        try:
            fitted = repair(before["structuredContent"], structured, unfit)
        except Unfit:
            return words.misfit(after), False
        return (after if fitted is structured else mirrored(after, {**after, "structuredContent": fitted})), True

    def _why(self, problem: Exception, deadline: float) -> str:
        """Why an output was not scanned; see `Screened.unscanned`."""
        if isinstance(problem, LimitError):
            return "limit"
        late = isinstance(problem, TimeoutError) or self._clock.monotonic() >= deadline
        return "deadline" if late and self._engine.loaded else "failed"

    async def _unscanned(self, value: Mapping[str, Any], tool: Tool | None, why: str) -> Screened:
        """What becomes of an output that was not scanned: withheld, but for one that took too long, of tier read or
        write, whose label trusts it and asks for nothing in words: that leaves after the exact search alone, and the
        record says so.
        """
        held = Screened(Release.WITHHELD, None, (), Reason.SCANNER_FAILED, unscanned=why)
        # INVARIANT: nothing unscanned leaves at tier high or from an untrusted output, and nothing over a limit.
        if why != "deadline" or tool is None or tool.tier is Tier.HIGH or needs_scan(tool.labels.output):
            return held
        how = Screening(partial(look, find=self._known.find), self._fingerprint)

        def work() -> Screened:
            cleaned = screen(value, how, LIMIT)
            if cleaned.findings:
                findings = withheld(cleaned.findings)
                return replace(held, findings=findings, reason=Reason.EXACT_SECRET)
            told, poses = posing.tell_apart(value, partial(_keeps, _schema(tool, value)))
            sealed = canonical(told)
            digest = keyed_digest(self._key, canonical(value))
            return Screened(Release.FULL, told, (), Reason.UNSCREENED, digest, sealed, None, poses, unscanned=why)

        try:
            with anyio.fail_after(EXACT_SECONDS):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._last)
        except Exception:  # noqa: BLE001 - as above
            return held

    async def _equip(self, label: OutputLabel, deadline: float) -> None:
        """Load what finds personal data, if the label asks for it; raises `GatewayError` where it is not installed."""
        if label.pii is not PersonalAction.OFF and not self._personal.loaded:
            await self._threaded(self._personal.load, deadline)

    def _how(
        self, deadline: float, *, media: bool = True, judge: Judge = redacted, label: OutputLabel = _NO_LABEL
    ) -> Screening:
        def scan(data: bytes) -> list[Span]:
            if SHORT < len(data) <= INLINE_ALONE and current_thread() is main_thread() and _slow(data):
                raise LimitError("expected less to look into, found many words that secrets follow")
            timeout = min(self._remaining(deadline), INLINE_SECONDS if len(data) <= INLINE else math.inf)
            return self._engine.scan(data, timeout)

        def find(data: bytes) -> list[Span]:
            found = [*self._known.find(data), *windowed(scan, data)]
            if label.pii is not PersonalAction.OFF:
                found += self._personal.find(data, partial(self._remaining, deadline))
            return found

        return Screening(partial(look, find=find), self._fingerprint, media, judge)

    def _remaining(self, deadline: float) -> float:
        remaining = deadline - self._clock.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return min(remaining, 3600.0)

    def _fingerprint(self, secret: bytes) -> str:
        made = fingerprint_of(self._key, secret)
        self.fingerprinted(secret, made)
        return made


def _slow(data: bytes) -> bool:
    """Whether the engine takes milliseconds for each KiB of it: many words after which it has to look for a secret."""
    plain = data.lower()
    return sum(map(plain.count, _SLOW)) > MOST_SLOW


def _screened(value: Any, how: Screening, limit: int) -> Cleaned:
    """As `screen`; on the loop only what holds little."""
    return screen(value, how, limit, MAX_SPANS if limit == LIMIT else INLINE_SPANS)


def _proven(cleaned: Cleaned) -> tuple[Any, tuple[Finding, ...]]:
    if not cleaned.proven:
        raise GatewayError("the value could not be screened: secrets remain")
    return cleaned.value, cleaned.findings


def _label(tool: Tool | None) -> OutputLabel:
    return _NO_LABEL if tool is None else tool.labels.output


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
