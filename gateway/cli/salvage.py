"""The state folder of a configuration that can't be read any more, while its gateway may still run. Light, and nothing
is guessed: what may stand there and can't be read names no folder.
"""

import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from gateway.cli.options import COMPLETING, shown
from gateway.place import config_file, state_named

_HEADER = re.compile(r"""\s*\[\s*(["']?)gateway\1(?!\s*[\w."'-])""")  # also one that was never closed
_STATE = re.compile(r"""\s*["']?state\b""")
_MAY_NAME = re.compile(r"""[\s\["']*(gateway|state)\b""")


def salvaged(config: Path, problem: Exception) -> Path | None:
    """The state folder of a configuration that can't be read because of `problem`, and one line that tells of both;
    None where it can't be told, or isn't there: no gateway runs then.
    """
    state = None
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        state = _platforms(config)
    elif not isinstance(problem, OSError):
        state = _named(config)
    if state is None or not os.path.isdir(state):  # noqa: PTH112 - where it may not be looked at, there is none
        return None
    if COMPLETING not in os.environ:
        why = problem.strerror if isinstance(problem, OSError) else problem
        _tell(f"configuration `{config}` can't be read: {why}; taken is its state folder `{state}`")
    return state


def _platforms(config: Path) -> Path | None:
    """The platform's state folder for the platform's configuration; None for another one."""
    if config != config_file(None, {}):
        return None
    from platformdirs import user_state_path  # imported late, as in `place`

    return user_state_path("wardgate")


def _named(config: Path) -> Path | None:
    try:
        text = config.read_text(encoding="utf-8-sig", errors="surrogateescape")
        return state_named(_gateway(text), config)
    except (OSError, ValueError, RecursionError):
        return None


def _gateway(text: str) -> Mapping[str, Any]:
    """The table `[gateway]` alone, or of a broken one its `state`; `ValueError` where that may stand elsewhere."""
    import tomllib  # imported late, as in `place`

    lines = text.split("\n")
    begins = [at for at, line in enumerate(lines) if _HEADER.match(line)]
    if len(begins) > 1:
        raise ValueError("there are several tables `[gateway]`")
    inside = lines[begins[0] + 1 :] if begins else []
    table = list(takewhile(lambda line: not line.lstrip().startswith("["), inside))
    try:
        found = tomllib.loads("\n".join(table))
    except (ValueError, RecursionError):
        found = tomllib.loads("\n".join(filter(_STATE.match, table)))
    # INVARIANT: the platform's folder is only meant by a text that can't have named another.
    others = (line for at, line in enumerate(lines) if at not in begins)
    if "state" not in found and any(map(_MAY_NAME.match, others)):
        raise ValueError("`state` may be named where it can't be read")
    return found


@cache
def _tell(line: str) -> None:
    """Say it on standard error, once: a command asks for the state folder again and again."""
    print(f"wardgate: {shown(line)}", file=sys.stderr)
