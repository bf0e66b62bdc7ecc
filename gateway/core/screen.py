"""Screen a JSON value: find what a scanner finds in it, redact it in place, and prove it by looking again.

No I/O here and no scanner: `find` is handed in. Nothing that is returned, raised or printed holds a secret.
"""

import base64
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.model import Finding
from gateway.core.render import Form, LimitError, Path, Rendering, render
from gateway.core.secrets import Numbers, Span, identity, merge, spread, unmarked

ROUNDS = 4  # a redaction may uncover another finding; after this many it is withheld
MAX_SPANS = 10_000  # findings in one value; more is no result to be repaired
MAX_FINDINGS = 200  # distinct findings that are reported

Find = Callable[[bytes], Sequence[Span]]
Fingerprint = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Screening:
    """How a value is screened: what finds, what fingerprints, what is looked at and what is redacted."""

    find: Find
    fingerprint: Fingerprint
    media: bool = False  # look into the data of image and audio blocks too
    exact_only: bool = False  # redact only the gateway's own secrets; findings tell of all


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A value without its secrets (the same object if nothing was redacted).

    `proven` is False if it still holds one, and then it must not be used.
    """

    value: Any
    findings: tuple[Finding, ...] = ()
    proven: bool = True


def screen(value: object, how: Screening, limit: int) -> Cleaned:
    """Redact every secret in a value. Raises `LimitError` for more than `limit` bytes, and whatever `find` raises."""
    numbers, findings = Numbers(), dict[Finding, None]()
    for turn in range(ROUNDS):
        rendering = render(value, media=how.media, limit=limit)
        spans = unmarked(how.find(rendering.data), rendering.data)
        if turn == 0 and not spans:
            return Cleaned(value)
        if len(spans) > MAX_SPANS:
            raise LimitError(f"expected at most {MAX_SPANS} findings in one value, found {len(spans)}")
        spans = spread(spans, rendering.data)
        wanted = [span for span in spans if span.exact] if how.exact_only else spans
        hits = _hits(rendering, wanted)
        told = _hits(rendering, spans) if turn == 0 else hits
        if turn and any(rendering.leaf(number).form is Form.KEY for number in told):
            findings = {replace(finding, place="*"): None for finding in findings}  # places may name that key
        findings.update(dict.fromkeys(_describe(told, rendering, how.fingerprint, first=turn == 0)))
        if not wanted:
            return Cleaned(value, tuple(findings)[:MAX_FINDINGS])
        value = _redact(value, rendering, hits, numbers)
    return Cleaned(value, tuple(findings)[:MAX_FINDINGS], proven=False)


def _hits(rendering: Rendering, spans: Iterable[Span]) -> dict[int, list[Span]]:
    """The spans by leaf, in bytes of the leaf, united where they overlap there."""
    found: dict[int, list[Span]] = {}
    for span in spans:
        for leaf, start, end in rendering.locate(span.start, span.end):
            found.setdefault(leaf, []).append(Span(start, end, span.kind, span.secret, span.exact))
    return {leaf: merge(found[leaf]) for leaf in sorted(found)}


def _describe(
    hits: Mapping[int, Sequence[Span]], rendering: Rendering, fingerprint: Fingerprint, *, first: bool
) -> Iterable[Finding]:
    """A finding per secret and place. No place shows a key that holds a secret; later rounds tell only the surface."""
    hidden = {str(leaf.path[-1]) for leaf in map(rendering.leaf, hits) if leaf.form is Form.KEY}
    for number, spans in hits.items():
        path = rendering.leaf(number).path
        where = place(path if first else path[:1], hidden)
        for span in spans:
            yield Finding(span.kind, where, fingerprint(identity(span.secret)), span.exact)


def place(path: Path, hidden: Container[str] = ()) -> str:
    """A path as people write it: `content[0].text`; hidden and overlong keys are `*`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." + ("*" if len(step) > 64 or step in hidden else step)
    return text.removeprefix(".")


@dataclass(slots=True)
class _Edit:
    """What changes below one point of the value."""

    text: str | None = None
    below: "dict[str | int, _Edit]" = field(default_factory=dict)

    def at(self, path: Path) -> "_Edit":
        """The edit of the point that a path leads to, made where there is none."""
        edit = self
        for step in path:
            edit = edit.below.setdefault(step, _Edit())
        return edit


def _redact(value: object, rendering: Rendering, hits: Mapping[int, Sequence[Span]], numbers: Numbers) -> object:
    root, keys = _Edit(), dict[str, str]()
    for number, spans in hits.items():
        leaf = rendering.leaf(number)
        data = _splice(leaf.data, spans, numbers)
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
