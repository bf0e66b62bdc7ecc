"""`wardgate warm` fills the cache, says what it did, and never fails because a cache can't be kept."""

import json
from pathlib import Path

import pytest

from gateway.cli.warm import run
from gateway.screening import engine


def test_it_loads_the_rules_and_says_so(rules_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert f"`{rules_cache}`" in capsys.readouterr().out


def test_json_is_one_object(rules_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "--config", "anywhere"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert told["next"] is None
    [item] = told["items"]
    assert item["state"] in ("loaded", "stored")
    assert item["cache"] == str(rules_cache)
    assert item["rules"] > 400


@pytest.mark.slow
def test_a_folder_that_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("WARDGATE_CACHE", str(tmp_path))
    assert run(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["state"] == "bypassed"
    assert list(tmp_path.iterdir()) == []


def test_rules_that_do_not_load_are_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine.Kingfisher.__init__, "__defaults__", (tmp_path / "missing.yml",))
    assert run(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)["items"][0]["state"] == "failed"


@pytest.mark.parametrize(("argv", "code"), [(["--help"], 0), (["--nonsense"], 2)])
def test_usage(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(argv)
    assert (ended.value.code or 0) == code
    assert capsys.readouterr()
