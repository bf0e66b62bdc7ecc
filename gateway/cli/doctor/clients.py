"""The clients' files: where Wardgate stands, what is started past it, how long each waits, and secrets written out.

It reads what strangers may have written: nothing in a file is run, and no secret is told.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.doctor.case import Case, there
from gateway.cli.doctor.finding import Finding, Group, Line, warning
from gateway.core.clients import CLIENTS, words_for
from gateway.core.patience import SHARE

if TYPE_CHECKING:
    from gateway.clients import ClientFile, Connection, Server
    from gateway.config import Upstream


def registered(case: Case) -> Iterator[Finding]:
    """In which clients Wardgate stands, and whether what is started there is there."""
    if not case.clients and not case.unread:
        yield Finding(
            Line.CLIENT, "no file of a client is here", do="`wardgate connect CLIENT` registers Wardgate in one"
        )
    with_it = {file.client.name for file, servers in case.clients if any(server.connected for server in servers)}
    for file, servers in case.clients:
        for server in servers:
            if server.connected:
                yield _entry(case, file, server)
            elif server.wardgate and server.name in file.skipped.get(server.scope, ()):
                with_it.add(file.client.name)
                found = f"registered as `{server.name}`, and settings of {file.client.title} keep it from being started"
                yield warning(Line.CLIENT, found, "switch it on there", file.client.name, str(file.path))
        if servers and file.client.name not in with_it:
            with_it.add(file.client.name)  # once, whatever the number of its files
            do = f"`wardgate connect {file.client.name}` registers it"
            yield Finding(Line.CLIENT, "Wardgate is not registered", file.client.name, str(file.path), do)


def removed(case: Case) -> Iterator[Finding]:
    """Files that `connect` put Wardgate into, and in which it doesn't stand any more."""
    from gateway.clients import connections
    from gateway.errors import ConfigurationError, StateError

    if case.state is None:
        return
    try:
        made = connections(case.state)
    except (StateError, OSError):
        return  # told with the permissions, or there is none
    for one in made:
        if one.scope == "project" and not there(Path(one.project)):
            continue  # nothing is started in a folder that is gone
        try:
            gone = not _stands(one)
        except ConfigurationError:
            continue  # it is there and can't be read: told where a client would read it
        if gone:
            client = CLIENTS.get(one.client)
            words = words_for(client, one.scope) if client is not None else one.client
            at = f"in {one.project}, " if one.scope == "project" and Path(one.project) != case.project else ""
            found = "`wardgate connect` registered it, and it is not there any more"
            do = f"{at}`wardgate connect {words}` does it anew, `wardgate disconnect {words}` undoes the rest"
            yield warning(Line.CLIENT, found, do, one.client, one.file)


def _stands(made: "Connection") -> bool:
    """Whether the gateway still stands in the file that it was put into; raises `ConfigurationError`."""
    from gateway.clients import ClientFile, servers

    path, client = Path(made.file), CLIENTS.get(made.client)
    if client is None or not there(path):
        return False
    places = [place for place in client.places if place.scope == made.scope]
    found = (server for place in places for server in servers(ClientFile(client, place, path), Path(made.project)))
    return any(server.connected for server in found)


def _connect(file: "ClientFile") -> str:
    """The command that edits a file."""
    return f"`wardgate connect {words_for(file.client, file.place.scope)}`"


def _entry(case: Case, file: "ClientFile", server: "Server") -> Finding:
    of, where = file.client.name, str(file.path)
    if shutil.which(server.command, path=case.environ.get("PATH")) is None:
        found = f"registered as `{server.name}`, and its command `{server.command}` is not there"
        return warning(Line.CLIENT, found, f"{_connect(file)} registers it anew", of, where)
    other = server.option("--config")
    from gateway.place import config_file

    if other and config_file(other, {}).resolve() != case.file.resolve():
        do = "" if case.config is None else f"`wardgate doctor --config {other}` looks at that one"
        return Finding(
            Line.CLIENT, f"registered as `{server.name}`, with another configuration: {other}", of, where, do
        )
    return Finding(Line.CLIENT, f"registered as `{server.name}` ({server.scope})", of, where)


