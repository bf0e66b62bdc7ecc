"""What is being waited for, shown at a terminal once it takes over a second. Nothing in pipes, and with `--json`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from gateway.cli.common import at_terminal

NAME = "progress"  # of the thread that shows it
AFTER = 1.0  # seconds before anything is shown: most commands are done by then


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[None]:
    """Show `what` and for how long it has been going on, on standard error, until the block ends; then nothing is left.

    Nothing may be printed inside the block. `quiet` is for `--json`.
    """
    if quiet or not at_terminal(sys.stderr):
        yield
        return
    done = Event()
    shower = Thread(target=_show, name=NAME, args=(what, done), daemon=True)
    shower.start()
    try:
        yield
    finally:
        done.set()
        shower.join()


def _show(what: str, done: Event) -> None:
    if done.wait(AFTER):
        return
    from rich.console import Console  # imported late: what is quick draws nothing
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as shown:
        shown.add_task(what)
        done.wait()
