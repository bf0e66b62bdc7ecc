"""The clients that Wardgate registers itself with: where each keeps its servers, under which keys, and its quirks.

One table of data, with what reads an entry of it and what writes ours. No I/O here: nothing is looked for or opened.
Facts are from the clients' documents, and for those with a command line seen at work; docs/clients.md shows the table.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

OURS = "wardgate"  # the name under which the gateway is registered
PROJECT = "{project}"  # in a key: the project's own folder
WAIT = 660  # seconds that a client is told to wait for a call: longer than an approval lives, by default

START = 30  # seconds that a client is told to wait until the gateway is there: the very first start may take some


class Format(str, Enum):
    """How a file is written."""

    JSON = "json"
    JSONC = "jsonc"  # with comments, and commas that trail
    TOML = "toml"


class Unit(float, Enum):
    """What a number of a client's counts, in seconds."""

    SECONDS = 1.0
    MILLISECONDS = 0.001


class Place(Struct, frozen=True):
    """Where a client keeps servers. `path`: from `{home}`, `{config}` (the platform's folder of settings) or
    `{project}`; where the variable `moved` is set, the file `name` in the folder that it names stands instead.
    """

    scope: str  # user | project | local
    path: str
    platforms: tuple[str, ...] = ("linux", "darwin")
    key: tuple[str, ...] = ()  # of the table of servers, where it isn't the client's
    moved: str = ""
    name: str = ""


class Skipped(Struct, frozen=True):
    """A list of servers that a client doesn't start, whatever their entries say: names, or a table of names that say
    `enabled: false`, in the file of a place at a key (none: it is all of the file). `scopes`: of whose servers.
    """

    place: Place
    key: tuple[str, ...]
    scopes: tuple[str, ...]


class Timeout(Struct, frozen=True):
    """A key of an entry that says how long the client waits for one call."""

    key: str
    unit: Unit

    @property
    def value(self) -> int:
        """What is written there, so that an approval can be waited for."""
        return round(WAIT / self.unit.value)


class Client(Struct, frozen=True):
    """One client. `name` is what `wardgate connect` and `stdio --client` take."""

    name: str
    title: str
    places: tuple[Place, ...]
    format: Format
    key: tuple[str, ...] = ("mcpServers",)
    type: str = ""  # what its entries say of our transport under `type`; nothing: they say nothing
    url_keys: tuple[tuple[str, str], ...] = (("url", "http"),)  # key of an address -> transport without a `type`
    header_keys: tuple[str, ...] = ("headers",)
    variables: bool = False  # its entries also name variables of its own environment that they take
    timeout: Timeout | None = None  # nothing: it can't be told to wait
    shortened: Timeout | None = None  # by a key that can't lengthen it
    more: tuple[tuple[str, Any], ...] = ()  # what else an entry has to say
    waits: int = 0  # seconds that it waits for a call if nothing is said; 0: without an end, or not known
    off: tuple[str, bool] | None = None  # the key and value by which an entry is disabled; nothing: it is taken out
    skipped: tuple[Skipped, ...] = ()  # and by lists, of which one name suffices
    longest: int = 64  # characters of a tool's name, with what the client puts before it
    before: str = ""  # what it puts before a tool's name
    command: tuple[str, ...] = ()  # its own command line, where it has one that lists servers


_TRANSPORTS = {"stdio": "stdio", "http": "http", "streamable-http": "http", "streamableHttp": "http", "sse": "sse"}
_LAUNCHERS = re.compile(r"uvx|uv|pipx|env|python[0-9.]*")
_OF_LAUNCHERS = frozenset(("run", "tool", "-m", "-q", "--quiet", "--from", "--spec"))  # any other word may mean another
_PACKAGE = re.compile(r"wardgate(?:\[[a-z,]+\])?(?:[=@~<>!]+[0-9][0-9.]*)")
_CLAUDE = Place("user", "{home}/.claude.json", moved="CLAUDE_CONFIG_DIR", name=".claude.json")
_CLAUDE_SETTINGS = (
    replace(_CLAUDE, path="{home}/.claude/settings.json", name="settings.json"),
    Place("project", "{project}/.claude/settings.json"),
    Place("project", "{project}/.claude/settings.local.json"),
)
_CLAUDE_SKIPS = (  # what is disabled in one folder is started in others: the user's own servers aren't disabled by it
    Skipped(_CLAUDE, ("projects", PROJECT, "disabledMcpServers"), ("project", "local")),
    Skipped(_CLAUDE, ("projects", PROJECT, "disabledMcpjsonServers"), ("project",)),
    *(Skipped(place, ("disabledMcpjsonServers",), ("project",)) for place in _CLAUDE_SETTINGS),
)
_GEMINI = Place("user", "{home}/.gemini/settings.json", moved="GEMINI_CLI_HOME", name=".gemini/settings.json")
_GEMINI_OF_PROJECT = Place("project", "{project}/.gemini/settings.json")
_GEMINI_SWITCHES = replace(
    _GEMINI, path="{home}/.gemini/mcp-server-enablement.json", name=".gemini/mcp-server-enablement.json"
)
_GEMINI_SKIPS = (
    Skipped(_GEMINI, ("mcp", "excluded"), ("user", "project")),
    Skipped(_GEMINI_SWITCHES, (), ("user", "project")),
    Skipped(_GEMINI_OF_PROJECT, ("mcp", "excluded"), ("project",)),
)

