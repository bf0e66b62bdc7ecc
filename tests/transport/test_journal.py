"""The journal of calls in flight outlives the gateway that wrote it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.transport.journal import MAX_SIZE, InFlight, Journal, left_open


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        yield file.fileno()


def test_what_began_and_did_not_end_is_left(fd: int) -> None:
    journal = Journal(os.dup(fd))
    journal.begin(1, "tools/call")
    journal.begin("b", "tools/list")
    journal.end(1)
    journal.close()
    assert left_open(fd) == ((InFlight("b", "tools/list"),), b"")
    assert left_open(fd) == ((), b"")


def test_an_idle_connection_leaves_an_empty_journal(fd: int) -> None:
    journal = Journal(os.dup(fd))
    journal.begin(1, "tools/call")
    journal.end(1)
    journal.end(1)
    journal.close()
    assert os.fstat(fd).st_size == 0


def test_a_half_written_line_is_passed_over(fd: int) -> None:
    journal = Journal(os.dup(fd))
    journal.begin(1, "tools/call")
    journal.close()
    os.pwrite(fd, b'["+",2,"tools', os.fstat(fd).st_size)
    assert left_open(fd) == ((InFlight(1, "tools/call"),), b"")


def test_a_busy_journal_stays_bounded(fd: int) -> None:
    journal = Journal(os.dup(fd))
    journal.begin("first", "tools/call")
    for number in range(2 * MAX_SIZE // 40):
        journal.begin(number, "tools/call")
        journal.end(number)
    journal.close()
    assert os.fstat(fd).st_size < 2 * MAX_SIZE
    assert left_open(fd) == ((InFlight("first", "tools/call"),), b"")


def test_unread_bytes_are_handed_over(fd: int) -> None:
    journal = Journal(os.dup(fd))
    journal.begin(7, "tools/call")
    journal.leave(b'{"half a \xff line')
    journal.close()
    assert left_open(fd) == ((InFlight(7, "tools/call"),), b'{"half a \xff line')
