"""`log` and `verify`: what they print, their exit codes, and how fast they start."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.approvals import Approvals
from gateway.cli import log, verify
from gateway.core.model import Finding, Held, Kind, Proof
from gateway.records import Records
from gateway.schema import STORE_NAME
from gateway.store import open_store
from tests.fakes import KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose gateway has a record: one read, one denied call, one approved one, one still held."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")

    async def fill() -> None:
        clock = FakeClock()
        async with open_store(folder / "state", AT_ONCE) as store:
            records, approvals = Records(store, clock), Approvals(store, clock, KEY)
            await records.append(a_record(1, tier="read", tool="read_\u202efile\x1b[31m"))
            await records.append(a_record(1, Kind.OUTCOME, outcome="ok", tool="read_\u202efile\x1b[31m"))
            denied = {
                "outcome": "denied",
                "verdict": "block",
                "reason": "rule",
                "rules": ("a.b",),
                "places": ("a.toml:3",),
            }
            finding = Finding("token", "content[0].text", "00ff")
            await records.append(
                a_record(2, Kind.OUTCOME, timings_us={"decide": 12}, findings=(finding,), detail="why", **denied)
            )
            await approvals.obtain(*a_wait(a_call(8, path="8"), a_tool(), an_ask(), {}), FakeCaller(budget=0))
            held = await approvals.obtain(*a_wait(a_call(7, path="7"), a_tool(), an_ask(), {}), FakeCaller(budget=0))
            assert isinstance(held, Held)
            row = await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL, "fine")
            await records.append(a_record(7, approval=row.id, arguments={"path": "7"}), consume=(row.id,))
            timings = {"approval": 5, "upstream": 7, "screen": 3, "intent": 1}
            await records.append(
                a_record(7, Kind.OUTCOME, approval=row.id, outcome="ok", release="full", timings_us=timings)
            )

    anyio.run(fill)
    return folder


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one object that `--json` prints."""
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    return answer


def test_the_log_is_paged_by_what_next_says(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []
    after: list[str] = []
    while True:
        assert log.run(["--config", str(config), "--json", "--limit", "4", *after]) == 0
        page = printed(capsys)
        seen += [item["seq"] for item in page["items"]]
        if page["next"] is None:
            break
        after = ["--after", page["next"]]
    assert seen == list(range(8, 0, -1))


def test_the_log_for_people_is_aligned_and_shows_what_would_steer_a_terminal(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log.run(["--config", str(config), "--kind", "intent"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.index("d_0000000007") == second.index("d_0000000001")
    assert "files/read_\\u{202e}file\\u{1b}[31m" in second


def test_a_log_in_which_nothing_fits_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log.run(["--config", str(config), "--tool", "none"]) == 0
    assert capsys.readouterr().out == "nothing is on the record that fits\n"


def test_verify_says_that_the_record_is_whole(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run(["--config", str(config), "--json"]) == 0
    (item,) = printed(capsys)["items"]
    assert list(item) == ["ok", "size", "root", "first_bad", "detail"]
    assert (item["ok"], item["size"], item["first_bad"]) == (True, 8, None)
    assert verify.run(["--config", str(config)]) == 0
    assert item["root"] in capsys.readouterr().out


def test_verify_of_an_edited_record_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")

    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            await Records(store, FakeClock()).append(a_record(1))

    anyio.run(fill)
    with closing(sqlite3.connect(tmp_path / "state" / STORE_NAME)) as db, db:
        db.execute("UPDATE record SET outcome = 'ok'")
    assert verify.run(["--config", str(tmp_path)]) == 1
    assert "NOT whole: row 1" in capsys.readouterr().out
    assert verify.run(["--config", str(tmp_path), "--json"]) == 1
    assert printed(capsys)["items"][0]["first_bad"] == 1


COMMANDS = {"log": (log.run, []), "verify": (verify.run, [])}


@pytest.mark.parametrize("name", COMMANDS)
def test_without_a_record_the_exit_code_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")
    run, given = COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        run([*given, "--config", str(tmp_path)])
    assert ended.value.code == 3
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", [None, "schema = ", "[gateway]\nstate = 3\n"], ids=["missing", "no-toml", "no-path"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_configuration_that_can_not_be_read_is_exit_code_1(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / "upstreams.toml").write_text(text, encoding="utf-8")
    run, given = COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        run([*given, "--config", str(tmp_path)])
    assert ended.value.code == 1


@pytest.mark.parametrize(
    ("name", "given"),
    [("log", ["--limit", "0"]), ("log", ["--limit", "x"]), ("verify", ["--all"])],
    ids=["zero", "word", "unknown"],
)
def test_wrong_options_are_exit_code_2(config: Path, name: str, given: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name][0]([*given, "--config", str(config)])
    assert ended.value.code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_imports_nothing_heavy(config: Path, name: str) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic'"
    run = f"import gateway.cli.{name} as command, sys; command.run({[*COMMANDS[name][1], '--config', str(config)]!r})"
    code = f"{run}; print([each for each in ({heavy}) if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
