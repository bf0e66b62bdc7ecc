"""upstreams.toml and policies: what is read, what is refused and where it is told."""

import os
from datetime import date
from pathlib import Path

import pytest

from gateway.config import check, load_policy, load_settings
from gateway.core.model import Effect, Owner, Proof, ToolRef
from gateway.core.problems import Severity
from gateway.core.risk import labels_for
from gateway.errors import ConfigurationError
from gateway.place import state_folder

REPOSITORY = Path(__file__).parents[2]
LEAST = 'schema = 1\n[upstreams.files]\ncommand = "run"\nowner = "alice@example.com"\n'
WHOLE = """
schema = 1
[gateway]
listen = "[::1]:9000"
policies = "rules"
state = "state"
call_timeout = "10s"
session_meta = "example.com/session"
prompt_meta = "example.com/prompt"
log = "json"
id = "house"

[upstreams.files]
command = "./bin/run"
args = ["-y", "@scope/server@2026.8.31", "${WORKSPACE}", "--port=8000"]
env = { TOKEN = "env:FILES_TOKEN", LANG = "C.UTF-8", KEY_PATH = "keys/one" }
inherit_env = ["PATH", "HOME"]
cwd = "work"
owner = { business = "b@example.com", technical = "t@example.com" }
acts_as = { identity = "alice", kind = "human", scopes = ["~/projects"] }
timeout = "1m"
expose = "bare"
era = "2025-11-25"

[upstreams.tracker]
url = "https://example.com/mcp?version=2"
headers = { Authorization = "cmd:/usr/bin/print token" }
owner = "bob@example.com"

[clients.claude-code]
owner = "alice@example.com"
trust = ["session", "prompt"]
closed = true
metrics = true
hold = "40s"
upstreams = ["tracker"]

[approvers.alice]
roles = ["admin"]
proofs = ["local", "signed"]

[limits]
line = "1MiB"
calls_in_flight = { client = 2, upstream = 3 }
prompts_per_hour = 4
"""


def written(folder: Path, text: str = LEAST, **policies: str) -> Path:
    """A configuration in a folder, with policies by name."""
    (folder / "policies").mkdir(mode=0o700)
    for name, policy in policies.items():
        (folder / "policies" / f"{name}.toml").write_text(policy, encoding="utf-8")
    (folder / "upstreams.toml").write_text(text, encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder / "upstreams.toml"


def told(config: Path, today: date | None = None) -> list[str]:
    return [str(problem) for problem in check(config, {}, today)]


def test_a_whole_configuration_is_read(tmp_path: Path) -> None:
    config = written(tmp_path, WHOLE)
    (tmp_path / "rules").mkdir(mode=0o700)
    settings = load_settings(config, {})
    gateway, files, tracker = settings.gateway, settings.upstreams["files"], settings.upstreams["tracker"]
    assert (gateway.host, gateway.port, gateway.id) == ("::1", 9000, "house")
    assert (gateway.policies, gateway.state) == (tmp_path / "rules", tmp_path / "state")
    assert (gateway.call_timeout, files.timeout, tracker.timeout) == (10.0, 60.0, 10.0)
    assert (files.command, files.cwd) == (str(tmp_path / "bin/run"), tmp_path / "work")
    assert (files.inherit_env, files.env["TOKEN"]) == (("PATH", "HOME"), "env:FILES_TOKEN")
    assert (files.owner, tracker.owner) == (Owner("b@example.com", "t@example.com"), Owner(*["bob@example.com"] * 2))
    assert files.acts_as is not None
    assert (files.acts_as.identity, files.acts_as.scopes) == ("alice", ("~/projects",))
    assert (files.expose, files.era, files.base) == ("bare", "2025-11-25", tmp_path)
    assert (tracker.url, tracker.headers) == (
        "https://example.com/mcp?version=2",
        {"Authorization": "cmd:/usr/bin/print token"},
    )
    assert settings.clients["claude-code"].trust == {"session", "prompt"}
    assert settings.clients["claude-code"].closed
    assert (settings.clients["claude-code"].metrics, gateway.log) == (True, "json")
    assert settings.clients["claude-code"].hold == 40.0
    assert settings.clients["claude-code"].upstreams == ("tracker",)
    assert settings.approvers["alice"].proofs == {Proof.LOCAL, Proof.SIGNED}
    limits = settings.limits
    assert (limits.line, limits.calls_per_client, limits.calls_per_upstream) == (1024 * 1024, 2, 3)
    assert limits.prompts_per_hour == 4
    assert settings.warnings == ()


def test_little_is_needed(tmp_path: Path, environment: object) -> None:
    settings = load_settings(written(tmp_path), {})
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 8765)
    assert settings.gateway.state.is_absolute()
    assert settings.gateway.id == ""
    assert settings.upstreams["files"].acts_as is None
    assert load_policy(settings).files == ()


