"""Look for the servers that a user's clients start, and plan what becomes of them. Starts and changes nothing.

What only files of a project name is kept apart: whoever wrote what was cloned wrote these commands.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.clients import ClientFile, Server, files, read
from gateway.config import check, load_settings
from gateway.config.references import resolve, split_reference
from gateway.errors import ConfigurationError
from gateway.initial.compose import Base
from gateway.initial.nouns import Plan, Planned
from gateway.initial.placing import stop_at_errors
from gateway.initial.plan import plan
from gateway.place import config_file

PLAIN = "mcp-json"  # the client's name that means `.mcp.json`, whoever reads it


class Found(Struct, frozen=True):
    """What was found: the plan, the `whole` one with what only a project names, and clients to register."""

    files: tuple[ClientFile, ...]
    unread: tuple[str, ...]
    plan: Plan
    whole: Plan
    clients: tuple[str, ...]
    all_clients: tuple[str, ...]  # the same with those that only a project has files of

    @property
    def of_project(self) -> Sequence[Planned]:
        """The upstreams that only the whole plan has."""
        return [one for one in self.whole.new if one.project and one not in self.plan.new]

    def with_project(self) -> "Found":
        """The same with what the project names."""
        return replace(self, plan=self.whole, clients=self.all_clients)


def base_of(config: str | None, environ: Mapping[str, str]) -> Base:
    """What there is already; raises `ConfigurationError` for a configuration with errors."""
    from platformdirs import user_config_path  # imported late: only this needs it

    file = config_file(config, environ)
    if file.exists():
        stop_at_errors(check(file, environ), "mend it first")
        return Base(file, load_settings(file, environ))
    return Base(file, state="" if file.parent == user_config_path("wardgate") else "state")


def look(
    base: Base, environ: Mapping[str, str], project: Path, only: Collection[str] = (), *, take_project: bool = False
) -> Found:
    """Everything that the clients' files name (`only` of some clients); what can't be read is told, and no matter."""
    opened = tuple(_once_each(file for file in files(environ, project) if _wanted(file, only)))
    found: list[Server] = []
    unread: list[str] = []
    for _, named, problem in read(opened, project):
        found += named
        unread += [problem] if problem else []
    own = [server for server in found if server.scope != "project"]
    present = base.settings.upstreams if base.settings is not None else {}

    def planned(some: Iterable[Server]) -> Plan:
        return plan(
            some, present, environ, str(project), lambda reference: value_of(reference, base.config.parent, environ)
        )

    mine = [file for file in opened if file.place.scope != "project"]
    whole = planned([*own, *(server for server in found if server.scope == "project")])  # own ones keep their names
    result = Found(opened, tuple(unread), planned(own), whole, _unregistered(base, mine), _unregistered(base, opened))
    return result.with_project() if take_project else result


def _once_each(found: Iterable[ClientFile]) -> Iterable[ClientFile]:
    """The files without those of a project that are the user's own too: the project may be the home folder."""
    known = list(found)
    own = {file.path for file in known if file.place.scope != "project"}
    return (file for file in known if file.place.scope != "project" or file.path not in own)


def _wanted(file: ClientFile, only: Collection[str]) -> bool:
    return not only or file.client.name in only or (PLAIN in only and file.path.name == ".mcp.json")


def _unregistered(base: Base, found: Iterable[ClientFile]) -> tuple[str, ...]:
    known = base.settings.clients if base.settings is not None else {}
    return tuple(dict.fromkeys(file.client.name for file in found if file.client.name not in known))


def value_of(reference: str, folder: Path, environ: Mapping[str, str]) -> str | None:
    """The value of a reference, None where there is none now, or a program would have to be run for it."""
    if split_reference(reference)[0] == "cmd":
        return None
    try:
        return resolve(reference, folder, environ)
    except ConfigurationError:
        return None
