"""A home folder, a project and a state folder of a test's own, with a client's file in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.clients import ClientFile, edit, joining
from gateway.clients.joining import Plan
from gateway.clients.read import Server, place_path
from gateway.core.clients import CLIENTS, entry
from tests.clients.samples import SAMPLES

SERVERS: Mapping[str, Mapping[str, Any]] = {
    "files": {"command": "npx", "args": ["-y", "server-files", "/srv"]},
    "a b": {"command": "/usr/bin/env", "args": ["python3", "x.py"], "env": {"REGION": "eu", "LANG": "C"}},
}
AT = "2026-05-01T12:00:00+00:00"


@dataclass
class Room:
    """One test's folders."""

    place: Path
    folder: str = "project"  # that somebody works in

    def __post_init__(self) -> None:
        for folder in (self.home, self.project):
            folder.mkdir()

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def project(self) -> Path:
        return self.place / self.folder

    @property
    def state(self) -> Path:
        return self.place / "state"

    def file(self, client: str, scope: str = "user") -> ClientFile:
        """A client's file, there or not."""
        found = CLIENTS[client]
        place = next(each for each in found.places if each.scope == scope)
        return ClientFile(found, place, place_path(place, {"HOME": str(self.home)}, self.project, "linux"))

    def sample(self, name: str, servers: Mapping[str, Mapping[str, Any]] = SERVERS) -> ClientFile:
        """A client's file with servers in it."""
        scope, path, text = SAMPLES[name]
        file = self.file(name.partition(",")[0], scope)
        assert file.path == (self.home if scope == "user" else self.project) / path
        self.write(file, text(servers))
        return file

    def write(self, file: ClientFile, text: str) -> None:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(text.encode())

    def read(self, file: ClientFile) -> tuple[Server, ...]:
        """The servers that a client would start now."""
        return edit.originals(file.path.read_bytes().decode(), file, self.project)

    def plan(self, file: ClientFile, command: str = "/opt/wardgate") -> Plan:
        """What connecting would do, with every server that is there taken for one of the gateway's."""
        made = entry(file.client, command, ["stdio", "--client", file.client.name, "--config", "/c"])
        off = self.read(file) if file.path.exists() else ()
        return joining.plan_connect(file, self.project, self.state, made, off, AT)

    def connect(self, file: ClientFile, command: str = "/opt/wardgate") -> Plan:
        plan = self.plan(file, command)
        joining.carry_out(plan, self.state)
        return plan

    def disconnect(self, file: ClientFile) -> Plan:
        plan = joining.plan_disconnect(file, self.project, self.state)
        joining.carry_out(plan, self.state)
        return plan
