"""What `check` tells of the lock, and of policies as seen from it; offline."""

from pathlib import Path

import pytest

from gateway.accepted import Accepted
from gateway.config import check, load_lock, load_policy, load_settings
from gateway.config.locked import entry_of
from gateway.core.canon import canonical, digest
from gateway.core.lock import Locked, render
from gateway.core.model import ToolRef
from gateway.errors import ConfigurationError

CONFIG = """\
schema = 1
[gateway]
state = "state"
[upstreams.files]
command = "run"
owner = "alice@example.com"
"""
AGAINST = ("nobody labelled", "is of no tool that")
HEAD = 'upstream = "files"\nowner = "alice@example.com"\n'
READ = {"name": "read_file", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}
SEND = {
    "name": "send",
    "inputSchema": {
        "type": "object",
        "properties": {"to": {"type": "array"}, "note": {"type": "string"}},
        "required": ["note"],
    },
}
NOTE = '[[tool]]\nmatch = "send"\neffect = "{}"\nsinks = { note = "text" }\n'
OFFERED = {"read_file": digest(READ), "send": digest(SEND)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    for name in ("policies", "state"):
        (tmp_path / name).mkdir(mode=0o700)
    write(tmp_path / "upstreams.toml", CONFIG)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)


def lock(folder: Path, *, seen: bool = True, **upstreams: Locked) -> None:
    write(folder / "policies" / "tools.lock", render(upstreams or {"files": Locked(tools=OFFERED)}))
    if seen:
        Accepted(folder / "state").keep([canonical(READ), canonical(SEND)])


def told(folder: Path, policy: str = "") -> list[str]:
    """Every problem as a line, with a policy for the upstream; what `core/against.py` finds has tests of its own."""
    return [line for line in told_all(folder, policy) if not any(words in line for words in AGAINST)]


def told_all(folder: Path, policy: str = "") -> list[str]:
    """Every problem as a line."""
    write(folder / "policies" / "files.toml", HEAD + policy)
    return [f"{problem.severity.value}: {problem}" for problem in check(folder, {}, unlocked=True)]


def test_a_lock_that_is_missing_is_told_and_no_policy(folder: Path) -> None:
    (line,) = told(folder)
    assert line.startswith("warning: policies/tools.lock: no such file")
    assert "wardgate lock" in line
    assert check(folder, {}) == ()
    assert load_lock(load_settings(folder, {})) is None


def test_a_good_lock_is_fine(folder: Path) -> None:
    lock(folder)
    assert told(folder) == []
    assert load_lock(load_settings(folder, {})) == {"files": Locked(tools=OFFERED)}


def test_policies_are_compared_with_the_tools_that_were_accepted(folder: Path) -> None:
    lock(folder)
    (line,) = told_all(folder)
    assert "nobody labelled `read_file`, `send`" in line
    budget = '[[budget]]\nid = "a"\ntools = "send"\nper = "day"\nsum = "args.too"\nlimit = 3\n'
    (line,) = [line for line in told_all(folder, budget) if "[budget]" in line]
    assert "did you mean `args.to`?" in line


@pytest.mark.parametrize("text", ["schema = 2\n", "<<<<<<<\n", "schema = 1\nmore = 1\n"])
def test_a_lock_that_cannot_be_read_is_an_error_and_stops_a_start(text: str, folder: Path) -> None:
    write(folder / "policies" / "tools.lock", text)
    assert [line.partition(" ")[0] for line in told(folder)] == ["error:"]
    with pytest.raises(ConfigurationError, match="wardgate lock"):
        load_lock(load_settings(folder, {}))


def test_a_lock_that_others_can_write_is_none(folder: Path) -> None:
    lock(folder)
    (folder / "policies" / "tools.lock").chmod(0o666)
    assert any(line.startswith("error: policies/tools.lock: everybody can write") for line in told(folder))


def test_an_upstream_that_is_not_locked_is_told(folder: Path) -> None:
    lock(folder, mail=Locked())
    (line,) = told(folder)
    assert "`files`" in line


def test_definitions_that_were_never_seen_here_are_told(folder: Path) -> None:
    lock(folder, seen=False)
    (line,) = told(folder, '[[rule]]\nid = "a"\ntools = "send"\nwhen = "size(args.to) > 1"\ndecide = "block"\n')
    assert "never seen here" in line
    lock(folder, seen=False, files=Locked(tools={f"t{number}": "0" * 64 for number in range(5)}))
    assert "and 2 more" in told(folder)[0]


