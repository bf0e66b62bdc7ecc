"""`wardgate check`, as a command would run it."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from gateway.cli.check import run
from gateway.store import open_store
from tests.store.keep import AT_ONCE

GOOD = 'schema = 1\n[upstreams.files]\ncommand = "run"\nowner = "alice@example.com"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    (tmp_path / "policies" / "tools.lock").write_text("schema = 1\n[upstreams.files]\n", encoding="utf-8")
    (tmp_path / "policies" / "tools.lock").chmod(0o600)
    return tmp_path


def write(folder: Path, text: str) -> list[str]:
    config = folder / "upstreams.toml"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    return ["--config", str(folder)]


def test_a_good_configuration_is_fine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write(folder, GOOD)) == 0
    assert capsys.readouterr().out == "no problems found\n"


def test_an_error_is_told_and_is_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write(folder, GOOD + 'comand = "x"\nelicit = "form"\nera = "2025-11-25"\n')) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "error: upstreams.toml:5 [upstreams.files] `comand`: unknown key; did you mean `command`?"
    assert second.startswith("warning: upstreams.toml:6 ")
    assert last == "1 error, 1 warning"


def test_warnings_alone_are_fine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write(folder, GOOD + "[clients.a]\n[clients.b]\n")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 warnings"


def test_what_is_too_weak_to_be_searched_for_is_told_without_its_value(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strong, low = secrets.token_hex(16), "1a" * 6
    monkeypatch.setenv("PIN", "z1b2")
    monkeypatch.setenv("LOW", low)
    monkeypatch.setenv("WORDS", "production")
    monkeypatch.setenv("STRONG", strong)
    (folder / "strong.txt").write_text(f"{strong}\n", encoding="utf-8")
    (folder / "strong.txt").chmod(0o600)
    said = ("env:PIN", "env:LOW", "env:WORDS", "env:STRONG", "file:strong.txt", "env:GONE")
    env = ", ".join(f'{name} = "{reference}"' for name, reference in zip("ABCDEF", said, strict=True))
    assert run(write(folder, f"{GOOD}env = {{ {env} }}\n")) == 0
    *told, last = capsys.readouterr().out.splitlines()
    assert last == "3 warnings"
    assert [line.partition(", for honest")[0].partition("its value is ")[2] for line in told] == [
        "shorter than 8 characters: it is not looked for in outputs and arguments",
        "of low entropy: it is not looked for in outputs and arguments",
        "only words: it is not looked for in outputs and arguments",
    ]
    assert all(line.startswith("warning: upstreams.toml:5 [upstreams.files.env] `") for line in told)
    assert not any(value in line for value in ("z1b2", low, strong) for line in told)


async def test_a_state_folder_of_another_gateway_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = GOOD.replace("[upstreams", '[gateway]\nid = "{}"\nstate = "state"\n[upstreams', 1)
    assert await anyio.to_thread.run_sync(run, write(folder, named.replace("{}", "beta"))) == 0  # nobody has run
    async with open_store(folder / "state", AT_ONCE, owner="alpha"):
        for identity, code in (("alpha", 0), ("beta", 1)):
            capsys.readouterr()
            words = write(folder, named.replace("{}", identity))
            assert await anyio.to_thread.run_sync(run, words) == code
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("error: upstreams.toml [gateway] `id`: ")
    assert "belongs to the gateway `alpha`" in first


def test_json_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*write(folder, GOOD + 'comand = "x"\n[clients.a]'), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["schema"], printed["next"]) == (1, None)
    assert [set(item) for item in printed["items"]] == [{"what", "where", "found", "do", "severity"}] * 2
    assert printed["items"][0]["where"] == "upstreams.toml:5"
    assert printed["items"][0]["severity"] == "error"


def test_a_configuration_that_is_not_there_is_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--config", str(folder)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 error"


def test_a_wrong_option_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["--confg", "x"])
    assert caught.value.code == 2


def test_it_loads_neither_the_sdk_nor_an_engine_that_no_condition_needs(folder: Path) -> None:
    write(folder, GOOD)
    code = (
        "import sys; from gateway.cli.check import run; code = run(['--config', sys.argv[1]]);"
        "sys.exit(code or any(name in sys.modules for name in ('mcp', 'cel', 'anyio', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False, capture_output=True).returncode == 0


def test_that_there_is_no_lock_is_a_warning_that_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "policies" / "tools.lock").unlink()
    assert run(write(folder, GOOD)) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: policies/tools.lock: no such file")
    assert "wardgate lock" in first
    assert last == "1 warning"
