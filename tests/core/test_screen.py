"""A value is walked on every surface, redacted in place, and looked at again."""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canon import canonical
from gateway.core.model import Act, Grade
from gateway.core.render import MAX_DEPTH, SEAM, LimitError, render
from gateway.core.screen import MAX_FINDINGS, MAX_SPANS, ROUNDS, Cleaned, Find, Screening, place, screen
from gateway.core.secrets import Span

LIMIT = 1_000_000
SHAPE = re.compile(rb"tok_[0-9a-f]{12}")


def find(data: bytes) -> list[Span]:
    """A scanner that knows one shape."""
    return [Span(*match.span(), "tok", match[0]) for match in SHAPE.finditer(data)]


def made(number: int) -> str:
    return f"tok_{number:012x}"


def run(value: object, finder: Find = find, **how: Any) -> Cleaned:
    return screen(value, Screening(finder, lambda secret: f"fp-{secret[-4:].decode()}", **how), LIMIT)


def block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def blob(data: bytes) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": "x://y", "blob": base64.b64encode(data).decode()}}


T, M = made(1), "[REDACTED:tok:1]"
SURFACES: dict[str, tuple[object, object, str]] = {
    "text": ({"content": [block(f"a {T} b")]}, {"content": [block(f"a {M} b")]}, "content[0].text"),
    "structured": (
        {"structuredContent": {"user": {"k": T}}},
        {"structuredContent": {"user": {"k": M}}},
        "structuredContent.user.k",
    ),
    "list": ({"structuredContent": {"l": [1, T]}}, {"structuredContent": {"l": [1, M]}}, "structuredContent.l[1]"),
    "tuple": ({"l": (1, T)}, {"l": [1, M]}, "l[1]"),
    "key": ({"structuredContent": {f"x{T}": 1}}, {"structuredContent": {f"x{M}": 1}}, "structuredContent.*"),
    "meta": ({"_meta": {"vendor/x": T}}, {"_meta": {"vendor/x": M}}, "_meta.vendor/x"),
    "vendor field": ({"vendor": T, "n": None}, {"vendor": M, "n": None}, "vendor"),
    "link": (
        {"content": [{"type": "resource_link", "uri": T}]},
        {"content": [{"type": "resource_link", "uri": M}]},
        "content[0].uri",
    ),
    "resource text": ({"resource": {"text": T}}, {"resource": {"text": M}}, "resource.text"),
    "blob of text": (
        {"content": [blob(f"é {T}".encode())]},
        {"content": [blob(f"é {M}".encode())]},
        "content[0].resource.blob",
    ),
    "blob of bytes": (
        {"content": [blob(b"\xff\0" + T.encode())]},
        {"content": [blob(b"\xff\0" + M.encode())]},
        "content[0].resource.blob",
    ),
    "blob that is none": ({"blob": f"! {T}"}, {"blob": f"! {M}"}, "blob"),
    "text that is no string": ({"text": [T]}, {"text": [M]}, "text[0]"),
    "error": (
        {"code": 1, "message": f"bad {T}", "data": {"d": T}},
        {"code": 1, "message": f"bad {M}", "data": {"d": M}},
        "message",
    ),
    "image that is text": (
        {"content": [{"type": "image", "data": f"data {T}"}]},
        {"content": [{"type": "image", "data": f"data {M}"}]},
        "content[0].data",
    ),
    "type": ({"type": T}, {"type": M}, "type"),
    "bare string": (T, M, ""),
    "characters of many bytes": ({"text": f"é😀{T}é"}, {"text": f"é😀{M}é"}, "text"),
    "lone surrogate": ({"text": f"\udc80{T}"}, {"text": f"?{M}"}, "text"),
}


@pytest.mark.parametrize(("value", "expected", "where"), SURFACES.values(), ids=SURFACES.keys())
def test_a_secret_is_redacted_on_every_surface(value: object, expected: object, where: str) -> None:
    cleaned = run(value)
    assert cleaned.value == expected
    assert cleaned.proven
    assert cleaned.findings[0].place == where
    assert cleaned.findings[0].kind == "tok"
    assert cleaned.findings[0].fingerprint == "fp-0001"