_TABLE = (
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        places=(Place("user", "{config}/Claude/claude_desktop_config.json"),),
        format=Format.JSON,
        waits=60,
    ),
    Client(
        name="claude-code",
        title="Claude Code",
        places=(
            _CLAUDE,
            replace(_CLAUDE, scope="local", key=("projects", PROJECT, "mcpServers")),
            Place("project", "{project}/.mcp.json"),
        ),
        format=Format.JSON,
        type="stdio",
        shortened=Timeout("timeout", Unit.MILLISECONDS),
        skipped=_CLAUDE_SKIPS,
        waits=1800,  # over stdio a call is given up after half an hour of silence
        before="mcp__wardgate__",
        command=("claude", "mcp", "list"),
    ),
    Client(
        name="vscode",
        title="VS Code",
        places=(Place("user", "{config}/Code/User/mcp.json"), Place("project", "{project}/.vscode/mcp.json")),
        format=Format.JSONC,
        key=("servers",),
        type="stdio",
        before="mcp_wardgate_",
    ),
    Client(
        name="cursor",
        title="Cursor",
        places=(Place("user", "{home}/.cursor/mcp.json"), Place("project", "{project}/.cursor/mcp.json")),
        format=Format.JSONC,
        type="stdio",
        longest=60,
        before="wardgate",
    ),
    Client(
        name="windsurf",
        title="Windsurf",
        places=(Place("user", "{home}/.codeium/windsurf/mcp_config.json"),),
        format=Format.JSON,
        url_keys=(("serverUrl", "http"), ("url", "http")),
        off=("disabled", True),
    ),
    Client(
        name="gemini",
        title="Gemini CLI",
        places=(_GEMINI, _GEMINI_OF_PROJECT),
        format=Format.JSONC,
        url_keys=(("httpUrl", "http"), ("url", "sse")),
        timeout=Timeout("timeout", Unit.MILLISECONDS),
        skipped=_GEMINI_SKIPS,
        waits=600,
        longest=63,
        before="mcp_wardgate_",
        command=("gemini", "mcp", "list"),
    ),
    Client(
        name="codex",
        title="Codex",
        places=(
            Place("user", "{home}/.codex/config.toml", moved="CODEX_HOME", name="config.toml"),
            Place("project", "{project}/.codex/config.toml"),
        ),
        format=Format.TOML,
        key=("mcp_servers",),
        header_keys=("http_headers",),
        variables=True,
        timeout=Timeout("tool_timeout_sec", Unit.SECONDS),
        more=(("startup_timeout_sec", START),),
        waits=60,
        off=("enabled", False),
        before="mcp__wardgate__",
        command=("codex", "mcp", "list"),
    ),
    Client(
        name="mcp-json",
        title="others that read .mcp.json",
        places=(Place("project", "{project}/.mcp.json"),),
        format=Format.JSON,
        type="stdio",
    ),
)
CLIENTS: Mapping[str, Client] = MappingProxyType({client.name: client for client in _TABLE})


def usual_scope(client: Client) -> str:
    """Whose file is meant where no scope is named."""
    return "user" if any(place.scope == "user" for place in client.places) else "project"


def words_for(client: Client, scope: str) -> str:
    """The words by which `connect` and `disconnect` know one of a client's files."""
    return f"{client.name} --scope project" if scope == "project" != usual_scope(client) else client.name


def table_key(client: Client, place: Place, project: str) -> tuple[str, ...]:
    """The path of keys to the table of servers in a file, for a project's folder."""
    return key_in(place.key or client.key, project)


def key_in(key: tuple[str, ...], project: str) -> tuple[str, ...]:
    """A path of keys for a project's folder."""
    return tuple(project if step == PROJECT else step for step in key)


def path_of(place: Place, home: str, config: str, project: str, environ: Mapping[str, str]) -> str:
    """The path of a place's file."""
    folder = environ.get(place.moved, "") if place.moved else ""
    if folder:
        return f"{folder.rstrip('/')}/{place.name}"
    return place.path.format(home=home, config=config, project=project)


def entry(client: Client, command: str, args: Sequence[str]) -> Mapping[str, Any]:
    """What registers the gateway with a client, in the client's own words."""
    made: dict[str, Any] = {"type": client.type} if client.type else {}
    made |= {"command": command, "args": list(args), **dict(client.more)}
    if client.timeout is not None:
        made[client.timeout.key] = client.timeout.value
    return made


def transport_of(client: Client, said: Mapping[str, Any]) -> tuple[str, str]:
    """An entry's transport (stdio, http or sse) and its address, empty for stdio."""
    named = _TRANSPORTS.get(str(said.get("type")), "")
    if isinstance(said.get("command"), str) and named in ("", "stdio"):
        return "stdio", ""
    for key, usual in client.url_keys:
        if isinstance(address := said.get(key), str) and address:
            return named if named in ("http", "sse") else usual, address
    return "stdio", ""


def disabled(client: Client, said: Mapping[str, Any]) -> bool:
    """Whether an entry says, in a word that its client minds, that it isn't started."""
    return client.off is not None and said.get(client.off[0]) is client.off[1]


def names_skipped(said: object) -> frozenset[str]:
    """The names of servers in a list of skipped ones."""
    if isinstance(said, list):
        return frozenset(each for each in said if isinstance(each, str))
    table = said if isinstance(said, Mapping) else {}
    return frozenset(name for name, one in table.items() if isinstance(one, Mapping) and one.get("enabled") is False)


def is_ours(command: str, args: Sequence[str]) -> bool:
    """Whether an entry starts this gateway, by itself or by a launcher; the name it stands under proves nothing."""
    words, program = list(args), _name_of(command)
    if _LAUNCHERS.fullmatch(program):
        while words and (words[0] in _OF_LAUNCHERS or _PACKAGE.fullmatch(words[0])):
            words.pop(0)
        program = _name_of(words.pop(0)) if words else ""
    return program == OURS and "stdio" in words


def _name_of(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
