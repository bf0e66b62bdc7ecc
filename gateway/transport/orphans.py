"""End what is left of programs and of everything that they started. Run as a script, this file is the watchdog.

Imports next to nothing and nothing of ours, since `python -I -S` runs it alone; prints nothing but that it is ready.
"""

# pathlib and contextlib would take longer to load than all of this:
# ruff: noqa: PTH115, PTH123, PTH208, SIM105

import os
import signal
import time
from collections.abc import Iterable, Mapping

GRACE = 1.0  # seconds between SIGTERM and SIGKILL
LAST = 5.0  # seconds for the system to end what was killed
POLL = 0.02

Facts = tuple[str, int, int, int, str]
"""State, parent, process group, session and start time of a process; its id and start time tell it from all others."""


class Ward:
    """One program that is watched: the pipes that only it was given, the leader of its group, and known descendants.

    INVARIANT: whoever made it doesn't reap the leader before all of the group are gone.
    """

    __slots__ = ("family", "leader", "pipes", "started")

    def __init__(self, pipes: Iterable[str]) -> None:
        """`pipes` are inode numbers; the program itself isn't started yet."""
        self.pipes = frozenset(f"pipe:[{inode}]" for inode in pipes)
        self.leader = 0
        self.started = ""
        self.family: dict[int, str] = {}

    def led_by(self, pid: int, started: str) -> None:
        """Note the program's process, which leads a session and a group of its own."""
        self.leader, self.started = pid, started

    def know_family(self) -> None:
        """Note whom the program started, while their descent can still be seen."""
        if sees_processes():
            self.family.update(members([self]))

    def owns_its_group(self, all_there_is: Mapping[int, Facts]) -> bool:
        """Whether its group's number is still its own: a number that has members is given to no other process."""
        leader = all_there_is.get(self.leader)
        return self.leader > 1 and (leader is None or leader[-1] == self.started)


def sees_processes() -> bool:
    """Whether /proc is there, and speaks of the processes as we see them."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def start_of(pid: int) -> str:
    """When a process was started, in the system's own count; empty where that can't be known."""
    facts = _facts(pid) if sees_processes() else None
    return facts[-1] if facts else ""


def members(wards: Iterable[Ward]) -> dict[int, str]:
    """Every living process of these programs, with its start time.

    By group, by session, by the pipes that it holds as stdin, stdout or stderr, and by descent from one of these.
    """
    wards = list(wards)
    all_there_is = _processes()
    groups = {ward.leader for ward in wards if ward.owns_its_group(all_there_is)}
    pipes = frozenset[str]().union(*(ward.pipes for ward in wards))
    family = {pid: start for ward in wards for pid, start in ward.family.items()}
    spared = {os.getpid(), os.getppid(), 0, 1}
    found: dict[int, str] = {}
    for pid, (_, _, group, session, start) in all_there_is.items():
        theirs = group in groups or session in groups or family.get(pid) == start or _holds(pid, pipes)
        if theirs and pid not in spared:
            found[pid] = start
    grown = True
    while grown:
        young = {pid: facts[-1] for pid, facts in all_there_is.items() if facts[1] in found and pid not in found}
        grown = not young.keys() <= spared
        found.update((pid, start) for pid, start in young.items() if pid not in spared)
    return {pid: start for pid, start in found.items() if all_there_is[pid][0] not in "ZX"}


def end(wards: Iterable[Ward], grace: float) -> None:
    """End all of these programs: SIGTERM, after `grace` seconds SIGKILL. Returns when they are gone, or 5 s later."""
    wards = list(wards)
    if not sees_processes():
        _end_groups(wards, grace)
        return
    began, told = time.monotonic(), set[tuple[int, str, int]]()
    while found := members(wards):
        passed = time.monotonic() - began
        if passed > grace + LAST:
            return
        number = signal.SIGTERM if passed < grace else signal.SIGKILL
        for pid, start in found.items():
            if (pid, start, number) not in told:
                told.add((pid, start, number))
                _signal(pid, start, number)
        wards[0].family.update(found)
        time.sleep(POLL)


def _processes() -> dict[int, Facts]:
    found = ((int(name), _facts(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return {pid: facts for pid, facts in found if facts is not None}


def _facts(pid: int) -> Facts | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as status:
            fields = status.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), fields[19].decode()


def _holds(pid: int, pipes: frozenset[str]) -> bool:
    for number in range(3):
        try:
            if os.readlink(f"/proc/{pid}/fd/{number}") in pipes:
                return True
        except FileNotFoundError:
            continue
        except OSError:  # another user's
            return False
    return False


def _signal(pid: int, start: str, number: int) -> None:
    """Signal exactly this process, and none that got its id meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):  # an old system, or the process is gone
        handle = -1
    try:
        if start_of(pid) == start:
            if handle >= 0:
                signal.pidfd_send_signal(handle, number)
            else:
                os.kill(pid, number)
    except OSError:
        pass  # it is gone
    finally:
        if handle >= 0:
            os.close(handle)


def _end_groups(wards: list[Ward], grace: float) -> None:
    """Without /proc: the groups alone, and only those whose number is still theirs. Leaders are not ours to reap."""
    began = time.monotonic()
    left = [ward.leader for ward in wards if ward.leader > 1]
    for number, deadline in ((signal.SIGTERM, grace), (signal.SIGKILL, grace + LAST)):
        left = [leader for leader in left if _leads(leader) and _told(leader, number)]
        while left and time.monotonic() - began < deadline:
            time.sleep(POLL)
            left = [leader for leader in left if _told(leader, 0)]


def _leads(leader: int) -> bool:
    """Whether a process leads a session of its own number, or is gone: members keep the number from all others."""
    try:
        return os.getsid(leader) == leader
    except ProcessLookupError:
        return True
    except OSError:
        return False


def _told(leader: int, number: int) -> bool:
    try:
        os.killpg(leader, number)
    except OSError:
        return False
    return True


def watch() -> None:
    """Hear on stdin which programs begin (`+`), who leads them (`=`) and which end (`-`); at its end, end the others.

    INVARIANT: it ends with its work: nothing but the end of stdin ends it, and that does.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    try:
        os.write(1, b"ready\n")
    except OSError:
        pass  # the gateway is gone already
    wards: dict[str, Ward] = {}
    with open(0, "rb", closefd=False) as told:
        for line in told:
            match line.decode("ascii", "replace").split():
                case ["+", key, *pipes]:
                    wards[key] = Ward(pipes)
                case ["=", key, pid, *started] if key in wards and pid.isdigit():
                    wards[key].led_by(int(pid), "".join(started))
                case ["-", key]:
                    wards.pop(key, None)
    if wards:
        end(wards.values(), GRACE)


if __name__ == "__main__":
    watch()
