"""Screen a JSON value: find what a scanner finds in it, redact it in place, and prove it by looking again.

No I/O here and no scanner: `find` is handed in. Nothing that is returned, raised or printed holds a secret.
"""

import base64
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.grading import grade
from gateway.core.mirror import mirrored
from gateway.core.model import Act, Finding, Grade
from gateway.core.personal import is_personal
from gateway.core.render import Form, LimitError, Path, Rendering, render
from gateway.core.secrets import Numbers, Span, identity, merge, spread, unmarked
from gateway.core.tiers import PASSES, Judge, redacted

ROUNDS = 4  # a redaction may uncover another finding; after this many it is withheld
MAX_SPANS = 10_000  # findings in one value; more is no result to be repaired
MAX_FINDINGS = 200  # distinct findings that are reported

Find = Callable[[bytes], Sequence[Span]]
Fingerprint = Callable[[bytes], str]
_STRENGTH = {Grade.EXACT: 2, Grade.VENDOR: 1, Grade.GENERIC: 0}


class Screening(Struct, frozen=True):
    """How a value is screened: what finds, what fingerprints, what is looked at and what becomes of a finding."""

    find: Find
    fingerprint: Fingerprint
    media: bool = False  # look into the data of image and audio blocks too
    judge: Judge = redacted


class Cleaned(Struct, frozen=True):
    """A value without the secrets that don't pass (the same object if nothing was redacted).

    `proven` is False if it still holds one of those, and then it must not be used.
    """

    value: Any
    findings: tuple[Finding, ...] = ()
    proven: bool = True


class _Hit(NamedTuple):
    """What was found at one place of a leaf, in bytes of the leaf, and what becomes of it."""

    span: Span
    grade: Grade
    fingerprint: str
    act: Act


_Hits = Mapping[int, Sequence[_Hit]]  # by leaf


def screen(value: object, how: Screening, limit: int, most: int = MAX_SPANS) -> Cleaned:
    """Redact every secret in a value that doesn't pass. Raises `LimitError` for more than `limit` bytes or `most`
    findings, and whatever `find` raises.
    """
    before, numbers, findings = value, Numbers(), dict[Finding, None]()
    for turn in range(ROUNDS):
        rendering = render(value, media=how.media, limit=limit)
        spans = unmarked(how.find(rendering.data), rendering.data)
        if turn == 0 and not spans:
            return Cleaned(value)
        if len(spans) > most:
            raise LimitError(f"expected at most {most} findings in one value, found {len(spans)}")
        spans = spread(spans, rendering.data, most)
        if len(spans) > 2 * most:
            raise LimitError(f"expected at most {most} places of findings in one value, found more")
        hits = _hits(rendering, spans, how)
        wanted = _only(hits, lambda hit: hit.act not in PASSES)
        told = _only(hits, partial(_is_news, {finding.fingerprint for finding in findings}))
        if turn and any(rendering.leaf(number).form is Form.KEY for number in told):
            findings = {replace(finding, place="*"): None for finding in findings}  # places may name that key
        findings.update(dict.fromkeys(_describe(told, rendering, first=turn == 0)))
        if not wanted and not _stray(rendering, spans, how):
            return Cleaned(value, _most(findings))
        value = _redact(value, rendering, wanted, numbers)
        if turn == 0:
            value = mirrored(before, value)
    return Cleaned(value, _most(findings), proven=False)


