"""The table of clients: every row is whole, and what is read and written by it is what the clients mean."""

import pytest

from gateway.core.clients import (
    CLIENTS,
    WAIT,
    Client,
    Format,
    Place,
    disabled,
    entry,
    is_ours,
    names_skipped,
    path_of,
    table_key,
    transport_of,
    words_for,
)
from gateway.core.exposed import LONGEST

ARGS = ["stdio", "--client", "x", "--config", "/c"]
every_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))


@every_client
def test_each_client_has_one_place_for_a_scope_and_every_path_is_absolute(client: Client) -> None:
    scopes = [place.scope for place in client.places]
    assert len(set(scopes)) == len(scopes)
    assert set(scopes) <= {"user", "project", "local"}
    for place in client.places:
        assert path_of(place, "/h", "/h/.config", "/p", {}).startswith(("/h/", "/p/"))
        assert bool(place.moved) == bool(place.name)


@every_client
def test_a_client_that_can_be_told_to_wait_is_told_so_in_its_own_unit(client: Client) -> None:
    made = entry(client, "/bin/wardgate", ARGS)
    assert (made["command"], made["args"]) == ("/bin/wardgate", ARGS)
    assert made.get("type", "") == client.type
    if client.timeout is not None:
        assert made[client.timeout.key] * client.timeout.unit.value == WAIT
        assert client.waits < WAIT, "it is told to wait less than it would by itself"


def test_what_each_client_is_told() -> None:
    told = {name: sorted(entry(client, "w", [])) for name, client in CLIENTS.items()}
    assert told == {
        "claude-desktop": ["args", "command"],
        "claude-code": ["args", "command", "type"],
        "vscode": ["args", "command", "type"],
        "cursor": ["args", "command", "type"],
        "windsurf": ["args", "command"],
        "gemini": ["args", "command", "timeout"],
        "codex": ["args", "command", "startup_timeout_sec", "tool_timeout_sec"],
        "mcp-json": ["args", "command", "type"],
    }
    assert entry(CLIENTS["gemini"], "w", [])["timeout"] == 660_000
    assert entry(CLIENTS["codex"], "w", [])["tool_timeout_sec"] == 660


@every_client
def test_what_is_written_is_read_as_ours_and_as_enabled(client: Client) -> None:
    made = entry(client, "/opt/bin/wardgate", ARGS)
    assert is_ours(made["command"], made["args"])
    assert not disabled(client, made)
    assert transport_of(client, made) == ("stdio", "")


@every_client
def test_only_a_word_that_the_client_minds_disables(client: Client) -> None:
    said = {"disabled": True, "enabled": False}
    assert disabled(client, said) == (client.off is not None)
    assert not disabled(client, {})
    if client.off is not None:
        assert disabled(client, {client.off[0]: client.off[1]})
        assert not disabled(client, {client.off[0]: not client.off[1]})
        assert not disabled(client, {client.off[0]: str(client.off[1])})


@pytest.mark.parametrize(
    ("client", "said", "expected"),
    [
        ("cursor", {"url": "http://a/"}, ("http", "http://a/")),
        ("cursor", {"url": "http://a/", "type": "sse"}, ("sse", "http://a/")),
        ("vscode", {"url": "http://a/", "type": "http"}, ("http", "http://a/")),
        ("windsurf", {"serverUrl": "http://a/"}, ("http", "http://a/")),
        ("gemini", {"url": "http://a/"}, ("sse", "http://a/")),
        ("gemini", {"httpUrl": "http://a/", "url": "http://b/"}, ("http", "http://a/")),
        ("gemini", {"url": "http://a/", "type": "http"}, ("http", "http://a/")),
        ("cursor", {"command": "x", "url": "http://a/"}, ("stdio", "")),
        ("cursor", {"command": "x", "url": "http://a/", "type": "streamable-http"}, ("http", "http://a/")),
        ("cursor", {"url": "http://a/", "type": "stdio"}, ("http", "http://a/")),
        ("cursor", {"url": 3}, ("stdio", "")),
        ("cursor", {"url": "", "type": ["sse"]}, ("stdio", "")),
        ("cursor", {}, ("stdio", "")),
    ],
)
def test_an_address_counts_where_the_client_would_use_it(
    client: str, said: dict[str, object], expected: tuple[str, str]
) -> None:
    assert transport_of(CLIENTS[client], said) == expected


