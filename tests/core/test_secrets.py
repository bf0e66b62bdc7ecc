"""Spans, markers and the ways in which a known secret is searched for."""

import base64
import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.secrets import (
    MAX_SPREAD,
    Numbers,
    Span,
    identity,
    merge,
    parts,
    patterns,
    region,
    slug,
    spread,
    unmarked,
    weakness,
)
from tests.made import token

spans = st.builds(
    lambda start, size, kind, exact: Span(start, start + size, kind, kind.encode(), exact),
    st.integers(0, 60),
    st.integers(1, 20),
    st.sampled_from(["a", "b", "c"]),
    st.booleans(),
)


@given(st.lists(spans, max_size=12))
def test_merged_spans_are_in_order_apart_and_cover_the_same_bytes(found: list[Span]) -> None:
    merged = merge(found)
    assert all(first.end <= second.start for first, second in pairwise(merged))
    assert {at for span in merged for at in range(span.start, span.end)} == {
        at for span in found for at in range(span.start, span.end)
    }
    assert any(span.exact for span in merged) == any(span.exact for span in found)


def test_a_union_is_named_after_the_exact_then_the_longest_then_the_commonest() -> None:
    long, short, exact = Span(0, 9, "long", b"l"), Span(2, 4, "short", b"s"), Span(3, 5, "own", b"x", exact=True)
    assert merge([short, long])[0].kind == "long"
    assert merge([short, long, exact]) == [Span(0, 9, "own", b"x", exact=True)]
    assert merge([Span(0, 4, "z", b"1"), Span(0, 4, "b", b"1"), Span(0, 4, "b", b"1")])[0].kind == "b"


def test_no_repr_shows_a_secret() -> None:
    secret = token()
    assert secret not in repr(Span(0, 4, "k", secret.encode()))
    assert not any(secret in repr(pattern) for pattern in patterns(secret))


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("catalogue.github-pat", "github-pat"),
        ("some.secrets/npmtoken", "npmtoken"),
        ("catalogue.thing.1", "thing"),
        ("own.1password", "secret-1password"),
        ("plain", "plain"),
        ("x." + "long" * 20, ("long" * 20)[:23]),
    ],
)
def test_a_kind_is_a_short_slug(rule: str, kind: str) -> None:
    assert slug(rule) == kind


@given(st.text(max_size=60))
@example("0:0:0:0:0:0:0:0")
@example("")
def test_every_kind_makes_a_marker_that_is_left_alone(rule: str) -> None:
    marker = Numbers().marker(Span(0, 1, slug(rule), b"x"))
    assert unmarked([Span(0, len(marker), "k", b"y")], marker) == []


def test_the_same_secret_keeps_its_number() -> None:
    numbers = Numbers()
    markers = [numbers.marker(Span(0, 1, "k", secret)) for secret in (b"one", b"two", b"one")]
    assert markers == [b"[REDACTED:k:1]", b"[REDACTED:k:2]", b"[REDACTED:k:1]"]


def test_a_key_block_is_the_same_however_its_lines_end() -> None:
    block = b"-----BEGIN X-----\nabc\n"
    assert identity(block) == identity(block.replace(b"\n", b"\\n")) != identity(b"other")
    assert identity(b"a b") == b"a b"


def test_spans_inside_markers_are_ignored_and_exact_ones_never() -> None:
    data = b"pw=[REDACTED:k:1][REDACTED:k:1] and x"
    inside, across = Span(3, 31, "k", b"s"), Span(0, 31, "k", b"s")
    exact = Span(4, 12, "k", b"s", exact=True)
    assert unmarked([inside, across, exact], data) == [across, exact]
    assert unmarked([inside], b"nothing of ours in here, at all....") == [inside]
    assert unmarked([Span(0, 2, "k", b"pw")], data) == [Span(0, 2, "k", b"pw")]
    assert unmarked([], data) == []


def test_what_was_decoded_to_a_marker_is_ignored_unless_it_is_exact() -> None:
    decoded, exact = Span(0, 9, "k", b"[REDACTED:k:1]"), Span(0, 9, "k", b"[REDACTED:k:1]", exact=True)
    more = Span(0, 9, "k", b"x[REDACTED:k:1]")
    assert unmarked([decoded, exact, more], b"0123456789") == [exact, more]


def test_a_secret_is_found_again_without_its_context() -> None:
    data = b"key = tEl5phant-9qz3 and tEl5phant-9qz3 again"
    assert [(span.start, span.end) for span in spread([Span(6, 20, "k", data[6:20])], data)] == [
        (6, 20),
        (6, 20),
        (25, 39),
    ]


@pytest.mark.parametrize("secret", [b"hunter2", b"postgres-password"], ids=["short", "words"])
def test_what_is_short_or_a_word_is_redacted_only_where_it_was_found(secret: bytes) -> None:
    found = [Span(0, len(secret), "k", secret)]
    assert spread(found, secret + b" " + secret) == found


def test_only_so_many_secrets_are_spread() -> None:
    words = [f"secret-value-{number:04d}".encode() for number in range(MAX_SPREAD + 1)]
    data = b" ".join(words)
    found = [Span(at * 18, at * 18 + 17, "k", word) for at, word in enumerate(words)]
    assert len(spread(found, data)) == len(found) + MAX_SPREAD


def test_a_configured_value_holds_its_credential() -> None:
    secret = token()
    assert parts(f"Bearer {secret}") == (f"Bearer {secret}", secret)
    assert parts(f"postgres://app:{secret}@db/main")[1] == secret
    assert parts(secret) == (secret,)


@pytest.mark.parametrize(
    ("value", "why"),
    [("abc1234", "shorter than 8 characters"), ("production", "only words"), ("00000000000", "of low entropy")],
)
def test_weak_values_are_left_out(value: str, why: str) -> None:
    assert weakness(value) == why
    assert weakness(token()) == ""


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=30),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_a_known_secret_is_covered_in_every_encoding(secret: str, before: bytes, after: bytes) -> None:
    raw = secret.encode()
    plain = [pattern.data for pattern in patterns(secret) if not pattern.region]
    for encoded in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), raw.hex(), raw.hex().upper()):
        assert encoded.encode() in plain
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(before + raw + after)
        hits = [pattern.data for pattern in patterns(secret) if pattern.region and pattern.data in whole]
        assert hits
        start = whole.index(hits[0])
        assert region(b"x " + whole + b" y", start + 2, start + 2 + len(hits[0])) == (2, 2 + len(whole))


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=30),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
)
def test_so_is_one_in_base32_in_wide_base64_and_byte_by_byte(secret: str, before: bytes, after: bytes) -> None:
    raw, wide = secret.encode(), secret.encode("utf-16-le")
    found = [pattern.data for pattern in patterns(secret)]
    for mark in ":- ":
        assert raw.hex(mark).encode() in found
        assert raw.hex(mark).upper().encode() in found
    for whole in (base64.b32encode(before + raw + after), base64.b64encode(before + wide + after)):
        assert any(pattern in whole for pattern in found)


def test_lone_surrogates_do_no_harm() -> None:
    assert patterns("abcdefgh\udc80")
