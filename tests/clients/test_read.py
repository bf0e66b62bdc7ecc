"""The clients' files are found where the clients look for them, and read without trusting what is in them."""

import json
import os
import sys
from pathlib import Path

import pytest

from gateway.clients import connected_files, elsewhere, files, servers
from gateway.clients.read import LARGEST, LARGEST_OF_PROJECT, place_path, read_text
from gateway.core.clients import CLIENTS
from gateway.errors import ConfigurationError
from tests.clients.room import SERVERS, Room
from tests.clients.samples import SAMPLES


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_every_file_that_is_there_is_found_once_for_each_scope(room: Room) -> None:
    for name in SAMPLES:
        room.sample(name)
    found = [(file.client.name, file.place.scope) for file in files({"HOME": str(room.home)}, room.project, "linux")]
    assert found == [
        ("claude-desktop", "user"),
        ("claude-code", "user"),
        ("claude-code", "local"),
        ("claude-code", "project"),
        ("vscode", "user"),
        ("vscode", "project"),
        ("cursor", "user"),
        ("cursor", "project"),
        ("windsurf", "user"),
        ("gemini", "user"),
        ("gemini", "project"),
        ("codex", "user"),
        ("codex", "project"),
    ]


def test_nothing_is_found_where_nothing_is(room: Room) -> None:
    assert files({"HOME": str(room.home)}, room.project) == ()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_servers_of_every_format_are_read(room: Room, name: str) -> None:
    found = servers(room.sample(name), room.project)
    assert [(each.name, each.command, list(each.args), dict(each.env)) for each in found] == [
        (title, said["command"], said["args"], said.get("env", {})) for title, said in SERVERS.items()
    ]
    assert {(each.transport, each.disabled, each.wardgate) for each in found} == {("stdio", False, False)}


def test_addresses_and_their_headers_are_read(room: Room) -> None:
    text = '[mcp_servers.a]\nurl = "https://a/"\nhttp_headers = { X = "1" }\ncommand_is = 1\n'
    file = room.file("codex")
    room.write(file, text)
    (found,) = servers(file, room.project)
    assert (found.url, found.transport, found.headers, found.command) == ("https://a/", "http", {"X": "1"}, "")


def test_values_that_are_no_texts_are_spelled_as_json_does(room: Room) -> None:
    env = {"ON": True, "OFF": False, "NONE": None, "ONE": 1, "HALF": 0.5, "LIST": [True, None], "TEXT": "True"}
    file = room.file("claude-code")
    entry = {"command": "x", "args": ["--fast", True, None, 3], "env": env}
    room.write(file, json.dumps({"mcpServers": {"a": entry, "b": {"url": "https://b/", "headers": {"X-On": True}}}}))
    first, second = servers(file, room.project)
    assert first.args == ("--fast", "true", "3")
    assert first.env == {
        "ON": "true",
        "OFF": "false",
        "ONE": "1",
        "HALF": "0.5",
        "LIST": "[true, null]",
        "TEXT": "True",
    }
    assert second.headers == {"X-On": "true"}


def off(room: Room, **more: str) -> dict[str, bool]:
    """The servers of all files, and whether each is disabled."""
    found = files({"HOME": str(room.home), **more}, room.project, "linux")
    return {server.name: server.disabled for file in found for server in servers(file, room.project)}


def test_what_a_clients_settings_keep_from_being_started_is_disabled(room: Room) -> None:
    mine = {"command": "x"}
    gemini = {"mcpServers": {"a": mine, "b": mine, "c": mine}, "mcp": {"excluded": ["a", 7]}}
    room.write(room.file("gemini"), json.dumps(gemini))
    room.write(room.file("gemini", "project"), json.dumps({"mcpServers": {"d": mine}, "mcp": {"excluded": ["b", "d"]}}))
    switches = room.home / ".gemini" / "mcp-server-enablement.json"
    assert off(room) == {"a": True, "b": False, "c": False, "d": True}
    switches.write_text(json.dumps({"b": {"enabled": True}, "c": {"enabled": False}, "d": "x"}))
    assert off(room) == {"a": True, "b": False, "c": True, "d": True}
    for nonsense in ("{", "[]", "7", '{"c": {"enabled": 0}}'):
        switches.write_text(nonsense)
        assert off(room) == {"a": True, "b": False, "c": False, "d": True}, nonsense


