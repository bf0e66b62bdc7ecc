"""The text search with and without its index: the same answers, whatever the index is worth."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from gateway import indexing, paging, searching
from gateway.core.merkle import Tree
from gateway.core.model import Kind
from gateway.core.query import Query
from gateway.indexing import Indexing, Keeper
from gateway.reading import newest, reading
from gateway.schema import STORE_NAME
from gateway.searching import INDEX_NAME, opened
from gateway.store import Entry, open_store, rows
from tests.fakes import DEADLINE, FakeClock, a_record
from tests.store.keep import AT_ONCE, an_entry

SIZE = 40
PLANTED = "zanzibar"  # stands in every tenth record


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "BLOCK", 16)
    monkeypatch.setattr(indexing, "BLOCK", 16)
    monkeypatch.setattr(indexing, "ROWS", 5)
    monkeypatch.setattr(paging, "LOOK", 3)
    monkeypatch.setattr(paging, "SCAN", 4)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder whose record has `SIZE` rows, of two principals and several sessions."""

    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await store.append([entry(number) for number in range(1, SIZE + 1)])

    anyio.run(fill)
    return tmp_path / "state"


def entry(number: int) -> Entry:
    """What stands in the row of a number."""
    return an_entry(
        number,
        Kind.OUTCOME,
        outcome="ok",
        principal="os:bob" if number % 4 == 0 else "os:alice",
        session=f"s{number % 3}",
        tool="rare" if number == 20 else "write_file",
        arguments={"path": f"/data/{number}", "word": PLANTED if number % 10 == 0 else f"w{number}"},
        detail={19: "xylophone", 21: "yodelling"}.get(number, ""),
    )


async def grow(state: Path, begin: int, end: int, gone: int = 0) -> None:
    """Record more, and let go of the first `gone` rows."""
    async with open_store(state, AT_ONCE) as store:
        await store.append([entry(number) for number in range(begin, end)])
        if gone:
            tree = Tree()
            tree.extend(await store.leaves(0, gone))
            assert await store.append((), rows.prune(0, tree))


def kept(state: Path) -> None:
    """Do all that is to be done to the index."""
    with closing(Keeper(state)) as keeper:
        while keeper.step():
            pass


def found(state: Path, text: str, **more: object) -> list[int]:
    """Where a search finds something, newest first; a page at a time."""
    seqs: list[int] = []
    before: int | None = None
    with reading(state) as db:
        while page := newest(db, Query(text=text, before=before, limit=2, **more)):  # type: ignore[arg-type]  # any
            seqs += [row.seq for row in page]
            before = seqs[-1]
    return seqs


QUERIES = {
    "one word": ({"text": PLANTED}, [40, 30, 20, 10]),
    "the beginning of one": ({"text": "zanz"}, [40, 30, 20, 10]),
    "its first letter": ({"text": "z"}, [40, 30, 20, 10]),
    "two words": ({"text": f"{PLANTED} data/3"}, [30]),
    "none": ({"text": "nowhere"}, []),
    "one of another principal": ({"text": PLANTED, "principal": "os:bob"}, [40, 20]),
    "filters": ({"text": PLANTED, "filters": {"session": "s1", "outcome": "ok"}}, [40, 10]),
    "a filter without an index": ({"text": PLANTED, "filters": {"client": "claude-code"}}, [40, 30, 20, 10]),
    "a filter with few rows": ({"text": "data", "filters": {"tool": "rare"}}, [20]),
    "a span": ({"text": PLANTED, "since": a_record(25).at, "until": a_record(35).at}, [30]),
    "everything": ({"text": "write_file"}, [seq for seq in range(SIZE, 0, -1) if seq != 20]),
}


@pytest.fixture(
    params=["without", "whole", "of the newest", "of the oldest", "of another record", "damaged", "foreign"]
)
def looked_at(request: pytest.FixtureRequest, state: Path) -> Path:
    """The folder, with an index in each of its conditions."""
    how = request.param
    if how == "without":
        return state
    if how == "of the newest":
        with closing(Keeper(state)) as keeper:
            assert keeper.step()
            assert keeper.step()
        return state
    kept(state)
    file = state / INDEX_NAME
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        if how == "of the oldest":
            db.execute("DELETE FROM block WHERE number > 0")
        elif how == "of another record":
            for number in range(3):
                db.execute(f"DELETE FROM words_{number}_data WHERE id > 10")
            db.execute("UPDATE block SET leaf = zeroblob(32)")
        elif how == "damaged":
            for number in range(3):
                db.execute(f"UPDATE words_{number}_data SET block = x'00ff' WHERE id > 10")
        elif how == "without blocks":
            db.execute("DROP TABLE block")
    if how == "foreign":
        for name in searching.files_of(state):
            name.unlink(missing_ok=True)
        file.write_bytes(b"no database at all, but long enough to look like one " * 100)
    return state


