"""Connections are kept for the next gateway, and forgotten when they end; a damaged record is told as one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.errors import RecordError
from gateway.schema import STORE_NAME
from gateway.store import open_store
from gateway.store.rows import (
    SavedConnection,
    find_connection,
    forget_connection,
    intents_since,
    open_intents,
    put_connection,
)
from tests.fakes import NOON
from tests.store.keep import AT_ONCE, an_entry

SAVED = SavedConnection("c1", "os:alice", "claude-code", "s1", "legacy", {"protocolVersion": "2025-11-25"}, NOON)


async def test_a_handshake_is_there_after_a_restart_and_the_last_one_counts(tmp_path: Path) -> None:
    later = replace(SAVED, handshake={"protocolVersion": "2025-06-18"})
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        await store.append((), (put_connection(SAVED),))
        await store.append((), (put_connection(later),))
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        assert await find_connection(store, "c1") == later


async def test_a_forgotten_connection_is_not_found(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        await store.append((), (put_connection(SAVED),))
        assert await store.append((), (forget_connection("c1"), forget_connection("c2")))
        assert await find_connection(store, "c1") is None


@pytest.mark.parametrize("body", ["x'7b'", "'text'", "x'ff'"])
async def test_a_damaged_intent_is_an_error_of_the_record(tmp_path: Path, body: str) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        await store.append([an_entry(1), an_entry(2)])
    with closing(sqlite3.connect(tmp_path / "state" / STORE_NAME)) as db, db:
        db.execute(f"UPDATE record SET body = {body} WHERE seq = 1")
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        with pytest.raises(RecordError, match="damaged"):
            await open_intents(store, 0, 10)
        with pytest.raises(RecordError, match="damaged"):
            await intents_since(store, NOON)
