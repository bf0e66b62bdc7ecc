"""What processes have: children, descriptors, memory. Of its own process a test asks before and after, since others of
the suite may have left some in it.
"""

import os
from contextlib import suppress
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(OSError):
        return facts_of(pid)[0] not in "ZX"
    return False


def children(watchdog: bool = False) -> set[int]:
    """Our living direct children; the watchdog that ends orphans only if that is asked for."""
    return children_of(os.getpid()) - (set() if watchdog else children_of(os.getpid(), b"orphans"))


def children_of(parent: int, word: bytes = b"") -> set[int]:
    """The living direct children of a process that have a word in their command line."""
    found = set()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):  # it has ended meanwhile
            state, its, *_ = facts_of(pid)
            if int(its) == parent and state not in "ZX" and word in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def descriptors() -> set[tuple[int, str]]:
    """Our open descriptors, each with what it is open for."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


def facts_of(pid: int) -> list[str]:
    """Of a process's status: its state, its parent, and the rest; raises `OSError` for one that is gone."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def resident(pid: int) -> int:
    """What a process holds in memory, in kB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} holds no memory: it has ended")
