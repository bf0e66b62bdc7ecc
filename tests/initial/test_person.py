"""Who answers if nobody says so."""

import os

import pytest

from gateway.initial.person import owner_of


@pytest.mark.parametrize(
    ("name", "expected"), [("ada", "ada"), (os.fsdecode(b"J\xf6rg"), str(os.getuid())), ("a\tb", str(os.getuid()))]
)
def test_without_a_mail_address_it_is_the_user_by_a_text(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setenv("LOGNAME", name)
    assert owner_of({"PATH": ""}) == expected
