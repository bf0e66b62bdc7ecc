"""`wardgate record find`, `rotate` and `forget`: what they print, their exit codes, and how a value comes in."""

import io
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway import reading
from gateway.cli import record
from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Kind
from gateway.records import Records
from gateway.schema import KEY_NAME, SIGNING_NAME
from gateway.store import open_store
from gateway.store.flow import all_forms
from gateway.store.folder import hold
from tests.fakes import NOON, FakeClock, a_record
from tests.store.keep import AT_ONCE, on_disk

VALUE = "4200 to Ada"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose gateway has recorded three calls; two of them hold the value."""
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")

    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records = Records(store, FakeClock())
            leaf = keyed_digest(store.folder.key, canonical(VALUE))[:32]
            for number, tool in ((1, "pay"), (2, "mail")):
                await records.append(a_record(number, Kind.OUTCOME, outcome="ok", tool=tool, leaves={"memo": leaf}))
            await records.append(a_record(3, Kind.OUTCOME, outcome="ok"))

    anyio.run(fill)
    return tmp_path


def run(config: Path, *words: str) -> int:
    return record.run([*words, "--config", str(config)])


def code(config: Path, *words: str) -> int:
    """The exit code, however the command ends."""
    try:
        return run(config, *words)
    except SystemExit as ended:
        return int(str(ended.code))


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    return answer


def test_a_value_is_found_and_where_it_stands_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "find", "--value", VALUE, "--json") == 0
    answer = printed(capsys)
    assert [(item["seq"], item["tool"], item["matched"]) for item in answer["items"]] == [
        (2, "mail", ["arguments.memo"]),
        (1, "pay", ["arguments.memo"]),
    ]
    assert answer["next"] is None
    assert set(reading.log_item(reading.Row(1, a_record()))) < set(answer["items"][0])
    assert run(config, "find", "--value", VALUE) == 0
    told = capsys.readouterr().out
    assert "files/mail" in told
    assert "arguments.memo" in told
    assert VALUE not in told


def test_a_page_tells_where_to_go_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "find", "--value", VALUE, "--limit", "1") == 0
    assert "--after 2" in capsys.readouterr().out
    assert run(config, "find", "--value", VALUE, "--limit", "1", "--after", "2", "--json") == 0
    assert [item["seq"] for item in printed(capsys)["items"]] == [1]


def test_only_what_fits_is_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "find", "--value", VALUE, "--tool", "pay", "--json") == 0
    assert [item["seq"] for item in printed(capsys)["items"]] == [1]
    assert run(config, "find", "--value", VALUE, "--since", "2026-11-22T12:00:02Z", "--json") == 0
    assert [item["seq"] for item in printed(capsys)["items"]] == [2]
    assert run(config, "find", "--value", "other") == 0
    assert capsys.readouterr().out == "no record holds this value\n"


@pytest.mark.parametrize("end", ["", "\n"], ids=["plain", "line"])
def test_a_value_can_come_from_a_file_or_from_standard_input(config: Path, end: str) -> None:
    (config / "value").write_text(VALUE + end, encoding="utf-8")
    command = [sys.executable, "-m", "gateway.cli.main", "record", "find", "--config", str(config), "--json"]
    for name, data in (("-", VALUE + end), (str(config / "value"), "")):
        done = subprocess.run(
            [*command, "--value-file", name], input=data, capture_output=True, text=True, check=True, encoding="utf-8"
        )
        assert len(json.loads(done.stdout)["items"]) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], 2),
        (["list"], 2),
        (["find"], 2),
        (["find", "--value", ""], 2),
        (["find", "--value", "x", "--value-file", "-"], 2),
        (["find", "--value", "x", "--limit", "0"], 2),
        (["find", "--value", "x", "--limit", "1001"], 2),
        (["find", "--value", "x", "--since", "tomorrow"], 2),
        (["find", "--value-file", "none"], 1),
        (["find", "--value-file", "/"], 1),
        (["find", "--value", "\ud800"], 2),
        (["rotate"], 2),
        (["rotate", "other"], 2),
        (["rotate", "digest", "--lost"], 1),
        (["forget"], 2),
        (["forget", "--before", "tomorrow"], 2),
    ],
)
def test_exit_codes(config: Path, words: list[str], expected: int) -> None:
    assert code(config, *words) == expected


def test_a_value_that_is_no_text_is_refused(config: Path) -> None:
    (config / "value").write_bytes(b"\xff")
    assert code(config, "find", "--value-file", str(config / "value")) == 1


def test_only_auditors_look_for_values(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reading, "viewer_in", lambda config, state: reading.Viewer("os:alice", auditor=False))
    assert code(config, "find", "--value", VALUE) == 1
    assert capsys.readouterr().out == ""


WITHOUT = [["find", "--value", "x"], ["rotate", "digest"], ["forget", "--before", "1d"]]


@pytest.mark.parametrize("words", WITHOUT, ids=["find", "rotate", "forget"])
def test_without_a_record_the_exit_code_is_3_and_nothing_is_made(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")
    assert code(tmp_path, *words) == 3
    assert not (tmp_path / "state").exists()


def test_a_key_that_was_lost_is_exchanged_and_what_it_digested_is_said_not_to_be_found(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config / "state" / KEY_NAME).unlink()
    assert code(config, "rotate", "digest") == 3
    assert "--lost" in capsys.readouterr().err
    assert run(config, "rotate", "digest", "--lost") == 0
    assert "a new digest key" in capsys.readouterr().out
    assert run(config, "find", "--value", VALUE) == 0
    told = capsys.readouterr()
    assert "up to 4 is lost" in told.err
    assert told.out == "no record holds this value\n"


def test_an_exchange_is_told_as_json_and_values_are_still_found(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for which, name in (("digest", KEY_NAME), ("signing", SIGNING_NAME)):
        before = (config / "state" / name).read_bytes()
        assert run(config, "rotate", which, "--json") == 0
        (item,) = printed(capsys)["items"]
        assert [item[name] for name in ("which", "lost", "withdrawn", "ended")] == [which, False, 0, 0]
        assert (config / "state" / name).read_bytes() != before
        told = on_disk(config / "state")[-1]
        assert told.extra["key"] == item["key"]
        assert before.hex() not in json.dumps(item)
    assert run(config, "find", "--value", VALUE, "--json") == 0
    assert len(printed(capsys)["items"]) == 2


def test_no_key_is_exchanged_while_a_gateway_runs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (config / "state" / KEY_NAME).read_bytes()
    with hold(config / "state"):
        assert code(config, "rotate", "digest") == 3
    said = capsys.readouterr().err
    assert f"pid {os.getpid()}" in said
    assert "stop it first" in said
    assert (config / "state" / KEY_NAME).read_bytes() == before


async def wrote(config: Path) -> None:
    """A tainted session wrote something at noon, and something an hour later."""
    async with open_store(config / "state", AT_ONCE) as store:
        records = Records(store, FakeClock())
        for hour, mark in ((0, "0" * 16), (1, "1" * 16)):
            at = NOON + timedelta(hours=hour)
            await records.append(a_record(5 + hour, Kind.INTENT, at=at, marks=(mark,)))


async def forms(config: Path) -> list[str]:
    async with open_store(config / "state", AT_ONCE) as store:
        return list(await all_forms(store, 9))


def test_what_tainted_sessions_wrote_is_forgotten_where_a_person_says_so_and_the_record_tells_of_it(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    anyio.run(wrote, config)
    words = ["forget", "--before", f"{NOON + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # which is no terminal
    assert (run(config, *words), anyio.run(forms, config)) == (1, ["0" * 16, "1" * 16])
    assert "1 of 2" in capsys.readouterr().out
    assert run(config, *words, "--yes", "--json") == 0
    assert printed(capsys)["items"] == [{"forms": 2, "older": 1, "forgotten": 1}]
    assert anyio.run(forms, config) == ["1" * 16]
    told = on_disk(config / "state")[-1]
    assert (told.kind, told.principal[:3]) == (Kind.FLOW, "os:")
    assert told.extra == {"forgotten": 1, "before": "2026-11-22T12:30:00.000000Z"}
    assert run(config, *words, "--yes") == 0
    assert "none of 1 forms" in capsys.readouterr().out
    assert on_disk(config / "state")[-1] == told


@pytest.mark.parametrize(("answer", "left"), [("y\n", ["1" * 16]), ("n\n", ["0" * 16, "1" * 16]), ("", None)])
def test_at_a_terminal_it_is_asked_whether_it_shall_be_believed_again(
    config: Path, answer: str, left: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    anyio.run(wrote, config)
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]  # a terminal for this test
    monkeypatch.setattr(sys, "stdin", terminal)
    said = run(config, "forget", "--before", f"{NOON + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}")
    assert said == (0 if answer == "y\n" else 1)
    assert anyio.run(forms, config) == (left or ["0" * 16, "1" * 16])


def test_nothing_is_forgotten_while_a_gateway_runs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold(config / "state"):
        assert code(config, "forget", "--before", "1d", "--yes") == 3
    assert "stop it first" in capsys.readouterr().err


def test_what_is_written_later_is_never_forgotten_before(config: Path) -> None:
    anyio.run(wrote, config)
    assert run(config, "forget", "--before", "2999-01-01", "--yes") == 0
    assert on_disk(config / "state")[-1].extra["before"] < "2999"
