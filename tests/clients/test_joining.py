"""Every client's file: connected and disconnected it is what it was; what others changed in between stays."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients import connections, edit, joining, servers, write
from gateway.clients.documents import document
from gateway.clients.kept import backup_file, digest
from gateway.clients.read import ClientFile
from gateway.core.clients import CLIENTS, Format, table_key
from gateway.errors import ConfigurationError, StateError
from tests.clients.room import AT, SERVERS, Room
from tests.clients.samples import SAMPLES
from tests.clients.test_jsonc import written

every_file = pytest.mark.parametrize("name", SAMPLES)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def plain(file: ClientFile) -> Any:
    return document(file.path.read_bytes().decode(), file.client.format, "f").get(())


def add_server(file: ClientFile, room: Room, name: str) -> None:
    """What a client does when its user adds one: the file written anew."""
    said = {"command": "new", "args": []}
    if file.client.format is Format.TOML:
        room.write(file, file.path.read_text() + f'\n[mcp_servers.{name}]\ncommand = "new"\nargs = []\n')
        return
    value = plain(file)
    value[table_key(file.client, file.place, "")[-1]][name] = said
    value["their"] = "own"
    room.write(file, json.dumps(value, indent=2))


@every_file
def test_a_file_that_was_connected_and_disconnected_is_what_it_was(room: Room, name: str) -> None:
    file = room.sample(name)
    before = file.path.read_bytes()
    plan = room.connect(file)
    assert [server.name for server in plan.disabled] == list(SERVERS)
    found = {server.name: server for server in servers(file, room.project)}
    assert found["wardgate"].wardgate
    assert not found["wardgate"].disabled
    assert room.read(file) == ()
    room.disconnect(file)
    assert file.path.read_bytes() == before
    assert connections(room.state) == ()
    assert sorted(path.name for path in (room.state / "clients").iterdir()) == [".lock"]


@every_file
def test_comments_and_keys_of_their_own_survive(room: Room, name: str) -> None:
    file = room.sample(name)
    before = file.path.read_text()
    keys = set(plain(file))
    room.connect(file)
    after = file.path.read_text()
    assert set(plain(file)) == keys
    for comment in re.findall(r"^\s*(?://|#|/\*).*|(?://|#) \w+$", before, re.MULTILINE):
        assert comment.strip() in after


@every_file
def test_connecting_twice_changes_nothing(room: Room, name: str) -> None:
    file = room.sample(name)
    room.connect(file)
    after, known = file.path.read_bytes(), connections(room.state)
    plan = room.plan(file)
    assert not plan.changes
    joining.carry_out(plan, room.state)
    assert file.path.read_bytes() == after
    assert connections(room.state) == known


@every_file
def test_what_somebody_else_changed_since_stays_and_ours_goes(room: Room, name: str) -> None:
    file = room.sample(name)
    before = plain(file)
    room.connect(file)
    add_server(file, room, "mine")
    room.disconnect(file)
    key = table_key(file.client, file.place, "")[-1]
    expected = {**before, key: {**before[key], "mine": {"command": "new", "args": []}}}
    found = plain(file)
    found.pop("their", None)
    assert found == expected
    assert [server for server in found[key] if server != "mine"] == list(SERVERS)


@every_file
def test_a_server_that_was_added_since_is_disabled_by_connecting_again_and_both_come_back(
    room: Room, name: str
) -> None:
    file = room.sample(name)
    room.connect(file)
    add_server(file, room, "mine")
    assert [server.name for server in room.read(file)] == ["mine"]
    plan = room.connect(file)
    assert {server.name for server in plan.disabled} == {*SERVERS, "mine"}
    assert room.read(file) == ()
    room.disconnect(file)
    assert {server.name for server in room.read(file)} == {*SERVERS, "mine"}


@every_file
def test_what_was_disabled_at_two_times_comes_back_into_a_file_that_was_changed_since(room: Room, name: str) -> None:
    file = room.sample(name)
    key = table_key(file.client, file.place, "")[-1]
    before = plain(file)[key]
    room.connect(file)
    add_server(file, room, "mine")
    value = plain(file)
    room.connect(file)
    room.connect(file, "/new/wardgate")
    room.write(file, file.path.read_text() + "\n")
    plan = room.disconnect(file)
    assert plan.left == ()
    assert set(plain(file)) == set(value)
    assert plain(file)[key] == {**before, "mine": {"command": "new", "args": []}}


@every_file
def test_a_file_that_was_not_there_is_made_and_deleted_with_its_folders(room: Room, name: str) -> None:
    scope, _, _ = SAMPLES[name]
    file = room.file(name.partition(",")[0], scope)
    plan = room.connect(file)
    assert plan.difference().startswith("--- /dev/null")
    assert [server.name for server in servers(file, room.project)] == ["wardgate"]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    room.disconnect(file)
    assert list(room.home.iterdir()) == []
    assert list(room.project.iterdir()) == []


@every_file
def test_an_empty_file_stays_one(room: Room, name: str) -> None:
    scope, _, _ = SAMPLES[name]
    file = room.file(name.partition(",")[0], scope)
    room.write(file, "")
    room.connect(file)
    room.disconnect(file)
    assert file.path.read_bytes() == b""


def test_a_made_file_that_others_wrote_to_since_stays(room: Room) -> None:
    file = room.file("cursor")
    room.connect(file)
    add_server(file, room, "mine")
    room.disconnect(file)
    assert plain(file) == {"mcpServers": {"mine": {"command": "new", "args": []}}, "their": "own"}


def test_the_backup_and_what_is_kept_of_it_are_their_owners_alone(room: Room) -> None:
    file = room.sample("claude-desktop")
    file.path.chmod(0o644)
    before = file.path.read_bytes()
    room.connect(file)
    (made,) = connections(room.state)
    assert backup_file(room.state, made).read_bytes() == before
    assert (made.client, made.scope, made.file) == ("claude-desktop", "user", str(file.path))
    assert (made.before, made.after) == (digest(before), digest(file.path.read_bytes()))
    for path in (room.state / "clients").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name], "something was left beside the file"


def test_mode_and_link_of_a_file_stay(room: Room) -> None:
    file = room.sample("gemini")
    real = room.home / "dotfiles.json"
    file.path.rename(real)
    file.path.symlink_to(real)
    real.chmod(0o640)
    before = real.read_bytes()
    room.connect(file)
    assert file.path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.read_bytes() != before
    room.disconnect(file)
    assert file.path.is_symlink()
    assert real.read_bytes() == before


def test_a_file_of_a_project_that_leads_out_of_it_is_not_written(room: Room) -> None:
    outside = room.home / "profile"
    outside.write_text("{}")
    file = room.file("cursor", "project")
    file.path.parent.mkdir()
    file.path.symlink_to(outside)
    with pytest.raises(ConfigurationError, match="leads out of the project"):
        room.plan(file)
    file.path.unlink()
    file.path.parent.rmdir()
    file.path.parent.symlink_to(room.home)
    with pytest.raises(ConfigurationError, match="leads out of the project"):
        room.plan(file)
    assert outside.read_text() == "{}"


@every_file
def test_a_file_that_makes_no_sense_is_told_with_its_line_and_left(room: Room, name: str) -> None:
    scope, _, _ = SAMPLES[name]
    file = room.file(name.partition(",")[0], scope)
    room.write(file, "\n{ oops\n")
    with pytest.raises(ConfigurationError, match=r"line 2\b") as told:
        room.plan(file)
    assert str(file.path) in str(told.value)
    assert file.path.read_text() == "\n{ oops\n"


def test_a_file_that_was_changed_while_somebody_thought_is_not_written(room: Room) -> None:
    file = room.sample("claude-code")
    plan = room.plan(file)
    room.write(file, '{"mcpServers": {}}')
    with pytest.raises(ConfigurationError, match="changed meanwhile"):
        joining.carry_out(plan, room.state)
    assert connections(room.state) == ()
    assert file.path.read_text() == '{"mcpServers": {}}'
    assert [path.name for path in room.home.iterdir()] == [".claude.json"]


def crash(room: Room, plan: joining.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry a plan out until the client's file would be written."""

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(write, "replace", power_cut)
        with pytest.raises(KeyboardInterrupt):
            joining.carry_out(plan, room.state)


