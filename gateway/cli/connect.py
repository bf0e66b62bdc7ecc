"""`wardgate connect CLIENT`: register the gateway with a client, and disable the servers that it starts by itself.

The difference is shown first, and nothing is changed without a yes. The file as it was is kept in the state folder;
`wardgate disconnect CLIENT` puts it back.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, USAGE, aligned, fail, parser, print_json
from gateway.cli.options import shown
from gateway.core.clients import CLIENTS, WAIT, Client, entry, usual_scope, words_for

if TYPE_CHECKING:
    from gateway.clients import ClientFile, Server
    from gateway.clients.joining import Plan
    from gateway.config import Settings


def run(argv: Sequence[str]) -> int:
    """Connect; exit codes 0 connected or nothing to do, 1 it can't be or was not agreed to, 2 usage, 3 the state folder
    can't be used.
    """
    options = join_options("connect", __doc__)
    options.add_argument(
        "--only-registered", action="store_true", help="leave servers alone that upstreams.toml doesn't have"
    )
    given = options.parse_args(argv)
    if given.client is None:
        return _list(given)
    return guarded(given, _connect)


def join_options(name: str, about: str | None) -> ArgumentParser:
    """The options that `connect` and `disconnect` share."""
    options = parser(name, about)
    nargs = "?" if name == "connect" else None
    names = tuple(CLIENTS)
    options.add_argument("client", metavar="CLIENT", nargs=nargs, choices=names, help=f"one of {', '.join(names)}")
    options.add_argument("--scope", choices=("user", "project"), help="whose file (default: the user's, if it has one)")
    options.add_argument("--yes", action="store_true", help="ask nothing")
    return options


def guarded(given: Namespace, work: Any) -> int:
    """Find the client's file, and do the work on it; what goes wrong is told in one line."""
    from gateway.errors import ConfigurationError, GatewayError

    try:
        return int(work(given, file_of(given)))
    except ConfigurationError as problem:
        fail(FINDINGS, str(problem))
    except GatewayError as problem:
        fail(UNREACHABLE, str(problem))
    except KeyboardInterrupt:
        fail(FINDINGS, "nothing was changed")


def file_of(given: Namespace) -> "ClientFile":
    """The file of the client and scope that were named."""
    from gateway.clients.read import ClientFile, place_path, skipped_by

    client = CLIENTS[given.client]
    scopes = {place.scope: place for place in client.places if sys.platform in place.platforms}
    scope = given.scope or usual_scope(client)
    place = scopes.get(scope)
    if place is None:
        fail(USAGE, f"{client.title} keeps no servers for a {scope} here: leave out `--scope`")
    here = Path.cwd()
    return ClientFile(client, place, place_path(place, os.environ, here), skipped_by(client, os.environ, here))


def agreed(given: Namespace, plan: "Plan", question: str) -> bool:
    """Show the difference, and ask; ends the command with exit code 2 where nobody can be asked."""
    if not given.json:
        print("\n".join(map(shown, plan.difference().replace("\t", "    ").split("\n"))))
    if given.yes:
        return True
    if given.json or not sys.stdin.isatty():
        if given.json:
            print_json([item(plan, changed=False)])
        fail(USAGE, "nobody can be asked here: `--yes` writes this")
    from gateway.cli.confirm import agreed as asked

    if asked(shown(question)):
        return True
    print("nothing was changed")
    return False


def item(plan: "Plan", *, changed: bool, **more: Any) -> Mapping[str, Any]:
    """A plan in the shape of `--json`."""
    return {
        "client": plan.file.client.name,
        "scope": plan.file.place.scope,
        "file": str(plan.file.path),
        "changed": changed,
        "difference": plan.difference().splitlines(),
        "left": list(plan.left),
        **more,
    }


def _connect(given: Namespace, file: "ClientFile") -> int:
    from gateway.clients import edit, joining, kept, write
    from gateway.config import load_settings
    from gateway.errors import ConfigurationError
    from gateway.place import config_file

    config, project = config_file(given.config, os.environ), Path.cwd()
    if not config.exists():
        raise ConfigurationError(f"there is no configuration at `{config}` yet: `wardgate init` makes one")
    settings = load_settings(config, os.environ)
    command = _program_for(file, project)
    now = write.content_of(write.target_of(file, project)) or ""
    found = edit.originals(now, file, project)
    missing = _unregistered(found, settings, project)
    if missing and not given.only_registered:
        _refuse(file, missing)
    strange = [server for server, _ in missing]
    known = [server for server in found if server not in strange]
    made = entry(file.client, command, ["stdio", "--client", file.client.name, "--config", str(_folder(config))])
    state, at = settings.gateway.state, datetime.now(UTC).isoformat(timespec="seconds")
    plan = joining.plan_connect(file, project, state, made, known, at)
    kept_as = plan.connection or plan.known
    more = {
        "disabled": [server.name for server in plan.disabled],
        "past": [server.name for server in strange],
        "backup": str(kept.backup_file(state, kept_as)) if kept_as is not None else "",
    }
    if plan.changes:
        if not agreed(given, plan, f"Write this to {file.path}?"):
            return FINDINGS
        joining.carry_out(plan, state)
    if given.json:
        print_json([item(plan, changed=plan.changes, **more)])
    else:
        _tell(plan, more)
    _remind(plan, settings, strange, project)
    return FINE


def _folder(config: Path) -> Path:
    return config.parent if config.name == "upstreams.toml" else config


