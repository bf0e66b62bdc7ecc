"""The gate can't be edited through itself: every spelling of a protected path is found, honest values are not."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.protect import MAX_LENGTH, MAX_LOOKUPS, MAX_STRINGS, TOO_MANY, Guard


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a configuration, a state folder, a project (the upstream's base) and links into them."""
    root = tmp_path_factory.mktemp("home").resolve()
    for folder in ("cfg/policies", "state/checkpoints", "proj/src", "proj/notes", ".claude", "dotfiles"):
        (root / folder).mkdir(parents=True)
    (root / "cfg/upstreams.toml").write_text("schema = 1\n", encoding="utf-8")
    (root / "cfg/policies/mail.toml").write_text("", encoding="utf-8")
    (root / "proj/.mcp.json").write_text("{}", encoding="utf-8")
    (root / "dotfiles/claude").write_text("{}", encoding="utf-8")
    (root / ".claude.json").symlink_to(root / "dotfiles/claude")
    (root / "proj/link").symlink_to(root / "cfg")
    (root / "proj/file-link").symlink_to(root / "cfg/upstreams.toml")
    (root / "proj/loop").symlink_to(root / "proj/loop")
    return root


@pytest.fixture(scope="module")
def guard(home: Path) -> Guard:
    return make_guard(home)


def make_guard(home: Path, base: str = "proj") -> Guard:
    protected = [home / "cfg/upstreams.toml", home / "cfg/policies", home / "state"]
    return Guard(protected, lambda upstream: [home / base] if upstream == "files" else [], home)


SPELLINGS = {
    "absolute": "{home}/cfg/upstreams.toml",
    "folder itself": "{home}/state",
    "inside a folder": "{home}/state/checkpoints/1",
    "not there yet": "{home}/cfg/policies/new.toml",
    "deep and not there yet": "{home}/state/a/b/c",
    "relative": "../cfg/policies/mail.toml",
    "dot segments": "{home}/proj/./../cfg//policies/../upstreams.toml",
    "through a folder that is not there": "nowhere/../../cfg/upstreams.toml",
    "two slashes first": "//{bare}/cfg/upstreams.toml",
    "tilde": "~/cfg/upstreams.toml",
    "HOME": "$HOME/cfg/upstreams.toml",
    "HOME in braces": "${{HOME}}/cfg/upstreams.toml",
    "file URL": "file://{home}/cfg/upstreams.toml",
    "file URL with host": "file://localhost{home}/cfg/upstreams.toml",
    "file URL in capitals": "FILE://{home}/cfg/upstreams.toml",
    "percent once": "..%2Fcfg%2Fupstreams.toml",
    "percent twice": "..%252Fcfg%252Fupstreams.toml",
    "percent in a file URL": "file://{home}/cfg/%75pstreams.toml",
    "backslashes": "..\\cfg\\upstreams.toml",
    "trailing dot": "{home}/cfg/upstreams.toml.",
    "trailing spaces": "{home}/cfg./upstreams.toml  ",
    "leading spaces": "  {home}/cfg/upstreams.toml",
    "other case": "{home}/CFG/Upstreams.TOML",
    "NUL inside": "{home}/cfg/upstreams.toml\0.txt",
    "encoded NUL inside": "{home}/cfg/upstreams.toml%00.txt",
    "link to the folder": "link/upstreams.toml",
    "link, not there yet": "link/policies/new/x.toml",
    "link to the file": "file-link",
    "link by dots": "./src/../link/policies",
    "glob": "{home}/cf?/up*.toml",
    "command": "cat {home}/cfg/upstreams.toml | head",
    "command with tilde": "rm -rf ~/state",
    "command with quotes": "sed -i s/a/b/ '{home}/cfg/policies/mail.toml'",
    "command, quotes inside": 'cat ~/cf"g"/upstreams.toml',
    "command, relative": "cp x.toml ../cfg/policies/x.toml",
    "assignment": "--output={home}/state/x",
    "JSON in a string": '{{"path": "{home}/state/x"}}',
    "several lines": "set -e\nrm -rf {home}/state/\n",
    "several lines, tilde": "set -e\nrm -rf ~/state\n",
    "several lines, percent": "a\nfile:{encoded}%2Fstate\n",
    "process folder": "/proc/self/cwd/../cfg/upstreams.toml",
    "process root": "/proc/self/root{home}/cfg/upstreams.toml",
    "project's MCP file": ".mcp.json",
    "project's MCP file elsewhere": "/srv/other/.mcp.json",
    "Claude Code settings": ".claude/settings.local.json",
    "Claude Code user settings": "~/.claude.json",
    "what a settings link points to": "~/dotfiles/claude",
    "Claude Desktop": "/any/where/Claude/claude_desktop_config.json",
    "VS Code": ".vscode/mcp.json",
    "Cursor": "~/.cursor/mcp.json",
    "Windsurf": "~/.codeium/windsurf/mcp_config.json",
    "Gemini": ".gemini/settings.json",
    "Codex": "~/.codex/config.toml",
}