def test_a_tool_that_nobody_offers_is_an_error_in_a_rule_and_told_in_a_label(folder: Path) -> None:
    lock(folder)
    rule = '[[rule]]\nid = "a"\ntools = ["raed_file", "send*"]\ndecide = "block"\n'
    (line,) = told(folder, rule)
    assert line.startswith("error: policies/files.toml:3")
    assert "did you mean `read_file`?" in line
    (line,) = told(folder, '[[tool]]\nmatch = ["sent", "x*"]\neffect = "read"\n')
    assert line.startswith("warning: policies/files.toml:3")
    assert "did you mean `send`?" in line


def test_a_budget_of_a_tool_that_nobody_offers_is_an_error(folder: Path) -> None:
    lock(folder)
    budget = '[[budget]]\nid = "a"\ntools = ["sned", "read_file"]\nper = "day"\ncalls = 3\n'
    (line,) = told(folder, budget)
    assert line.startswith("error: policies/files.toml:3")
    assert "did you mean `send`?" in line
    assert told(folder, budget.replace("sned", "send")) == []


@pytest.mark.parametrize(
    ("preview", "said"),
    [
        ("raed_file", "doesn't offer; did you mean `read_file`?"),
        ("send", "is no read"),
        ("read_file", ""),
    ],
)
def test_a_preview_is_by_a_read_that_is_offered(preview: str, said: str, folder: Path) -> None:
    labels = f'[[tool]]\nmatch = "s*"\neffect = "write"\npreview = {{ tool = "{preview}" }}\n'
    labels += '[[tool]]\nmatch = "read_*"\neffect = "read"\n'
    assert told(folder, labels)[0].startswith("warning: policies/tools.lock: no such file")  # so nothing else is told
    for seen in (False, True):
        lock(folder, seen=seen)
        found = [line for line in told(folder, labels) if "`preview`" in line]
        assert [line.startswith("error: policies/files.toml:3 [tool] ") for line in found] == [True] * bool(said)
        assert all(said in line for line in found)
    assert not any("`preview`" in line for line in told(folder, labels.replace("s*", "x*")))


def test_a_condition_is_tried_on_calls_made_from_the_accepted_schema(folder: Path) -> None:
    lock(folder)
    rule = '[[rule]]\nid = "a"\ntools = "send"\nwhen = "size(args.to) > 1"\ndecide = "block"\n'
    (line,) = told(folder, rule)
    assert "rule `a` blocks `files/send` on a call with the required properties" in line
    assert told(folder, rule.replace("size(args.to)", "size(args.note)")) == []
    assert told(folder, rule.replace('"send"', '"read_file"').replace("args.to", "args.path")) != []


@pytest.mark.parametrize(
    ("labels", "when", "left"),
    [
        ("", 'args.note == "x"', "to"),
        ("", 'args.note == "x" && args.to == []', ""),
        ("", "size(args) == 1", "note"),
        (NOTE.replace("{}", "egress"), 'args.note == "x"', "to"),
        (NOTE.replace("{}", "egress") + 'inert = ["to"]\n', 'args.note == "x"', ""),
        (NOTE.replace("{}", "read"), 'args.note == "x"', ""),
    ],
    ids=["unlabelled", "all are read", "not by name", "undeclared", "inert", "of a read"],
)
def test_an_allow_reads_the_sinks_that_nobody_declared(labels: str, when: str, left: str, folder: Path) -> None:
    lock(folder)
    rule = f'[[rule]]\nid = "a"\ntools = "send"\nwhen = \'{when}\'\ndecide = "allow"\n'
    found = [line for line in told(folder, labels + rule) if "reads some sinks" in line]
    assert [line.startswith("warning: policies/files.toml") for line in found] == [True] * bool(left)
    assert all(f"`files/send` and not `{left}`" in line for line in found)
    assert not any("reads some" in line for line in told(folder, labels + rule.replace('"allow"', '"ask"')))


def test_the_entry_that_gives_an_effect_is_named_with_its_glob(folder: Path) -> None:
    told(folder, '[[tool]]\nmatch = ["x", "read_*"]\neffect = "read"\n')
    policy = load_policy(load_settings(folder, {}))
    assert entry_of(policy, ToolRef("files", "read_file")) == "`files/read_*` at policies/files.toml:3"
    assert entry_of(policy, ToolRef("files", "send")) == ""