@pytest.mark.parametrize(
    "value", [{"content": [block("fine"), {"type": "x"}], "n": 1}, None, 3, "", {"text": "", "blob": ""}]
)
def test_a_clean_value_is_the_same_object(value: object) -> None:
    cleaned = run(value)
    assert cleaned.value is value
    assert cleaned.findings == ()


def test_a_blob_that_is_a_secret_as_it_stands_is_redacted() -> None:
    secret = "AbCdEfGh01234567"  # valid base64, of nothing

    def bare(data: bytes) -> list[Span]:
        at = data.find(secret.encode())
        return [Span(at, at + len(secret), "tok", secret.encode())] if at >= 0 else []

    assert run({"blob": secret}, bare).value == {"blob": M}


def test_a_long_blob_is_screened_as_what_it_decodes_to() -> None:
    data = b"x" * 2_000 + T.encode()
    cleaned = run({"blob": base64.b64encode(data).decode()})
    assert base64.b64decode(cleaned.value["blob"]) == b"x" * 2_000 + M.encode()


def test_untouched_parts_are_the_same_objects() -> None:
    kept = {"deep": [1, {"x": "y"}]}
    cleaned = run({"content": [block(T), kept], "_meta": kept})
    assert cleaned.value["_meta"] is kept
    assert cleaned.value["content"][1] is kept


def test_secrets_are_numbered_within_the_result() -> None:
    other = made(2)
    cleaned = run({"content": [block(f"{other} {T} {other}")], "structuredContent": {"a": T}})
    assert cleaned.value["content"][0]["text"] == "[REDACTED:tok:1] [REDACTED:tok:2] [REDACTED:tok:1]"
    assert cleaned.value["structuredContent"]["a"] == "[REDACTED:tok:2]"
    assert len(cleaned.findings) == 3


def test_a_secret_cut_over_text_blocks_is_redacted_in_all_of_them() -> None:
    cleaned = run({"content": [block(f"a {T[:5]}"), block(T[5:9]), block(f"{T[9:]} b"), {"type": "x"}, block("c")]})
    assert [item.get("text") for item in cleaned.value["content"]] == [f"a {M}", M, f"{M} b", None, "c"]


def test_a_secret_cut_between_long_blocks_is_found_and_one_in_their_middle_too() -> None:
    long = "é" * SEAM * 2
    cleaned = run({"content": [block(f"{long}{made(2)}{long}{T[:7]}"), block(f"{T[7:]}{long}")]})
    first, second = (item["text"] for item in cleaned.value["content"])
    assert first == f"{long}[REDACTED:tok:1]{long}[REDACTED:tok:2]"
    assert second == f"[REDACTED:tok:2]{long}"


def test_blocks_apart_are_not_joined() -> None:
    cleaned = run({"content": [block(T[:5]), {"type": "image"}, block(T[5:])]})
    assert cleaned.findings == ()


def test_image_data_is_looked_into_only_when_asked() -> None:
    value = {"content": [{"type": "image", "data": "QUJD" * 30}]}
    seen: list[bytes] = []

    def watch(data: bytes) -> list[Span]:
        seen.append(data)
        return []

    run(value, watch)
    run(value, watch, media=True)
    assert b"QUJD" not in seen[0]
    assert b"QUJD" in seen[1]


def test_structured_leaves_are_shown_with_their_keys() -> None:
    rendering = render({"aws_key": {"id": "x"}, "list_of": ["y"]}, media=False, limit=LIMIT)
    assert rendering.data == b'aws_key\nid\nid = "x"\nlist_of\nlist_of = "y"\n'
    assert "aws" not in repr(rendering)
    assert repr(rendering.leaf(2)) == "Leaf(text, 1 bytes)"


def test_a_range_over_several_leaves_takes_values_but_never_keys() -> None:
    rendering = render({"one": "AAAA", "two": "BBBB"}, media=False, limit=LIMIT)
    covered = list(rendering.locate(0, len(rendering.data)))
    assert [rendering.leaf(leaf).data for leaf, _, _ in covered] == [b"AAAA", b"BBBB"]
    assert list(rendering.locate(1, 3)) == [(0, 1, 3)]