def unread(case: Case) -> Iterator[Finding]:
    """Clients' files that can't be read: what they start isn't known."""
    for file, problem in case.unread:
        yield warning(Line.CLIENT_FILE, problem, "mend it, or put a backup back", file.client.name, str(file.path))


def bypass(case: Case) -> Iterator[Finding]:
    """Servers that a client starts by itself: those that are upstreams too are a way round the gateway."""
    upstreams = tuple(case.settings.upstreams.values()) if case.settings is not None else ()
    for file, servers in case.clients:
        for server in servers:
            if not server.past:
                continue
            of, where = f"{file.client.name} {server.name}", str(file.path)
            twin = _twin(server, upstreams)
            if twin:
                found = f"{file.client.title} starts it too: calls of upstream `{twin}` go round the gateway"
                do = f"{_connect(file)} disables it there"
                yield warning(Line.BYPASS, found, do, of, where)
            else:
                found = f"{file.client.title} starts it, and it is not behind the gateway"
                yield Finding(Line.BYPASS, found, of, where, "`wardgate init` takes it in")
    yield from _bypass_elsewhere(case, upstreams)


def _bypass_elsewhere(case: Case, upstreams: "Sequence[Upstream]") -> Iterator[Finding]:
    """The same in the user's other projects, of what is an upstream: the rest is for who works there."""
    from gateway.clients import elsewhere

    for folder, file, servers in elsewhere(case.environ, case.project, case.platform):
        for server in (each for each in servers if each.past):
            twin = _twin(server, upstreams)
            if twin:
                found = (
                    f"in {folder}, {file.client.title} starts it too: calls of upstream `{twin}` go round the gateway"
                )
                do = f"{_connect(file)} in that folder disables it"
                yield warning(Line.BYPASS, found, do, f"{file.client.name} {server.name}", str(file.path))


def _twin(server: "Server", upstreams: "Sequence[Upstream]") -> str:
    """The name of the upstream that a client's server is, of several that of the most alike; empty if it is none."""
    found = max(upstreams, key=lambda upstream: _alike(server, upstream), default=None)
    return found.name if found is not None and any(_alike(server, found)) else ""


def _alike(server: "Server", upstream: "Upstream") -> tuple[bool, bool, bool]:
    """Whether a client's server is what an upstream is: by its address or all that is run, by its name, by its package;
    what tells more stands before what tells less.
    """
    from gateway.core.launch import package_of

    named = server.name == upstream.name
    if server.url or upstream.url:
        return server.url.rstrip("/") == upstream.url.rstrip("/"), named, False
    run = (Path(server.command).name, server.args) == (Path(upstream.command).name, upstream.args)
    package = package_of(server.command, server.args)
    return run, named, package != "" and package == package_of(upstream.command, upstream.args)


def timeouts(case: Case) -> Iterator[Finding]:
    """Whether each client waits as long as a call is held for a person."""
    if case.settings is None:
        return
    for file, servers in case.clients:
        entries = _entries(case, file)
        for server in (each for each in servers if each.connected):
            name = server.option("--client") or file.client.name
            held, waits = _budget(case, name), _waits(file, entries.get(server.name))
            of, where = file.client.name, str(file.path)
            if waits and waits < held:
                found = f"gives up after {waits:g} s, and a call is held for {held:g} s"
                yield warning(Line.TIMEOUT, found, _longer(file, name, waits), of, where)
            else:
                waited = f"waits {waits:g} s" if waits else "has no limit that is known"
                yield Finding(Line.TIMEOUT, f"{waited}; a call is held for up to {held:g} s", of, where)