@pytest.mark.parametrize("given", ["file", "folder", "environment"])
def test_a_configuration_is_found_by_file_folder_or_environment(tmp_path: Path, given: str) -> None:
    config = written(tmp_path)
    environ = {"WARDGATE_CONFIG": str(tmp_path)} if given == "environment" else {}
    named = {"file": config, "folder": tmp_path, "environment": None}[given]
    assert load_settings(named, environ).file == config


def test_nothing_is_found_in_the_working_directory(
    tmp_path: Path, environment: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cloned"
    folder.mkdir()
    written(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigurationError):
        load_settings(None, {})


FILES = '[upstreams.files]\ncommand = "run"\nowner = "a"\n'
TRACKER = '[upstreams.t]\nurl = "https://example.com/mcp"\nowner = "a"\n'
TOKEN = "gh" + "p_" + "a1B2c3D4e5F6" * 3


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param(FILES, 1, "missing: expected schema = 1", id="no schema"),
        pytest.param("schema = 2\n" + FILES, 1, "expected 1", id="another schema"),
        pytest.param("schema = true\n" + FILES, 1, "expected 1", id="a schema of another type"),
        pytest.param("schema = 1", 1, "at least one table", id="no upstream"),
        pytest.param("schema = 1\nupstreams = 3", 2, "a table", id="upstreams of another type"),
        pytest.param("schema = 1\n[upstreams]\nfiles = 3", 3, "a table headed [upstreams.files]", id="no table"),
        pytest.param("schema = 1\n[upstream.files]\n", 2, "did you mean `upstreams`", id="a wrong table"),
        pytest.param(LEAST + 'comand = "x"', 5, "did you mean `command`", id="a wrong key"),
        pytest.param("schema = 1\n" + FILES.replace('owner = "a"', ""), 2, "`owner`: missing", id="no owner"),
        pytest.param("schema = 1\n" + FILES.replace("files", "fi__les"), 2, "at most 24", id="a name with __"),
        pytest.param("schema = 1\n" + FILES.replace("files", "f" * 25), 2, "at most 24", id="a long name"),
        pytest.param("schema = 1\n" + FILES.replace("files", '"f.s"'), 2, "at most 24", id="a name with a dot"),
        pytest.param(LEAST + 'url = "https://example.com"', 2, "found both", id="command and url"),
        pytest.param('schema = 1\n[upstreams.a]\nowner = "a"', 2, "found neither", id="neither command nor url"),
        pytest.param(LEAST + 'headers = { A = "b" }', 5, "only with `url`", id="headers of a program"),
        pytest.param("schema = 1\n" + TRACKER + 'args = ["a"]', 5, "only with `command`", id="args of an address"),
        pytest.param(LEAST + "args = [1]", 5, "a list of texts", id="an argument that is a number"),
        pytest.param(LEAST + 'args = ["${HOME}"]', 5, "did you mean `${WORKSPACE}`", id="another variable"),
        pytest.param(LEAST + 'args = ["a\\u0000b"]', 5, "no NUL", id="a NUL"),
        pytest.param(LEAST + 'args = ["env:TOKEN"]', 5, "no reference", id="a reference as an argument"),
        pytest.param(LEAST + f'args = ["{TOKEN}"]', 5, "looks like a secret", id="a secret argument"),
        pytest.param(LEAST + 'args = ["--token=abc"]', 5, "looks like a secret", id="a secret by its flag"),
        pytest.param(LEAST + 'args = ["--api-key", "abc"]', 5, "looks like a secret", id="a secret after its flag"),
        pytest.param(
            LEAST + 'args = ["--x=1", "abc", "--password", "x/y"]', 5, "argument 4", id="a secret with a slash"
        ),
        pytest.param(LEAST + f'env = {{ LANG = "{TOKEN}" }}', 5, "looks like a secret", id="a secret in env"),
        pytest.param(LEAST + 'env = { API_TOKEN = "abc" }', 5, "looks like a secret", id="a secret by its name"),
        pytest.param(LEAST + "env = { A = 1 }", 5, "a text", id="a number in env"),
        pytest.param(LEAST + 'env = { "A-B" = "c" }', 5, "the name of a variable", id="no variable"),
        pytest.param(LEAST + 'env = { A = "env:1x" }', 5, "`env:NAME`", id="a reference to no variable"),
        pytest.param(LEAST + 'env = { A = "cmd:print" }', 5, "absolute path", id="a relative program"),
        pytest.param(LEAST + 'env = { A = "cmd:/bin/x \'a" }', 5, "balanced", id="an open quote"),
        pytest.param(LEAST + 'env = { A = "keyring:x" }', 5, "`keyring:SERVICE/NAME`", id="half a keyring entry"),
        pytest.param(LEAST + 'inherit_env = ["A B"]', 5, "name of a variable", id="inherit no variable"),
        pytest.param("schema = 1\n" + TRACKER + 'headers = { "A b" = "c" }', 5, "name of a header", id="no header"),
        pytest.param("schema = 1\n" + TRACKER + 'headers = { A = "b\\nC: d" }', 5, "one line", id="two headers"),
        pytest.param("schema = 1\n" + TRACKER.replace("https", "ftp"), 3, "an address", id="another scheme"),
        pytest.param("schema = 1\n" + TRACKER.replace("example.com", "[::1"), 3, "an address", id="no address"),
        pytest.param("schema = 1\n" + TRACKER.replace("//", "//u:p@"), 3, "held a secret", id="a password in a url"),
        pytest.param(
            "schema = 1\n" + TRACKER.replace("/mcp", f"/mcp?k={TOKEN}"), 3, "held a secret", id="a token in a url"
        ),
        pytest.param(LEAST + 'sandbox = "jail"', 5, "one of none, bwrap", id="another sandbox"),
        pytest.param(LEAST + 'per = "call"', 5, "one of gateway, client, workspace", id="per call"),
        pytest.param(LEAST + "instructions = 1", 5, "true or false", id="instructions that are no flag"),
        pytest.param(LEAST + 'era = "2024"', 5, "one of auto", id="another era"),
        pytest.param(LEAST + 'timeout = "0s"', 5, "a duration", id="no time"),
        pytest.param(LEAST + "acts_as = {}", 5, "missing", id="acts as nobody"),
        pytest.param(LEAST + '[gateway]\nlisten = "0.0.0.0:1"', 6, "a loopback address", id="listens to all"),
        pytest.param(LEAST + '[gateway]\nlisten = "example.com:1"', 6, "a loopback address", id="listens by name"),
        pytest.param(LEAST + '[gateway]\nlisten = "127.0.0.1"', 6, "`127.0.0.1:8765`", id="no port"),
        pytest.param(LEAST + '[gateway]\nlisten = "127.0.0.1:65536"', 6, "`127.0.0.1:8765`", id="no such port"),
        pytest.param(LEAST + '[gateway]\nsession_meta = "x"', 6, "a key such as", id="no meta key"),
        pytest.param(LEAST + '[gateway]\nlog = "xml"', 6, "text or json", id="no form of a log"),
        pytest.param(LEAST + '[clients.a]\nowner = "a"\nmetrics = 1', 7, "true or false", id="no flag"),
        pytest.param(LEAST + '[clients.unknown]\nowner = "a"', 5, "other than `unknown`", id="a client named unknown"),
        pytest.param(LEAST + '[clients.a]\nowner = "a"\ntrust = ["all"]', 7, "session or prompt", id="too much trust"),
        pytest.param(
            LEAST + '[clients.a]\nowner = "a"\nupstreams = ["x"]', 7, "unknown upstream `x`", id="a strange one"
        ),
        pytest.param(LEAST + '[approvers.a]\nproofs = ["word"]', 6, "client, local or signed", id="another proof"),
        pytest.param(LEAST + '[approvers."a b"]', 5, "a name", id="an approver with a space"),
        pytest.param(LEAST + '[auth]\nissuer = "http://x"', 6, "https://", id="an issuer without TLS"),
        pytest.param(LEAST + "[auth]", 5, "missing", id="no issuer"),
        pytest.param(LEAST + '[notify]\nafter = "soon"', 6, "a share", id="after what"),
        pytest.param(LEAST + '[notify]\nto = ["topic"]', 6, "address 1: expected one such as", id="no address"),
        pytest.param(LEAST + '[notify]\nto = ["env:a b"]', 6, "with the name of a variable", id="no reference"),
        pytest.param(LEAST + '[notify]\nsecond = "mailto://me:word@x.example"', 6, "held a secret", id="a password"),
        pytest.param(
            LEAST + f'[notify]\nto = ["ntfy://a", "slack://{TOKEN}/b"]', 6, "address 2: it looks", id="a token"
        ),
        pytest.param(LEAST + '[notify]\ndesktop = "no"', 6, "true or false", id="no flag"),
        pytest.param(LEAST + '[limits]\nline = "16MB"', 6, "a size", id="a size in MB"),
        pytest.param("schema = 1\nx = ", 2, "not valid TOML", id="no TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    problems = told(written(tmp_path, text))
    right = [problem for problem in problems if said in problem and problem.startswith(f"upstreams.toml:{line}")]
    assert right, problems
    assert not any(TOKEN in problem for problem in problems)
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "[clients.a]", "`owner`: missing"),
        ("schema = 1\n" + TRACKER.replace("https", "http"), "not encrypted"),
    ],
)
def test_what_is_doubtful_is_a_warning_and_starts(tmp_path: Path, text: str, said: str) -> None:
    settings = load_settings(written(tmp_path, text), {})
    assert [said in str(problem) for problem in settings.warnings] == [True]
    assert settings.warnings[0].severity is Severity.WARNING


