"""What of a changed catalogue is recorded: the difference, and nothing else."""

from gateway.app.changes import differences

BEFORE = {"tools": {"a": "1", "b": "2", "c": "3"}, "prompts": {"p": "1"}}


def test_the_difference_of_two_catalogues_names_what_came_went_and_changed() -> None:
    now = {"tools": {"a": "1", "b": "9", "d": "4"}, "prompts": {"p": "1"}}
    assert differences(BEFORE, now) == {"tools": {"added": {"d": "4"}, "changed": {"b": "9"}, "removed": ["c"]}}


def test_equal_catalogues_differ_in_nothing() -> None:
    assert differences(BEFORE, BEFORE) == {}


def test_the_first_catalogue_is_all_new() -> None:
    assert differences({}, BEFORE)["prompts"] == {"added": {"p": "1"}}


def test_a_kind_that_is_empty_now_is_gone() -> None:
    assert differences(BEFORE, {"tools": {}, "prompts": {"p": "1"}}) == {"tools": {"removed": ["a", "b", "c"]}}
