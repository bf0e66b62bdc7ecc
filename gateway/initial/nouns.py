"""What is to become an upstream, and what stands in the way. Values only.

No secret is in a message or a `repr` of these: a `Hidden` value shows what it is for.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

INHERITED = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
"""Variables that clients hand to every server; nothing else is passed on."""


class Hidden(Struct, frozen=True):
    """A value that is put where only its owner reads it; `value` is empty where it is not known and has to be given."""

    slot: str  # the variable or header that it stands under
    why: str  # in words: what makes it a secret
    value: str = ""

    def __repr__(self) -> str:
        """It without the value."""
        return f"Hidden({self.slot!r}, {self.why!r})"

    @property
    def known(self) -> bool:
        """Whether there is a value to keep."""
        return bool(self.value)


Value = str | Hidden
"""A literal or reference as it will stand in upstreams.toml, or what is replaced by a reference."""


class Launch(Struct, frozen=True):
    """How an upstream is started or reached; paths are absolute. `to_do` is what a person has to do, a line each."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, Value] = field(default_factory=dict)
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, Value] = field(default_factory=dict)
    workspace: bool = False  # it names the workspace's folder, so it is run once for each
    to_do: tuple[str, ...] = ()
    refused: str = ""  # why it can't be taken; empty for one that can

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """Its secrets."""
        values = (*self.env.values(), *self.headers.values())
        return tuple(value for value in values if isinstance(value, Hidden))


class Source(Struct, frozen=True):
    """Where a server was found."""

    client: str
    scope: str
    file: Path
    name: str


class Planned(Struct, frozen=True):
    """One upstream to be: `name` is unique, `sources` are all the places where the same server stands."""

    name: str
    launch: Launch
    sources: tuple[Source, ...]

    @property
    def project(self) -> bool:
        """Whether only files of a project name it, which come with whatever was cloned."""
        return all(source.scope == "project" for source in self.sources)


class Skipped(Struct, frozen=True):
    """A server that is not taken, and why."""

    source: Source
    why: str


class Plan(Struct, frozen=True):
    """What was found: upstreams to add, servers that are upstreams already, and those that are left."""

    new: tuple[Planned, ...] = ()
    known: tuple[tuple[str, Source], ...] = ()  # name of the upstream, and where its server stands
    skipped: tuple[Skipped, ...] = ()
    clients: tuple[str, ...] = ()  # that have any file
