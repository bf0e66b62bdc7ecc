"""`wardgate serve`: the gateway itself; and the same, whole, behind `wardgate stdio --standalone`.

The scanner loads in a thread from the first moment on, beside the imports of everything else.
"""

import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError, RecordError, StateError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.screening.early import EarlyEngine

INVALID, UNREACHABLE = 1, 3


def run(argv: Sequence[str]) -> int:
    """Serve until told to stop; exit codes 0, 1 invalid configuration, 2 usage, 3 state folder or record not usable."""
    from gateway.cli.common import parser

    options = parser("serve", __doc__)
    options.add_argument("--on-demand", action="store_true", help="end after ten idle minutes (what the shim uses)")
    given = options.parse_args(argv)

    async def work(settings: "Settings", early: "EarlyEngine") -> None:
        from gateway.app.run import serve

        await serve(settings, early, on_demand=given.on_demand)

    return _run(given.config, work)


def standalone(config: str | None, client: str | None) -> int:
    """Run the whole gateway on this process's pipes; exit codes as for `serve`."""

    async def work(settings: "Settings", early: "EarlyEngine") -> None:
        from gateway.app.run import standalone

        await standalone(settings, client or "", early)

    return _run(config, work)


def _run(config: str | None, work: "Callable[[Settings, EarlyEngine], Awaitable[None]]") -> int:
    from gateway.screening.early import EarlyEngine

    early = EarlyEngine()
    gc.disable()  # what is imported stays: looking through it for garbage costs a tenth of the start
    import anyio

    from gateway.sdk import import_lightly

    import_lightly()
    from gateway.app.logs import log_as
    from gateway.app.run import prepare_process
    from gateway.config import load_settings

    prepare_process()
    os.umask(0o077)
    say = _say
    try:
        settings = load_settings(Path(config) if config else None, os.environ)
        if settings.gateway.log == "json":
            log_as("json")
            say = _log
        gc.freeze()
        gc.enable()
        anyio.run(work, settings, early, backend_options={"use_uvloop": sys.platform != "win32"})
    except ConfigurationError as problem:
        say(problem)
        return INVALID
    except (StateError, RecordError) as problem:
        say(problem)
        return UNREACHABLE
    except KeyboardInterrupt:
        return 0
    return 0


def _say(problem: Exception) -> None:
    print(f"wardgate: {problem}", file=sys.stderr)


def _log(problem: Exception) -> None:
    logging.getLogger("wardgate").critical("%s", problem)
