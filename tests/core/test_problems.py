"""What is wrong in a file, as it is told."""

import pytest

from gateway.core.problems import Problem, Severity, item


@pytest.mark.parametrize(
    ("table", "key", "expected"), [("a", "b", "[a] b"), ("a", "", "[a]"), ("", "b", "b"), ("", "", "file")]
)
def test_a_problem_is_told_by_table_and_key(table: str, key: str, expected: str) -> None:
    told = item(Problem("x.toml", 3, table, key, "found", "expected more"))
    assert told == {
        "what": expected,
        "where": "x.toml:3",
        "found": "found",
        "do": "expected more",
        "severity": "error",
    }


def test_the_nearest_right_name_comes_first_in_what_to_do() -> None:
    told = item(Problem("x.toml", 0, "", "ownr", "ownr", "unknown key", "owner", Severity.WARNING))
    assert (told["do"], told["where"], told["severity"]) == (
        "did you mean `owner`? unknown key",
        "x.toml",
        "warning",
    )
