"""Patterns: what they match, cover and share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.globs import common, covers, matches, matches_any

PATTERNS = st.text(alphabet="ab/*?", max_size=6)
NAMES = st.text(alphabet="ab/", max_size=6)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        pytest.param("send_*", "send_mail", True, id="a run"),
        pytest.param("send_*", "send_", True, id="an empty run"),
        pytest.param("*", "a/b", False, id="a run never crosses a slash"),
        pytest.param("a?c", "abc", True, id="one character"),
        pytest.param("a?c", "a/c", False, id="one character is no slash"),
        pytest.param("a?c", "ac", False, id="one character is not none"),
        pytest.param("[ab]*", "a1", False, id="there are no classes"),
        pytest.param("[ab]*", "[ab]1", True, id="brackets are brackets"),
        pytest.param("a.c", "abc", False, id="a dot is a dot"),
        pytest.param("*", "a\nb", True, id="a line break is a character"),
        pytest.param("Send", "send", False, id="case counts"),
    ],
)
def test_a_pattern_covers_whole_names(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected
    assert matches_any([pattern], name) is expected


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        pytest.param("*", "send_*", True, id="everything"),
        pytest.param("send_*", "*", False, id="the other way round"),
        pytest.param("*_x", "a*_x", True, id="run in run"),
        pytest.param("a?", "a*", False, id="one is less than a run"),
        pytest.param("a*", "a?", True, id="a run takes one"),
        pytest.param("a?", "a?", True, id="the same"),
        pytest.param("*", "a/*", False, id="no run crosses a slash"),
        pytest.param("*/*", "a/b*", True, id="piece by piece"),
        pytest.param("ab", "ab", True, id="plain"),
        pytest.param("ab*", "a*", False, id="longer"),
    ],
)
def test_a_pattern_covers_another(wide: str, narrow: str, expected: bool) -> None:
    assert covers(wide, narrow) is expected


@given(PATTERNS, PATTERNS, NAMES)
def test_what_covers_matches_all_that_the_other_matches(wide: str, narrow: str, name: str) -> None:
    if covers(wide, narrow) and matches(narrow, name):
        assert matches(wide, name)


@given(PATTERNS, PATTERNS)
def test_a_common_name_is_matched_by_both(first: str, second: str) -> None:
    name = common(first, second)
    if name is not None:
        assert matches(first, name)
        assert matches(second, name)


@given(PATTERNS, PATTERNS, NAMES)
def test_where_nothing_is_common_no_name_is(first: str, second: str, name: str) -> None:
    if matches(first, name) and matches(second, name):
        assert common(first, second) is not None
