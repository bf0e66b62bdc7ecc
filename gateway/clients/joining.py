"""Plan what `connect` and `disconnect` do to one file, show it, and carry it out.

Planning changes nothing. Carrying out writes down first what the file was, and does it second.
"""

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


def plan_connect(
    file: ClientFile, project: Path, state: Path, entry: Mapping[str, Any], off: Sequence[Server], at: str
) -> Plan:
    """Register the gateway by `entry`, and disable the servers `off`, which stand in the file as it is now."""
    target = write.target_of(file, project)
    now = write.content_of(target)
    known = kept.connection(state, file.client.name, file.place.scope, target)
    then, changes = edit.register(now or "", file, project, entry, off)
    if now is not None and not changes:
        return Plan(file, target, now, now, known=known)
    base, again = _base(state, known, now, file), off
    if base != (now or ""):
        again = [server for server in edit.originals(base, file, project) if _is_off(server, off, known)]
        then, changes = edit.register(base, file, project, entry, again)
    created = now is None or (known is not None and known.created)
    connection = Connection(
        client=file.client.name,
        scope=file.place.scope,
        file=str(file.path),
        target=str(target),
        project=str(project),
        at=at,
        created=created,
        before=digest(base.encode()),
        after=digest(then.encode()),
        changes=changes,
        made=known.made if known is not None else (),
    )
    return Plan(file, target, now, then, base, known, connection, tuple(again))


def plan_disconnect(file: ClientFile, project: Path, state: Path) -> Plan:
    """Take the gateway out of a file again, and put back what was there."""
    target = write.target_of(file, project)
    now = write.content_of(target)
    known = kept.connection(state, file.client.name, file.place.scope, target)
    then, left = now, tuple[str, ...]()
    if now is not None and known is None:
        then = edit.strip(now, file, project)
        if then != now:
            left = ("nothing is kept of what stood there before, so only the gateway's entry is taken out",)
    elif now is not None and known is not None:
        if digest(now.encode()) in (known.after, known.before):
            then = _base(state, known, now, file)
        else:
            then, left = edit.undo(now, file, known.changes)
        if known.created and edit.is_empty(then, file):
            then = None
    return Plan(file, target, now, then, known=known, left=left, forgets=True)


def carry_out(plan: Plan, state: Path) -> None:
    """Do it; raises `ConfigurationError` or `StateError` where it can't be done, and then nothing is changed."""
    with kept.alone(state):
        if plan.changes:
            write.expect(plan.target, plan.now)
        if plan.connection is not None:
            lacking = write.lacking_folders(plan.target)
            made = msgspec.structs.replace(plan.connection, made=(*plan.connection.made, *lacking))
            kept.keep(state, made, plan.before.encode())
        if plan.changes:
            try:
                _write(plan)
            except ConfigurationError:
                if plan.connection is not None and plan.known is None:
                    kept.forget(state, plan.connection)
                raise
        if plan.forgets and plan.known is not None:
            kept.forget(state, plan.known)


def _write(plan: Plan) -> None:
    try:
        if plan.then is not None:
            write.make_folders(plan.target)
            write.replace(plan.target, plan.now, plan.then)
        elif plan.now is not None:
            write.remove(plan.target, plan.now, plan.known.made if plan.known is not None else ())
    except OSError as problem:
        raise ConfigurationError(
            f"`{plan.target}` can't be written ({problem.strerror}): nothing was changed"
        ) from None


def _base(state: Path, known: Connection | None, now: str | None, file: ClientFile) -> str:
    """The file as it would be without the gateway."""
    if known is None or now is None:
        return now or ""
    was = digest(now.encode())
    if was == known.before:
        return now
    if was == known.after:
        backup = kept.backup(state, known)
        if digest(backup) == known.before:
            return backup.decode()
    return edit.undo(now, file, known.changes)[0]


def _is_off(server: Server, off: Sequence[Server], known: Connection | None) -> bool:
    """Whether a server is to be disabled: now, or it was so the last time."""
    if any((server.scope, server.name) == (one.scope, one.name) for one in off):
        return True
    paths = [change.path for change in known.changes] if known is not None else []
    return any(server.name in path for path in paths)
