"""What an upstream is trusted with: its token, its sandbox, its questions."""

from pathlib import Path

import pytest

from gateway.config import load_settings
from gateway.config.nouns import OAuth
from tests.config.test_settings import LEAST, TRACKER, told, written

ADDRESS = "schema = 1\n" + TRACKER
BOXED = LEAST + 'sandbox = "bwrap"\n'


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    boxed = BOXED + (
        'sandbox_read = ["data", "/srv/shared", "${WORKSPACE}"]\nsandbox_write = ["${WORKSPACE}/out", "./a/../b"]\n'
        'sandbox_network = true\nper = "workspace"\nelicit = "url"\ninstructions = true\n'
    )
    oauth = (
        '[upstreams.t]\nurl = "https://example.com/mcp"\nowner = "a"\n[upstreams.t.oauth]\n'
        'grant = "client_credentials"\nclient_id = "us"\nclient_secret = "keyring:t/secret"\nscopes = ["read", "a:b"]\n'
    )
    settings = load_settings(written(tmp_path, boxed + oauth), {})
    files = settings.upstreams["files"]
    assert (files.sandbox, files.sandbox_network) == ("bwrap", True)
    assert files.sandbox_read == (tmp_path / "data", Path("/srv/shared"), Path("${WORKSPACE}"))
    assert files.sandbox_write == (Path("${WORKSPACE}/out"), tmp_path / "b")
    assert (files.per, files.elicit, files.instructions) == ("workspace", "url", True)
    assert settings.upstreams["t"].oauth == OAuth("client_credentials", "us", "keyring:t/secret", ("read", "a:b"))
    assert settings.warnings == ()


def test_a_path_of_the_sandbox_may_begin_with_the_home(tmp_path: Path, environment: object) -> None:
    settings = load_settings(written(tmp_path, BOXED + 'sandbox_read = ["~/notes"]'), {})
    assert settings.upstreams["files"].sandbox_read == (Path.home() / "notes",)


def test_nothing_is_trusted_by_default(tmp_path: Path) -> None:
    files = load_settings(written(tmp_path), {}).upstreams["files"]
    assert (files.sandbox, files.sandbox_network, files.instructions, files.oauth) == ("none", False, False, None)
    assert load_settings(written_again(tmp_path, ADDRESS + "oauth = {}"), {}).upstreams["t"].oauth == OAuth()


def written_again(folder: Path, text: str) -> Path:
    (folder / "upstreams.toml").write_text(text, encoding="utf-8")
    return folder


SECRET = "a-client-" + "secret-of-ours"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (LEAST + 'sandbox_read = ["a"]', 5, "only with `sandbox"),
        (LEAST + 'sandbox_write = ["a"]', 5, "only with `sandbox"),
        (LEAST + "sandbox_network = true", 5, "only with `sandbox"),
        (BOXED + "sandbox_network = 1", 6, "true or false"),
        (BOXED + 'sandbox_read = "a"', 6, "a list of paths"),
        (BOXED + 'sandbox_read = ["${HOME}/x"]', 6, "no other variable"),
        (BOXED + 'sandbox_read = ["a/${WORKSPACE}"]', 6, "at the beginning"),
        (BOXED + 'sandbox_read = ["${WORKSPACE}x"]', 6, "at the beginning"),
        (BOXED + 'sandbox_read = ["${WORKSPACE"]', 6, "at the beginning"),
        (BOXED + 'sandbox_write = ["${WORKSPACE}/../x"]', 6, "no `..`"),
        (BOXED + 'sandbox_write = ["a\\u0000b"]', 6, "no NUL"),
        (BOXED + 'sandbox_write = ["/"]', 6, "the system itself"),
        (BOXED + 'sandbox_read = ["/proc/1"]', 6, "the system itself"),
        (BOXED + 'sandbox_read = ["x"]\nsandbox_write = ["./x"]', 6, "leave it in one"),
        (ADDRESS + 'sandbox = "none"', 5, "only with `command`"),
        (ADDRESS + "sandbox_network = false", 5, "only with `command`"),
        (LEAST + "oauth = {}", 5, "only with `url`"),
        (ADDRESS + 'oauth = "yes"', 5, "a table"),
        (ADDRESS + 'oauth = { grant = "password" }', 5, "one of authorization_code, client_credentials"),
        (ADDRESS + 'oauth = { grant = "client_credentials" }', 5, "`client_id`: missing"),
        (ADDRESS + 'oauth = { grant = "client_credentials", client_id = "a" }', 5, "`client_secret`: missing"),
        (ADDRESS + 'oauth = { client_secret = "env:A" }', 5, "`client_id`: missing"),
        (ADDRESS + f'oauth = {{ client_id = "a", client_secret = "{SECRET}" }}', 5, "expected a reference"),
        (ADDRESS + 'oauth = { client_id = "a", client_secret = "keyring:a" }', 5, "`keyring:SERVICE/NAME`"),
        (ADDRESS + 'oauth = { scopes = ["a b"] }', 5, "without spaces"),
        (ADDRESS + 'oauth = { scope = ["a"] }', 5, "did you mean `scopes`"),
        (ADDRESS + 'oauth = {}\nheaders = { authorization = "env:A" }', 5, "either `oauth` or a header"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_line(text: str, line: int, said: str, tmp_path: Path) -> None:
    problems = told(written(tmp_path, text))
    assert any(said in problem and problem.startswith(f"upstreams.toml:{line} ") for problem in problems), problems
    assert not any(SECRET in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + 'elicit = "form"\nera = "2025-11-25"', "questions are refused"),
        (BOXED + 'args = ["${WORKSPACE}"]', "doesn't show"),
    ],
)
def test_what_will_not_work_is_a_warning_that_says_what_to_do(text: str, said: str, tmp_path: Path) -> None:
    warnings = load_settings(written(tmp_path, text), {}).warnings
    assert [said in str(warning) for warning in warnings] == [True]


@pytest.mark.parametrize(
    "text",
    [
        LEAST + 'elicit = "form"',
        LEAST + 'elicit = "form"\nera = "2026-07-28"',
        LEAST + 'elicit = "url"\nera = "2025-11-25"\nper = "client"',
        BOXED + 'args = ["${WORKSPACE}"]\nsandbox_write = ["${WORKSPACE}"]',
        LEAST + '[auth]\nissuer = "https://a.example/x"\naudience = "b"',
        LEAST + '[auth]\nissuer = "http://127.0.0.1:9000"\naudience = "b"',
    ],
)
def test_what_works_gives_no_warning(text: str, tmp_path: Path) -> None:
    assert told(written(tmp_path, text)) == []


@pytest.mark.parametrize(
    "issuer", ["http://a.example", "https://u@a.example", "https://a.example/?x", "http://127.0.0.1.evil.example"]
)
def test_an_issuer_is_https_or_on_loopback(issuer: str, tmp_path: Path) -> None:
    problems = told(written(tmp_path, LEAST + f'[auth]\nissuer = "{issuer}"\naudience = "b"'))
    assert ["an address that starts with https://" in problem for problem in problems] == [True]
