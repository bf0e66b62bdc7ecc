"""A program for tests of exports: export a record to a file, be killed at each step there is, go on, and compare.

It forks, so it is a process of its own with nothing else in it. `python -m tests.exports FOLDER` prints how many
different steps there were at which a kill -9 lost nothing and doubled nothing.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from gateway.exporting import LINES, Bookmark, Export, Keeper, OutputFile, Window, attach, gateway_of, run
from gateway.reading import reading

STEPS = ("write", "fsync", "ftruncate", "open", "replace")


class Never:
    """Nobody asks to stop."""

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        return False


def killed_at(step: int) -> None:
    """Let this process be killed before its so manieth step; of a write half is done."""
    steps = count(1)

    def broken(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            if next(steps) == step:
                if name == "write":
                    real(given[0], bytes(given[1])[: len(given[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)

        return call

    for name in STEPS:
        setattr(os, name, broken(name, getattr(os, name)))


def export(folder: Path) -> None:
    """Export once, to `out` with the bookmark `mark`, as the command does."""
    form = LINES["jsonl"]
    with reading(folder / "state") as db:
        gateway = gateway_of(db)
    with Keeper(folder / "mark") as keeper, OutputFile(folder / "out", form, gateway) as file:
        exported = Export(folder / "state", Window(), Never(), lambda text: None)
        mark = keeper.load()
        exported.begin(mark)

        def keep(_: object = None) -> None:
            made: Bookmark = exported.mark(gateway, form.name, file)
            keeper.save(made)

        attach(file, mark, keep, lambda text: None)
        keep()
        assert exported.run(file, keep, follow=False)


def main(folder: Path) -> None:
    """Kill at every first step, and for each at every step of going on; then go on to the end."""
    run.PAGE = 3
    export(folder)
    whole = (folder / "out").read_bytes()
    points = 0
    for first in count(1):
        for name in ("out", "mark"):
            (folder / name).unlink()
        if not _dies(folder, first):
            break
        for step in range(first % 4 + 1, 40, 4):
            if not _dies(folder, step):
                break
        export(folder)
        assert (folder / "out").read_bytes() == whole, f"killed at step {first}"
        points += 1
    print(points, whole.count(b"\n"))


def _dies(folder: Path, step: int) -> bool:
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            killed_at(step)
            export(folder)
            os._exit(0)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"failed at step {step}"
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