def spell(text: str, home: Path) -> str:
    return text.format(home=home, bare=str(home)[1:], encoded=quote(str(home), safe=""))


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_protected_path_is_found_in_every_spelling(text: str, home: Path, guard: Guard) -> None:
    assert guard.reaches({"path": spell(text, home)}, "files")


def test_it_is_found_at_any_depth_in_lists_and_keys(home: Path, guard: Guard) -> None:
    path = str(home / "state/x")
    assert guard.reaches({"edits": [{"a": 1}, {"files": ["x", path]}]}, "files") == str(home / "state")
    assert guard.reaches({"files": {path: "new text"}}, "files") == str(home / "state")


def test_a_bare_name_is_found_where_the_upstream_runs_in_the_configuration(home: Path) -> None:
    inside = make_guard(home, "cfg")
    assert inside.reaches({"path": "upstreams.toml"}, "files")
    assert inside.reaches({"path": "policies"}, "files")
    assert inside.reaches({"command": "rm upstreams.toml"}, "files")
    assert inside.reaches({"command": "rm -r policies"}, "files")
    assert not inside.reaches({"path": "upstreams.toml"}, "another")


def test_a_long_value_is_searched_for_protected_paths(home: Path, guard: Guard) -> None:
    filler = "x " * MAX_LENGTH
    assert guard.reaches({"script": f"{filler}{home}/state/record.db"}, "files") == str(home / "state")
    assert not guard.reaches({"script": f"{filler}{home}/state-of-the-art"}, "files")


DETOURS = {
    "a dot": "{home}/./cfg/policies/new.toml",
    "two slashes": "{home}//cfg/policies/new.toml",
    "dots that are dropped": "{home}/cfg./policies/new.toml",
    "there and back": "{home}/proj/../cfg/policies/new.toml",
    "a link": "{home}/proj/link/policies/new.toml",
    "a relative link": "link/policies/new.toml",
    "a link to a file": "{home}/proj/file-link",
    "relative, with dots": "./src/../../cfg/./policies/new.toml",
    "tilde": "~/./cfg/policies/new.toml",
    "backslashes": "..\\cfg\\policies\\new.toml",
    "percent": "{home}/%2e/cfg/policies/new.toml",
    "file URL": "file://{home}/./cfg/policies/new.toml",
}
AROUND = {
    "behind a line": "true\ntouch {}",
    "behind a carriage return": "true\rtouch {}",
    "before a line": "touch {}\nls",
    "before the end of a line": "{}\n",
    "behind a control character": "true\x01{}\x1f",
    "between separators": "true\u2028touch {}\x85",
    "behind many lines": "{long}\ntouch {}",
    "behind many words": "{words} touch {}",
    "in a string of code": 'import os\nopen("{}", "w")\n',
}


