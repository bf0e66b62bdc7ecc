"""What clients see instead of an upstream's own names: short, plain, distinct, and always the same."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.exposed import LONGEST, expose, with_hash

LEGAL = st.from_regex(re.compile(r"[A-Za-z0-9._/-]{1,128}", re.ASCII), fullmatch=True)


@given(st.lists(LEGAL, unique=True, max_size=20))
def test_exposed_names_are_short_plain_and_distinct(names: list[str]) -> None:
    exposed = expose("files", names)
    assert set(exposed) == set(names)
    assert len(set(exposed.values())) == len(names)
    assert all(re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}", text, re.ASCII) for text in exposed.values())
    assert exposed == expose("files", names[::-1])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["read"], {"read": "up__read"}),
        (["a.b"], {"a.b": "up__a_b"}),
        (["a.b", "a_b"], {"a_b": "up__a_b", "a.b": r"up__a_b_[0-9a-f]{8}"}),
        (["a.b", "a/b"], {"a.b": r"up__a_b_[0-9a-f]{8}", "a/b": r"up__a_b_[0-9a-f]{8}"}),
        (["x" * 45], {"x" * 45: "up__" + "x" * 45}),
        (["x" * 46], {"x" * 46: "up__" + "x" * 36 + r"_[0-9a-f]{8}"}),
    ],
)
def test_names_get_a_hash_only_when_cut_or_made_equal(names: list[str], expected: dict[str, str]) -> None:
    exposed = expose("up", names)
    assert set(exposed) == set(expected)
    for name, pattern in expected.items():
        assert re.fullmatch(pattern, exposed[name])


def test_bare_names_stay_as_they_are() -> None:
    assert expose("up", ["a.b", "x" * 99], bare=True) == {"a.b": "a.b", "x" * 99: "x" * 99}


def test_the_hash_of_a_name_is_of_all_of_it() -> None:
    assert with_hash("up", "x" * 99 + "a") != with_hash("up", "x" * 99 + "b")
    assert len(with_hash("up", "x" * 99)) <= LONGEST
