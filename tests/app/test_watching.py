"""Changes of files are noticed, and asked about; what is no policy asks for nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from gateway.app.watching import _concerns, watch
from gateway.config import Settings, load_settings
from tests.app.test_reload import BASE, CONFIG, STOP, laid_out, write
from tests.fakes import DEADLINE


class Asked:
    """A reload that notes that it was asked."""

    def __init__(self) -> None:
        self.event, self.count = anyio.Event(), 0

    def ask(self) -> None:
        self.count += 1
        self.event.set()
        self.event = anyio.Event()


@asynccontextmanager
async def watched(tmp_path: Path) -> AsyncIterator[tuple[Settings, Asked]]:
    """A configuration that is watched; the first question was asked."""
    folder = laid_out(tmp_path, a=BASE)
    settings, asked = await anyio.to_thread.run_sync(load_settings, folder, {}), Asked()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            first = asked.event
            tasks.start_soon(watch, settings, asked)
            await first.wait()
            yield settings, asked
            tasks.cancel_scope.cancel()


async def until_asked(asked: Asked, path: Path, text: str) -> None:
    """Write a file until that is noticed: the watcher takes a moment to begin."""
    before = asked.count
    while asked.count == before:
        write(path, text)
        with anyio.move_on_after(0.5):
            await asked.event.wait()


async def test_a_policy_that_changes_is_asked_about_and_so_is_upstreams_toml(tmp_path: Path) -> None:
    async with watched(tmp_path) as (settings, asked):
        await until_asked(asked, settings.gateway.policies / "stop.toml", STOP)
        await until_asked(asked, settings.file, CONFIG + "# more\n")


def test_drafts_and_other_files_concern_nobody() -> None:
    names = ("a.toml", "a.test.toml", ".a.toml.new", "a.toml~", "tools.lock", ".a.toml", "a.toml.draft")
    assert [name for name in names if _concerns(None, f"/x/policies/{name}")] == ["a.toml", "a.test.toml"]  # type: ignore[arg-type]  # which change it is plays no part
