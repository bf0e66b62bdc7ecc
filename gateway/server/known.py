"""What is known of clients: how long each waits for an answer (`clients.toml`, beside this file).

A name that a client gives itself proves nothing: it only says how long a call is held. It decides nothing.
"""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Clock(NamedTuple):
    """A client's clock, in seconds: how long to hold a call without and with a progress token, and when the client
    itself gives up (0: not known).
    """

    silent: float
    heard: float
    limit: float


class _Row(NamedTuple):
    name: str
    transport: str
    clock: Clock


def _read() -> tuple[_Row, ...]:
    file = Path(__file__).with_name("clients.toml")
    rows = tomllib.loads(file.read_text(encoding="utf-8"))["client"]
    return tuple(
        _Row(row["name"], row["transport"], Clock(float(row["silent"]), float(row["heard"]), float(row["limit"])))
        for row in rows
    )


TABLE = _read()  # at import: a file can't be read while calls run


@lru_cache(maxsize=256)
def clock_of(claimed: str, transport: str) -> Clock:
    """The clock of a client by what it calls itself; the last row fits all."""
    return next(row.clock for row in TABLE if claimed.startswith(row.name) and row.transport in ("", transport))
