"""One conversation with a gateway: the one that runs, or where none does, one in this process that ends with it.

The latter starts the upstreams and opens the store as any gateway would, and imports all of it; nothing else here does.
"""

import gc
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.progress import progress
from gateway.cli.talk import UNREACHABLE, Unreachable, ask

if TYPE_CHECKING:
    from gateway.screening.engine import Kingfisher

Request = dict[str, Any]
Answer = dict[str, Any]


def converse(
    config: str | None,
    first: Request,
    then: Callable[[Answer], Request | None],
    *,
    quiet: bool = True,
    scanner: "Kingfisher | None" = None,
) -> Answer | None:
    """Send `first` and hand its answer to `then`, which says what is sent next, if anything: that answer is returned.

    Unless `quiet`, a terminal is shown that upstreams are being started. A gateway of this process takes the `scanner`
    that is loaded already, if there is one. Raises `Unreachable` where the gateway refuses, or none can be opened.
    """
    try:
        answer = ask(config, **first)
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            raise
        return _alone(config, first, then, quiet, scanner)
    following = then(answer)
    return ask(config, **following) if following is not None else None


def _alone(
    config: str | None,
    first: Request,
    then: Callable[[Answer], Request | None],
    quiet: bool,
    scanner: "Kingfisher | None",
) -> Answer | None:
    """The same in a gateway of this process."""
    from gateway.screening.early import EarlyEngine

    early = EarlyEngine(scanner)
    gc.disable()  # as `serve` does
    import logging

    import anyio

    from gateway.sdk import import_lightly

    import_lightly()
    from gateway.app.build import open_gateway
    from gateway.app.consent import LockCommands
    from gateway.app.run import prepare_process
    from gateway.app.status import StatusCommands
    from gateway.config import load_settings
    from gateway.control import Refusal
    from gateway.errors import WardgateError
    from gateway.people import user_name

    gc.enable()
    prepare_process()
    logging.getLogger("wardgate").setLevel(logging.ERROR)
    os.umask(0o077)
    user = user_name(os.getuid())

    async def work() -> Answer | None:
        settings = load_settings(Path(config) if config else None, os.environ)
        shown.enter_context(progress("starting the upstreams and asking them", quiet))
        async with open_gateway(settings, early) as gateway:
            handlers = {**LockCommands(gateway).handlers(), **StatusCommands(gateway).handlers()}
            answer = await handlers[first["op"]](first, user)
            shown.close()
            following = then(answer)
            return await handlers[following["op"]](following, user) if following is not None else None

    shown = ExitStack()
    try:
        with shown:
            return anyio.run(work)
    except BaseExceptionGroup as several:
        refused, _ = several.split((Refusal, WardgateError, SystemExit))
        if refused is None:
            raise
        raise _told(_first(refused)) from None
    except (Refusal, WardgateError) as problem:
        raise _told(problem) from None


def _first(several: BaseException) -> BaseException:
    while isinstance(several, BaseExceptionGroup):
        several = several.exceptions[0]
    return several


def _told(problem: BaseException) -> BaseException:
    from gateway.control import Refusal
    from gateway.errors import ConfigurationError

    if isinstance(problem, Refusal):
        return Unreachable(str(problem), problem.code)
    if isinstance(problem, SystemExit):
        return problem
    return Unreachable(str(problem), 1 if isinstance(problem, ConfigurationError) else UNREACHABLE)