def _unregistered(found: "Sequence[Server]", settings: "Settings", project: Path) -> "Sequence[tuple[Server, str]]":
    """The servers that are no upstreams, each with what is known of why."""
    from gateway.initial.finding import value_of
    from gateway.initial.plan import plan

    def value(reference: str) -> str | None:
        return value_of(reference, settings.file.parent, os.environ)

    planned = plan(found, settings.upstreams, os.environ, str(project), value)
    there = {(source.scope, source.name) for _, source in planned.known}
    why = {(skipped.source.scope, skipped.source.name): skipped.why for skipped in planned.skipped}
    places = [(server, (server.scope, server.name)) for server in found]
    return [(server, why.get(place, "")) for server, place in places if place not in there]


def _refuse(file: "ClientFile", missing: "Sequence[tuple[Server, str]]") -> NoReturn:
    """Nobody loses a server by connecting."""
    names = ", ".join(f"`{server.name}`" + f" ({why})" * bool(why) for server, why in missing)
    ways = ["`wardgate init` takes new ones over"] if not all(why for _, why in missing) else []
    ways.append("`--only-registered` leaves them as they are, past the gateway")
    fail(
        FINDINGS,
        f"upstreams.toml doesn't have {names} of `{file.path}`, so you would lose them: {', '.join(ways)}",
    )


def program() -> str:
    """The absolute path of this command: clients that run on a desktop know no PATH of a shell's."""
    import shutil

    called = Path(sys.argv[0])
    found = shutil.which("wardgate")
    ways = (called if called.name == "wardgate" else None, Path(found) if found else None)
    for path in (*ways, Path(sys.executable).parent / "wardgate"):
        if path is not None and path.is_file() and os.access(path, os.X_OK):
            return os.path.abspath(path)  # noqa: PTH100 - a link that an upgrade keeps is better than its target
    return fail(FINDINGS, "the command `wardgate` is not installed: clients have to be able to start it")


def _program_for(file: "ClientFile", project: Path) -> str:
    """This command, for a client's file; raises `ConfigurationError` where it wouldn't be taken for the gateway."""
    from gateway.clients.read import brought_along
    from gateway.errors import ConfigurationError

    command = program()
    if file.place.scope == "project" and brought_along(command, project):
        raise ConfigurationError(
            f"`{command}` lies in this project, and a program that a project brings along is never taken for the "
            "gateway: install it outside (`uv tool install wardgate`, `pipx install wardgate`), and connect by that one"
        )
    return command


def _tell(plan: "Plan", more: Mapping[str, Any]) -> None:
    title, file = plan.file.client.title, plan.file.path
    if not plan.changes:
        print(shown(f"{title} is connected already: nothing to change in {file}"))
        return
    print(shown(f"{title} is connected. Disabled: {', '.join(more['disabled']) or 'nothing'}."))
    print(shown(f"The file as it was: {more['backup']}"))
    for line in plan.left:
        print(shown(line))
    words = words_for(plan.file.client, plan.file.place.scope)
    print(f"Restart {title} now. `wardgate disconnect {words}` puts everything back.")


def _remind(plan: "Plan", settings: "Settings", strange: "Iterable[Server]", project: Path) -> None:
    """Say on standard error what goes past the gateway still, and what a person has to do."""
    from gateway.clients import files, read

    client = plan.file.client
    for server in strange:
        _warn(f"`{server.name}` still goes past the gateway: upstreams.toml doesn't have it")
    others = [file for file in files(os.environ, project) if file.client == client and file.path != plan.file.path]
    for other, found, problem in read(others, project):
        if problem:
            _warn(problem)
        if past := _past(found):
            names = ", ".join(f"`{name}`" for name in past)
            _warn(
                f"{client.title} also starts {names} by itself, from `{other.path}`: "
                f"`wardgate connect {words_for(client, other.place.scope)}`"
            )
    _remind_of_settings(client, settings)


def _remind_of_settings(client: Client, settings: "Settings") -> None:
    registered = settings.clients.get(client.name)
    if registered is None:
        _warn(
            f"upstreams.toml doesn't name it yet, so rules for this client don't count: add `[clients.{client.name}]`"
        )
    elif client.timeout is not None and registered.hold is None and settings.limits.hold is None:
        _warn(
            f'{client.title} waits {WAIT // 60} minutes for a call now: `hold = "10m"` under [clients.{client.name}] '
            "in upstreams.toml lets calls wait as long for a person"
        )


def _list(given: Namespace) -> int:
    """The clients whose files are here, and what they start."""
    from gateway.clients import files, read

    rows = [
        {
            "client": file.client.name,
            "scope": file.place.scope,
            "file": str(file.path),
            "connected": any(server.connected for server in found),
            "past": _past(found),
            "problem": problem,
        }
        for file, found, problem in read(files(os.environ, Path.cwd()), Path.cwd())
    ]
    if given.json:
        print_json(rows)
    elif rows:
        print(aligned([_cells(row) for row in rows]))
    else:
        print(f"no files of clients were found; there could be {', '.join(CLIENTS)}")
    return FINE


def _past(found: "Iterable[Server]") -> list[str]:
    """The servers that the client starts by itself."""
    return [server.name for server in found if server.past]


def _cells(row: Mapping[str, Any]) -> list[str]:
    said = row["problem"] or ("connected" if row["connected"] else "not connected")
    past = f"; past it: {', '.join(row['past'])}" if row["past"] else ""
    return [shown(cell) for cell in (row["client"], row["scope"], row["file"], said + past)]


def _warn(message: str) -> None:
    print(f"wardgate: {shown(message)}", file=sys.stderr)
