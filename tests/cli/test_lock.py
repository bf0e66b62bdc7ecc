"""`lock`, `accept` and `tools`: how they read their words and print what differs. The rest is tried end to end."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import accept, lock, tools
from gateway.cli.lock import MOST_LINES, print_items
from gateway.core.policy import parse

Capture = pytest.CaptureFixture[str]


def item(**more: Any) -> dict[str, Any]:
    """A difference as the gateway tells it."""
    whole = {"upstream": "files", "kind": "tools", "name": "send", "exposed_as": "files__send", "state": "changed"}
    whole |= {"before": "b" * 64, "digest": "a" * 64, "accept": "files__send@aaaaaaaaaaaa", "remarks": []}
    return {
        **whole,
        "effect": "write",
        "tier": "write",
        "entry": "`send*` at p.toml:3",
        "proposed": "",
        "difference": [],
        **more,
    }


@pytest.mark.parametrize("words", [["--check", "--yes"], ["--wrong"], ["more"]])
def test_words_that_contradict_each_other_are_2(words: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        lock.run(words)
    assert ended.value.code == 2
    assert "wardgate lock: " in capsys.readouterr().err


@pytest.mark.parametrize(("command", "words"), [(lock, ["--check"]), (accept, ["x@12345678"]), (tools, [])])
def test_a_configuration_that_cannot_be_read_is_1(
    command: Any, words: list[str], tmp_path: Path, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run([*words, "--config", str(tmp_path / "none")])
    assert ended.value.code == 1
    assert "none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("files__send@3F9C21D0", ("files__send", "3f9c21d0")),
        ("files__send", ("files__send", "")),
        ("note://{id}@host@3f9c21d0", ("note://{id}@host", "3f9c21d0")),
        ("note://me@host", ("note://me@host", "")),
        ("files__send@", ("files__send@", "")),
        ("@3f9c21d0", ("@3f9c21d0", "")),
    ],
)
def test_a_name_may_hold_what_parts_it_from_its_digest(text: str, parted: tuple[str, str]) -> None:
    assert accept._parted(text) == parted


def test_a_difference_is_told_with_effect_label_remarks_and_lines(capsys: Capture) -> None:
    print_items([item(remarks=["hidden \u202e"], difference=["- one", "+ two\u200b"])], MOST_LINES)
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "~ changed tool `files__send` of files",
        "    effect write, tier write, by `send*` at p.toml:3",
        "    ! hidden \\u{202e}",
        "    - one",
        "    + two\\u{200b}",
        "    files__send@aaaaaaaaaaaa",
    ]


def test_of_a_tool_without_a_label_its_proposal_is_told(capsys: Capture) -> None:
    print_items([item(entry="", proposed="egress", effect="destructive", tier="high")], MOST_LINES)
    assert "nobody labelled it (its name suggests egress" in capsys.readouterr().out


def test_new_definitions_are_shown_whole_only_where_one_is_looked_at(capsys: Capture) -> None:
    new = item(state="new", difference=[f"+ {number}" for number in range(100)])
    print_items([new], MOST_LINES)
    assert "+ 1\n" not in capsys.readouterr().out
    print_items([new], 1000)
    assert "+ 99\n" in capsys.readouterr().out
    print_items([item(difference=new["difference"])], MOST_LINES)
    assert "70 more lines" in capsys.readouterr().out


def test_what_is_gone_has_no_effect_to_tell(capsys: Capture) -> None:
    gone = item(state="gone", accept="", digest="", kind="prompts")
    for key in ("effect", "tier", "entry", "proposed"):
        del gone[key]
    print_items([gone], MOST_LINES)
    assert capsys.readouterr().out == "- gone prompt `files__send` of files\n"


def test_labels_are_proposed_as_one_policy_file() -> None:
    told = {"owner": "alice@example.com", "proposed": "egress", "tool": "send"}
    several = [
        {**told, "upstream": "mail"},
        {**told, "upstream": "files", "tool": "read", "proposed": "read"},
        {**told, "upstream": "files"},
    ]
    for items, matches in ((several[:1], [["send"]]), (several, [["mail/send", "files/send"], ["files/read"]])):
        text = tools._proposed(items)
        policy, problems = parse({"p.toml": text})
        assert problems == ()
        assert [entry["match"] for entry in tomllib.loads(text)["tool"]] == matches
        assert policy.files[0].upstream == ("mail" if items is not several else "")
    assert tools._proposed([]) == ""


@pytest.mark.parametrize("name", ["lock", "accept", "tools"])
def test_a_command_starts_light(name: str) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic', 'msgspec', 'tomlkit'"
    code = f"import gateway.cli.{name}, sys; print([each for each in ({heavy}) if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
