"""Where servers are looked for, whose they are, and what is there already."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.initial.compose import Base
from gateway.initial.finding import Found, base_of, look

SERVER = {"command": "npx", "args": ["x"]}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def found(home: Path, project: Path, *only: str, **more: Any) -> Found:
    return look(Base(home / "wardgate" / "upstreams.toml"), {"HOME": str(home)}, project, only, **more)


def names(looked: Found) -> list[str]:
    return [one.name for one in looked.plan.new]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path / "home" / ".claude.json", {"mcpServers": {"mine": SERVER}})
    write(tmp_path / "repo" / ".mcp.json", {"mcpServers": {"theirs": {**SERVER, "args": ["y"]}}})
    write(tmp_path / "repo" / ".cursor" / "mcp.json", {"mcpServers": {"more": {**SERVER, "args": ["z"]}}})
    return tmp_path / "home"


def test_what_only_a_project_names_is_kept_apart_until_somebody_takes_it(home: Path) -> None:
    project = home.parent / "repo"
    looked = found(home, project)
    assert (names(looked), [one.name for one in looked.of_project]) == (["mine"], ["theirs", "more"])
    assert looked.clients == ("claude-code",)
    taken = found(home, project, take_project=True)
    assert (names(taken), list(taken.of_project)) == (["mine", "theirs", "more"], [])
    assert taken.clients == ("claude-code", "cursor")


def test_a_project_takes_no_name_from_the_users_own(home: Path) -> None:
    project = home.parent / "repo"
    write(home / ".cursor" / "mcp.json", {"mcpServers": {"theirs": {**SERVER, "args": ["own"]}}})
    taken = found(home, project, take_project=True)
    args = {one.name: one.launch.args for one in taken.plan.new}
    assert (args["theirs"], args["theirs-2"]) == (("own",), ("y",))


def test_a_home_folder_that_is_the_project_too_is_the_users_own(home: Path) -> None:
    write(home / ".cursor" / "mcp.json", {"mcpServers": {"more": SERVER}})
    looked = found(home, home)
    assert (names(looked), list(looked.of_project)) == (["mine"], [])
    assert len(looked.plan.new[0].sources) == 2


def test_a_client_is_named_by_itself_or_by_its_file(home: Path) -> None:
    project = home.parent / "repo"
    assert names(found(home, project, "cursor", take_project=True)) == ["more"]
    assert names(found(home, project, "mcp-json", take_project=True)) == ["theirs"]
    assert names(found(home, project, "windsurf")) == []


def test_a_file_that_cannot_be_read_is_told(home: Path) -> None:
    write(home / ".cursor" / "mcp.json", '{"mcpServers": {')
    looked = found(home, home.parent / "repo")
    assert names(looked) == ["mine"]
    assert [".cursor/mcp.json" in why for why in looked.unread] == [True]


def test_what_codex_takes_from_its_environment_is_taken_from_the_gateways(home: Path) -> None:
    write(
        home / ".codex" / "config.toml",
        '[mcp_servers.far]\nurl = "https://mcp.example/x"\nbearer_token_env_var = "FAR_TOKEN"\n'
        'env_http_headers = { X-Team = "TEAM" }\n'
        '[mcp_servers.near]\ncommand = "npx"\nenv_vars = ["LEVEL"]\n[mcp_servers.near.env]\nLANG = "C"\n',
    )
    far, near = found(home, home.parent / "repo", "codex").plan.new
    assert far.launch.headers["X-Team"] == "env:TEAM"
    assert str(far.launch.headers["Authorization"]).startswith("cmd:/bin/sh -c ")
    assert near.launch.env == {"LEVEL": "env:LEVEL", "LANG": "C"}


@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "a folder"])
def test_a_new_configuration_keeps_its_state_beside_it(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "x").mkdir()
    assert base_of(str(tmp_path / "x"), {}) == Base(tmp_path / "x" / "upstreams.toml", None, "state")


def test_one_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "upstreams.toml", "schema = 2\n")
    with pytest.raises(ConfigurationError, match="mend it first"):
        base_of(str(tmp_path), {})
