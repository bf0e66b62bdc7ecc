"""References and secrets in literals."""

import os
import random
import string
import sys
import uuid
from pathlib import Path
from types import ModuleType

import pytest

from gateway.config import expand, references, resolve
from gateway.config.references import MAX_VALUE, looks_secret
from gateway.errors import ConfigurationError


def program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o700)
    return f"cmd:{path}"


def test_a_literal_is_itself(tmp_path: Path) -> None:
    assert resolve("C.UTF-8", tmp_path) == "C.UTF-8"


def test_a_variable_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VALUE", "v")
    assert resolve("env:SOME_VALUE", tmp_path) == "v"
    assert resolve("env:SOME_VALUE", tmp_path, {"SOME_VALUE": "w"}) == "w"
    with pytest.raises(ConfigurationError):
        resolve("env:SOME_VALUE", tmp_path, {})


def test_a_file_is_read_relative_to_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("v \n", encoding="utf-8")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    assert resolve("file:value", tmp_path) == "v "
    path.chmod(0o602)
    with pytest.raises(ConfigurationError):
        resolve("file:value", tmp_path)


@pytest.mark.parametrize("content", [b"\xff", b"x" * (MAX_VALUE + 1)])
def test_a_file_that_is_no_short_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "value"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        resolve("file:value", tmp_path)


@pytest.mark.parametrize("name", ["gone", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        resolve(f"file:{name}", tmp_path)


def test_a_program_gets_its_arguments_and_no_shell(tmp_path: Path) -> None:
    command = program(tmp_path, "import sys; print(sys.argv[1:], sys.stdin.read() == '')")
    assert resolve(f"{command} 'a b' $HOME;x", tmp_path) == "['a b', '$HOME;x'] True"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("raise SystemExit(3)", id="fails"),
        pytest.param(f"print('x' * {MAX_VALUE + 1})", id="says too much"),
        pytest.param("import sys\nwhile True: sys.stdout.write('x' * 10_000)", id="never stops talking"),
        pytest.param("import time\ntime.sleep(60)", id="never answers"),
        pytest.param("import os, time\nos.close(1)\ntime.sleep(60)", id="never ends"),
        pytest.param("import os\nos.write(1, b'\\xff')", id="says no text"),
    ],
)
def test_a_program_that_does_not_answer_well_is_refused(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "COMMAND_TIMEOUT", 1.0)
    with pytest.raises(ConfigurationError):
        resolve(program(tmp_path, text), tmp_path)


@pytest.mark.parametrize("reference", ["cmd:relative", "cmd:/no/such/program"])
def test_what_is_no_program_is_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ConfigurationError):
        resolve(reference, tmp_path)


def test_a_keyring_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError) as caught:
        resolve("keyring:no-such-service/name", tmp_path)
    assert "keyring" in str(caught.value)


@pytest.mark.parametrize(("entry", "value"), [("good", "v"), ("gone", None), ("locked", None)])
def test_a_keyring_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, value: str | None) -> None:
    class LockedError(Exception): ...

    def get_password(service: str, name: str) -> str | None:
        if name == "locked":
            raise LockedError
        return {"good": "v"}.get(name)

    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    vars(keyring).update(get_password=get_password, errors=errors)
    vars(errors).update(KeyringError=LockedError)
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    if value is not None:
        assert resolve(f"keyring:service/{entry}", tmp_path) == value
    else:
        with pytest.raises(ConfigurationError):
            resolve(f"keyring:service/{entry}", tmp_path)


def test_the_workspace_is_put_into_arguments() -> None:
    assert expand(["a", "${WORKSPACE}/b"], {"WORKSPACE": "/w"}) == ("a", "/w/b")
    assert expand(["a"], {}) == ("a",)
    with pytest.raises(ConfigurationError):
        expand(["${WORKSPACE}"], {})


def random_text(length: int) -> str:
    source = random.Random(7)
    return "Aa1" + "".join(source.choice(string.ascii_letters + string.digits) for _ in range(length - 3))


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        pytest.param("gh" + "p_" + "x" * 12, "", True, id="a known prefix"),
        pytest.param("Bearer " + "abcdefgh", "", True, id="a bearer"),
        pytest.param("-----BEGIN " + "PRIVATE KEY-----", "", True, id="a key"),
        pytest.param(random_text(24), "", True, id="random"),
        pytest.param("prefix:" + random_text(24), "", True, id="random in a text"),
        pytest.param(uuid.UUID(int=2**127 + 12345678901234567890).hex, "", True, id="long and hexadecimal"),
        pytest.param("x", "API_TOKEN", True, id="by its name"),
        pytest.param("x", "apiKey", True, id="by its name in another case"),
        pytest.param("x", "Authorization", True, id="by its header"),
        pytest.param("x", "TOKEN_PATH", False, id="a path to one"),
        pytest.param("x", "MONKEY", False, id="a word that ends like one"),
        pytest.param("", "TOKEN", False, id="empty"),
        pytest.param("env:TOKEN", "TOKEN", False, id="a reference"),
        pytest.param("C.UTF-8", "LANG", False, id="a locale"),
        pytest.param("@modelcontextprotocol/server-filesystem@2026.8.31", "", False, id="a package"),
        pytest.param("/home/Alice/projects/Some2LongFolderName3Here", "", False, id="a path"),
        pytest.param("a" * 40, "", False, id="long and dull"),
        pytest.param("--a-long-option-without-any-secret", "", False, id="an option"),
        ("postgres://admin:PASSWORD@db.example/x", "DATABASE_URL", True),
        ("redis://:pa%2Fss@cache:6379", "", True),
        ("amqp://u:p#w?d@queue", "", True),
        ("http://db.example:8080?mail=a@b", "", False),
        ("--dsn=mysql+pymysql://u:p@h/db?x=1", "", True),
        ("postgres://${USER}:pre${DB_PASSWORD}@db.example/x", "", True),
        ("postgres://admin:${DB_PASSWORD}@db.example/x", "DATABASE_URL", False),
        ("postgres://admin@db.example/x", "", False),
        ("postgres://admin:@db.example/x", "", False),
        ("http://db.example:8080/a@b", "", False),
        ("http://[::1]:8080/a@b", "", False),
        ("npx:@scope/package@1.0", "", False),
        ("env:DATABASE_URL", "", False),
    ],
)
def test_a_literal_that_looks_like_a_secret_is_found(value: str, name: str, expected: bool) -> None:
    assert looks_secret(value, name) is expected


def test_no_message_holds_a_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(program(tmp_path, "print('hidden'); raise SystemExit(1)") + " hidden", tmp_path)
    assert "hidden" not in str(caught.value)
    assert os.fspath(tmp_path) in str(caught.value)
