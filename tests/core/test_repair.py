"""A redacted value is made to fit again by the smallest change that helps, and by no change of anything else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.repair import MAX_CHANGES, MAX_TRIALS, Problem, Unfit, repair
from gateway.screening.schema import problems

SECRET, MARK = "s3", "[REDACTED:kind:1]"
SHORT: dict[str, Any] = {"type": "string", "maxLength": 5}
NULLABLE: dict[str, Any] = {"type": ["string", "null"], "maxLength": 5}


def redacted(value: Any) -> Any:
    """The value with each secret replaced, in keys too."""
    if isinstance(value, dict):
        return {key.replace(SECRET, MARK): redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value.replace(SECRET, MARK) if isinstance(value, str) else value


def made_to_fit(value: Any, schema: Any) -> Any:
    return repair(value, redacted(value), lambda changed: problems(changed, schema))


def of(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


CASES: dict[str, tuple[Any, Any, Any]] = {
    "an optional property is dropped": ({"a": SECRET, "b": "x"}, of(a=SHORT), {"b": "x"}),
    "a required one is null": ({"a": SECRET}, of(("a",), a=NULLABLE), {"a": None}),
    "what fits stays": ({"a": SECRET, "b": SECRET}, of(a=SHORT), {"b": MARK}),
    "below a property": ({"o": {"a": SECRET, "n": 1}}, of(o=of(a=SHORT)), {"o": {"n": 1}}),
    "a required one takes its object along": ({"o": {"a": SECRET}, "n": 1}, of(o=of(("a",), a=SHORT)), {"n": 1}),
    "in a list": ({"l": [{"a": SECRET, "n": 1}]}, of(l={"items": of(a=SHORT)}), {"l": [{"n": 1}]}),
    "an item is null": ({"l": ["x", SECRET]}, of(l={"items": NULLABLE}), {"l": ["x", None]}),
    "an item takes its list along": ({"l": ["x", SECRET], "n": 1}, of(l={"items": SHORT}), {"n": 1}),
    "a key": ({SECRET: 1, "n": 1}, {"additionalProperties": False, "properties": {"n": {}, SECRET: {}}}, {"n": 1}),
    "several": ({"a": SECRET, "b": SECRET, "n": 1}, of(("b",), a=SHORT, b=NULLABLE), {"b": None, "n": 1}),
    "one of two forms": (
        {"a": SECRET, "b": SECRET, "n": 1},
        {"anyOf": [of(("a", "b"), a=SHORT, b=SHORT), {"maxProperties": 1}]},
        {"n": 1},
    ),
    "one of two forms, with null": (
        {"a": SECRET, "b": SECRET},
        {"anyOf": [of(("a", "b"), a=SHORT, b=SHORT), of(("a", "b"), a={"type": "null"}, b={"type": "null"})]},
        {"a": None, "b": None},
    ),
}


@pytest.mark.parametrize(("value", "schema", "fitted"), CASES.values(), ids=CASES.keys())
def test_the_smallest_change_that_helps_is_made(value: Any, schema: Any, fitted: Any) -> None:
    assert problems(value, schema) == ()
    assert made_to_fit(value, schema) == fitted


def test_what_was_not_redacted_stays_whatever_the_schema_says_of_it() -> None:
    before, after = {"a": SECRET, "b": "xxxxxxx"}, {"a": MARK, "b": "".join(["xxx", "xxxx"])}
    with pytest.raises(Unfit):
        repair(before, after, lambda changed: problems(changed, of(b=SHORT)))


def test_a_value_that_fits_is_the_same_object() -> None:
    value = {"a": MARK}
    assert repair({"a": SECRET}, value, lambda changed: ()) is value


NO_WAY: dict[str, tuple[Any, Any]] = {
    "required, and never null": ({"a": SECRET}, of(("a",), a=SHORT)),
    "a list as a whole": ([SECRET], {"items": SHORT}),
    "a bare string": (SECRET, SHORT),
    "what is missing, beside what can be mended": (
        {"o": {"a": SECRET, "b": SECRET}},
        of(("o", "x"), o={**of(("a", "b"), a=SHORT, b=SHORT), "type": ["object", "null"]}),
    ),
    "what did not fit before": ({"a": SECRET, "n": "x"}, of(n={"type": "integer"})),
    "a schema that can't be used": ({"a": SECRET}, {"type": "nonsense"}),
}


@pytest.mark.parametrize(("value", "schema"), NO_WAY.values(), ids=NO_WAY.keys())
def test_where_nothing_helps_it_is_unfit(value: Any, schema: Any) -> None:
    with pytest.raises(Unfit):
        made_to_fit(value, schema)


def test_it_is_tried_only_so_often() -> None:
    tried: list[Any] = []

    def never(changed: Any) -> tuple[Problem, ...]:
        tried.append(changed)
        return (((), "not"),)

    value = {str(number): SECRET for number in range(MAX_CHANGES + 5)}
    with pytest.raises(Unfit):
        repair(value, redacted(value), never)
    assert len(tried) == MAX_TRIALS


leaves = st.one_of(st.integers(0, 9), st.just(SECRET), st.just("x"), st.none(), st.booleans())
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", f"{SECRET}c"]), inner, max_size=3)
    ),
    max_leaves=12,
)
simple = st.sampled_from([{}, SHORT, NULLABLE, {"enum": [SECRET, None, 1]}, {"const": "x"}, {"type": "integer"}])
schemas = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(
            lambda properties, required, closed: {
                "properties": properties,
                "required": required,
                **({"additionalProperties": False} if closed else {}),
            },
            st.dictionaries(st.sampled_from(["a", "b", f"{SECRET}c"]), inner, max_size=3),
            st.lists(st.sampled_from(["a", "b"]), unique=True),
            st.booleans(),
        ),
        inner.map(lambda items: {"items": items}),
        st.lists(inner, min_size=1, max_size=2).map(lambda forms: {"anyOf": forms}),
    ),
    max_leaves=5,
)


def kept(before: Any, after: Any) -> bool:
    """Whether nothing was changed but dropped or made null."""
    if after is None or before == after:
        return True
    if isinstance(before, dict) and isinstance(after, dict):
        return all(key in before and kept(before[key], item) for key, item in after.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(kept, before, after))
    return False


@given(values, schemas)
def test_what_comes_out_fits_and_says_nothing_new(value: Any, schema: Any) -> None:
    try:
        fitted = made_to_fit(value, schema)
    except Unfit:
        assert problems(redacted(value), schema) != ()
        return
    assert problems(fitted, schema) == ()
    assert kept(redacted(value), fitted)
