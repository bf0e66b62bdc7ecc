"""The journal of what is under way outlives the gateway that wrote it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.transport.journal import MAX_SIZE, InFlight, Journal


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        yield file.fileno()


def next_one(fd: int) -> Journal:
    """The journal as the next gateway finds it."""
    return Journal(os.dup(fd))


def test_what_began_and_did_not_end_is_left_until_it_is_made_good(fd: int) -> None:
    journal = next_one(fd)
    journal.begin(1, "tools/call")
    journal.begin("b", "tools/list")
    journal.end(1)
    journal.close()
    for _ in range(2):
        journal = next_one(fd)
        assert journal.requests == (InFlight("b", "tools/list"),)
        journal.close()
    journal = next_one(fd)
    journal.end("b")
    journal.close()
    assert os.fstat(fd).st_size == 0
    assert next_one(fd).requests == ()


def test_a_request_and_a_question_with_one_id_are_two(fd: int) -> None:
    journal = next_one(fd)
    journal.begin(1, "tools/call")
    journal.ask(1)
    journal.ask("q")
    journal.end(1)
    journal.settle("q")
    assert (next_one(fd).requests, next_one(fd).questions) == ((), (1,))


def test_an_idle_connection_leaves_an_empty_journal(fd: int) -> None:
    journal = next_one(fd)
    journal.begin(1, "tools/call")
    journal.end(1)
    journal.end(1)
    journal.settle(1)
    journal.writing(half=False)
    assert os.fstat(fd).st_size == 0
    assert not next_one(fd).torn


def test_a_line_that_may_have_no_end_is_told(fd: int) -> None:
    journal = next_one(fd)
    journal.begin(1, "tools/call")
    journal.writing(half=True)
    assert next_one(fd).torn
    journal.writing(half=False)
    assert not next_one(fd).torn


@pytest.mark.parametrize("cut", [b'["+",2,"tools', b"[true,", b"x" * 900])
def test_a_half_written_line_is_passed_over_and_written_over(fd: int, cut: bytes) -> None:
    journal = next_one(fd)
    journal.begin(1, "tools/call")
    journal.close()
    os.pwrite(fd, cut, os.fstat(fd).st_size)
    journal = next_one(fd)
    journal.begin(2, "x")
    assert next_one(fd).requests == (InFlight(1, "tools/call"), InFlight(2, "x"))


def test_a_whole_line_of_another_version_is_passed_over(fd: int) -> None:
    os.pwrite(fd, b'[true,"news",1,""]\n["+",7,"tools/call"]\n', 0)
    journal = next_one(fd)
    journal.begin(2, "x")
    assert next_one(fd).requests == (InFlight(2, "x"),)


def test_a_busy_journal_stays_bounded(fd: int) -> None:
    journal = next_one(fd)
    journal.begin("first", "tools/call")
    for number in range(2 * MAX_SIZE // 40):
        journal.begin(number, "tools/call")
        journal.end(number)
    journal.close()
    assert os.fstat(fd).st_size < 2 * MAX_SIZE
    assert next_one(fd).requests == (InFlight("first", "tools/call"),)


@pytest.mark.parametrize("unread", [b'{"half a \xff line', b"x" * 5 * MAX_SIZE], ids=["half a line", "a lot"])
def test_unread_bytes_are_handed_over_once(fd: int, unread: bytes) -> None:
    journal = next_one(fd)
    journal.begin(7, "tools/call")
    journal.leave(unread)
    journal.close()
    journal = next_one(fd)
    assert journal.requests == (InFlight(7, "tools/call"),)
    assert journal.take_unread() == (unread, b"")
    assert next_one(fd).take_unread() == (b"", b"")


def test_how_a_line_begins_that_was_read_in_part_is_kept_until_it_is_read(fd: int) -> None:
    journal = next_one(fd)
    journal.reading(b'{"json')
    journal.reading(b'{"jsonrpc')
    assert next_one(fd).take_unread() == (b"", b'{"jsonrpc')
    journal = next_one(fd)
    assert journal.take_unread() == (b"", b"")
    journal.reading(b"x")
    journal.reading(b"")
    assert os.fstat(fd).st_size == 0
