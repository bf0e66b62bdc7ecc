"""Times as people write them, and values that a filter can't have."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.query import FILTERS, VOCABULARIES, moment, objection
from tests.fakes import NOON


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", NOON - timedelta(hours=2)),
        ("7d", NOON - timedelta(days=7)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T12:00:00Z", NOON),
        ("2026-11-22t14:00:00.5+02:00", NOON + timedelta(milliseconds=500)),
        ("2026-11-22 12:00:00z", NOON),
    ],
)
def test_a_time_is_given_in_one_of_three_ways(text: str, at: datetime) -> None:
    assert moment(text, NOON) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-02-30",
        "2026-11-22T12:00:00",
        "2026-11-22T25:00:00Z",
        "20261122",
        "2026-W47",
        "999999999d",
        "2 h",
    ],
)
def test_any_other_time_is_told_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected .+, found `") as told:
        moment(text, NOON)
    assert f"`{text}`" in str(told.value)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("kind", "outcom", "outcome"),
        ("verdict", "alow", "allow"),
        ("outcome", "blockd", "blocked"),
        ("reason", "rul", "rule"),
    ],
)
def test_a_typo_in_a_closed_vocabulary_names_the_nearest(name: str, value: str, near: str) -> None:
    told = objection(name, value)
    assert f"`{value}`" in told
    assert f"did you mean `{near}`?" in told


def test_a_value_without_a_near_one_is_told_without_a_hint() -> None:
    assert "did you mean" not in objection("verdict", "zzzz")


def test_values_of_the_vocabularies_and_any_others_elsewhere_are_fine() -> None:
    assert set(VOCABULARIES) < set(FILTERS)
    assert not any(objection(name, value) for name, values in VOCABULARIES.items() for value in values)
    assert objection("tool", "no such tool") == ""
