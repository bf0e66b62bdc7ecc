"""`doctor` on clients' files: what goes past Wardgate, waits too short, or is written out; broken and mended."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.doctor import clients
from gateway.cli.doctor.finding import Line
from gateway.cli.doctor.telling import tell
from tests.cli.consulting import CONFIG, case_of, configure, told, write, wrong

OURS = {"command": "wardgate", "args": ["stdio", "--client", "claude-code"]}
FILES = {"command": "/bin/echo", "args": ["files"]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    write(tmp_path / "bin" / "wardgate", "#!/bin/sh\n", mode=0o700)
    return tmp_path


def claude(home: Path, **servers: Any) -> Path:
    """Write Claude Code's own file with some servers."""
    return write(home / ".claude.json", {"numStartups": 3, "mcpServers": servers})


def test_where_wardgate_stands_is_told(home: Path) -> None:
    (found,) = told(clients.registered, case_of(home))
    assert (found.what, "connect" in found.do) == ("client", True)
    claude(home, wardgate=OURS)
    (found,) = told(clients.registered, case_of(home))
    assert (found.of, found.wrong, found.found) == ("claude-code", False, "registered as `wardgate` (user)")


def test_a_client_with_servers_and_without_wardgate_is_told_once(home: Path) -> None:
    claude(home, files=FILES)
    write(home / "project" / ".mcp.json", {"mcpServers": {"files": FILES}})
    (found,) = told(clients.registered, case_of(home))
    assert (found.of, found.wrong, found.do) == (
        "claude-code",
        False,
        "`wardgate connect claude-code` registers it",
    )


def test_an_entry_that_the_clients_settings_keep_from_being_started_is_told_until_they_do_not(home: Path) -> None:
    written = write(home / ".gemini" / "settings.json", {"mcpServers": {"wardgate": OURS, "files": FILES}})
    switches = write(home / ".gemini" / "mcp-server-enablement.json", {"wardgate": {"enabled": False}})
    (found,) = told(clients.registered, case_of(home))
    assert (found.of, found.wrong, found.where, found.do) == ("gemini", True, str(written), "switch it on there")
    assert [finding.of for finding in told(clients.bypass, case_of(home))] == ["gemini files"]
    write(switches, {"files": {"enabled": False}})
    assert wrong(clients.registered, case_of(home)) == []
    assert told(clients.bypass, case_of(home)) == []


def test_an_entry_whose_program_is_gone_is_told_until_it_is_there(home: Path) -> None:
    program = home / "old" / "wardgate"
    claude(home, wardgate={**OURS, "command": str(program)})
    assert wrong(clients.registered, case_of(home)) == [(Line.CLIENT, "claude-code")]
    write(program, "#!/bin/sh\n", mode=0o700)
    assert wrong(clients.registered, case_of(home)) == []


def test_an_entry_of_another_configuration_is_noted(home: Path) -> None:
    claude(home, wardgate={**OURS, "args": ["stdio", "--config", str(home / "other")]})
    (found,) = told(clients.registered, case_of(home))
    assert "another configuration" in found.found
    claude(home, wardgate={**OURS, "args": ["stdio", f"--config={home / 'config'}"]})
    (found,) = told(clients.registered, case_of(home))
    assert found.found == "registered as `wardgate` (user)"


def test_a_file_from_which_wardgate_was_taken_is_told_until_it_is_back(home: Path) -> None:
    file = claude(home, files=FILES)
    about = {
        "client": "claude-code",
        "scope": "user",
        "file": str(file),
        "target": str(file),
        "project": "",
        "at": "",
        "created": False,
        "before": "",
        "after": "",
        "changes": [],
        "made": [],
    }
    write(home / "config" / "state" / "clients" / "claude-code-user-1.json", about)
    assert wrong(clients.removed, case_of(home)) == [(Line.CLIENT, "claude-code")]
    claude(home, wardgate=OURS)
    assert wrong(clients.removed, case_of(home)) == []


def kept(home: Path, file: Path, scope: str, folder: Path) -> None:
    """Write down, as `connect` does, that Wardgate was put into a file."""
    about = {"client": "claude-code", "scope": scope, "file": str(file), "target": str(file), "project": str(folder)}
    about |= {"at": "", "before": "", "after": ""}
    path = home / "config" / "state" / "clients" / f"claude-code-{scope}-1.json"
    write(path, {**about, "created": False, "changes": []})


