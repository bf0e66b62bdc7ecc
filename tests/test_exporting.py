"""Exports to lines: exactly the rows, each once, whatever is killed; and a bookmark that fits no other record."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import anyio
import pytest

from gateway.core.model import Kind
from gateway.core.record import encode
from gateway.errors import StateError
from gateway.exporting import (
    LINES,
    Bookmark,
    Export,
    Keeper,
    Lines,
    OutputFile,
    Undelivered,
    Window,
    attach,
    gateway_of,
)
from gateway.exporting import run as running
from gateway.reading import Row, log_item, reading
from gateway.records import Records
from gateway.schema import STORE_NAME
from gateway.store import Store, open_store, rows
from tests.exports import Never
from tests.fakes import NOON, FakeClock, a_record
from tests.store.keep import AT_ONCE, on_disk

ROOT = Path(__file__).parents[1]
SIZE = 10
ALL = Window()
FORM = LINES["jsonl"]


class Upto:
    """Asks to stop once so many looks for new rows were awaited; between two of them something may happen."""

    def __init__(self, looks: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._looks, self._meanwhile = looks, meanwhile

    def is_set(self) -> bool:
        return self._looks <= 0

    def wait(self, seconds: float) -> bool:
        self._looks -= 1
        self._meanwhile()
        return self.is_set()


def fill(state: Path, first: int = 1, count: int = SIZE, and_then: Callable[[Store], object] | None = None) -> Path:
    async def write() -> None:
        async with open_store(state, AT_ONCE) as store:
            for number in range(first, first + count):
                await Records(store, FakeClock()).append(a_record(number, Kind.OUTCOME, outcome="ok"))
            if and_then is not None:
                await and_then(store)  # type: ignore[misc]  # a coroutine function

    anyio.run(write)
    return state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("made") / "state")


@pytest.fixture
def state(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "state"))


def exported(
    state: Path,
    *,
    mark: Bookmark | None = None,
    window: Window = ALL,
    follow: Upto | None = None,
    skip: bool = False,
) -> tuple[list[int], Bookmark]:
    """The rows that an export to a stream hands over, and its bookmark."""
    stream = BytesIO()
    with reading(state) as db:
        gateway = gateway_of(db)
    outlet = Lines(stream, FORM, gateway)
    export = Export(state, window, follow or Never(), lambda text: None, skip_pruned=skip)
    export.begin(mark)
    assert export.run(outlet, lambda: None, follow=follow is not None)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line["seq"] for line in lines], export.mark(gateway, FORM.name, outlet)


def to_file(state: Path, folder: Path) -> list[str]:
    """Export to `folder/out` with the bookmark `folder/mark`, as the command does; what it said."""
    said: list[str] = []
    with reading(state) as db:
        gateway = gateway_of(db)
    with Keeper(folder / "mark") as keeper, OutputFile(folder / "out", FORM, gateway) as file:
        export = Export(state, Window(), Never(), said.append)
        mark = keeper.load()
        export.begin(mark)
        attach(file, mark, lambda outlet: keeper.save(export.mark(gateway, FORM.name, outlet)), said.append)
        assert export.run(file, lambda: keeper.save(export.mark(gateway, FORM.name, file)), follow=False)
    return said


def seqs(folder: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in (folder / "out").read_text(encoding="utf-8").splitlines()]


def prune(state: Path, upto: int) -> None:
    """Let go of the rows up to one, as the gateway does."""

    async def go() -> None:
        async with open_store(state, AT_ONCE) as store:
            tree = (await rows.get_pruned(store)).copy()
            for leaf in await store.leaves(tree.size, upto):
                tree.append(leaf)
            assert await store.append((), rows.prune(0, tree))

    anyio.run(go)


def test_rows_come_oldest_first_in_the_shape_of_the_log(made: Path) -> None:
    stream = BytesIO()
    export = Export(made, Window(), Never(), lambda text: None)
    export.begin(None)
    assert export.run(Lines(stream, FORM, "g"), lambda: None, follow=False)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines == [log_item(Row(seq, record)) for seq, record in enumerate(on_disk(made), 1)]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(after=7), [8, 9, 10]),
        (Window(since=NOON + timedelta(seconds=8)), [8, 9, 10]),
        (Window(until=NOON + timedelta(seconds=3)), [1, 2]),
        (Window(2, NOON + timedelta(seconds=2), NOON + timedelta(seconds=5)), [3, 4]),
        (Window(since=NOON + timedelta(days=9)), []),
    ],
)
def test_a_window_holds_what_it_says(made: Path, window: Window, expected: list[int]) -> None:
    assert exported(made, window=window)[0] == expected


def test_a_time_far_on_is_found_without_reading_all(tmp_path: Path) -> None:
    async def later(store: Store) -> None:
        await Records(store, FakeClock()).append(a_record(99, at=NOON + timedelta(hours=5)))

    state = fill(tmp_path / "state", and_then=later)
    window = Window(since=NOON + timedelta(hours=1))
    export = Export(state, window, Never(), lambda text: None)
    export.begin(None)
    assert export.seq == SIZE
    assert exported(state, window=window)[0] == [SIZE + 1]


def test_where_the_clock_went_back_no_row_is_jumped_over(tmp_path: Path) -> None:
    async def back(store: Store) -> None:
        records = Records(store, FakeClock())
        await records.append(a_record(90, at=NOON + timedelta(hours=5)))
        await records.append(
            a_record(
                91,
                Kind.CLOCK,
                at=NOON,
                extra={"expected": "2026-11-22T17:00:00.000000Z", "found": "2026-11-22T12:00:00.000000Z"},
            )
        )
        await records.append(a_record(92, at=NOON + timedelta(seconds=1)))

    state = fill(tmp_path / "state", and_then=back)
    assert exported(state, window=Window(since=NOON + timedelta(hours=1)))[0] == [SIZE + 1]


def test_a_bookmark_goes_on_where_it_stands(state: Path) -> None:
    first, mark = exported(state)
    fill(state, 50, 3)
    second, _ = exported(state, mark=mark)
    assert first + second == list(range(1, SIZE + 4))


def test_following_hands_over_what_comes_and_ends_well_when_asked(state: Path) -> None:
    written, _ = exported(state, follow=Upto(2, lambda: fill(state, 50, 2)))
    assert written == list(range(1, SIZE + 3))


def test_pages_are_bounded_in_rows_and_in_bytes(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST", 2 * len(encode(on_disk(made)[0])) + 60)
    with reading(made) as db:
        assert len(running.page(db, 0, 5).rows) == 2
        monkeypatch.setattr(running, "MOST", 1)
        assert [row.seq for row in running.page(db, 3, 5).rows] == [4]
    assert exported(made)[0] == list(range(1, SIZE + 1))


@pytest.mark.slow
def test_killed_at_any_step_a_file_holds_each_row_once(state: Path) -> None:
    command = [sys.executable, "-m", "tests.exports", str(state.parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps, lines = map(int, done.stdout.split())
    assert (steps > 30, lines) == (True, SIZE)


def test_what_stands_behind_the_bookmark_is_cut_off_and_written_again(state: Path, tmp_path: Path) -> None:
    to_file(state, tmp_path)
    with (tmp_path / "out").open("ab") as file:
        file.write(b'{"seq":11,"ki')
    assert len(to_file(state, tmp_path)) == 1
    assert seqs(tmp_path) == list(range(1, SIZE + 1))  # there is nothing to be written yet
    with (tmp_path / "out").open("ab") as file:
        file.write(b'{"seq":11,"ki' + b"x" * 9999)
    fill(state, 50, 1)
    assert len(to_file(state, tmp_path)) == 1
    assert seqs(tmp_path) == list(range(1, SIZE + 2))


def test_a_file_that_was_moved_away_begins_anew(state: Path, tmp_path: Path) -> None:
    to_file(state, tmp_path)
    (tmp_path / "out").unlink()
    fill(state, 50, 2)
    assert len(to_file(state, tmp_path)) == 1
    assert seqs(tmp_path) == [SIZE + 1, SIZE + 2]


FOREIGN: dict[str, Callable[[Path], object]] = {
    "shorter": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "another": lambda file: file.write_bytes(b"x" * 9999),
    "edited": lambda file: file.write_bytes(file.read_bytes().replace(b"files", b"piles")),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"notes of somebody's own"),
}


@pytest.mark.parametrize("change", FOREIGN)
def test_a_file_that_is_not_the_bookmarks_is_not_touched(state: Path, tmp_path: Path, change: str) -> None:
    to_file(state, tmp_path)
    FOREIGN[change](tmp_path / "out")
    before = (tmp_path / "out").read_bytes()
    with pytest.raises(StateError):
        to_file(state, tmp_path)
    assert (tmp_path / "out").read_bytes() == before


def test_a_file_without_a_bookmark_is_not_touched(state: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b'{"seq":1')
    with pytest.raises(StateError):
        to_file(state, tmp_path)
    assert (tmp_path / "out").read_bytes() == b'{"seq":1'
    assert not (tmp_path / "mark").exists()


def test_a_file_can_be_read_by_its_owner_only(state: Path, tmp_path: Path) -> None:
    to_file(state, tmp_path)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("out", "mark", "mark.lock")} == {0o600}


def test_two_exports_never_share_a_bookmark(tmp_path: Path) -> None:
    with Keeper(tmp_path / "mark"), pytest.raises(StateError, match="another export"), Keeper(tmp_path / "mark"):
        pass


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"gateway":"g","seq":1,"leaf":"","form":"jsonl","schema":2}', b"[1]"]
)
def test_what_is_no_bookmark_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mark").write_bytes(content)
    with Keeper(tmp_path / "mark") as keeper, pytest.raises(StateError, match="no bookmark"):
        keeper.load()


def test_a_bookmark_that_can_not_be_kept_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError), Keeper(tmp_path / "none" / "mark"):
        pass
    with Keeper(tmp_path / "mark") as keeper:
        (tmp_path / "mark.draft").mkdir()
        with pytest.raises(StateError, match="can't be written"):
            keeper.save(Bookmark("g", 1, "", "jsonl"))
        (tmp_path / "mark").mkdir()
        with pytest.raises(StateError, match="can't be read"):
            keeper.load()


def test_a_bookmark_of_another_record_is_refused(state: Path, tmp_path: Path) -> None:
    _, mark = exported(state)
    other = fill(tmp_path / "other" / "state", count=SIZE + 5)
    with pytest.raises(StateError, match="another gateway"):
        exported(other, mark=mark)


def test_an_older_copy_is_refused(made: Path, state: Path) -> None:
    fill(state, 50, 3)
    _, mark = exported(state)
    with pytest.raises(StateError, match="ends at row 10"):
        exported(made, mark=mark)


def test_an_older_copy_that_grew_otherwise_is_refused(made: Path, state: Path, tmp_path: Path) -> None:
    fill(state, 50, 3)
    _, mark = exported(state)
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    fill(copy, 60, 9)
    with pytest.raises(StateError, match="row 13"):
        exported(copy, mark=mark)


def test_rows_that_were_let_go_of_are_told_and_skipped_only_if_wanted(state: Path) -> None:
    _, mark = exported(state, window=Window(after=2))
    early = Bookmark(mark.gateway, 2, "", "jsonl")
    prune(state, 6)
    assert exported(state)[0] == [7, 8, 9, 10]  # nothing was promised
    with pytest.raises(StateError, match="4 rows behind 2"):
        exported(state, mark=early)
    with pytest.raises(StateError, match="4 rows behind 2"):
        exported(state, window=Window(after=2))
    assert exported(state, mark=early, skip=True)[0] == [7, 8, 9, 10]
    assert exported(state, mark=mark)[0] == []


def test_rows_that_are_let_go_of_while_it_follows_are_missed(state: Path) -> None:
    def meanwhile() -> None:
        fill(state, 50, 4)
        prune(state, SIZE + 2)

    with pytest.raises(StateError, match="2 rows behind 10"):
        exported(state, follow=Upto(2, meanwhile))


def test_a_gap_in_the_record_ends_the_export(state: Path) -> None:
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute("DELETE FROM record WHERE seq = 5")
    with pytest.raises(StateError, match="missing"):
        exported(state)


def test_a_body_that_is_none_ends_the_export(state: Path) -> None:
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute("UPDATE record SET body = x'00' WHERE seq = 5")
    with pytest.raises(StateError, match="row 5"):
        exported(state)


def test_a_record_that_is_nobodys_is_refused(state: Path) -> None:
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute("DELETE FROM meta WHERE name = 'gateway'")
    with reading(state) as db, pytest.raises(StateError, match="whose"):
        gateway_of(db)


def test_what_was_not_taken_is_not_counted(made: Path) -> None:
    class Closed(BytesIO):
        def flush(self) -> None:
            raise BrokenPipeError(32, "gone")

    export = Export(made, Window(), Never(), lambda text: None)
    export.begin(None)
    with pytest.raises(Undelivered):
        export.run(Lines(Closed(), FORM, "g"), lambda: None, follow=False)
    assert export.seq == 0


def test_a_disk_that_takes_nothing_is_an_error(made: Path, tmp_path: Path) -> None:
    with OutputFile(tmp_path / "out", FORM, "g") as file:
        with pytest.raises(Undelivered):
            file.hand_over([Row(1, a_record())])  # it was not opened
        file.begin()
        with pytest.raises(StateError):
            file.begin()
    with OutputFile(tmp_path, FORM, "g") as folder, pytest.raises(StateError):
        folder.go_on(Bookmark("g", 0, "", "jsonl", 0))
