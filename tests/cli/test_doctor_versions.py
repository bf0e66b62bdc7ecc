"""`doctor` on versions: each one that is too old, missing or not the one that runs."""

import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli.doctor import versions
from gateway.cli.doctor.finding import Line
from tests.cli.consulting import case_of, configure, told, wrong


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    return tmp_path


def test_a_gateway_of_another_version_is_told_until_it_is_the_same(home: Path) -> None:
    assert wrong(versions.program, case_of(home, {"version": "0.0.1"})) == [(Line.WARDGATE, "")]
    assert wrong(versions.program, case_of(home, {"version": __version__})) == []
    assert wrong(versions.program, case_of(home)) == []


def test_packages_that_are_missing_or_of_another_version_are_told() -> None:
    def installed(name: str) -> str:
        return {"mcp": "1.9.0", "kingfisher-secret-scanner": "2.0", "anyio": ""}.get(name, "999")

    found = wrong(versions.packages, case_of(Path(), installed=installed))
    assert (Line.SDK, "") in found
    assert (Line.SCANNER, "") in found
    assert (Line.PACKAGE, "anyio") in found
    assert (Line.PACKAGE, "tomli") not in found


def test_what_is_installed_here_fits(home: Path) -> None:
    assert {each.line for each in told(versions.packages, case_of(home))} >= {Line.SDK, Line.SCANNER}


def test_a_database_library_that_is_too_old_is_told(home: Path) -> None:
    assert wrong(versions.sqlite, case_of(home, installed=lambda name: "3.7.15")) == [(Line.SQLITE, "")]
    assert wrong(versions.sqlite, case_of(home, installed=lambda name: "3.45.1")) == []


def test_the_interpreter_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = told(versions.python, case_of(home))
    assert (found.line, found.where) == (Line.PYTHON, sys.executable)
    monkeypatch.setattr(versions, "_tested", lambda: "3.6")
    (found,) = told(versions.python, case_of(home))
    assert "newer than the newest that it is tested with (3.6)" in found.found


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("2.3.0", ">=2.3,<3", True),
        ("2.2.9", ">=2.3,<3", False),
        ("3.0.0", "<3,>=2.3", False),
        ("3", ">=3.0.0", True),
        ("1.5.1", "==1.5.1", True),
        ("1.5.2", "==1.5.1", False),
        ("1.5.2rc1", "<=1.5.2", True),
        ("1.6", ">1.5,<=1.6", True),
        ("9", "", True),
    ],
)
def test_a_requirement_is_compared_by_its_numbers(version: str, wanted: str, expected: bool) -> None:
    assert versions.fits(version, wanted) is expected