def test_a_connection_of_another_project_is_looked_at_in_its_own_file(home: Path) -> None:
    other = home / "other"
    file = write(other / ".mcp.json", {"mcpServers": {"wardgate": OURS}})
    kept(home, file, "project", other)
    assert told(clients.removed, case_of(home)) == []
    write(file, {"mcpServers": {}})
    (found,) = told(clients.removed, case_of(home))
    assert (found.wrong, found.where) == (True, str(file))
    assert found.do == (
        f"in {other}, `wardgate connect claude-code --scope project` does it anew, "
        "`wardgate disconnect claude-code --scope project` undoes the rest"
    )
    file.unlink()
    assert wrong(clients.removed, case_of(home)) == [(Line.CLIENT, "claude-code")]
    other.rmdir()
    assert told(clients.removed, case_of(home)) == []  # nothing is started in a folder that is gone


def test_a_connection_whose_file_can_not_be_read_is_not_told_as_gone(home: Path) -> None:
    kept(home, write(home / ".claude.json", "{"), "user", home)
    assert told(clients.removed, case_of(home)) == []


def test_advice_on_a_file_of_the_project_names_its_scope(home: Path) -> None:
    servers = {"files": {**FILES, "env": {"API_TOKEN": secret()}}, "wardgate": {**OURS, "command": "/gone/wardgate"}}
    file = write(home / "project" / ".mcp.json", {"mcpServers": servers})
    kept(home, file, "project", home / "project")
    by = {check: told(check, case_of(home)) for check in (clients.bypass, clients.registered, clients.secrets)}
    assert [each.do for each in by[clients.bypass]] == [
        "`wardgate connect claude-code --scope project` disables it there"
    ]
    found = [each for several in by.values() for each in several if each.wrong]
    assert ["`wardgate connect claude-code --scope project`" in each.do for each in found] == [True] * 3
    write(file, {"mcpServers": {}})
    (found_gone,) = told(clients.removed, case_of(home))
    assert found_gone.do.startswith("`wardgate connect claude-code --scope project` does it anew")


def test_a_file_that_can_not_be_read_is_told_until_it_can(home: Path) -> None:
    file = write(home / ".claude.json", '{"mcpServers": {')
    found = wrong(clients.unread, case_of(home))
    assert (Line.CLIENT_FILE, "claude-code") in found
    file.write_text("{}", encoding="utf-8")
    assert wrong(clients.unread, case_of(home)) == []


@pytest.mark.parametrize(
    "server",
    [
        {"files": {"command": "node", "args": ["x"]}},
        {"other": FILES},
        {"other": {"command": "/usr/local/bin/echo", "args": ["files"]}},
    ],
    ids=["name", "command", "program"],
)
def test_an_upstream_that_a_client_starts_too_is_a_bypass(server: dict[str, Any], home: Path) -> None:
    claude(home, wardgate=OURS, **server)
    (name,) = server
    assert wrong(clients.bypass, case_of(home)) == [(Line.BYPASS, f"claude-code {name}")]
    claude(home, wardgate=OURS)
    assert wrong(clients.bypass, case_of(home)) == []


def test_what_is_to_be_done_names_the_scope_of_a_projects_file(home: Path) -> None:
    gone = {"command": str(home / "gone" / "wardgate"), "args": ["stdio"]}
    write(
        home / "project" / ".mcp.json", {"mcpServers": {"wardgate": gone, "files": {**FILES, "env": {"K": secret()}}}}
    )
    claude(home, files=FILES)
    found = [*told(clients.registered, case_of(home)), *told(clients.bypass, case_of(home))]
    found += told(clients.secrets, case_of(home))
    named = {("claude-code --scope project`" in each.do, each.where.endswith(".mcp.json")) for each in found}
    assert named == {(True, True), (False, False)}