def _budget(case: Case, name: str) -> float:
    """For how many seconds a call of a client is held at most, by the configuration or by what is known of it."""
    from gateway.server.known import clock_of

    assert case.settings is not None
    entry, hold = case.settings.clients.get(name), case.settings.limits.hold
    given = entry.hold if entry is not None and entry.hold is not None else hold
    known = clock_of(name, "stdio")
    return given if given is not None else max(known.silent, known.heard)


def _longer(file: "ClientFile", name: str, waits: float) -> str:
    """What lets a client wait as long as a call is held."""
    client = file.client
    if client.timeout is not None:
        return f"{_connect(file)} sets `{client.timeout.key}` to {client.timeout.value}"
    if client.shortened is not None and waits < client.waits:
        return f"take `{client.shortened.key}` out of its entry"
    return f'set `hold = "{max(1, int(waits * SHARE))}s"` in `[clients.{name}]`'


def _waits(file: "ClientFile", said: object) -> float:
    """For how many seconds a client waits for a call; 0 where that isn't known."""
    timeout = file.client.timeout or file.client.shortened
    if timeout is not None and isinstance(said, Mapping):
        value = said.get(timeout.key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value * timeout.unit.value)
    return float(file.client.waits)


def _entries(case: Case, file: "ClientFile") -> Mapping[str, Any]:
    """The entries of a file as they stand there."""
    from gateway.clients.documents import document
    from gateway.clients.read import read_text
    from gateway.core.clients import table_key

    opened = document(read_text(file.path), file.client.format, str(file.path))
    found = opened.get(table_key(file.client, file.place, str(case.project)))
    return found if isinstance(found, Mapping) else {}


def secrets(case: Case) -> Iterator[Finding]:
    """Secrets that are written out in clients' files."""
    for file, servers in case.clients:
        for server in servers:
            for place in _written(server):
                do = f"`wardgate init` makes a reference of it, and {_connect(file)} takes it out"
                of = f"{file.client.name} {server.name}"
                yield warning(Line.CLIENT_SECRET, f"{place} holds one, written out", do, of, str(file.path))


def _written(server: "Server") -> Iterator[str]:
    """Where an entry holds what looks like a secret."""
    from gateway.clients import written_secrets

    for place, name in written_secrets(server):
        yield f"argument {name}" if place == "args" else f"`{place}.{name}`" if name else f"`{place}`"


def autopilots(case: Case) -> Iterator[Finding]:
    """What in a client's settings answers in its user's place, in the clients where Wardgate stands."""
    from gateway.clients.documents import document
    from gateway.clients.read import place_path, read_text
    from gateway.core.autopilot import SOURCES
    from gateway.errors import ConfigurationError

    names: dict[str, list[str]] = {}
    for file, servers in case.clients:
        names.setdefault(file.client.name, []).extend(each.name for each in servers if each.connected)
    looked = answers = 0
    for source in SOURCES:
        path = place_path(source.place, case.environ, case.project, case.platform)
        if case.platform not in source.place.platforms or not names.get(source.client) or not there(path):
            continue
        try:
            said = document(read_text(path), source.format, str(path)).get(())
        except ConfigurationError as problem:
            yield warning(Line.CLIENT_FILE, str(problem), "mend it, or put a backup back", source.client, str(path))
            continue
        looked += 1
        for one in source.look(said, names[source.client]) if isinstance(said, Mapping) else ():
            answers += one.surely
            of = f"{source.client} {one.key}"
            if one.surely:
                kept = '`proof = "local"` in a rule asks where no client answers'
                yield warning(Line.AUTOPILOT, one.found, f"{one.do} in `{path}`; {kept}", of, str(path))
            else:
                yield Finding(Line.AUTOPILOT, one.found, of, str(path), one.do)
    if looked and not answers:
        found = f"nothing answers in your place, by {looked} file{'' if looked == 1 else 's'} of settings"
        yield Finding(Line.AUTOPILOT, found)


GROUP = Group("clients", (registered, removed, unread, bypass, timeouts, secrets, autopilots))