def test_an_error_holds_every_problem(tmp_path: Path) -> None:
    config = written(tmp_path, LEAST + 'comand = "x"\nera = "x"\n[gatewy]')
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, {})
    assert len(caught.value.problems) == 3
    assert "\n" not in str(caught.value)
    assert "2 more" in str(caught.value)


def test_a_mark_of_the_byte_order_before_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    plain = load_policy(load_settings(written(tmp_path, files=POLICY), {}))
    for file in tmp_path.rglob("*.toml"):
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    config = tmp_path / "upstreams.toml"
    assert load_policy(load_settings(config, {})) == plain
    assert [line for line in told(config) if "TOML" in line] == []
    assert state_folder(config) == load_settings(config, {}).gateway.state


POLICY = 'upstream = "files"\nowner = "a"\n[[tool]]\nmatch = "*"\neffect = "read"\n'


def test_policies_are_read_without_their_tests(tmp_path: Path) -> None:
    config = written(tmp_path, files=POLICY)
    (tmp_path / "policies/files.test.toml").write_text("not = a policy", encoding="utf-8")
    policy = load_policy(load_settings(config, {}))
    assert [file.name for file in policy.files] == ["policies/files.toml"]
    assert labels_for(policy, ToolRef("files", "any")).effect is Effect.READ