def test_a_bypass_in_another_project_is_told_with_its_folder(home: Path) -> None:
    other, cloned, gone = (home / name for name in ("other", "cloned", "gone"))
    write(cloned / ".mcp.json", {"mcpServers": {"files": FILES, "new": {"command": "new"}}})
    listed = {str(folder): {} for folder in (cloned, gone, home / "project")}
    projects = {**listed, str(other): {"mcpServers": {"files": FILES}}}
    write(home / ".claude.json", {"mcpServers": {"wardgate": OURS}, "projects": projects})
    found = told(clients.bypass, case_of(home))
    assert [(each.of, each.where) for each in found] == [
        ("claude-code files", str(cloned / ".mcp.json")),
        ("claude-code files", str(home / ".claude.json")),
    ]
    assert [str(folder) in each.found for folder, each in zip((cloned, other), found, strict=True)] == [True, True]
    assert ["--scope project" in each.do for each in found] == [True, False]
    (cloned / ".mcp.json").unlink()
    write(home / ".claude.json", {"mcpServers": {"wardgate": OURS}, "projects": listed})
    assert wrong(clients.bypass, case_of(home)) == []


def test_what_one_project_keeps_from_being_started_is_started_in_the_others(home: Path) -> None:
    here, other, quiet = (home / name for name in ("project", "other", "quiet"))
    own = {"mcpServers": {"files": FILES}}
    projects = {str(here): {"disabledMcpServers": ["files"]}, str(other): own}
    projects[str(quiet)] = {**own, "disabledMcpServers": ["files"]}
    write(home / ".claude.json", {"mcpServers": {"wardgate": OURS}, "projects": projects})
    (found,) = told(clients.bypass, case_of(home))
    assert (found.of, str(other) in found.found) == ("claude-code files", True)


def test_a_list_of_projects_that_makes_no_sense_is_none(home: Path) -> None:
    for projects in ([], "x", {"": {}, "relative": 3, "\0": {"mcpServers": {"files": FILES}}, "/\0": {}}):
        write(home / ".claude.json", {"mcpServers": {"wardgate": OURS}, "projects": projects})
        assert [each.of for each in told(clients.bypass, case_of(home))] in ([], ["claude-code files"])


@pytest.mark.parametrize(
    ("table", "server"),
    [
        ('url = "https://mcp.acme.io/mcp"', {"type": "http", "url": "https://mcp.acme.io/mcp/"}),
        ('command = "npx"\nargs = ["-y", "@acme/mcp@2"]', {"command": "/opt/npx", "args": ["@acme/mcp@2", "--fast"]}),
    ],
    ids=["address", "package"],
)
def test_it_is_a_bypass_by_its_address_or_its_package_too(table: str, server: dict[str, Any], home: Path) -> None:
    configure(home, f'schema = 1\n[upstreams.acme]\n{table}\nowner = "ada@acme.io"\n')
    claude(home, remote=server)
    assert wrong(clients.bypass, case_of(home)) == [(Line.BYPASS, "claude-code remote")]


@pytest.mark.parametrize(
    ("name", "args", "upstream"),
    [
        ("beta", ["srv", "b"], "beta"),
        ("alpha", ["srv", "b"], "beta"),
        ("mine", ["srv", "b"], "beta"),
        ("beta", ["srv", "c"], "beta"),
        ("gamma", ["srv", "b"], "gamma"),
        ("mine", ["srv", "c"], "alpha"),
    ],
    ids=["both", "arguments before the name", "arguments", "name before the package", "the same twice", "package"],
)
def test_a_bypass_names_the_upstream_that_is_most_alike(name: str, args: list[str], upstream: str, home: Path) -> None:
    table = '[upstreams.{0}]\ncommand = "python"\nargs = ["srv", "{1}"]\nowner = "ada@acme.io"\n'
    tables = [table.format(*each) for each in (("alpha", "a"), ("beta", "b"), ("gamma", "b"))]
    configure(home, "schema = 1\n" + "".join(tables))
    claude(home, **{name: {"command": "python", "args": args}})
    (found,) = told(clients.bypass, case_of(home))
    assert f"calls of upstream `{upstream}` go round" in found.found


