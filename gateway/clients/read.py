"""Find the clients' files and read which servers they name. Changes nothing.

What stands in a file was written by others: a file that is too big, is no file or holds nonsense is an error with its
line, and an entry that makes no sense is left out of none: it comes with what could be read.
"""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.clients.documents import Document, document
from gateway.core.clients import (
    CLIENTS,
    PROJECT,
    Client,
    Format,
    Place,
    disabled,
    is_ours,
    key_in,
    names_skipped,
    path_of,
    table_key,
    transport_of,
)
from gateway.errors import ConfigurationError

LARGEST = 64 << 20  # bytes of a client's file; the one of Claude Code holds histories
LARGEST_OF_PROJECT = 1 << 20  # bytes of one that comes with what was cloned
MOST_PROJECTS = 1000  # folders that are looked into, of those that a client keeps a list of


class ClientFile(Struct, frozen=True):
    """One file of a client's, for one scope. `path` is as the client knows it: it may be a link. `skipped`: names of
    servers that the client's settings say it doesn't start, by scope.
    """

    client: Client
    place: Place
    path: Path
    skipped: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Server(Struct, frozen=True):
    """One server that a client starts or reaches by itself."""

    client: str
    scope: str
    file: Path
    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: str = "stdio"  # stdio | http | sse
    disabled: bool = False
    wardgate: bool = False  # it is this gateway

    @property
    def connected(self) -> bool:
        """Whether the client starts the gateway by it."""
        return self.wardgate and not self.disabled

    @property
    def past(self) -> bool:
        """Whether the client starts it by itself, past the gateway."""
        return not self.wardgate and not self.disabled

    def option(self, name: str) -> str:
        """The value of an option among its arguments, empty where it isn't given: `--x value` or `--x=value`."""
        for at, word in enumerate(self.args):
            if word == name:
                return next(iter(self.args[at + 1 : at + 2]), "")
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
        return ""


def place_path(place: Place, environ: Mapping[str, str], project: Path, platform: str = sys.platform) -> Path:
    """Where a place's file is, there or not."""
    home = environ.get("HOME") or str(Path.home())
    usual = f"{home}/Library/Application Support" if platform == "darwin" else f"{home}/.config"
    config = usual if platform == "darwin" else environ.get("XDG_CONFIG_HOME") or usual
    return Path(path_of(place, home, config, str(project), environ))


def files(environ: Mapping[str, str], project: Path, platform: str = sys.platform) -> tuple[ClientFile, ...]:
    """The clients' files that are there, each once per scope; the plain `.mcp.json` only as Claude Code's."""
    clients = (client for client in CLIENTS.values() if client.name != "mcp-json")
    return tuple(file for client in clients for file in _files_of(client, environ, project, platform, {}))


def _files_of(
    client: Client, environ: Mapping[str, str], project: Path, platform: str, kept: dict[Path, Document | None]
) -> tuple[ClientFile, ...]:
    places = [(place, place_path(place, environ, project, platform)) for place in client.places]
    there = [(place, path) for place, path in places if platform in place.platforms and _is_there(path)]
    skipped = skipped_by(client, environ, project, platform, kept) if there else {}
    return tuple(ClientFile(client, place, path, skipped) for place, path in there)


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - what may not be looked at isn't there


def skipped_by(
    client: Client,
    environ: Mapping[str, str],
    project: Path,
    platform: str = sys.platform,
    kept: dict[Path, Document | None] | None = None,
) -> Mapping[str, frozenset[str]]:
    """The names of servers that a client's settings say it doesn't start, by scope; a file that can't be read has
    none. `kept`: the user's own files, opened once for many projects.
    """
    found: dict[str, frozenset[str]] = {}
    kept = {} if kept is None else kept
    for one in client.skipped:
        path = place_path(one.place, environ, project, platform)
        opened = kept[path] if path in kept else _settings(one.place, path)
        if one.place.scope != "project":
            kept[path] = opened
        names = names_skipped(opened.get(key_in(one.key, str(project)))) if opened is not None else frozenset()
        found |= {scope: found.get(scope, frozenset()) | names for scope in one.scopes}
    return found


def _settings(place: Place, path: Path) -> Document | None:
    if not _is_there(path):
        return None
    try:
        return document(read_text(path, _largest(place)), Format.JSONC, str(path))
    except ConfigurationError:
        return None


def _largest(place: Place) -> int:
    return LARGEST_OF_PROJECT if place.scope == "project" else LARGEST


def servers(file: ClientFile, project: Path) -> tuple[Server, ...]:
    """The servers of one file and scope; raises `ConfigurationError` with the file, the line and what to do."""
    opened = document(read_text(file.path, _largest(file.place)), file.client.format, str(file.path))
    return servers_in(opened, file, project)