@pytest.mark.parametrize("name", QUERIES)
def test_the_same_is_found_whatever_the_index_is_worth(looked_at: Path, name: str) -> None:
    asked, seqs = QUERIES[name]
    assert found(looked_at, **asked) == seqs


def test_the_index_is_what_finds_where_it_covers(state: Path) -> None:
    """A row that the index leaves out although it covers it isn't found: so the others weren't looked through."""
    kept(state)
    with closing(sqlite3.connect(state / INDEX_NAME, isolation_level=None)) as db:
        held = " ".join(sorted(searching.words(searching_text(state, 30))))
        db.execute("INSERT INTO words_1 (words_1, rowid, text) VALUES ('delete', 30, ?)", (held,))
    assert found(state, PLANTED) == [40, 20, 10]


def searching_text(state: Path, seq: int) -> str:
    """The text that is searched of a row."""
    with reading(state) as db:
        (row,) = newest(db, Query(before=seq + 1, limit=1))
    return indexing.text_of(row.record)


def test_what_the_index_names_is_read_from_the_record(state: Path) -> None:
    kept(state)
    with closing(sqlite3.connect(state / INDEX_NAME, isolation_level=None)) as db:
        db.execute("INSERT INTO words_0 (rowid, text) VALUES (?, ?)", (5, f"{PLANTED} alice os bob"))
    assert found(state, PLANTED) == [40, 30, 20, 10]
    assert found(state, PLANTED, principal="os:bob") == [40, 20]


def test_what_is_recorded_later_is_found_before_and_after_it_is_taken_in(state: Path) -> None:
    kept(state)
    anyio.run(grow, state, SIZE + 1, SIZE + 21)
    assert found(state, PLANTED) == [60, 50, 40, 30, 20, 10]
    kept(state)
    assert found(state, PLANTED) == [60, 50, 40, 30, 20, 10]
    assert spans(state) == [(48, 60), (32, 48), (16, 32), (0, 16)]


def spans(state: Path) -> list[tuple[int, int]]:
    """Which rows the index covers."""
    with opened(state) as index:
        assert index is not None
        return [(block.after, block.upto) for block in index.blocks()]


def test_what_was_pruned_is_overwritten_and_the_rest_is_still_found(state: Path) -> None:
    kept(state)
    assert b"xylophone" in stored(state)
    with closing(Keeper(state)) as keeper:
        anyio.run(grow, state, SIZE + 1, SIZE + 2, 20)
        while keeper.step():
            pass
        assert b"xylophone" not in stored(state)
        assert b"yodelling" in stored(state)
        assert found(state, PLANTED) == [40, 30]
        assert spans(state) == [(32, 41), (20, 32)]


def test_what_was_pruned_is_overwritten_once_nobody_reads_it_any_more(state: Path) -> None:
    kept(state)
    with closing(Keeper(state)) as keeper:
        keeper._db.execute("PRAGMA busy_timeout=0")
        with opened(state):
            anyio.run(grow, state, SIZE + 1, SIZE + 2, 20)
            while keeper.step():
                pass
            assert b"xylophone" in stored(state)
        assert not keeper.step()
        assert b"xylophone" not in stored(state)


def stored(state: Path) -> bytes:
    """All bytes of the files of the index."""
    return b"".join(file.read_bytes() for file in searching.files_of(state) if file.exists())


def test_an_index_of_another_record_is_made_anew(state: Path) -> None:
    kept(state)
    with closing(sqlite3.connect(state / INDEX_NAME, isolation_level=None)) as db:
        db.execute("UPDATE block SET leaf = zeroblob(32) WHERE number < 2")
        db.execute("DELETE FROM words_0_data WHERE id > 10")
    kept(state)
    assert found(state, PLANTED) == [40, 30, 20, 10]
    assert spans(state) == [(32, 40), (16, 32), (0, 16)]


