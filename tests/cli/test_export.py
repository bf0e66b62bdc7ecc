"""`wardgate export`: options that contradict each other, exit codes, a page of JSON, and a follower that is ended."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.cli import export
from gateway.core.model import Kind
from gateway.records import Records
from gateway.store import open_store
from tests.fakes import FakeClock, a_record
from tests.receiver import receiver
from tests.store.keep import AT_ONCE

ROOT = Path(__file__).parents[2]
SIZE = 5
WARDGATE = [sys.executable, "-m", "gateway.cli.main", "export"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose gateway has a record."""
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    fill(tmp_path, 1)
    return tmp_path


def fill(folder: Path, first: int) -> None:
    async def write() -> None:
        async with open_store(folder / "state", AT_ONCE) as store:
            for number in range(first, first + SIZE):
                more: dict[str, Any] = {"outcome": "ok", "result": {"said": "private"}}
                await Records(store, FakeClock()).append(a_record(number, Kind.OUTCOME, **more))

    anyio.run(write)


def run(config: Path, *given: str) -> int:
    """The command's exit code, however it ended."""
    try:
        return export.run(["--config", str(config), *given])
    except SystemExit as ended:
        return int(ended.code or 0)


def seqs(text: str) -> list[int]:
    return [json.loads(line)["seq"] for line in text.splitlines()]


@pytest.mark.parametrize(
    "given",
    [
        ["--format", "xml"],
        ["--format", "otlp"],
        ["--to", "http://127.0.0.1:4318"],
        ["--format", "otlp", "--to", "ftp://a"],
        ["--format", "otlp", "--to", "http://"],
        ["--format", "otlp", "--to", "http://[::1"],
        ["--format", "otlp", "--to", "http://a:b@c"],
        ["--format", "otlp", "--to", "http://a?b=c"],
        ["--format", "otlp", "--to", "http://a", "--output", "f"],
        ["--format", "cef", "--content"],
        ["--follow", "--until", "2h"],
        ["--since", "yesterday"],
        ["--after", "-1"],
        ["--limit", "3"],
        ["--json", "--limit", "0"],
        ["--json", "--follow"],
        ["--json", "--output", "f"],
        ["--json", "--bookmark", "f"],
        ["--proof", "d_1234", "--follow"],
        ["--proof", "d_1234", "--since", "2h"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_exit_code_2(tmp_path: Path, given: list[str]) -> None:
    assert run(tmp_path, *given) == 2


def test_lines_go_to_standard_output(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(config) == 0
    assert seqs(capfd.readouterr().out) == [1, 2, 3, 4, 5]
    assert run(config, "--format", "cef", "--after", "4") == 0
    assert capfd.readouterr().out.startswith("CEF:0|Wardgate|Wardgate|")


def test_content_is_printed_only_if_it_is_asked_for(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(config) == 0
    assert "private" not in capfd.readouterr().out
    assert run(config, "--content") == 0
    assert json.loads(capfd.readouterr().out.splitlines()[0])["result"] == {"said": "private"}


def test_pages_of_json_go_on_with_what_next_says(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []
    after: list[str] = []
    while True:
        assert run(config, "--json", "--limit", "2", *after) == 0
        page = json.loads(capfd.readouterr().out)
        seen += [item["seq"] for item in page["items"]]
        if page["next"] is None:
            break
        after = ["--after", page["next"]]
    assert (page["schema"], seen) == (1, [1, 2, 3, 4, 5])
    assert run(config, "--json", "--since", "2026-11-22T12:00:04Z") == 0
    assert [item["seq"] for item in json.loads(capfd.readouterr().out)["items"]] == [4, 5]


def test_a_bookmark_goes_on_and_belongs_to_one_export(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mark, out = str(config / "mark"), str(config / "out")
    assert run(config, "--bookmark", mark, "--output", out) == 0
    fill(config, 50)
    assert run(config, "--bookmark", mark, "--output", out) == 0
    assert seqs(Path(out).read_text(encoding="utf-8")) == list(range(1, 2 * SIZE + 1))
    assert run(config, "--bookmark", mark, "--output", out, "--format", "cef") == 1
    assert run(config, "--bookmark", mark) == 1
    assert "bookmark" in capfd.readouterr().err


def test_a_file_that_is_there_is_exit_code_1(config: Path) -> None:
    assert run(config, "--output", str(config / "out")) == 0
    assert run(config, "--output", str(config / "out")) == 1


def test_without_a_record_the_exit_code_is_3(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")
    assert run(tmp_path) == run(tmp_path, "--json") == 3


def test_a_receiver_gets_each_record_and_its_bookmark_follows(config: Path) -> None:
    with receiver() as far:
        given = ["--format", "otlp", "--to", far.url, "--bookmark", str(config / "mark")]
        assert run(config, *given) == 0
        fill(config, 50)
        assert run(config, *given) == 0
        assert (len(far.logs), len(far.spans)) == (2 * SIZE, 2 * SIZE)


def test_without_the_extra_it_says_what_to_install(config: Path) -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; from gateway.cli import export; "
    code += "sys.exit(export.run(sys.argv[1:]))"
    given = ["--config", str(config), "--format", "otlp", "--to", "http://127.0.0.1:1"]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=False)
    assert (done.returncode, "wardgate[otel]" in done.stderr) == (1, True)


def test_a_reader_that_goes_away_is_exit_code_3(config: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*WARDGATE, "--config", str(config)], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_follower_ends_well_when_it_is_told_to(config: Path, number: signal.Signals) -> None:
    command = [*WARDGATE, "--config", str(config), "--follow", "--bookmark", str(config / "mark")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        seen = [json.loads(follower.stdout.readline())["seq"] for _ in range(SIZE)]
        fill(config, 50)
        seen += [json.loads(follower.stdout.readline())["seq"] for _ in range(SIZE)]
        follower.send_signal(number)
        assert follower.wait(20) == 0
    assert seen == list(range(1, 2 * SIZE + 1))
    assert json.loads((config / "mark").read_text(encoding="utf-8"))["seq"] == 2 * SIZE
    assert not (config / "mark.draft").exists()


def test_a_follower_that_waits_for_an_ill_receiver_ends_well(config: Path) -> None:
    with receiver() as far:
        far.answers = [(500, {}, b"")] * 99
        given = ["--format", "otlp", "--to", far.url, "--bookmark", str(config / "mark"), "--follow"]
        with subprocess.Popen(
            [*WARDGATE, "--config", str(config), *given], stderr=subprocess.PIPE, text=True
        ) as follower:
            assert follower.stderr is not None
            assert "HTTP 500" in follower.stderr.readline()
            follower.send_signal(signal.SIGTERM)
            assert follower.wait(20) == 0
    assert json.loads((config / "mark").read_text(encoding="utf-8"))["seq"] == 0
