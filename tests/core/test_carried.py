"""Which arguments stood in outputs: whole tokens, newest source, bounded."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canon import canonical
from gateway.core.carried import (
    LONGEST_LEAF,
    MOST_LEAVES,
    MOST_SEARCHED,
    Carried,
    carried,
    disguised,
    needles,
    stands,
)


def found(arguments: dict[str, object], *outputs: object) -> list[Carried]:
    kept = [(f"d_{number}", canonical(output)) for number, output in enumerate(outputs)]
    return carried(needles(arguments), kept)[0]


def test_a_value_that_stood_in_an_output_is_told_with_its_place_and_source() -> None:
    arguments = {"to": [{"address": "ann@example.com"}], "text": "hello there"}
    output = {"content": [{"type": "text", "text": "write to ann@example.com, please"}]}
    assert found(arguments, output) == [Carried("to[0].address", "d_0", 15)]


def test_the_newest_output_is_the_source() -> None:
    assert found({"id": "AB-1234"}, {"id": "AB-1234"}, {"id": "AB-1234"}, {"id": "other"}) == [Carried("id", "d_1", 7)]


@pytest.mark.parametrize(
    ("value", "output", "stood"),
    [
        ("alice", "ask alice now", True),
        ("alice", "malice", False),
        ("alice", "alices", False),
        ("alice", "alice2", False),
        ("alice", "aliceé", False),
        ("alice", "malice and alice", True),
        ("alice", "a\nalice\tb", True),
        ("alice", "\x01alice", True),
        ("alice", '{"name": "alice"}', True),
        ('say "it"', 'they say "it" often', True),
        ('say "it"', '{"text": "say \\"it\\""}', True),
        ("two\nlines", "two\nlines", True),
        ("abc", "abc", False),
        ("ünïcode", "an ünïcode word", True),
        (1234, {"n": 1234}, True),
        (1234, "it is 1234.", True),
        (1234, "12345", False),
        (1234, "1234.56", False),
        (1234, "0.1234", False),
        (123, {"n": 123}, False),
        (1234.5, [1234.5], True),
        (-1234, [-1234], True),
        (True, [True], False),
        (None, [None], False),
    ],
)
def test_only_whole_tokens_count(value: object, output: object, stood: bool) -> None:
    assert bool(found({"value": value}, output)) is stood


def test_a_text_that_is_too_long_is_not_looked_for() -> None:
    assert needles({"a": "x" * LONGEST_LEAF, "b": "x" * (LONGEST_LEAF + 1)}) == needles({"a": "x" * LONGEST_LEAF})


def test_only_so_many_values_are_looked_for() -> None:
    assert len(needles({"all": [f"value {number}" for number in range(MOST_LEAVES + 1)]})) == MOST_LEAVES


def test_the_search_ends_where_it_would_take_too_long_and_says_so() -> None:
    kept = [("d_0", canonical("the value")), ("d_1", b"x" * MOST_SEARCHED)]
    assert carried(needles({"a": "value"}), kept) == ([], 1)
    assert carried(needles({"a": "value"}), kept[:1]) == ([Carried("a", "d_0", 5)], 0)


@given(st.text(min_size=4, max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_a_value_between_spaces_is_always_found(value: str, before: str, behind: str) -> None:
    output = canonical({"text": f"{before} {value} {behind}"})
    assert stands(output, canonical(value)[1:-1])


@given(st.from_regex(r"[a-z]{4,10}", fullmatch=True), st.from_regex(r"[a-z0-9_]", fullmatch=True))
def test_a_value_within_a_word_is_never_found(value: str, more: str) -> None:
    assert not stands(canonical(f"-{more}{value}{more}-"), value.encode())


EVE = "eve@evil.example"
DISGUISES = {
    "look-alike": EVE.replace("e", "\u0435"),
    "zero-width": "\u200b".join(EVE),
    "base64": base64.b64encode(f"write to {EVE} now".encode()).decode(),
    "hex": f"write to {EVE} now".encode().hex(),
    "percent": "".join(f"%{byte:02x}" for byte in EVE.encode()),
    "capitals": EVE.upper(),
}


@pytest.mark.parametrize("how", DISGUISES)
def test_a_value_that_stood_somewhere_in_disguise_is_told_as_such(how: str) -> None:
    kept = [("d_1", canonical({"text": "nothing here"})), ("d_2", canonical({"text": f"hello {DISGUISES[how]} bye"}))]
    wanted = needles({"to": EVE, "cc": "ann@corp.example", "n": "12345"})
    assert carried(wanted, kept) == ([], 0)
    assert disguised(wanted, kept) == [Carried("to", "d_2", len(EVE), True)]


def test_what_is_looked_through_for_disguises_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [("d_1", canonical(EVE.upper())), ("d_2", canonical("x" * 100))]
    monkeypatch.setattr("gateway.core.carried.MOST_DISGUISED", 110)
    assert disguised(needles({"to": EVE}), kept) == []
    assert disguised([], kept) == []