def test_a_batch_ends_after_so_many_bytes(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BYTES", 1)
    with closing(Keeper(state)) as keeper:
        assert keeper.step()
        assert spans(state) == [(32, 33)]


def test_the_index_is_its_owners_alone(state: Path) -> None:
    before = os.umask(0)
    try:
        kept(state)
        with closing(Keeper(state)):
            modes = [file.stat().st_mode & 0o777 for file in searching.files_of(state) if file.exists()]
    finally:
        os.umask(before)
    assert len(modes) == 3
    assert set(modes) == {0o600}


def test_a_row_that_is_no_record_is_passed_over(state: Path) -> None:
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute('UPDATE record SET body = CAST(\'{"detail": "zanzibar"}\' AS BLOB) WHERE seq = 30')
    assert found(state, PLANTED) == [40, 20, 10]
    kept(state)
    assert found(state, PLANTED) == [40, 20, 10]


# --- the task -----------------------------------------------------------------------------------------------------


class Held:
    """An index that is kept beside the test, on a clock that the test turns."""

    def __init__(self, state: Path, *, wanted: bool = True) -> None:
        self.clock = FakeClock()
        self.task = Indexing(state, self.clock, wanted=wanted)

    async def rested(self, seconds: float) -> None:
        """Let it work until it sleeps for so long."""
        while True:
            await self.clock.asleep(1)
            due = self.clock._sleepers[0][0]
            if due - self.clock.ticks >= seconds:
                return
            self.clock.advance(due - self.clock.ticks)


async def test_the_task_follows_the_record(state: Path) -> None:
    held = Held(state)
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held.task.run)
            await held.rested(indexing.LOOK)
            await grow(state, SIZE + 1, SIZE + 11)
            held.clock.advance(indexing.LOOK)
            await held.rested(indexing.LOOK)
            assert (await anyio.to_thread.run_sync(spans, state))[0] == (48, 50)
            tasks.cancel_scope.cancel()
    assert not (state / f"{INDEX_NAME}-wal").exists()  # it was closed


def spoiled(state: Path, how: str) -> None:
    """Leave an index that is worth nothing."""
    kept(state)
    if how == "no database":
        (state / INDEX_NAME).write_bytes(b"no database " * 500)
        return
    with closing(sqlite3.connect(state / INDEX_NAME, isolation_level=None)) as db:
        db.execute("DROP TABLE block" if how == "no blocks" else "PRAGMA user_version=99")


@pytest.mark.parametrize("how", ["no database", "another version", "no blocks"])
def test_an_index_that_is_damaged_or_of_another_version_is_made_anew(
    state: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoiled(state, how)
    assert found(state, PLANTED) == [40, 30, 20, 10]
    task = Indexing(state, FakeClock(), wanted=True)
    assert task.look() == indexing.LOOK
    assert "can't be kept now" in caplog.text
    assert not (state / INDEX_NAME).exists()
    assert task.look() == indexing.PAUSE
    task.close()


def test_an_index_that_can_not_be_made_to_work_is_tried_again_later(
    state: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_WORDS", "USING fts5(text, nonsense='yes')")
    task = Indexing(state, FakeClock(), wanted=True)
    assert [task.look(), task.look(), task.look()] == [indexing.LOOK, indexing.PATIENCE, indexing.PATIENCE]
    assert caplog.text.count("can't be kept now") == 1


def test_what_fails_is_said_once_and_tried_again(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    (state / INDEX_NAME).symlink_to(state / "elsewhere")
    task = Indexing(state, FakeClock(), wanted=True)
    assert [task.look(), task.look()] == [indexing.PATIENCE] * 2
    assert caplog.text.count("can't be kept now") == 1
    assert not (state / "elsewhere").exists()
    (state / INDEX_NAME).unlink()
    assert task.look() == indexing.PAUSE
    task.close()


def test_without_fts5_the_task_ends_and_the_search_works(
    state: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_WORDS", "USING fts9(text)")
    monkeypatch.setattr(indexing, "MISSING", "no such module: fts9")
    assert Indexing(state, FakeClock(), wanted=True).look() is None
    assert "has no FTS5" in caplog.text
    assert found(state, PLANTED) == [40, 30, 20, 10]


def test_an_index_that_is_not_wanted_is_removed(state: Path) -> None:
    kept(state)
    anyio.run(Indexing(state, FakeClock(), wanted=False).run)
    assert not any(file.exists() for file in searching.files_of(state))
    assert found(state, PLANTED) == [40, 30, 20, 10]


def test_an_index_that_can_not_be_removed_is_said(
    state: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(state: Path) -> bool:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(indexing, "remove", refuse)
    assert Indexing(state, FakeClock(), wanted=False).look() == indexing.PATIENCE
    (state / INDEX_NAME).write_bytes(b"no database " * 500)
    assert Indexing(state, FakeClock(), wanted=True).look() == indexing.PATIENCE
    assert "can't be removed" in caplog.text
