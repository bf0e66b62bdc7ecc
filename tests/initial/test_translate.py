"""What becomes of one server: references, secrets, the workspace, and texts that would be read as something else."""

import subprocess
from base64 import b64encode
from typing import Any

import pytest

from gateway.config import settings_of
from gateway.config.references import address, resolve
from gateway.initial.document import begin, extended
from gateway.initial.nouns import Hidden, Launch, Planned
from gateway.initial.translate import translate
from tests.initial.made import FILE, HOME, PROJECT, a_server, a_token

TOKEN = a_token()
WORD = "sword-fish"


def launch(environ: dict[str, str] | None = None, **server: Any) -> Launch:
    return translate(a_server(**server), {**HOME, **(environ or {})}, PROJECT)


def test_a_plain_server_stays_as_it_is() -> None:
    made = launch(command="npx", args=("-y", "server-files", "/data"), env={"LANG": "C.UTF-8"})
    assert made == Launch("npx", ("-y", "server-files", "/data"), {"LANG": "C.UTF-8"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANYTHING", TOKEN),
        ("API_TOKEN", "correct horse"),
        ("DATABASE_URL", "postgres://ada:hunter2@db.example/main"),
        ("KEY_FILE_TEXT", "first line\nsecond line"),
        ("PGPASSWORD", "hunter22"),
        ("MYSQL_PASS", "sword-fish"),
        ("AUTH", "sword-fish"),
        ("CONN", "Server=db;Password=sword-fish;"),
    ],
)
def test_a_secret_is_hidden_and_shown_nowhere(name: str, value: str) -> None:
    hidden = launch(env={name: value}).env[name]
    assert isinstance(hidden, Hidden)
    assert hidden.value == value
    assert value not in repr(hidden)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_TOKENS", "4096"),
        ("TOKEN_PATH", "/home/ada/token"),
        ("LEVEL", "debug"),
        ("KEY_ID", "main"),
        ("AUTH", "none"),
        ("AUTH_TYPE", "basic"),
    ],
)
def test_what_is_no_secret_stays_where_it_can_be_read(name: str, value: str) -> None:
    assert launch(env={name: value}).env == {name: value}


@pytest.mark.parametrize("value", ["file:/home/ada/.ssh/id", "cmd:/bin/rm -rf /home/ada", "env:HOME", "keyring:a/b"])
def test_a_text_of_a_file_never_becomes_a_reference(value: str) -> None:
    made = launch(env={"PLAIN": value}, scope="project")
    assert made.env["PLAIN"] == Hidden("PLAIN", "it would be read as a reference", value)


@pytest.mark.parametrize(
    ("client", "value", "reference"),
    [
        ("vscode", "${env:API_TOKEN}", "env:API_TOKEN"),
        ("cursor", "${env:API_TOKEN}", "env:API_TOKEN"),
        ("claude-code", "${API_TOKEN}", "env:API_TOKEN"),
        ("gemini", "$API_TOKEN", "env:API_TOKEN"),
        ("claude-desktop", "${API_LEVEL}", "${API_LEVEL}"),  # it replaces nothing
        ("claude-code", "${API_LEVEL:-debug}", "debug"),
        ("vscode", "${userHome}/x", "/home/ada/x"),
    ],
)
def test_variables_become_references(client: str, value: str, reference: str) -> None:
    assert launch(client=client, env={"LEVEL": value}).env == {"LEVEL": reference}