def test_a_wrong_policy_is_told_beside_wrong_settings(tmp_path: Path) -> None:
    config = written(tmp_path, LEAST + "x = 1", files=POLICY.replace('"files"', '"fils"'))
    assert told(config) == [
        "policies/files.toml:1 `upstream`: unknown upstream `fils`; did you mean `files`?",
        "upstreams.toml:5 [upstreams.files] `x`: unknown key",
    ]
    assert len(told(written_again(config, "schema = "))) == 1


def written_again(config: Path, text: str) -> Path:
    config.write_text(text, encoding="utf-8")
    return config


def test_a_wrong_policy_is_no_policy(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, files=POLICY + "x = 1"), {})
    with pytest.raises(ConfigurationError) as caught:
        load_policy(settings)
    assert "policies/files.toml:6" in str(caught.value)


@pytest.mark.parametrize(
    ("named", "severity"), [("", Severity.WARNING), ('[gateway]\npolicies = "gone"', Severity.ERROR)]
)
def test_policies_that_are_not_there_are_told(tmp_path: Path, named: str, severity: Severity) -> None:
    config = written(tmp_path, LEAST + named)
    (tmp_path / "policies").rmdir()
    assert [problem.severity for problem in check(config, {})] == [severity]


def test_what_others_can_write_is_no_configuration(tmp_path: Path) -> None:
    config = written(tmp_path, files=POLICY)
    for path in (config, tmp_path, tmp_path / "policies", tmp_path / "policies/files.toml"):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        assert any("everybody can write" in problem for problem in told(config)), path
        path.chmod(mode)
    assert told(config) == []