@pytest.mark.parametrize("name", ["command", "path", "anything"])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
@pytest.mark.parametrize("text", DETOURS.values(), ids=DETOURS.keys())
def test_no_other_line_and_no_length_hides_a_path(text: str, around: str, name: str, home: Path, guard: Guard) -> None:
    filler = {"{long}": "a line of the text\n" * MAX_LENGTH, "{words}": "word " * MAX_LENGTH}
    for sign, words in filler.items():
        around = around.replace(sign, words)
    assert guard.reaches({name: around.replace("{}", spell(text, home))}, "files")


@pytest.mark.parametrize("steps", ["/.", "/", "/x/..", "/%2e", "/./", "/\0", "\\."])
@pytest.mark.parametrize("name", ["path", "anything"])
def test_no_number_of_steps_hides_a_path(steps: str, name: str, home: Path, guard: Guard) -> None:
    for start, end in ((str(home), "/cfg/policies/new.toml"), (f"{home}/proj", "/link/policies/new.toml")):
        long = f"{start}{steps * MAX_LENGTH}{end}"
        assert guard.reaches({name: long}, "files")
        assert guard.reaches({name: f"touch {long}"}, "files")


@pytest.mark.parametrize("text", ["./.mcp.json", "~/.cursor/mcp.json", "{home}/proj/.vscode/./mcp.json"])
def test_a_clients_settings_are_named_by_a_command_and_told_of_by_a_document(
    text: str, home: Path, guard: Guard
) -> None:
    script = spell(f"set -e\ntouch {text}\n", home)
    for name in ("command", "cmd", "script", "filePath", "file_path", "args", "newCommand"):
        assert guard.reaches({name: script}, "files")
        assert guard.reaches({name: ["x", script]}, "files")
    for name in ("content", "body", "pathology", "commanding"):
        assert not guard.reaches({name: script}, "files")
        assert not guard.reaches({"path": "a.md", "edits": [{name: script}]}, "files")


def test_a_clients_settings_are_found_in_a_document_where_it_spells_them_out(home: Path, guard: Guard) -> None:
    for text in ("{home}/./.cursor/mcp.json", "{home}/proj/../.cursor/mcp.json"):
        assert guard.reaches({"content": spell(f"a\ntouch {text}\n", home)}, "files")


def test_a_long_document_with_many_paths_passes(home: Path, guard: Guard) -> None:
    many = "\n".join(f"src/a{number}/b.py: {home}/proj/src/a{number}/c.py ../src/{number}" for number in range(3_000))
    encoded = "\n".join(f"{'Ab/d+' * 5}{number}/{'Xy9z' * 10}" for number in range(30_000))
    escaped = "\\n".join(f"word{number}\\t\\d" for number in range(30_000))
    for text in (many, encoded, encoded.replace("\n", ""), escaped, f"/* {'a/b. ' * 9_000} */", "*/*\n/**/ // x\n"):
        assert guard.reaches({"content": text, "data": text}, "files") == ""


