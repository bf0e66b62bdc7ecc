"""Following the record from another process: what is there, what comes, and what happens to the file meanwhile."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from gateway import following
from gateway.core.query import Query
from gateway.errors import StateError
from gateway.following import follow
from gateway.schema import STORE_NAME, VERSION
from gateway.store import open_store
from tests.store.keep import AT_ONCE, an_entry


def grow(state: Path, *numbers: int, **more: object) -> None:
    """A gateway starts, records something and stops."""

    async def write() -> None:
        async with open_store(state, AT_ONCE) as store:
            await store.append([an_entry(number, **more) for number in numbers])

    anyio.run(write)


class Followed:
    """A record that is followed; each look is one of the steps that were given, and what it brought."""

    def __init__(self, state: Path, query: Query | None = None) -> None:
        self._steps: list[object] = []
        self._looks = follow(state, query or Query(), self._pause)

    def _pause(self) -> None:
        if not self._steps:
            raise InterruptedError
        step = self._steps.pop(0)
        if callable(step):
            step()

    def begin(self) -> list[int]:
        """What is there at first."""
        return [row.seq for row in next(self._looks)]

    def after(self, *steps: object) -> list[list[int]]:
        """What comes when these things happen one after the other, with a look after each."""
        self._steps, brought = list(steps), list[list[int]]()
        with suppress(InterruptedError):
            for rows in self._looks:
                brought.append([row.seq for row in rows])
        return brought


@pytest.fixture
def state(tmp_path: Path) -> Path:
    grow(tmp_path / "state", 1, 2, 3)
    return tmp_path / "state"


def test_it_begins_with_the_newest_page_and_goes_on_with_what_comes(state: Path) -> None:
    looked = Followed(state, Query(limit=2))
    assert looked.begin() == [2, 3]
    assert looked.after(
        None, lambda: grow(state, 4, 5), None, lambda: grow(state, 6), lambda: grow(state, 7, 8, 9)
    ) == [[4, 5], [6], [7, 8, 9]]


def test_what_comes_has_to_fit_too(state: Path) -> None:
    looked = Followed(state, Query({"tool": "read_file"}, text="planted", principal="os:bob"))
    fits: dict[str, object] = {"tool": "read_file", "detail": "planted", "principal": "os:bob"}
    assert looked.begin() == []
    assert looked.after(
        lambda: grow(state, 4, **fits),
        lambda: grow(state, 5, **{**fits, "tool": "write_file"}),
        lambda: grow(state, 6, **{**fits, "detail": "other"}),
        lambda: grow(state, 7, **{**fits, "principal": "os:alice"}),
        lambda: grow(state, 8, **fits),
    ) == [[4], [8]]


def test_much_is_handed_over_in_parts(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST", 2)
    looked = Followed(state)
    assert looked.begin() == [1, 2, 3]
    assert looked.after(lambda: grow(state, 4, 5, 6, 7, 8)) == [[4, 5], [6, 7], [8]]


def test_a_record_that_is_away_for_a_while_is_followed_again(state: Path) -> None:
    looked = Followed(state)
    assert looked.begin() == [1, 2, 3]
    away = state / "away"

    def back() -> None:
        away.rename(state / STORE_NAME)
        grow(state, 4)

    assert looked.after(lambda: (state / STORE_NAME).rename(away), None, back) == [[4]]


def test_an_older_record_that_is_put_in_its_place_is_followed_from_its_end(state: Path, tmp_path: Path) -> None:
    shutil.copytree(state, tmp_path / "older")
    grow(state, 4, 5)
    looked = Followed(state)
    assert looked.begin() == [1, 2, 3, 4, 5]

    def replaced() -> None:
        for end in ("-wal", "-shm"):
            (state / f"{STORE_NAME}{end}").unlink(missing_ok=True)
        os.replace(tmp_path / "older" / STORE_NAME, state / STORE_NAME)

    assert looked.after(replaced, lambda: grow(state, 6)) == [[4]]


def test_without_a_record_there_is_nothing_to_follow(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="there is no record"):
        Followed(tmp_path).begin()


def test_what_is_no_record_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / STORE_NAME).write_bytes(b"no database " * 500)
    with pytest.raises(StateError, match="can't be read"):
        Followed(tmp_path).begin()


def test_a_record_of_a_newer_gateway_is_not_followed(state: Path) -> None:
    with closing(sqlite3.connect(state / STORE_NAME)) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(StateError, match="newer"):
        Followed(state).begin()


def test_a_row_that_is_no_record_ends_it(state: Path) -> None:
    looked = Followed(state)
    assert looked.begin() == [1, 2, 3]
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute(
            "INSERT INTO record SELECT 4, x'7b7d', leaf, kind, id, at, principal, client, session, upstream, tool,"
            " tier, verdict, reason, outcome, approval FROM record WHERE seq = 3"
        )
    with pytest.raises(StateError, match="row 4"):
        looked.after(None)
