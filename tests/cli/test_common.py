"""Tables for people: aligned, never wider than the terminal, and never cut off."""

import io
import json
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.common import INDENT, aligned, at_terminal, columns, folded, json_line

ROW = ("12", "2026-11-22 12:00:00", "intent", "d_0000000001", "claude-code", "files/write_file", "ask", "-", "rule")
CELLS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_what_fits_is_one_line_for_each_row() -> None:
    assert folded([("a", "bb", "c"), ("aaa", "b", "")], 80) == [["a    bb  c"], ["aaa  b"]]


def test_a_long_cell_goes_on_below_itself() -> None:
    assert folded([("a_1", "x" * 45, "write"), ("a_2", "y", "read")], 42) == [
        ["a_1  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  write", "     xxxxxxxxxxxxxxx"],
        ["a_2  y                               read"],
    ]


def test_the_last_columns_go_below_where_no_cell_has_room() -> None:
    first, second = folded([ROW], 80)[0]
    assert first == "12  2026-11-22 12:00:00  intent  d_0000000001  claude-code  files/write_file"
    assert second == "    ask  -  rule"


def test_a_long_first_cell_can_not_look_like_a_row() -> None:
    assert folded([("x" * 50, "b")], 30)[0][1].startswith(INDENT)


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.tuples(*[CELLS] * n), max_size=5)), st.integers(40, 120))
def test_no_line_is_wider_and_nothing_is_lost(rows: list[tuple[str, ...]], width: int) -> None:
    lines = folded(rows, width)
    assert len(lines) == len(rows)
    for row, mine in zip(rows, lines, strict=True):
        assert all(len(line) <= width for line in mine)
        assert all(line.startswith(INDENT) or not line for line in mine[1:] if row[0] and len(row[0]) > width)
        assert sorted("".join(mine).replace(" ", "")) == sorted("".join(row))


@given(st.text())
def test_json_moves_no_cursor_and_means_the_same(text: str) -> None:
    line = json_line({"name": f"{text}\x9b2J\x7f\u202e\ud800 ü 字"})
    assert line.isprintable()
    assert json.loads(line) == {"name": f"{text}\x9b2J\x7f\u202e\ud800 ü 字"}
    assert "ü 字" in line


def test_what_is_no_terminal_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert columns() is None
    assert aligned([("x" * 200, "y" * 200)]) == f"{'x' * 200}  {'y' * 200}"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert columns() == 80
    monkeypatch.setenv("COLUMNS", "wide")
    assert columns() is None  # this terminal doesn't know either
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((66, 20)))
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    assert columns() == 66


@pytest.mark.parametrize(("term", "draws"), [("xterm", True), ("dumb", False), ("", False)])
def test_a_terminal_that_can_not_draw_is_not_drawn_on(term: str, draws: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    assert at_terminal(Terminal()) is draws
    assert at_terminal(io.StringIO()) is False