def test_a_server_that_is_no_upstream_is_noted_and_one_that_is_disabled_is_not(home: Path) -> None:
    claude(home, mail={"command": "mail"})
    (found,) = told(clients.bypass, case_of(home))
    assert (found.wrong, found.do) == (False, "`wardgate init` takes it in")
    write(home / ".claude.json", {})
    write(home / ".codeium" / "windsurf" / "mcp_config.json", {"mcpServers": {"files": {**FILES, "disabled": True}}})
    assert told(clients.bypass, case_of(home)) == []


def test_a_client_that_gives_up_before_the_call_is_answered_is_told(home: Path) -> None:
    claude(home, wardgate={**OURS, "timeout": 30_000})
    (found,) = told(clients.timeouts, case_of(home))
    assert (found.line, found.wrong, found.found) == (
        Line.TIMEOUT,
        True,
        "gives up after 30 s, and a call is held for 240 s",
    )
    claude(home, wardgate={**OURS, "timeout": 600_000})
    assert wrong(clients.timeouts, case_of(home)) == []
    claude(home, wardgate=OURS)
    (found,) = told(clients.timeouts, case_of(home))
    assert (found.wrong, found.found) == (False, "waits 1800 s; a call is held for up to 240 s")


def test_the_hold_of_the_configuration_counts(home: Path) -> None:
    claude(home, wardgate={**OURS, "timeout": 30_000})
    configure(home, CONFIG + '[clients.claude-code]\nowner = "ada@acme.io"\nhold = "20s"\n')
    assert wrong(clients.timeouts, case_of(home)) == []
    configure(home, CONFIG + '[limits]\nhold = "5m"\n')
    (found,) = told(clients.timeouts, case_of(home))
    assert (found.wrong, found.do) == (True, "take `timeout` out of its entry")


def test_a_client_that_waits_by_itself_for_a_while_is_known(home: Path) -> None:
    entry = '[mcp_servers.wardgate]\ncommand = "wardgate"\nargs = ["stdio", "--client=codex"]\n'
    write(home / ".codex" / "config.toml", entry)
    configure(home, CONFIG + '[limits]\nhold = "2m"\n')
    (found,) = told(clients.timeouts, case_of(home))
    assert (found.of, found.wrong, "tool_timeout_sec" in found.do) == ("codex", True, True)
    write(home / ".codex" / "config.toml", f"{entry}tool_timeout_sec = 600\n")
    assert wrong(clients.timeouts, case_of(home)) == []


def secret() -> str:
    """What looks like a token, made up."""
    return "gh" + "p_" + "a1B2c3D4e5" * 4


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ({"env": {"API_TOKEN": "SECRET"}}, {"env": {"API_TOKEN": "${API_TOKEN}"}}),
        ({"env": {"ENDPOINT": "SECRET"}}, {"env": {"ENDPOINT": "here"}}),
        ({"args": ["--token", "SECRET"]}, {"args": ["--token", "$TOKEN"]}),
        ({"args": ["--token=SECRET"]}, {"args": ["--token-file=/a"]}),
        ({"args": ["SECRET"]}, {"args": ["plain", "--key", "/a/path"]}),
        (
            {"type": "http", "url": "https://a.io", "headers": {"Authorization": "Bearer SECRET"}},
            {"type": "http", "url": "https://a.io", "headers": {"Authorization": "Bearer ${TOKEN}"}},
        ),
        ({"type": "http", "url": "https://a.io/?token=SECRET"}, {"type": "http", "url": "https://a.io/?page=1"}),
        ({"type": "http", "url": "https://me:SECRET@a.io/"}, {"type": "http", "url": "https://a.io/"}),
    ],
    ids=["variable", "shape", "flag", "equals", "argument", "header", "query", "password"],
)
def test_a_secret_in_a_client_s_file_is_told_and_never_shown(
    broken: dict[str, Any], mended: dict[str, Any], home: Path
) -> None:
    token = secret()
    claude(home, mail=json.loads(json.dumps({"command": "mail", **broken}).replace("SECRET", token)))
    found = told(clients.secrets, case_of(home))
    assert [(each.line, each.of, each.wrong) for each in found] == [(Line.CLIENT_SECRET, "claude-code mail", True)]
    assert token not in json.dumps([each.item() for each in found])
    claude(home, mail={"command": "mail", **mended})
    assert wrong(clients.secrets, case_of(home)) == []


