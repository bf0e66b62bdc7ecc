"""The gateway's log: one line for each message, whatever is in it, and no value that an exception carries."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway.app.logs import JsonLines, Lines

ODD = "\x1b[2Jred\nnext\u202e"


def a_line(form: logging.Formatter, message: str, *args: object, broken: BaseException | None = None) -> str:
    info = (type(broken), broken, broken.__traceback__) if broken is not None else None
    record = logging.LogRecord("wardgate.store", logging.WARNING, "file.py", 1, message, args, info)
    record.created = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
    return form.format(record)


def test_json_lines_hold_time_level_logger_and_message() -> None:
    told = json.loads(a_line(JsonLines(), "row %d can't be counted", 7))
    assert told.pop("pid")
    assert told == {
        "time": "2026-11-22T12:00:00.000000Z",
        "level": "warning",
        "logger": "wardgate.store",
        "message": "row 7 can't be counted",
    }


@pytest.mark.parametrize("form", [JsonLines(), Lines()])
def test_a_name_moves_no_cursor_and_begins_no_line(form: logging.Formatter) -> None:
    line = a_line(form, "tool `%s`", ODD)
    assert line.isprintable()
    assert "\x1b" not in line


@pytest.mark.parametrize("form", [JsonLines(), Lines()])
def test_what_an_exception_says_stays_out(form: logging.Formatter) -> None:
    try:
        raise ValueError("planted-value")
    except ValueError as problem:
        line = a_line(form, "it broke", broken=problem)
    assert "planted" not in line
    assert "ValueError" in line
    if isinstance(form, JsonLines):
        assert any("test_what_an_exception_says_stays_out" in place for place in json.loads(line)["trace"])


def test_a_crash_and_a_warning_are_lines_of_json_too() -> None:
    program = (
        "import warnings; from gateway.app.logs import log_as; log_as('json');"
        "from gateway.app.logs import log; log.warning('%d', 'planted-value');"
        "warnings.warn('planted-warning'); {}['planted-value']"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True, timeout=60)
    warned, broke = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, warned["level"], broke["level"]) == (1, "warning", "critical")
    assert "planted-value" not in done.stderr
    assert "planted-warning" not in done.stderr
    assert warned["message"].startswith("UserWarning at ")
    assert broke["message"] == "it broke (KeyError)"


def test_what_breaks_in_a_thread_or_where_nobody_can_catch_it_is_a_line_too() -> None:
    program = (
        "import threading; from gateway.app.logs import log_as; log_as('json')\n"
        "class Odd:\n"
        "    def __del__(self): {}['planted-value']\n"
        "Odd()\n"
        "thread = threading.Thread(target=lambda: {}['planted-value']); thread.start(); thread.join()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [("error", "it broke (KeyError)")] * 2
    assert (done.returncode, "planted-value" in done.stderr) == (0, False)