def test_a_renamed_key_never_hides_another() -> None:
    cleaned = run({"a": {T: 1, M: 2}, "b": [{T: {T: 3}}]})
    assert cleaned.value == {"a": {f"{M}_": 1, M: 2}, "b": [{M: {M: 3}}]}


def test_screening_again_changes_nothing() -> None:
    once = run({"content": [block(f"a {T}")], "structuredContent": {T: T}}).value
    assert run(once).value is once


def test_what_a_redaction_uncovers_is_redacted_too() -> None:
    other = made(2)

    def shy(data: bytes) -> list[Span]:
        return [span for span in find(data) if span.secret == T.encode() or T.encode() not in data]

    cleaned = run({"a": T, "b": {other: other}}, shy)
    assert cleaned.value == {"a": M, "b": {"[REDACTED:tok:2]": "[REDACTED:tok:2]"}}
    assert {finding.place for finding in cleaned.findings} == {"*", "b"}  # no key that was found late is told


def test_what_can_not_be_redacted_is_not_proven() -> None:
    def stubborn(data: bytes) -> list[Span]:
        return [Span(0, 1, "x", b"?", exact=True)]

    cleaned = run({"text": "abc"}, stubborn)
    assert not cleaned.proven
    assert cleaned.findings[0].exact


def test_a_span_that_no_leaf_owns_is_not_proven() -> None:
    assert not run({"content": "x"}, lambda data: [Span(0, 7, "x", b"content")]).proven
    assert ROUNDS > 1


OWN = b"own-secret-77"


def both(data: bytes) -> Sequence[Span]:
    """A scanner that knows one shape, and one secret of the gateway's own."""
    at = data.find(OWN)
    return [*find(data), *([Span(at, at + len(OWN), "gateway-secret", OWN, exact=True)] if at >= 0 else [])]


def lenient(kind: str, grade: Grade, fingerprint: str) -> Act:
    """A judge that lets pass all but exact findings."""
    return Act.REDACTED if grade is Grade.EXACT else Act.ALLOWED


def test_what_the_judge_lets_pass_is_told_and_stays() -> None:
    cleaned = run({"text": f"{T} {OWN.decode()}"}, both, judge=lenient)
    assert cleaned.value == {"text": f"{T} [REDACTED:gateway-secret:1]"}
    assert {(finding.kind, finding.exact, finding.grade, finding.act) for finding in cleaned.findings} == {
        ("tok", False, Grade.VENDOR, Act.ALLOWED),
        ("gateway-secret", True, Grade.EXACT, Act.REDACTED),
    }
    assert cleaned.proven
    kept = {"text": T, T: 1}
    cleaned = run(kept, both, judge=lenient)
    assert cleaned.value is kept
    assert [finding.place for finding in cleaned.findings] == ["text", "*"]


def test_what_passes_and_was_uncovered_late_is_told_too() -> None:
    def shy(data: bytes) -> list[Span]:
        return [span for span in both(data) if span.exact or OWN not in data]

    cleaned = run({"a": OWN.decode(), "b": {"c": T}}, shy, judge=lenient)
    assert cleaned.value == {"a": "[REDACTED:gateway-secret:1]", "b": {"c": T}}
    assert [(finding.kind, finding.place) for finding in cleaned.findings] == [("gateway-secret", "a"), ("tok", "b")]


def test_what_passes_where_no_leaf_is_asks_for_no_redaction() -> None:
    cleaned = run({"content": "x"}, lambda data: [Span(0, 7, "x", b"content")], judge=lenient)
    assert cleaned == Cleaned({"content": "x"})


def test_a_union_is_judged_by_its_surest_part_and_named_after_it() -> None:
    def wide(data: bytes) -> list[Span]:
        spans = find(data)
        return [
            *spans,
            *(Span(one.start - 4, one.end + 4, "generic-secret", data[one.start - 4 : one.end + 4]) for one in spans),
        ]

    def strict(kind: str, grade: Grade, fingerprint: str) -> Act:
        return Act.FLAGGED if grade is Grade.GENERIC else Act.REDACTED

    cleaned = run({"text": f"aaaaa{T}bbbbb"}, wide, judge=strict)
    assert cleaned.value == {"text": f"a{M}b"}
    [finding] = cleaned.findings
    assert (finding.kind, finding.grade, finding.act, finding.fingerprint) == (
        "tok",
        Grade.VENDOR,
        Act.REDACTED,
        "fp-0001",
    )
    alone = run(
        {"text": "key = x", "k": T}, lambda data: [Span(6, 7, "generic-secret", b"x"), *find(data)], judge=strict
    )
    assert alone.value == {"text": "key = x", "k": M}
    assert [finding.act for finding in alone.findings] == [Act.FLAGGED, Act.REDACTED]


