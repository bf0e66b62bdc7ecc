"""The machine: who else reads the state folder, disk, clock, port, and the scanner's compiled rules. Opens no store."""

import errno
import os
import shlex
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from gateway.cli.doctor.case import Case, there
from gateway.cli.doctor.finding import Finding, Group, Line, warning

MOST_FILES = 5_000  # of the state folder that are looked at
MOST_NAMED = 3
LOW_SPACE = 512 * 1024 * 1024  # bytes, where no configuration says another number
SLACK = timedelta(seconds=5)  # by which two looks at the clock may differ
COMPILED = "*.vscdb"


def private(case: Case) -> Iterator[Finding]:
    """The state folder: keys, record, backups and all else in it are its owner's alone."""
    state = case.state
    if state is None or not there(state):
        return
    try:
        open_to_others = [path for path in _inside(state) if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    except PermissionError:
        yield Finding(Line.PERMISSIONS, "what is in the state folder may not be looked at", where=str(state))
        return
    if not open_to_others:
        yield Finding(Line.PERMISSIONS, "the state folder is its owner's alone", where=str(state))
        return
    names = ", ".join(f"`{path.name}`" for path in open_to_others[:MOST_NAMED])
    more = f" and {len(open_to_others) - MOST_NAMED} more" if len(open_to_others) > MOST_NAMED else ""
    do = f"`chmod -R go-rwx {shlex.quote(str(state))}`"
    yield warning(Line.PERMISSIONS, f"others may read or write {names}{more}", do, where=str(state))


def _inside(folder: Path) -> Iterator[Path]:
    """A folder and what is in it, as far as `MOST_FILES` go; links are not followed."""
    yield folder
    count = 0
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            count += 1
            if count > MOST_FILES:
                return
            if not stat.S_ISSOCK((path := Path(where, name)).lstat().st_mode):
                yield path


def disk(case: Case) -> Iterator[Finding]:
    """Free space where the record is written."""
    if case.state is None:
        return
    place = next(path for path in (case.state, *case.state.parents) if there(path))
    low = case.settings.recording.low_space if case.settings is not None else LOW_SPACE
    free = shutil.disk_usage(place).free
    if free < low:
        do = "make room, or let the record keep less: `[record] keep`, `size`"
        yield warning(Line.DISK, f"{size(free)} free, less than {size(low)}", do, where=str(place))
    else:
        yield Finding(Line.DISK, f"{size(free)} free", where=str(place))


def clock(case: Case) -> Iterator[Finding]:
    """Whether the clock went back behind what is recorded."""
    from gateway.cli.doctor.store import newest  # beside it: both read the record

    last = newest(case)
    if last is None:
        return
    if last > (now := case.now()) + SLACK:
        behind = last - now
        do = "set the clock (`timedatectl set-ntp true`): what expires does so late until it has caught up"
        yield warning(Line.CLOCK, f"{_span(behind)} behind the newest record", do)
    else:
        yield Finding(Line.CLOCK, "not behind the newest record")


def port(case: Case) -> Iterator[Finding]:
    """Whether the address of `listen` is free, or the gateway's own."""
    if case.settings is None:
        return
    host, number = case.settings.gateway.host, case.settings.gateway.port
    address = f"{host}:{number}"
    if case.running and (at := _announced(case)):
        if number == 0:
            yield Finding(Line.PORT, f"the gateway listens at {at}", where="upstreams.toml")
        elif at.endswith(f":{number}/mcp"):
            yield Finding(Line.PORT, f"the gateway listens on {address}", where="upstreams.toml")
        else:
            do = f"end what holds {address}, or change `listen` in `[gateway]`"
            yield warning(Line.PORT, f"taken: the gateway listens at {at} instead", do, address, "upstreams.toml")
    elif not case.running:
        yield _free(host, number, address)


def _free(host: str, number: int, address: str) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as problem:
            taken = "another program has it" if problem.errno == errno.EADDRINUSE else str(problem.strerror).lower()
            do = f"end what holds {address}, or change `listen` in `[gateway]`"
            return warning(Line.PORT, f"can't be listened on: {taken}", do, address, "upstreams.toml")
    return Finding(Line.PORT, f"{address} is free", where="upstreams.toml")


def _announced(case: Case) -> str:
    """Where the gateway that runs says it listens; empty where that can't be read."""
    import json

    try:
        return str(json.loads((case.state or Path()).joinpath("gateway.json").read_bytes())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def rules(case: Case) -> Iterator[Finding]:
    """Whether the scanner's rules are compiled, and loaded in the gateway that runs."""
    if case.running and case.status is not None and case.status.get("scanner") is False:
        do = "wait a moment and look again; `wardgate warm` tells why they don't load"
        yield warning(Line.RULES, "not loaded: what has to be screened is withheld until they are", do)
    from gateway.place import rules_folder

    folder = rules_folder(case.environ)
    if not there(folder):
        found = "not compiled yet: the first start takes some seconds longer"
        yield Finding(Line.RULES, found, where=str(folder), do="`wardgate warm` does it now")
        return
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        do = f"`chmod go-w {shlex.quote(str(folder))}`, or delete it: it has to be a folder of yours"
        yield warning(
            Line.RULES, "others may write where they are kept, so nothing of it is used", do, where=str(folder)
        )
    elif any(file.stat().st_mtime >= _made() for file in folder.glob(COMPILED)):
        yield Finding(Line.RULES, "compiled", where=str(folder))
    else:
        found = "not compiled since the scanner was installed: the first start takes some seconds longer"
        yield Finding(Line.RULES, found, where=str(folder), do="`wardgate warm` does it now")


def _made() -> float:
    """When the scanner was installed; 0 where that isn't known."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        told = next(file for file in files("kingfisher-secret-scanner") or () if file.name == "METADATA")
        return Path(str(told.locate())).stat().st_mtime
    except (PackageNotFoundError, StopIteration, OSError):
        return 0.0


def size(count: float) -> str:
    """A number of bytes, as people write it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for length, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds // length} {word}"
    return f"{seconds} seconds"


GROUP = Group("machine", (private, disk, clock, port, rules))