def test_more_words_than_are_looked_at_are_too_many(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(f"a{number}/b" for number in range(100))
    assert guard.reaches({"content": text}, "files") == ""
    monkeypatch.setattr("gateway.protect.MAX_WORDS", 99)
    assert guard.reaches({"content": text}, "files") == TOO_MANY


def test_where_a_folder_cant_be_listed_its_names_are_looked_up(
    home: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> list[str]:
        raise PermissionError

    monkeypatch.setattr("os.listdir", refuse)
    assert guard.reaches({"content": "a\nlink/policies/new.toml"}, "files")
    assert not guard.reaches({"content": "a\nother/policies/new.toml"}, "files")


def test_files_outside_the_home_are_protected_too(home: Path, tmp_path: Path) -> None:
    guard = Guard([tmp_path / "etc"], lambda upstream: [])
    assert guard.reaches({"path": f"{tmp_path}/etc/x"}, "files") == str(tmp_path / "etc")
    assert guard.reaches({"script": f"a\ncat {tmp_path}/etc/x"}, "files") == str(tmp_path / "etc")


HONEST = {
    "a word": "hello",
    "empty": "",
    "project file": "{home}/proj/src/a.py",
    "relative file": "src/a.py",
    "file to be": "src/new/b.py",
    "repository that holds an MCP file": "{home}/proj",
    "the folder above": "{home}",
    "beside": "{home}/cfg/README.md",
    "longer name": "{home}/state-old/x",
    "URL": "https://api.example.com/v1/policies/state?x=1&y=~z",
    "prose": "please find the policies that mention the state of upstreams.toml, thanks",
    "prose with slash": "either/or: the gateway's policies and/or its state",
    "code": "def f(x):\n    return x / 2  # see policies/mail.toml\n",
    "text about settings": "# How to\nEdit .claude/settings.json and .mcp.json\n",
    "query": "SELECT a.b FROM state WHERE c LIKE '%2%'",
    "glob": "src/**/*.py",
    "loop": "loop/x",
    "percent": "100%",
    "mail": "alice@example.com",
    "long name": "{long}",
    "other home": "~nobody/x",
}


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_an_honest_value_passes(text: str, home: Path, guard: Guard) -> None:
    value = text.replace("{long}", "n" * 3000) if "{long}" in text else spell(text, home)
    assert guard.reaches({"value": value, "count": 3, "flag": None}, "files") == ""


def test_one_value_over_the_limit_is_too_many(guard: Guard) -> None:
    fits = {"v": ["x"] * (MAX_STRINGS - 3)}  # with the key and the two containers
    assert guard.reaches(fits, "files") == ""
    assert guard.reaches({"v": [*fits["v"], "x"]}, "files") == TOO_MANY


def test_more_paths_than_are_looked_up_are_too_many(guard: Guard) -> None:
    paths = [" ".join(f"a{value}x{number}/b" for number in range(400)) for value in range(MAX_LOOKUPS // 300)]
    assert guard.reaches({"v": paths}, "files") == TOO_MANY
    assert guard.reaches({"v": paths[:1] * (MAX_LOOKUPS // 300)}, "files") == ""  # each is looked up once


def test_more_text_than_is_looked_at_is_too_many(guard: Guard) -> None:
    assert guard.reaches({"v": ["(" * MAX_LENGTH] * 300}, "files") == TOO_MANY


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_no_composed_spelling_gets_past(data: st.DataObject, home: Path, guard: Guard) -> None:
    target = data.draw(st.sampled_from(["cfg/upstreams.toml", "cfg/policies/a.toml", "state", "state/x/y"]))
    detours = st.sampled_from(["", ".", "proj/..", "proj/src/../.."])
    steps = [
        step for part in target.split("/") for step in (data.draw(detours) if part in ("cfg", "state") else "", part)
    ]
    path = "/".join(steps)
    start = data.draw(st.sampled_from([str(home), "~", "$HOME", "..", "./..", "src/../..", f"file://{home}"]))
    path = f"{start}/{path}".replace("link/", "")
    for _ in range(data.draw(st.integers(0, 3))):
        index = data.draw(st.integers(0, len(path) - 1))
        if path[index] not in "%0123456789ABCDEF":  # what is encoded already stays as it is
            path = f"{path[:index]}%{ord(path[index]):02X}{path[index + 1 :]}"
    if data.draw(st.booleans()):
        path = path.replace("%", "%25")
    if data.draw(st.booleans()):
        path = path.replace("/", os.sep * data.draw(st.integers(1, 3)))
    if data.draw(st.booleans()):
        path = path.swapcase() if path.startswith("/") and "%" not in path else path
    assert guard.reaches({"p": path}, "files"), path
    before = data.draw(st.text("ab \n\r\t\x0b/.", max_size=20).map(lambda text: f"{text}\n") | st.just(""))
    behind = data.draw(
        st.sampled_from(["", "\n", "\r\n", "\nls a/b", " ", "\x1f", "\u2029x", f"\n{'word ' * MAX_LENGTH}"])
    )
    assert guard.reaches({"p": f"{before}{path}{behind}"}, "files"), (before, path, behind)
