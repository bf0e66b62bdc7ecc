"""Texts that say the structured content once more: they still do once it is redacted, in their own style."""

import json
from typing import Any

import pytest

from gateway.core.mirror import MOST, mirrored

OLD, NEW = {"k": "old", "n": 1}, {"k": "[R]", "n": 1}


def block(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, "annotations": {"priority": 1}}


def told(text: Any, old: Any = OLD, new: Any = NEW) -> Any:
    """What becomes of a text beside structured content that was redacted."""
    before = {"content": [block(text)], "structuredContent": old}
    after = mirrored(before, {"content": [block(text)], "structuredContent": new})
    assert after["structuredContent"] is new
    assert after["content"][0]["annotations"] == {"priority": 1}
    return after["content"][0]["text"]


STYLES: dict[str, dict[str, Any]] = {
    "as Python writes it": {},
    "tight": {"separators": (",", ":")},
    "two spaces": {"indent": 2},
    "four spaces": {"indent": 4},
    "tabs": {"indent": "\t"},
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
def test_a_text_that_mirrors_the_structure_says_the_redacted_one_in_its_own_style(style: dict[str, Any]) -> None:
    assert told(json.dumps(OLD, **style)) == json.dumps(NEW, **style)


def test_escapes_stay_as_they_were() -> None:
    old, new = {"k": "old", "ü": "é"}, {"k": "[R]", "ü": "é"}
    assert told(json.dumps(old), old, new) == json.dumps(new)
    assert told(json.dumps(old, ensure_ascii=False), old, new) == json.dumps(new, ensure_ascii=False)


def test_the_order_of_keys_is_no_difference() -> None:
    assert json.loads(told('{"n": 1, "k": "old"}')) == NEW


WRAPPED: dict[str, tuple[str, Any, Any, str]] = {
    "an object in one property": ('{"a":"old"}', {"result": {"a": "old"}}, {"result": {"a": "[R]"}}, '{"a":"[R]"}'),
    "an item of a list": ('{"a":"old"}', {"r": [{}, {"a": "old"}]}, {"r": [{}, {"a": "[R]"}]}, '{"a":"[R]"}'),
    "a list": ('["old"]', {"r": ["old"]}, {"r": ["[R]"]}, '["[R]"]'),
    "a string": ("old", {"r": "old"}, {"r": "[R]"}, "[R]"),
    "a property with a secret name": ('{"a":"old"}', {"old": {"a": "old"}}, {"[R]": {"a": "[R]"}}, '{"a":"[R]"}'),
}


@pytest.mark.parametrize(("text", "old", "new", "said"), WRAPPED.values(), ids=WRAPPED.keys())
def test_a_text_that_mirrors_what_is_wrapped_does_too(text: str, old: Any, new: Any, said: str) -> None:
    assert told(text, old, new) == said


OTHERS: dict[str, Any] = {
    "another value": '{"k": "other", "n": 1}',
    "another type": '{"k": "old", "n": true}',
    "no JSON": "{k: old}",
    "a part that is not alone": '"old"',
    "no text": 5,
    "deep": "[" * 100_000,
    "a lone surrogate": '{"k": "\\ud800"}',
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_any_other_text_stays_as_it_was_redacted(text: Any) -> None:
    assert told(text) == text


UNTOUCHED: dict[str, tuple[Any, Any]] = {
    "no structure": ({"content": []}, {"content": []}),
    "a structure that was not changed": (
        {"content": [block('{"k": "old", "n": 1}')], "structuredContent": OLD},
        {"content": [block("[R]")], "structuredContent": OLD},
    ),
    "no list of blocks": ({"content": 5, "structuredContent": OLD}, {"content": 5, "structuredContent": NEW}),
    "blocks that are none now": ({"content": [], "structuredContent": OLD}, {"content": 5, "structuredContent": NEW}),
    "a text": ("old", "[R]"),
    "a text now": ({}, "[R]"),
    "a block that is none now": (
        {"content": [block("{}")], "structuredContent": OLD},
        {"content": ["x"], "structuredContent": NEW},
    ),
    "other blocks": (
        {"content": [{"type": "image"}, 5], "structuredContent": OLD},
        {"content": [{"type": "image"}, 5], "structuredContent": NEW},
    ),
    "a structure that JSON can't carry": (
        {"content": [block("{}")], "structuredContent": {"k": "\ud800"}},
        {"content": [block("{}")], "structuredContent": NEW},
    ),
}


@pytest.mark.parametrize(("before", "after"), UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_where_nothing_is_mirrored_it_is_the_same_object(before: Any, after: Any) -> None:
    assert mirrored(before, after) is after


def test_the_items_of_an_endless_list_are_not_looked_for() -> None:
    old, new = {"r": [{"a": "old"}] * (MOST + 1)}, {"r": [{"a": "[R]"}] * (MOST + 1)}
    assert told('{"a": "old"}', old, new) == '{"a": "old"}'
