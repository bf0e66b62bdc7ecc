"""`wardgate backup`: what it prints, its exit codes, and that `verify --state` looks at the copy."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from gateway.cli import backup, verify
from gateway.records import Records
from gateway.schema import STORE_NAME
from gateway.store import open_store
from tests.fakes import FakeClock, a_record
from tests.store.keep import AT_ONCE


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose gateway has recorded one call."""
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")

    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await Records(store, FakeClock()).append(a_record(1))

    anyio.run(fill)
    return tmp_path


def run(config: Path, *words: str) -> int:
    return backup.run([*words, "--config", str(config)])


def ended(config: Path, *words: str) -> int:
    """The exit code, however the command ends."""
    try:
        return run(config, *words)
    except SystemExit as left:
        return int(str(left.code))


def test_a_copy_is_told_by_its_size_and_root_and_verifies_where_it_is(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = config / "copy"
    assert run(config, str(copy)) == 0
    told = capsys.readouterr()
    assert "whole: 1 rows, root " in told.out
    assert told.err == ""
    assert verify.run(["--config", str(config), "--state", str(copy)]) == 0
    assert told.out.split("root ")[1].split(",")[0] in capsys.readouterr().out


def test_the_copy_is_told_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, str(config / "copy"), "--json", "--keys") == 0
    told = capsys.readouterr()
    answer = json.loads(told.out)
    (item,) = answer["items"]
    assert list(item) == ["folder", "ok", "size", "root", "first_bad", "detail", "keys"]
    assert (answer["schema"], item["ok"], item["size"], item["keys"]) == (1, True, 1, 2)
    assert "it holds the keys" in told.err


def test_verify_finds_a_copy_that_was_edited(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, str(config / "copy")) == 0
    with closing(sqlite3.connect(config / "copy" / STORE_NAME)) as db, db:
        db.execute("UPDATE record SET tool = 'other'")
    assert verify.run(["--config", str(config), "--state", str(config / "copy")]) == 1
    assert verify.run(["--config", str(config)]) == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [(("copy",), 0), (("state",), 1), (("none/copy",), 1), ((), 2), (("a", "b"), 2)],
    ids=["fine", "there", "no-folder", "none", "two"],
)
def test_exit_codes(config: Path, words: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config)
    assert ended(config, *words) == code


def test_a_record_that_is_not_whole_is_exit_code_1(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(config / "state" / STORE_NAME)) as db, db:
        db.execute("UPDATE record SET tool = 'other'")
    assert run(config, str(config / "copy")) == 1
    assert "NOT whole" in capsys.readouterr().out


def test_without_a_record_the_exit_code_is_3_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")
    assert ended(tmp_path, str(tmp_path / "copy")) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["upstreams.toml"]