def test_text_around_a_variable_is_put_together_at_each_start(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launch(
        client="vscode", url="https://mcp.example/x", headers={"Authorization": "Bearer ${env:API_TOKEN} 'x'"}
    )
    reference = made.headers["Authorization"]
    assert isinstance(reference, str)
    monkeypatch.setenv("API_TOKEN", '$(echo no) `no` "q"')
    assert resolve(reference, FILE.parent) == "Bearer $(echo no) `no` \"q\" 'x'"


def test_what_a_client_asks_its_user_for_has_to_be_given() -> None:
    made = launch(client="vscode", env={"API_TOKEN": "${input:token}"})
    hidden = made.env["API_TOKEN"]
    assert isinstance(hidden, Hidden)
    assert not hidden.known
    assert ["`token`" in line for line in made.to_do] == [True]


def test_the_workspace_is_an_argument_and_runs_once_for_each() -> None:
    made = launch(client="vscode", args=("--repository", "${workspaceFolder}/src"))
    assert made.args == ("--repository", "${WORKSPACE}/src")
    assert made.workspace


def test_the_workspace_in_a_variable_is_told() -> None:
    made = launch(client="vscode", env={"ROOT": "${workspaceFolder}"}, cwd="${workspaceFolder}")
    assert (made.env, made.cwd, len(made.to_do)) == ({}, "", 2)


SECRETS = {
    "alone": ("postgres://ada:hunter2@db/main",),
    "after a flag": ("--api-key", TOKEN, "more"),
    "in a flag": (f"--token={TOKEN}", "--port", "1"),
    "beside quotes": ("it's", '"$HOME"', "`id`", "$(id)", TOKEN),
    "beside a variable that is none": ("${NONE}", TOKEN),
    "in a header": ("--header", f"X-Api-Key:{WORD}", f"--header=X-Api-Key: {WORD}"),
    "in a variable of a container": ("run", "-e", f"DB_PASSWORD={WORD}"),
    "behind a letter": (f"-p{TOKEN}", "-v"),
    "after a flag that says it by a word": ("--pass", WORD, f"--auth={WORD}"),
}


@pytest.mark.parametrize("args", SECRETS.values(), ids=SECRETS)
def test_a_secret_argument_is_put_in_by_a_shell_that_quotes_all_else(args: tuple[str, ...]) -> None:
    made = launch(client="claude-desktop", command="printf", args=("%s\\n", *args))
    assert made.command == "/bin/sh"
    assert not any(secret in arg for arg in made.args for secret in (TOKEN, WORD, "hunter2"))
    environment = {name: value.value if isinstance(value, Hidden) else value for name, value in made.env.items()}
    done = subprocess.run([made.command, *made.args], env=environment, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == list(args)


def test_a_workspace_beside_a_secret_is_no_text_of_the_shell() -> None:
    made = launch(client="vscode", command="printf", args=("%s\\n", "${workspaceFolder}/a", "--token", TOKEN))
    folder = "/tmp/$(id) 'x'"
    args = [arg.replace("${WORKSPACE}", folder) for arg in made.args]
    environment = {name: value.value for name, value in made.env.items() if isinstance(value, Hidden)}
    done = subprocess.run([made.command, *args], env=environment, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == [f"{folder}/a", "--token", TOKEN]


def test_a_variable_in_an_argument_is_read_at_each_start() -> None:
    made = launch(client="claude-code", command="printf", args=("%s", "--region=${REGION}"))
    assert made.env == {"REGION": "env:REGION"}
    done = subprocess.run([made.command, *made.args], env={"REGION": "a b"}, capture_output=True, check=True)
    assert done.stdout == b"--region=a b"


def test_a_password_in_an_address_becomes_a_header() -> None:
    made = launch(url="https://ada:hunter2@mcp.example/x")
    assert made.url == "https://mcp.example/x"
    value = made.headers["Authorization"]
    assert isinstance(value, Hidden)
    assert value.value == "Basic " + b64encode(b"ada:hunter2").decode()


@pytest.mark.parametrize(
    "server",
    [
        {"url": "https://mcp.example/${NAME}", "client": "claude-desktop"},
        {"url": "https://mcp.example/sse", "transport": "sse"},
        {"url": "ftp://mcp.example/x"},
        {"url": "https://[mcp.example/x"},
        {"command": ""},
    ],
    ids=["a variable", "sse", "ftp", "no address", "nothing"],
)
def test_what_cannot_be_taken_says_why(server: dict[str, Any]) -> None:
    assert launch(**server).refused


@pytest.mark.parametrize(
    ("url", "left"),
    [
        (f"https://mcp.example/mcp?a=1&api_key={TOKEN}&b", "https://mcp.example/mcp?a=1&api_key=${1}&b"),
        (f"https://mcp.example/s/{TOKEN}/mcp", "https://mcp.example/s/${1}/mcp"),
        (f"https://mcp.example/{TOKEN}?token=a%20b%2Fc", "https://mcp.example/${1}?token=${2}"),
        (f"https://mcp.example/?{TOKEN}", "https://mcp.example/?${1}"),
        ("https://mcp.example/a/b?user=ada", "https://mcp.example/a/b?user=ada"),
    ],
)
def test_a_secret_in_an_address_is_put_in_at_each_start(url: str, left: str) -> None:
    made = launch(url=url)
    assert made.url.replace("WARDGATE_ADDRESS_", "") == left
    values = {name: value.value for name, value in made.env.items() if isinstance(value, Hidden)}
    assert address(made.url, values) == url


LEAK = {"CLOUD_KEY": "sword-fish", "BASE": "https://mcp.example/v1", "REGION": "eu"}


@pytest.mark.parametrize("scope", ["user", "project"])
def test_a_variable_in_an_address_stays_one_and_its_value_is_read_at_each_start(scope: str) -> None:
    made = launch(LEAK, url="https://mcp.example/${REGION}?q=${CLOUD_KEY}&z=${NO:-1}", scope=scope)
    assert made.url == "https://mcp.example/${REGION}?q=${CLOUD_KEY}&z=1"
    assert made.env == {"REGION": "env:REGION", "CLOUD_KEY": "env:CLOUD_KEY"}
    assert "sword-fish" not in repr(made)


@pytest.mark.parametrize(
    ("url", "into"),
    [("${BASE}/mcp", "https://mcp.example/v1/mcp"), ("${NO:-https://mcp.example}/mcp", "https://mcp.example/mcp")],
)
def test_a_variable_that_begins_an_address_is_written_out(url: str, into: str) -> None:
    assert launch(LEAK, url=url).url == into


@pytest.mark.parametrize(
    "url", ["https://${CLOUD_KEY}.example/", "https://me:${CLOUD_KEY}@mcp.example/", "${CLOUD_KEY}"]
)
def test_a_variable_is_no_host_and_its_value_is_in_no_word(url: str) -> None:
    made = launch(LEAK, url=url)
    assert made.refused
    assert "sword-fish" not in repr(made)


@pytest.mark.parametrize("said", [{"command": "x${CLOUD_KEY}"}, {"cwd": "${CLOUD_KEY}"}])
def test_a_projects_program_takes_nothing_from_the_environment(said: dict[str, str]) -> None:
    made = launch(LEAK, scope="project", **said)
    assert made.refused
    assert "sword-fish" not in repr(made)


def test_what_a_client_asks_for_in_an_address_has_to_be_given() -> None:
    made = launch(client="vscode", url="https://mcp.example/?key=${input:key}")
    (hidden,) = made.hidden
    assert (hidden.known, made.url) == (False, f"https://mcp.example/?key=${{{hidden.slot}}}")
    assert ["`key`" in line for line in made.to_do] == [True]


def test_relative_paths_of_a_project_lead_into_it() -> None:
    made = launch(command="./run.sh", scope="project", cwd="sub")
    assert (made.command, made.cwd) == (f"{PROJECT}/run.sh", f"{PROJECT}/sub")
    assert launch(command="npx", scope="project").cwd == PROJECT
    assert launch(command="~/bin/x").command == "/home/ada/bin/x"


@pytest.mark.parametrize(
    "server",
    [
        {
            "client": "vscode",
            "args": ("${workspaceFolder}", "${input:x}", "${env:Y}", "${NONE}", "env:Z"),
            "env": {"A": "env:B"},
        },
        {"client": "claude-desktop", "args": tuple(name for args in SECRETS.values() for name in args)},
        {"url": f"https://mcp.example/{TOKEN}?key={TOKEN}"},
        {"url": f"https://mcp.example/${{env:A}}-{TOKEN}?key=${{input:key}}", "client": "vscode"},
        {"url": f"https://mcp.example/${{A}}-{TOKEN}?key=${{B}}"},
        {"url": "https://mcp.example/x", "headers": {"X-Key": TOKEN, "no name": "x", "X-Two": "a\nb"}},
        {"command": "a 'b\" c", "args": ("\u202e", 'x"""y', "\\", "\t")},
    ],
)
def test_whatever_was_translated_is_valid_in_upstreams_toml(server: dict[str, Any]) -> None:
    made = launch(**server)
    references = {("one", hidden.slot): f"file:secrets/{hidden.slot}" for hidden in made.hidden}
    text = extended(begin(""), [Planned("one", made, ())], references, "ada@example.com", {})
    settings = settings_of(text, FILE.with_name("upstreams.toml"))
    one = settings.upstreams["one"]
    assert (one.args, one.url, set(one.env)) == (made.args, made.url, set(made.env))
