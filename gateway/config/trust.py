"""Read a file of the user's only if nobody else could have written it, by owner, mode and symlinks.

Writes nothing. INVARIANT: the text that is returned comes from the descriptor whose owner and mode were checked.
"""

import os
import stat
from pathlib import Path

from gateway.core.problems import Problem

MAX_BYTES = 1024 * 1024
MAX_LINKS = 20


def read_trusted(path: Path, shown: str) -> tuple[str, tuple[Problem, ...]]:
    """The text of a file, without a mark of its byte order, and why it can't be trusted or read; the text is
    empty where there is any problem.
    """
    reasons = list(distrust(path.parent))
    text = ""
    try:
        with open(path, "rb", opener=_at_once) as file:
            facts = os.fstat(file.fileno())
            reasons += _mode(path, facts)
            reasons += _links(path)
            if not stat.S_ISREG(facts.st_mode):
                reasons.append(f"expected a file, found another thing at `{path}`")
            elif facts.st_size > MAX_BYTES:
                reasons.append(f"expected at most {MAX_BYTES} bytes, found {facts.st_size}")
            else:
                text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        reasons.append(f"expected UTF-8, found another byte at {broken.start}")
    except OSError as broken:
        reasons.append(f"can't be read: {(broken.strerror or type(broken).__name__).lower()}: `{path}`")
    problems = tuple(Problem(shown, 0, "", "", str(path), reason) for reason in dict.fromkeys(reasons))
    return ("" if problems else text), problems


def _at_once(path: str, flags: int) -> int:
    """Open without waiting: a pipe in the place of a file must not hold the gateway."""
    return os.open(path, flags | os.O_NONBLOCK)


def distrust(path: Path) -> tuple[str, ...]:
    """Why others could change what stands at `path` (a file or folder): one text for each reason."""
    try:
        return (*_mode(path, path.stat()), *_links(path))
    except OSError as broken:
        return (f"can't be read: {(broken.strerror or type(broken).__name__).lower()}: `{path}`",)


def _mode(path: Path, facts: os.stat_result) -> list[str]:
    reasons: list[str] = []
    if facts.st_mode & stat.S_IWOTH:
        reasons.append(f"everybody can write `{path}`: chmod o-w")
    if facts.st_mode & stat.S_IWGRP and not _private_group(facts.st_uid, facts.st_gid):
        reasons.append(f"a group can write `{path}`: chmod g-w")
    if facts.st_uid not in (os.getuid(), 0):
        reasons.append(f"`{path}` belongs to another user (uid {facts.st_uid})")
    return reasons


def _private_group(uid: int, gid: int) -> bool:
    """Whether a group is the one that a user has for himself alone."""
    import grp  # POSIX only, and seldom needed
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _links(path: Path) -> list[str]:
    """Where the way to `path` leads over a symlink, every component of it must belong to the user or root."""
    linked, foreign = False, ""
    todo = [Path(os.path.abspath(path))]  # noqa: PTH100 - resolve() would hide the symlinks that are looked for
    hops = 0
    while todo and hops <= MAX_LINKS:
        whole = todo.pop()
        for component in (*reversed(whole.parents), whole):
            facts = component.lstat()
            if facts.st_uid not in (os.getuid(), 0):
                foreign = foreign or str(component)
            if stat.S_ISLNK(facts.st_mode):
                linked, hops = True, hops + 1
                target = component.parent / os.readlink(component)  # noqa: PTH115 - a Path would lose `..` steps
                rest = whole.relative_to(component)
                todo.append(Path(os.path.normpath(target / rest)))
                break
    if hops > MAX_LINKS:
        return [f"too many symlinks on the way to `{path}`"]
    return (
        [f"a symlink leads to `{path}` over `{foreign}`, which belongs to another user"] if linked and foreign else []
    )
