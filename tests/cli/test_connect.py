"""`connect` and `disconnect`: what they show, ask, refuse and warn of."""

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.cli import connect, disconnect
from gateway.core.clients import CLIENTS
from tests.cli.ptys import terminal
from tests.cli.room import Ended, run_here
from tests.clients.samples import SAMPLES

FILES = {"command": "npx", "args": ["-y", "server-files", "/srv"]}
CONFIG = """\
schema = 1
[gateway]
state = "state"
[upstreams.files]
command = "npx"
args = ["-y", "server-files", "/srv"]
owner = "o@example.com"
[upstreams.wiki]
url = "https://wiki.example.com/mcp"
owner = "o@example.com"
"""
REGISTERED = "".join(f'[clients.{name}]\nowner = "o@example.com"\n' for name in CLIENTS)


class Home:
    """A home folder with a configuration, a project to work in, and the commands."""

    def __init__(self, place: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.place, self.capture = place, capture
        for folder in (self.home, self.project, self.folder / "policies"):
            folder.mkdir(parents=True)
        here = CONFIG.partition("[upstreams.files]")[2].partition("[upstreams.wiki]")[0]
        self.configure(f"{CONFIG}{REGISTERED}[upstreams.here]{here}cwd = {json.dumps(str(self.project))}\n")

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def project(self) -> Path:
        return self.place / "project"

    @property
    def folder(self) -> Path:
        return self.place / "config"

    def configure(self, text: str) -> None:
        (self.folder / "upstreams.toml").write_text(text)
        (self.folder / "upstreams.toml").chmod(0o600)

    def sample(self, name: str, **servers: Any) -> Path:
        """A client's file with servers in it."""
        scope, path, text = SAMPLES[name]
        file = (self.home if scope == "user" else self.project) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text(servers))
        return file

    def run(self, command: Any, *words: str) -> Ended:
        return run_here(self.capture, command, [*words, "--config", str(self.folder)])

    def items(self, command: Any, *words: str) -> list[dict[str, Any]]:
        ended = self.run(command, *words, "--json")
        assert ended.code == 0, ended
        printed = json.loads(ended.out)
        assert (printed["schema"], printed["next"]) == (1, None)
        return list(printed["items"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    made = Home(tmp_path, capsys)
    monkeypatch.chdir(made.project)
    monkeypatch.setenv("HOME", str(made.home))
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "GEMINI_CLI_HOME"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.mark.parametrize("name", SAMPLES)
def test_connected_shown_and_disconnected(home: Home, name: str) -> None:
    file, client, scope = home.sample(name, files=FILES), name.partition(",")[0], SAMPLES[name][0]
    before = file.read_bytes()
    words = (client, "--scope", scope, "--yes")
    connected = home.run(connect, *words)
    assert connected.code == 0, connected
    assert f"+++ {file}" in connected.out
    assert "Disabled: files." in connected.out
    assert connected.err == "" or ('hold = "10m"' in connected.err and client in ("codex", "gemini"))
    again = home.run(connect, *words)
    assert (again.code, "nothing to change" in again.out) == (0, True)
    disconnected = home.run(disconnect, *words)
    assert disconnected.code == 0, disconnected
    assert file.read_bytes() == before
    none = home.run(disconnect, *words)
    assert (none.code, "is not connected" in none.out) == (0, True)


def test_what_is_registered_starts_this_very_command_with_this_configuration(home: Home) -> None:
    file = home.sample("claude-desktop", files=FILES)
    home.run(connect, "claude-desktop", "--yes")
    said = json.loads(file.read_text())["mcpServers"]["wardgate"]
    assert Path(said["command"]).is_absolute()
    assert Path(said["command"]).samefile(Path(sys.executable).with_name("wardgate"))
    assert said["args"] == ["stdio", "--client", "claude-desktop", "--config", str(home.folder)]


def test_nothing_is_changed_where_nobody_can_be_asked(home: Home) -> None:
    file = home.sample("cursor", files=FILES)
    before = file.read_bytes()
    for words in (("cursor",), ("cursor", "--json")):
        ended = home.run(connect, *words)
        assert ended.code == 2
        assert "--yes" in ended.err
        assert "wardgate" in ended.out, "the difference wasn't shown"
    assert file.read_bytes() == before
    assert not (home.folder / "state").exists()
    home.run(connect, "cursor", "--yes")
    after = file.read_bytes()
    assert home.run(disconnect, "cursor").code == 2
    assert file.read_bytes() == after


@pytest.mark.parametrize(("key", "code"), [("y", 0), ("n", 1), ("\r", 1), ("x", 1)])
async def test_only_a_y_at_the_terminal_is_a_yes(home: Home, key: str, code: int) -> None:
    file = home.sample("vscode", files=FILES)
    before = file.read_bytes()
    with anyio.fail_after(30):
        async with terminal("connect", "vscode", "--config", str(home.folder)) as screen:
            await screen.see("+++", "Write this to")
            await screen.type(key)
            assert await screen.end() == code
    assert (file.read_bytes() != before) == (code == 0)


def test_servers_that_would_be_lost_stop_it(home: Home) -> None:
    file = home.sample("cursor", files=FILES, mine={"command": "mine", "args": []})
    before = file.read_bytes()
    refused = home.run(connect, "cursor", "--yes")
    assert refused.code == 1
    assert "`mine`" in refused.err
    assert "`files`" not in refused.err
    assert "wardgate init" in refused.err
    assert file.read_bytes() == before
    ended = home.run(connect, "cursor", "--yes", "--only-registered")
    assert ended.code == 0
    assert "`mine` still goes past the gateway" in ended.err
    assert list(json.loads(file.read_text())["mcpServers"]) == ["mine", "wardgate"]


@pytest.mark.parametrize(
    "said",
    [
        {"command": "npx", "args": ["-y", "server-files", "/etc"]},
        {"command": "other", "args": ["-y", "server-files", "/srv"]},
        {"url": "https://wiki.example.com/mcp"},
        {"command": "npx", "args": ["-y", "server-files", "/srv"], "env": {"MODE": "rw"}},
    ],
)
def test_a_server_of_the_same_name_that_is_another_one_would_be_lost_too(home: Home, said: dict[str, Any]) -> None:
    home.sample("claude-desktop", files=said)
    if "url" in said:  # known, under another name
        assert home.run(connect, "claude-desktop", "--yes").code == 0
        return
    refused = home.run(connect, "claude-desktop", "--yes")
    assert refused.code == 1
    assert "`files`" in refused.err


def test_what_goes_past_in_other_files_of_the_client_is_told(home: Home) -> None:
    home.sample("claude-code", files=FILES)
    other = home.sample("claude-code, project", files=FILES)
    ended = home.run(connect, "claude-code", "--yes")
    assert ended.code == 0
    assert f"also starts `files` by itself, from `{other}`" in ended.err
    assert "wardgate connect claude-code --scope project" in ended.err


def test_connecting_in_one_folder_enables_nothing_of_another(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folders = home.home / ".claude.json", [home.place / name for name in ("a", "b", "c")]
    wiki = {"type": "http", "url": "https://wiki.example.com/mcp"}
    said = {str(folder): {"mcpServers": {f"of-{folder.name}": wiki}} for folder in folders[:2]}
    file.write_text(json.dumps({"mcpServers": {"all": wiki}, "projects": said}))
    before = file.read_bytes()
    for folder in folders:
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert home.run(connect, "claude-code", "--yes").code == 0
    assert '"of-' not in file.read_text()
    for folder in folders:
        monkeypatch.chdir(folder)
        assert "nothing to change" in home.run(connect, "claude-code", "--yes").out
    home.run(disconnect, "claude-code", "--yes")
    assert file.read_bytes() == before


def test_a_file_that_is_gone_is_put_back(home: Home) -> None:
    file = home.sample("cursor", files=FILES)
    before = file.read_bytes()
    home.run(connect, "cursor", "--yes")
    file.unlink()
    assert home.run(disconnect, "cursor").code == 2, "nobody was asked"
    ended = home.run(disconnect, "cursor", "--yes")
    assert (ended.code, "not connected" in ended.out, f"+++ {file}" in ended.out) == (0, False, True), ended
    assert file.read_bytes() == before


def test_what_cannot_be_put_back_stays_kept_and_its_place_is_told(home: Home) -> None:
    file = home.sample("codex", files=FILES)
    before = file.read_bytes()
    home.run(connect, "codex", "--yes")
    file.write_text('model = "other"\n')
    told = home.run(connect, "codex", "--yes").out
    (kept,) = (path for path in (home.folder / "state" / "clients").iterdir() if path.read_bytes() == before)
    assert str(kept) in told


def test_a_client_that_upstreams_toml_does_not_name_is_told(home: Home) -> None:
    home.configure(CONFIG)
    home.sample("claude-desktop", files=FILES)
    assert "[clients.claude-desktop]" in home.run(connect, "claude-desktop", "--yes").err


def test_no_secret_is_shown_or_left_in_the_file(home: Home) -> None:
    secret = "ghp_" + "aB3" * 12
    reference = f'env = {{ API_TOKEN = "file:{home.place}/token" }}\n'
    home.configure(CONFIG.replace("[upstreams.wiki]", f"{reference}[upstreams.wiki]") + REGISTERED)
    (home.place / "token").write_text(secret)
    (home.place / "token").chmod(0o600)
    for client in ("codex", "windsurf", "claude-desktop"):
        file = home.sample(client, files={**FILES, "env": {"API_TOKEN": secret}})
        before = file.read_bytes()
        connected = home.run(connect, client, "--yes")
        assert connected.code == 0, connected
        assert secret not in file.read_text()
        disconnected = home.run(disconnect, client, "--yes")
        assert file.read_bytes() == before
        assert secret not in "".join([connected.out, connected.err, disconnected.out, disconnected.err])


def test_another_account_is_another_server(home: Home) -> None:
    reference = f'env = {{ API_TOKEN = "file:{home.place}/token" }}\n'
    home.configure(CONFIG.replace("[upstreams.wiki]", f"{reference}[upstreams.wiki]") + REGISTERED)
    (home.place / "token").write_text("ghp_" + "aB3" * 12)
    (home.place / "token").chmod(0o600)
    home.sample("claude-desktop", files={**FILES, "env": {"API_TOKEN": "ghp_" + "cD4" * 12}})
    refused = home.run(connect, "claude-desktop", "--yes")
    assert (refused.code, "`files` (the upstream `files` runs it already" in refused.err) == (1, True)
    assert "wardgate init" not in refused.err, "that would not help"


def test_json_tells_what_was_done(home: Home) -> None:
    file = home.sample("gemini", files=FILES)
    (done,) = home.items(connect, "gemini", "--yes")
    assert {key: done[key] for key in ("client", "scope", "file", "changed", "disabled", "past", "left")} == {
        "client": "gemini",
        "scope": "user",
        "file": str(file),
        "changed": True,
        "disabled": ["files"],
        "past": [],
        "left": [],
    }
    assert Path(done["backup"]).is_file()
    assert any(line.startswith("+") for line in done["difference"])
    (done,) = home.items(disconnect, "gemini", "--yes")
    assert (done["changed"], done["left"]) == (True, [])


def test_without_a_client_the_files_that_are_there_are_listed(home: Home) -> None:
    assert "no files of clients were found" in home.run(connect).out
    home.sample("claude-desktop", files=FILES)
    home.sample("cursor", files=FILES)
    broken = home.sample("vscode")
    broken.write_text("{\n")
    home.run(connect, "cursor", "--yes")
    rows = {row["client"]: row for row in home.items(connect)}
    assert (rows["claude-desktop"]["connected"], rows["claude-desktop"]["past"]) == (False, ["files"])
    assert (rows["cursor"]["connected"], rows["cursor"]["past"]) == (True, [])
    assert "line 2" in rows["vscode"]["problem"]
    listed = home.run(connect).out.splitlines()
    assert [line.rpartition("  ")[2] for line in listed if "not connected" in line] == ["not connected; past it: files"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["curser"], "did you mean `cursor`?"),
        (["nothing-like-it"], "expected claude-desktop"),
        (["windsurf", "--scope", "project"], "keeps no servers for a project"),
        (["mcp-json", "--scope", "user"], "keeps no servers for a user"),
    ],
)
def test_a_wrong_word_is_2_with_the_nearest_right_one(home: Home, words: list[str], told: str) -> None:
    for command in (connect, disconnect):
        ended = home.run(command, *words)
        assert (ended.code, told in ended.err) == (2, True), ended


def test_a_configuration_that_cannot_be_used_is_1(home: Home) -> None:
    home.sample("cursor", files=FILES)
    home.configure("schema = 2\n")
    assert home.run(connect, "cursor", "--yes").code == 1
    (home.folder / "upstreams.toml").unlink()
    assert home.run(connect, "cursor", "--yes").code == 1
    assert home.run(disconnect, "cursor", "--yes").code == 1


def test_names_from_files_cannot_speak_to_the_terminal(home: Home) -> None:
    home.sample("claude-desktop", **{"\x1b[2Jevil": {"command": "x", "args": []}})
    for words in (("claude-desktop", "--yes"), ("claude-desktop", "--only-registered", "--yes"), ()):
        ended = home.run(connect, *words)
        assert "\x1b" not in ended.out + ended.err
    broken = home.sample("cursor")
    broken.write_text(
        '{"mcpServers": {"\\u001b[2Jevil": {"command": "wardgate", "args": ["stdio"]}, "\\u001b[2Jevil": {}}}'
    )
    ended = home.run(connect, "cursor", "--yes")
    assert ended.code == 1
    assert "\x1b" not in ended.out + ended.err


def test_what_another_configuration_keeps_is_not_lost(home: Home, tmp_path: Path) -> None:
    file = home.sample("cursor", files=FILES)
    before = file.read_bytes()
    home.run(connect, "cursor", "--yes")
    after = file.read_bytes()
    other = tmp_path / "other"
    (other / "policies").mkdir(parents=True)
    (other / "upstreams.toml").write_text(CONFIG)
    (other / "upstreams.toml").chmod(0o600)
    stopped = run_here(home.capture, disconnect, ["cursor", "--yes", "--config", str(other)])
    assert (stopped.code, f"--config {home.folder}" in stopped.err) == (1, True), stopped
    assert file.read_bytes() == after
    assert home.run(disconnect, "cursor", "--yes").code == 0
    assert file.read_bytes() == before


def test_with_a_broken_configuration_what_was_there_before_comes_back_all_the_same(home: Home) -> None:
    file = home.sample("cursor", files=FILES)
    before = file.read_bytes()
    home.run(connect, "cursor", "--yes")
    config = home.folder / "upstreams.toml"
    config.write_text(f"{config.read_text(encoding='utf-8')}[upstreams.new\n", encoding="utf-8")
    assert home.run(connect, "cursor", "--yes").code == 1
    assert home.run(disconnect, "cursor", "--yes").code == 0
    assert file.read_bytes() == before


def test_a_lost_state_folder_is_told(home: Home) -> None:
    file = home.sample("cursor", files=FILES)
    home.run(connect, "cursor", "--yes")
    for kept in (home.folder / "state" / "clients").iterdir():
        kept.unlink()
    ended = home.run(disconnect, "cursor", "--yes")
    assert (ended.code, "nothing is kept" in ended.out, "put back" in ended.out) == (0, True, False), ended
    assert "wardgate" not in file.read_text()


def test_a_program_of_the_project_is_not_put_into_its_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home.sample("claude-code, project")
    before = file.read_bytes()
    program = home.project / ".venv" / "bin" / "wardgate"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "argv", [str(program), "connect"])
    ended = home.run(connect, "claude-code", "--scope", "project", "--yes")
    assert (ended.code, str(program) in ended.err, "uv tool install wardgate" in ended.err) == (1, True, True), ended
    assert file.read_bytes() == before
    assert home.run(connect, "claude-code", "--yes").code == 0, "the user's own file may name it"


@pytest.mark.parametrize(("name", "words"), [("cursor", ""), ("cursor, project", " --scope project"), ("mcp-json", "")])
def test_the_command_that_puts_everything_back_is_told_whole(home: Home, name: str, words: str) -> None:
    home.sample(name, files=FILES)
    client, scope = name.partition(",")[0], SAMPLES[name][0]
    told = home.run(connect, client, "--scope", scope, "--yes").out
    assert f"`wardgate disconnect {client}{words}`" in told
