"""Users and their names, and whom a configuration lets read everybody's records."""

import os
import pwd
from pathlib import Path

import pytest

from gateway.people import auditors, user_name

NAMED = '[approvers.bob]\nroles = ["auditor"]\n[approvers.carol]\nroles = ["finance"]\n[approvers.dave]\n'


def test_a_user_has_a_name_or_a_number() -> None:
    assert user_name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert user_name(4_294_967_000) == "4294967000"


def test_auditors_are_those_with_the_role(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text(NAMED, encoding="utf-8")
    assert auditors(tmp_path / "upstreams.toml") == {"bob"}
    (tmp_path / "upstreams.toml").write_text(NAMED, encoding="utf-8-sig")
    assert auditors(tmp_path / "upstreams.toml") == {"bob"}


@pytest.mark.parametrize(
    "text",
    [
        *("approvers = ", "approvers = 3", "approvers.bob = 3", "[approvers.bob]\nroles = 3"),
        *('[approvers.bob]\nroles = "auditor"', 'approvers = ["auditor"]', ""),
    ],
)
def test_a_configuration_of_another_shape_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "upstreams.toml").write_text(text, encoding="utf-8")
    assert auditors(tmp_path / "upstreams.toml") == frozenset()


def test_no_configuration_names_nobody(tmp_path: Path) -> None:
    assert auditors(tmp_path / "upstreams.toml") == frozenset()
    assert auditors(tmp_path / "upstreams.toml", os.getuid()) == frozenset()


def test_a_configuration_of_somebody_else_names_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "upstreams.toml"
    file.write_text(NAMED, encoding="utf-8")
    if os.getuid() == 0:
        os.chown(file, 4_711, -1)
    assert auditors(file, file.stat().st_uid) == {"bob"}
    assert auditors(file, file.stat().st_uid + 1) == frozenset()