def settings(home: Path, said: dict[str, Any]) -> None:
    """Write Claude Code's settings."""
    write(home / ".claude" / "settings.json", said)


def test_what_answers_in_its_user_s_place_is_told_until_it_is_gone(home: Path) -> None:
    claude(home, wardgate=OURS)
    settings(home, {"permissions": {"allow": ["mcp__wardgate__files__write"], "defaultMode": "bypassPermissions"}})
    of = [(Line.AUTOPILOT, "claude-code permissions.allow"), (Line.AUTOPILOT, "claude-code permissions.defaultMode")]
    assert wrong(clients.autopilots, case_of(home)) == of
    settings(home, {"permissions": {"allow": ["Bash(ls)"], "defaultMode": "default"}})
    assert wrong(clients.autopilots, case_of(home)) == []
    (found,) = told(clients.autopilots, case_of(home))
    assert found.found == "nothing answers in your place, by 1 file of settings"


def test_what_a_hook_runs_is_told_by_its_program_and_no_secret_of_it_is_shown(home: Path) -> None:
    token, word = secret(), "sword" + "fish7"
    command = f"/usr/bin/curl -H 'Authorization: Bearer {token}' https://ops:{word}@h.example/x"
    claude(home, wardgate=OURS)
    hooks = [{"type": "command", "command": command}, {"type": "command", "command": f"TOKEN={token} send"}]
    rules = [f"mcp__wardgate__files__write({word})", f"mcp__wardgate__files__write {token}"]
    settings(home, {"hooks": {"PermissionRequest": [{"hooks": hooks}]}, "permissions": {"allow": rules}})
    found = told(clients.autopilots, case_of(home))
    assert [each.of for each in found if each.wrong] == [
        *["claude-code permissions.allow"] * 2,
        *["claude-code hooks.PermissionRequest"] * 2,
    ]
    assert "`curl` may allow" in " ".join(each.found for each in found)
    shown = json.dumps([each.item() for each in found]) + tell([("clients", found)], colour=False)
    assert token not in shown
    assert word not in shown


def test_settings_of_a_project_count_and_a_client_without_wardgate_is_left_alone(home: Path) -> None:
    write(home / "project" / ".claude" / "settings.json", {"enableAllProjectMcpServers": True})
    assert told(clients.autopilots, case_of(home)) == []
    claude(home, wardgate=OURS)
    (found,) = [each for each in told(clients.autopilots, case_of(home)) if each.wrong]
    assert (found.of, found.where) == (
        "claude-code enableAllProjectMcpServers",
        str(home / "project" / ".claude" / "settings.json"),
    )


def test_what_only_may_answer_is_noted(home: Path) -> None:
    claude(home, wardgate=OURS)
    hook = {"matcher": "", "hooks": [{"type": "command", "command": "x"}]}
    settings(home, {"hooks": {"PreToolUse": [hook]}})
    found = told(clients.autopilots, case_of(home))
    assert [(each.of, each.wrong) for each in found] == [("claude-code hooks.PreToolUse", False), ("", False)]


def test_settings_that_can_not_be_read_are_told(home: Path) -> None:
    claude(home, wardgate=OURS)
    write(home / ".claude" / "settings.json", "{")
    assert wrong(clients.autopilots, case_of(home)) == [(Line.CLIENT_FILE, "claude-code")]
    write(home / ".claude" / "settings.json", "{}")
    assert wrong(clients.autopilots, case_of(home)) == []


def test_a_client_that_can_not_be_told_to_wait_is_held_for_less(home: Path) -> None:
    entry = {"wardgate": {"command": "wardgate", "args": ["stdio", "--client", "claude-desktop"]}}
    write(home / ".config" / "Claude" / "claude_desktop_config.json", {"mcpServers": entry})
    configure(home, CONFIG + '[limits]\nhold = "5m"\n')
    (found,) = told(clients.timeouts, case_of(home))
    assert (found.wrong, found.do) == (True, 'set `hold = "48s"` in `[clients.claude-desktop]`')
    configure(home, CONFIG + '[clients.claude-desktop]\nowner = "ada@acme.io"\nhold = "48s"\n')
    assert wrong(clients.timeouts, case_of(home)) == []
