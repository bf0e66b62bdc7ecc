"""Values are found by their digest in a real store, page by page, under every key that is there."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from gateway import finding
from gateway.core.canon import canonical, keyed_digest
from gateway.core.lookup import Digests, digests
from gateway.core.model import Kind, Record
from gateway.core.query import Query
from gateway.finding import find, lost_up_to
from gateway.reading import reading
from gateway.records import Records
from gateway.rotation import rotate
from gateway.schema import KEY_NAME
from gateway.store import open_store
from gateway.store.folder import DIGEST, SIGNING, digest_keys
from tests.fakes import NOON, FakeClock, a_record
from tests.store.keep import AT_ONCE

VALUE = "ada@example.com"


def holds(key: bytes, number: int, **more: object) -> Record:
    """An outcome with the digest of the value among its arguments."""
    leaf = keyed_digest(key, canonical(VALUE))[:32]
    return a_record(number, Kind.OUTCOME, outcome="ok", leaves={"to": leaf}, **more)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows 3, 4 and 8 hold the value: two under a key that was exchanged (row 5) since, one under its follower."""
    folder = tmp_path_factory.mktemp("finding") / "state"

    async def fill() -> None:
        async with open_store(folder, AT_ONCE) as store:
            records, key = Records(store, FakeClock()), store.folder.key
            for record in (a_record(1), a_record(2), holds(key, 3), holds(key, 4, tool="other")):
                await records.append(record)
            await rotate(store, FakeClock(), DIGEST, "os:alice")
            for record in (a_record(6), a_record(7), holds(store.folder.key, 8), a_record(9)):
                await records.append(record)

    anyio.run(fill)
    return folder


@pytest.fixture
def db(state: Path) -> Iterator[sqlite3.Connection]:
    with reading(state) as opened:
        yield opened


def sought(state: Path, value: str = VALUE) -> Digests:
    return digests(value, digest_keys(state))


@pytest.mark.parametrize("size", [1, 2, 1_000])
def test_every_record_that_holds_a_value_is_found_newest_first(
    db: sqlite3.Connection, state: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PAGE_LIMIT", size)
    page = find(db, sought(state), Query())
    assert [(found.row.seq, found.places) for found in page.found] == [
        (8, ("arguments.to",)),
        (4, ("arguments.to",)),
        (3, ("arguments.to",)),
    ]
    assert page.next is None
    assert find(db, sought(state, "bob@example.com"), Query()).found == []


def test_pages_go_on_where_the_last_one_ended(db: sqlite3.Connection, state: Path) -> None:
    first = find(db, sought(state), Query(limit=2))
    assert [found.row.seq for found in first.found] == [8, 4]
    second = find(db, sought(state), Query(limit=2, before=first.next))
    assert [found.row.seq for found in second.found] == [3]
    assert second.next is None


def test_only_what_is_asked_for_is_looked_through(db: sqlite3.Connection, state: Path) -> None:
    by_tool = find(db, sought(state), Query({"tool": "other"}))
    assert [found.row.seq for found in by_tool.found] == [4]
    since = find(db, sought(state), Query(since=NOON + timedelta(seconds=5)))
    assert [found.row.seq for found in since.found] == [8]


def test_a_digest_that_stands_in_a_text_is_not_the_value(tmp_path: Path) -> None:
    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            digest = keyed_digest(store.folder.key, canonical(VALUE))
            await Records(store, FakeClock()).append(a_record(1, detail=digest))

    anyio.run(fill)
    with reading(tmp_path / "state") as db:
        assert find(db, sought(tmp_path / "state"), Query()).found == []


def test_rows_whose_key_was_lost_are_told(db: sqlite3.Connection, tmp_path: Path) -> None:
    assert lost_up_to(db) is None

    async def lose() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await Records(store, FakeClock()).append(holds(store.folder.key, 1))
        await anyio.Path(tmp_path / "state" / KEY_NAME).unlink()
        async with open_store(tmp_path / "state", AT_ONCE, lost=(DIGEST, SIGNING)) as store:
            await rotate(store, FakeClock(), DIGEST, "os:alice", lost=True)

    anyio.run(lose)
    with reading(tmp_path / "state") as other:
        assert find(other, sought(tmp_path / "state"), Query()).found == []
        assert lost_up_to(other) == 2