def test_the_benchmarks_configuration_loads(tmp_path: Path) -> None:
    text = LEAST.replace("files", "bench") + f'[gateway]\nstate = "{tmp_path}/state"\n'
    policy = (
        'upstream = "bench"\nowner = "bench@example.com"\n[[tool]]\nmatch = "*"\neffect = "read"\n'
        'output = { untrusted = true, secrets = "redact" }\n[[tool]]\nmatch = "write"\neffect = "write"\n'
        '[[rule]]\nid = "bench.all"\ntools = "*"\ndecide = "allow"\n'
    )
    config = written(tmp_path, text, bench=policy)
    assert [problem.severity for problem in check(config, {})] == [Severity.WARNING, Severity.WARNING]
    assert load_policy(load_settings(config, {})).files[0].rules[0].id == "bench.all"


def test_the_repositorys_own_example_is_clean(tmp_path: Path) -> None:
    policies = {path.stem: path.read_text(encoding="utf-8") for path in (REPOSITORY / "policies").glob("*.toml")}
    config = written(tmp_path, (REPOSITORY / "upstreams.toml").read_text(encoding="utf-8"), **policies)
    assert told(config, date(2026, 11, 22)) == []
    assert set(load_settings(config, {}).upstreams) == {"files", "git", "time"}


def test_a_configuration_is_absolute_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path(os.curdir), {}).file == config


def test_where_notices_go_is_read(tmp_path: Path) -> None:
    text = '[notify]\nto = ["ntfy://topic", "mailto://me@x.example?to=a@x.example", "env:CHAT"]\ndesktop = false\n'
    notify = load_settings(written(tmp_path, f'{LEAST}{text}second = "keyring:chat/url"\nafter = "90s"'), {}).notify
    assert (len(notify.to), notify.second, notify.after, notify.desktop) == (3, ("keyring:chat/url",), "90s", False)