def _most(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that are reported: the gateway's own before all others, for they decide most, and secrets before
    personal data, for they are followed.
    """
    told = tuple(findings)
    return told if len(told) <= MAX_FINDINGS else tuple(sorted(told, key=_weight))[:MAX_FINDINGS]


def _weight(finding: Finding) -> tuple[bool, bool]:
    return not finding.exact, is_personal(finding.kind)


def _hits(rendering: Rendering, spans: Iterable[Span], how: Screening) -> _Hits:
    """What was found by leaf, united where it overlaps there, and judged as a whole: by its strongest part."""
    found: dict[int, list[Span]] = {}
    for span in spans:
        for leaf, start, end in rendering.locate(span.start, span.end):
            found.setdefault(leaf, []).append(Span(start, end, span.kind, span.secret, span.exact))
    return {leaf: _judged(found[leaf], how) for leaf in sorted(found)}


def _judged(spans: Sequence[Span], how: Screening) -> list[_Hit]:
    """What was found in a leaf, united. A union passes only where each of its parts does, or lies within what passes:
    one run of base64 may hold what a person allowed, and a secret beside it.
    """
    parts, hits = sorted(spans, key=_begin), list[_Hit]()
    for span in _united(spans):
        hit = _judge(span, how)
        if hit.act in PASSES:
            inside = parts[bisect_left(parts, span.start, key=_begin) : bisect_left(parts, span.end, key=_begin)]
            others = (_judge(part, how) for part in inside if part.secret not in span.secret)
            barred = next((other for other in others if other.act not in PASSES), hit)
            hit = barred._replace(span=replace(barred.span, start=span.start, end=span.end))
        hits.append(hit)
    return hits


def _stray(rendering: Rendering, spans: Iterable[Span], how: Screening) -> bool:
    """Whether something that may not pass was found where no leaf is: it can't be redacted."""
    strays = (span for span in spans if not any(rendering.locate(span.start, span.end)))
    return any(_judge(span, how).act not in PASSES for span in strays)


def _united(spans: Sequence[Span]) -> Iterable[Span]:
    """Unite what overlaps; a union is named after the best of its surest parts."""
    grades = {grade(span.kind, span.exact) for span in spans}
    united = merge(spans)
    if len(grades) == 1:
        return united
    for sure in sorted(grades, key=_STRENGTH.__getitem__):
        named = merge(span for span in spans if grade(span.kind, span.exact) is sure)
        united = [_named(span, named) for span in united]
    return united


def _named(span: Span, parts: Sequence[Span]) -> Span:
    """A union named after the longest of the parts that it covers."""
    low = bisect_left(parts, span.start, key=_begin)
    inside = [part for part in parts[low : bisect_left(parts, span.end, key=_begin)] if part.end <= span.end]
    best = max(inside, key=lambda part: part.end - part.start, default=span)
    return replace(span, kind=best.kind, secret=best.secret, exact=best.exact)


def _begin(span: Span) -> int:
    return span.start


def _judge(span: Span, how: Screening) -> _Hit:
    sure, fingerprint = grade(span.kind, span.exact), how.fingerprint(identity(span.secret))
    return _Hit(span, sure, fingerprint, how.judge(span.kind, sure, fingerprint))


def _only(hits: _Hits, wanted: Callable[[_Hit], bool]) -> _Hits:
    """Those hits of which a claim holds."""
    kept = {leaf: [hit for hit in found if wanted(hit)] for leaf, found in hits.items()}
    return {leaf: found for leaf, found in kept.items() if found}


def _is_news(known: Container[str], hit: _Hit) -> bool:
    """Whether a hit is to be told: what passes is there again in each round."""
    return hit.act not in PASSES or hit.fingerprint not in known


def _describe(hits: _Hits, rendering: Rendering, *, first: bool) -> Iterable[Finding]:
    """A finding per secret and place. No place shows a key that holds a secret; later rounds tell only the surface."""
    hidden = {str(leaf.path[-1]) for leaf in map(rendering.leaf, hits) if leaf.form is Form.KEY}
    for number, found in hits.items():
        path = rendering.leaf(number).path
        where = place(path if first else path[:1], hidden)
        for hit in found:
            yield Finding(hit.span.kind, where, hit.fingerprint, hit.span.exact, hit.grade, hit.act)


def place(path: Path, hidden: Container[str] = ()) -> str:
    """A path as people write it: `content[0].text`; hidden and overlong keys are `*`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." + ("*" if len(step) > 64 or step in hidden else step)
    return text.removeprefix(".")


class _Edit(Struct):
    """What changes below one point of the value."""

    text: str | None = None
    below: "dict[str | int, _Edit]" = field(default_factory=dict)

    def at(self, path: Path) -> "_Edit":
        """The edit of the point that a path leads to, made where there is none."""
        edit = self
        for step in path:
            edit = edit.below.setdefault(step, _Edit())
        return edit


def _redact(value: object, rendering: Rendering, hits: _Hits, numbers: Numbers) -> object:
    root, keys = _Edit(), dict[str, str]()
    for number, found in hits.items():
        leaf = rendering.leaf(number)
        data = _splice(leaf.data, [hit.span for hit in found], numbers)
        if leaf.form is Form.KEY:
            keys[str(leaf.path[-1])] = data.decode("utf-8", "replace")
        elif leaf.form is Form.BLOB:
            root.at(leaf.path).text = base64.b64encode(data).decode("ascii")
        else:
            root.at(leaf.path).text = data.decode("utf-8", "replace")
    value = _rebuild(value, root) if root.below or root.text is not None else value
    return _rename(value, keys) if keys else value


def _splice(data: bytes, spans: Sequence[Span], numbers: Numbers) -> bytes:
    done, parts = 0, list[bytes]()
    for span in spans:
        parts += [data[done : span.start], numbers.marker(span)]
        done = span.end
    return b"".join([*parts, data[done:]])


def _rebuild(value: Any, edit: _Edit) -> object:
    """A copy along the edited paths, which lead through objects and arrays; everything else is the very same object."""
    if edit.text is not None:
        return edit.text
    if isinstance(value, Mapping):
        return {key: _rebuild(item, edit.below[key]) if key in edit.below else item for key, item in value.items()}
    return [_rebuild(item, edit.below[at]) if at in edit.below else item for at, item in enumerate(value)]


def _rename(value: object, keys: Mapping[str, str]) -> object:
    """Rename keys wherever they stand; a name that is taken gets underscores."""
    if isinstance(value, Mapping):
        out: dict[str, object] = {}
        for key, item in value.items():
            name = keys.get(key, key)
            while name != key and (name in out or name in value):
                name += "_"
            out[name] = _rename(item, keys)
        return out
    if isinstance(value, list | tuple):
        return [_rename(item, keys) for item in value]
    return value
