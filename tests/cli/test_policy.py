"""`policy review`: the figures of a real store, for people and as JSON, with no gateway that runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.cli import policy
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Choice, Held, Proof
from gateway.store import open_store
from tests.cli.room import LOCAL, configure, labelled, run_here
from tests.fakes import KEY, FakeCaller, FakeClock, a_call, a_wait
from tests.store.keep import AT_ONCE

BOB, ADA = Voter("os:bob", Proof.LOCAL), Voter("os:ada", Proof.LOCAL)
Capture = pytest.CaptureFixture[str]
Review = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which one rule is waved through, and another one is thought about."""
    made = configure(tmp_path_factory.mktemp("made") / "c")
    anyio.run(_fill, made / "state")
    return made


async def _fill(state: Path) -> None:
    clock = FakeClock(datetime.now(UTC) - timedelta(days=2))
    async with open_store(state, AT_ONCE) as store:
        approvals = Approvals(store, clock, KEY)

        async def ask(number: int, rule: str, after: float, choice: Choice | None, voter: Voter = BOB) -> None:
            arguments = {"path": "a.txt" if rule == "files.waved" else f"{number}.txt", "text": str(number)}
            call = a_call(number, **arguments)
            decision = replace(LOCAL, rules=(rule,))
            waits = a_wait(call, labelled(), decision, arguments, clock.now())
            held = await approvals.obtain(*waits, FakeCaller(budget=0))
            assert isinstance(held, Held)
            clock.advance(after)
            if choice is not None:
                await approvals.settle(held.approval.id, Chosen(choice), voter)
            clock.advance(60)

        for number in range(21):
            await ask(number, "files.waved", 1.0, Choice.ONCE)
        await ask(30, "files.thought\x1b[31m", 30.0, Choice.DENY, ADA)
        await ask(31, "files.thought\x1b[31m", 20.0, Choice.ONCE, ADA)
        await ask(32, "files.thought\x1b[31m", 1.0, None)


@pytest.fixture
def review(folder: Path, capsys: Capture) -> Review:
    def run(*words: str) -> Any:
        return run_here(capsys, policy, ["review", *words, "--config", str(folder)])

    return run


def test_rules_and_people_are_counted_and_what_is_waved_through_is_named_with_what_to_do(review: Review) -> None:
    ended = review()
    assert (ended.code, ended.err) == (0, "")
    said = ended.out
    assert said.startswith("24 questions in 30 days: ")
    lines = {line.split("  ")[0]: line.split() for line in said.splitlines()}
    assert lines["files.waved"] == ["files.waved", "21", "21", "0", "0", "0", "100%", "100%", "1.0", "s"]
    assert lines["files.thought\\u{1b}[31m"][1:] == ["3", "1", "1", "0", "0", "50%", "0%", "25.0", "s"]
    assert lines["os:ada"][1:4] == ["2", "1", "1"]
    assert "files.waved is waved through" in said
    assert "A rule would have answered 21 of 21 questions of files/write_file:" in said
    assert 'when = "has(args.path) && args.path == \\"a.txt\\""' in said
    assert "A grant would have answered 20 of 21" in said


def test_json_has_all_of_it(review: Review) -> None:
    printed = json.loads(review("--json").out)
    whole, *others = printed["items"]
    assert (printed["schema"], printed["next"]) == (1, None)
    assert (whole["of"], whole["asked"], whole["busiest_hour"] >= 1) == ("all", 24, True)
    rules = {item["name"]: item for item in others if item["of"] == "rule"}
    assert rules["files.waved"]["waved_through"]
    assert [made["kind"] for made in rules["files.waved"]["proposals"]] == ["rule", "grant"]
    assert rules["files.thought\x1b[31m"]["proposals"] == []
    assert [item["name"] for item in others if item["of"] == "approver"] == ["os:bob", "os:ada"]


def test_only_the_days_that_are_asked_for_count(review: Review) -> None:
    assert review("--days", "1").out == "nobody was asked anything in a day\n"


@pytest.mark.parametrize("words", [("--days", "0"), ("--days", "x"), ("--days", "9999"), ("extra",)])
def test_wrong_options_are_exit_code_2(review: Review, words: tuple[str, ...]) -> None:
    assert review(*words).code == 2


def test_without_a_record_the_exit_code_is_3(tmp_path: Path, capsys: Capture) -> None:
    configure(tmp_path / "c")
    assert run_here(capsys, policy, ["review", "--config", str(tmp_path / "c")]).code == 3
    assert not (tmp_path / "c" / "state").exists()


def test_it_starts_light(folder: Path) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic'"
    code = (
        f"import gateway.cli.policy as command, sys; command.run({['review', '--config', str(folder)]!r}); "
        f"print([each for each in ({heavy}) if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
