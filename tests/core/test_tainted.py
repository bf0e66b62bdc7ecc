"""Tables of the flow against the record: what is missing, what is less than was told, and what nobody told of."""

import pytest

from gateway.core.session import Key, key_of
from gateway.core.tainted import Tainted

MINE, NAMED = key_of("os:ada", "desk", ""), key_of("os:ada", "desk", "os:ada/desk/work")
FORM = "0" * 16


def told(*, pruned: bool = False) -> Tainted:
    """What two sessions read: the one without a name what is private first, and then what is untrusted."""
    looked = Tainted(pruned)
    for key, tainted, private in ((MINE, False, True), (MINE, True, False), (NAMED, True, False)):
        looked.row(key[0], key[1], {"tainted": tainted, "private": private, "flow": key[2], "by": "mail/read"})
    return looked


WHOLE = {MINE: (True, True), NAMED: (True, False)}
OTHER = key_of("os:eve", "desk", "")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, ""),
        ({NAMED: None}, "session `os:ada/desk/work` is not as tainted"),
        ({MINE: None}, "what `os:ada` does with `desk` is not as tainted"),
        ({MINE: (False, True)}, "is not as tainted"),
        ({MINE: (True, False)}, "is not as tainted"),
        ({NAMED: (True, True)}, "no record tells why session"),
        ({OTHER: (True, False)}, "no record tells why what `os:eve`"),
    ],
)
def test_sessions_are_as_tainted_as_the_record_says_and_no_more(
    change: dict[Key, tuple[bool, bool] | None], wrong: str
) -> None:
    kept = {key: found for key, found in {**WHOLE, **change}.items() if found is not None}
    found = list(told().sessions(kept))
    assert len(found) == bool(wrong)
    assert all(wrong in one for one in found)


def test_what_was_let_go_of_the_record_stands_in_the_tables_alone() -> None:
    looked = told(pruned=True)
    assert list(looked.sessions({**WHOLE, OTHER: (True, True)})) == []
    assert list(looked.made_up("d_1", FORM, said=False)) == []
    assert len(list(looked.sessions({OTHER: (True, True)}))) == 2


@pytest.mark.parametrize(("kept", "missing"), [("12:30", False), ("12:31", False), ("12:29", True), ("", True)])
def test_what_was_written_is_known_as_long_as_the_record_says(kept: str, missing: bool) -> None:
    assert len(list(told().wrote("d_1", "12:30", [FORM], lambda form: kept))) == missing


def test_what_was_forgotten_on_the_record_needs_not_be_known() -> None:
    looked = told()
    for before in ("12:30", "12:10"):
        looked.row("os:ada", "", {"forgotten": 1, "before": before})
    assert list(looked.wrote("d_1", "12:29", [FORM], lambda form: "")) == []
    assert len(list(looked.wrote("d_1", "12:30", [FORM], lambda form: ""))) == 1
    assert list(looked.sessions(WHOLE)) == []


def test_a_form_that_no_record_tells_of_is_found() -> None:
    assert list(told().made_up("d_1", FORM, said=True)) == []
    assert len(list(told().made_up("d_1", FORM, said=False))) == 1
