"""The gateway's own log, on stderr: as lines for people, or as JSON, one object a line. It is told nothing of a call's
values, and adds nothing.

Libraries stay silent, because they log what they could not parse.
"""

import json
import logging
import os
import sys
import threading
import warnings
from datetime import UTC, datetime
from traceback import extract_tb
from types import TracebackType
from typing import TextIO

from gateway.core.record import stamp
from gateway.core.visible import visible

log = logging.getLogger("wardgate")

SILENT = (
    *("mcp", "client", "httpx", "httpx2", "httpcore", "uvicorn", "asyncio", "anyio", "sse_starlette", "apprise"),
    *("opentelemetry",),
)


class Lines(logging.Formatter):
    """Time (UTC), logger, level and message; what names of others hold can't move a terminal's cursor."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return f"{_time(record)} {record.name} {record.levelname} {visible(_said(record))}"


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII: `time`, `level`, `logger`, `pid`, `message`; of an exception also `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """One object."""
        about = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "pid": os.getpid()}
        trace = {"trace": _places(record.exc_info[2])} if record.exc_info else {}
        return json.dumps({**about, "message": _said(record), **trace})


def log_as(form: str) -> None:
    """From now on, log so: `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("wardgate").setLevel(logging.INFO)
    logging.raiseExceptions = False  # else a line that can't be written is told over many, with its arguments
    warnings.showwarning = _warned
    if form == "json":
        sys.excepthook = _broke
        threading.excepthook = sys.unraisablehook = _broke_beside
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _broke(kind: type[BaseException], broken: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught ends the process, and is the last line."""
    log.critical("it broke", exc_info=(kind, broken, trace))


def _broke_beside(about: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    """The same in a thread, or where nobody could have caught it: the process goes on."""
    if about.exc_value is not None:
        log.error("it broke", exc_info=(about.exc_type, about.exc_value, about.exc_traceback))


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A library's warning: which one, and where. Its words may hold what it could not read, or write."""
    log.warning("%s at %s:%d", category.__name__, filename, lineno)


def _places(trace: TracebackType | None) -> list[str]:
    """Where it broke: files and lines, and no values."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(trace)]


def _said(record: logging.LogRecord) -> str:
    """The message; of an exception only which one it is: its words, and its traceback, may hold values of a call."""
    kind = record.exc_info[0] if record.exc_info else None
    return record.getMessage() + (f" ({kind.__name__})" if kind is not None else "")


def _time(record: logging.LogRecord) -> str:
    return stamp(datetime.fromtimestamp(record.created, UTC))
