"""A record that this program can't read: each command that needs it ends with exit code 3 and one line."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from gateway.cli import backup, explain, export, log, record, sessions
from gateway.schema import STORE_NAME
from gateway.store import open_store
from tests.store.keep import AT_ONCE, an_entry

COMMANDS = {
    "log": (log.run, []),
    "follow": (log.run, ["--follow"]),
    "explain": (explain.run, ["d_0000000001"]),
    "sessions": (sessions.run, []),
    "export": (export.run, []),
    "page": (export.run, ["--json"]),
    "proof": (export.run, ["--proof", "d_0000000001"]),
    "backup": (backup.run, ["{place}/copy"]),
    "find": (record.run, ["find", "--value", "x"]),
    "rotate": (record.run, ["rotate", "digest"]),
}


def garbage(store: Path) -> None:
    """No store at all, but a file of its name."""
    store.write_bytes(b"no store " * 1_000)


def newer(store: Path) -> None:
    """The store of a gateway that is to come."""
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("PRAGMA user_version = 99")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    async def write() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await store.append([an_entry(1)])

    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    anyio.run(write)
    return tmp_path


@pytest.mark.parametrize("spoil", [garbage, newer], ids=["garbage", "newer"])
@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_exit_code_3_and_nothing_is_made_or_changed(
    name: str, spoil: Callable[[Path], None], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(store := config / "state" / STORE_NAME)
    before = store.read_bytes()
    run, given = COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        run([*(word.format(place=config) for word in given), "--config", str(config)])
    told = capsys.readouterr()
    assert (ended.value.code, told.out, len(told.err.splitlines())) == (3, "", 1)
    assert store.read_bytes() == before
    assert not (config / "copy").exists()
