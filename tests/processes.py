"""What this process has: children and descriptors. A test asks before and after, since others of the suite may have
left some in it."""

import os
from contextlib import suppress
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(OSError):
        return _fields(pid)[0] not in "ZX"
    return False


def children(watchdog: bool = False) -> set[int]:
    """Our living direct children; the watchdog that ends orphans only if that is asked for."""
    found = set()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):
            state, parent, *_ = _fields(pid)
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if int(parent) == os.getpid() and state not in "ZX" and (watchdog or b"orphans" not in command):
                found.add(pid)
    return found


def descriptors() -> set[tuple[int, str]]:
    """Our open descriptors, each with what it is open for."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


def _fields(pid: int) -> list[str]:
    """Of a process's status: its state, its parent, and the rest."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