def test_a_crash_between_the_backup_and_the_write_loses_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = room.sample("claude-code")
    before = file.path.read_bytes()
    plan = room.plan(file)
    crash(room, plan, monkeypatch)
    assert file.path.read_bytes() == before
    assert len(connections(room.state)) == 1
    assert not joining.plan_disconnect(file, room.project, room.state).changes
    room.connect(file)
    room.disconnect(file)
    assert file.path.read_bytes() == before


def test_a_crash_while_it_was_connected_again_loses_nothing_either(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = room.sample("vscode")
    before = file.path.read_bytes()
    room.connect(file)
    after = file.path.read_bytes()
    plan = room.plan(file, "/new/wardgate")
    crash(room, plan, monkeypatch)
    assert file.path.read_bytes() == after
    assert room.disconnect(file).left == ()
    assert file.path.read_bytes() == before


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = room.sample("codex")
    before = file.path.read_bytes()
    plan = room.plan(file)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises((ConfigurationError, StateError), match="nothing was changed"):
            joining.carry_out(plan, room.state)
    assert file.path.read_bytes() == before
    assert [path.name for path in file.path.parent.iterdir()] == ["config.toml"]


def test_a_lost_backup_is_no_loss_while_the_changes_are_known(room: Room) -> None:
    file = room.sample("vscode")
    before = plain(file)
    room.connect(file)
    (made,) = connections(room.state)
    backup_file(room.state, made).unlink()
    room.disconnect(file)
    assert plain(file) == before


def test_without_anything_kept_only_the_entry_goes(room: Room) -> None:
    file = room.sample("claude-desktop")
    room.connect(file)
    for path in (room.state / "clients").iterdir():
        path.unlink()
    plan = room.disconnect(file)
    assert plain(file) == {"globalShortcut": "", "mcpServers": {}}
    assert ["nothing is kept" in line for line in plan.left] == [True]


def test_an_entry_of_the_same_name_that_is_not_ours_is_not_touched(room: Room) -> None:
    file = room.sample("cursor", {"wardgate": {"command": "/tmp/evil", "args": ["stdio"]}})
    with pytest.raises(ConfigurationError, match="isn't Wardgate"):
        room.connect(file)


def test_an_entry_that_a_person_wrote_is_used_and_comes_back(room: Room) -> None:
    said = {"command": "wardgate", "args": ["stdio"], "timeout": 900_000, "trust": True}
    file = room.sample("gemini", {"gate": said, **SERVERS})
    before = file.path.read_bytes()
    room.connect(file)
    made = plain(file)["mcpServers"]
    assert list(made) == ["gate"]
    assert made["gate"]["command"] == "/opt/wardgate"
    assert made["gate"]["timeout"] == 900_000, "a client that waits longer was told to wait less"
    assert made["gate"]["trust"] is True
    room.disconnect(file)
    assert file.path.read_bytes() == before


def test_what_a_project_says_beside_our_command_is_not_kept(room: Room) -> None:
    said = {"command": "wardgate", "args": ["stdio"], "env": {"WARDGATE_CONFIG": "/tmp/theirs"}}
    file = room.sample("cursor, project", {"wardgate": said})
    room.connect(file)
    assert "env" not in plain(file)["mcpServers"]["wardgate"]


def test_a_second_entry_of_ours_is_disabled(room: Room) -> None:
    said = {"command": "wardgate", "args": ["stdio"]}
    file = room.sample("windsurf", {"gate": said, "wardgate": said})
    room.connect(file)
    found = {server.name: server.disabled for server in servers(file, room.project)}
    assert found == {"gate": True, "wardgate": False}


def test_an_entry_of_ours_that_was_disabled_is_enabled(room: Room) -> None:
    said = {"command": "wardgate", "args": ["stdio"], "disabled": True}
    file = room.sample("windsurf", {"wardgate": said})
    room.connect(file)
    assert [server.disabled for server in servers(file, room.project)] == [False]


def test_what_its_user_disabled_stays_so(room: Room) -> None:
    file = room.sample("windsurf", {"old": {"command": "x", "args": [], "disabled": True}})
    assert room.connect(file).disabled == ()
    room.disconnect(file)
    assert plain(file)["mcpServers"]["old"]["disabled"] is True


def test_what_its_user_enabled_again_stays_enabled(room: Room) -> None:
    file = room.sample("codex")
    room.connect(file)
    room.write(file, file.path.read_text().replace("enabled = false", "enabled = true", 1))
    plan = room.disconnect(file)
    assert plan.left == ("`mcp_servers.files.enabled` was changed: it stays as it is",)
    assert [server.disabled for server in servers(file, room.project)] == [False, False]


def test_a_server_that_its_user_put_there_anew_stays_as_it_is(room: Room) -> None:
    file = room.sample("cursor")
    room.connect(file)
    value = plain(file)
    value["mcpServers"]["files"] = {"command": "other", "args": []}
    room.write(file, json.dumps(value))
    plan = room.disconnect(file)
    assert plain(file)["mcpServers"]["files"] == {"command": "other", "args": []}
    assert plan.left == ("`mcpServers.files` was put there anew: it stays as it is",)


def test_servers_of_one_project_in_claude_codes_file_are_disabled_with_the_users(room: Room) -> None:
    file = room.file("claude-code")
    said = {"command": "x", "args": []}
    projects = {str(room.project): {"mcpServers": {"mine": said}}, "/other": {"mcpServers": {"far": said}}}
    room.write(file, json.dumps({"mcpServers": {"all": said}, "projects": projects}, indent=2))
    before = file.path.read_bytes()
    plan = room.connect(file)
    assert {(server.scope, server.name) for server in plan.disabled} == {("user", "all"), ("local", "mine")}
    left = plain(file)
    assert list(left["mcpServers"]) == ["wardgate"]
    assert left["projects"] == {str(room.project): {"mcpServers": {}}, "/other": {"mcpServers": {"far": said}}}
    room.disconnect(file)
    assert file.path.read_bytes() == before


def claude_of(room: Room, *folders: str) -> tuple[ClientFile, list[Path]]:
    """Claude Code's file with a server of the user's, and one in each of these projects."""
    file, projects = room.file("claude-code"), [room.place / folder for folder in folders]
    said = {"type": "stdio", "command": "x", "args": []}
    table = {str(project): {"mcpServers": {f"of-{project.name}": said}} for project in projects}
    room.write(file, json.dumps({"mcpServers": {"all": said}, "projects": table}, indent=2))
    return file, projects


def test_what_was_disabled_of_one_project_stays_so_when_another_connects(room: Room) -> None:
    file, (one, two) = claude_of(room, "one", "two")
    before = file.path.read_bytes()
    nowhere = room.place / "three"
    for project, command in ((one, "/opt/wardgate"), (two, "/opt/wardgate"), (nowhere, "/new/wardgate")):
        room.folder = project.name
        assert room.connect(file, command).changes
    assert plain(file)["projects"] == {str(project): {"mcpServers": {}} for project in (one, two)}
    assert plain(file)["mcpServers"]["wardgate"]["command"] == "/new/wardgate"
    for project in (one, two, one, nowhere):
        room.folder = project.name
        assert not room.plan(file, "/new/wardgate").changes
    room.disconnect(file)
    assert file.path.read_bytes() == before


def test_what_was_disabled_of_all_projects_comes_back_into_a_file_that_was_changed_since(room: Room) -> None:
    file, projects = claude_of(room, "one", "two", "three")
    before = plain(file)
    for at, project in enumerate(projects):
        room.folder = project.name
        room.connect(file)
        assert plain(file)["projects"] == {
            str(each): {"mcpServers": {}} if each in projects[: at + 1] else before["projects"][str(each)]
            for each in projects
        }
        room.write(file, json.dumps({**plain(file), "numStartups": at}))
    plan = room.disconnect(file)
    assert (plain(file), plan.left) == ({**before, "numStartups": 2}, ())
    assert sorted(path.name for path in (room.state / "clients").iterdir()) == [".lock"]


@every_file
def test_a_file_that_is_gone_comes_back_as_it_was(room: Room, name: str) -> None:
    file = room.sample(name)
    before = file.path.read_bytes()
    room.connect(file)
    file.path.unlink()
    plan = room.disconnect(file)
    assert plan.difference().startswith("--- /dev/null")
    assert file.path.read_bytes() == before
    assert sorted(path.name for path in (room.state / "clients").iterdir()) == [".lock"]


@every_file
def test_a_file_that_is_gone_can_be_connected_and_still_comes_back(room: Room, name: str) -> None:
    file = room.sample(name)
    before = file.path.read_bytes()
    room.connect(file)
    for gone in (file.path.unlink, lambda: room.write(file, "\n")):
        gone()
        room.connect(file)
        assert [server.name for server in servers(file, room.project)] == ["wardgate"]
        assert not room.plan(file).changes
    room.disconnect(file)
    assert file.path.read_bytes() == before


@every_file
def test_the_servers_of_a_file_that_is_gone_come_back_into_one_that_was_changed_since(room: Room, name: str) -> None:
    file = room.sample(name)
    key = table_key(file.client, file.place, "")[-1]
    before = plain(file)[key]
    room.connect(file)
    file.path.unlink()
    room.connect(file)
    add_server(file, room, "mine")
    plan = room.disconnect(file)
    assert plain(file)[key] == {"mine": {"command": "new", "args": []}, **before}
    assert plan.left == ()
    assert sorted(path.name for path in (room.state / "clients").iterdir()) == [".lock"]


def test_a_file_that_was_made_for_the_gateway_and_is_gone_stays_so(room: Room) -> None:
    file = room.file("cursor")
    room.connect(file)
    file.path.unlink()
    assert not room.disconnect(file).changes
    assert connections(room.state) == ()
    assert not file.path.exists()


def test_a_file_that_cannot_come_back_stays_kept(room: Room) -> None:
    file = room.sample("cursor")
    before = file.path.read_bytes()
    room.connect(file)
    file.path.unlink()
    file.path.parent.rmdir()
    file.path.parent.write_text("no folder")
    (made,) = connections(room.state)
    with pytest.raises(ConfigurationError) as told:
        room.disconnect(file)
    assert str(backup_file(room.state, made)) in str(told.value)
    assert connections(room.state) == (made,)
    assert backup_file(room.state, made).read_bytes() == before


@pytest.mark.parametrize("name", ["cursor", "claude-code", "gemini"])
def test_a_file_that_its_client_wrote_anew_gets_its_servers_back(room: Room, name: str) -> None:
    file = room.sample(name)
    key = table_key(file.client, file.place, "")[-1]
    before = plain(file)[key]
    room.connect(file)
    room.write(file, "{}")
    room.connect(file)
    add_server(file, room, "mine")
    room.disconnect(file)
    assert plain(file)[key] == {"mine": {"command": "new", "args": []}, **before}


@pytest.mark.parametrize("again", [False, True])
def test_what_cannot_be_put_back_stays_kept_and_is_told(room: Room, again: bool) -> None:
    file = room.sample("codex", {"hub": {"command": "x", "args": [], "env": {"API_TOKEN": "ghp_" + "aB3" * 12}}})
    before = file.path.read_bytes()
    room.connect(file)
    room.write(file, 'model = "other"\n')
    told = room.connect(file).left if again else ()
    told += room.disconnect(file).left
    assert plain(file) == {"model": "other"}, "half an entry was put back"
    (kept,) = (path for path in (room.state / "clients").iterdir() if path.suffix == ".backup")
    assert kept.read_bytes() == before
    assert [str(kept) in line for line in told].count(True) == 1
    assert connections(room.state) == ()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_an_entry_of_ours_that_its_user_took_out_is_no_loss(room: Room) -> None:
    file = room.sample("cursor")
    before = plain(file)
    room.connect(file)
    room.write(file, '{"mcpServers": {}}')
    plan = room.disconnect(file)
    assert plan.left == ("`mcpServers.wardgate` is not there any more",)
    assert plain(file) == before
    assert sorted(path.name for path in (room.state / "clients").iterdir()) == [".lock"]


@pytest.mark.parametrize("again", [False, True])
def test_a_link_in_whose_place_its_client_put_a_file_is_still_known(room: Room, again: bool) -> None:
    file = room.sample("cursor")
    real = room.home / "dotfiles.json"
    file.path.rename(real)
    file.path.symlink_to(real)
    before = real.read_bytes()
    room.connect(file)
    linked = real.read_bytes()
    file.path.unlink()
    room.write(file, linked.decode())
    if again:
        assert not room.plan(file).changes
        room.connect(file, "/new/wardgate")
        assert [made.target for made in connections(room.state)] == [str(file.path)]
    plan = room.disconnect(file)
    assert file.path.read_bytes() == before
    assert real.read_bytes() == linked
    assert again or str(real) in " ".join(plan.left)
    assert sorted(path.name for path in (room.state / "clients").iterdir()) == [".lock"]


def test_a_link_that_leads_elsewhere_now_is_another_file(room: Room) -> None:
    file = room.sample("cursor")
    one, two = room.home / "one.json", room.home / "two.json"
    file.path.rename(one)
    file.path.symlink_to(one)
    before = one.read_bytes()
    room.connect(file)
    file.path.unlink()
    file.path.symlink_to(two)
    two.write_text('{"mcpServers": {}}')
    assert not room.disconnect(file).changes
    room.connect(file)
    assert len(connections(room.state)) == 2
    room.disconnect(file)
    assert two.read_text() == '{"mcpServers": {}}'
    file.path.unlink()
    file.path.symlink_to(one)
    room.disconnect(file)
    assert one.read_bytes() == before


@pytest.mark.parametrize("name", ["claude-code", "codex", "vscode"])
def test_no_secret_is_shown(room: Room, name: str) -> None:
    secret = "ghp_" + "aB3" * 12
    env = {"GITHUB_TOKEN": secret, "DB_PASSWORD": "plain-but-named"}
    file = room.sample(name, {"hub": {"command": "x", "args": ["--token", secret], "env": env}})
    shown = room.plan(file).difference()
    assert secret not in shown
    assert "plain-but-named" not in shown
    room.connect(file)
    shown = joining.plan_disconnect(file, room.project, room.state).difference()
    assert secret not in shown
    assert "plain-but-named" not in shown


def test_a_read_only_file_is_left(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = room.sample("cursor")
    file.path.chmod(0o400)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write any file
    with pytest.raises(ConfigurationError, match="read-only"):
        room.connect(file)


def test_what_was_kept_and_makes_no_sense_is_told(room: Room) -> None:
    file = room.sample("cursor")
    room.connect(file)
    (kept,) = [path for path in (room.state / "clients").iterdir() if path.suffix == ".json"]
    kept.write_text("{")
    with pytest.raises(StateError, match="can't be read"):
        joining.plan_disconnect(file, room.project, room.state)


@pytest.mark.parametrize(
    "text",
    [
        '[mcp_servers]\nfiles = {command = "x", args = []}\n',
        'mcp_servers.files.command = "x"\n',
        'mcp_servers = {files = {command = "x"}} # mine\n',
        '[mcp_servers.files]\ncommand = "x"\n[tui]\na = 1\n[mcp_servers.more]\ncommand = "y"\n',
        '[mcp_servers]\n[mcp_servers.files]\ncommand = "x"\nenabled = true # yes\n',
        '[mcp_servers."a.b"]\r\ncommand = "x"\r\n',
    ],
)
def test_odd_ways_to_write_toml_are_edited(room: Room, text: str) -> None:
    file = room.file("codex")
    room.write(file, text)
    room.connect(file)
    assert room.read(file) == ()
    room.write(file, "# first\n" + file.path.read_bytes().decode())
    room.disconnect(file)
    assert plain(file) == document(text, Format.TOML, "f").get(())


@pytest.mark.parametrize(
    "text",
    [
        '[mcp_servers.files]\ncommand = "x"\nenabled = true # on\nargs = []\n',
        '[mcp_servers]\nfiles = {command = "x", enabled = true, args = []} # on\n',
        "[mcp_servers.far]\nurl = 'https://me:{word}@example.com/s' # far\nenabled = true # on\n",
        '[mcp_servers.hub]\nargs = ["--token", # before it\n  "{word}"] # behind it\ncommand = "x"\n',
        '[mcp_servers.hub]\ncommand = "x"\n[mcp_servers.hub.env]\nMORE = "a" # more\nAPI_TOKEN = "{word}" # mine\n',
    ],
    ids=["key", "inline", "address", "arguments", "variable"],
)
def test_what_was_set_and_its_comments_stand_where_they_stood_in_a_file_that_was_changed_since(
    room: Room, text: str
) -> None:
    text = text.replace("{word}", "ghp_" + "aB3" * 12)
    file = room.file("codex")
    room.write(file, text)
    room.connect(file)
    room.write(file, "# theirs\n" + file.path.read_bytes().decode())
    room.disconnect(file)
    assert [line for line in file.path.read_text().splitlines() if line] == ["# theirs", *text.splitlines()]


def test_a_value_that_was_set_stands_where_it_stood_in_a_file_that_was_changed_since(room: Room) -> None:
    file = room.sample("windsurf", {"hub": {"disabled": False, **SERVERS["files"]}})
    before = file.path.read_text()
    room.connect(file)
    room.write(file, file.path.read_text() + "\n")
    room.disconnect(file)
    assert file.path.read_text() == before + "\n"


def test_strange_values_are_no_servers(room: Room) -> None:
    file = room.file("cursor")
    room.write(file, json.dumps({"mcpServers": {"a": 1, "b": {"command": 3, "args": "x", "env": [], "url": {}}}}))
    (only,) = servers(file, room.project)
    assert (only.name, only.command, only.args, only.env, only.url) == ("b", "", (), {}, "")
    room.write(file, json.dumps({"mcpServers": []}))
    assert servers(file, room.project) == ()


def test_every_place_is_one_that_the_gateway_protects(room: Room) -> None:
    from gateway.protect import Guard

    guard = Guard([], lambda _: (), room.home)
    for client in CLIENTS.values():
        for place in client.places:
            for platform in place.platforms:
                path = str(edit_path(room, client.name, place.scope, platform))
                assert guard.holds(path), path


def edit_path(room: Room, client: str, scope: str, platform: str) -> Path:
    from gateway.clients.read import place_path

    place = next(each for each in CLIENTS[client].places if each.scope == scope)
    return place_path(place, {"HOME": str(room.home)}, room.project, platform)


def test_register_and_undo_are_checked_before_anything_is_written(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = room.sample("cursor")
    monkeypatch.setattr(edit, "undo", lambda text, *_: (text, ()))
    with pytest.raises(ConfigurationError, match="can't be edited safely"):
        room.connect(file)


def test_an_address_that_stays_keeps_no_secret_and_gets_it_back(room: Room) -> None:
    address = "https://me:hunter2@example.com/s?api_key=hunter3"
    file = room.file("codex")
    room.write(file, f"[mcp_servers.far]\nurl = '{address}' # mine\n")
    before = file.path.read_bytes()
    room.connect(file)
    assert "hunter" not in file.path.read_text()
    (far, _) = servers(file, room.project)
    assert (far.url, far.disabled) == ("https://example.com/", True)
    room.disconnect(file)
    assert file.path.read_bytes() == before


def test_an_entry_that_somebody_else_put_in_our_place_stays(room: Room) -> None:
    file = room.sample("cursor")
    room.connect(file)
    value = plain(file)
    value["mcpServers"]["wardgate"] = {"command": "other", "args": []}
    room.write(file, json.dumps(value))
    plan = room.disconnect(file)
    assert plain(file)["mcpServers"]["wardgate"] == {"command": "other", "args": []}
    assert plan.left == ("`mcpServers.wardgate` was changed: it stays as it is",)


def test_an_entry_of_ours_that_was_edited_goes(room: Room) -> None:
    file = room.sample("cursor")
    before = plain(file)
    room.connect(file)
    value = plain(file)
    value["mcpServers"]["wardgate"]["env"] = {"LANG": "C"}
    room.write(file, json.dumps(value))
    room.disconnect(file)
    assert plain(file) == before


def test_a_place_that_cannot_be_made_is_told_and_nothing_is_kept(room: Room) -> None:
    (room.home / ".cursor").write_text("no folder")
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        room.connect(room.file("cursor"))
    assert connections(room.state) == ()


def test_a_name_of_half_a_character_is_told(room: Room) -> None:
    file = room.file("cursor")
    room.write(file, '{"mcpServers": {"\\ud800": {"command": "x"}}}')
    with pytest.raises(ConfigurationError, match="no text"):
        room.connect(file)


@pytest.mark.parametrize("name", ["codex", "codex, project", "windsurf"])
def test_a_disabled_server_that_stays_keeps_no_secret_and_gets_it_back(room: Room, name: str) -> None:
    secret = "ghp_" + "aB3" * 12
    said = {"command": "x", "args": ["--token", secret, "more"], "env": {"API_TOKEN": secret, "REGION": "eu"}}
    file = room.sample(name, {"hub": said, **SERVERS})
    before, meant = file.path.read_bytes(), plain(file)
    room.connect(file)
    assert secret not in file.path.read_text()
    (found,) = [server for server in servers(file, room.project) if server.name == "hub"]
    assert (found.disabled, found.env, found.args) == (True, {"REGION": "eu"}, ())
    room.disconnect(file)
    assert file.path.read_bytes() == before
    room.connect(file)
    room.write(file, file.path.read_text() + "\n")
    room.disconnect(file)
    assert plain(file) == meant


def test_a_gateway_that_was_moved_is_registered_anew_and_goes_whole(room: Room) -> None:
    file = room.sample("gemini")
    before = file.path.read_bytes()
    room.connect(file, "/old/wardgate")
    room.connect(file, "/new/wardgate")
    assert plain(file)["mcpServers"]["wardgate"]["command"] == "/new/wardgate"
    room.disconnect(file)
    assert file.path.read_bytes() == before


def test_a_second_gateway_gives_the_first_its_place_back(room: Room, tmp_path: Path) -> None:
    file = room.sample("cursor")
    before = file.path.read_bytes()
    room.connect(file, "/one/wardgate")
    one = file.path.read_bytes()
    first, second = room.state, tmp_path / "second"
    plan = joining.plan_connect(file, room.project, second, {"command": "/two/wardgate", "args": ["stdio"]}, (), AT)
    joining.carry_out(plan, second)
    joining.carry_out(joining.plan_disconnect(file, room.project, second), second)
    assert file.path.read_bytes() == one
    joining.carry_out(joining.plan_disconnect(file, room.project, first), first)
    assert file.path.read_bytes() == before


@given(written(), st.booleans())
def test_any_layout_says_the_same_after_all_was_undone(made: tuple[str, Any], comment: bool) -> None:
    text = made[0].replace('"mcpServers"', '"servers"')
    file, project = ClientFile(CLIENTS["vscode"], CLIENTS["vscode"].places[0], Path("/f")), Path("/p")
    said = document(text, Format.JSONC, "f").get(())
    off = edit.originals(text, file, project)
    entry = {"command": "/opt/wardgate", "args": ["stdio"]}
    try:
        then, changes = edit.register(text, file, project, entry, off)
    except ConfigurationError:
        assert not isinstance(said.get("servers", {}), dict)
        return
    assert edit.originals(then, file, project) == ()
    assert edit.register(then, file, project, entry, ())[1] == ()
    back, left = edit.undo(then + "\n/* theirs */" * comment, file, changes)
    assert document(back, Format.JSONC, "f").get(()) == said
    assert left == ()
