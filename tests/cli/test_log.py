"""`wardgate log`: what may be asked, who sees what, and following until somebody interrupts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.cli import log
from gateway.core.model import Kind
from gateway.core.record import stamp
from gateway.store import open_store
from tests.fakes import DEADLINE, NOON, a_record
from tests.store.keep import AT_ONCE, an_entry


def record(folder: Path, *entries: Any) -> None:
    """A gateway starts, records this and stops."""

    async def write() -> None:
        async with open_store(folder / "state", AT_ONCE) as store:
            await store.append(entries)

    anyio.run(write)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    text = 'schema = 1\n[gateway]\nstate = "state"\n[approvers.bob]\nroles = ["auditor"]\n'
    (folder / "upstreams.toml").write_text(text, encoding="utf-8")
    record(
        folder,
        an_entry(1, Kind.START, principal="", session="", client="", upstream="", tool="", verdict="", reason=""),
        an_entry(2, arguments={"path": "/etc/passwd"}),
        an_entry(3, Kind.OUTCOME, outcome="ok", detail="it was passed on"),
        an_entry(4, Kind.OUTCOME, outcome="error", principal="os:bob", client="cursor", session="s2", upstream="mail"),
        an_entry(5, Kind.OUTCOME, outcome="blocked", verdict="block", reason="self-protection", tool="wipe"),
    )
    return folder


def asked(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `log --json` prints."""
    assert log.run(["--config", str(config), "--json", *words]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        ([], [5, 4, 3, 2, 1]),
        (["--kind", "outcome", "--outcome", "error"], [4]),
        (["--verdict", "block", "--reason", "self-protection"], [5]),
        (["--tool", "wipe"], [5]),
        (["--upstream", "mail"], [4]),
        (["--client", "cursor"], [4]),
        (["--session", "s2"], [4]),
        (["--principal", "os:bob"], [4]),
        (["--text", "passwd"], [2]),
        (["--text", "pass"], [3, 2]),
        (["--text", "PASS etc"], [2]),
        (["--since", stamp(NOON), "--until", stamp(a_record(4).at)], [3, 2, 1]),
        (["--since", "2026-11-23"], []),
        (["--until", "2026-11-23", "--tool", "wipe"], [5]),
        (["--as", "os:alice"], [5, 3, 2]),
        (["--as", "os:bob"], [5, 4, 3, 2, 1]),
        (["--as", "os:carol"], []),
        (["--as", "os:alice", "--text", "mail"], []),
        (["--as", "os:alice", "--principal", "os:bob"], []),
    ],
    ids=str,
)
def test_only_what_was_asked_for_is_told(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], seqs: list[int]
) -> None:
    answer = asked(config, capsys, *words)
    assert [item["seq"] for item in answer["items"]] == seqs
    assert answer["next"] is None


def test_a_page_that_is_not_full_is_the_last(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = asked(config, capsys, "--kind", "outcome", "--limit", "2")
    assert (len(first["items"]), first["next"]) == (2, "4")
    last = asked(config, capsys, "--kind", "outcome", "--limit", "2", "--after", first["next"])
    assert ([item["seq"] for item in last["items"]], last["next"]) == ([3], None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--outcome", "blockd"], "did you mean `blocked`?"),
        (["--kind", "outcomes"], "did you mean `outcome`?"),
        (["--verdict", "alow"], "did you mean `allow`?"),
        (["--reason", "rul"], "did you mean `rule`?"),
        (["--since", "yesterday"], "`yesterday`"),
        (["--until", "2026-11-22T12:00:00"], "`2026-11-22T12:00:00`"),
        (["--limit", "0"], "`0`"),
        (["--limit", "1001"], "1,000"),
        (["--after", "x"], "'x'"),
        (["--text", "--- …"], "`--- …`"),
        (["--follow", "--after", "3"], "--after"),
        (["-f", "--until", "2h"], "--until"),
        (["--age", "3"], "--age"),
    ],
    ids=str,
)
def test_a_wrong_value_is_exit_code_2_and_told(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        log.run(["--config", str(config), *words])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err


def test_who_is_not_the_owner_sees_his_own_and_not_as_others_do(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.reading.os.getuid", lambda: 4_711)
    monkeypatch.setattr("gateway.reading.user_name", lambda uid: "alice")
    assert [item["seq"] for item in asked(config, capsys)["items"]] == [5, 3, 2]
    with pytest.raises(SystemExit) as ended:
        log.run(["--config", str(config), "--as", "os:bob"])
    assert ended.value.code == 2
    monkeypatch.setattr("gateway.reading.user_name", lambda uid: "bob")
    assert len(asked(config, capsys)["items"]) == 5


@contextmanager
def followed(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`wardgate log --follow`, as a process of its own."""
    command = [sys.executable, "-m", "gateway.cli.main", "log", "--follow", "--config", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    record(tmp_path, an_entry(1), an_entry(2, tool="other"), an_entry(3))
    return tmp_path


def test_following_prints_what_comes_until_it_is_interrupted(growing: Path) -> None:
    with followed(growing, "--json", "--tool", "write_file") as process:
        assert process.stdout
        assert [json.loads(process.stdout.readline())["seq"] for _ in range(2)] == [1, 3]
        record(growing, an_entry(4), an_entry(5, tool="other"))
        record(growing, an_entry(6))
        assert [json.loads(process.stdout.readline())["seq"] for _ in range(2)] == [4, 6]
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert process.stderr
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_following_ends_where_nobody_reads_it(growing: Path) -> None:
    with followed(growing) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("1 ")
        process.stdout.close()
        record(growing, an_entry(4))
        assert process.wait(DEADLINE) == 0
        assert process.stderr
        assert process.stderr.read() == ""


def test_following_what_is_not_there_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    for make in (lambda: None, lambda: os.mkdir(tmp_path / "state")):
        make()
        with pytest.raises(SystemExit) as ended:
            log.run(["--config", str(tmp_path), "--follow"])
        assert ended.value.code == 3
        assert len(capsys.readouterr().err.splitlines()) == 1