def test_of_more_findings_than_are_told_the_gateways_own_are_told_first() -> None:
    cleaned = run({"l": [*(made(number) for number in range(MAX_FINDINGS + 9)), OWN.decode()]}, both)
    assert len(cleaned.findings) == MAX_FINDINGS
    assert cleaned.findings[0].exact


def nest(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        nest(MAX_DEPTH + 2),
        {"text": "x" * LIMIT},
        {1: "x"},
        {"content": [block("x" * 400_000)] * 2 + [block("y" * 9_000)] * 25},
    ],
)
def test_beyond_a_limit_it_is_refused(value: object) -> None:
    with pytest.raises(LimitError):
        run(value)


def test_the_seams_count_too() -> None:
    with pytest.raises(LimitError):
        render({"content": [block("x" * 8_000)] * 2}, media=False, limit=20_000)


def test_at_the_limit_it_is_screened() -> None:
    assert run(nest(MAX_DEPTH)).proven
    assert run({"text": "x" * (LIMIT - 1)}).proven


def test_more_findings_than_can_be_repaired_are_refused_and_what_is_told_is_bounded() -> None:
    with pytest.raises(LimitError):
        run({"text": "x"}, lambda data: [Span(0, 1, "k", b"x")] * (MAX_SPANS + 1))
    cleaned = run({"l": [made(number) for number in range(MAX_FINDINGS + 9)]})
    assert len(cleaned.findings) == MAX_FINDINGS
    assert cleaned.proven


@pytest.mark.parametrize(
    ("path", "text"), [(("a", 0, "b"), "a[0].b"), ((), ""), (("k" * 65, "h"), "*.*"), ((0,), "[0]")]
)
def test_a_place_reads_like_a_path(path: tuple[str | int, ...], text: str) -> None:
    assert place(path, {"h"}) == text


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=12),
    st.integers(0, 9).map(made),
    st.tuples(st.text(max_size=8), st.integers(0, 9)).map(lambda pair: f"{pair[0]} {made(pair[1])} x"),
)
keys = st.one_of(
    st.text(max_size=6), st.sampled_from(["text", "blob", "type", "data", "content"]), st.integers(0, 9).map(made)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


def leaf_objects(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in leaf_objects(item)]
    return [leaf for item in value for leaf in leaf_objects(item)] if isinstance(value, list) else [value]


@given(st.dictionaries(keys, values, max_size=5))
def test_no_planted_token_is_left_and_the_rest_stays(value: dict[str, object]) -> None:
    before = json.dumps(value)
    cleaned = run(value)
    assert cleaned.proven
    assert not SHAPE.search(canonical(cleaned.value))
    assert json.dumps(value) == before  # the original is not touched
    pairs = zip(leaf_objects(value), leaf_objects(cleaned.value), strict=True)
    assert all(old is new for old, new in pairs if not isinstance(old, str) or not SHAPE.search(old.encode()))
    assert all(not SHAPE.search(f"{finding.place}{finding.fingerprint}".encode()) for finding in cleaned.findings)
    assert run(cleaned.value).value is cleaned.value
    if not cleaned.findings:
        assert cleaned.value is value


def test_the_finder_gets_utf8_only() -> None:
    def strict(data: bytes) -> list[Span]:
        data.decode("utf-8")
        return []

    checks: list[Callable[[], Cleaned]] = [
        lambda: run({"text": "\ud800x"}, strict),
        lambda: run({"content": [blob(b"\xff\xfe\x80abc")]}, strict),
        lambda: run({"content": [block("😀" * SEAM), block("é" * SEAM * 3)]}, strict),
    ]
    assert all(check().proven for check in checks)