def read(some: Iterable[ClientFile], project: Path) -> Iterator[tuple[ClientFile, tuple[Server, ...], str]]:
    """Files with the servers of each, and why it can't be read (empty: it can): one bad file hides no other."""
    for file in some:
        try:
            yield file, servers(file, project), ""
        except ConfigurationError as problem:
            yield file, (), str(problem)


def elsewhere(
    environ: Mapping[str, str], project: Path, platform: str = sys.platform
) -> Iterator[tuple[Path, ClientFile, tuple[Server, ...]]]:
    """The servers of the user's other projects, each with its folder, for clients that keep a list of them.

    It is in the file where such a client has servers per project. What can't be read is left out: `read` tells why
    of the list, and who works in a folder hears of its files there.
    """
    kept: dict[Path, Document | None] = {}
    for listing in files(environ, project, platform):
        if PROJECT not in listing.place.key:
            continue
        try:
            opened = document(read_text(listing.path), listing.client.format, str(listing.path))
        except ConfigurationError:
            continue
        listed = opened.get(listing.place.key[: listing.place.key.index(PROJECT)])
        names = [str(name) for name in listed] if isinstance(listed, Mapping) else []
        folders = [Path(name) for name in names if os.path.isabs(name) and name != str(project)]  # noqa: PTH117 - the text
        for other in folders[-MOST_PROJECTS:]:
            there = _files_of(listing.client, environ, other, platform, kept)  # each folder has lists of its own
            yield from ((other, file, servers_in(opened, file, other)) for file in there if file.place == listing.place)
            for file, found, _ in read((file for file in there if file.place.scope == "project"), other):
                yield other, file, found


def servers_in(opened: Document, file: ClientFile, project: Path) -> tuple[Server, ...]:
    """The servers that a document names, in its order."""
    table = opened.get(table_key(file.client, file.place, str(project)))
    if not isinstance(table, Mapping):
        return ()
    found = (_server(file, str(name), said) for name, said in table.items() if isinstance(said, Mapping))
    return tuple(replace(server, wardgate=False) if _poses(server, project) else server for server in found)


def _poses(server: Server, project: Path) -> bool:
    """Whether what a project brings along is called as the gateway is."""
    return server.scope == "project" and brought_along(server.command, project)


def brought_along(command: str, project: Path) -> bool:
    """Whether a command names a program that lies in a project, or may: its path begins nowhere else."""
    if not ("/" in command or "\\" in command):
        return False
    return not os.path.isabs(command) or Path(os.path.realpath(command)).is_relative_to(  # noqa: PTH117 - the text is what counts
        os.path.realpath(project)
    )


def _server(file: ClientFile, name: str, said: Mapping[str, Any]) -> Server:
    client = file.client
    transport, url = transport_of(client, said)
    command, args = _text(said.get("command")), _texts(said.get("args"))
    headers = [_table(said.get(key)) for key in client.header_keys]
    variables, more = _from_environment(said) if client.variables else ({}, {})
    return Server(
        client=client.name,
        scope=file.place.scope,
        file=file.path,
        name=name,
        command="" if url else command,
        args=() if url else args,
        env={**variables, **_table(said.get("env"))},
        cwd=_text(said.get("cwd")),
        url=url,
        headers={key: value for each in (more, *headers) for key, value in each.items()},
        transport=transport,
        disabled=disabled(client, said) or name in file.skipped.get(file.place.scope, ()),
        wardgate=not url and is_ours(command, args),
    )


def _from_environment(said: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The variables and headers that an entry takes from its client's environment, as `${NAME}`."""
    headers = {name: f"${{{variable}}}" for name, variable in _table(said.get("env_http_headers")).items()}
    if bearer := _text(said.get("bearer_token_env_var")):
        headers["Authorization"] = f"Bearer ${{{bearer}}}"
    return {name: f"${{{name}}}" for name in _texts(said.get("env_vars"))}, headers


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a client's file as it stands, line ends and all; raises `ConfigurationError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            known = os.fstat(descriptor)
            if not stat.S_ISREG(known.st_mode):
                raise ConfigurationError(f"`{path}` is not a file: put the client's settings there, or move it away")
            if known.st_size > largest:
                raise ConfigurationError(f"`{path}` is larger than {largest >> 20} MiB: no client's settings are")
            return opened.read().decode("utf-8")
    except OSError as problem:
        raise ConfigurationError(f"`{path}` can't be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"`{path}` is not UTF-8: save it as UTF-8") from None


def _text(said: object) -> str:
    return said if isinstance(said, str) else ""


def _texts(said: object) -> tuple[str, ...]:
    return tuple(_spelled(each) for each in said if each is not None) if isinstance(said, list) else ()


def _table(said: object) -> Mapping[str, str]:
    if not isinstance(said, Mapping):
        return {}
    return {str(key): _spelled(value) for key, value in said.items() if value is not None}


def _spelled(value: object) -> str:
    """A value as the file spells it, whatever its kind."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, bool | list | dict) else str(value)