def test_what_is_disabled_in_one_project_disables_no_server_of_the_user(room: Room) -> None:
    here = {"mcpServers": {"local": {"command": "x"}}, "disabledMcpServers": ["user", "local"]}
    text = {"mcpServers": {"user": {"command": "x"}}, "projects": {str(room.project): here}}
    room.write(room.file("claude-code"), json.dumps(text))
    assert off(room) == {"user": False, "local": True}


def test_a_long_list_of_projects_is_read_once_not_for_each(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(path: Path, *more: int) -> str:
        opened.append(path)
        return read_text(path, *more)

    def opens(projects: int) -> int:
        listed = {f"/nowhere/{number}": {} for number in range(projects)}
        room.write(room.file("claude-code"), json.dumps({"mcpServers": {}, "projects": listed}))
        opened.clear()
        assert len(list(elsewhere({"HOME": str(room.home)}, room.project, "linux"))) == projects
        return len(opened)

    monkeypatch.setattr(sys.modules[read_text.__module__], "read_text", counted)
    assert opens(100) == opens(1)


def test_settings_that_a_variable_moved_count(room: Room) -> None:
    room.write(room.file("claude-code", "project"), json.dumps({"mcpServers": {"a": {"command": "x"}}}))
    moved = room.place / "moved"
    moved.mkdir()
    (moved / "settings.json").write_text(json.dumps({"disabledMcpjsonServers": ["a"]}))
    assert (off(room), off(room, CLAUDE_CONFIG_DIR=str(moved))) == ({"a": False}, {"a": True})


def test_variables_and_platforms_move_files(room: Room) -> None:
    project = room.project
    codex, desktop = CLIENTS["codex"].places[0], CLIENTS["claude-desktop"].places[0]
    assert place_path(codex, {"HOME": "/h", "CODEX_HOME": "/x"}, project) == Path("/x/config.toml")
    tail = "Claude/claude_desktop_config.json"
    assert place_path(desktop, {"HOME": "/h"}, project, "linux") == Path(f"/h/.config/{tail}")
    assert place_path(desktop, {"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, project, "linux") == Path(f"/c/{tail}")
    mac = place_path(desktop, {"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, project, "darwin")
    assert mac == Path(f"/h/Library/Application Support/{tail}")


def test_what_is_no_file_or_too_big_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b'{"\xe9": 1}')
    with (tmp_path / "big").open("wb") as big:
        big.truncate(LARGEST + 1)
    for name, told in {
        "folder": "can't be read",
        "pipe": "not a file",
        "latin": "not UTF-8",
        "big": "larger than",
        "none": "can't be read",
    }.items():
        with pytest.raises(ConfigurationError, match=told):
            read_text(tmp_path / name)


def test_the_files_that_were_connected_are_known_wherever_they_are(room: Room) -> None:
    assert connected_files(room.state) == ()
    file = room.sample("cursor")
    room.connect(file)
    assert connected_files(room.state) == (file.path,)
    for path in (room.state / "clients").glob("*.json"):
        path.write_text("{")
    assert connected_files(room.state) == ()


@pytest.mark.parametrize(
    "command", ["./wardgate", "bin/wardgate", "{project}/wardgate", "{project}/../project/wardgate"]
)
def test_a_program_that_a_project_brings_along_is_not_the_gateway(room: Room, command: str) -> None:
    file = room.file("cursor", "project")
    said = {"command": command.format(project=room.project), "args": ["stdio"]}
    room.write(file, json.dumps({"mcpServers": {"wardgate": said, "good": {"command": "wardgate", "args": ["stdio"]}}}))
    assert [server.wardgate for server in servers(file, room.project)] == [False, True]


def test_a_file_of_a_project_is_a_small_one(room: Room) -> None:
    file = room.file("cursor", "project")
    room.write(file, json.dumps({"mcpServers": {}, "": " " * LARGEST_OF_PROJECT}))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        servers(file, room.project)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["a", '"a"', "'a b'"])
@pytest.mark.parametrize("between", [".", " . "])
def test_a_name_of_very_many_parts_is_told_at_once(room: Room, part: str, between: str) -> None:
    file = room.file("codex", "project")
    room.write(file, between.join([part] * 80_000) + " = 1\n")
    with pytest.raises(ConfigurationError, match="hundred parts"):
        servers(file, room.project)
