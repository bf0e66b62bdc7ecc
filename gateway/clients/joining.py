"""Plan what `connect` and `disconnect` do to one file, show it, and carry it out.

Planning changes nothing. Carrying out writes down first what the file was, and does it second.
"""

import os
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.clients import edit, kept, write
from gateway.clients.kept import Connection, digest
from gateway.clients.read import ClientFile, Server
from gateway.clients.secrets import masked
from gateway.errors import ConfigurationError


class Plan(Struct, frozen=True):
    """What is to be done to one file. `now`, `then`: its text, None for no file."""

    file: ClientFile
    target: Path
    now: str | None
    then: str | None
    before: str = ""  # what is kept as a backup
    known: Connection | None = None  # what is kept of it already
    connection: Connection | None = None  # what will be kept of it; None: nothing
    disabled: tuple[Server, ...] = ()
    left: tuple[str, ...] = ()  # what somebody else changed since, a line each
    lost: bool = False  # not all that was there before comes back: it is set aside
    forgets: bool = False  # nothing is kept of it afterwards

    @property
    def changes(self) -> bool:
        """Whether there is anything to do to the file."""
        return self.now != self.then

    def difference(self) -> str:
        """A unified diff in which no secret is shown."""
        old, new = (masked(text or "", self.file.client.format).splitlines() for text in (self.now, self.then))
        name = str(self.file.path)
        names = (name if self.now is not None else "/dev/null", name if self.then is not None else "/dev/null")
        return "\n".join(unified_diff(old, new, *names, lineterm=""))


class _Undone(Struct, frozen=True):
    """A file without the gateway. `left`: what somebody else changed since; `lost`: something that was there before."""

    text: str
    left: tuple[str, ...] = ()
    lost: bool = False


def plan_connect(
    file: ClientFile, project: Path, state: Path, entry: Mapping[str, Any], off: Sequence[Server], at: str
) -> Plan:
    """Register the gateway by `entry`, and disable the servers `off`, which stand in the file as it is now."""
    target = write.target_of(file, project)
    now = write.content_of(target)
    known = kept.connection(state, file, target)
    then, changes = edit.register(now or "", file, project, entry, off)
    if now is not None and not changes:
        return Plan(file, target, now, now, known=known)
    base = _Undone(now or "")
    if known is not None:
        base = _undone(state, known, now, file)
        if now and now.strip():
            stand = edit.standing(now, file, known.changes)
        else:
            stand = edit.taken_whole(base.text, file, known.changes)
        changes = edit.joined(stand, changes)
    connection = Connection(
        client=file.client.name,
        scope=file.place.scope,
        file=str(file.path),
        target=str(target),
        project=str(project),
        at=at,
        created=known.created if known is not None else now is None,
        before=digest(base.text.encode()),
        after=digest(then.encode()),
        changes=changes,
        made=known.made if known is not None else (),
        found=digest(now.encode()) if now is not None and known is not None else "",
    )
    disabled = _missing(then, base.text, file, project)
    return Plan(file, target, now, then, base.text, known, connection, disabled, base.left, base.lost)


def plan_disconnect(file: ClientFile, project: Path, state: Path) -> Plan:
    """Take the gateway out of a file again, and put back what was there."""
    target = write.target_of(file, project)
    now = write.content_of(target)
    known = kept.connection(state, file, target)
    then, left, lost = now, tuple[str, ...](), False
    if known is not None:
        undone = _undone(state, known, now, file)
        then, left, lost = undone.text, undone.left, undone.lost
        if known.created and edit.is_empty(undone.text, file):
            then = None
        if known.target != str(target) and os.path.lexists(known.target):
            left += (f"`{known.target}`, where a link led before, stays as it is",)
    elif now is not None:
        then = edit.strip(now, file, project)
        if then != now:
            left = ("nothing is kept of what stood there before, so only the gateway's entry is taken out",)
    return Plan(file, target, now, then, known=known, left=left, lost=lost, forgets=True)


def carry_out(plan: Plan, state: Path) -> None:
    """Do it; raises `ConfigurationError` or `StateError` where it can't be done, and then nothing is changed."""
    known, connection = plan.known, plan.connection
    moved = known is not None and connection is not None and known.name != connection.name
    with kept.alone(state):
        if plan.changes:
            write.expect(plan.target, plan.now)
        if plan.lost and known is not None:
            kept.set_aside(state, known)
        if connection is not None:
            lacking = write.lacking_folders(plan.target)
            made = msgspec.structs.replace(connection, made=(*connection.made, *lacking))
            kept.keep(state, made, plan.before.encode())
        if plan.changes:
            try:
                _write(plan, state)
            except ConfigurationError:
                if connection is not None and (known is None or moved):
                    kept.forget(state, connection)
                raise
        if known is not None and (plan.forgets or moved):
            kept.forget(state, known)


def _write(plan: Plan, state: Path) -> None:
    try:
        if plan.then is not None:
            write.make_folders(plan.target)
            write.replace(plan.target, plan.now, plan.then)
        elif plan.now is not None:
            write.remove(plan.target, plan.now, plan.known.made if plan.known is not None else ())
    except OSError as problem:
        still = f"; `{kept.backup_file(state, plan.known)}` is the file as it was" if plan.known is not None else ""
        raise ConfigurationError(
            f"`{plan.target}` can't be written ({problem.strerror}): nothing was changed{still}"
        ) from None


def _undone(state: Path, known: Connection, now: str | None, file: ClientFile) -> _Undone:
    """The file without the gateway: as it was, where it is gone or empty, or nobody changed it since."""
    text = now or ""
    was = digest(text.encode())
    if now is not None and was == known.before:
        return _Undone(now)
    backup = kept.backup(state, known)
    if digest(backup) == known.before and (was in (known.after, known.found) or not text.strip()):
        return _Undone(backup.decode())
    then, left = edit.undo(text, file, known.changes)
    if not backup or not edit.loses(text, file, known.changes):
        return _Undone(then, left)
    line = f"`{kept.aside_file(state, known)}` is the file as it was: not all of it comes back"
    return _Undone(then, (*left, line), lost=True)


def _missing(text: str, base: str, file: ClientFile, project: Path) -> tuple[Server, ...]:
    """The servers of `base` that a text doesn't have its client start."""
    there = {(server.scope, server.name) for server in edit.originals(text, file, project)}
    return tuple(each for each in edit.originals(base, file, project) if (each.scope, each.name) not in there)
