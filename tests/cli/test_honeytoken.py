"""`wardgate honeytoken`: prints what is to be planted, once, and lists without values."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import honeytoken
from gateway.honeytokens import Honeytokens
from gateway.schema import KEY_NAME
from tests.cli.room import configure, run_here

Capture = pytest.CaptureFixture[str]
KEY = b"k" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = configure(tmp_path / "c")
    (made / "state").mkdir(mode=0o700)
    (made / "state" / KEY_NAME).write_bytes(KEY)
    (made / "state" / KEY_NAME).chmod(0o600)
    return made


def test_it_is_printed_alone_and_the_rest_is_said_on_standard_error(folder: Path, capsys: Capture) -> None:
    told = run_here(capsys, honeytoken, ["files", "--kind", "gitlab", "--config", str(folder)])
    assert (told.code, told.out.startswith("glpat-"), told.out.count("\n")) == (0, True, 1)
    assert "no gateway runs; the next one looks for it" in told.err
    assert [each.kind for each in Honeytokens(folder / "state").all()] == ["gitlab"]


def test_json_tells_the_values_once_and_the_list_never(folder: Path, capsys: Capture) -> None:
    told = run_here(capsys, honeytoken, ["files", "--kind", "aws", "--json", "--config", str(folder)])
    (item,) = json.loads(told.out)["items"]
    assert (item["number"], item["upstream"], item["kind"], item["state"]) == (1, "files", "aws", "armed")
    assert all(value in item["text"] for value in item["values"])
    run_here(capsys, honeytoken, ["mail", "--config", str(folder)])
    listed = run_here(capsys, honeytoken, ["--config", str(folder)])
    assert [line.split()[:3] for line in listed.out.splitlines()] == [["1", "files", "aws"], ["2", "mail", "password"]]
    assert not any(value in listed.out for value in item["values"])
    rows = json.loads(run_here(capsys, honeytoken, ["--json", "--config", str(folder)]).out)["items"]
    assert {tuple(row) for row in rows} == {("number", "upstream", "kind", "made_at", "state")}


def test_the_list_says_whose_key_is_lost(folder: Path, capsys: Capture) -> None:
    assert "no honeytoken was minted" in run_here(capsys, honeytoken, ["--config", str(folder)]).out
    run_here(capsys, honeytoken, ["files", "--config", str(folder)])
    (folder / "state" / KEY_NAME).write_bytes(b"o" * 32)
    assert "key lost" in run_here(capsys, honeytoken, ["--config", str(folder)]).out


def test_an_unknown_upstream_is_1_and_nothing_is_minted(folder: Path, capsys: Capture) -> None:
    told = run_here(capsys, honeytoken, ["flies", "--config", str(folder)])
    assert (told.code, told.out) == (1, "")
    assert "did you mean `files`" in told.err
    assert "did you mean" not in run_here(capsys, honeytoken, ["xyz", "--config", str(folder)]).err
    assert Honeytokens(folder / "state").all() == ()


def test_without_a_key_it_is_3(tmp_path: Path, capsys: Capture) -> None:
    told = run_here(capsys, honeytoken, ["files", "--config", str(configure(tmp_path / "c"))])
    assert (told.code, told.out) == (3, "")
    assert "has no key yet" in told.err


def test_a_list_that_can_not_be_trusted_is_3(folder: Path, capsys: Capture) -> None:
    run_here(capsys, honeytoken, ["files", "--config", str(folder)])
    (folder / "state" / "honeytokens.json").chmod(0o644)
    assert run_here(capsys, honeytoken, ["--config", str(folder)]).code == 3


def test_a_kind_without_an_upstream_is_usage(folder: Path, capsys: Capture) -> None:
    assert run_here(capsys, honeytoken, ["--kind", "aws", "--config", str(folder)]).code == 2


def test_it_imports_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys; from gateway.cli.honeytoken import run; run(['files', '--config', sys.argv[1]]);"
        "sys.exit(any(name in sys.modules for name in ('mcp', 'cel', 'rich', 'pydantic')))"
    )
    words = [sys.executable, "-c", code, str(folder)]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
