"""Notice that files of the configuration change, and have them looked at. What is in them is not read here.

`watchfiles` is imported once the gateway runs: no start waits for it.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from gateway.app.reload import Reload
from gateway.config import Settings

if TYPE_CHECKING:
    from watchfiles import Change

STEP = 100  # milliseconds between two looks at what the system noticed
DEBOUNCE = 1_000  # milliseconds after which changes are told though more come
POLL = 2_000  # milliseconds between two looks where the system notices nothing

log = logging.getLogger("wardgate")


async def watch(settings: Settings, reload: Reload) -> None:
    """Ask for a look whenever a TOML file changes in the folders of the configuration and the policies, and once at the
    beginning; until cancelled. Where that can't be noticed, a signal (SIGHUP) still asks for one.
    """
    folders = await anyio.to_thread.run_sync(_prepared, settings)
    reload.ask()  # what changed while the gateway started
    try:
        await _follow(folders, reload, polling=False)
    except OSError as problem:
        log.warning("changes of files are looked for every %s s: %s", POLL / 1000, problem)
        try:
            await _follow(folders, reload, polling=True)
        except OSError as again:
            log.warning("changes of policies are not noticed (%s): SIGHUP loads them", again)


async def _follow(folders: tuple[Path, ...], reload: Reload, *, polling: bool) -> None:
    from watchfiles import awatch

    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_cancelled, stop)
        noticed = awatch(
            *folders,
            watch_filter=_concerns,
            debounce=DEBOUNCE,
            step=STEP,
            stop_event=stop,
            recursive=False,
            force_polling=polling,
            poll_delay_ms=POLL,
        )
        async for _ in noticed:
            reload.ask()
        tasks.cancel_scope.cancel()


async def _until_cancelled(stop: anyio.Event) -> None:
    """Let go of the thread that waits for changes: it looks at this between two steps."""
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()


def _concerns(_change: "Change", path: str) -> bool:
    """Whether a file may count: drafts that editors put in its place begin with a dot, or end otherwise."""
    name = Path(path).name
    return name.endswith(".toml") and not name.startswith(".")


def _prepared(settings: Settings) -> tuple[Path, ...]:
    """The folders that there are, each to be watched by itself; blocks, and imports what watches."""
    import watchfiles  # noqa: F401 - imported for its time alone

    both = dict.fromkeys((settings.gateway.policies, settings.root))
    return tuple(folder for folder in both if folder.is_dir())
