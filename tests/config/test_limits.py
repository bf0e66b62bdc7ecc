"""Every limit: that it can be set, by its key, inside its range and not outside."""

from pathlib import Path

import pytest

from gateway.config import Limits, check, load_settings
from gateway.config.limits import TABLE, Kind, Limit, as_written
from tests.config.test_settings import LEAST, told, written

EACH = pytest.mark.parametrize("limit", TABLE, ids=lambda limit: limit.name)


def line(limit: Limit, value: float) -> str:
    """A configuration that sets one limit."""
    text = as_written(value, limit.kind)
    shown = text if limit.kind is Kind.NUMBER else f'"{text}"'
    return f"{LEAST}[limits]\n{limit.name} = {shown}\n"


def outside(limit: Limit) -> tuple[float, float]:
    """The nearest values below and above its range."""
    step = 0.001 if limit.kind is Kind.DURATION else 1
    return limit.low - step, limit.high + step


def test_the_table_is_complete_and_in_the_order_of_the_fields() -> None:
    assert [limit.field for limit in TABLE] == list(Limits.__struct_fields__)


@EACH
def test_a_default_is_within_its_range(limit: Limit) -> None:
    assert limit.default is None or limit.low <= limit.default <= limit.high


@EACH
@pytest.mark.parametrize("end", ["low", "high"])
def test_both_ends_of_the_range_can_be_set(limit: Limit, end: str, tmp_path: Path) -> None:
    value = getattr(limit, end)
    limits = load_settings(written(tmp_path, line(limit, value)), {}).limits
    assert getattr(limits, limit.field) == value
    related = {"calls_per_client": {"queue"}}.get(limit.field, set())
    others = [field for field in Limits.__struct_fields__ if field not in {limit.field, *related}]
    assert [getattr(limits, name) for name in others] == [getattr(Limits(), name) for name in others]


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        pytest.param(limit, value, id=f"{limit.name} = {value:g}")
        for limit in TABLE
        for value in outside(limit)
        if value >= 0  # no other can be written
    ],
)
def test_what_is_outside_the_range_is_an_error_with_its_place(limit: Limit, value: float, tmp_path: Path) -> None:
    problems = [str(problem) for problem in check(written(tmp_path, line(limit, value)), {})]
    assert len(problems) == 1
    assert problems[0].startswith("upstreams.toml:6 [limits")
    assert limit.name.rpartition(".")[2] in problems[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("calls_in_flight = 3", "a table"),
        ("calls_in_flight = { clients = 1 }", "did you mean `client`"),
        ("lines = 3", "did you mean `line`"),
        ('nesting = "64"', "a whole number"),
        ("rate = true", "a whole number"),
        ("question = 600", "a duration"),
        ("list = 1048576", "a size"),
    ],
)
def test_a_limit_of_another_shape_is_told(text: str, said: str, tmp_path: Path) -> None:
    problems = told(written(tmp_path, f"{LEAST}[limits]\n{text}"))
    assert [said in problem and problem.startswith("upstreams.toml:6") for problem in problems] == [True]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (16 * 1024**2, Kind.SIZE, "16MiB"),
        (1024**2 + 1, Kind.SIZE, "1048577"),
        (5_000, Kind.NUMBER, "5000"),
        (0.1, Kind.DURATION, "0.1s"),
        (600.0, Kind.DURATION, "600s"),
        (None, Kind.DURATION, ""),
    ],
)
def test_a_value_is_shown_as_one_writes_it(value: float | None, kind: Kind, text: str) -> None:
    assert as_written(value, kind) == text


@pytest.mark.parametrize(
    ("text", "queue"),
    [("", 512), ("calls_in_flight = { client = 2 }", 0), ("calls_in_flight = { client = 2 }\nqueue = 5", 5)],
)
def test_a_limit_of_calls_that_somebody_set_has_no_queue_unless_they_set_one(
    text: str, queue: int, tmp_path: Path
) -> None:
    assert load_settings(written(tmp_path, f"{LEAST}[limits]\n{text}\n"), {}).limits.queue == queue
