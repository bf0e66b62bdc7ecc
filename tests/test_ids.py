"""Ids are random, of one shape, and forgiving to type."""

import re

import pytest

from gateway import ids


@pytest.mark.parametrize("letter", [ids.CALL, ids.APPROVAL, ids.GRANT, ids.ENTRY])
def test_an_id_is_a_letter_and_ten_characters_of_crockfords_base32(letter: str) -> None:
    made = {ids.new_id(letter) for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(rf"{letter}_[0-9A-HJKMNP-TV-Z]{{10}}", each) for each in made)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("d_7F3K", "d_7F3K"), (" D_7f3k ", "d_7F3K"), ("a_oil", "a_011"), ("7f3k", "7f3k"), ("", "")],
    ids=["exact", "case", "look-alikes", "no-letter", "empty"],
)
def test_what_a_person_types_is_read_as_it_was_meant(typed: str, meant: str) -> None:
    assert ids.normal(typed) == meant
