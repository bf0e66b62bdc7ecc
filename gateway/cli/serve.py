"""`wardgate serve`: the gateway itself; and the same, whole, behind `wardgate stdio --standalone`.

The scanner loads in a thread from the first moment on, beside the imports of everything else.
"""

import gc
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
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True  # the SDK has some hundred validators; few of them are ever used

    from gateway.app.run import prepare_process
    from gateway.config import load_settings

    prepare_process()
    os.umask(0o077)
    try:
        settings = load_settings(Path(config) if config else None, os.environ)
        gc.freeze()
        gc.enable()
        anyio.run(work, settings, early, backend_options={"use_uvloop": sys.platform != "win32"})
    except ConfigurationError as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return INVALID
    except (StateError, RecordError) as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        return 0
    return 0