@pytest.mark.parametrize(
    ("command", "args", "ours"),
    [
        ("wardgate", ["stdio"], True),
        ("/opt/wardgate.exe", ["stdio", "--client", "x"], True),
        ("C:\\bin\\wardgate.exe", ["stdio"], True),
        ("uvx", ["wardgate", "stdio"], True),
        ("uvx", ["--quiet", "wardgate", "stdio"], True),
        ("pipx", ["run", "wardgate", "stdio"], True),
        ("python3.11", ["/v/bin/wardgate", "stdio"], True),
        ("wardgate", ["serve"], False),
        ("sh", ["wardgate", "stdio"], False),
        ("node", ["server.js", "stdio"], False),
        ("uvx", ["other", "x", "wardgate", "stdio"], False),
        ("evil", ["stdio"], False),
        ("uvx", ["--from", "wardgate==1.2", "wardgate", "stdio"], True),
        ("uvx", ["--from", "evil", "wardgate", "stdio"], False),
        ("uvx", ["--with", "evil", "wardgate", "stdio"], False),
        ("uvx", ["--index-url=http://evil.example", "wardgate", "stdio"], False),
        ("env", ["PATH=/tmp/evil", "wardgate", "stdio"], False),
        ("python3", ["-m", "wardgate", "stdio"], True),
        ("uvx", [], False),
        ("", [], False),
    ],
)
def test_an_entry_is_ours_by_what_it_runs(command: str, args: list[str], ours: bool) -> None:
    assert is_ours(command, args) is ours


def test_a_variable_of_the_clients_moves_its_file() -> None:
    place = CLIENTS["codex"].places[0]
    assert path_of(place, "/h", "/c", "/p", {}) == "/h/.codex/config.toml"
    assert path_of(place, "/h", "/c", "/p", {"CODEX_HOME": "/x/"}) == "/x/config.toml"
    assert path_of(place, "/h", "/c", "/p", {"CODEX_HOME": ""}) == "/h/.codex/config.toml"
    assert path_of(Place("user", "{config}/a"), "/h", "/c", "/p", {"": "/x"}) == "/c/a"


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (["a", 1, "b", ["c"]], {"a", "b"}),
        ({"a": {"enabled": False}, "b": {"enabled": True}, "c": {"enabled": 0}, "d": False, "e": {}}, {"a"}),
        (None, set()),
        ("a", set()),
        (False, set()),
    ],
)
def test_only_what_is_named_plainly_is_kept_from_being_started(said: object, names: set[str]) -> None:
    assert names_skipped(said) == names


def test_whose_servers_a_list_of_skipped_ones_speaks_of_is_a_scope_of_its_client() -> None:
    for client in CLIENTS.values():
        scopes = {place.scope for place in client.places}
        for one in client.skipped:
            assert scopes >= set(one.scopes) != set(), one
            assert path_of(one.place, "/h", "/c", "/p", {}).startswith(("/h/", "/p/")), one


def test_the_table_of_servers_may_be_the_projects_own() -> None:
    claude = CLIENTS["claude-code"]
    user, local, project = claude.places
    assert table_key(claude, user, "/p") == ("mcpServers",)
    assert table_key(claude, local, "/p") == ("projects", "/p", "mcpServers")
    assert table_key(claude, project, "/p") == ("mcpServers",)


@every_client
def test_the_longest_name_that_is_exposed_fits(client: Client) -> None:
    assert len(client.before) + LONGEST <= client.longest


def test_one_client_is_toml() -> None:
    assert [name for name, client in CLIENTS.items() if client.format is Format.TOML] == ["codex"]


@pytest.mark.parametrize(
    ("name", "scope", "words"),
    [
        ("claude-code", "user", "claude-code"),
        ("claude-code", "local", "claude-code"),
        ("claude-code", "project", "claude-code --scope project"),
        ("mcp-json", "project", "mcp-json"),
    ],
)
def test_a_file_is_named_by_its_scope_where_that_is_not_the_usual_one(name: str, scope: str, words: str) -> None:
    assert words_for(CLIENTS[name], scope) == words
