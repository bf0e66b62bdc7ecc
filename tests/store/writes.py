"""A program that writes records until it is killed, and says which ones it was told are on the disk."""

import sys
from itertools import count
from pathlib import Path

import anyio

from gateway.core.model import Kind
from gateway.store import open_store
from tests.store.keep import an_entry


async def main(state: Path) -> None:
    """Write in several tasks at once, as calls do; queued rows in between."""
    async with open_store(state) as store, anyio.create_task_group() as tasks:

        async def write(worker: int) -> None:
            for number in count(worker, 4):
                store.queue(an_entry(number, Kind.OUTCOME, outcome="ok"))
                await store.append([an_entry(number)])
                print(number, flush=True)

        for worker in range(4):
            tasks.start_soon(write, worker)


anyio.run(main, Path(sys.argv[1]))
