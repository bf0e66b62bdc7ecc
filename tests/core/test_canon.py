"""Canonical JSON: one value has one sequence of bytes, and what JSON can't carry is refused."""

import json
import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canon import canonical, count_nodes, digest, keyed_digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: "\\ud" not in json.dumps(value))


@given(VALUES)
def test_a_value_survives_and_its_bytes_are_stable(value: object) -> None:
    sealed = canonical(value)
    assert json.loads(sealed) == value
    assert canonical(json.loads(sealed)) == sealed


def test_integers_stay_exact_at_any_size() -> None:
    assert canonical({"n": 2**64 + 1}) == b'{"n":18446744073709551617}'


def test_the_order_of_keys_is_irrelevant() -> None:
    assert digest({"a": 1, "b": {"d": 1, "c": 2}}) == digest({"b": {"c": 2, "d": 1}, "a": 1})


@pytest.mark.parametrize("value", ["\ud800", object(), {1.5: object()}], ids=["lone surrogate", "object", "in a key"])
def test_what_json_can_not_carry_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="canonical"):
        canonical({"x": value})


class Kept(msgspec.Struct):
    """A value that holds others."""

    amount: float | None = None
    many: tuple[float, ...] = ()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize(
    "put",
    [lambda number: number, lambda number: {"a": [None, {"b": number}]}, Kept, lambda number: [Kept(1.0, (number,))]],
    ids=["alone", "nested", "struct", "struct in a list"],
)
def test_what_is_no_number_is_refused_and_never_written_as_null(put: Callable[[float], object], number: float) -> None:
    with pytest.raises(ValueError, match="canonical"):
        canonical(put(number))


@pytest.mark.parametrize("value", [None, ["null", None, 1.5], Kept(), {"nan": None, "inf": "Infinity"}])
def test_null_is_what_it_is(value: object) -> None:
    assert b"null" in canonical(value)


def test_a_keyed_digest_needs_the_key() -> None:
    assert keyed_digest(b"a" * 32, b"x") != keyed_digest(b"b" * 32, b"x")


def test_nodes_are_counted_up_to_a_limit() -> None:
    assert count_nodes({"a": [1, 2, {"b": None}]}) == 6
    assert count_nodes(list(range(1000)), limit=10) == 11
